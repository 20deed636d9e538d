"""Choice of the model, with what each model is for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from magicgui.widgets import ComboBox, Container, FileEdit
from psygnal import Signal
from qtpy.QtCore import Qt

from napari_sam.checkpoints.download import is_cached
from napari_sam.checkpoints.families import Family
from napari_sam.checkpoints.registry import (
    DEFAULT_MODEL,
    MODELS,
    get_model_spec,
    list_models,
)
from napari_sam.plugin.panels.choices.model_text import (
    advice_text,
    choice_text,
    download_text,
    model_text,
    purpose_text,
)
from napari_sam.plugin.panels.controls import form, keep_narrow, wrapped_label
from napari_sam.plugin.panels.layout.section import Section

if TYPE_CHECKING:
    from magicgui.widgets import PushButton

    from napari_sam.plugin.state.model_choice import ModelChoice

OWN_FILE = "own file ..."
FAMILY_OF_FILE = "as the file says"


class ModelSection(Container[Any]):
    """A list of models and files of one's own, a description, and advice.

    Parameters
    ----------
    download : PushButton
        Downloads the chosen model.

    Attributes
    ----------
    model : ComboBox
        Name of the chosen model, or `OWN_FILE`. Models on this computer come first.
    model_file : FileEdit
        The user's own file.
    family : ComboBox
        How the user's own file was trained.
    note : Label
        What the chosen model is for, and its state.
    chosen_changed : Signal
        Emitted when the user chose another model.
    """

    chosen_changed = Signal()

    def __init__(self, download: PushButton) -> None:
        self._here = _models_here()
        self._state: tuple[str, bool] | None = None
        self.model = ComboBox(
            label="Model",
            choices=self._choices,
            tooltip="The network that outlines objects. Those on this computer come "
            "first; hover over an entry to read what it is for",
        )
        self.model_file = FileEdit(
            label="File",
            filter="*.pth *.pt *.safetensors",
            tooltip="A model file of your own, for instance a trained one",
        )
        self.family = ComboBox(
            label="Trained as",
            choices=[FAMILY_OF_FILE, *get_args(Family)],
            tooltip="How images are prepared for the model. A file that was trained "
            "here says it itself",
        )
        self.note = wrapped_label()
        self._download = download
        super().__init__(
            widgets=[
                form(self.model, self.model_file, self.family),
                self.note,
                download,
            ],
            labels=False,
        )
        self.margins = (0, 0, 0, 0)
        keep_narrow(self.model)
        self.model.value = DEFAULT_MODEL
        self._explain_choices()
        self._advice_text = wrapped_label(advice_text())
        self._advice_text.tooltip = "By the images that the models were trained on"
        self.advice = Section(
            "Which model for which image?",
            self._advice_text.native,
            "Models to try first, by kind of image",
            folded=True,
        )
        self.native.layout().insertWidget(2, self.advice)
        for control in (self.model, self.model_file, self.family):
            control.changed.connect(self.chosen_changed.emit)

    @property
    def is_own_file(self) -> bool:
        """Whether a file of the user is chosen."""
        return bool(self.model.value == OWN_FILE)

    @property
    def chosen(self) -> tuple[str, Family | None]:
        """The chosen name or path, and the family of the user's own file, if known."""
        if not self.is_own_file:
            return self.model.value, None
        known = self.family.value != FAMILY_OF_FILE
        return str(self.model_file.value), self.family.value if known else None

    @property
    def title(self) -> str:
        """Title of the chosen model, or name of its file."""
        if self.is_own_file:
            return Path(str(self.model_file.value)).name or "own file"
        return get_model_spec(self.model.value).title

    def select(self, model: object, family: Family | None) -> None:
        """Select the model of the session; a loaded predictor has no entry."""
        with (
            self.model.changed.blocked(),
            self.model_file.changed.blocked(),
            self.family.changed.blocked(),
        ):
            if model in self.model.choices:
                self.model.value = model
            elif isinstance(model, str | Path):
                self.family.value = family or FAMILY_OF_FILE
                # The file is chosen anew at every typed key; writing the field then
                # would change the text, such as a slash at its end.
                if Path(str(self.model_file.value)) != Path(model):
                    self.model_file.value = Path(model)
                self.model.value = OWN_FILE

    def show_state(self, choice: ModelChoice) -> None:
        """Describe the chosen model, and offer its download."""
        state = self.model.value, choice.is_at_hand
        if state != self._state:  # looking for all files takes time on network drives
            self._state = state
            self._offer()
        own_file = self.is_own_file
        self.model_file.visible = self.family.visible = own_file
        spec = None if own_file else get_model_spec(self.model.value)
        self.note.value, self.note.tooltip = model_text(spec, choice.loaded)
        self._download.visible = not (own_file or choice.is_at_hand)
        if spec is not None:
            self._download.text = download_text(spec)

    def _offer(self) -> None:
        """List the models anew if one was downloaded; the choice stays."""
        here = _models_here()
        if here == self._here:
            return
        self._here = here
        chosen = self.model.value
        with self.model.changed.blocked():
            self.model.choices = ()
            self.model.choices = self._choices
            self.model.value = chosen
        self._explain_choices()

    def _choices(self, _: Any = None) -> list[tuple[str, str]]:
        """List the models, those on this computer first."""
        here = self._here
        specs = sorted(list_models(), key=lambda spec: spec.name not in here)
        entries = [(choice_text(spec, spec.name in here), spec.name) for spec in specs]
        return [*entries, ("A file of your own ...", OWN_FILE)]

    def _explain_choices(self) -> None:
        native, role = self.model.native, Qt.ItemDataRole.ToolTipRole
        for index, (_, name) in enumerate(self._choices()):
            if name in MODELS:
                native.setItemData(index, purpose_text(MODELS[name]), role)
        # The closed list is narrow, the open one shows its entries whole.
        native.view().setMinimumWidth(native.view().sizeHintForColumn(0))


def _models_here() -> frozenset[str]:
    return frozenset(spec.name for spec in list_models() if is_cached(spec))
