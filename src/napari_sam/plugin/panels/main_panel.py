"""Main panel of the dock widget: its sections, and the actions below them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, Container, ProgressBar, PushButton
from napari.layers import Image, Labels, Points, Shapes
from qtpy.QtWidgets import QSizePolicy

from napari_sam.plugin.panels.advanced import AdvancedPanel
from napari_sam.plugin.panels.automatic import AutomaticPanel
from napari_sam.plugin.panels.buttons import BUTTONS, CORRECT, SEGMENT, TOOLS
from napari_sam.plugin.panels.choices.axis_choice import AxisComboBox
from napari_sam.plugin.panels.choices.layer_combobox import LayerComboBox
from napari_sam.plugin.panels.choices.model_section import ModelSection
from napari_sam.plugin.panels.controls import button_row, column, form, wrapped_label
from napari_sam.plugin.panels.layout.font_fit import FontFit
from napari_sam.plugin.panels.layout.scroll_area import VerticalScrollArea
from napari_sam.plugin.panels.layout.section import Section
from napari_sam.plugin.panels.postprocessing import PostprocessingPanel
from napari_sam.plugin.panels.slice_strip import SliceStrip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from magicgui.widgets.bases import Widget
    from napari.components import ViewerModel

    from napari_sam.checkpoints.families import Family
    from napari_sam.plugin.layers.prompt_tool import Tool
    from napari_sam.plugin.session import SamSession

# Pixels between the controls and their scroll bar.
_SCROLL_BAR_GAP = 4
_STATUS_LINES = 3


class MainPanel(Container[Any]):
    """All controls of the widget, in the order of their use.

    Sections fold and scroll; the actions below them never move.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer with the layers.
    session : SamSession
        The session whose options are set.
    actions : mapping
        {button: action}, one for each entry of `BUTTONS`.

    Attributes
    ----------
    buttons : dict
        {name: button} of `BUTTONS`; each is an attribute as well.
    sections : dict
        {name: section}: "model", "prompt", "segment", "everything", "result",
        "correct" and "options".
    """

    def __init__(
        self,
        viewer: ViewerModel,
        session: SamSession,
        actions: Mapping[str, Callable[[], Any]],
    ) -> None:
        super().__init__(labels=False)
        self.margins = (0, 0, 0, 0)
        self.buttons: dict[str, PushButton] = {}
        for name, spec in BUTTONS.items():
            self.buttons[name] = spec.make(actions[name])
            setattr(self, name, self.buttons[name])
        for name in TOOLS.values():
            self.buttons[name].native.setCheckable(True)
        self._make_layer_choices(viewer, session)
        self._make_controls(session)
        self._contents: list[Widget] = []
        self.sections = self._make_sections()
        self.status = wrapped_label()
        self.progress = ProgressBar(min=0, max=1, value=0, tooltip="Work done so far")
        self.strip = SliceStrip(session.go_to_slice)
        self._arrange()
        # All of the height of the dock, so that the actions are at its bottom.
        self.native.setSizePolicy(
            QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding
        )
        self._font_fit = FontFit(self.native, self.status.native, _STATUS_LINES)

    def show_tool(self, tool: Tool | None) -> None:
        """Press the button of the tool that is on."""
        for name, button in TOOLS.items():
            native = self.buttons[button].native
            blocked = native.blockSignals(True)
            native.setChecked(name == tool)
            native.blockSignals(blocked)

    def select_model(self, model: object, family: Family | None) -> None:
        """Select the model of the session; a loaded predictor has no entry."""
        self.models.select(model, family)

    @property
    def layer_choices(self) -> tuple[LayerComboBox, ...]:
        """The combo boxes of image, points, boxes and labels layers."""
        return self.image, self.points, self.shapes, self.labels_layer

    def _make_layer_choices(self, viewer: ViewerModel, session: SamSession) -> None:
        def automatic() -> str:
            image = session.image_layer
            return "(no image)" if image is None else f"(automatic: {image.name})"

        self.image = LayerComboBox(
            viewer,
            Image,
            "Image",
            automatic,
            "The image to segment. Automatic: the selected image, or the topmost one",
        )
        self.points = LayerComboBox(
            viewer,
            Points,
            "Points",
            lambda: "(none)",
            "The layer that points are read from. 'Start' makes one",
        )
        self.shapes = LayerComboBox(
            viewer,
            Shapes,
            "Boxes",
            lambda: "(none)",
            "The layer that boxes and other shapes are read from. 'Start' makes one",
        )
        self.labels_layer = LayerComboBox(
            viewer,
            Labels,
            "Write into",
            lambda: "(new labels layer)",
            "The labels layer that accepted objects are written into",
        )

    def _make_controls(self, session: SamSession) -> None:
        self.models = ModelSection(self.buttons["download"])
        choice = session.model_choice
        self.select_model(choice.chosen, choice.family)
        self.model, self.model_file = self.models.model, self.models.model_file
        self.family, self.model_note = self.models.family, self.models.note
        self.each_prompt = CheckBox(
            text="Each box or point is a separate object",
            tooltip="Otherwise all boxes and points together describe one object",
        )
        self.live = CheckBox(
            text="Preview while drawing",
            value=True,
            tooltip="Outline the object again whenever a point or box changes",
        )
        clean_label = self.buttons["clean_label"]
        self.postprocessing = PostprocessingPanel(session, [clean_label])
        self.automatic = AutomaticPanel(session)
        self.advanced = AdvancedPanel(session)
        self.axis = AxisComboBox(session)

    def _make_sections(self) -> dict[str, Section]:
        everything = self._section(
            "Options of 'Everything'",
            "Size and quality of the objects that 'Everything' shows",
            self.automatic,
            folded=True,
        )
        sections = {
            "model": self._section(
                "Image and model",
                "What is segmented, and the network that does it",
                form(self.image.combo),
                self.models,
            ),
            "prompt": self._section(
                "Prompt",
                "Show the model an object: draw a box around it, or click on it",
                self.buttons["new_prompts"],
                self._row(*TOOLS.values()),
                self.each_prompt,
                self.live,
            ),
            "segment": self._section(
                "Segment",
                "Outline objects on this slice or in the stack",
                self._row(*SEGMENT),
                form(self.axis.combo),
            ),
            "everything": everything,
            "result": self._section(
                "Result",
                "What the outlined objects become",
                form(self.labels_layer.combo),
                self._row("next_alternative", "previous"),
                self.buttons["next_doubtful"],
            ),
            "correct": self._section(
                "Correct and measure",
                "Change, clean up and measure objects of the labels layer; train on "
                "them",
                *(self._row(*names) for names in CORRECT),
                self.buttons["train"],
                self.postprocessing,
                folded=True,
            ),
            "options": self._section(
                "Options",
                "Layers to draw in, zoom, overlaps, intensity, channels, memory",
                form(self.points.combo, self.shapes.combo),
                self.advanced,
                folded=True,
            ),
        }
        sections["segment"].add(everything)
        # Image and model are chosen then; the result of one needs the thresholds.
        for name in SEGMENT:
            self.buttons[name].changed.connect(lambda: sections["model"].collapse())
        self.buttons["segment_everything"].changed.connect(lambda: everything.expand())
        return sections

    def _section(
        self, title: str, tooltip: str, *controls: Widget, folded: bool = False
    ) -> Section:
        content = column(*controls)
        self._contents.append(content)
        return Section(title, content.native, tooltip, folded)

    def _row(self, *names: str) -> Container[Any]:
        return button_row(*(self.buttons[name] for name in names))

    def _arrange(self) -> None:
        sections = column()
        self._contents.append(sections)
        sections.margins = (0, 0, _SCROLL_BAR_GAP, 0)
        inside = sections.native.layout()
        for name, section in self.sections.items():
            if name != "everything":
                inside.addWidget(section)
        inside.addStretch()
        # The bar keeps its room, so that no button moves.
        policy = self.progress.native.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.progress.native.setSizePolicy(policy)
        self.extend(
            [
                self.status,
                self._row("accept", "discard"),
                button_row(self.progress, self.buttons["cancel"]),
            ]
        )
        layout = self.native.layout()
        layout.insertWidget(0, VerticalScrollArea(sections.native), 1)
        layout.insertWidget(1, self.strip)
