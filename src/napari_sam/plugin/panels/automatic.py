"""Panel for automatic segmentation: the search and its thresholds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, Container, FloatSlider, FloatSpinBox, SpinBox
from psygnal import Signal

from napari_sam.automatic.candidate import Candidate
from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.instances.candidate import InstanceCandidate
from napari_sam.automatic.linking import Linking
from napari_sam.automatic.search import search_method_text
from napari_sam.plugin.labels.pixel_size import PIXEL, PixelSize
from napari_sam.plugin.panels.button_states import SINGLE_PLANE
from napari_sam.plugin.panels.controls import (
    control_spec,
    form,
    make_controls,
    show_values,
    wrapped_label,
)

if TYPE_CHECKING:
    from napari_sam.checkpoints.prompt_support import PromptSupport
    from napari_sam.plugin.panels.controls import ControlTable
    from napari_sam.plugin.session import SamSession

_THRESHOLDS, _LINKING = Thresholds(), Linking()
_FRACTION = {"max": 1, "step": 0.01}
_PIXELS, _SLICES = 10**9, 1000
_IN_STACK = (
    "Segment every slice and join the objects across slices. Cancel keeps the slices "
    "that are done"
)
_CONTROLS: ControlTable = {
    "crops": control_spec(
        SpinBox,
        "Crops",
        "For small objects: 1 also searches 4 enlarged parts of the image, 2 another "
        "16. The search takes as many times longer",
        max=2,
    ),
    "diameter": control_spec(
        FloatSpinBox,
        "Diameter",
        "Usual diameter of the objects (0 = find it out)",
        max=_PIXELS,
    ),
    "in_stack": control_spec(
        CheckBox,
        "In all slices",
        _IN_STACK,
    ),
    "quality": control_spec(
        FloatSlider,
        "Quality",
        "How sure the model is that this is an object. Lower it to show more "
        "objects, with more mistakes among them",
        value=Candidate.usual_quality,
        **_FRACTION,
    ),
    "pred_iou": control_spec(
        FloatSlider,
        "Predicted fit",
        "Smallest predicted IoU: how well the model thinks that an outline fits",
        value=_THRESHOLDS.pred_iou_thresh,
        **_FRACTION,
    ),
    "stability": control_spec(
        FloatSlider,
        "Sharpness",
        "Smallest stability score: how sharp an outline is",
        value=_THRESHOLDS.stability_score_thresh,
        **_FRACTION,
    ),
    "min_size": control_spec(
        FloatSpinBox,
        "Smallest",
        "Hide objects with a smaller area (0 = off)",
        max=_PIXELS,
    ),
    "max_size": control_spec(
        FloatSpinBox,
        "Largest",
        "Hide objects with a larger area (0 = off)",
        max=_PIXELS,
    ),
    "min_slices": control_spec(
        SpinBox,
        "Least slices",
        "Hide objects on fewer slices",
        min=1,
        max=_SLICES,
        value=_LINKING.min_slices,
    ),
    "gap": control_spec(
        SpinBox,
        "Longest gap",
        "Interpolate over at most this many missing slices",
        max=_SLICES,
        value=_LINKING.gap,
    ),
}
_SEARCH_CONTROLS = {"crops", "diameter", "in_stack"}
# Controls of sizes, with the power of the pixel size in them.
_SIZE_CONTROLS = {"diameter": 1, "min_size": 2, "max_size": 2}
# Controls that only the search by prompts has.
_PROMPT_CONTROLS = ("pred_iou", "stability")


class AutomaticPanel(Container[Any]):
    """Controls of automatic segmentation.

    The search applies to the next run; thresholds apply to the preview at once.

    Parameters
    ----------
    session : SamSession
        The session whose `search`, `thresholds` and `linking` are set.
    """

    options_changed = Signal()

    def __init__(self, session: SamSession) -> None:
        super().__init__(labels=False)
        self.margins = (0, 0, 0, 0)
        self._session = session
        self.controls = controls = make_controls(_CONTROLS)
        self.method = wrapped_label()
        self._by_head: bool | None = None
        self._pixel = PIXEL
        self.linking = form(controls["min_slices"], controls["gap"])
        thresholds = ("quality", "pred_iou", "stability", "min_size", "max_size")
        self.extend(
            [
                self.method,
                form(*(controls[name] for name in thresholds)),
                form(controls["diameter"], controls["crops"], controls["in_stack"]),
                self.linking,
            ]
        )
        self.show_options()
        controls["crops"].changed.connect(self._set_search)
        controls["diameter"].changed.connect(self._set_search)
        controls["in_stack"].changed.connect(self._set_in_stack)
        for name, control in controls.items():
            if name not in _SEARCH_CONTROLS:
                control.changed.connect(self._set_thresholds)

    def show_options(self) -> None:
        """Show the options of the session, which a script or a panel may have set."""
        session, pixel = self._session, self._pixel
        thresholds, search, linking = (
            session.thresholds,
            session.search,
            session.linking,
        )
        usual = InstanceCandidate if self._by_head else Candidate
        quality, search = thresholds.quality_thresh, session.search
        values = {
            "quality": usual.usual_quality if quality is None else quality,
            "pred_iou": thresholds.pred_iou_thresh,
            "stability": thresholds.stability_score_thresh,
            "min_size": pixel.area(thresholds.min_size),
            "max_size": pixel.area(thresholds.max_size or 0),
            "diameter": (search.object_diameter or 0) * pixel.side,
            "crops": search.crop_n_layers,
            "in_stack": session.everything_in_stack,
            "min_slices": linking.min_slices,
            "gap": linking.gap,
        }
        show_values(self.controls, values)
        self.linking.visible = session.everything_in_stack

    def show_pixel(self, pixel: PixelSize) -> None:
        """Show sizes in the unit of the image."""
        if pixel == self._pixel:
            return
        self._pixel = pixel
        for name, power in _SIZE_CONTROLS.items():
            native = self.controls[name].native
            native.setSuffix(f" {pixel.text(power)}")
            native.setDecimals(pixel.decimals(power))
        self.show_options()

    def show_axes(self, has_stack: bool) -> None:
        """Offer all slices only where there are several."""
        in_stack = self.controls["in_stack"]
        in_stack.enabled = has_stack
        in_stack.tooltip = _IN_STACK if has_stack else SINGLE_PLANE
        if not has_stack:
            in_stack.value = False

    def show_method(self, support: PromptSupport | None) -> None:
        """Show how a model finds objects, if known, and what can be set for it."""
        method = "the prompts that the model was trained on"
        by_head = False
        if support is not None:
            method = search_method_text(support)
            by_head = support.automatic_method == "instances"
        self.method.value = f"Objects are found by {method}."
        if by_head == self._by_head:
            return
        is_first, self._by_head = self._by_head is None, by_head
        self.controls["diameter"].visible = by_head
        self.controls["crops"].visible = not by_head
        for name in _PROMPT_CONTROLS:
            self.controls[name].visible = not by_head
        if is_first:
            self.show_options()
            return
        usual = InstanceCandidate if by_head else Candidate
        self.controls["quality"].value = usual.usual_quality
        self._set_search()

    def _set_search(self) -> None:
        by_head, diameter = self._by_head, self.controls["diameter"].value
        pixels = diameter / self._pixel.side
        self._session.search = replace(
            self._session.search,
            crop_n_layers=0 if by_head else self.controls["crops"].value,
            object_diameter=pixels if by_head and diameter else None,
        )

    def _set_in_stack(self, in_stack: bool) -> None:
        self._session.everything_in_stack = self.linking.visible = in_stack

    def _set_thresholds(self) -> None:
        values = {name: control.value for name, control in self.controls.items()}
        min_size, max_size = (
            self._pixel.count(values[name]) for name in ("min_size", "max_size")
        )
        # What the user picked and dropped stays.
        self._session.thresholds = replace(
            self._session.thresholds,
            pred_iou_thresh=values["pred_iou"],
            stability_score_thresh=values["stability"],
            quality_thresh=values["quality"],
            min_size=min_size,
            # A maximum below the minimum is still being typed.
            max_size=max(max_size, min_size) if max_size else None,
        )
        self._session.linking = Linking(values["gap"], values["min_slices"])
        self.options_changed.emit()
