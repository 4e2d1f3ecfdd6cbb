"""What every model that comes with Hearth takes in memory together, each used once, in one process.

Run `python -m tests.benchmarks.bench_memory --home DIR`, best after `hearth models convert`. On Linux the resident
pages are told apart: `files` are mapped from disk (libraries, weights) and can be given back at any time.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from agent.assembly import House
from agent.settings import load_settings

_PASSAGE = "Barley was first grown in the Fertile Crescent. The harvest of 2023 came to 145 million tonnes. " * 4


def resident_mib() -> tuple[int, int]:
    """All resident pages of this process, and those of them that are mapped from files, in MiB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    kib = {key: int(lines[key].split()[0]) for key in ("VmRSS", "RssFile")}
    return kib["VmRSS"] // 1024, kib["RssFile"] // 1024


def uses(house: House) -> dict[str, Callable[[], object]]:
    """One use of each model, in the order in which a chat would come to them."""
    tasks = house.tasks()
    tools = {"search": "Find passages in the documents.", "translate": "Translate a text."}
    reader, reranker, router, judge = tasks.reader(), tasks.reranker(), tasks.router(), tasks.support()
    assert reader is not None
    assert reranker is not None
    assert router is not None
    assert judge is not None
    shipped = [version for version in house.roles().registry.versions() if version.shipped]
    rest: dict[str, Callable[[], object]] = {}
    for version in shipped:
        if version.role == "classify":
            rest[version.label] = lambda name=version.label: tasks.classifier(name)("Play some jazz.")  # type: ignore[misc]
        if version.role == "translate":
            rest[version.label] = lambda name=version.label: tasks.translator(name)("Two dogs run.", to="de")  # type: ignore[misc]
    return {
        "sentence encoder": lambda: house.embeddings().embed_query("barley"),
        "chat model, in talk": lambda: house.talker().invoke("Hello."),
        "chat model, over a passage": lambda: house.assistant().ask("hello"),
        "router": lambda: router.route("Translate hello.", tools),
        "reranker": lambda: reranker.rerank("barley", [_PASSAGE] * 20),
        "reader": lambda: reader("How much was harvested?", _PASSAGE),
        "judge": lambda: judge.judge(["The harvest of 2023 came to 146 million tonnes."], [_PASSAGE]),
        **rest,
    }


def main() -> None:
    """Use one after the other and print what is resident."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="a data home with prepared models")
    options = parser.parse_args()
    print(f"| | resident, MiB | of them files |\n|---|---|---|\n| {'before':<28} | %5d | %5d |" % resident_mib())
    with House(load_settings({"home": options.home and str(options.home)})) as house:
        for name, use in uses(house).items():
            use()
            print(f"| {name:<28} | %5d | %5d |" % resident_mib(), flush=True)


if __name__ == "__main__":
    main()
