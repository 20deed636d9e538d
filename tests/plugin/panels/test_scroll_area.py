"""The controls scroll when the window is too low for them."""

from typing import Any

import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_sam.plugin.panels.layout.scroll_area import VerticalScrollArea
from napari_sam.plugin.widget import SamWidget


def buttons(widget: SamWidget) -> list[Any]:
    native = [button.native for button in widget.panel.buttons.values()]
    return [button for button in native if button.isVisible()]


@pytest.mark.parametrize("height", [250, 500, 1500])
def test_controls_keep_their_height(qtbot: Any, height: int) -> None:
    widget = SamWidget(ViewerModel())
    for section in widget.panel.sections.values():
        section.expand()
    widget.native.resize(400, height)
    qtbot.addWidget(widget.native)
    widget.native.show()
    qtbot.waitExposed(widget.native)
    assert buttons(widget)
    qtbot.waitUntil(
        lambda: all(b.height() >= b.minimumSizeHint().height() for b in buttons(widget))
    )
    assert widget.panel.status.native.isVisible()
    assert not widget.panel.status.native.visibleRegion().isEmpty()
    widget.disconnect_viewer()


def test_no_scroll_bar_when_there_is_room(qtbot: Any) -> None:
    viewer = ViewerModel()
    widget = SamWidget(viewer)
    widget.native.resize(300, 1500)
    qtbot.addWidget(widget.native)
    widget.native.show()
    qtbot.waitExposed(widget.native)
    assert widget.panel is widget[0]  # it is open
    (scroll,) = widget.native.findChildren(VerticalScrollArea)
    bar = scroll.verticalScrollBar()
    for section in widget.panel.sections.values():
        section.expand()
        qtbot.waitUntil(lambda: not bar.isVisible() and bar.maximum() == 0)
    widget.disconnect_viewer()


def test_size_includes_the_border_of_the_theme(qtbot: Any) -> None:
    outer, content, inside = QWidget(), QWidget(), QWidget()
    inside.setFixedSize(100, 200)
    QVBoxLayout(content).addWidget(inside)
    scroll = VerticalScrollArea(content)
    scroll.setViewportMargins(3, 3, 3, 3)
    layout = QVBoxLayout(outer)
    layout.addWidget(scroll)
    layout.addStretch()
    qtbot.addWidget(outer)
    outer.resize(300, 600)
    outer.show()
    qtbot.waitExposed(outer)
    inside.setFixedSize(100, 300)  # something is opened
    bar = scroll.verticalScrollBar()
    qtbot.waitUntil(lambda: content.height() >= 300 and bar.maximum() == 0)


def test_width_is_that_of_the_content(qtbot: Any) -> None:
    content, inside = QWidget(), QWidget()
    inside.setMinimumSize(321, 2000)
    QVBoxLayout(content).addWidget(inside)
    scroll = VerticalScrollArea(content)
    qtbot.addWidget(scroll)
    assert scroll.minimumSizeHint().width() > 321
    assert scroll.minimumSizeHint().height() < 200
    assert scroll.sizeHint().height() >= 2000
