"""Runs each role once on a small example: what it gave and how long it took, or why it cannot be tried."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from models.errors import ModelError
from models.roles import check_role
from models.serving import Roles, Serving

_PASSAGES = (
    "The lighthouse of Varn was built in 1847 by Ida Holm.",
    "Bread rises because yeast makes gas in the dough.",
    "The river floods the lower fields in spring.",
)
_TEXT = " ".join(_PASSAGES)
_LABELS = ("history", "cooking", "sport")
_TOOLS = {"translate": "Translate a text into another language.", "search": "Find passages in the documents."}
_TABLE = ({"town": "Varn", "people": "1200"}, {"town": "Oslo", "people": "700000"})
_SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class Trial:
    """One role tried: the model, what it gave in words, milliseconds of the second of two runs; or why it could not be.

    `load_ms` is the first run, which opens and loads the model.
    """

    role: str
    model: str
    ok: bool
    gave: str = ""
    milliseconds: float | None = None
    load_ms: float | None = None
    reason: str = ""
    mend: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The facts by name."""
        return asdict(self)


def try_all(house: Any) -> list[Trial]:
    """Every role, once, with the model that serves it now; those that nothing serves say why."""
    return [_try_serving(house, serving) for serving in Roles.of(house).all()]


def try_role(house: Any, role: str, name: str | None = None, text: str | None = None) -> Trial:
    """One role with the model that serves it, or with another one.

    Args:
        house: The opened home.
        role: The role.
        name: Another model than the one that serves.
        text: The example; None takes the built-in one.

    Raises:
        UnknownRole: there is no such role.
    """
    check_role(role)
    if name is None:
        serving = next(one for one in Roles.of(house).all() if one.role == role)
        return _try_serving(house, serving, text)
    return _try(house, role, name, name, text, None)


def role_for(name: str, house: Any) -> str:
    """The role that a named model is for: the registry's word, else what its config.json says.

    Raises:
        ModelNotFound, ModelNotLocal: no such model here.
    """
    from models.catalog import find
    from models.files import read_config
    from models.prepare import folder_of
    from models.tasks.roles import served_by

    version = Roles.of(house).registry.look_up(name)
    if version:
        return version.role
    entry = find(name, None, house.home)
    if entry.role or entry.kind in ("remote", "adapter"):
        return entry.role or "chat"
    serves = served_by(read_config(folder_of(entry, house.home)))
    return "translate" if serves == "translate or summarize" else serves


def _try_serving(house: Any, serving: Serving, text: str | None = None) -> Trial:
    if serving.origin == "rule" or serving.origin == "nothing":
        return Trial(serving.role, serving.model, False, reason=serving.reason, mend=serving.mend)
    return _try(house, serving.role, serving.name, serving.model, text, serving.mend)


def _try(house: Any, role: str, name: str | None, model: str, text: str | None, mend: str | None) -> Trial:
    run = _RUNS[role]
    try:
        started = time.perf_counter()
        run(house, name, text)
        loaded = time.perf_counter()
        gave = run(house, name, text)
        ended = time.perf_counter()
    except ModelError as error:
        return Trial(role, model, False, reason=str(error), mend=mend)
    shown = gave if len(gave) <= _SHOWN_CHARACTERS else f"{gave[: _SHOWN_CHARACTERS - 1]}…"
    return Trial(role, model, True, shown, _ms(loaded, ended), _ms(started, loaded), mend=mend)


def _ms(start: float, end: float) -> float:
    return round((end - start) * 1000, 1)


def _tasks(house: Any) -> Any:
    from models.tasks import Tasks

    return Tasks.of(house)


def _chat(house: Any, name: str | None, text: str | None) -> str:
    from models.chat import open_chat_model
    from models.prompts import answer_messages

    model = open_chat_model(name, home=house.home)
    asked = text or answer_messages("Who built the lighthouse of Varn?", [_TEXT])
    return str(model.invoke(asked, max_new_tokens=32).text).strip()


def _embed(house: Any, name: str | None, text: str | None) -> str:
    from models.embeddings import open_embeddings
    from models.tasks.similarity import Similarity

    embeddings = open_embeddings(name, home=house.home)
    asked = text or "Who built the lighthouse?"
    ranked = Similarity(embeddings).rank(asked, _PASSAGES)
    near = ", ".join(f"{item.score:.2f}" for item in ranked)
    return f"{len(embeddings.embed_query(asked))} numbers; nearness to three passages {near}; nearest: {ranked[0].text}"


