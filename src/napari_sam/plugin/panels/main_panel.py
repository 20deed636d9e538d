"""The controls of the dock widget and where they stand; no behaviour."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FileEdit,
    Label,
    ProgressBar,
    PushButton,
)
from napari.layers import Image, Labels, Points, Shapes
from qtpy.QtWidgets import QComboBox, QSizePolicy

from napari_sam.checkpoints.families import Family
from napari_sam.checkpoints.registry import list_models
from napari_sam.plugin.panels.advanced import AdvancedPanel
from napari_sam.plugin.panels.automatic import AutomaticPanel
from napari_sam.plugin.panels.axis_choice import AxisComboBox
from napari_sam.plugin.panels.key_bindings import (
    ACCEPT,
    DISCARD,
    DOUBT,
    NEXT,
    POLARITY,
    PREVIOUS,
)
from napari_sam.plugin.panels.layer_combobox import LayerComboBox, button_row
from napari_sam.plugin.panels.postprocessing import PostprocessingPanel
from napari_sam.plugin.panels.scroll_area import VerticalScrollArea
from napari_sam.plugin.panels.slice_strip import SliceStrip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari.components import ViewerModel

    from napari_sam.plugin.session import SamSession

OWN_FILE = "own file ..."
AS_IT_SAYS = "as the file says"
# Characters of a layer's name that are seen in any case.
_NAME_LENGTH = 16
# Pixels between the controls and the bar that scrolls them.
_BESIDE_BAR = 4
START, NEW_PROMPTS = "Start", "New prompt layers"


class MainPanel(Container[Any]):
    """All controls, in the order in which they are needed.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers are offered.
    session : SamSession
        Is told the options.
    refused : callable
        Takes an action and returns one that shows its error as a sentence.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: SamSession,
        refused: Callable[[Callable[[], Any]], Callable[[], None]],
    ) -> None:
        super().__init__(labels=True)
        self._make_choices(viewer, session)
        self.through = AxisComboBox(session)
        self.afterwards_too = CheckBox(text="Clean up, measure, train")
        self.afterwards = PostprocessingPanel(session)
        self.everything = AutomaticPanel(session)
        self._make_buttons()
        self.more = CheckBox(text="More options")
        self.more_options = AdvancedPanel(session, refused)
        self.everything_too = CheckBox(
            text="Everything: how",
            tooltip="Thresholds, sizes, crops and all slices, for Everything",
        )
        # Its thresholds are wanted once something is found.
        self.segment_everything.changed.connect(
            lambda: setattr(self.everything_too, "value", True)
        )
        for shown, part in (
            (self.afterwards_too, self.afterwards),
            (self.everything_too, self.everything),
            (self.more, self.more_options),
        ):
            part.visible = False
            shown.changed.connect(partial(setattr, part, "visible"))
        self.progress = ProgressBar(label="", min=0, max=1, value=0)
        self.status = Label(value="")
        self.strip = SliceStrip(session.waiting.go_to)
        # Else the panel's width, and with it the canvas, would change with every
        # sentence and layer name: under the hand that draws.
        for text in (self.model_note, self.status):
            text.native.setWordWrap(True)
            text.native.setSizePolicy(
                QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred
            )
        for choice in (self.image, self.points, self.shapes, self.labels_layer):
            box = choice.combo.native
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(_NAME_LENGTH)
        controls = Container[Any](
            widgets=[
                self.image.combo,
                self.model,
                self.model_file,
                self.family,
                self.model_note,
                self.download,
                self.new_prompts,
                self.points.combo,
                self.shapes.combo,
                button_row(self.positive, self.negative),
                self.each,
                button_row(self.live, self.more),
                self.labels_layer.combo,
                button_row(self.afterwards_too, self.everything_too),
                self.afterwards,
                self.everything,
                self.more_options,
                self.through.combo,
                button_row(
                    self.segment_slice, self.segment_stack, self.segment_everything
                ),
                button_row(self.accept, self.discard),
                button_row(self.next_candidate, self.previous),
                button_row(self.refine, self.doubtful),
            ]
        )
        controls.margins = (0, 0, _BESIDE_BAR, 0)
        # What is going on stays in sight, whatever is scrolled.
        self.extend([button_row(self.progress, self.cancel), self.status])
        self.native.layout().insertWidget(0, VerticalScrollArea(controls.native))
        self.native.layout().addWidget(self.strip)
        self.native.layout().addStretch()

    def choose_file(self, path: Path, family: Family) -> None:
        """Choose weights from a file, as a user would."""
        self.family.value = family
        self.model_file.value = path
        self.model.value = OWN_FILE

    def _make_choices(self, viewer: ViewerModel, session: SamSession) -> None:
        def automatic() -> str:
            image = session.image_layer
            return "(no image)" if image is None else f"(automatic: {image.name})"

        self.image = LayerComboBox(viewer, Image, "Image", automatic)
        names = [spec.name for spec in list_models()]
        self.model = ComboBox(label="Model", choices=[*names, OWN_FILE])
        self.model_file = FileEdit(label="File", filter="*.pth *.pt *.safetensors")
        self.family = ComboBox(
            label="Trained as", choices=[AS_IT_SAYS, *get_args(Family)]
        )
        self.model_note = Label(value="")
        self.points = LayerComboBox(viewer, Points, "Points", lambda: "(none)")
        self.shapes = LayerComboBox(viewer, Shapes, "Boxes", lambda: "(none)")
        self.labels_layer = LayerComboBox(
            viewer, Labels, "Labels", lambda: "(new layer)"
        )
        self.each = CheckBox(
            text="Each box or point is an object of its own",
            tooltip="Otherwise all prompts together describe one object",
        )
        self.live = CheckBox(
            text="Preview while drawing",
            value=True,
            tooltip="Segment the slice again whenever a point or box changes",
        )

    def _make_buttons(self) -> None:
        self.download = PushButton(
            text="Download", tooltip="Bring the weights of the model, once"
        )
        self.new_prompts = PushButton(
            text=START,
            tooltip="Add a points and a boxes layer that lie over the image, with the "
            "drawing tool ready",
        )
        self.positive = PushButton(
            text="Point: object",
            tooltip=f"The next and selected points lie on it ({POLARITY} changes it)",
        )
        self.negative = PushButton(
            text="Point: background",
            tooltip=f"The next and selected points lie off it ({POLARITY} changes it)",
        )
        self.segment_slice = PushButton(
            text="Segment slice", tooltip="Segment from the prompts on this slice"
        )
        self.segment_stack = PushButton(
            text="Segment stack",
            tooltip="Follow the objects through the slices, from all their prompts",
        )
        self.segment_everything = PushButton(
            text="AutomaticPanel",
            tooltip="Find all objects, without prompts; shapes drawn on the slice say "
            "where. Takes half a minute or more; thresholds are changed afterwards",
        )
        self.accept = PushButton(
            text=f"Accept ({ACCEPT})", tooltip="Write it into the labels"
        )
        self.discard = PushButton(
            text=f"Discard ({DISCARD})", tooltip="Forget it and its prompts"
        )
        self.next_candidate = PushButton(
            text=f"Next candidate ({NEXT})",
            tooltip="The model sees objects of several sizes here: show the next one, "
            "and mean that size from now on",
        )
        self.previous = PushButton(
            text=f"Previous object ({PREVIOUS})",
            tooltip="Bring back the prompts of the last object, to correct it",
        )
        self.refine = PushButton(
            text="Refine label",
            tooltip="Correct the selected label of the labels layer on this slice; "
            "pick one with the labels layer's colour picker",
        )
        self.doubtful = PushButton(
            text=f"Next doubtful slice ({DOUBT})",
            tooltip="Go to the next slice of the stack on which an object is doubtful; "
            "correct it with a box or points, and segment the stack again",
        )
        self.cancel = PushButton(
            text="Cancel",
            tooltip="Stop; nothing is written. The slices of a stack that are done "
            "stay in the preview",
        )
        self.clean_label = self.afterwards.clean_label
        self.measure = self.afterwards.measure
        self.train = self.afterwards.train
        # What they do, for when they are on; see `availability.disabled_reason`.
        self.tooltips = {
            name: str(button.tooltip or "")
            for name, button in vars(self).items()
            if isinstance(button, PushButton)
        }
