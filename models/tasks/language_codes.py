"""Names and codes of languages: ISO 639-1, the English name, and the code that NLLB's models use."""

from __future__ import annotations

import difflib

from models.errors import BadOption

# ISO 639-1, NLLB's code, English name
_TABLE = """
af afr_Latn Afrikaans
am amh_Ethi Amharic
ar arb_Arab Arabic
as asm_Beng Assamese
az azj_Latn Azerbaijani
ba bak_Cyrl Bashkir
be bel_Cyrl Belarusian
bg bul_Cyrl Bulgarian
bn ben_Beng Bengali
bo bod_Tibt Tibetan
bs bos_Latn Bosnian
ca cat_Latn Catalan
cs ces_Latn Czech
cy cym_Latn Welsh
da dan_Latn Danish
de deu_Latn German
el ell_Grek Greek
en eng_Latn English
eo epo_Latn Esperanto
es spa_Latn Spanish
et est_Latn Estonian
eu eus_Latn Basque
fa pes_Arab Persian
fi fin_Latn Finnish
fo fao_Latn Faroese
fr fra_Latn French
ga gle_Latn Irish
gd gla_Latn Scottish Gaelic
gl glg_Latn Galician
gu guj_Gujr Gujarati
ha hau_Latn Hausa
he heb_Hebr Hebrew
hi hin_Deva Hindi
hr hrv_Latn Croatian
ht hat_Latn Haitian Creole
hu hun_Latn Hungarian
hy hye_Armn Armenian
id ind_Latn Indonesian
ig ibo_Latn Igbo
is isl_Latn Icelandic
it ita_Latn Italian
ja jpn_Jpan Japanese
jv jav_Latn Javanese
ka kat_Geor Georgian
kk kaz_Cyrl Kazakh
km khm_Khmr Khmer
kn kan_Knda Kannada
ko kor_Hang Korean
ku kmr_Latn Kurdish
ky kir_Cyrl Kyrgyz
lb ltz_Latn Luxembourgish
lg lug_Latn Ganda
ln lin_Latn Lingala
lo lao_Laoo Lao
lt lit_Latn Lithuanian
lv lvs_Latn Latvian
mg plt_Latn Malagasy
mi mri_Latn Maori
mk mkd_Cyrl Macedonian
ml mal_Mlym Malayalam
mn khk_Cyrl Mongolian
mr mar_Deva Marathi
ms zsm_Latn Malay
mt mlt_Latn Maltese
my mya_Mymr Burmese
ne npi_Deva Nepali
nl nld_Latn Dutch
nn nno_Latn Nynorsk
no nob_Latn Norwegian
oc oci_Latn Occitan
or ory_Orya Odia
pa pan_Guru Punjabi
pl pol_Latn Polish
ps pbt_Arab Pashto
pt por_Latn Portuguese
ro ron_Latn Romanian
ru rus_Cyrl Russian
sa san_Deva Sanskrit
sd snd_Arab Sindhi
si sin_Sinh Sinhala
sk slk_Latn Slovak
sl slv_Latn Slovenian
so som_Latn Somali
sq als_Latn Albanian
sr srp_Cyrl Serbian
su sun_Latn Sundanese
sv swe_Latn Swedish
sw swh_Latn Swahili
ta tam_Taml Tamil
te tel_Telu Telugu
tg tgk_Cyrl Tajik
th tha_Thai Thai
tk tuk_Latn Turkmen
tl tgl_Latn Tagalog
tr tur_Latn Turkish
tt tat_Cyrl Tatar
ug uig_Arab Uyghur
uk ukr_Cyrl Ukrainian
ur urd_Arab Urdu
uz uzn_Latn Uzbek
vi vie_Latn Vietnamese
wo wol_Latn Wolof
xh xho_Latn Xhosa
yi ydd_Hebr Yiddish
yo yor_Latn Yoruba
zh zho_Hans Chinese
zu zul_Latn Zulu
"""
_ROWS = [line.split(maxsplit=2) for line in _TABLE.strip().splitlines()]
NAMES = {iso: name for iso, _, name in _ROWS}
NLLB = {iso: code for iso, code, _ in _ROWS}
_KNOWN = {
    **{iso: iso for iso in NAMES},
    **{name.lower(): iso for iso, name in NAMES.items()},
    **{code.lower(): iso for iso, code in NLLB.items()},
    **{code[:3]: iso for iso, code in NLLB.items()},
    **{"nb": "no", "iw": "he", "in": "id", "fil": "tl", "farsi": "fa", "mandarin": "zh", "castilian": "es"},
    **{"ell": "el", "gre": "el", "ger": "de", "deu": "de", "fre": "fr", "chi": "zh", "zho": "zh", "ara": "ar"},
}


def language_code(language: str) -> str:
    """The ISO 639-1 code for a code or English name, such as `de` for `German`, `deu`, `de-AT` or `deu_Latn`.

    A code that is not in the table is given back in lower case: a model may know it.

    Raises:
        BadOption: not a code and no known name, with the nearest name.
    """
    wanted = language.strip().lower()
    found = _KNOWN.get(wanted) or _KNOWN.get(wanted.replace("_", "-").partition("-")[0])
    if found:
        return found
    if 2 <= len(wanted) <= 3 and wanted.isalpha():
        return wanted
    names = [name.lower() for name in NAMES.values()]
    nearest = difflib.get_close_matches(wanted, names, n=1)
    hint = f"such as {_KNOWN[nearest[0]]} ({nearest[0].title()})" if nearest else "such as en, de or Hindi"
    raise BadOption("language", language, f"a language's code or English name, {hint}")


def language_name(code: str) -> str:
    """The English name of a code; the code itself where the table has none."""
    return NAMES.get(code, code)
