"""What a tuned chat model must not forget: 200 prompts, each with a check that a program can make of the answer.

Plain chat, sums, what is to be declined and what is not, and forms that are asked for. A model that was taught one job
is held against its base on them: what it loses here is what the job has cost.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from agent.errors import BadInput
from agent.evaluation import read_lines
from models.prompts import NOT_IN_PASSAGES, chat_messages

if TYPE_CHECKING:
    from agent.assembly import House

PROMPTS = Path(__file__).with_name("canary.jsonl")
_NEW_TOKENS = 96
_NUMBER = re.compile(r"-?\d+(?:,\d{3})*(?:\.\d+)?")
_FENCED = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
_EDGES = " \t\n.!\"'“”‘’*`"


@dataclass(frozen=True)
class Prompt:
    """A message after the turns `before`, as (message, answer), and what must hold of its answer, all of it."""

    id: str
    kind: str
    prompt: str
    check: Mapping[str, Any]
    before: tuple[tuple[str, str], ...] = ()

    def messages(self) -> list[BaseMessage]:
        """The prompt as the chat asks."""
        history = [one for asked, said in self.before for one in (HumanMessage(asked), AIMessage(said))]
        return chat_messages(self.prompt, history)


@dataclass(frozen=True)
class Checked:
    """A prompt with its answer, and the names of the checks that did not hold."""

    id: str
    kind: str
    prompt: str
    answer: str
    failed: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The row as it stands in the table by prompt."""
        return asdict(self)


def evaluate_canary(
    house: House, prompts: Sequence[Prompt], on_judged: Callable[[], object] = lambda: None
) -> tuple[dict[str, Any], list[Checked]]:
    """`{passed, <each kind>, n}` with the shares of prompts whose checks all held, and a row a prompt.

    Asked is who replies where no document is asked.

    Raises:
        BadInput: there are no prompts.
    """
    if not prompts:
        raise BadInput("The prompts file has no rows; expected lines of {id, kind, prompt, check}.")
    model, rows = house.talker() or house.chat_model(), []
    for prompt in prompts:
        said = str(model.invoke(prompt.messages(), max_new_tokens=_NEW_TOKENS).content).strip()
        rows.append(Checked(prompt.id, prompt.kind, prompt.prompt, said, failed_checks(said, prompt.check)))
        on_judged()
    kinds = {
        kind: _share([row for row in rows if row.kind == kind]) for kind in dict.fromkeys(row.kind for row in rows)
    }
    return {"passed": _share(rows), **kinds, "n": len(rows)}, rows


def read_prompts(path: Path = PROMPTS, limit: int | None = None) -> list[Prompt]:
    """The rows of a prompts file.

    Raises:
        BadInput: a row lacks something or has a check that nobody knows, with its line.
    """
    return list(_rows(path))[:limit]


def _rows(path: Path) -> Iterator[Prompt]:
    for number, row in read_lines(path):
        check = row.get("check")
        if not isinstance(row.get("prompt"), str) or not isinstance(check, dict) or not check:
            raise BadInput(f"{path.name}, line {number} has the columns {sorted(row)}; expected prompt and check.")
        if unknown := sorted(set(check) - set(_CHECKS)):
            raise BadInput(f"{path.name}, line {number} has the check {unknown[0]}; known are {', '.join(_CHECKS)}.")
        before = tuple((str(asked), str(said)) for asked, said in row.get("before") or ())
        yield Prompt(str(row.get("id", number)), str(row.get("kind", "chat")), row["prompt"], check, before)


def failed_checks(answer: str, check: Mapping[str, Any]) -> list[str]:
    """The names of the checks that do not hold; an empty answer, or that documents hold none, fails them all."""
    if not answer or NOT_IN_PASSAGES.rstrip(".").lower() in answer.lower():
        return list(check)
    plain = answer.replace("’", "'")
    return [name for name, wanted in check.items() if not _CHECKS[name](plain, wanted)]


def _says(answer: str, words: str) -> bool:
    """Whether words stand in an answer as such, or at the beginning of a word where they end with an asterisk."""
    ends = "" if words.endswith("*") and not words.endswith("**") else r"(?!\w)"
    return bool(re.search(rf"(?<!\w){re.escape(words[: None if ends else -1])}{ends}", answer, re.IGNORECASE))


def _last_number(answer: str) -> float | None:
    found = _NUMBER.findall(answer)
    return float(found[-1].replace(",", "")) if found else None


def _holds(answer: str, wanted: Mapping[str, Any]) -> bool:
    """Whether the answer is the wanted JSON object, in a fence or not, and nothing else."""
    fenced = _FENCED.fullmatch(answer.strip())
    try:
        return bool(json.loads(fenced.group(1) if fenced else answer) == wanted)
    except ValueError:
        return False


def _between(count: int, bounds: Sequence[int]) -> bool:
    return bounds[0] <= count <= bounds[1]


def _share(rows: Sequence[Checked]) -> float:
    return round(sum(not row.failed for row in rows) / len(rows), 4)


_CHECKS: dict[str, Callable[[str, Any], bool]] = {
    "any": lambda answer, wanted: any(_says(answer, one) for one in wanted),
    "none": lambda answer, wanted: not any(_says(answer, one) for one in wanted),
    "one_of": lambda answer, wanted: answer.strip(_EDGES).lower() in [one.lower() for one in wanted],
    "case": lambda answer, wanted: any(re.search(rf"\b{re.escape(one)}\b", answer) for one in wanted),
    "matches": lambda answer, wanted: bool(re.search(wanted, answer, re.IGNORECASE | re.MULTILINE | re.DOTALL)),
    "number": lambda answer, wanted: _last_number(answer) == wanted,
    "words": lambda answer, wanted: _between(len(answer.split()), wanted),
    "lines": lambda answer, wanted: _between(sum(bool(line.strip()) for line in answer.splitlines()), wanted),
    "json": _holds,
}
"""What can be asked of an answer, by its name in the file: words of which any or none may stand in it, what all of it
is, words in their own letters, a pattern, its last number, how many words or lines it has, a JSON object."""
