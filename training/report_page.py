"""The report as one HTML file: tables, pictures as data inside it, no script, and nothing fetched from anywhere."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: .3rem .6rem; }
td, th { vertical-align: top; }
tr { border-bottom: 1px solid #8884; } img { max-width: 100%; background: #fff; border-radius: 6px; margin: .4rem 0; }
img[alt=confusion], img[alt=reliability] { max-width: 49%; }
.open { color: #1b7f4b; } .closed { color: #b3391f; } pre { overflow-x: auto; font-size: 12px; }
.wrap { overflow-wrap: anywhere; }
"""
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(report: Mapping[str, Any], recipe: Mapping[str, Any], pictures: Sequence[Path]) -> str:
    """The whole file."""
    return "".join(
        (
            "<!doctype html><html lang=en><meta charset=utf-8>",
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            "<meta name=viewport content='width=device-width'>",
            f"<title>{_text(report['recipe'])}</title><style>{_STYLE}</style>",
            f"<h1>{_text(report['recipe'])}</h1><p>{_headline(report)}</p>",
            _scores(report),
            "".join(_picture(path) for path in pictures),
            _facts(report),
            _data(report["data"]),
            _worst(report["worst"]),
            f"<h2>Recipe</h2><pre>{_text(json.dumps(recipe, indent=1, ensure_ascii=False))}</pre>",
        )
    )


def _headline(report: Mapping[str, Any]) -> str:
    gate, model, old = report["gate"], report["model"], report["baseline"]
    low, high = gate["interval"]
    verdict = (
        "<b class=open>The gate is open.</b>"
        if gate["open"]
        else f"<b class=closed>The gate is closed:</b> {_text('; '.join(gate['reasons']))}."
    )
    return (
        f"{_text(model['metric'])} {model['score']:.4f} "
        f"(95 % {model['interval'][0]:.4f} to {model['interval'][1]:.4f}) on "
        f"{model['rows']:,} rows of the {_text(report['judged_on'])} part; {_text(old['by'])}: {old['score']:.4f}; "
        f"difference {gate['difference']:+.4f} (95 % {low:+.4f} to {high:+.4f}). {verdict}"
    )


def _scores(report: Mapping[str, Any]) -> str:
    rows = [
        (name, f"{value:.4f}", f"{report['baseline']['metrics'].get(name, float('nan')):.4f}")
        for name, value in report["model"]["metrics"].items()
        if isinstance(value, (int, float))
    ]
    return "<h2>Scores</h2>" + _table(("metric", "this model", report["baseline"]["by"]), rows)


def _facts(report: Mapping[str, Any]) -> str:
    training, parameters = report["training"], report["parameters"]
    rows = [
        ("base", report["base"] or "none, from scratch"),
        ("weights that learned", f"{parameters['learning']:,} of {parameters['all']:,}"),
        ("steps", f"{training['steps']:,} ({training['epochs']:g} epochs, {training['tokens']:,} tokens)"),
        ("tokens per second", f"{training['tokens_per_second']:,}"),
        ("loss", f"{training['first_loss']:.4f} at first, {training['last_loss']:.4f} at last"),
        ("made", report["made"]),
    ]
    return "<h2>Training</h2>" + _table(("", ""), rows)


def _data(data: Mapping[str, Any]) -> str:
    rows = [(f"rows to {part}", f"{count:,}") for part, count in data["rows"].items()]
    rows += [(f"left out: {reason}", f"{count:,}") for reason, count in data["dropped"].items()]
    rows += [("repeated rows", f"{data['repeated']:,}"), ("contradicting rows", f"{data['contradictions']:,}")]
    rows += [(f"rows of {part} that stand in train", f"{count:,}") for part, count in data["leaks"].items()]
    rows += [("rows that look like they hold a secret", f"{data['secrets']:,}")] if data["secrets"] else []
    rows += [("licence", data["licence"] or "not stated")]
    return "<h2>Data</h2>" + _table(("", ""), rows)


def _worst(worst: Sequence[Mapping[str, Any]]) -> str:
    if not worst:
        return ""
    rows = [
        (json.dumps(one["row"], ensure_ascii=False)[:600], json.dumps(one["said"], ensure_ascii=False)[:300])
        for one in worst
    ]
    return "<h2>Worst examples</h2>" + _table(("row", "the model says"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    first = "".join(f"<th>{_text(cell)}</th>" for cell in head) if any(head) else ""
    body = "".join("<tr>" + "".join(f"<td class=wrap>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{first}</tr>{body}</table>" if first else f"<table>{body}</table>"


def _picture(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{_text(path.stem)}" src="data:image/png;base64,{data}">'


def _text(value: object) -> str:
    return html.escape(str(value))
