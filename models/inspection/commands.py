"""`hearth models inspect`: a model's parameters by block, and a text as the model reads it, with a picture.

Nothing heavy is imported before the verb runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from models.task_forms import positive

_TITLE_TEXT = 90  # letters of the text in the picture's title


def add_verbs(actions: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """Registers `inspect` among the actions of `models`."""
    verb = actions.add_parser("inspect", parents=[common], help="a model's parts, and how it reads a text")
    verb.add_argument("name", help="a name, name@version, org/name[@revision] on the hub, or a folder")
    verb.add_argument("text", nargs="?", metavar="TEXT", help="what it reads: tokens, hidden states, attention")
    verb.add_argument(
        "--picture", type=Path, metavar="FILE.png", help="where the picture goes (default: a new file here)"
    )
    verb.add_argument("--no-picture", action="store_true", help="no picture of the attention")
    verb.add_argument("--max-tokens", type=positive, default=48, metavar="N", help="tokens of TEXT read (default: 48)")
    verb.add_argument("--weights", action="store_true", help="with --json, every attention weight too")
    verb.set_defaults(handler=_inspect, render=_render)


def _inspect(options: argparse.Namespace, house: Any) -> dict[str, Any]:
    from models.catalog import find
    from models.encoder_files import encoder_folder
    from models.inspection.blocks import read_blocks
    from models.prepare import folder_of

    entry = find(options.name, None, house.home)
    folder = encoder_folder(folder_of(entry, house.home))
    facts = {"name": entry.label, **read_blocks(folder).to_json()}
    if options.text is None:
        return facts
    from models.inspection.reading import read_text

    reading = read_text(folder, name=entry.label, text=options.text, max_tokens=options.max_tokens)
    facts["reading"] = reading.to_json(weights=options.weights)
    facts["picture"] = None
    if reading.attention and not options.no_picture:
        facts["picture"] = _save_picture(reading, entry.label, options)
    return facts


def _save_picture(reading: Any, label: str, options: argparse.Namespace) -> str:
    from models.inspection.picture import draw
    from models.pipelines.writing import Writer, stem_of

    text = " ".join(options.text.split())
    shown = text if len(text) <= _TITLE_TEXT else f"{text[: _TITLE_TEXT - 1]}\u2026"
    name = Path(label).name
    picture = draw(reading, f"{name} reads \u201c{shown}\u201d")
    if options.picture is None:
        return Writer(Path(), stem_of(name, is_path=False)).picture(picture, "attention")
    target: Path = options.picture.expanduser().absolute()
    picture.save(target, format="PNG")
    return str(target)


def _render(value: dict[str, Any]) -> str:
    tied = ", the head sharing the embeddings' weights" if value["tied"] else ""
    lines = [
        f"{value['name']}: {value['architecture']}",
        f"{value['parameters']:,} parameters, {_size(value['size_bytes'])} in {value['dtype']}{tied}",
        "",
        *_tree(value["blocks"], value["parameters"]),
    ]
    if "reading" in value:
        lines += ["", *_reading_lines(value["reading"])]
        lines += ["", f"picture: {value['picture']}"] if value["picture"] else []
    return "\n".join(lines)


def _tree(blocks: Sequence[dict[str, Any]], total: int) -> list[str]:
    """A line a block and a part; layers of the same size as one."""
    lines = []
    for _, group in groupby(
        blocks, key=lambda block: (_stack(block["name"]), block["parameters"], len(block["parts"]))
    ):
        alike = list(group)
        first, last = alike[0]["name"], alike[-1]["name"].rpartition(" ")[2]
        name = first if len(alike) == 1 else f"{first} to {last}"
        each = "" if len(alike) == 1 else " each"
        lines.append(_tree_line(name, alike[0], each) + f"  {len(alike) * alike[0]['parameters'] / total:6.1%}")
        lines += [_tree_line(f"  {part['name']}", part, "") for part in alike[0]["parts"]]
    return lines


def _stack(name: str) -> str:
    return name.rpartition(" ")[0] if name.rpartition(" ")[2].isdigit() else name


def _tree_line(name: str, block: dict[str, Any], each: str) -> str:
    return f"{name:32} {block['parameters']:>15,} {_size(block['size_bytes']):>11}{each}"


def _reading_lines(reading: dict[str, Any]) -> list[str]:
    tokens = reading["tokens"]
    more = f" (of {reading['tokens_total']})" if reading["tokens_total"] > len(tokens) else ""
    lines = [f"{len(tokens)} tokens{more}:"]
    for place, token in enumerate(tokens):
        where = (
            f"{token['start']}-{token['end']}" if token["start"] is not None else "special" if token["special"] else ""
        )
        lines.append(f"  {place:3} {token['id']:>8}  {where:9} {token['token']!r}")
    lines += ["", "hidden states, with the mean length of a token's vector:"]
    for layer in reading["hidden_states"]:
        name = f"{layer['stack']} layer {layer['layer']}".strip() if layer["layer"] else f"{layer['stack']} embeddings"
        shape = " x ".join(map(str, layer["shape"]))
        lines.append(f"  {name.strip():20} {shape:16} {layer['mean_norm']:8.2f}")
    for maps in reading["attention"]:
        layers, heads, rows, columns = maps["shape"]
        bits = [bit for row in maps["entropy_bits"] for bit in row]
        spread = f"entropy {min(bits):.2f} to {max(bits):.2f} bits"
        lines.append(f"{maps['kind']}: {layers} layers x {heads} heads, {rows} x {columns} tokens, {spread}")
    if reading["written"] is not None:
        lines += ["", f"it writes: {reading['written']}"]
    if reading["likeliest"]:
        lines += ["", "likeliest:", *(f"  {one['score']:6.3f}  {one['text']!r}" for one in reading["likeliest"])]
    return lines


def _size(size_bytes: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size_bytes < 1024:
            return f"{size_bytes:.1f} {unit}".replace(".0 ", " ")
        size_bytes /= 1024
    return f"{size_bytes:.2f} GiB"