def _rerank(house: Any, name: str | None, text: str | None) -> str:
    return "; ".join(
        f"{item.score:.2f} {item.text}"
        for item in _tasks(house).ranker(name).rank(text or "Who built the lighthouse?", _PASSAGES)
    )


def _labels(house: Any, name: str | None, text: str | None) -> str:
    found = _tasks(house).classifier(name)(text or "The river was lovely and the people were kind.")
    return f"{found.label} {found.score:.2f}"


def _route(house: Any, name: str | None, text: str | None) -> str:
    router = _tasks(house).router(name)
    if router is None:
        return "no model of its own: a rule chooses"
    found = router.route(text or "How do you say thank you in German?", _TOOLS)
    return ", ".join(f"{one.tool or 'no tool'} {one.probability:.2f}" for one in found)


def _support(house: Any, name: str | None, text: str | None) -> str:
    judge = _tasks(house).support(name)
    if judge is None:
        return "no model of its own: a rule decides"
    claim = text or "Ida Holm built the lighthouse of Varn in 1847."
    return f"{judge.judge([claim], [_PASSAGES[0]])[0]:.2f}: {claim}"


def _zero_shot(house: Any, name: str | None, text: str | None) -> str:
    found = _tasks(house).zero_shot(name).many([text or _PASSAGES[1]], _LABELS)[0]
    return f"{found.label} {found.score:.2f} of {', '.join(_LABELS)}"


def _translate(house: Any, name: str | None, text: str | None) -> str:
    return str(_tasks(house).translator(name)(text or "The river is wide.", to="de", source="en").translation)


def _summarize(house: Any, name: str | None, text: str | None) -> str:
    return str(_tasks(house).summarizer(name)(text or _TEXT, words=15).summary)


def _extract(house: Any, name: str | None, text: str | None) -> str:
    return str(_tasks(house).extractor(name)("Who built the lighthouse of Varn?", text or _TEXT).answer)


def _entities(house: Any, name: str | None, text: str | None) -> str:
    found = _tasks(house).entities(name)(text or _PASSAGES[0])
    return ", ".join(f"{item.text} ({item.label})" for item in found) or "none"


def _fill(house: Any, name: str | None, text: str | None) -> str:
    gaps: Sequence[Sequence[Any]] = _tasks(house).mask_filler(name)(text or "Paris is the capital of ___.", top_k=3)
    return "; ".join(", ".join(word.token for word in gap) for gap in gaps)


def _features(house: Any, name: str | None, text: str | None) -> str:
    found = _tasks(house).features(name)(text or _PASSAGES[0])
    return f"{found.vectors.shape[0]} tokens of {found.vectors.shape[1]} numbers"


def _table(house: Any, name: str | None, text: str | None) -> str:
    return str(_tasks(house).table_answerer(name)(text or "How many people live in Varn?", _TABLE).answer)


def _vision(house: Any, name: str | None, text: str | None) -> str:
    found = _pipeline(house, "image-text-to-text", name)(_picture(), text or "What is in the picture?")
    return str(found["answer"])


def _speech(house: Any, name: str | None, text: str | None) -> str:
    return str(_pipeline(house, "automatic-speech-recognition", name)(_tone())["text"]) or "(a tone, no words)"


def _pipeline(house: Any, task: str, name: str | None) -> Any:
    from models.pipelines.task import PipelineTask

    assert name is not None  # roles without a model are not run
    return PipelineTask.open(task, name, house.home)


def _picture() -> bytes:
    """A red circle on white, as a PNG of 128 pixels a side."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (128, 128), "white")
    ImageDraw.Draw(image).ellipse((32, 32, 96, 96), fill="red")
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _tone() -> bytes:
    """A second of 440 Hz, as a WAV of 16,000 samples."""
    import array
    import math
    import wave

    samples = array.array("h", (round(8000 * math.sin(2 * math.pi * 440 * n / 16000)) for n in range(16000)))
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, 16000, len(samples), "NONE", "not compressed"))
        file.writeframes(samples.tobytes())
    return stream.getvalue()


_RUNS: Mapping[str, Callable[[Any, str | None, str | None], str]] = {
    "chat": _chat,
    "embed": _embed,
    "rerank": _rerank,
    "classify": _labels,
    "zero-shot": _zero_shot,
    "translate": _translate,
    "summarize": _summarize,
    "extract": _extract,
    "entities": _entities,
    "support": _support,
    "route": _route,
    "vision": _vision,
    "speech": _speech,
    "fill-mask": _fill,
    "features": _features,
    "table-answer": _table,
}
