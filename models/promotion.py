"""The check before a promotion: template and tokens as in training, and one behaviour of adapter, merged and converted.

What Hearth would serve next is held against what it serves now of the same version; a difference keeps it out.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

from models.adapted import base_folder_of, is_adapted, is_on_encoder
from models.catalog import Entry, find
from models.engines.parity import ParityFailed
from models.errors import WrongRole
from models.home import models_folder
from models.probes import FILE, probe_problems
from models.registry_checks import is_adapter
from models.registry_errors import PromotionRefused
from models.registry_view import Version


def check_before_promotion(version: Version, home: Path) -> None:
    """Looks at a version as it would serve; silent where all of its forms agree.

    Raises:
        PromotionRefused: tokens or outputs differ, with the numbers.
        ModelError: the version, or an adapter's base, cannot be loaded.
    """
    entry = replace(find(str(version.folder), None), name=version.name, version=version.number)
    problems = _tokens(entry, version.folder, home)
    for what, check in (("merged", _merged), ("converted", _converted)):
        try:
            check(entry, version, home)
        except ParityFailed as error:
            problems += [f"{what}, {problem}" for problem in error.problems]
    if problems:
        raise PromotionRefused(version.label, problems)


def _tokens(entry: Entry, folder: Path, home: Path) -> list[str]:
    if not (folder / FILE).is_file():
        return []
    from models.loading import load_tokenizer

    if is_adapted(folder):
        return probe_problems(folder, load_tokenizer(base_folder_of(folder, home)))
    if is_adapter(folder):
        from models.chat_adapters import chat_source

        source = chat_source(entry, home)
        return probe_problems(folder, load_tokenizer(source.folder, chat_template=source.entry.chat_template))
    return probe_problems(folder, load_tokenizer(folder))


def _merged(entry: Entry, version: Version, home: Path) -> None:
    """An adapter, as it serves, and its base with the adapter's products in its weights."""
    if not is_adapter(version.folder):
        return
    from models.exports.merged import check_merged
    from models.exports.whole import whole_model

    with whole_model(entry, home, models_folder(home)) as whole:
        check_merged(entry, whole.folder, home)


def _converted(entry: Entry, version: Version, home: Path) -> None:
    """What OpenVINO would serve where it is ready; where it is not, the conversion will be checked when it is made."""
    from models.engines.adapted_encoder import convert_adapted
    from models.engines.openvino_convert import converted_folder, is_ready
    from models.engines.openvino_forms import check, form_of
    from models.engines.openvino_paged import EngineUnavailable

    with contextlib.suppress(WrongRole, EngineUnavailable):  # torch alone serves the role, or this machine
        if is_on_encoder(version.folder):
            base = base_folder_of(version.folder, home)
            if is_ready(base, home, "states"):
                convert_adapted(version.folder, base, home, name=version.label)
            return
        if is_adapter(version.folder):
            _converted_adapter(entry, home)
            return
        form = form_of(version.folder, version.role)
        if is_ready(version.folder, home, form):
            check(form, converted_folder(version.folder, home, form), version.folder, version.label)


def _converted_adapter(entry: Entry, home: Path) -> None:
    from models.chat_adapters import adapted_choice, chat_source, load_adapted
    from models.engines.openvino_convert import is_ready

    source = chat_source(entry, home)
    assert source.adapter is not None, f"{entry.label} is no adapter"
    if is_ready(source.folder, home):
        template = source.entry.chat_template
        loaded = load_adapted(source.adapter, source.folder, name=source.entry.label, chat_template=template)
        adapted_choice(source.adapter, source.folder, home, entry.label).check(loaded)
