"""A run's model into the registry: the gate decides, the card is written, and it becomes `name@candidate`.

Promoting is another word and another person's choice: `hearth models promote`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.errors import GateClosed, RecipeNotFound, RunNotFound
from training.recipe import Recipe, load_recipe
from training.run_folder import BASE, recipe_of, write
from training.scratch import FROM_SCRATCH
from training.tasks import open_task

if TYPE_CHECKING:
    from models.registry_facts import Base

PUBLISHED = "published.json"  # in the run folder: the entry that was made of it
_SHOWN = 16  # so many digits of a fingerprint tell data apart

_HUB_LICENCES = frozenset(
    "apache-2.0 mit bsd-2-clause bsd-3-clause cc0-1.0 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-4.0 "
    "cc-by-nc-sa-4.0 gpl-3.0 lgpl-3.0 agpl-3.0 mpl-2.0 odc-by pddl unlicense".split()
)

# a role -> what the hub calls its task
_HUB_TASKS = {
    "classify": "text-classification",
    "zero-shot": "zero-shot-classification",
    "entities": "token-classification",
    "extract": "question-answering",
    "translate": "translation",
    "summarize": "summarization",
    "chat": "text-generation",
    "embed": "sentence-similarity",
    "rerank": "text-ranking",
    "fill-mask": "fill-mask",
}


def publish(folder: Path, *, home: Path, name: str | None = None, force: bool = False) -> dict[str, Any]:
    """Adds a finished run's model to the registry as the next version of its name.

    Args:
        folder: The run folder.
        home: The data folder.
        name: Another name than the recipe's.
        force: Publish although the gate is closed; the card says so.

    Raises:
        RunNotFound: the run has no report, so it has not finished. GateClosed: the gate's reasons.
        ModelError: the registry refuses the files, or the base is not what it was when the training began.
    """
    from models.registry import Registry

    recipe = recipe_of(folder)
    report = read_report(folder)
    if not report["gate"]["open"] and not force:
        raise GateClosed(folder, report["gate"]["reasons"])
    task = open_task(recipe)
    adapter = (folder / "model" / "adapter_config.json").is_file()
    wanted = name or recipe.publish.name or _slug(recipe.name)
    version = Registry(home).add(
        folder / "model",
        wanted,
        recipe.publish.role or task.role,
        base=base_of(folder, recipe, home) if adapter else None,
        metrics={key: float(value) for key, value in report["model"]["metrics"].items() if _is_number(value)},
        licence=recipe.publish.licence,
        recipe=recipe.name if _makes_shipped_rows(recipe) else None,
        data=_judged(report),
        card=card(recipe, report, wanted, forced=force and not report["gate"]["open"]),
    )
    published = {"name": version.label, "role": version.role, "folder": str(version.folder), "run": folder.name}
    write(folder / PUBLISHED, published)
    return published


def _judged(report: dict[str, Any]) -> str:
    """What tells the rows that the run was judged on from others; of all rows where the run is of an older Hearth."""
    data = report["data"]
    return str(data.get("judged") or data["fingerprint"])[:_SHOWN]


def _makes_shipped_rows(recipe: Recipe) -> bool:
    """Whether the recipe of Hearth's own with this name makes the same rows to judge on and judges them alike."""
    try:
        own = load_recipe(recipe.name).resolved()
    except RecipeNotFound:
        return False
    ran, parts = recipe.resolved(), ("task", "seed", "data", "options", "evaluation")
    own["data"]["further"] = ran["data"]["further"] = ()
    return all(json.dumps(own[part]) == json.dumps(ran[part]) for part in parts)


def base_of(folder: Path, recipe: Recipe, home: Path) -> Base | None:
    """The base as it was when the run began; as it is now where an older run has not kept it."""
    from models.registry_facts import Base

    try:
        return Base(**json.loads((folder / BASE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Base.of(recipe.base, home) if recipe.base else None


def read_report(folder: Path) -> dict[str, Any]:
    """The report of a finished run.

    Raises:
        RunNotFound: it has none.
    """
    try:
        value: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunNotFound(folder.name, "has no report, so it has not finished") from error
    return value


def card(recipe: Recipe, report: dict[str, Any], name: str, *, forced: bool) -> str:
    """The model card in Markdown, with the hub's own header fields."""
    model, old, data, training = report["model"], report["baseline"], report["data"], report["training"]
    low, high = model["interval"]
    base = _without_place(report["base"]) if report["base"] != FROM_SCRATCH else None
    tag = _HUB_TASKS.get(recipe.publish.role or open_task(recipe).role)
    header = [
        "---",
        *_licence_header(recipe.publish.licence),
        f"base_model: {base}" if base else None,
        f"pipeline_tag: {tag}" if tag else None,
        "---",
    ]
    scores = "\n".join(
        f"| {key} | {value:.4f} | {old['metrics'].get(key, float('nan')):.4f} |"
        for key, value in model["metrics"].items()
        if _is_number(value)
    )
    gate = "open" if report["gate"]["open"] else "closed: " + "; ".join(report["gate"]["reasons"])
    return "\n".join(
        line
        for line in (
            *header,
            f"# {name}",
            "",
            recipe.publish.description or f"Trained by Hearth for {recipe.task} from the recipe `{recipe.name}`.",
            "",
            "## Scores",
            "",
            f"On {model['rows']:,} rows of the {report['judged_on']} part, through the class that serves it; "
            f"{model['metric']} {model['score']:.4f}, 95 % interval {low:.4f} to {high:.4f}.",
            "",
            f"| metric | this model | {old['by']} |",
            "|---|---|---|",
            scores,
            "",
            f"Gate: {gate}." + (" Published all the same, by hand." if forced else ""),
            "",
            "## Data",
            "",
            f"{', '.join(Path(one).name for one in recipe.data.train + recipe.data.further)}"
            + (f" ({recipe.data.hub} on the hub)" if recipe.data.hub else "")
            + f"; licence: {data['licence'] or 'not stated'}; fingerprint of the rows judged on: {_judged(report)}.",
            f"{data['rows']['train']:,} rows to learn from, {data['leaks'].get('test', 0):,} rows of the test part "
            "stand among them.",
            "",
            "## Training",
            "",
            f"Base: {base or 'none, from scratch'}; method: {recipe.method.kind}; "
            f"{report['parameters']['learning']:,} of {report['parameters']['all']:,} weights learned; "
            f"{training['steps']:,} steps, {training['tokens']:,} tokens; seed {recipe.seed}.",
            "",
            "## Limits",
            "",
            "The scores hold for texts like those it was judged on; on others it may be worse and will not say so.",
        )
        if line is not None
    )


def _without_place(base: str | None) -> str | None:
    """A base's name, without the folders of this machine that it lies in."""
    return Path(base).name if base and Path(base).is_absolute() else base


def _licence_header(licence: str | None) -> list[str]:
    """The header's lines for a licence: the hub knows some by a name of its own and takes others as `other`."""
    known = (licence or "").lower().replace(" ", "-")
    if known in _HUB_LICENCES:
        return [f"license: {known}"]
    return ["license: other", *([f"license_name: {_slug(known)}"] if licence else [])]


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.") or "model"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
