"""`hearth models export`: a model in a form for other programs, in a new folder that appears checked or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal

from models.catalog import Entry
from models.chat_adapters import ModelExists
from models.engines.encoder_parity import EncoderParity
from models.engines.parity import REPORT_FILE, ParityFailed, ParityReport
from models.exports.errors import ExportDiffers
from models.exports.gguf import write_gguf
from models.exports.merged import check_merged
from models.exports.programs import write_onnx, write_openvino
from models.exports.whole import Whole, whole_model, write_whole
from models.manifest import sha256_of, write_manifest
from models.memory import forget
from models.prepare import folder_of
from models.registry_checks import ADAPTER_WEIGHTS, is_adapter
from models.registry_facts import CARD, weights_sha256

FormName = Literal["merged", "openvino", "onnx", "gguf"]
FORMS: tuple[FormName, ...] = ("merged", "openvino", "onnx", "gguf")

_RECIPE = "1"
_WRITERS: dict[str, Callable[[Whole, Path], EncoderParity | ParityReport | None]] = {
    "openvino": write_openvino,
    "onnx": write_onnx,
    "gguf": write_gguf,
}


@dataclass(frozen=True)
class Exported:
    """What was written, and the figures of its check."""

    model: str
    form: str
    folder: Path
    size_bytes: int
    parity: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        return {**self.__dict__, "folder": str(self.folder)}


def export(entry: Entry, form: FormName, target: Path, *, home: Path) -> Exported:
    """Writes a model in another form; an adapter is merged into its base first.

    Args:
        entry: The model's.
        form: "merged" is one whole model in safetensors.
        target: The new folder; must not exist yet.
        home: The data folder, where an adapter's base is looked for.

    Raises:
        ModelExists: the target is there.
        CannotExport: the form cannot hold this model. MissingExtra, EngineUnavailable: packages are not installed.
        ExportDiffers: what was written does not behave as the model, with the numbers; nothing is left of it.
        ModelError: the model is not here, or cannot be loaded.
    """
    if target.exists():
        raise ModelExists(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(mkdtemp(prefix=".tmp-export-", dir=target.parent))
    try:
        report = _fill(entry, form, temporary, home)
        made_from = {"model": entry.label, "weights": _source_sha256(entry, home), "form": form, "recipe": _RECIPE}
        manifest = write_manifest(temporary, name=entry.label, version=_RECIPE, made_from=made_from)
        temporary.chmod(0o755)
        temporary.rename(target)
    except ParityFailed as error:
        raise ExportDiffers(entry.label, form, error.problems) from error
    finally:
        forget(temporary)
        shutil.rmtree(temporary, ignore_errors=True)
    return Exported(entry.label, form, target, sum(facts["size"] for facts in manifest.files.values()), report)


def _fill(entry: Entry, form: FormName, folder: Path, home: Path) -> dict[str, Any]:
    if form == "merged":
        write_whole(entry, folder, home=home)
        parity = check_merged(entry, folder, home)
        report = parity.to_json() if parity else {}
        (folder / REPORT_FILE).write_text(json.dumps(report, indent=1), encoding="utf-8")
        return report
    with whole_model(entry, home, folder.parent) as whole:
        made = _WRITERS[form](whole, folder)
        if made is not None:  # otherwise the writer has saved its own
            made.save(folder)
        if (whole.folder / CARD).is_file() and not (folder / CARD).is_file():
            shutil.copy(whole.folder / CARD, folder / CARD)
    found: dict[str, Any] = json.loads((folder / REPORT_FILE).read_text(encoding="utf-8"))
    return found


def _source_sha256(entry: Entry, home: Path) -> str:
    folder = folder_of(entry, home)
    return sha256_of(folder / ADAPTER_WEIGHTS) if is_adapter(folder) else weights_sha256(folder)
