"""The command line's `models` verbs for files: list, show, prepare, convert, merge, export, pull; others join here.

Handlers give JSON-able values and import what they need when they run.
"""

from __future__ import annotations

import argparse
import contextlib
from typing import TYPE_CHECKING, Any

from models import registry_commands
from models.inspection import commands as inspection_commands

if TYPE_CHECKING:
    from pathlib import Path

    from models.catalog import Entry
    from models.profiles import Profile
    from models.serving import Roles


def add_verbs(verbs: argparse._SubParsersAction[Any], common: argparse.ArgumentParser) -> None:
    """Registers the verbs of this room."""
    models = verbs.add_parser("models", help="the models on this machine")
    actions = models.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser(
        "list", parents=[common], help="what serves each role, the profiles, models and versions"
    )
    listing.set_defaults(handler=_list, render=_render_list)
    show = actions.add_parser("show", parents=[common], help="one model in detail")
    show.add_argument("name", help="a name, name@version, org/name[@revision] on the hub, or a folder")
    show.set_defaults(handler=_show, render=_render_show)
    prepare = actions.add_parser("prepare", parents=[common], help="check and convert the embedded models now")
    prepare.set_defaults(handler=_prepare, render=_render_prepare)
    convert = actions.add_parser("convert", parents=[common], help="make the faster form of a model for this CPU")
    convert.add_argument(
        "name", nargs="?", help="a chat or embedding model or a classifier (default: what came with Hearth)"
    )
    convert.set_defaults(handler=_convert, render=_render_prepare)
    merge = actions.add_parser("merge", parents=[common], help="write an adapter and its base as one whole model")
    merge.add_argument("name", help="an adapter of a chat model: a folder or a registry entry")
    merge.add_argument("folder", help="the new folder")
    merge.set_defaults(handler=_merge, render=_render_prepare)
    export = actions.add_parser("export", parents=[common], help="write a model in a form for other programs, checked")
    export.add_argument("name", help="a model, adapter or registry entry; an adapter is merged into its base first")
    export.add_argument("--to", required=True, choices=("merged", "openvino", "onnx", "gguf"), help="the form")
    export.add_argument("--output", required=True, metavar="DIR", help="the new folder")
    export.set_defaults(handler=_export, render=_render_export)
    pull = actions.add_parser("pull", parents=[common], help="download a model from the Hugging Face hub")
    pull.add_argument("name", nargs="?", help="org/name[@revision]; with --profile all models of one")
    pull.set_defaults(handler=_pull, render=_render_pull, parser=pull)
    registry_commands.add_verbs(actions, common)
    inspection_commands.add_verbs(actions, common)


def _list(args: argparse.Namespace, house: Any) -> dict[str, Any]:
    from models.catalog import EMBEDDED
    from models.prepare import prepared_folder
    from models.profiles import all_profiles
    from models.pull import pulled_models
    from models.serving import Roles

    roles = Roles.of(house)
    embedded = [_facts(entry, prepared_folder(entry, house.home)) for entry in EMBEDDED]
    return {
        "roles": [serving.to_json() for serving in roles.all()],
        "profile": {"name": roles.choice.profile.name, "reason": roles.choice.reason},
        "profiles": [_profile_facts(profile, roles) for profile in all_profiles().values()],
        "models": embedded + [_facts(entry, folder) for entry, folder in pulled_models(house.home)],
        "versions": [registry_commands.version_facts(version) for version in roles.registry.versions()],
    }


def _profile_facts(profile: Profile, roles: Roles) -> dict[str, Any]:
    return {
        "name": profile.name,
        "words": profile.words,
        "lacking": list(profile.lacking(roles.machine, roles.pulled)),
        "download_bytes": profile.download_bytes(roles.pulled),
        "roles": {
            role: {
                "model": model.name,
                "licence": model.licence,
                "size_bytes": model.size_bytes,
                "context_tokens": model.context_tokens,
                "languages": list(model.languages),
                "pulled": model.name in roles.pulled,
            }
            for role, model in profile.roles.items()
        },
    }


