"""Ingest on both ends of a cluster: the share that a worker brings in, and the run that hands out the shares.

Files are listed, and vanished documents removed, by the process that was asked; workers read, embed and store.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.cluster.errors import WorkerFailed
from retrieval.cluster.worker import Order, Worker, read_report, share_text
from retrieval.ingest import Ingest
from retrieval.records import IngestReport
from retrieval.sources import SourceFile
from retrieval.stored import Known
from retrieval.writer import NewDocument, Written

_LARGEST_SHARE = 64
_SHARES_PER_WORKER = 8
"""Enough that the last ones to finish do not keep the others waiting for long."""
_RETRIES = 2
"""A share that ended so many workers is given up: the next would most likely end too."""


class Share(Ingest):
    """The files that one worker was handed."""

    def of(self, files: Sequence[SourceFile]) -> IngestReport:
        """Bring them in."""
        self._bring(files, {})
        return self._report

    def _put(self, pairs: Sequence[tuple[NewDocument, NDArray[np.float32]]]) -> list[Written]:
        """One transaction a document: the other workers wait for it, and nothing waits for a disk here."""
        return [written for pair in pairs for written in super(Share, self)._put([pair])]


class Spread(Ingest):
    """One run over the workers of the cluster that this process is connected to."""

    def over(self, order: Order, workers: int | None) -> Spread:
        """Say who does the work: so many workers, None for one a processor of the cluster."""
        self._order, self._workers = order, workers
        return self

    def _bring(self, files: Sequence[SourceFile], gone: dict[str, Known]) -> None:
        if not files:
            return
        self._check_model()  # also makes the library, which the workers then find
        moved_from = {known.document_id: known for known in gone.values()}
        with contextlib.closing(_reports(files, self._order, self._workers, self._store.name)) as reports:
            for share, report in reports:
                self._take_report(share, report, gone, moved_from)
                if self._report.stopped:
                    return

    def _take_report(
        self, share: list[SourceFile], report: IngestReport, gone: dict[str, Known], moved_from: dict[str, Known]
    ) -> None:
        """Join a worker's report; a copy of a document whose file is gone is that document, moved."""
        copies = {note.document for note in report.warnings if note.code == "duplicate"}
        for file in share:
            known = moved_from.get(report.document_ids.get(file.source, ""))
            if known is not None and file.name in copies and gone.pop(known.source, None) is not None:
                report.unchanged -= 1
                report.warnings = [note for note in report.warnings if note.document != file.name]
                self._done -= 1  # which moving counts itself
                self._move(known, NewDocument(self._collection, file.source, file.name, str(file.path), "", 0, ""))
        report.unchanged += self._report.unchanged
        self._report.join(report)
        self._embedded += report.chunks
        self._done += len(share) - 1
        self._step(share[-1].name)


def _reports(
    files: Sequence[SourceFile], order: Order, workers: int | None, library: str
) -> Generator[tuple[list[SourceFile], IngestReport]]:
    """Each share with its report, as they are finished.

    Raises:
        WorkerFailed: a worker cannot go on.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
    size = min(_LARGEST_SHARE, math.ceil(len(files) / (count * _SHARES_PER_WORKER)))
    shares = [list(files[at : at + size]) for at in range(0, len(files), size)]
    rows = [{"number": number, "files": share_text(share)} for number, share in enumerate(shares)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # only so can a number of retries be given
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            Worker,
            fn_constructor_args=(order,),
            compute=ActorPoolStrategy(size=min(count, len(shares))),
            num_cpus=1,
            ray_remote_args_fn=lambda: {"max_task_retries": _RETRIES},
        )
    try:
        for row in done.iter_rows():
            if row.get("error"):
                raise WorkerFailed(library, row["error"])
            yield shares[row["number"]], read_report(row["report"])
    except ray.exceptions.RayError as error:
        raise WorkerFailed(library, _last_words(error)) from error


def _last_words(error: BaseException) -> str:
    """What a worker said last, of a text that holds its whole traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
