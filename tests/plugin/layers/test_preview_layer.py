"""The preview layer shows the pending masks of the displayed plane."""

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.masks.painting import ObjectPlaneMask
from napari_sam.plugin.layers.preview_layer import PreviewLayer
from napari_sam.plugin.layers.transforms import displayed_plane

FULL = slice(None)
MASK = np.ones((3, 5), bool)


def pieces_on(*slices: int) -> list[ObjectPlaneMask]:
    return [ObjectPlaneMask(1, (z, FULL, FULL), (2, 4), MASK) for z in slices]


@pytest.fixture
def viewer() -> ViewerModel:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((6, 20, 30)), name="cells", contrast_limits=(0, 1))
    viewer.dims.set_current_step(0, 0)
    return viewer


def show(
    preview: PreviewLayer, viewer: ViewerModel, pieces: list[ObjectPlaneMask]
) -> None:
    image = viewer.layers["cells"]
    plane = displayed_plane(image, viewer.dims)
    preview.show(image, pieces, plane.plane_index())


def test_preview_shows_the_displayed_plane(
    viewer: ViewerModel,
) -> None:
    preview = PreviewLayer(viewer)
    for step in (1, 2, 3, 2):
        viewer.dims.set_current_step(0, step)
        show(preview, viewer, pieces_on(1, 2))
        assert preview.is_shown == (step in (1, 2))
        if preview.is_shown:
            assert preview.layer is not None
            marked = np.argwhere(preview.layer.data)
            world = np.array([preview.layer.data_to_world(m) for m in marked])
            expected = [(step, r, c) for r in (2, 3, 4) for c in range(4, 9)]
            np.testing.assert_allclose(world, expected)
    assert sum(layer.name.startswith("SAM preview") for layer in viewer.layers) == 1


def test_preview_holds_one_tile_of_a_huge_plane(viewer: ViewerModel) -> None:
    huge = viewer.add_image(
        np.broadcast_to(np.uint8(0), (50, 5000, 5000)), contrast_limits=(0, 1)
    )
    index = (7, FULL, FULL)
    preview = PreviewLayer(viewer)
    for corner in ((10, 20), (3000, 4000), (4990, 4990)):
        preview.show(huge, [ObjectPlaneMask(1, index, corner, MASK)], index)
        assert preview.layer is not None
        assert preview.layer.data.nbytes <= 1024**2
        marked = np.argwhere(preview.layer.data)
        first = preview.layer.data_to_world(marked[0])
        np.testing.assert_allclose(first, (7, *corner))
        assert len(marked) == MASK.sum()


def test_object_across_tiles_is_shown_and_its_memory_freed(
    viewer: ViewerModel,
) -> None:
    flat = viewer.add_image(np.zeros((3000, 3000), np.uint8), contrast_limits=(0, 1))
    here = (FULL, FULL)
    preview = PreviewLayer(viewer)
    preview.show(
        flat, [ObjectPlaneMask(1, here, (1000, 500), np.ones((1500, 9), bool))], here
    )
    assert preview.layer is not None
    assert np.count_nonzero(preview.layer.data) == 1500 * 9
    preview.hide()
    assert not preview.is_shown
    assert preview.layer.data.size == 1


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (2, 1, 0)], ids=str)
@pytest.mark.parametrize(
    "place",
    [
        {},
        {"scale": (3, 0.5, 0.5), "translate": (5, 6, 7)},
        {"scale": (3, 0.5, 0.5), "affine": np.diag([2, 3, 4, 1])},
    ],
    ids=["plain", "scaled", "affine"],
)
def test_preview_is_aligned_with_the_image(
    order: tuple[int, ...], place: dict[str, Any]
) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(
        np.zeros((6, 20, 30)), name="cells", contrast_limits=(0, 1), **place
    )
    viewer.dims.order = order
    hidden = order[0]
    viewer.dims.set_current_step(hidden, 3)
    steps = viewer.dims.nsteps
    plane = displayed_plane(image, viewer.dims)
    index = plane.plane_index()
    preview = PreviewLayer(viewer)
    preview.show(image, [ObjectPlaneMask(1, index, (1, 2), MASK)], index)
    layer = preview.layer
    assert layer is not None
    assert viewer.dims.nsteps == steps  # the slider keeps its steps
    marked = np.argwhere(layer.data)
    world = np.array([layer.data_to_world(pixel) for pixel in marked])
    pixels = np.array([image.world_to_data(point) for point in world])
    assert np.allclose(pixels[:, hidden], 3)
    np.testing.assert_allclose(pixels[0, list(plane.axes)], (1, 2), atol=1e-9)
    assert len(pixels) == MASK.sum()


def test_preview_is_added_again_after_removal(viewer: ViewerModel) -> None:
    preview = PreviewLayer(viewer)
    show(preview, viewer, pieces_on(0))
    viewer.layers.remove(preview.layer)
    assert preview.layer is None
    show(preview, viewer, pieces_on(0))
    assert preview.layer in viewer.layers


