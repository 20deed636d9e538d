"""The zoom in the widget: choice, live preview, frame, and a view that moves."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.plugin.layers.preview.drawing import FRAME, OUTLINE
from napari_sam.plugin.layers.visible_region import camera_of
from napari_sam.plugin.widget import SamWidget
from tests.helpers.sessions import corners, press
from tests.plugin.test_zoom import PLACE, SIDE, DiscOfWindow

LONG = 20_000


class Waiting(DiscOfWindow):
    """Answers when `go` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.go.set()

    def predict_batch(self, *args: Any, **options: Any) -> Any:
        self.go.wait(20)
        return super().predict_batch(*args, **options)


@pytest.fixture
def model() -> Iterator[Waiting]:
    model = Waiting()
    yield model
    model.go.set()


@pytest.fixture
def widget(model: Waiting, qtbot: Any) -> Iterator[SamWidget]:
    viewer = ViewerModel()
    viewer.add_image(np.full((SIDE, SIDE), 100, np.uint8), contrast_limits=(0, 255))
    widget = SamWidget(viewer)
    widget.session.model = model
    press(widget.panel.new_prompts)
    yield widget
    widget.disconnect_viewer()


def click(widget: SamWidget, *place: float) -> None:
    assert widget.session.points_layer is not None
    widget.session.points_layer.add(place)


def wait_for(widget: SamWidget, qtbot: Any, before: Any = None) -> Any:
    def is_new() -> bool:
        result = widget.session.result
        return result not in (None, before) and not widget.panel.cancel.enabled

    qtbot.waitUntil(is_new, timeout=LONG)
    return widget.session.result


def drawn(widget: SamWidget, value: int) -> np.ndarray:
    """(N, 2) pixels of the image where the preview has a value."""
    layer = widget.preview_layer.layer
    assert layer is not None
    pixels = np.argwhere(layer.data == value)
    return np.array([layer.data_to_world(p) for p in pixels])


def test_the_factor_is_asked_for_where_it_counts(widget: SamWidget, qtbot: Any) -> None:
    options, session = widget.panel.advanced, widget.session
    qtbot.addWidget(widget.native)
    widget.native.show()
    widget.panel.sections["options"].expand()
    assert options.zoom.value == "auto"
    assert not options.factor.visible
    options.zoom.value = "factor"
    assert options.factor.visible
    assert session.zoom == 4
    options.factor.value = 8
    assert session.zoom == 8
    options.zoom.value = "off"
    assert session.zoom == "off"
    assert not options.factor.visible


def test_the_panel_follows_a_script(widget: SamWidget) -> None:
    options = widget.panel.advanced
    widget.session.zoom = 2.5
    assert (options.zoom.value, options.factor.value) == ("factor", 2.5)
    widget.session.zoom = "auto"
    assert options.zoom.value == "auto"


@pytest.mark.parametrize("by_script", [False, True])
def test_another_zoom_runs_the_live_preview_again(
    widget: SamWidget, qtbot: Any, by_script: bool
) -> None:
    click(widget, *PLACE)
    before = wait_for(widget, qtbot)
    assert "zoomed to 128 px" in widget.panel.status.value
    if by_script:
        widget.session.zoom = "off"
    else:
        widget.panel.advanced.zoom.value = "off"
    wait_for(widget, qtbot, before)
    assert "zoomed" not in widget.panel.status.value
    assert not len(drawn(widget, FRAME))


def test_outline_and_frame_follow_the_alternatives(
    widget: SamWidget, qtbot: Any
) -> None:
    click(widget, *PLACE)
    wait_for(widget, qtbot)
    heights = []
    for _ in range(3):
        outline, frame = drawn(widget, OUTLINE), drawn(widget, FRAME)
        inside = np.ptp(outline, axis=0) + 1
        around = np.ptp(frame, axis=0) + 1 if len(frame) else [None]
        heights.append((int(inside[0]), around[0]))
        press(widget.panel.next_alternative)
    assert heights == [(31, 128), (127, None), (15, 64)]


def test_frames_of_several_objects(widget: SamWidget, qtbot: Any) -> None:
    widget.panel.each_prompt.value = True
    click(widget, *PLACE)
    before = wait_for(widget, qtbot)
    assert widget.session.shapes_layer is not None
    widget.session.shapes_layer.add_rectangles(corners((20, 420, 24, 424)))
    wait_for(widget, qtbot, before)
    text = widget.panel.status.value
    assert text.startswith("2 objects in the preview")
    assert "zoomed to 64 to 128 px" in text
    frame = drawn(widget, FRAME)
    assert (frame[:, 1] > 380).any()
    assert (frame[:, 1] < 300).any()


def test_a_view_that_moves_does_not_move_the_outline(
    widget: SamWidget, model: Waiting, qtbot: Any
) -> None:
    session = widget.session
    click(widget, *PLACE)
    first = wait_for(widget, qtbot)
    outline = drawn(widget, OUTLINE)
    press(widget.panel.discard)
    model.go.clear()
    click(widget, *PLACE)
    qtbot.waitUntil(lambda: bool(widget.panel.cancel.enabled), timeout=LONG)
    image, camera = session.settings.require_image(), camera_of(session.viewer)
    for shift in (0, 40, 90):  # people pan and zoom while they wait
        image.corner_pixels = np.array([[shift, shift], [shift + 90, shift + 90]])
        camera.center, camera.zoom = (0, 45 + shift, 45 + shift), 4 + shift
        qtbot.wait(50)
    model.go.set()
    second = wait_for(widget, qtbot, first)
    assert second.windows == first.windows
    np.testing.assert_array_equal(drawn(widget, OUTLINE), outline)
    qtbot.wait(600)  # the camera came to rest
    assert session.result is second
