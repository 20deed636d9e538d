"""Tools: box, object point, background point; clicks with any tool; Ctrl+Z."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager

from napari_sam.plugin.layers.visible_region import camera_of
from napari_sam.plugin.panels.key_bindings import ACCEPT, DISCARD, POLARITY
from napari_sam.plugin.session import SamSession
from napari_sam.plugin.state.drawn_clicks import CLICK_PIXELS
from napari_sam.plugin.widget import SamWidget
from napari_sam.prompts.serialization import prompt_from_json
from tests.helpers.sessions import corners, press
from tests.helpers.squares import CENTRES, SHAPE, Squares
from tests.helpers.widgets import type_key

LONG = 20_000
UNDO = "Ctrl+Z"


@pytest.fixture
def widget(qtbot: Any) -> Iterator[SamWidget]:
    notification_manager.records.clear()
    viewer = ViewerModel()
    viewer.add_image(np.full(SHAPE, 200, np.uint8), contrast_limits=(0, 255))
    widget = SamWidget(viewer)
    widget.session.model = Squares()
    press(widget.panel.new_prompts)
    yield widget
    widget.disconnect_viewer()


def pressed(widget: SamWidget) -> list[str]:
    buttons = {name: widget.panel.buttons[name] for name in ("box", "positive")}
    buttons["negative"] = widget.panel.buttons["negative"]
    return [name for name, button in buttons.items() if button.native.isChecked()]


# -- the segmented control ---------------------------------------------------------


def test_control_chooses_layer_tool_and_polarity(widget: SamWidget) -> None:
    session, active = widget.session, widget.session.viewer.layers.selection
    assert pressed(widget) == ["box"]
    press(widget.panel.negative)
    assert pressed(widget) == ["negative"]
    assert active.active is session.points_layer
    assert session.points_layer.mode == "add"
    session.points_layer.add(CENTRES[0])
    press(widget.panel.positive)
    assert pressed(widget) == ["positive"]
    session.points_layer.add(CENTRES[1])
    names = list(session.points_layer.features["polarity"])
    assert names == ["negative", "positive"]
    press(widget.panel.box)
    assert pressed(widget) == ["box"]
    assert active.active is session.shapes_layer
    press(widget.panel.box)
    assert pressed(widget) == ["box"]  # it cannot be switched off


def test_control_follows_what_is_chosen_by_hand(widget: SamWidget) -> None:
    session, selection = widget.session, widget.session.viewer.layers.selection
    selection.active = session.points_layer
    assert pressed(widget) == ["positive"]
    session.points_layer.mode = "select"
    assert pressed(widget) == []
    session.points_layer.mode = "add"
    session.points_layer.feature_defaults = {"polarity": "negative"}
    assert pressed(widget) == ["negative"]
    selection.active = session.shapes_layer
    assert pressed(widget) == ["box"]
    session.shapes_layer.mode = "add_ellipse"
    assert pressed(widget) == ["box"]
    session.shapes_layer.mode = "pan_zoom"
    assert pressed(widget) == []
    selection.active = session.viewer.layers[0]
    assert pressed(widget) == []
    session.shapes_layer.mode = "add_ellipse"
    press(widget.panel.box)
    assert session.shapes_layer.mode == "add_ellipse"


def test_key_switches_between_object_and_background(widget: SamWidget) -> None:
    for expected in ("negative", "positive", "negative"):
        type_key(widget, POLARITY)
        assert pressed(widget) == [expected]


@pytest.mark.parametrize("key", [ACCEPT, DISCARD])
def test_polarity_is_object_again_after_each_object(
    widget: SamWidget, key: str, qtbot: Any
) -> None:
    widget.session.points_layer.add(CENTRES[0])
    press(widget.panel.negative)
    widget.session.points_layer.add(np.add(CENTRES[0], 1))
    type_key(widget, key)
    assert pressed(widget) == ["positive"]
    assert len(widget.session.points_layer.data) == 0


def test_waiting_background_point_can_be_discarded(
    widget: SamWidget, qtbot: Any
) -> None:
    press(widget.panel.negative)
    widget.session.points_layer.add(CENTRES[0])
    qtbot.waitUntil(
        lambda: "only background" in widget.panel.status.value, timeout=LONG
    )
    press(widget.panel.discard)
    assert len(widget.session.points_layer.data) == 0
    assert not widget.panel.discard.enabled
    assert not notification_manager.records


@pytest.mark.parametrize("problem", ["locked", "hidden", "3D"])
def test_tool_that_cannot_draw_is_refused_in_a_sentence(
    widget: SamWidget, problem: str
) -> None:
    session = widget.session
    if problem == "locked":
        session.points_layer.editable = False
    elif problem == "hidden":
        session.points_layer.visible = False
    else:
        session.viewer.dims.ndisplay = 3
        session.shapes_layer.editable = False
    with pytest.raises(ValueError, match="cannot be drawn on"):
        session.tool = "box" if problem == "3D" else "object"


def mouse(layer: Any, moves: int = 0, modifiers: tuple[str, ...] = ()) -> None:
    """Press, move and release the mouse on a layer, as napari calls its callbacks."""
    event = SimpleNamespace(
        type="mouse_press",
        pos=np.array([50.0, 50.0]),
        position=CENTRES[0],
        modifiers=modifiers,
        dims_displayed=[0, 1],
        handled=False,
    )
    started = [callback(layer, event) for callback in layer.mouse_drag_callbacks]
    running = [generator for generator in started if generator is not None]
    running = [generator for generator in running if next(generator, True) is None]
    event.type = "mouse_move"
    for _ in range(moves):
        event.pos = event.pos + 10
        for generator in running:
            next(generator)
    event.type = "mouse_release"
    for generator in running:
        next(generator, None)


def test_alt_click_adds_a_background_point(widget: SamWidget) -> None:
    points = widget.session.points_layer
    press(widget.panel.positive)
    mouse(points, modifiers=("Alt",))
    mouse(points)
    mouse(points, moves=2, modifiers=("Alt",))  # which moves the canvas
    mouse(points)
    names = ["negative", "positive", "positive"]
    assert list(points.features["polarity"]) == names
    assert pressed(widget) == ["positive"]


# -- clicks with the tools for shapes -----------------------------------------------


@settings(max_examples=25)
@given(
    side=st.floats(0, 12),
    zoom=st.floats(0.3, 40),
    kind=st.sampled_from(["rectangle", "ellipse", "polygon", "line", "path"]),
    scale=st.sampled_from([1, 0.01, 300]),
    later=st.floats(0.01, 100),
)
def test_shape_below_three_screen_pixels_is_a_click(
    side: float, zoom: float, kind: str, scale: float, later: float
) -> None:
    viewer = ViewerModel()
    image = np.full(SHAPE, 200, np.uint8)
    viewer.add_image(image, contrast_limits=(0, 255), scale=(scale, scale))
    session = SamSession(viewer, Squares())
    session.new_prompt_layers()
    # The camera zooms in pixels of the screen per unit of the world.
    camera_of(viewer).zoom = zoom / scale
    by_hand_zoom = zoom / scale
    data = corners((30, 40, 30 + side / zoom, 40 + 0.7 * side / zoom))
    drawn = data[[0, 2]] if kind == "line" else data
    session.shapes_layer.add(drawn, shape_type=kind)
    session.settings.drawn_clicks.note_drawn(session.shapes_layer)
    camera_of(viewer).zoom = by_hand_zoom * later  # only the zoom while drawing counts
    (prompt,) = session.current.note_prompts()
    near = abs(side - CLICK_PIXELS) < 1e-3
    if not near and side < CLICK_PIXELS:
        middle = (data.min(axis=0) + data.max(axis=0)) / 2
        np.testing.assert_allclose(prompt.prompt.points, [middle], atol=1e-3)
        assert prompt.prompt.kinds == {"point"}
    elif not near and kind in ("rectangle", "ellipse", "polygon"):
        assert "box" in prompt.prompt.kinds


def test_small_box_of_a_script_stays_a_box(widget: SamWidget) -> None:
    widget.session.shapes_layer.add_rectangles(corners((30, 40, 31, 41)))
    (prompt,) = widget.session.current.note_prompts()
    assert prompt.prompt.kinds == {"box"}


def test_click_with_the_box_tool_is_accepted_and_brought_back_as_a_click(
    widget: SamWidget, qtbot: Any
) -> None:
    session = widget.session
    camera_of(session.viewer).zoom = 1
    session.shapes_layer.add_rectangles(corners((30, 30, 31, 31)))
    session.settings.drawn_clicks.note_drawn(session.shapes_layer)
    type_key(widget, ACCEPT)
    qtbot.waitUntil(lambda: not session.current.waiting, timeout=LONG)
    (entry,) = session.record()["objects"]["1"]
    recorded = prompt_from_json(entry["prompts"][""])
    assert recorded.kinds == {"point"}
    np.testing.assert_array_equal(recorded.points, [(30.5, 30.5)])
    session.previous_object()
    (prompt,) = session.current.note_prompts()
    assert prompt.prompt.kinds == {"point"}


# -- undo ------------------------------------------------------------------------------


def test_undo_key_takes_back_prompts_and_accepts(widget: SamWidget, qtbot: Any) -> None:
    session = widget.session
    points, shapes = session.points_layer, session.shapes_layer
    points.add(CENTRES[0])
    type_key(widget, ACCEPT)
    qtbot.waitUntil(lambda: session.labels_layer is not None, timeout=LONG)
    shapes.add_rectangles(corners((28, 28, 32, 32)))
    session.current.note_prompts()
    points.add(CENTRES[6])
    type_key(widget, UNDO, points)
    assert (len(points.data), len(shapes.data)) == (0, 1)
    type_key(widget, UNDO, shapes)
    assert (len(points.data), len(shapes.data)) == (0, 0)
    assert session.labels_layer.data.any()
    type_key(widget, UNDO, points)
    assert not session.labels_layer.data.any()
    np.testing.assert_array_equal(points.data, [CENTRES[0]])
    type_key(widget, UNDO, points)
    assert len(points.data) == 0
    type_key(widget, UNDO, points)
    assert "nothing to undo" in notification_manager.records[-1].message
    notification_manager.records.clear()


def test_undo_key_is_not_bound_on_layers_of_the_user(widget: SamWidget) -> None:
    viewer = widget.session.viewer
    mine = viewer.add_points(ndim=2)
    widget.panel.points.select(mine)
    assert not mine.keymap
    assert not viewer.layers["SAM points"].keymap  # it is not used any more
    assert UNDO not in {str(key) for key in viewer.keymap}


def test_keys_of_the_user_on_a_layer_stay(widget: SamWidget) -> None:
    session = widget.session
    session.points_layer.bind_key("F5", lambda _: None)
    widget.disconnect_viewer()
    assert [str(key) for key in session.points_layer.keymap] == ["F5"]
