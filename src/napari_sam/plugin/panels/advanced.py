"""Panel of advanced options: zoom, labels, intensity, channels, cache, record."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FloatSpinBox,
    Label,
    SpinBox,
)
from napari.utils.notifications import show_info

from napari_sam.files import MEGABYTE
from napari_sam.images.intensity import IntensityMapping
from napari_sam.plugin.layers.image_source import ChannelChoice, channel_choices
from napari_sam.plugin.notifications import notify_errors
from napari_sam.plugin.panels.controls import (
    ButtonSpec,
    control_spec,
    keep_narrow,
    make_controls,
    show_values,
)
from napari_sam.plugin.panels.preferred.new_session import disk_cache
from napari_sam.plugin.preferences import Preferences
from napari_sam.records.environment import describe_environment
from napari_sam.records.record import write_record

if TYPE_CHECKING:
    from napari_sam.plugin.panels.controls import ControlTable
    from napari_sam.plugin.session import SamSession

_AUTO, _OFF, _FACTOR = "auto", "off", "factor"
_PERCENTILES, _WINDOW = "percentiles", "window"
_INTENSITIES = [
    ("as displayed", "display"),
    ("from the data", "data"),
    ("percentiles", _PERCENTILES),
    ("full range", "full"),
    ("CT window", _WINDOW),
]
_MAX_INTENSITY = 1e6
_POLICIES = [
    ("keep other objects", "keep"),
    ("overwrite other objects", "overwrite"),
    ("write on background only", "background"),
]
_CONTROLS: ControlTable = {
    "zoom": control_spec(
        ComboBox,
        "Zoom",
        "How much of a large image the model looks at. auto: the part around the "
        "prompt that fits the object. off: the whole image, in which small objects are "
        "lost. factor: a part that is this many times smaller than the image",
        choices=[_AUTO, _OFF, _FACTOR],
    ),
    "factor": control_spec(
        FloatSpinBox,
        "Factor",
        "4: the model looks at a quarter of the longer side of the image",
        min=1,
        max=1000,
        value=4,
    ),
    "label_choice": control_spec(
        ComboBox,
        "Label",
        "The label that the next object gets",
        choices=[("next free label", False), ("selected label", True)],
    ),
    "policy": control_spec(
        ComboBox,
        "Overlaps",
        "What happens where the next object overlaps other labels",
        choices=_POLICIES,
    ),
    "intensity": control_spec(
        ComboBox,
        "Intensity",
        "Which pixel values the model sees as black and white",
        choices=_INTENSITIES,
    ),
    "low": control_spec(
        FloatSpinBox,
        "Low (%)",
        "Share of the pixels that are shown as black",
        max=100,
        value=0.5,
    ),
    "high": control_spec(
        FloatSpinBox,
        "High (%)",
        "Share of the pixels below those shown as white",
        max=100,
        value=99.5,
    ),
    "window_centre": control_spec(
        FloatSpinBox,
        "Centre",
        "Pixel value shown as grey, for instance 40 HU",
        min=-_MAX_INTENSITY,
        max=_MAX_INTENSITY,
        value=40,
    ),
    "window_width": control_spec(
        FloatSpinBox,
        "Width",
        "Pixel values from black to white, for instance 400 HU",
        min=0.001,
        max=_MAX_INTENSITY,
        value=400,
    ),
}
_CACHE_CONTROLS: ControlTable = {
    "memory": control_spec(
        SpinBox,
        "Memory (MB)",
        "Memory for encoded slices. The model answers faster on them",
        min=16,
        max=1_000_000,
    ),
    "disk": control_spec(
        CheckBox,
        "Keep encoded slices on disk",
        "Later sessions reuse them, in half precision",
    ),
    "cache_text": control_spec(Label, " "),
}
_SAVE = ButtonSpec(
    "Save record ...",
    "Save how each object was made, as JSON. 'napari-sam replay' makes the labels "
    "again",
)
_COPY = ButtonSpec(
    "Copy information for a report",
    "Copy versions, devices and folders to the clipboard, as 'napari-sam info' prints "
    "them",
)
_COLOURS = ("Red", "Green", "Blue")


class AdvancedPanel(Container[Any]):
    """Options that most users do not need.

    Parameters
    ----------
    session : SamSession
        The session whose options are set.
    """

    def __init__(self, session: SamSession) -> None:
        super().__init__(widgets=list(make_controls(_CONTROLS).values()), labels=True)
        self.margins = (0, 0, 0, 0)
        self._session = session
        self.channels = [
            ComboBox(
                label=colour,
                choices=partial(self._channel_choices, index),
                tooltip=f"Channel that the model sees as {colour.lower()}",
            )
            for index, colour in enumerate(_COLOURS)
        ]
        self.save = _SAVE.make(self._save)
        for combo in (self.zoom, self.label_choice, self.policy, *self.channels):
            keep_narrow(combo)
        self.extend([*self.channels, *make_controls(_CACHE_CONTROLS).values()])
        self.copy_info = _COPY.make(_copy_environment)
        self.extend([self.save, self.copy_info])
        self._show_options()
        self._connect()
        self.refresh()

    def _show_options(self) -> None:
        """Show the options of the session, which may have had another panel before."""
        session, mapping = self._session, self._session.intensity
        values: dict[str, Any] = {
            "label_choice": session.target.use_selected_label,
            "policy": session.target.policy,
            "intensity": mapping.kind,
            "memory": session.cache.max_bytes // MEGABYTE,
            "disk": session.cache.disk is not None,
        }
        if mapping.kind == _PERCENTILES:
            values |= {"low": mapping.low, "high": mapping.high}
        elif mapping.kind == _WINDOW:
            values["window_centre"] = (mapping.low + mapping.high) / 2
            values["window_width"] = mapping.high - mapping.low
        show_values({name: self[name] for name in values}, values)

    def _connect(self) -> None:
        target = self._session.target
        self.label_choice.changed.connect(
            partial(setattr, target, "use_selected_label")
        )
        self.policy.changed.connect(partial(setattr, target, "policy"))
        for name in ("intensity", "low", "high", "window_centre", "window_width"):
            self[name].changed.connect(notify_errors(self._set_intensity))
        for name in ("zoom", "factor"):
            self[name].changed.connect(self._set_zoom)
        for combo in self.channels:
            combo.changed.connect(self._set_channels)
        self.memory.changed.connect(self._set_memory)
        self.disk.changed.connect(self._set_disk)

    def refresh(self) -> None:
        """Offer the channels of the image, and show the size of the cache."""
        cache = self._session.cache
        slices = "1 slice" if len(cache) == 1 else f"{len(cache)} slices"
        megabytes = cache.nbytes / MEGABYTE
        self.cache_text.value = f"{slices} encoded, {megabytes:.0f} MB in memory"
        self._show_intensity_controls()
        self._show_zoom()
        for combo in self.channels:
            with combo.changed.blocked():
                combo.reset_choices()
            combo.visible = len(combo.choices) > 1
        self._set_channels()

    def _show_intensity_controls(self) -> None:
        kind = self.intensity.value
        self.low.visible = self.high.visible = kind == _PERCENTILES
        self.window_centre.visible = self.window_width.visible = kind == _WINDOW

    def _set_intensity(self) -> None:
        self._show_intensity_controls()
        kind = self.intensity.value
        if kind == _PERCENTILES:
            mapping = IntensityMapping.percentiles(self.low.value, self.high.value)
        elif kind == _WINDOW:
            mapping = IntensityMapping.window(
                self.window_centre.value, self.window_width.value
            )
        else:
            mapping = IntensityMapping(kind)
        self._session.intensity = mapping

    def _show_zoom(self) -> None:
        """Show the zoom of the session, which scripts may have set."""
        zoom = self._session.zoom
        with self.zoom.changed.blocked(), self.factor.changed.blocked():
            if isinstance(zoom, float):
                self.zoom.value, self.factor.value = _FACTOR, zoom
            else:
                self.zoom.value = zoom
        self.factor.visible = isinstance(zoom, float)

    def _set_zoom(self) -> None:
        kind = self.zoom.value
        self._session.zoom = self.factor.value if kind == _FACTOR else kind

    def _set_memory(self, megabytes: int) -> None:
        self._session.cache.limit(megabytes * MEGABYTE)
        self.refresh()

    def _set_disk(self, on: bool) -> None:
        self._session.cache.disk = disk_cache(Preferences()) if on else None

    def _channel_choices(self, index: int, _: Any = None) -> list[tuple[str, Any]]:
        """List the channels for a colour, after an entry for none."""
        image = self._session.image_layer
        none = [("(none)" if index else "(as displayed)", None)]
        if image is None:
            return none
        choices = channel_choices(self._session.viewer, image)
        return none + [(self._name(choice), choice) for choice in choices]

    def _name(self, choice: ChannelChoice) -> str:
        if choice.layer is not None:
            return str(choice.layer.name)
        image = self._session.image_layer
        assert image is not None
        return f"{image.axis_labels[choice.axis]} = {choice.index}"

    def _set_channels(self, _: Any = None) -> None:
        chosen = tuple(c.value for c in self.channels if c.value is not None)
        if chosen != self._session.channels:
            self._session.channels = chosen

    def _save(self) -> None:
        from qtpy.QtWidgets import QFileDialog

        record = self._session.record()
        path, _ = QFileDialog.getSaveFileName(
            self.native, "Save record", "labels.json", "JSON (*.json)"
        )
        if path:
            write_record(path, record)


def _copy_environment() -> None:
    from qtpy.QtWidgets import QApplication

    clipboard = QApplication.clipboard()
    assert clipboard is not None
    clipboard.setText(describe_environment(load_torch=False))
    show_info("Copied: paste it into your report.")
