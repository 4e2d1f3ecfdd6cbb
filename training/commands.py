"""The training verbs of the command line: check, run, search, teach, ask, resume, evaluate, publish, list.

Handlers give JSON-able values and import what they need when they run; progress goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from training.team import Team


def add_verbs(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """Registers the room's verbs."""
    train = verbs.add_parser("train", help="train a model from a recipe, judge it, publish it")
    actions = train.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, handler, render, words in (
        ("check", _check, _render_check, "what a recipe would do; trains nothing"),
        ("run", _run, _render_report, "train what a recipe says and judge it"),
        ("search", _search, _render_search, "try values of a recipe's [search] table on its validation part"),
        ("teach", _teach, _render_taught, "write a larger chat model's answers to a chat recipe's prompts"),
    ):
        verb = actions.add_parser(name, parents=[common], help=words)
        verb.add_argument("recipe", metavar="RECIPE", help="a .toml file, or the name of a shipped recipe")
        verb.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help="change a value, such as training.epochs=1"
        )
        verb.add_argument("--small", action="store_true", help="the recipe's small form, to see it work")
        verb.set_defaults(handler=handler, render=render)
        if name == "search":
            verb.add_argument("--trials", type=_count, required=True, metavar="N", help="how many trials in all")
            verb.add_argument("--folder", metavar="DIR", help="the search's folder (else one under the data folder)")
        if name == "teach":
            verb.add_argument("--teacher", required=True, metavar="MODEL", help="the chat model that answers")
            verb.add_argument("--output", required=True, metavar="F.jsonl", help="where its answers go, to train on")
        if name == "run":
            verb.add_argument("--folder", metavar="DIR", help="the run folder (else one under the data folder)")
            verb.add_argument(
                "--ray", metavar="N", type=_count, help="train in N worker processes of Ray Train on this machine"
            )
            verb.add_argument("--publish", action="store_true", help="publish the model if the gate is open")
    ask = actions.add_parser("ask", parents=[common], help="write questions about texts, to train readers on")
    ask.add_argument("texts", nargs="+", metavar="FILE", help="rows with a text or a context, such as articles.jsonl")
    ask.add_argument("--asker", required=True, metavar="MODEL", help="a chat model that learned to ask (recipe asking)")
    ask.add_argument("--output", required=True, metavar="F.jsonl", help="where they go; goes on where it ended")
    ask.add_argument("--each", type=_count, default=2, metavar="N", help="questions drawn for a paragraph (2)")
    ask.add_argument("--reader", metavar="MODEL", help="leave out what this model finds another answer to")
    ask.add_argument("--most", type=_count, metavar="N", help="end with so many questions")
    ask.set_defaults(handler=_ask, render=_render_asked)
    resume = actions.add_parser("resume", parents=[common], help="go on with an interrupted run, exactly")
    _add_run(resume)
    resume.add_argument("--allow-changed", action="store_true", help="go on although data, code or settings changed")
    resume.set_defaults(handler=_resume, render=_render_report)
    evaluate = actions.add_parser("evaluate", parents=[common], help="judge a run's model, or a registry entry, again")
    evaluate.add_argument("run", metavar="RUN", help="a run's name or folder, `last`, a registry entry, or a recipe")
    evaluate.add_argument("--model", metavar="NAME", help="judge this model or folder on the same rows instead")
    evaluate.set_defaults(handler=_evaluate, render=_render_judgement)
    publish = actions.add_parser("publish", parents=[common], help="add a run's model to the registry as a candidate")
    _add_run(publish)
    publish.add_argument("--name", help="the entry's name (else the recipe's)")
    publish.add_argument("--force", action="store_true", help="although the gate is closed; the card will say so")
    publish.set_defaults(handler=_publish, render=_render_published)
    listing = actions.add_parser("list", parents=[common], help="recipes and runs")
    listing.set_defaults(handler=_list, render=_render_list)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's name or folder, or `last`")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 on")
    return int(text)


def _recipe(options: argparse.Namespace) -> Any:
    from training.recipe import load_recipe

    return load_recipe(options.recipe, dict(map(_assignment, options.set)), small=options.small)


def _assignment(text: str) -> tuple[str, Any]:
    """`key=value` with the value read as TOML would, or as plain text where it is no TOML value."""
    import tomllib

    key, _, value = text.partition("=")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value


def _check(options: argparse.Namespace, house: Any) -> dict[str, Any]:
    from training.preview import check

    return check(_recipe(options), home=house.home)


def _run(options: argparse.Namespace, house: Any) -> dict[str, Any]:
    from training.publish import publish
    from training.run import run
    from training.run_folder import new_run_folder

    recipe = _recipe(options)
    folder = Path(options.folder).absolute() if options.folder else new_run_folder(recipe, house.home)
    if options.ray is not None:
        from training.over_ray import run_on_ray

        report = run_on_ray(recipe, options.ray, home=house.home, folder=folder, show=_progress(options))
    else:
        with _leading(house.home) as team:
            report = run(recipe, home=house.home, folder=folder, show=_progress(options), team=team)
    if options.publish and report["gate"]["open"]:
        report["published"] = publish(folder, home=house.home)
    return report | {"folder": str(folder)}


