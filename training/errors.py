"""What can go wrong with a recipe, its data or a run: one class a cause, each with a stable code.

The message says what was found, what was expected and what to do; nothing heavy is imported here.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path


class TrainingError(Exception):
    """Base of the room's errors; `code` is stable, `str(error)` is one sentence."""

    code = "training_error"


class RecipeError(TrainingError):
    """A recipe says something that cannot be used."""

    code = "bad_recipe"

    def __init__(self, recipe: str, key: str, found: str, expected: str) -> None:
        self.recipe, self.key, self.found = recipe, key, found
        super().__init__(f"The recipe {recipe} has {key} = {found}, expected {expected}; correct it there.")


class UnknownKey(RecipeError):
    """A recipe names a key that does not exist."""

    code = "unknown_key"

    def __init__(self, recipe: str, key: str, known: Sequence[str]) -> None:
        self.recipe, self.key, self.known = recipe, key, tuple(known)
        near = difflib.get_close_matches(key.rpartition(".")[2], known, n=1)
        hint = f"did you mean {near[0]}? The" if near else "the"
        TrainingError.__init__(
            self, f"The recipe {recipe} has the unknown key {key}; {hint} known ones there are {', '.join(known)}."
        )


class MissingKey(RecipeError):
    """A recipe leaves out what a run cannot do without."""

    code = "missing_key"

    def __init__(self, recipe: str, key: str, meaning: str) -> None:
        self.recipe, self.key = recipe, key
        TrainingError.__init__(self, f"The recipe {recipe} has no {key} ({meaning}); add it.")


class RecipeNotFound(TrainingError):
    """No such recipe file or name."""

    code = "recipe_not_found"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or list(known)
        super().__init__(f"There is no recipe {name!r}; give a .toml file or one of: {', '.join(near)}.")


class DataError(TrainingError):
    """Data that cannot be trained on, with the file and, where there is one, the line."""

    code = "bad_data"

    def __init__(self, source: str, problem: str, line: int | None = None) -> None:
        self.source, self.problem, self.line = source, problem, line
        at = f", line {line:,}" if line is not None else ""
        super().__init__(f"{source}{at}: {problem}")


class DataNotFound(DataError):
    """A data file or data set that is not on this machine."""

    code = "data_not_found"