def _show(args: argparse.Namespace, house: Any) -> dict[str, Any]:
    from models.catalog import find
    from models.encoder_files import encoder_folder
    from models.files import cache_bytes_per_token, read_config, read_weights
    from models.prepare import folder_of, prepared_folder

    entry = find(args.name, None, house.home)
    if entry.version is not None:
        return _show_version(entry.label, house)
    folder = prepared_folder(entry, house.home) if entry.kind == "embedded" else folder_of(entry, house.home)
    facts = _facts(entry, folder)
    if folder is not None:
        config, weights = read_config(encoder_folder(folder)), read_weights(encoder_folder(folder))
        facts |= {
            "architecture": next(iter(config.get("architectures") or []), None),
            "parameters": weights.parameters,
            "size_bytes": weights.size_bytes,
            "cache_bytes_per_token": cache_bytes_per_token(config),
        }
    return facts


def _show_version(label: str, house: Any) -> dict[str, Any]:
    from models.registry import Registry

    registry = Registry(house.home)
    version = registry.resolve(label)
    return {
        **registry_commands.version_facts(version),
        "others": [other.label for other in registry.versions(version.name) if other.label != label],
        "history": [
            {"action": change.action, "version": change.label, "at": change.at}
            for change in registry.history(version.role)
        ],
        "card": version.card,
    }


def _prepare(args: argparse.Namespace, house: Any) -> dict[str, str]:
    from models.adapted import is_on_encoder
    from models.catalog import find
    from models.engines.openvino_convert import convert
    from models.errors import ModelError
    from models.prepare import prepare_embedded
    from models.registry import Registry

    folders = prepare_embedded(house.home)
    encoder = find(None, "embed").name
    # what is refused or fails here serves by torch, and the next is tried all the same
    with contextlib.suppress(ModelError, OSError):
        convert(folders[encoder], house.home, name=encoder, form="vectors")
    for version in Registry(house.home).versions():
        if version.shipped and is_on_encoder(version.folder):
            with contextlib.suppress(ModelError, OSError):
                _converted(find(version.label, None, house.home), house.home)
    return {name: str(folder) for name, folder in folders.items()}


def _convert(args: argparse.Namespace, house: Any) -> dict[str, str]:
    from models.catalog import EMBEDDED, find
    from models.registry import Registry

    if args.name is not None:
        names = [args.name]
    else:  # what answers out of the box: the embedded models, and the adapters that came with them
        came = [version for version in Registry(house.home).versions() if version.shipped and version.facts.base]
        names = [*(entry.name for entry in EMBEDDED), *(version.label for version in came)]
    entries = [find(name, None, house.home) for name in names]
    return {entry.label: str(_converted(entry, house.home)) for entry in entries}


def _converted(entry: Entry, home: Path) -> Path:
    """Where OpenVINO serves a model from now; an adapter stands on its base there."""
    from models.adapted import base_folder_of, is_on_encoder
    from models.chat import LocalChatModel
    from models.engines.openvino_convert import convert
    from models.engines.openvino_forms import form_of
    from models.prepare import folder_of
    from models.registry_checks import is_adapter

    folder = folder_of(entry, home)
    if is_on_encoder(folder):
        from models.engines.adapted_encoder import convert_adapted

        return convert_adapted(folder, base_folder_of(folder, home), home, name=entry.label)
    if is_adapter(folder):
        return LocalChatModel(model=entry.label, home=home).convert()
    return convert(folder, home, name=entry.label, form=form_of(folder, entry.role))


def _merge(args: argparse.Namespace, house: Any) -> dict[str, str]:
    from pathlib import Path

    from models.catalog import find
    from models.chat_adapters import merge_adapter

    entry = find(args.name, "chat", house.home)
    return {entry.label: str(merge_adapter(entry, Path(args.folder).expanduser().absolute(), home=house.home))}


def _export(args: argparse.Namespace, house: Any) -> dict[str, Any]:
    from pathlib import Path

    from models.catalog import find
    from models.exports.export import export

    target = Path(args.output).expanduser().absolute()
    return export(find(args.name, None, house.home), args.to, target, home=house.home).to_json()


