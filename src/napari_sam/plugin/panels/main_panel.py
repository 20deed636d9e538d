"""Main panel of the dock widget: its controls and their layout."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FileEdit,
    ProgressBar,
    PushButton,
)
from napari.layers import Image, Labels, Points, Shapes

from napari_sam.checkpoints.families import Family
from napari_sam.checkpoints.registry import list_models
from napari_sam.plugin.panels.advanced import AdvancedPanel
from napari_sam.plugin.panels.automatic import AutomaticPanel
from napari_sam.plugin.panels.axis_choice import AxisComboBox
from napari_sam.plugin.panels.controls import ButtonSpec, button_row, wrapped_label
from napari_sam.plugin.panels.corrections.buttons import CORRECTION_BUTTONS
from napari_sam.plugin.panels.key_bindings import (
    ACCEPT,
    DISCARD,
    DOUBTFUL,
    NEXT,
    POLARITY,
    PREVIOUS,
    REFINE,
)
from napari_sam.plugin.panels.layer_combobox import LayerComboBox
from napari_sam.plugin.panels.postprocessing import PostprocessingPanel
from napari_sam.plugin.panels.scroll_area import VerticalScrollArea
from napari_sam.plugin.panels.slice_strip import SliceStrip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari.components import ViewerModel

    from napari_sam.plugin.layers.prompt_tool import Tool
    from napari_sam.plugin.session import SamSession

OWN_FILE = "own file ..."
FAMILY_OF_FILE = "as the file says"
START, NEW_PROMPTS = "Start", "New prompt layers"
# Pixels between the controls and their scroll bar.
_SCROLL_BAR_GAP = 4

BUTTONS = {
    "download": ButtonSpec("Download", "Download the weights of the model, once"),
    "new_prompts": ButtonSpec(
        START,
        "Add a points layer and a boxes layer over the image, and choose the box tool",
    ),
    "box": ButtonSpec("Box", "Draw a box around an object. A click on it does as well"),
    "positive": ButtonSpec(
        "Object point",
        "Click on the object. Points chosen with the select tool change, too "
        f"({POLARITY} switches object and background)",
    ),
    "negative": ButtonSpec(
        "Background point",
        "Click beside the object, on what does not belong to it; so does Alt+click "
        f"with the point tool ({POLARITY} switches object and background)",
    ),
    "segment_slice": ButtonSpec(
        "Segment slice", "Segment the displayed slice from its prompts"
    ),
    "segment_stack": ButtonSpec(
        "Segment stack",
        "Propagate the objects through the slices, from the prompts on all slices",
    ),
    "segment_everything": ButtonSpec(
        "Segment everything",
        "Find all objects of the slice without prompts, inside the drawn shapes if "
        "there are any. Takes half a minute or more; adjust the thresholds afterwards",
    ),
    "accept": ButtonSpec(
        "Accept", "Write the previewed objects into the labels layer", ACCEPT
    ),
    "discard": ButtonSpec("Discard", "Remove the preview and its prompts", DISCARD),
    "next_alternative": ButtonSpec(
        "Next alternative",
        "Show the next alternative mask, smaller or larger. Later prompts use the same "
        "size, unless the masks were found at several zooms",
        NEXT,
    ),
    "previous": ButtonSpec(
        "Previous object",
        "Bring back the prompts of the last accepted object, to correct it",
        PREVIOUS,
    ),
    "refine": ButtonSpec(
        "Refine label",
        "Correct the selected label of the labels layer on this slice. Select a label "
        "with the colour picker of the labels layer",
        REFINE,
    ),
    "next_doubtful": ButtonSpec(
        "Next doubtful slice",
        "Go to the next slice with a doubtful mask. Correct it with a box or points, "
        "and press 'Segment stack' again",
        DOUBTFUL,
    ),
    "cancel": ButtonSpec(
        "Cancel",
        "Stop without writing labels. Slices of a stack that are done stay in the "
        "preview",
    ),
    "clean_label": ButtonSpec(
        "Clean up the selected label",
        "Apply these options to an object of the labels layer (undo: Ctrl+Z on that "
        "layer)",
    ),
    "measure": ButtonSpec(
        "Measure objects ...",
        "Show size, slices and lowest score of every label in a table, to save as CSV",
    ),
    "train": ButtonSpec(
        "Train on these labels ...",
        "Fine-tune the model on your labels. Takes minutes; the original model is kept",
    ),
    **CORRECTION_BUTTONS,
}


# {tool: button}, the segments of one control.
TOOLS: dict[Tool, str] = {
    "box": "box",
    "object": "positive",
    "background": "negative",
}


class MainPanel(Container[Any]):
    """All controls of the widget, in the order of their use.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with the layers.
    session : SamSession
        The session whose options are set.
    actions : mapping
        {button: action}, one for each entry of `BUTTONS`.
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: SamSession,
        actions: Mapping[str, Callable[[], Any]],
    ) -> None:
        super().__init__(labels=True)
        self.margins = (0, 0, 0, 0)
        self.buttons: dict[str, PushButton] = {}
        for name, spec in BUTTONS.items():
            self.buttons[name] = spec.make(actions[name])
            setattr(self, name, self.buttons[name])
        for name in TOOLS.values():
            self.buttons[name].native.setCheckable(True)
        self._make_inputs(viewer, session)
        self._make_sections(session)
        self.progress = ProgressBar(label="", min=0, max=1, value=0)
        self.status = wrapped_label()
        self.strip = SliceStrip(session.go_to_slice)
        self._arrange()

    def show_tool(self, tool: Tool | None) -> None:
        """Press the button of the tool that is on."""
        for name, button in TOOLS.items():
            native = self.buttons[button].native
            blocked = native.blockSignals(True)
            native.setChecked(name == tool)
            native.blockSignals(blocked)

    def select_model(self, model: object, family: Family | None) -> None:
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

    @property
    def layer_choices(self) -> tuple[LayerComboBox, ...]:
        """The combo boxes of image, points, boxes and labels layers."""
        return self.image, self.points, self.shapes, self.labels_layer

    def _make_inputs(self, viewer: ViewerModel, session: SamSession) -> None:
        def automatic() -> str:
            image = session.image_layer
            return "(no image)" if image is None else f"(automatic: {image.name})"

        self.image = LayerComboBox(viewer, Image, "Image", automatic)
        names = [spec.name for spec in list_models()]
        self.model = ComboBox(label="Model", choices=[*names, OWN_FILE])
        self.model_file = FileEdit(label="File", filter="*.pth *.pt *.safetensors")
        self.family = ComboBox(
            label="Trained as", choices=[FAMILY_OF_FILE, *get_args(Family)]
        )
        self.model_note = wrapped_label()
        self.points = LayerComboBox(viewer, Points, "Points", lambda: "(none)")
        self.shapes = LayerComboBox(viewer, Shapes, "Boxes", lambda: "(none)")
        self.labels_layer = LayerComboBox(
            viewer, Labels, "Labels", lambda: "(new layer)"
        )
        self.each_prompt = CheckBox(
            text="Each box or point is a separate object",
            tooltip="Otherwise all prompts together describe one object",
        )
        self.live = CheckBox(
            text="Preview while drawing",
            value=True,
            tooltip="Segment the slice again whenever a point or box changes",
        )

    def _make_sections(self, session: SamSession) -> None:
        labels = [self.buttons[name] for name in ("clean_label", "measure", "train")]
        self.postprocessing = PostprocessingPanel(session, labels)
        self.automatic = AutomaticPanel(session)
        self.advanced = AdvancedPanel(session)
        self.axis = AxisComboBox(session)
        self.show_postprocessing = CheckBox(text="Clean up, measure, train")
        self.show_automatic = CheckBox(
            text="Automatic options",
            tooltip="Thresholds, sizes, crops and slices for 'Segment everything'",
        )
        self.show_advanced = CheckBox(text="More options")
        for check_box, section in (
            (self.show_postprocessing, self.postprocessing),
            (self.show_automatic, self.automatic),
            (self.show_advanced, self.advanced),
        ):
            section.visible = False
            check_box.changed.connect(partial(setattr, section, "visible"))
        # Its result needs the thresholds.
        self.buttons["segment_everything"].changed.connect(
            lambda: setattr(self.show_automatic, "value", True)
        )

    def _arrange(self) -> None:
        def row(*names: str) -> Container[Any]:
            return button_row(*(self.buttons[name] for name in names))

        controls = Container[Any](
            widgets=[
                self.image.combo,
                self.model,
                self.model_file,
                self.family,
                self.model_note,
                self.buttons["download"],
                self.buttons["new_prompts"],
                self.points.combo,
                self.shapes.combo,
                row(*TOOLS.values()),
                self.each_prompt,
                button_row(self.live, self.show_advanced),
                self.labels_layer.combo,
                button_row(self.show_postprocessing, self.show_automatic),
                self.postprocessing,
                self.automatic,
                self.advanced,
                self.axis.combo,
                row("segment_slice", "segment_stack", "segment_everything"),
                row("accept", "discard"),
                row("next_alternative", "previous"),
                row("refine", "next_doubtful"),
                row("split_label", "merge_labels", "delete_label"),
                row("rename_label", "relabel"),
            ]
        )
        controls.margins = (0, 0, _SCROLL_BAR_GAP, 0)
        # Progress and status stay visible while the controls scroll.
        self.extend([button_row(self.progress, self.buttons["cancel"]), self.status])
        layout = self.native.layout()
        layout.insertWidget(0, VerticalScrollArea(controls.native))
        layout.addWidget(self.strip)
        layout.addStretch()