class ColumnMissing(DataError):
    """A column that the recipe names is not in the data."""

    code = "column_missing"

    def __init__(self, source: str, column: str, found: Sequence[str], line: int | None = None) -> None:
        self.column, self.found = column, tuple(found)
        near = difflib.get_close_matches(column, found, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        have = ", ".join(map(repr, found)) or "none"
        super().__init__(
            source, f"there is no column {column!r}; {hint}the columns are {have}: set [data.columns].", line
        )


class TooFewRows(DataError):
    """Not enough rows to train or to judge."""

    code = "too_few_rows"


class Contradiction(DataError):
    """The same text with different labels, more often than the recipe allows."""

    code = "contradiction"


class Leak(DataError):
    """Rows of the test or validation part that stand in the training part too."""

    code = "leak"


class OneClass(DataError):
    """A classifier's data with a single label."""

    code = "one_class"


class BadLabel(DataError):
    """A label that training did not see, or that is not what the task expects."""

    code = "bad_label"


class TooLong(DataError):
    """More examples than allowed are longer than the model's window, or leave nothing to learn after the cut."""

    code = "too_long_examples"


class NonFinite(TrainingError):
    """The loss or the gradient stopped being a number."""

    code = "non_finite"

    def __init__(self, what: str, step: int, rows: Sequence[int], kept: Path | None) -> None:
        self.what, self.step, self.rows, self.kept = what, step, tuple(rows), kept
        shown = ", ".join(map(str, self.rows[:8])) + (" ..." if len(self.rows) > 8 else "")
        last = f"the last checkpoint is {kept.name}" if kept else "there was no checkpoint yet"
        super().__init__(
            f"The {what} was not a finite number at step {step:,} (training rows {shown}); the run stopped before the "
            f"weights changed, {last}: lower learning_rate or look at those rows."
        )


class OutOfMemory(TrainingError):
    """A step needed more memory than there is."""

    code = "out_of_memory"

    def __init__(self, step: int, rows: int, longest_tokens: int) -> None:
        self.step, self.rows, self.longest_tokens = step, rows, longest_tokens
        super().__init__(
            f"Step {step:,} ran out of memory with {rows} rows of up to {longest_tokens} tokens: lower "
            "training.batch_rows and raise training.accumulation_steps by as much, then `hearth train resume`."
        )


class Changed(TrainingError):
    """A run cannot go on exactly because something it depends on is not what it was."""

    code = "changed_since"

    def __init__(self, run: Path, changes: Sequence[str]) -> None:
        self.run, self.changes = run, tuple(changes)
        super().__init__(
            f"The run {run.name} cannot be resumed exactly, because these have changed: {'; '.join(changes)}. Put them "
            "back, start anew with `hearth train run`, or go on all the same with --allow-changed."
        )


class RunBusy(TrainingError):
    """Another process trains into the same run folder."""

    code = "run_busy"

    def __init__(self, run: Path, holder: str) -> None:
        self.run, self.holder = run, holder
        super().__init__(f"The run {run.name} is being trained by process {holder}; wait for it or stop it first.")


class RunExists(TrainingError):
    """The folder for a new run holds one already."""

    code = "run_exists"

    def __init__(self, run: Path) -> None:
        self.run = run
        super().__init__(
            f"The folder {run} holds a run already: go on with it by `hearth train resume {run.name}`, or name another."
        )


class RunNotFound(TrainingError):
    """No such run folder, or nothing in it to go on from."""

    code = "run_not_found"

    def __init__(self, name: str, problem: str) -> None:
        self.name = name
        super().__init__(f"The run {name} {problem}; `hearth train list` shows the runs there are.")


class NoCheckpoint(RunNotFound):
    """A run without one whole checkpoint."""

    code = "no_checkpoint"


class NotKept(TrainingError):
    """What a step made could not be written: a full or failing disk."""

    code = "not_kept"

    def __init__(self, run: Path, step: int, reason: Exception, kept: Path | None) -> None:
        self.run, self.step, self.kept = run, step, kept
        why = (reason.strerror if isinstance(reason, OSError) else None) or str(reason)
        onward = (
            f"`hearth train resume {run.name}` goes on from {kept.name}, which is whole."
            if kept
            else "start anew with `hearth train run`, as no checkpoint had been written before."
        )
        super().__init__(
            f"What step {step:,} made could not be written to {run} ({why}): see to the disk, and {onward}"
        )


class Interrupted(TrainingError):
    """A run that was asked to stop, and can be resumed."""

    code = "interrupted"

    def __init__(self, run: Path, step: int) -> None:
        self.run, self.step = run, step
        super().__init__(f"Stopped after step {step:,}; `hearth train resume {run.name}` goes on from there.")


class SearchDiffers(TrainingError):
    """A folder with a search of another recipe, or of other ranges."""

    code = "search_differs"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(
            f"The folder {folder} holds a search of another recipe or of other ranges: put those back, remove the "
            "folder, or name another with --folder."
        )


class SearchStopped(TrainingError):
    """A search that was asked to stop, and carries on with the same command."""

    code = "search_stopped"

    def __init__(self, folder: Path, trials: int) -> None:
        self.folder, self.trials = folder, trials
        super().__init__(
            f"Stopped within trial {trials + 1} of the search in {folder}; the trials before it are kept, and the same "
            "command carries on."
        )


class NothingFound(TrainingError):
    """A search of which no trial came to its end."""

    code = "nothing_found"

    def __init__(self, folder: Path, trials: int) -> None:
        self.folder, self.trials = folder, trials
        super().__init__(
            f"None of the {trials} trials in {folder} came to its end: raise --trials, or narrow the ranges of "
            "[search] (search.sqlite there has what each one tried)."
        )


class GateClosed(TrainingError):
    """A trained model that is not better than what it should replace."""

    code = "gate_closed"

    def __init__(self, run: Path, reasons: Sequence[str]) -> None:
        self.run, self.reasons = run, tuple(reasons)
        super().__init__(f"The model of {run.name} is not published: {'; '.join(reasons)}.")


class MissingExtra(TrainingError):
    """A part that needs a package which is not installed."""

    code = "missing_extra"

    def __init__(self, what: str, extra: str) -> None:
        self.what, self.extra = what, extra
        super().__init__(f"{what} needs packages that are not installed: run `pip install 'hearth[{extra}]'`.")


class ProcessesDiffer(TrainingError):
    """Processes that train together read other rows."""

    code = "processes_differ"

    def __init__(self, processes: int) -> None:
        self.processes = processes
        super().__init__(
            f"The {processes} processes of this run made different plans from its data; see that all machines have the "
            "same files, the same data folder and the same versions."
        )


class OneProcess(TrainingError):
    """A task whose loss compares the rows of a batch, which several processes would divide."""

    code = "one_process"

    def __init__(self, task: str, processes: int) -> None:
        self.task, self.processes = task, processes
        super().__init__(
            f"{task} learns from comparing the rows of a batch with each other, which {processes} processes would "
            "divide; run it in one process."
        )


class ProcessLost(TrainingError):
    """Another process of the run ended in the middle of a step."""

    code = "process_lost"

    def __init__(self, run: Path, step: int) -> None:
        self.run, self.step = run, step
        super().__init__(
            f"Another process of this run ended after step {step}; `hearth train resume {run.name}`, started the same "
            "way, goes on from the newest checkpoint."
        )


class RunFailed(TrainingError):
    """A run in other processes ended early."""

    code = "run_failed"

    def __init__(self, run: Path, detail: str) -> None:
        self.run, self.detail = run, detail
        super().__init__(f"The run {run.name} ended early: {detail}")