@contextmanager
def _leading(home: Path) -> Iterator[Team]:
    """The processes that train together, in the main one; another one helps it here and then ends without a word."""
    from training.team import joined

    team = joined()
    if not team.is_main:
        from training.follower import follow

        follow(team, home=home)
        team.leave()
        raise SystemExit(0)
    with team.leading():
        yield team
    team.leave()


def _search(options: argparse.Namespace, house: Any) -> dict[str, Any]:
    from training.search import search

    return search(
        options.recipe,
        options.trials,
        home=house.home,
        folder=Path(options.folder).absolute() if options.folder else None,
        changes=dict(map(_assignment, options.set)),
        small=options.small,
        show=_progress(options),
    )


def _render_search(value: dict[str, Any]) -> str:
    best, states = value["best"], [trial["state"] for trial in value["trials"]]
    values = ", ".join(
        f"{key} = {one:.4g}" if isinstance(one, float) else f"{key} = {one}" for key, one in best["values"].items()
    )
    return (
        f"{value['metric']} {best['score']:.4f} on the validation part with {values} (trial {best['trial'] + 1} of "
        f"{len(states)}, {states.count('pruned')} given up early, {states.count('fail')} failed)\n"
        f"`hearth train run {value['recipe']}` trains and judges it"
    )


def _teach(options: argparse.Namespace, house: Any) -> dict[str, Any]:
    from training.teaching import teach

    target = Path(options.output).absolute()
    return teach(_recipe(options), options.teacher, target, home=house.home, show=_progress(options))


def _render_taught(value: dict[str, Any]) -> str:
    asked, rows, left_out = value["asked"], value["rows"], value["cut_off"]
    return f"{asked:,} of {rows:,} prompts answered now; {left_out:,} answers were too long and left out"


def _ask(options: argparse.Namespace, house: Any) -> dict[str, Any]:
    from training.questions import ask

    target = Path(options.output).absolute()
    return ask(
        options.texts,
        options.asker,
        target,
        home=house.home,
        each=options.each,
        reader=options.reader,
        most=options.most,
        show=_progress(options),
    )


def _render_asked(value: dict[str, Any]) -> str:
    return (
        f"{value['rows']:,} questions about {value['paragraphs']:,} paragraphs are in the file; of {value['asked']:,} "
        f"asked now {value['left_out']:,} repeated another or had not their answer in the paragraph and were left out"
    )


def _resume(options: argparse.Namespace, house: Any) -> dict[str, Any]:
    from training.run import resume
    from training.run_folder import find_run

    folder = find_run(options.run, house.home)
    changed, show = options.allow_changed, _progress(options)
    with _leading(house.home) as team:
        report = resume(folder, home=house.home, allow_changed=changed, show=show, team=team)
    return report | {"folder": str(folder)}


def _evaluate(options: argparse.Namespace, house: Any) -> dict[str, Any]:
    from training.judging import judge_again

    return judge_again(options.run, home=house.home, model=options.model)


def _publish(options: argparse.Namespace, house: Any) -> dict[str, Any]:
    from training.publish import publish
    from training.run_folder import find_run

    folder = find_run(options.run, house.home)
    return publish(folder, home=house.home, name=options.name, force=options.force)


def _list(options: argparse.Namespace, house: Any) -> dict[str, Any]:
    from training.recipe import SHIPPED
    from training.run_folder import run_folders

    runs = []
    for folder in run_folders(house.home):
        facts = _read(folder / "run.json")
        report = _read(folder / "report.json")
        model = report.get("model", {})
        runs.append(
            {
                "run": folder.name,
                "state": facts.get("state", "unknown"),
                "metric": model.get("metric"),
                "score": model.get("score"),
                "gate_open": report.get("gate", {}).get("open"),
            }
        )
    return {"recipes": sorted(path.stem for path in SHIPPED.glob("*.toml")), "runs": runs}


