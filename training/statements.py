"""An English question and its answer as one sentence, by rules that give up rather than guess.

"When was the tower built?" and "1889" become "The tower was built in 1889."; where the rules cannot tell the subject
from the verb there is no sentence, and the question with its answer says the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_BE = frozenset("is are was were".split())
_DO = frozenset("do does did".split())
AUXILIARIES = _BE | _DO | frozenset("has have had can could will would should may might must".split())
PREPOSITIONS = frozenset(
    "in on at for to by from with of under during through after before into about against as along near around "
    "between over behind within upon towards toward".split()
)
_DETERMINERS = frozenset("the a an his her its their this that these those some any of and or no each every".split())
_TIMES = {"year": "in", "century": "in", "decade": "in", "month": "in", "season": "in", "day": "on", "date": "on"}
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
_DAY = re.compile(rf"(?:{_MONTHS}) \d{{1,2}}\b|\d{{1,2}} (?:{_MONTHS})\b")
_YEAR = re.compile(rf"(?:(?:{_MONTHS}) )?(?:1\d{{3}}|20\d\d)s?|the \w+ century")
_LONGEST_ANSWER_WORDS = 12
_BASES = frozenset(
    "accept achieve acquire add adopt affect agree allow announce appear apply argue ask attack attempt attend become "
    "begin believe break bring build buy carry cause choose claim come compete complete conquer consider consist "
    "contain continue contribute control convert create cross cut deal declare decide defeat describe design "
    "destroy develop die discover divide draw earn eat emerge employ enable encourage end enter establish exist expand "
    "explain express extend face fall feel fight finish flow follow form found gain generate get give go govern grow "
    "happen have help hold host ignore improve include increase influence inherit introduce invade invent invest join "
    "keep kill know lack lead learn leave lie live locate lose maintain make marry mean measure meet move need obtain "
    "occupy occur offer open operate oppose originate own participate pass pay perform play practice prefer prevent "
    "produce promote propose protect prove provide publish pursue reach react receive recognize record reduce refer "
    "refuse reject release rely remain remove replace represent require resign respond result return rise rule run say "
    "see seek sell send separate serve settle share sign sing speak specialize spend spread start stay stop study "
    "submit suffer suggest support surrender take teach tell think throw train travel treat try understand view visit "
    "vote want wear win write yield".split()
)
_IRREGULAR = dict(
    pair.split("/")
    for pair in (
        "become/became begin/began break/broke bring/brought build/built buy/bought choose/chose come/came cut/cut "
        "deal/dealt draw/drew eat/ate fall/fell feel/felt fight/fought get/got give/gave go/went grow/grew have/had "
        "hold/held keep/kept know/knew lead/led leave/left lie/lay lose/lost make/made mean/meant meet/met pay/paid "
        "rise/rose run/ran say/said see/saw seek/sought sell/sold send/sent sing/sang speak/spoke spend/spent "
        "spread/spread take/took teach/taught tell/told think/thought throw/threw understand/understood wear/wore "
        "win/won write/wrote"
    ).split()
)
_PASTS = frozenset(_IRREGULAR.values()) - {"found", "lay"}
_PARTICIPLES = _PASTS - frozenset("became began broke chose came drew ate fell gave went grew knew rose ran saw sang "
    "spoke took threw wore wrote".split()) | frozenset(
    "begun broken chosen drawn eaten fallen given grown known risen seen sung spoken taken thrown worn written born "
    "found set put".split()
)  # fmt: skip
_NO_PARTICIPLES = frozenset("hundred red need bed indeed speed seed breed united".split())
_NAMING = frozenset("called named titled nicknamed termed dubbed considered labeled".split())
_DOUBLED = frozenset("stop plan ban occur refer permit submit".split())
_LOOSE_ENDS = re.compile(r"^[\s,;:]+|[\s,;:.]+$")


def statement(question: str, answer: str) -> str | None:
    """What the answer says, as a sentence with a full stop; None where no rule fits."""
    words = question.strip().rstrip("?").split()
    said = _LOOSE_ENDS.sub("", answer)
    if len(words) < 3 or not said or len(said.split()) > _LONGEST_ANSWER_WORDS:
        return None
    found = _stated(words, said)
    return _sentence(found) if found else None


def asked_and_answered(question: str, answer: str) -> str:
    """A question with its short answer behind it, as a claim."""
    asked = question.strip().rstrip("?.").strip()
    return f"{asked[0].upper()}{asked[1:]}? {_sentence(_LOOSE_ENDS.sub('', answer))}"


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return f"{text[0].upper()}{text[1:]}."


def _stated(words: list[str], said: str) -> str | None:
    preposition = ""
    if words[0].lower() in PREPOSITIONS and words[1].lower() in ("what", "which", "whom", "who"):
        preposition, words = words[0].lower(), words[1:]
    asked = words[0].lower()
    if asked == "how":
        return _how(words[1:], said)
    if asked in ("when", "where"):
        return _placed(words[1:], _with_preposition(said, asked))
    if asked not in ("who", "whom", "what", "which"):
        return _in_place(words, said)
    noun, rest = _noun_and_rest(words[1:]) if asked in ("what", "which") else ([], words[1:])
    if not rest or rest[0].lower() in ("happened", "happens"):
        return None
    if noun and noun[-1].lower() in _TIMES and rest[0].lower() in AUXILIARIES:
        return _placed(rest, _with_preposition(said, "when", preposition or _TIMES[noun[-1].lower()]))
    if preposition:
        return _placed(rest, f"{preposition} {said}")
    return _who(noun, rest, said)


def _who(noun: Sequence[str], rest: Sequence[str], said: str) -> str | None:
    """The answer is a thing or a person, the subject or the object."""
    first = rest[0].lower()
    if noun and said[0].islower():  # "what kind" with "prefabricated" lacks its noun
        return None
    if first in _DO:
        return _object(rest, said)
    if first not in AUXILIARIES:
        return f"{said} {' '.join(rest)}" if is_verb(first) or not noun else None
    if len(rest) == 1:
        return None
    if _is_participle(rest[1]) or rest[1].lower() in ("not", "being", "also"):
        return f"{said} {' '.join(rest)}"
    if first not in _BE:
        plain = rest[1][0].islower() and rest[1].lower() not in _DETERMINERS | {"it", "he", "she", "they", "you", "we"}
        return f"{said} {' '.join(rest)}" if plain and (is_verb(rest[1]) or rest[1].lower() == "been") else None
    parts = _passive(rest[1:])
    if parts is None:
        dangling = rest[-1].lower() in PREPOSITIONS
        return None if dangling or (noun and noun[-1].lower() in _TIMES) else f"{said} {' '.join(rest)}"
    subject, participle, more = parts
    if more and more[-1].lower() in PREPOSITIONS:
        return " ".join([*subject, first, participle, *more, said])
    if participle in _NAMING and not noun:
        return " ".join([*subject, first, participle, said, *more])
    return None


def _object(rest: Sequence[str], said: str) -> str | None:
    """ "did the king declare in 1066" with what he declared."""
    parts = _active(rest)
    if parts is None:
        return None
    subject, verb, more = parts
    if more and more[-1].lower() in PREPOSITIONS:
        return " ".join([*subject, verb, *more, said])
    if not more or more[0].lower() in PREPOSITIONS:
        return " ".join([*subject, verb, said, *more])
    return None


def _how(words: Sequence[str], said: str) -> str | None:
    if len(words) < 3:
        return None
    if words[0].lower() in ("many", "much"):
        return _counted(words[1:], said)
    if words[0].lower() in AUXILIARIES:
        return _placed(words, said) if said.split()[0].lower() in ("by", "through", "with", "via") else None
    return _placed(words[1:], said) if words[1].lower() in _DO | _BE else None


def _counted(words: Sequence[str], said: str) -> str | None:
    noun, rest = _noun_and_rest(words)
    if not noun or not rest:
        return None
    named = said if noun[-1].lower() in said.lower() or not said[-1].isalnum() else f"{said} {' '.join(noun)}"
    first = rest[0].lower()
    if first in _DO:
        return _object(rest, named)
    if first in _BE and len(rest) > 1 and rest[1].lower() == "there":
        return " ".join(["there", first, named, *rest[2:]])
    inverted = first in AUXILIARIES and len(rest) > 1 and not (_is_participle(rest[1]) or rest[1] in PREPOSITIONS)
    return None if inverted else f"{named} {' '.join(rest)}"


def _placed(words: Sequence[str], said: str) -> str | None:
    """ "was the tower built" or "did the war end" with the place, time or manner behind it."""
    if not words:
        return None
    first = words[0].lower()
    if first in _DO:
        parts = _active(words)
        if parts is None or (parts[2] and parts[2][-1].lower() in PREPOSITIONS):
            return None
        return " ".join([*parts[0], parts[1], *parts[2], said])
    if first not in _BE or len(words) < 2 or words[-1].lower() in PREPOSITIONS:
        return None
    passive = _passive(words[1:])
    if passive is None:
        return " ".join([*words[1:], first, said])
    return " ".join([*passive[0], first, passive[1], *passive[2], said])


def _in_place(words: Sequence[str], said: str) -> str | None:
    """ "The forest covers how many square kilometres" has its gap where the answer belongs."""
    lowered = [word.lower() for word in words]
    for asked in ("what", "which", "who", "whom", "when", "where"):
        if asked in lowered[1:]:
            at = lowered.index(asked, 1)
            return " ".join([*words[:at], said]) if len(words) - at <= 2 and at >= 3 else None
    return None


def _active(words: Sequence[str]) -> tuple[list[str], str, list[str]] | None:
    """Subject, inflected verb and the rest of "did SUBJECT VERB REST"."""
    for at in range(2, len(words)):
        if words[at] in _BASES and words[at - 1].lower() not in _DETERMINERS | {"to"}:
            return list(words[1:at]), _inflected(words[at], words[0].lower()), list(words[at + 1 :])
    return None


def _passive(words: Sequence[str]) -> tuple[list[str], str, list[str]] | None:
    """Subject, participle and the rest of "the tower built in Paris"; one at the end is the question's own."""
    for at in (len(words) - 1, *range(1, len(words) - 1)) if len(words) > 1 else ():
        if _is_participle(words[at]) and words[at - 1].lower() not in _DETERMINERS:
            return list(words[:at]), words[at], list(words[at + 1 :])
    return None


