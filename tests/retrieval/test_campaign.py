"""The fault campaign: kills at any moment, a kill, a full disk and an I/O error at every file operation, power loss.

Afterwards nothing may be lost, doubled, orphaned or mismatched (K01, K02, K03). A part takes two minutes, the whole of
it up to twenty; each prints a report in JSON, and an upper bound for what a run without violations still allows. A kill
is no power loss, and power loss is simulated from the recorded operations.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.retrieval.campaign.faults import every_point
from tests.retrieval.campaign.judge import Judge
from tests.retrieval.campaign.power import rebuilt, recorded, words_until
from tests.retrieval.campaign.worker import killed_after, seconds_of_puts
from tests.strace import needs_strace


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder in memory, as the faults are in the operations and not in the disk."""
    usable = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="hearth-campaign-", dir=usable if usable.is_dir() else None) as folder:
        yield Path(folder)


def report(name: str, judge: Judge, cases: int, began: float, **more: object) -> None:
    """Print what was found; no violation in n cases still allows a rate of 3/n at 95 %."""
    violations = sum(judge.wrong.values())
    facts = {
        "campaign": name, "cases": cases, "violations": violations, "kinds": dict(judge.wrong),
        "upper_bound_95": round(3 / cases, 5) if cases and not violations else None,
        "seconds": round(time.monotonic() - began, 1), **more, "said": dict(sorted(judge.said.items())),
        "examples": judge.examples[:10],
    }  # fmt: skip
    print(json.dumps(facts))
    assert violations == 0, judge.examples[:10]


def kills(memory: Path, count: int, seed: int) -> None:
    began, judge, chance = time.monotonic(), Judge(), random.Random(seed)
    latest = max(0.15, 3 * seconds_of_puts(memory / "scratch", seed))  # a slow machine is given time to do something
    for number in range(count):
        judge.judge(memory / "library", killed_after(chance.uniform(0.005, latest), memory / "library", number))
    report("kill -9 at random moments", judge, count, began, seed=seed, latest_second=round(latest, 3))
    assert judge.said["done put"] > count // 10


def power_losses(memory: Path, count: int, seed: int) -> None:
    began, judge, chance = time.monotonic(), Judge(), random.Random(seed)
    source, events = recorded(memory)
    before = Judge()
    before.sure = before._held(source)
    for _ in range(count):
        moment = chance.randrange(len(events) + 1)
        rebuilt(source, memory / "state", str(memory / "library"), events, moment, chance)
        judge.sure = before.sure
        judge.judge(memory / "state", words_until(events, moment))
    report("simulated power loss", judge, count, began, seed=seed, operations=len(events))


@pytest.mark.faults
def test_k01_k14_a_hundred_and_fifty_kills(memory: Path) -> None:
    kills(memory, 150, seed=1)


@pytest.mark.faults
@needs_strace
@pytest.mark.timeout(300)
def test_k02_some_failing_operations() -> None:
    began, judge = time.monotonic(), Judge()
    points, of = every_point(judge, every=17, budget_seconds=60)
    report("a fault at every 17th operation", judge, sum(points.values()), began, points=points, operations=of)


@pytest.mark.faults
@needs_strace
def test_k03_some_power_losses(memory: Path) -> None:
    power_losses(memory, 150, seed=1)


@pytest.mark.campaign
@pytest.mark.timeout(1200)
def test_k01_k14_a_thousand_kills(memory: Path) -> None:
    kills(memory, 1000, seed=2)


@pytest.mark.campaign
@needs_strace
@pytest.mark.timeout(1800)
def test_k02_a_kill_a_full_disk_and_an_io_error_at_every_operation() -> None:
    began, judge = time.monotonic(), Judge()
    points, of = every_point(judge, every=1, budget_seconds=1500)
    report("a fault at every operation", judge, sum(points.values()), began, points=points, operations=of)


@pytest.mark.campaign
@needs_strace
@pytest.mark.timeout(1200)
def test_k03_two_thousand_power_losses(memory: Path) -> None:
    power_losses(memory, 2000, seed=2)