def test_preview_keeps_the_selection(viewer: ViewerModel) -> None:
    preview = PreviewLayer(viewer)
    shapes = viewer.add_shapes(ndim=3)
    shapes.mode = "add_rectangle"
    for step in (0, 1):
        viewer.dims.set_current_step(0, step)
        show(preview, viewer, pieces_on(0, 1))
        assert viewer.layers.selection == {shapes}
        assert shapes.mode == "add_rectangle"
    preview.hide()
    assert viewer.layers.selection == {shapes}


def test_hide_blanks_the_layer(viewer: ViewerModel) -> None:
    preview = PreviewLayer(viewer)
    preview.hide()
    assert len(viewer.layers) == 1
    show(preview, viewer, pieces_on(0))
    layer = preview.layer
    assert layer is not None
    preview.hide()
    assert not preview.is_shown
    assert layer in viewer.layers
    assert not layer.data.any()
    show(preview, viewer, pieces_on(0))
    assert preview.layer is layer
    assert preview.is_shown


def test_show_erases_the_previous_object(
    viewer: ViewerModel,
) -> None:
    preview = PreviewLayer(viewer)
    image, index = viewer.layers["cells"], (0, FULL, FULL)
    for corner in ((0, 0), (10, 12), (3, 4)):
        preview.show(image, [ObjectPlaneMask(1, index, corner, MASK)], index)
        assert preview.layer is not None
        shown = np.argwhere(preview.layer.data)
        np.testing.assert_array_equal(shown[0], (0, *corner))
        assert len(shown) == MASK.sum()


def test_blank_preview_is_hidden_in_3d(viewer: ViewerModel) -> None:
    preview = PreviewLayer(viewer)
    show(preview, viewer, pieces_on(0))
    viewer.dims.ndisplay = 3
    preview.hide()
    assert preview.layer is not None
    assert not preview.layer.visible
    viewer.dims.ndisplay = 2
    show(preview, viewer, pieces_on(0))
    assert preview.layer.visible


@pytest.mark.parametrize("hidden_first", [True, False])
def test_hidden_preview_does_not_extend_the_sliders(
    viewer: ViewerModel, hidden_first: bool
) -> None:
    preview = PreviewLayer(viewer)
    viewer.dims.set_current_step(0, 5)
    show(preview, viewer, pieces_on(5))
    image = viewer.layers["cells"]
    if hidden_first:
        preview.hide()
    image.scale = (0.5, 0.5, 0.5)
    image.translate = (100, 100, 100)
    preview.hide()
    assert viewer.dims.range[0] == (100, 102.5, 0.5)
    show(preview, viewer, pieces_on(5))
    preview.hide()
    image.data = np.zeros((3, 10, 10))
    assert viewer.dims.range[0] == (100, 101, 0.5)
    assert viewer.dims.range[1] == (100, 104.5, 0.5)


def test_remove_removes_the_layer(viewer: ViewerModel) -> None:
    preview = PreviewLayer(viewer)
    preview.remove()
    show(preview, viewer, pieces_on(0))
    preview.remove()
    preview.remove()
    assert [layer.name for layer in viewer.layers] == ["cells"]


def test_preview_is_removed_with_its_image(viewer: ViewerModel) -> None:
    preview = PreviewLayer(viewer)
    show(preview, viewer, pieces_on(0))
    viewer.layers.remove("cells")
    preview.hide()
    assert len(viewer.layers) == 0


def test_to_top_moves_above_newer_layers(viewer: ViewerModel) -> None:
    preview = PreviewLayer(viewer)
    show(preview, viewer, pieces_on(0))
    preview.hide()
    labels = viewer.add_labels(np.zeros((6, 20, 30), np.int32))
    show(preview, viewer, pieces_on(0))
    preview.to_top()
    assert list(viewer.layers)[1:] == [labels, preview.layer]


def test_preview_follows_another_image(viewer: ViewerModel) -> None:
    preview = PreviewLayer(viewer)
    show(preview, viewer, pieces_on(0))
    flat = viewer.add_image(np.zeros((9, 9)), scale=(2, 2), contrast_limits=(0, 1))
    here = (FULL, FULL)
    preview.show(flat, [ObjectPlaneMask(1, here, (0, 0), MASK)], here)
    assert preview.layer is not None
    assert np.count_nonzero(preview.layer.data) == MASK.sum()
    assert tuple(preview.layer.scale) == (2, 2)


def test_showing_while_a_layer_is_added_is_safe(viewer: ViewerModel) -> None:
    # Moving a layer during an insertion confuses napari's layer list.
    preview = PreviewLayer(viewer)
    show(preview, viewer, pieces_on(0))
    viewer.layers.events.inserted.connect(lambda _: show(preview, viewer, pieces_on(0)))
    labels = viewer.add_labels(np.zeros((6, 20, 30), np.int32))
    assert viewer.layers[-1] is labels