def _noun_and_rest(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """What was asked for, and the words from the verb on; "what" alone has no noun."""
    for at, word in enumerate(words):
        if word.lower() in AUXILIARIES or (at and word[0].islower() and is_verb(word)):
            return list(words[:at]), list(words[at:])
    return ([], list(words)) if words and words[0][0].islower() and is_verb(words[0]) else (list(words), [])


def _with_preposition(said: str, asked: str, usual: str = "in") -> str:
    if said.split()[0].lower() in PREPOSITIONS | {"since", "until", "when", "where"}:
        return said
    if asked == "where":
        return f"{usual} {said}"
    if _DAY.search(said):
        return f"on {said}"
    return f"in {said}" if _YEAR.fullmatch(said) else said


def is_verb(word: str) -> bool:
    """Whether a small word is one of some common verbs, or ends like a past form."""
    return word in _BASES or word in _PASTS or _is_participle(word) or (word[:-1] in _BASES and word.endswith("s"))


def _is_participle(word: str) -> bool:
    ends = word.endswith("ed") and len(word) > 3 and word not in _NO_PARTICIPLES
    return word[:1].islower() and (ends or word in _PARTICIPLES)


def _inflected(verb: str, auxiliary: str) -> str:
    if auxiliary == "do":
        return verb
    if auxiliary == "does":
        if verb == "have":
            return "has"
        if verb.endswith("y") and verb[-2] not in "aeiou":
            return f"{verb[:-1]}ies"
        return f"{verb}{'es' if verb.endswith(('s', 'sh', 'ch', 'x', 'z', 'o')) else 's'}"
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if verb.endswith("e"):
        return f"{verb}d"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return f"{verb[:-1]}ied"
    return f"{verb}{verb[-1] if verb in _DOUBLED else ''}ed"
