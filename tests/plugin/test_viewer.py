"""The widget in a real viewer with real weights gives the labels of a script."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.settings import get_settings
from npe2 import PluginManifest

import napari_sam as ns
from napari_sam import samples
from napari_sam.plugin.widget import SamWidget
from tests.helpers.sessions import corners

ROOT = Path(__file__).parents[2]
SCREEN_HEIGHT = 900
LAPTOP = (1366, 768)


@pytest.fixture
def wait(qtbot: Any) -> Callable[[SamWidget], None]:
    def until_idle(widget: SamWidget) -> None:
        qtbot.waitUntil(lambda: not widget.panel.cancel.enabled, timeout=120_000)

    return until_idle


def press(button: Any) -> None:
    assert button.enabled
    button.native.click()


def open_widget(viewer: Any, predictor: Any) -> SamWidget:
    """Open the widget like the menu does, with a loaded model."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-sam")
    assert isinstance(widget, SamWidget)
    widget.session.model = predictor
    return widget


def blue_pixels(viewer: Any) -> int:
    """Count the canvas pixels in the colour of the preview."""
    picture = viewer.screenshot(canvas_only=True, flash=False)
    red, green, blue = (picture[..., i].astype(int) for i in range(3))
    return int(np.count_nonzero((blue > green + 15) & (green > red + 15)))


def test_manifest_is_valid_and_linked() -> None:
    inside = ROOT / "src" / "napari_sam" / "napari.yaml"
    for manifest in (
        PluginManifest.from_distribution("napari-sam"),
        PluginManifest.from_file(inside),
    ):
        manifest.validate_imports()
        assert manifest.name == "napari-sam"
    assert (ROOT / "napari.yaml").resolve() == inside.resolve()


def test_samples_open_offline(make_napari_viewer: Any) -> None:
    viewer = make_napari_viewer()
    viewer.open_sample("napari-sam", "coins")
    viewer.open_sample("napari-sam", "head")
    np.testing.assert_array_equal(viewer.layers["coins"].data, samples.coins())
    volume, spacing = samples.head()
    np.testing.assert_array_equal(viewer.layers["head"].data, volume)
    np.testing.assert_allclose(viewer.layers["head"].scale, spacing)


@pytest.mark.canvas
def test_widget_fits_a_small_screen(make_napari_viewer: Any, bright: Any) -> None:
    viewer = make_napari_viewer(show=True)
    widget = open_widget(viewer, bright)
    widget.panel.model.value = "own file ..."  # with every control
    widget.panel.progress.visible = True
    assert widget.native.minimumSizeHint().height() < SCREEN_HEIGHT - 150
    widget.disconnect_viewer()


@pytest.mark.canvas
@pytest.mark.parametrize("font_size", [9, 14])
def test_actions_are_visible_on_a_laptop(
    make_napari_viewer: Any, bright: Any, qtbot: Any, font_size: int
) -> None:
    appearance = get_settings().appearance
    usual, appearance.font_size = appearance.font_size, font_size
    try:
        viewer = make_napari_viewer(show=True)
        viewer.window.resize(*LAPTOP)
        widget = open_widget(viewer, bright)
        for section in widget.panel.sections.values():
            section.expand()
        qtbot.wait(100)
        _, _, width, height = viewer.window.geometry()
        assert width <= LAPTOP[0]
        assert height <= LAPTOP[1]
        for name in ("accept", "discard", "cancel"):
            native = widget.panel.buttons[name].native
            assert native.visibleRegion().boundingRect() == native.rect()
        widget.disconnect_viewer()
    finally:
        appearance.font_size = usual


@pytest.mark.canvas
def test_status_text_is_not_cut_off(
    make_napari_viewer: Any, bright: Any, wait: Any, qtbot: Any
) -> None:
    viewer = make_napari_viewer(show=True)
    widget = open_widget(viewer, bright)
    status = widget.panel.status.native

    def is_visible() -> bool:
        return status.height() >= status.heightForWidth(status.width())

    qtbot.waitUntil(is_visible, timeout=5000)
    viewer.open_sample("napari-sam", "coins")
    press(widget.panel.new_prompts)
    viewer.layers["SAM boxes"].add_rectangles(corners(samples.coin_boxes()[3]))
    qtbot.waitUntil(is_visible, timeout=5000)
    for button in (widget.panel.segment_slice, widget.panel.accept):
        press(button)
        wait(widget)
        qtbot.waitUntil(is_visible, timeout=5000)
    widget.disconnect_viewer()


