"""The sections of the panel fold; what they hold explains itself."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_sam.plugin.panels.layout.font_fit import row_labels
from napari_sam.plugin.panels.layout.section import Section
from napari_sam.plugin.widget import SamWidget
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import press

CONTROLS = (QAbstractButton, QSlider, QAbstractSpinBox, QComboBox, QLineEdit)


@pytest.fixture
def widget(qtbot: Any) -> Iterator[SamWidget]:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((40, 50), np.uint8), contrast_limits=(0, 255))
    widget = SamWidget(viewer)
    widget.session.model = BrightPredictor()
    qtbot.addWidget(widget.native)
    widget.native.resize(400, 700)
    widget.native.show()
    qtbot.waitExposed(widget.native)
    yield widget
    widget.disconnect_viewer()


def explained(control: QWidget, top: QWidget) -> bool:
    """Whether a control has a tooltip; parts of it have that of the whole."""
    part: QWidget | None = control
    while part is not None and part is not top:
        if part.toolTip():
            return True
        part = part.parentWidget()
    return False


def test_every_control_has_a_tooltip(widget: SamWidget) -> None:
    controls = [c for k in CONTROLS for c in widget.native.findChildren(k)]
    assert len(controls) > 50
    silent = [
        getattr(control, "text", type(control).__name__)
        for control in controls
        if not explained(control, widget.native)
    ]
    assert silent == []


def test_image_and_model_fold_when_the_work_starts(widget: SamWidget) -> None:
    section = widget.panel.sections["model"]
    assert section.isExpanded()
    press(widget.panel.new_prompts)
    assert not section.isExpanded()
    assert section.text().startswith("\N{BLACK RIGHT-POINTING SMALL TRIANGLE} Image")
    widget.native.resize(900, 700)
    assert "Image, LiteMedSAM" in section.text()


def test_actions_stay_where_they_are(widget: SamWidget, qtbot: Any) -> None:
    names = ("accept", "discard", "cancel")

    def places() -> list[int]:
        native = [widget.panel.buttons[name].native for name in names]
        return [b.mapTo(widget.native, b.rect().topLeft()).y() for b in native]

    before = places()
    for section in widget.panel.sections.values():
        (section.collapse if section.isExpanded() else section.expand)()
        qtbot.wait(1)
        assert places() == before
    widget.panel.progress.visible = True
    qtbot.wait(1)
    assert places() == before


def test_rows_are_aligned(widget: SamWidget, qtbot: Any) -> None:
    for section in widget.panel.sections.values():
        section.expand()
    qtbot.wait(10)
    widths = {label.width() for label in row_labels(widget.native) if label.isVisible()}
    assert len(widths) == 1


def test_a_stack_is_not_offered_for_a_single_plane(widget: SamWidget) -> None:
    in_stack = widget.panel.automatic.controls["in_stack"]
    assert not widget.panel.segment_stack.enabled
    assert "no slices" in widget.panel.segment_stack.tooltip
    assert not in_stack.enabled
    assert "no slices" in in_stack.tooltip
    widget.session.viewer.add_image(np.zeros((3, 40, 50), np.uint8))
    assert widget.panel.segment_stack.enabled
    assert in_stack.enabled
    assert "no slices" not in in_stack.tooltip


def test_a_long_name_does_not_widen_the_panel(widget: SamWidget) -> None:
    width = widget.native.minimumSizeHint().width()
    widget.session.viewer.layers[0].name = "long name " * 20
    widget.panel.sections["model"].collapse()
    assert widget.native.minimumSizeHint().width() == width


def test_content_may_grow_while_unfolded(qtbot: Any) -> None:
    outer, content, inside = QWidget(), QWidget(), QWidget()
    inside.setFixedSize(100, 20)
    QVBoxLayout(content).addWidget(inside)
    section = Section("Title", content, "Tooltip")
    QVBoxLayout(outer).addWidget(section)
    qtbot.addWidget(outer)
    outer.show()
    qtbot.waitExposed(outer)
    inside.setFixedSize(100, 300)
    qtbot.waitUntil(lambda: content.height() >= 300)
    qtbot.mouseClick(section.toggleButton(), Qt.MouseButton.LeftButton)
    assert not section.isExpanded()
    assert not inside.isVisible()
    section.expand()
    qtbot.waitUntil(lambda: inside.isVisible() and content.height() >= 300)
