"""The preview frames the part of the plane that the model saw."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_sam.images.window import Window
from napari_sam.masks.painting import ObjectPlaneMask
from napari_sam.plugin.layers.preview.drawing import (
    FRAME,
    INSIDE,
    OUTLINE,
    draw_preview,
)
from napari_sam.plugin.layers.preview.window import PreviewWindow
from napari_sam.plugin.layers.preview_layer import PreviewLayer

FULL = slice(None)
PLANE = FULL, FULL


def piece(row: int, col: int, side: int = 20) -> ObjectPlaneMask:
    return ObjectPlaneMask(1, PLANE, (row, col), np.ones((side, side), bool))


def shown(preview: PreviewLayer, shape: tuple[int, int]) -> np.ndarray:
    """Paint the layer on the plane."""
    plane = np.zeros(shape, np.uint8)
    layer = preview.layer
    assert layer is not None
    row, col = map(int, layer.data_to_world((0, 0)))
    rows, cols = layer.data.shape
    plane[row : row + rows, col : col + cols] = layer.data
    return plane


@pytest.fixture
def viewer() -> ViewerModel:
    viewer = ViewerModel()
    plane = np.broadcast_to(np.uint8(0), (3000, 3000))
    viewer.add_image(plane, contrast_limits=(0, 1))
    return viewer


def test_a_frame_is_dashed_and_lies_on_the_border(viewer: ViewerModel) -> None:
    preview = PreviewLayer(viewer)
    window = Window(960, 1000, 256, 256)
    preview.show(viewer.layers[0], [piece(1050, 1100)], PLANE, [window])
    plane = shown(preview, (3000, 3000))
    frame = plane == FRAME
    rows, cols = np.nonzero(frame)
    assert (rows.min(), cols.min()) == window.origin
    assert not frame[970:1206, 1010:1246].any()  # nothing but the border
    border = frame[960, 1000:1256]
    assert 0.4 < border.mean() < 0.6
    assert set(np.unique(plane[1050:1070, 1100:1120])) == {INSIDE, OUTLINE}


def test_one_frame_for_each_window(viewer: ViewerModel) -> None:
    windows = [Window(0, 0, 128, 128), Window(500, 500, 256, 256)]
    _, drawing = draw_preview([piece(20, 20), piece(600, 600)], windows, 3000)
    frame = drawing == FRAME
    assert frame[0, :128].any()
    assert frame[500, 500:756].any()
    assert not frame[200:480].any()


def test_a_frame_goes_with_its_mask(viewer: ViewerModel) -> None:
    preview, image = PreviewLayer(viewer), viewer.layers[0]
    preview.show(image, [piece(100, 100)], PLANE, [Window(0, 0, 256, 256)])
    preview.show(image, [piece(700, 700)], PLANE, [Window(640, 640, 128, 128)])
    rows, cols = np.nonzero(shown(preview, (3000, 3000)))
    assert rows.min() == cols.min() == 640
    preview.hide()
    assert preview.layer is not None
    assert not preview.layer.data.any()
    assert not preview.is_shown


def test_frames_of_huge_windows_are_left_out() -> None:
    region, drawing = draw_preview(
        [piece(9000, 9000)], [Window(0, 0, 16384, 16384)], 30000
    )
    assert drawing.shape == (20, 20)
    assert region == (slice(9000, 9020), slice(9000, 9020))


@pytest.mark.parametrize(("side", "rim"), [(8, 1), (25, 2), (400, 4)])
def test_outlines_leave_something_to_see(side: int, rim: int) -> None:
    _, drawing = draw_preview([piece(50, 50, side)], [], 2048)
    inside = np.nonzero(drawing == INSIDE)[0]
    assert inside.min() == rim


@given(st.integers(0, 2900), st.integers(1, 512), st.integers(1, 512))
def test_small_regions_take_one_tile(start: int, height: int, width: int) -> None:
    region = slice(start, start + height), slice(start // 2, start // 2 + width)
    window = PreviewWindow.around(region, PLANE, (5000, 5000))
    assert window.contains(region, PLANE, (5000, 5000))
    assert window.is_small


def test_the_frame_is_not_written(viewer: ViewerModel, qtbot: Any) -> None:
    from napari_sam.plugin.session import SamSession
    from tests.plugin.test_zoom import DiscOfWindow

    viewer.layers[0].contrast_limits = (-1, 1)  # gray
    session = SamSession(viewer, DiscOfWindow(64))
    points, _ = session.new_prompt_layers()
    points.add((500, 600))
    prediction = session.preview()
    assert prediction is not None
    assert session.pending is not None
    preview = PreviewLayer(viewer)
    result = session.pending.result
    preview.show(viewer.layers[0], result.pieces, PLANE, session.pending.windows)
    assert (shown(preview, (3000, 3000)) == FRAME).any()
    session.commit()
    assert session.labels_layer is not None
    np.testing.assert_array_equal(session.labels_layer.data > 0, prediction.mask)
