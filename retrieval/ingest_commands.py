"""The verb `ingest`: files and folders into the library, once or for as long as one likes, with progress.

Also the reading of KEY=VALUE, which `search` shares.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrieval.shown import counted, shown

if TYPE_CHECKING:
    from retrieval.commands import House
    from retrieval.records import IngestProgress, IngestReport

_WARNINGS_SHOWN = 5
_BAR = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} files [{elapsed}{postfix}]"


def add_verb(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """Register the verb."""
    ingest = verbs.add_parser("ingest", parents=[common], help="bring files and folders into the library")
    ingest.add_argument("paths", nargs="+", metavar="PATH", help="a file or a folder")
    ingest.add_argument("--collection", metavar="NAME", help="the collection: where they go")
    ingest.add_argument("--watch", action="store_true", help="go on, and follow every change until stopped")
    ingest.add_argument("--meta", metavar="KEY=VALUE", action="append", type=pair, help="kept with each document")
    ingest.add_argument(
        "--ray", metavar="ADDRESS", help="by the workers of the Ray cluster whose head is at host:port, or `local`"
    )
    ingest.add_argument(
        "--workers", metavar="N", type=_count, help="so many of them (one a processor); here, if no --ray"
    )
    ingest.set_defaults(handler=_ingest, render=_render_report)


def pair(text: str) -> tuple[str, Any]:
    """`year=2020`: a number, true, false, null or a list where JSON reads it as one, else text."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise argparse.ArgumentTypeError(f"{text} is not KEY=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 on")
    return int(text)


@contextlib.contextmanager
def _adding(options: argparse.Namespace, house: House) -> Iterator[Callable[..., IngestReport]]:
    """`Library.add`, or the same on a Ray cluster that is held for the length of the block."""
    library = house.library()
    if options.ray is None and options.workers is None:
        yield library.add
        return
    from retrieval.cluster.running import LOCAL, running

    library.check_shared()
    with running(options.ray or LOCAL, options.workers):
        opener = house.library_opener()
        yield functools.partial(library.add_on_cluster, open_library=opener, workers=options.workers)


def ingest_with_progress(
    add: Callable[..., IngestReport],
    paths: Sequence[str | Path],
    collection: str,
    metadata: dict[str, Any] | None = None,
    stop: threading.Event | None = None,
) -> IngestReport:
    """Bring paths into a collection by `Library.add` or what is like it, with a progress bar on a terminal."""
    from tqdm import tqdm

    from retrieval.records import IngestStopped

    with tqdm(total=0, bar_format=_BAR, file=sys.stderr, disable=None, leave=False) as bar:

        def show(progress: IngestProgress) -> None:
            if stop is not None and stop.is_set():
                raise IngestStopped
            bar.total = progress.total
            bar.n = progress.done
            left = progress.seconds_left
            remaining = "" if left is None else f", {tqdm.format_interval(left)} left"
            rate = f"{progress.chunks} chunks, {progress.chunks_per_second:.0f}/s"
            bar.set_postfix_str(f"{rate}{remaining}", refresh=progress.document is None)
            bar.update(0)

        return add(paths, collection=collection, metadata=metadata, on_progress=show)


@contextlib.contextmanager
def _stopped_by_sigterm() -> Iterator[threading.Event]:
    """Set when the system asks this process to end, which then ends in good order within a batch."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


def _ingest(options: argparse.Namespace, house: House) -> dict[str, Any]:
    collection = options.collection or house.settings.collection
    metadata = dict(options.meta) if options.meta else None
    with _stopped_by_sigterm() as stop, _adding(options, house) as add:
        ingest = functools.partial(ingest_with_progress, add, options.paths, collection, metadata, stop)
        report = ingest()
        if options.watch and not report.stopped:
            _follow(options.paths, report, stop, ingest)
    return report.to_json()


def _follow(
    paths: Sequence[str], report: IngestReport, stop: threading.Event, ingest: Callable[[], IngestReport]
) -> None:
    """Ingest again after every change until stopped by a signal or from the keyboard; the report grows with it."""
    from retrieval.watch import changes

    print(f"{_render_report(report.to_json())}\nWatching; stop with Ctrl-C.", file=sys.stderr)
    with contextlib.suppress(KeyboardInterrupt):
        for _ in changes(paths, stop):
            news = report.join(ingest())
            if news.did_something:
                print(_render_report(news.to_json()), file=sys.stderr)


def _render_report(value: dict[str, Any]) -> str:
    counts = [f"{len(value[kind])} {kind}" for kind in ("added", "changed", "moved", "removed") if value[kind]]
    counts += [f"{value['unchanged']} unchanged"] if value["unchanged"] or not counts else []
    lines = [f"{', '.join(counts)}; {counted(value['chunks'], 'chunk')} written in {value['seconds']:.1f} s."]
    lines += ["Stopped early; the same command goes on from here."] if value["stopped"] else []
    lines += _render_warnings(value["warnings"])
    lines += [f"failed {note['code']}: {shown(note['message'])}" for note in value["failed"]]
    return "\n".join(lines)


def _render_warnings(notes: Sequence[dict[str, str]]) -> list[str]:
    """The first warnings of each kind, and how many more there are, so that failures are not lost among them."""
    kinds: dict[str, list[dict[str, str]]] = {}
    for note in notes:
        kinds.setdefault(note["code"], []).append(note)
    lines = []
    for code, alike in kinds.items():
        lines += [f"warning {code}: {shown(note['message'])}" for note in alike[:_WARNINGS_SHOWN]]
        if len(alike) > _WARNINGS_SHOWN:
            more = len(alike) - _WARNINGS_SHOWN
            lines.append(f"warning {code}: the same of {more} more; `hearth documents show` or --json names them.")
    return lines
