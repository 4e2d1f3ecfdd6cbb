"""What the machine is doing, in a few lines: who is being answered, what is in memory, which model serves each role."""

from __future__ import annotations

from pathlib import Path

from chat.backstage import Backstage
from chat.inert import code, plain
from chat.preferences import preferences

_GB = 10**9


def status(backstage: Backstage) -> str:
    """Everything as Markdown; blocks for a moment, so call it in a thread."""
    chosen = preferences(backstage)
    roles = backstage.house.roles()
    lines = [
        f"**Profile** {plain(roles.choice.profile.name)}: {plain(roles.choice.reason)}.",
        f"**Answers** {_queue(backstage)}.",
        f"**Memory** {_memory()}.",
        f"**In memory** {_loaded()}.",
        f"**This chat** temperature {chosen.temperature:g}, at most {chosen.max_new_tokens} tokens an answer"
        f"{f', model {code(chosen.model)}' if chosen.model else ''}.",
    ]
    rows = [
        f"| {plain(one.role)} | {code(one.model) or '–'} | {' '.join(plain(one.reason).split())} |"
        for one in roles.all()
    ]
    return "\n\n".join(lines) + "\n\n" + "\n".join(["| Role | Model | Why |", "|---|---|---|", *rows])


def _queue(backstage: Backstage) -> str:
    from models.scheduler import process_scheduler

    scheduler = process_scheduler()
    others = backstage.turns.running() - 1
    waiting = scheduler.waiting
    return f"{max(0, others)} being given beside this one; {waiting} waiting for the model"


def _memory() -> str:
    import psutil

    from models.device import available_memory_bytes

    own = psutil.Process().memory_info().rss
    return f"{own / _GB:.1f} GB used by Hearth, {available_memory_bytes() / _GB:.1f} GB free"


def _loaded() -> str:
    from models.memory import loaded_keys

    names = [
        f"{key[0]} {next((part.name for part in key[1:] if isinstance(part, Path)), '')}".strip()
        for key in loaded_keys()
    ]
    return ", ".join(map(code, dict.fromkeys(names))) or "no model yet; the first question loads it"
