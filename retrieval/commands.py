"""The library's verbs on the command line: ingest, documents, search, explain, and those of its upkeep.

Registering them imports nothing heavy; each handler gives one JSON value and each renderer what a person reads.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from retrieval import ingest_commands, upkeep_commands
from retrieval.ingest_commands import pair
from retrieval.owners import is_shared
from retrieval.records import SEARCH_MODES
from retrieval.shown import counted, shown

if TYPE_CHECKING:
    from retrieval.library import Library

_TEXT_WIDTH = 300


class House(Protocol):
    """What the verbs need of the house that the door opened."""

    @property
    def settings(self) -> Any:
        """Holds `collection`, the one used when none is named."""
        ...

    def library(self) -> Library:
        """The person's documents."""
        ...

    def library_opener(self) -> Callable[[], Library]:
        """What opens the same library in another process; it can be pickled."""
        ...


def add_verbs(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """Register the room's verbs."""
    ingest_commands.add_verb(verbs, common)
    documents = verbs.add_parser("documents", parents=[common], help="what is in the library")
    actions = documents.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", parents=[common], help="every document")
    _add_collection(listing, "only this one")
    listing.set_defaults(handler=_list, render=_render_documents)
    show = actions.add_parser("show", parents=[common], help="one document and its extracted text")
    show.add_argument("document", metavar="DOCUMENT", help="its name or id")
    _add_collection(show, "where it is")
    show.set_defaults(handler=_show, render=_render_shown)
    remove = actions.add_parser("remove", parents=[common], help="take documents out; their files stay")
    remove.add_argument("documents", nargs="+", metavar="DOCUMENT", help="names or ids")
    _add_collection(remove, "where they are")
    remove.set_defaults(handler=_remove, render=_render_removed)

    upkeep_commands.add_verbs(verbs, common)

    for name, handler, render, words in (
        ("search", _search, _render_passages, "passages that fit a query"),
        ("explain", _explain, _render_ranks, "where each passage stood at every stage of a search"),
    ):
        verb = verbs.add_parser(name, parents=[common], help=words)
        verb.add_argument("query", metavar="QUERY")
        verb.add_argument("--top-k", type=_positive, default=10, metavar="N", help="passages returned (10)")
        verb.add_argument("--mode", choices=SEARCH_MODES, default="hybrid")
        _add_collection(verb, "only this one")
        words = "only where this is so: document, page, kind ... or what was given with --meta (may be repeated)"
        verb.add_argument("--where", metavar="KEY=VALUE", action="append", type=pair, help=words)
        verb.set_defaults(handler=handler, render=render)


def _add_collection(parser: argparse.ArgumentParser, words: str) -> None:
    parser.add_argument("--collection", metavar="NAME", help=f"the collection: {words}")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 on")
    return value


def _where(options: argparse.Namespace) -> dict[str, Any] | None:
    return dict(options.where) if options.where else None


def _scope(options: argparse.Namespace, house: House) -> list[str] | None:
    """The collection that was named; one that does not exist is empty, which is said as it may be a slip."""
    if not options.collection:
        return None
    known = house.library().collections()
    if options.collection not in known:
        there = ", ".join(map(shown, known)) or "none"
        print(f"There is no collection {shown(options.collection)}; there are: {there}.", file=sys.stderr)
    return [options.collection]


# Handlers -----------------------------------------------------------------------------------------------------------


def _list(options: argparse.Namespace, house: House) -> list[dict[str, Any]]:
    return [record.to_json() for record in house.library().documents(_scope(options, house))]


def _show(options: argparse.Namespace, house: House) -> dict[str, Any]:
    library = house.library()
    record = library.find(options.document, options.collection)[0]
    text = library.text(record.document_id) if record.status == "ready" else ""
    return {**record.to_json(), "text": text}


def _remove(options: argparse.Namespace, house: House) -> list[dict[str, Any]]:
    return [record.to_json() for record in house.library().remove(options.documents, options.collection)]


def _search(options: argparse.Namespace, house: House) -> list[dict[str, Any]]:
    hits = house.library().search(
        options.query, top_k=options.top_k, mode=options.mode, collections=_scope(options, house), where=_where(options)
    )
    return [{**hit.metadata, "text": hit.page_content} for hit in hits]


def _explain(options: argparse.Namespace, house: House) -> list[dict[str, Any]]:
    return house.library().explain(
        options.query, top_k=options.top_k, mode=options.mode, collections=_scope(options, house), where=_where(options)
    )


# What a person reads ------------------------------------------------------------------------------------------------


def _render_documents(value: list[dict[str, Any]]) -> str:
    if not value:
        return "No documents yet; bring some in with `hearth ingest PATH`."
    return "\n".join(_document_line(row) for row in value)


def _document_line(row: dict[str, Any]) -> str:
    pages = f"{counted(row['pages'], 'page')}, " if row["pages"] else ""
    state = f"{pages}{counted(row['chunks'], 'chunk')}" if row["status"] == "ready" else f"unusable ({row['status']})"
    return f"{row['document_id'][:12]}  {shown(row['document'])}  [{row['collection']}]  {state}"


def _render_shown(value: dict[str, Any]) -> str:
    facts = {**value["facts"]}
    positions, warnings = facts.pop("positions", []), facts.pop("warnings", [])
    lines = [_document_line(value), *(f"  {name}: {shown(str(facts[name]))}" for name in facts)]
    lines += [f"  passages are named by: {', '.join(positions)}"] if positions else []
    lines += [f"  warning: {shown(warning)}" for warning in warnings]
    lines += [shown(value["message"])] if value["message"] else []
    return "\n".join([*lines, "", value["text"]])


def _render_removed(value: list[dict[str, Any]]) -> str:
    return "\n".join(f"removed {shown(row['document'])}" for row in value)


def _render_passages(value: list[dict[str, Any]]) -> str:
    lines = []
    for number, row in enumerate(value, start=1):
        text = " ".join(row["text"].split())
        short = text if len(text) <= _TEXT_WIDTH else f"{text[:_TEXT_WIDTH]}…"
        lines.append(f"{number}. {_place(row)}  ({row['score']:.4f})\n   {shown(short)}")
    return "\n".join(lines) or "Nothing found."


def _render_ranks(value: list[dict[str, Any]]) -> str:
    reranked = any(row["rerank_rank"] for row in value)
    lines = [f"{'      reranked  ' if reranked else ''}   fused  dense (cosine)  words (BM25)  covered  passage"]
    for row in value:
        read = f"{row['rerank_rank']} ({row['rerank_score']:.3f})" if row["rerank_rank"] else "-"
        first = f"{read:>14}  " if reranked else ""
        dense = f"{row['dense_rank'] or '-'} ({row['dense_score']:.3f})"
        words = f"{row['sparse_rank']} ({row['sparse_score']:.2f})" if row["sparse_rank"] else "-"
        lines.append(
            f"{first}{row['fused_rank']:8}  {dense:>14}  {words:>12}  {row['sparse_coverage']:7.2f}  {_place(row)}"
            f" {row['start']}-{row['end']}"
        )
    return "\n".join(lines)


def _place(row: dict[str, Any]) -> str:
    page = f", page {row['page']}" if row["page"] else ""
    position = f", {shown(row['position'])}" if row["position"] else ""
    private = "" if is_shared(row["collection"]) else f" [{shown(row['collection'])}]"
    return f"{shown(row['document'])}{page}{position}{private}"
