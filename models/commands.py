"""The command line's `models` verbs: list, show, prepare, convert and pull.

Handlers give JSON-able values and import what they need when they run.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from models.catalog import Entry


def add_verbs(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """Registers the verbs of this room."""
    models = verbs.add_parser("models", help="the models on this machine")
    actions = models.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", parents=[common], help="every known model and whether it is ready")
    listing.set_defaults(handler=_list, render=_render_list)
    show = actions.add_parser("show", parents=[common], help="one model in detail")
    show.add_argument("name", help="embedded name, org/name[@revision] on the hub, or a folder")
    show.set_defaults(handler=_show, render=_render_show)
    prepare = actions.add_parser("prepare", parents=[common], help="check and convert the embedded models now")
    prepare.set_defaults(handler=_prepare, render=_render_prepare)
    convert = actions.add_parser("convert", parents=[common], help="make the faster form of a chat model for this CPU")
    convert.add_argument("name", nargs="?", help="a chat model (default: the embedded one)")
    convert.set_defaults(handler=_convert, render=_render_prepare)
    pull = actions.add_parser("pull", parents=[common], help="download a model from the Hugging Face hub")
    pull.add_argument("name", help="org/name[@revision]")
    pull.set_defaults(handler=_pull, render=_render_prepare)


def _list(args: argparse.Namespace, house: Any) -> list[dict[str, Any]]:
    from models.catalog import EMBEDDED
    from models.prepare import prepared_folder
    from models.pull import pulled_models

    embedded = [_facts(entry, prepared_folder(entry, house.home)) for entry in EMBEDDED]
    return embedded + [_facts(entry, folder) for entry, folder in pulled_models(house.home)]


def _show(args: argparse.Namespace, house: Any) -> dict[str, Any]:
    from models.catalog import find
    from models.files import cache_bytes_per_token, read_config, read_weights
    from models.loading import encoder_folder
    from models.prepare import folder_of, prepared_folder

    entry = find(args.name, None)
    folder = prepared_folder(entry, house.home) if entry.kind == "embedded" else folder_of(entry, house.home)
    facts = _facts(entry, folder)
    if folder is not None:
        config, weights = read_config(encoder_folder(folder)), read_weights(encoder_folder(folder))
        facts |= {
            "architecture": next(iter(config.get("architectures") or []), None),
            "parameters": weights.parameters,
            "size_bytes": weights.size_bytes,
            "cache_bytes_per_token": cache_bytes_per_token(config),
        }
    return facts


def _prepare(args: argparse.Namespace, house: Any) -> dict[str, str]:
    from models.prepare import prepare_embedded

    return {name: str(folder) for name, folder in prepare_embedded(house.home).items()}


def _convert(args: argparse.Namespace, house: Any) -> dict[str, str]:
    from models.catalog import find
    from models.engines.openvino_convert import convert
    from models.prepare import folder_of

    entry = find(args.name, "chat")
    return {entry.label: str(convert(folder_of(entry, house.home), house.home, name=entry.label))}


def _pull(args: argparse.Namespace, house: Any) -> dict[str, str]:
    from models.catalog import find
    from models.errors import ModelNotFound
    from models.pull import pull

    entry = find(args.name, None)
    if entry.kind != "hub":
        raise ModelNotFound(args.name, hint=f"{args.name} is on this machine already; only hub models are pulled.")
    return {entry.label: str(pull(entry, house.home))}


def _facts(entry: Entry, folder: Path | None) -> dict[str, Any]:
    return {
        "name": entry.label,
        "role": entry.role,
        "kind": entry.kind,
        "source": entry.source,
        "licence": entry.licence,
        "context_tokens": entry.context_tokens,
        "languages": list(entry.languages),
        "ready": folder is not None,
        "folder": str(folder) if folder else None,
    }


def _render_list(value: list[dict[str, Any]]) -> str:
    rows = [
        (fact["name"], fact["role"] or "", fact["kind"], "ready" if fact["ready"] else "not prepared") for fact in value
    ]
    return "\n".join("  ".join(f"{cell:<26}" for cell in row).rstrip() for row in rows)


def _render_show(value: dict[str, Any]) -> str:
    return "\n".join(f"{key.replace('_', ' ')}: {fact}" for key, fact in value.items() if fact not in (None, []))


def _render_prepare(value: dict[str, str]) -> str:
    return "\n".join(f"{name} is ready in {folder}" for name, folder in value.items())
