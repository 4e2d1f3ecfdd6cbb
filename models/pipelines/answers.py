"""The tasks that answer in words: about pictures, pages, recordings and mixtures, and decisions with probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.pipelines.errors import BadTaskOption
from models.pipelines.results import Answer, PageWords, ScoredLabel
from models.pipelines.vision import scored

if TYPE_CHECKING:
    from models.pipelines.options import Choice, PageAnswer, Words
    from models.pipelines.writing import Writer

DESCRIBE = "Describe this picture."


def about_image(pipe: Any, given: dict[str, Any], options: Words, writer: Writer) -> Answer:
    """An answer about a picture; without a question a description, which captioning models give unasked."""
    asked = {"generate_kwargs": {"max_new_tokens": options.max_new_tokens, "do_sample": False}}
    if getattr(pipe.processor, "chat_template", None) is None:
        text = harmless(given["text"] or "", pipe.processor.tokenizer)
        return _answer(pipe(images=given["image"], text=text, return_full_text=False, **asked))
    parts = [{"type": "image", "image": given["image"]}]
    return _answer(pipe(text=_chat(pipe, parts, given["text"] or DESCRIBE), return_full_text=False, **asked))


def about_media(pipe: Any, given: dict[str, Any], options: Words, writer: Writer) -> Answer:
    """An answer about a picture, a recording, both or neither."""
    asked = {"generate_kwargs": {"max_new_tokens": options.max_new_tokens, "do_sample": False}}
    if getattr(pipe.processor, "chat_template", None) is None:
        text = harmless(given["text"], pipe.processor.tokenizer)
        media = {"images": given["image"], "audio": given["audio"]}
        present = {name: value for name, value in media.items() if value is not None}
        return _answer(pipe(text=text, return_full_text=False, **present, **asked))
    parts = [{"type": kind, kind: given[kind]} for kind in ("image", "audio") if given[kind] is not None]
    return _answer(pipe(text=_chat(pipe, parts, given["text"]), return_full_text=False, **asked))


def on_page(pipe: Any, given: dict[str, Any], options: PageAnswer, writer: Writer) -> list[PageWords]:
    """Answers from a page's picture, surest first.

    Raises:
        BadTaskOption: a model that cannot read by itself was given no words.
    """
    picture, asked = given["image"], {}
    reads = pipe.model.config.model_type == "vision-encoder-decoder"
    if options.words is not None:
        scale = (1000 / picture.width, 1000 / picture.height) * 2
        asked["word_boxes"] = [
            (word, [min(1000, max(0, round(side * by))) for side, by in zip(box, scale, strict=True)])
            for word, box in options.words
        ]
    elif not reads:
        reason = "this model does not read pictures by itself, so it needs the page's words"
        raise BadTaskOption("document-question-answering", reason, ["words"])
    found = pipe(image=picture, question=given["text"], top_k=options.top_k, **asked)
    return [
        PageWords(
            answer=one["answer"] or "",
            score=one.get("score"),
            first_word=one.get("start"),
            last_word=one.get("end"),
        )
        for one in found
    ]


def decide(pipe: Any, given: dict[str, Any], options: Choice, writer: Writer) -> list[ScoredLabel]:
    """The options of a question with their probabilities, or those of yes and no."""
    question: dict[str, Any] = {"type": "noul", "instructions": given["question"]}
    if options.labels:
        named = {label: label for label in options.labels}
        question = {"type": "choice", "instructions": given["question"], "criteria": named}
    answer = pipe({"state": given["text"], "questions": {"asked": question}})["asked"]
    shares = answer.get("probabilities") or {"yes": answer["noul"], "no": 1 - answer["noul"]}
    return scored([{"label": name, "score": share} for name, share in shares.items()])


def harmless(text: str, tokenizer: Any) -> str:
    """The text with its look-alikes of special tokens broken by a space, so that they stay text."""
    for token in sorted(tokenizer.added_tokens_decoder.values(), key=lambda token: -len(token.content)):
        if token.special and len(token.content) > 1:
            text = text.replace(token.content, f"{token.content[0]} {token.content[1:]}")
    return text


def _chat(pipe: Any, parts: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    words = {"type": "text", "text": harmless(text, pipe.processor.tokenizer)}
    return [{"role": "user", "content": [*parts, words]}]


def _answer(found: list[dict[str, Any]]) -> Answer:
    return Answer(answer=str(found[0]["generated_text"]).strip())
