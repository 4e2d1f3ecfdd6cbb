"""The verbs that keep a library in order: verify, reembed, export, import, backup, collections.

Registered by `commands`; each handler gives one JSON value and each renderer what a person reads.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from retrieval.shown import counted, shown

if TYPE_CHECKING:
    from retrieval.commands import House
    from retrieval.records import ReembedProgress

_MIB = 1 << 20


def add_verbs(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """Register the verbs."""

    def verb(
        name: str, words: str, handler: Callable[..., Any], render: Callable[[Any], str]
    ) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = verbs.add_parser(name, parents=[common], help=words)
        parser.set_defaults(handler=handler, render=render)
        return parser

    verify = verb("verify", "check every document, passage, vector and cache", _verify, _render_verified)
    verify.add_argument("--repair", action="store_true", help="mend what can be mended, from the original files too")
    reembed = verb("reembed", "make all vectors anew with the configured model", _reembed, _render_reembedded)
    reembed.add_argument("--collection", metavar="NAME", help="only this one now; the change waits for the others")
    export = verb("export", "write the library into a file for elsewhere", _export, _render_copy)
    export.add_argument("file", metavar="FILE")
    export.add_argument("--collection", metavar="NAME", action="append", help="only this one (may be repeated)")
    bring = verb("import", "bring in the documents of an export or a backup", _import, _render_imported)
    bring.add_argument("file", metavar="FILE")
    bring.add_argument("--collection", metavar="NAME", help="all of them into this one")
    backup = verb("backup", "copy the library's file as it is now, while writing goes on", _backup, _render_copy)
    backup.add_argument("file", metavar="FILE")
    _add_collections(verbs, common)


def _add_collections(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    collections = verbs.add_parser("collections", parents=[common], help="the library's parts, by user or subject")
    actions = collections.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", parents=[common], help="every collection with what it holds")
    listing.set_defaults(handler=_list, render=_render_collections)
    rename = actions.add_parser("rename", parents=[common], help="give one another name, or join it with another")
    rename.add_argument("name", metavar="NAME")
    rename.add_argument("new_name", metavar="NEW_NAME")
    rename.set_defaults(handler=_rename, render=lambda value: _render_collections([value]))
    remove = actions.add_parser("remove", parents=[common], help="take all its documents out; their files stay")
    remove.add_argument("name", metavar="NAME")
    remove.set_defaults(handler=_remove, render=lambda value: f"removed {counted(value['removed'], 'document')}")


# Handlers -----------------------------------------------------------------------------------------------------------


def _verify(options: argparse.Namespace, house: House) -> dict[str, Any]:
    found = house.library().verify(repair=options.repair)
    if found["problems"]:
        mending = "`hearth verify --repair` mends what can be mended."
        left = "What is named could not be mended: ingest those files again, or put a backup in place."
        print(left if options.repair else mending, file=sys.stderr)
    return found


def _reembed(options: argparse.Namespace, house: House) -> dict[str, Any]:
    from tqdm import tqdm

    with tqdm(total=0, unit="chunk", file=sys.stderr, disable=None, leave=False) as bar:

        def show(progress: ReembedProgress) -> None:
            bar.total, bar.n = progress.total, progress.done
            bar.update(0)

        return house.library().reembed(collection=options.collection, on_progress=show).to_json()


def _export(options: argparse.Namespace, house: House) -> dict[str, Any]:
    return house.library().export(options.file, collections=options.collection)


def _import(options: argparse.Namespace, house: House) -> dict[str, Any]:
    return house.library().import_file(options.file, collection=options.collection).to_json()


def _backup(options: argparse.Namespace, house: House) -> dict[str, Any]:
    return house.library().backup(options.file)


def _list(options: argparse.Namespace, house: House) -> list[dict[str, Any]]:
    return [record.to_json() for record in house.library().describe_collections()]


def _rename(options: argparse.Namespace, house: House) -> dict[str, Any]:
    return house.library().rename_collection(options.name, options.new_name).to_json()


def _remove(options: argparse.Namespace, house: House) -> dict[str, Any]:
    return {"collection": options.name, "removed": house.library().remove_collection(options.name)}


# What a person reads ------------------------------------------------------------------------------------------------


def _render_verified(value: dict[str, Any]) -> str:
    problems, repaired = value["problems"], value["repaired"]
    counts = [
        f"{counted(value['checked'], 'chunk')} checked",
        counted(len(problems), "problem"),
        *([f"{len(repaired)} repaired"] if repaired else []),
    ]
    lines = [f"repaired: {shown(sentence)}" for sentence in repaired]
    return "\n".join([f"{', '.join(counts)}.", *map(shown, problems), *lines])


def _render_reembedded(value: dict[str, Any]) -> str:
    if value["before"] in (None, value["after"]) and not value["embedded"]:
        return f"Nothing to do: the vectors are of {value['after']}."
    lines = [f"{counted(value['embedded'], 'chunk')} embedded with {value['after']} in {value['seconds']:.1f} s."]
    if value["kept"]:
        lines.append(f"{value['kept']} had been made before.")
    if value["longer"]:
        lines.append(f"warning: {value['longer']} chunks are longer than {value['after']} reads; ingest them again.")
    left = f"{value['remaining']} chunks are left; until then {value['before']} serves."
    return "\n".join([*lines, f"{value['after']} serves now." if value["swapped"] else left])


def _render_copy(value: dict[str, Any]) -> str:
    held = f", {_held(value)}" if "documents" in value else ""
    return f"{shown(value['file'])}: {value['bytes'] / _MIB:.1f} MiB{held}"


def _render_imported(value: dict[str, Any]) -> str:
    counts = f"{len(value['added'])} added, {len(value['changed'])} changed, {value['unchanged']} there already"
    lines = [f"{counts}; {counted(value['chunks'], 'chunk')} in {value['seconds']:.1f} s."]
    return "\n".join(lines + [f"unusable {note['code']}: {shown(note['message'])}" for note in value["failed"]])


def _render_collections(value: list[dict[str, Any]]) -> str:
    lines = [f"{shown(row['collection'])}: {_held(row)}, {row['bytes'] / _MIB:.1f} MiB" for row in value]
    return "\n".join(lines) or "No collections yet; bring documents in with `hearth ingest PATH`."


def _held(row: dict[str, Any]) -> str:
    return f"{counted(row['documents'], 'document')}, {counted(row['chunks'], 'chunk')}"
