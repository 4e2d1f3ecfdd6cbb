"""The command line's verbs for versions of models: add, try, promote, rollback and push."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_verbs(actions: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """Registers the verbs under `models`."""
    add = actions.add_parser("add", parents=[common], help="copy a model or adapter into the registry")
    add.add_argument("path", metavar="PATH", help="a folder with a model in safetensors, or a LoRA adapter")
    add.add_argument("--name", required=True, metavar="N", help="what to call it; a known name gets its next version")
    add.add_argument("--role", required=True, metavar="R", help="what it is for, such as chat, classify or rerank")
    add.add_argument("--base", metavar="NAME", help="an adapter's base model (else the one that its config names)")
    add.add_argument("--licence", metavar="L", help="the licence it may be used under")
    add.add_argument("--card", type=Path, metavar="F.md", help="its model card (else the folder's README.md)")
    add.set_defaults(handler=_add, render=_render_added)
    attempt = actions.add_parser("try", parents=[common], help="run one model, or every role, on a small example")
    attempt.add_argument("name", nargs="?", metavar="NAME", help="a model (default: every role with what serves it)")
    attempt.add_argument("text", nargs="?", metavar="TEXT", help="your own example")
    attempt.add_argument("--role", metavar="R", help="the role to try it in (default: what it was made for)")
    attempt.add_argument("--against", metavar="NAME2", help="another model for the same example, side by side")
    attempt.set_defaults(handler=_try, render=_render_trials, parser=attempt)
    promote = actions.add_parser("promote", parents=[common], help="let a version serve its role")
    promote.add_argument("name", metavar="NAME", help="name, name@3 or name@candidate; a name alone is its candidate")
    promote.set_defaults(handler=_promote, render=_render_switch)
    rollback = actions.add_parser("rollback", parents=[common], help="let what served before serve again")
    rollback.add_argument("name", metavar="ROLE|NAME", help="a role, or the model that serves one")
    rollback.set_defaults(handler=_rollback, render=_render_switch)
    push = actions.add_parser("push", parents=[common], help="send an entry's files and card to the Hugging Face hub")
    push.add_argument("name", metavar="NAME", help="name or name@3")
    push.add_argument("repo", metavar="OWNER/REPO", help="the repository; made, for you alone, where there is none")
    push.add_argument("--public", action="store_true", help="a repository that is made now is for everybody to see")
    push.add_argument("--confirm-licence", action="store_true", help="you may pass on a model under its licence")
    push.set_defaults(handler=_push, render=_render_pushed)


def version_facts(version: Any) -> dict[str, Any]:
    """A version as `--json` gives it."""
    return {
        "version": version.label,
        "aliases": list(version.aliases),
        "shipped": version.shipped,
        "folder": str(version.folder),
        **version.facts.to_json(),
    }


def _add(args: argparse.Namespace, house: Any) -> dict[str, Any]:
    from models.registry import Registry
    from models.registry_facts import Base

    version = Registry(house.home).add(
        args.path,
        args.name,
        args.role,
        base=Base.of(args.base, house.home) if args.base else None,
        licence=args.licence,
        card=args.card.read_text(encoding="utf-8") if args.card else None,
    )
    return version_facts(version)


def _render_added(value: dict[str, Any]) -> str:
    label = value["version"]
    return (
        f"{label} is there for the role {value['role']}, as candidate.\n"
        f"Try it with `hearth models try {label}`; let it serve with `hearth models promote {label}`."
    )


def _try(args: argparse.Namespace, house: Any) -> list[dict[str, Any]]:
    from models.trial import role_for, try_all, try_role

    if args.name is None and args.role is None:
        if args.against:
            args.parser.error("--against needs a NAME to compare with")
        return [trial.to_json() for trial in try_all(house)]
    role = args.role or role_for(args.name, house)
    trials = [try_role(house, role, args.name, args.text)]
    if args.against:
        trials.append(try_role(house, role, args.against, args.text))
    return [trial.to_json() for trial in trials]


def _render_trials(value: list[dict[str, Any]]) -> str:
    lines = []
    for trial in value:
        head = f"{trial['role']:13} {trial['model'] or '-':34}"
        if trial["ok"]:
            lines.append(f"{head} {trial['milliseconds']:8.1f} ms  {' '.join(trial['gave'].split())}")
        else:
            lines.append(f"{head} {'':11}  not tried: {trial['reason']}")
        if trial["mend"]:
            lines.append(f"{'':13} -> {trial['mend']}")
    return "\n".join(lines)


def _promote(args: argparse.Namespace, house: Any) -> dict[str, Any]:
    import sys

    from models.registry import Registry

    print(f"Checking that every form of {args.name} behaves alike ...", file=sys.stderr)  # takes seconds for adapters
    return _switched(Registry(house.home).promote(args.name), house)


def _rollback(args: argparse.Namespace, house: Any) -> dict[str, Any]:
    from models.registry import Registry

    return _switched(Registry(house.home).rollback(args.name), house)


def _push(args: argparse.Namespace, house: Any) -> dict[str, Any]:
    from models.push import push

    return push(
        args.name, args.repo, home=house.home, private=not args.public, licence_confirmed=args.confirm_licence
    ).to_json()


def _render_pushed(value: dict[str, Any]) -> str:
    return f"{value['version']}, {len(value['files'])} files, is at {value['url']} (commit {value['commit'][:12]})"


def _switched(switch: Any, house: Any) -> dict[str, Any]:
    """What changed, and what serves the role now, which a setting may decide otherwise."""
    from models.serving import Roles

    serving = next(one for one in Roles.of(house).all() if one.role == switch.role)
    return {
        "role": switch.role,
        "before": switch.before,
        "after": switch.after,
        "changed": switch.changed,
        "at": switch.at,
        "serving": serving.to_json(),
    }


def _render_switch(value: dict[str, Any]) -> str:
    serving = value["serving"]
    now = f"{value['role']}: {serving['model'] or 'nothing'} serves ({serving['reason']})."
    if not value["changed"]:
        return f"{value['after']} was promoted already. {now}"
    was = f" Before: {value['before']}." if value["before"] else ""
    return f"{now}{was}\nAn open chat takes it up at its next start."
