"""What can go wrong with an export: a form that cannot hold the model, or a file that does not behave as the model."""

from __future__ import annotations

from collections.abc import Sequence

from models.errors import ModelError


class CannotExport(ModelError):
    """A form that cannot hold this model, or an exporter that does not know it."""

    code = "cannot_export"

    def __init__(self, name: str, form: str, reason: str) -> None:
        self.name, self.form, self.reason = name, form, reason
        super().__init__(f"The model {name} cannot be written as {form}: {reason}.")


class ExportDiffers(ModelError):
    """An export whose outputs are not the model's; it was removed."""

    code = "export_differs"

    def __init__(self, name: str, form: str, problems: Sequence[str]) -> None:
        self.name, self.form, self.problems = name, form, tuple(problems)
        super().__init__(
            f"The {form} export of {name} was removed because it does not behave as the model does: "
            f"{'; '.join(self.problems)}."
        )
