"""Controls for everything, without prompts: the search, and which masks count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, Container, FloatSlider, Label, SpinBox
from psygnal import Signal
from qtpy.QtWidgets import QSizePolicy

from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.linking import Linking
from napari_sam.automatic.search import SearchOptions, search_method_text
from napari_sam.plugin.panels.layer_combobox import button_row

if TYPE_CHECKING:
    from napari_sam.plugin.session import SamSession

_MOST_PIXELS = 10**9
_MOST_LEVELS = 2
_MOST_SLICES = 1000
_SHOWN, _LINKED = Thresholds(), Linking()


class AutomaticPanel(Container[Any]):
    """How everything is searched; thresholds that apply to what waits at once.

    Parameters
    ----------
    session : SamSession
        Is told every choice.
    """

    chosen = Signal()

    def __init__(self, session: SamSession) -> None:
        super().__init__(labels=True)
        self.margins = (0, 0, 0, 0)
        self._session = session
        self.how = Label(value="")
        self.how.native.setWordWrap(True)
        self.how.native.setSizePolicy(
            QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred
        )
        self.in_stack = CheckBox(
            text="In all slices",
            tooltip="Objects of the slices are linked to those of the stack. Takes as "
            "long as all slices one by one; Cancel keeps those that are done",
        )
        self.crops = SpinBox(
            label="Crops",
            min=0,
            max=_MOST_LEVELS,
            tooltip="For small objects: at 1 four parts are searched too, enlarged, at "
            "2 sixteen more. Takes as many times longer",
        )
        self.quality, self.score, self.stability = (
            FloatSlider(
                label=label, min=0, max=1, step=0.01, value=value, tooltip=tooltip
            )
            for label, value, tooltip in (
                (
                    "Trust",
                    _SHOWN.quality_thresh,
                    "Lower shows more objects, and more mistakes",
                ),
                (
                    "Score",
                    _SHOWN.pred_iou_thresh,
                    "Least quality by the model's own estimate",
                ),
                (
                    "Stability",
                    _SHOWN.stability_score_thresh,
                    "Least sharpness of the outline",
                ),
            )
        )
        self.smallest, self.largest = (
            SpinBox(
                label=label,
                min=0,
                max=_MOST_PIXELS,
                value=0,
                tooltip=f"{label} object, in pixels; 0 for no limit",
            )
            for label in ("Smallest", "Largest")
        )
        self.shortest = SpinBox(
            min=1,
            max=_MOST_SLICES,
            value=_LINKED.min_slices,
            tooltip="Objects through fewer slices are left out",
        )
        self.gap = SpinBox(
            min=0,
            max=_MOST_SLICES,
            value=_LINKED.gap,
            tooltip="So many slices without the object are bridged",
        )
        linked = Label(value="Slices, at least"), self.shortest
        self.linking = button_row(*linked, Label(value="Gap"), self.gap)
        self.linking.visible = False
        limits = self.quality, self.score, self.stability, self.smallest, self.largest
        sizes = button_row(*(c for w in limits[3:] for c in (Label(value=w.label), w)))
        where = button_row(Label(value=self.crops.label), self.crops, self.in_stack)
        self.extend([self.how, where, self.linking, *limits[:3], sizes])
        self.crops.changed.connect(self._choose_search)
        self.in_stack.changed.connect(self._choose_stack)
        for control in (*limits, self.shortest, self.gap):
            control.changed.connect(self._choose)

    def explain(self, prompts: frozenset[str] | None) -> None:
        """Say what a model that was taught these prompts is asked, if it is known."""
        how = "what the model was taught"
        if prompts is not None:
            how = search_method_text(prompts)
        self.how.value = f"Everything is found by {how}."

    def _choose_search(self, levels: int) -> None:
        self._session.search = SearchOptions(crop_n_layers=levels)

    def _choose_stack(self, in_stack: bool) -> None:
        self._session.everything_in_stack = self.linking.visible = in_stack

    def _choose(self, _: Any = None) -> None:
        smallest, largest = self.smallest.value, self.largest.value
        self._session.thresholds = Thresholds(
            self.score.value,
            self.stability.value,
            self.quality.value,
            min_size=smallest,
            # A largest size below the smallest is on its way to be typed.
            max_size=max(largest, smallest) if largest else None,
        )
        self._session.linking = Linking(self.gap.value, self.shortest.value)
        self.chosen.emit()