def _read(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value


def _progress(options: argparse.Namespace) -> Callable[[dict[str, Any]], None]:
    """Draws a run's lines on standard error: one line that moves on a terminal, every fiftieth step elsewhere."""
    live = sys.stderr.isatty()

    def show(line: dict[str, Any]) -> None:
        if line["event"] == "step":
            if live or line["step"] % 50 == 0 or line["step"] == line["steps"]:
                print(
                    f"{chr(13) if live else ''}{_step_words(line)}",
                    end="" if live else "\n",
                    file=sys.stderr,
                    flush=True,
                )
            return
        if live:
            print(file=sys.stderr)
        print(_event_words(line), file=sys.stderr, flush=True)

    return show


def _step_words(line: dict[str, Any]) -> str:
    minutes, seconds = divmod(int(line["seconds_left"]), 60)
    return (
        f"step {line['step']:,} of {line['steps']:,}, epoch {line['epoch']:.2f}, loss {line['loss']:.4f}, "
        f"{line['tokens_per_second']:,.0f} tokens/s, {minutes}:{seconds:02} left  "
    )


def _event_words(line: dict[str, Any]) -> str:
    if line["event"] == "evaluation":
        return f"  judged after step {line['step']:,}: {line['score']:.4f}{' (best)' if line['best'] else ''}"
    if line["event"] == "taught":
        return f"  {line['row']:,} of {line['rows']:,} prompts answered"
    if line["event"] == "asked":
        return f"  {line['paragraph']:,} of {line['paragraphs']:,} paragraphs asked about, {line['rows']:,} questions"
    if line["event"] == "averaged":
        return f"  mean of the last epochs: {line['score']:.4f}{' (taken)' if line['taken'] else ''}"
    if line["event"] == "began":
        return f"{line['rows']:,} rows, {line['steps']:,} steps, {line['learns']:,} of {line['of']:,} weights learn"
    return str(line.get("message", line))


def _render_check(value: dict[str, Any]) -> str:
    rows, tokens, parameters = value["data"]["rows"], value["tokens"], value["parameters"]
    labels = list(value["labels"].items())
    lines = [
        f"rows: {rows['train']:,} to learn from, {rows['validation']:,} to choose by, {rows['test']:,} to judge by",
        *(f"left out: {count:,} ({reason})" for reason, count in value["data"]["dropped"].items()),
        *(f"{kind}: {shown}" for kind, own in value["data"]["examples"].items() for shown in own[:2]),
        f"labels: {', '.join(f'{name} {count:,}' for name, count in labels[:12])}{' ...' if labels[12:] else ''}"
        if labels
        else "",
        f"tokens a row: {', '.join(f'{name} {count:,}' for name, count in tokens.items())}; "
        f"{value['longer_than_window']:,} rows are longer than {value['window_tokens']:,}",
        *(f"example {number}: {text}" for number, text in enumerate(value["examples"], start=1)),
        f"weights: {parameters['learning']:,} of {parameters['all']:,} learn",
        f"{value['steps']:,} steps, {value['train_tokens']:,} tokens; about {value['estimated_minutes']:.1f} minutes "
        f"and {value['estimated_memory_bytes'] / 1024**3:.1f} GiB on this machine",
    ]
    return "\n".join(line for line in lines if line)


def _render_report(value: dict[str, Any]) -> str:
    model, old, gate = value["model"], value["baseline"], value["gate"]
    verdict = "open" if gate["open"] else f"closed: {'; '.join(gate['reasons'])}"
    published = value.get("published")
    lines = [
        f"{model['metric']} {model['score']:.4f} (95 % {model['interval'][0]:.4f} to {model['interval'][1]:.4f}), "
        f"{old['by']} {old['score']:.4f}; the gate is {verdict}",
        f"report: {value['folder']}/report.html",
        f"published as {published['name']}; `hearth models promote {published['name']}` lets it serve"
        if published
        else f"`hearth train publish {value['run']}` adds it to the registry",
    ]
    return "\n".join(lines)


def _render_judgement(value: dict[str, Any]) -> str:
    card, simple = value["card"] or {}, value["simple"]["metrics"]
    lines = [f"{'':<36}{'this model':>12}{'its card' if card else '':>12}{'simple rule':>13}"]
    for name, score in value["metrics"].items():
        said = f"{card[name]:.4f}" if name in card else ""
        rule = f"{simple[name]:.4f}" if name in simple else ""
        lines.append(f"{name:<36}{score:>12.4f}{said:>12}{rule:>13}")
    low, high = value["interval"]
    lines += [
        f"{value['rows']:,} rows of the {value['judged_on']} part; {value['metric']} {value['score']:.4f}, "
        f"95 % interval {low:.4f} to {high:.4f}.",
        f"Simple rule: {value['simple']['by']}.",
    ]
    if value["metric"] in card:
        inside = "inside" if low <= card[value["metric"]] <= high else "OUTSIDE"
        data = {True: "the same data", False: "CHANGED data", None: "data of an unknown state"}[value["same_data"]]
        lines.append(f"The card's {value['metric']} lies {inside} the interval, on {data}.")
    return "\n".join(lines)


def _render_published(value: dict[str, Any]) -> str:
    return f"{value['name']} is registered; `hearth models promote {value['name']}` lets it serve {value['role']}."


def _render_list(value: dict[str, Any]) -> str:
    rows: Sequence[str] = [
        f"{run['run']:<44}{run['state']:<13}" + (f"{run['metric']} {run['score']:.4f}" if run["metric"] else "")
        for run in value["runs"]
    ]
    return "\n".join([f"recipes: {', '.join(value['recipes'])}", *rows])
