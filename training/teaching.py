"""A larger chat model's answers as the data of a smaller one: distillation for models that write.

Source: Kim and Rush 2016, https://arxiv.org/abs/1606.07947 (learning from the teacher's sequences).
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.data import load_data
from training.errors import RecipeError
from training.recipe import Recipe
from training.tasks import open_task
from training.tasks.chat import Chat


def teach(
    recipe: Recipe,
    teacher: str,
    target: Path,
    *,
    home: Path,
    show: Callable[[dict[str, Any]], None] = lambda line: None,
) -> dict[str, Any]:
    """Asks a teacher every prompt of a chat recipe's training rows and writes its answers as rows to train on.

    Args:
        recipe: Of the kind "chat"; its own answers are not shown to the teacher.
        teacher: The name or folder of a chat model.
        target: JSON lines of `{messages}`; what it holds already is kept and not asked again.
        home: The data folder.
        show: Is told `{"event": "taught", "row", "rows"}` after each row.

    Returns:
        `{rows, asked, cut_off}`; answers that did not end by themselves are left out and counted.

    Raises:
        RecipeError: the recipe is of another kind. ModelError: there is no such teacher.
    """
    from models.chat import open_chat_model

    task = open_task(recipe)
    if type(task) is not Chat:
        raise RecipeError(recipe.path.name, "task.kind", repr(recipe.task), "chat")
    served = open_chat_model(teacher, home=home, max_new_tokens=task.options.max_new_tokens)
    target.touch()
    with tempfile.TemporaryDirectory(prefix="hearth-teach-") as name, target.open("a+", encoding="utf-8") as out:
        rows = load_data(recipe, task.columns, Path(name), task.layout).train
        out.seek(0)
        known = {json.dumps(json.loads(line)["messages"][:-1]) for line in out}
        asked = cut_off = 0
        for number, row in enumerate(rows, start=1):
            if json.dumps(row["messages"]) in known:
                continue
            answer = served.invoke(task.messages(row))
            asked += 1
            if answer.response_metadata.get("finish_reason") == "length":
                cut_off += 1
            else:
                turns = [*row["messages"], {"role": "assistant", "content": str(answer.content).strip()}]
                out.write(json.dumps({"messages": turns}, ensure_ascii=False) + "\n")
                out.flush()
            show({"event": "taught", "row": number, "rows": len(rows)})
        os.fsync(out.fileno())
        return {"rows": len(rows), "asked": asked, "cut_off": cut_off}