@pytest.mark.weights
@pytest.mark.canvas
def test_slice_labels_equal_the_script(
    make_napari_viewer: Any, wait: Any, default_predictor: Any
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.open_sample("napari-sam", "coins")
    image = viewer.layers["coins"]
    limits = tuple(image.contrast_limits)
    widget = open_widget(viewer, default_predictor)
    press(widget.panel.new_prompts)
    shapes, points = viewer.layers["SAM boxes"], viewer.layers["SAM points"]
    boxes, centres = samples.coin_boxes(), samples.coin_centres()

    # One object from a box and points, off and on it.
    box, on, off = boxes[3], centres[3], boxes[3][:2] + 1
    shapes.add_rectangles(corners(box))
    points.add([on])
    press(widget.panel.negative)
    points.add([off])
    points.selected_data = set()  # napari frames a selected point in blue
    assert blue_pixels(viewer) == 0
    press(widget.panel.segment_slice)
    wait(widget)
    assert "1 object in the preview" in widget.panel.status.value
    picture = viewer.screenshot(canvas_only=True, flash=False)
    assert picture[..., :3].std() > 10
    assert blue_pixels(viewer) > 100
    press(widget.panel.accept)
    labels = viewer.layers["SAM labels"].data
    one = ns.segment(
        image.data,
        [on, off],
        [1, 0],
        boxes=[box],
        model=default_predictor,
        contrast_limits=limits,
    )
    assert one.any()
    np.testing.assert_array_equal(labels, one)

    # Every box an object, two of them side by side.
    widget.panel.each_prompt.value = True
    shapes.add_rectangles([corners(b) for b in boxes[6:9]])
    press(widget.panel.segment_slice)
    wait(widget)
    assert "3 objects in the preview" in widget.panel.status.value
    press(widget.panel.accept)
    three = ns.segment(
        image.data, boxes=boxes[6:9], model=default_predictor, contrast_limits=limits
    )
    expected = np.where((one == 0) & (three > 0), three + 1, one)
    np.testing.assert_array_equal(labels, expected)
    assert set(np.unique(labels)) == {0, 1, 2, 3, 4}

    # A click alone.
    press(widget.panel.positive)
    points.add([centres[12]])
    press(widget.panel.segment_slice)
    wait(widget)
    press(widget.panel.accept)
    clicked = ns.segment(
        image.data, [centres[12]], model=default_predictor, contrast_limits=limits
    )
    np.testing.assert_array_equal(labels == 5, (clicked > 0) & (expected == 0))
    assert (labels == 5).any()
    widget.disconnect_viewer()


@pytest.mark.weights
@pytest.mark.canvas
def test_stack_labels_equal_the_script(
    make_napari_viewer: Any, wait: Any, default_predictor: Any
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.open_sample("napari-sam", "head")
    sample = viewer.layers["head"]
    few = slice(17, 21)
    low, high = sample.contrast_limits
    limits = (low, low + 0.8 * (high - low))
    image = viewer.add_image(
        sample.data[few], scale=sample.scale, units=sample.units, contrast_limits=limits
    )
    steps = viewer.dims.nsteps
    widget = open_widget(viewer, default_predictor)
    widget.panel.image.select(image)
    press(widget.panel.new_prompts)
    prompt = samples.head_prompts()[1][18]
    viewer.layers["SAM boxes"].add_rectangles(corners(prompt.box, 1))
    viewer.dims.set_current_step(0, 1)
    press(widget.panel.segment_stack)
    wait(widget)
    assert viewer.dims.nsteps == steps  # the preview adds none
    press(widget.panel.accept)
    labels = viewer.layers["SAM labels"]
    script = ns.segment_volume(
        image.data, {1: prompt}, model=default_predictor, contrast_limits=limits
    )
    np.testing.assert_array_equal(labels.data, script.labels)
    assert script.labels.any(axis=(1, 2)).sum() >= 3
    labels.undo()
    assert not labels.data.any()
    widget.disconnect_viewer()
