"""Chat models that learn to answer: the text they learn from is the text they are served, and only answers count."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from models.chat import open_chat_model
from models.prompts import NOT_IN_PASSAGES, answer_messages, call_messages, chat_messages, render, render_answer
from models.tool_calls import openai_tool
from tests.models.conftest import chat_tokenizer, save_tiny_chat
from tests.training.tiny import tiny_recipe
from training.data import load_data
from training.errors import DataError, TooLong
from training.features import make_features
from training.layouts import conversation_of, judged_of, preference_of
from training.run import run
from training.tasks import open_task
from training.tasks.base import IGNORED
from training.tasks.chat import Chat, marked

ALPACA = {"instruction": "Name a colour.", "input": "Not red.", "output": "Blue"}
SHAREGPT = {
    "conversations": [
        {"from": "human", "value": "Hi"},
        {"from": "gpt", "value": "Hello"},
        {"from": "human", "value": "Bye"},
        {"from": "gpt", "value": "See you"},
    ]
}


ANSWERED = {"role": "assistant", "content": "b"}
SHAREGPT_C = {"from": "gpt", "value": "c"}


def chat_task(folder: Path, **options: Any) -> Chat:
    """The task with the tiny chat tokenizer, as the run would attach it."""
    task = open_task(tiny_recipe(folder, Path("base"), [ALPACA], {"kind": "chat", **options}))
    assert isinstance(task, Chat)
    task.attach(chat_tokenizer(), 512)
    return task


def row_of(values: dict[str, Any]) -> dict[str, Any]:
    return conversation_of(values)


@pytest.mark.parametrize(
    "values",
    [ALPACA, SHAREGPT, {"question": "Who?", "passages": ["Ann did.", "Bob slept."], "answers": ["Ann"]}],
    ids=["alpaca", "sharegpt", "grounded"],
)
def test_the_prompt_learned_is_the_prompt_that_is_served_token_by_token(
    values: dict[str, Any], tmp_path: Path, tiny_chat_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = chat_task(tmp_path)
    served = open_chat_model(str(tiny_chat_folder), home=tmp_path, engine="torch", max_new_tokens=1)
    task.attach(served._tokenizer(), 512)  # type: ignore[union-attr]
    shown: list[list[int]] = []

    def spy(loaded: Any, engine: Any, prompt: list[int], call: Any) -> Any:
        shown.append(prompt)
        raise KeyboardInterrupt

    monkeypatch.setattr("models.chat.Answer", spy)
    row = row_of(values)
    with pytest.raises(KeyboardInterrupt):
        served.invoke(task.messages(row))
    feature = task.feature(row)
    assert feature["input_ids"][: len(shown[0])] == shown[0]
    answer = task.tokenizer.encode(row["answer"], add_special_tokens=False)
    assert feature["input_ids"][len(shown[0]) :] == [*answer, task.tokenizer.eos_token_id]
    assert feature["learned"][len(shown[0]) :] == [1] * (len(answer) + 1)


def test_the_mask_on_screen_shows_answers_and_their_end_and_nothing_else(tmp_path: Path) -> None:
    task = chat_task(tmp_path, as_chat=False)
    shown = task.example(task.feature(row_of(SHAREGPT)))
    assert shown == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n⟦Hello<|im_end|>⟧\n<|im_start|>user\nBye<|im_end|>\n"
        "<|im_start|>assistant\n⟦See you<|im_end|>⟧"
    )
    last = chat_task(tmp_path, as_chat=False, all_turns=False)
    assert last.example(last.feature(row_of(SHAREGPT))).count("⟦") == 1


def test_a_conversation_without_a_system_message_is_asked_as_the_chat_asks(tmp_path: Path) -> None:
    task = chat_task(tmp_path)
    earlier = [HumanMessage("Hi"), AIMessage("Hello")]
    assert task.messages(row_of(SHAREGPT)) == chat_messages("Bye", earlier)
    own = row_of({"messages": [*({"role": "system", "content": "Rhyme."},), *_turns("a", "b")]})
    assert task.messages(own) == [SystemMessage("Rhyme."), HumanMessage("a")]


def test_text_that_names_special_tokens_is_learned_as_plain_text(tmp_path: Path) -> None:
    task = chat_task(tmp_path, as_chat=False)
    feature = task.feature(row_of({"prompt": "<|im_end|>", "completion": "say <|im_start|>"}))
    end, start = task.tokenizer.eos_token_id, task.tokenizer.bos_token_id
    assert [token for token in feature["input_ids"] if token in (end, start)] == [start, end, start, end]
    assert feature["input_ids"][-1] == end


def test_a_tool_call_is_rendered_as_the_template_says_and_ends() -> None:
    tokenizer = chat_tokenizer()
    call = AIMessage("", tool_calls=[{"name": "find", "args": {"q": "x"}, "id": "1"}])
    shown, written = render_answer(tokenizer, [HumanMessage("a"), call], model="tiny")
    assert shown == render(tokenizer, [HumanMessage("a")], model="tiny")
    assert tokenizer.decode(written) == (
        '<tool_call>\n{"name": "find", "arguments": {"q": "x"}}\n</tool_call><|im_end|>'
    )


AREA = {
    "id": "area",
    "question": [[{"role": "user", "content": "Area of a triangle, base 10, height 5?"}]],
    "function": [
        {"name": "volume", "description": "", "parameters": {"type": "dict", "properties": {}}},
        {
            "name": "area",
            "description": "Area of a triangle.",
            "parameters": {
                "type": "dict",
                "properties": {"base": {"type": "float"}, "at": {"type": "dict"}, "unit": {"type": "string"}},
                "required": ["base"],
            },
        },
    ],
    "ground_truth": [{"area": {"base": [10, 10.0], "at": [{"x": [5], "y": ["", 2]}], "unit": ["", "cm"]}}],
}


def test_a_call_is_learned_as_the_assistant_asks_for_it(tmp_path: Path) -> None:
    task = chat_task(tmp_path)
    task.attach(task.tokenizer, 4096)
    row = row_of(AREA)
    shown = task.example(task.feature(row))
    before, learned = shown.split("⟦")
    assert learned == (
        '<tool_call>\n{"name": "area", "arguments": {"base": 10, "at": {"x": 5}}}\n</tool_call><|im_end|>⟧'
    )
    messages = call_messages("Area of a triangle, base 10, height 5?")
    tool = openai_tool(AREA["function"][1])  # type: ignore[index]
    assert before == task.tokenizer.decode(render(task.tokenizer, messages, model="tiny", tools=[tool]))
    assert tool["function"]["parameters"]["properties"]["base"] == {"type": "number"}
    with pytest.raises(ValueError, match="none of the row's functions"):
        row_of({**AREA, "function": []})
    with pytest.raises(ValueError, match="no call to learn"):
        row_of({**AREA, "ground_truth": None})


def test_what_is_called_is_judged_in_the_form_that_was_learned(tmp_path: Path) -> None:
    folder = save_tiny_chat(tmp_path / "chat", context=2048)
    [said] = chat_task(tmp_path).predict(folder, tmp_path, [row_of(AREA)])
    called = json.loads(said["answer"])
    assert called["name"] == "area"
    assert isinstance(called["arguments"]["base"], (int, float))


def test_the_loss_counts_the_marked_tokens_and_no_others(tmp_path: Path, tiny_chat_folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    task = chat_task(tmp_path)
    model = AutoModelForCausalLM.from_pretrained(str(tiny_chat_folder), dtype=torch.float32).eval()
    features = [task.feature(row_of(ALPACA)), task.feature(row_of(SHAREGPT))]
    batch = task.collate(features, 0)
    assert task.items(batch) == sum(sum(feature["learned"]) for feature in features)
    assert (batch["labels"] != IGNORED).sum(1).tolist() == [sum(feature["learned"]) for feature in features]
    by_hand = 0.0
    with torch.no_grad():
        for feature in features:
            ids, learned = feature["input_ids"], feature["learned"]
            likelihoods = torch.log_softmax(model(torch.tensor([ids])).logits[0], -1)
            by_hand -= sum(float(likelihoods[at - 1, ids[at]]) for at in range(1, len(ids)) if learned[at])
        assert float(task.loss(model, batch)) == pytest.approx(by_hand, rel=1e-4)


def test_long_conversations_are_cut_at_the_end_and_left_out_where_nothing_is_left_t03_t04(tmp_path: Path) -> None:
    task = chat_task(tmp_path, as_chat=False)
    whole = task.feature(row_of(ALPACA))
    task.max_tokens = len(whole["input_ids"]) - 2
    part = task.feature(row_of(ALPACA))
    assert part["cut"]
    assert not part["empty"]
    assert part["input_ids"] == whole["input_ids"][:-2]
    task.max_tokens = whole["learned"].index(1)
    assert task.feature(row_of(ALPACA))["empty"]
    splits = load_data(task.recipe, task.columns, tmp_path / "read", task.layout)
    with pytest.raises(TooLong, match="leave nothing to learn"):
        make_features(task, splits.train, tmp_path / "features.arrow")


def _turns(asked: str, said: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (ALPACA, _turns("Name a colour.\n\nNot red.", "Blue")),
        ({"instruction": "c", "output": "d", "history": [["a", "b"]]}, _turns("a", "b") + _turns("c", "d")),
        ({"prompt": "a", "completion": "b"}, _turns("a", "b")),
        ({"prompt": _turns("a", "b")[:1], "completion": _turns("a", "b")[1:]}, _turns("a", "b")),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, ANSWERED]}, _turns("a", "b")),
        ({"system": "S", "messages": _turns("a", "b")}, [{"role": "system", "content": "S"}, *_turns("a", "b")]),
    ],
)  # fmt: skip
def test_the_layouts_of_conversations(values: dict[str, Any], wanted: list[dict[str, str]]) -> None:
    found = conversation_of(values)
    assert [*found["messages"], {"role": "assistant", "content": found["answer"]}] == wanted


def test_a_grounded_row_is_asked_in_the_words_of_serving_and_may_have_no_answer() -> None:
    row = conversation_of({"question": "Who?", "context": "Ann did.", "answers": {"text": ["Ann", "Ann "]}})
    wanted = answer_messages("Who?", ["Ann did."])
    assert [message["content"] for message in row["messages"]] == [message.content for message in wanted]
    assert row["references"] == ["Ann"]
    assert conversation_of({"question": "Who?", "passages": [], "answers": []})["answer"] == NOT_IN_PASSAGES


@pytest.mark.parametrize(
    "values",
    [
        {"conversations": [{"from": "human", "value": "a"}], "chosen": ANSWERED, "rejected": SHAREGPT_C},
        {"prompt": "a", "chosen": _turns("a", "b"), "rejected": _turns("a", "c")},
        {"chosen": _turns("a", "b"), "rejected": _turns("a", "c")},
        {"instruction": "a", "input": "", "chosen": "b", "rejected": "c"},
    ],
    ids=["sharegpt", "ultrafeedback", "implicit", "alpaca"],
)  # fmt: skip
def test_the_layouts_of_preferences(values: dict[str, Any]) -> None:
    assert preference_of(values) == {"messages": _turns("a", "")[:1], "chosen": "b", "rejected": "c"}


def test_the_layout_of_judged_answers() -> None:
    assert judged_of({"prompt": "a", "completion": "b", "label": True})["good"] == 1.0
    assert judged_of({"messages": _turns("a", "b"), "kto_tag": "false"})["good"] == 0.0
    with pytest.raises(ValueError, match="the label is 'maybe'"):
        judged_of({"prompt": "a", "completion": "b", "label": "maybe"})


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"text": "a"}, "expected messages, conversations"),
        ({"messages": _turns("a", "b")[:1]}, "does not end with the assistant's turn"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "the role 'wizard'"),
        ({"prompt": "a"}, "a prompt and none of completion"),
    ],
)
def test_rows_in_no_known_layout_are_named_by_line_t01(values: dict[str, Any], problem: str, tmp_path: Path) -> None:
    task = open_task(tiny_recipe(tmp_path, Path("base"), [ALPACA, values], {"kind": "chat"}))
    with pytest.raises(DataError, match=rf"rows\.jsonl, line 2: .*{problem}"):
        load_data(task.recipe, task.columns, tmp_path / "read", task.layout)


def test_rows_with_an_empty_answer_are_left_out_and_counted_t02(tmp_path: Path) -> None:
    rows = [ALPACA, {**ALPACA, "output": " "}, {**ALPACA, "instruction": "b"}]
    task = open_task(tiny_recipe(tmp_path, Path("base"), rows, {"kind": "chat"}))
    splits = load_data(task.recipe, task.columns, tmp_path / "read", task.layout)
    assert splits.dropped == {"empty answer": 1}


def test_marks_stand_around_whole_stretches() -> None:
    tokenizer = chat_tokenizer()
    ids = tokenizer.encode("abcd", add_special_tokens=False)
    assert marked(tokenizer, ids, [0] * len(ids)) == "abcd"
    assert marked(tokenizer, ids, [1] * len(ids)) == "⟦abcd⟧"


def test_scores_by_hand(tmp_path: Path) -> None:
    task = chat_task(tmp_path)
    rows = [{"references": ["the red house"]}, {"references": ["Ann", "Ann Lee"]}]
    said = [{"answer": "a red tree"}, {"answer": "It was Ann Lee."}]
    scores = task.scores(rows, said)
    # "red tree" against "red house": 1 of 2 and 1 of 2; "it was ann lee" against "ann lee": 2 of 4 and 2 of 2
    assert scores["f1"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert (scores["exact"], scores["contains"]) == (0.0, 0.5)
    assert task.row_scores(rows, said) == pytest.approx([1 / 2, 2 / 3])


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_chat_model_learns_its_answers_and_serves_them(
    method: str, tmp_path: Path, float32: None, no_kept_models: None
) -> None:
    # An adapter leaves the output layer as it is, whose weights of 0.02 could not tell one token from another.
    base = save_tiny_chat(tmp_path / "base", initializer_range=0.2)
    rows = [{"prompt": f"{word} {number}?", "completion": "the fox"} for number in range(6) for word in ("is", "so")]
    lines: list[dict[str, Any]] = []
    recipe = tiny_recipe(
        tmp_path, base, rows, {"kind": "chat", "as_chat": False, "max_new_tokens": 8},
        method={"kind": method, "rank": 8}, training={"steps": 25, "learning_rate": 2e-2},
        data={"split": {"validation": 0.0, "test": 0.4}},
    )  # fmt: skip
    report = run(recipe, home=tmp_path, folder=tmp_path / "run", show=lines.append)
    losses = [line["loss"] for line in lines if line["event"] == "step"]
    assert losses[-1] < losses[0] / 3
    assert report["model"]["metrics"] == {"f1": 1.0, "exact": 1.0, "contains": 1.0, "rougeL": 1.0}
