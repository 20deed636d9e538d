"""Options of the widget: brightness, channels, ids and overlaps, the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FloatSpinBox,
    Label,
    PushButton,
    SpinBox,
)

from napari_sam.checkpoints.download import cache_folder
from napari_sam.files import MEGABYTE
from napari_sam.images.intensity import IntensityMapping
from napari_sam.plugin.layers.image_source import ChannelChoice, channel_choices
from napari_sam.prediction.disk_cache import DiskCache
from napari_sam.records.record import write_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.plugin.session import SamSession

_AS_DISPLAYED, _PERCENTILES = "as displayed", "percentiles"
_FULL, _WINDOW = "full range", "CT window"
_POLICIES = [
    ("keep other objects", "keep"),
    ("overwrite other objects", "overwrite"),
    ("write on background only", "background"),
]
_IDS = [("next free label", False), ("selected label", True)]
_WIDEST = 1e6


class AdvancedPanel(Container[Any]):
    """Everything that most users leave as it is.

    Parameters
    ----------
    session : SamSession
        Is told every choice.
    refused : callable
        Takes an action and returns one that shows its error as a sentence.
    """

    def __init__(
        self,
        session: SamSession,
        refused: Callable[[Callable[[], Any]], Callable[[], None]],
    ) -> None:
        super().__init__(labels=True)
        self.margins = (0, 0, 0, 0)
        self._session = session
        self._make()
        self._connect(refused)
        self.refresh()

    def _make(self) -> None:
        self.ids = ComboBox(label="Label", choices=_IDS)
        self.policy = ComboBox(label="Overlaps", choices=_POLICIES)
        self.intensity = ComboBox(
            label="Brightness",
            choices=[_AS_DISPLAYED, _PERCENTILES, _FULL, _WINDOW],
            tooltip="Which values the model sees as black and white",
        )
        self.low = FloatSpinBox(min=0, max=100, value=0.5, label="Low")
        self.high = FloatSpinBox(min=0, max=100, value=99.5, label="High")
        self.window_centre = FloatSpinBox(
            min=-_WIDEST, max=_WIDEST, value=40, label="Centre"
        )
        self.window_width = FloatSpinBox(
            min=0.001, max=_WIDEST, value=400, label="Width"
        )
        self.channels = [
            ComboBox(label="Red", choices=self._first_choices),
            ComboBox(label="Green", choices=self._channel_choices),
            ComboBox(label="Blue", choices=self._channel_choices),
        ]
        self.memory = SpinBox(
            label="Memory",
            min=16,
            max=1_000_000,
            value=self._session.cache.max_bytes // MEGABYTE,
            tooltip="Megabytes for encoded slices, which answer at once",
        )
        self.disk = CheckBox(
            text="Keep encoded slices on disk",
            tooltip="A later session need not encode them again; in half precision",
        )
        self.held = Label(value="")
        self.save = PushButton(
            text="Save record ...",
            tooltip="How the objects were made, as JSON: napari-sam replay reads it",
        )
        self.extend(
            [
                self.ids,
                self.policy,
                self.intensity,
                *(self.low, self.high, self.window_centre, self.window_width),
                *self.channels,
                self.memory,
                self.disk,
                self.held,
                self.save,
            ]
        )

    def _connect(
        self, refused: Callable[[Callable[[], Any]], Callable[[], None]]
    ) -> None:
        session = self._session
        self.ids.changed.connect(
            lambda on: setattr(session.target, "use_selected_label", on)
        )
        self.policy.changed.connect(lambda p: setattr(session.target, "policy", p))
        for control in (
            self.intensity,
            self.low,
            self.high,
            self.window_centre,
            self.window_width,
        ):
            control.changed.connect(refused(self._choose_brightness))
        for combo in self.channels:
            combo.changed.connect(self._choose_channels)
        self.memory.changed.connect(self._choose_memory)
        self.disk.changed.connect(self._choose_disk)
        self.save.changed.connect(refused(self._save))

    def refresh(self) -> None:
        """Offer the channels of the image, and say what is held in memory."""
        cache = self._session.cache
        held = cache.nbytes / MEGABYTE
        slices = "1 slice" if len(cache) == 1 else f"{len(cache)} slices"
        self.held.value = f"{slices} encoded, {held:.0f} MB in memory"
        self._show_numbers()
        for combo in self.channels:
            with combo.changed.blocked():
                combo.reset_choices()
            combo.visible = len(combo.choices) > 1
        self._choose_channels()

    def _show_numbers(self) -> None:
        """Show the numbers that the chosen brightness has."""
        kind = self.intensity.value
        self.low.visible = self.high.visible = kind == _PERCENTILES
        self.window_centre.visible = self.window_width.visible = kind == _WINDOW

    def _choose_brightness(self) -> None:
        self._show_numbers()
        kind = self.intensity.value
        mapping = IntensityMapping.display()
        if kind == _PERCENTILES:
            mapping = IntensityMapping.percentiles(self.low.value, self.high.value)
        elif kind == _FULL:
            mapping = IntensityMapping.full()
        elif kind == _WINDOW:
            centre, width = self.window_centre.value, self.window_width.value
            mapping = IntensityMapping.window(centre, width)
        self._session.intensity = mapping

    def _first_choices(self, _: Any = None) -> list[tuple[str, Any]]:
        return [("(as displayed)", None), *self._channel_choices()[1:]]

    def _choose_memory(self, megabytes: int) -> None:
        self._session.cache.limit(megabytes * MEGABYTE)
        self.refresh()

    def _choose_disk(self, on: bool) -> None:
        folder = cache_folder() / "embeddings"
        self._session.cache.disk = DiskCache(folder) if on else None

    def _channel_choices(self, _: Any = None) -> list[tuple[str, Any]]:
        image = self._session.image_layer
        nothing: list[tuple[str, Any]] = [("(none)", None)]
        if image is None:
            return nothing
        choices = channel_choices(self._session.viewer, image)
        return nothing + [(self._name(choice), choice) for choice in choices]

    def _name(self, choice: ChannelChoice) -> str:
        if choice.layer is not None:
            return str(choice.layer.name)
        image = self._session.image_layer
        assert image is not None
        return f"{image.axis_labels[choice.axis]} = {choice.index}"

    def _choose_channels(self, _: Any = None) -> None:
        picked = tuple(c.value for c in self.channels if c.value is not None)
        if picked != self._session.channels:
            self._session.channels = picked

    def _save(self) -> None:
        from qtpy.QtWidgets import QFileDialog

        record = self._session.record()
        path, _ = QFileDialog.getSaveFileName(
            self.native, "Save record", "labels.json", "JSON (*.json)"
        )
        if path:
            write_record(path, record)