def _render_export(value: dict[str, Any]) -> str:
    held = {key: number for key, number in value["parity"].items() if isinstance(number, (int, float))}
    figures = "".join(f", {name.replace('_', ' ')} {number:.4g}" for name, number in held.items())
    checked = f"held against the model{figures}" if held else "a copy, byte for byte"
    return f"{value['model']} is in {value['folder']} as {value['form']}, {value['size_bytes']:,} bytes; {checked}"


def _pull(args: argparse.Namespace, house: Any) -> dict[str, Any]:
    from models.catalog import find
    from models.errors import ModelNotFound
    from models.pull import pull

    if args.name is None:
        wanted = getattr(args, "set_profile", None)
        if wanted is None:
            args.parser.error("a NAME is missing, or --profile small, base or gpu")
        return _pull_profile(house)
    entry = find(args.name, None, house.home)
    if entry.kind != "hub":
        raise ModelNotFound(args.name, hint=f"{args.name} is on this machine already; only hub models are pulled.")
    return {"pulled": {entry.label: str(pull(entry, house.home))}, "failed": []}


def _pull_profile(house: Any) -> dict[str, Any]:
    """Every model of the profile that `--profile` names; those that fail are named and the others still come."""
    import sys

    from models.catalog import find
    from models.errors import ModelError
    from models.pull import pull
    from models.serving import Roles

    pulled, failed = {}, []
    profile = Roles.of(house).choice.profile
    for number, model in enumerate(profile.models, start=1):
        print(f"{number}/{len(profile.models)} {model.name}, {model.size_bytes / 10**9:.1f} GB", file=sys.stderr)
        try:
            pulled[model.name] = str(pull(find(model.name, None), house.home))
        except ModelError as error:
            failed.append({"model": model.name, "code": error.code, "message": str(error)})
    return {"pulled": pulled, "failed": failed}


def _facts(entry: Entry, folder: Path | None) -> dict[str, Any]:
    return {
        "name": entry.label,
        "role": entry.role,
        "kind": entry.kind,
        "source": entry.source,
        "licence": entry.licence,
        "context_tokens": entry.context_tokens,
        "languages": list(entry.languages),
        "ready": folder is not None,
        "folder": str(folder) if folder else None,
    }


def _render_list(value: dict[str, Any]) -> str:
    chosen = value["profile"]
    lines = [f"{one['role']:13} {one['model'] or '-':36} {one['reason']}" for one in value["roles"]]
    lines += ["", f"profile {chosen['name']}: {chosen['reason']}"]
    for profile in value["profiles"]:
        lacks = f"; lacks {', '.join(profile['lacking'])}" if profile["lacking"] else ""
        size = f", {profile['download_bytes'] / 10**9:.1f} GB to pull" if profile["download_bytes"] else ""
        lines.append(f"  {profile['name']:6} {profile['words']}{size}{lacks}")
    lines.append("")
    for fact in value["models"]:
        state = "ready" if fact["ready"] else "not prepared"
        lines.append(f"{fact['name']:50} {fact['role'] or '':8} {fact['kind']:10} {state}")
    for fact in value["versions"]:
        lines.append(f"{fact['version']:50} {fact['role']:8} {fact['kind']:10} {', '.join(fact['aliases'])}".rstrip())
    return "\n".join(lines)


def _render_show(value: dict[str, Any]) -> str:
    facts = {key: fact for key, fact in value.items() if fact not in (None, [], {}) and key != "card"}
    lines = [f"{key.replace('_', ' ')}: {fact}" for key, fact in facts.items()]
    return "\n".join([*lines, *(["", value["card"]] if value.get("card") else [])])


def _render_prepare(value: dict[str, str]) -> str:
    return "\n".join(f"{name} is ready in {folder}" for name, folder in value.items())


def _render_pull(value: dict[str, Any]) -> str:
    failed = [f"{one['model']} failed: {one['message']}" for one in value["failed"]]
    return "\n".join([*(f"{name} is ready in {folder}" for name, folder in value["pulled"].items()), *failed])
