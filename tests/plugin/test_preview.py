from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.painting import Piece
from napari_sam.plugin.layers import displayed_plane
from napari_sam.plugin.preview import Preview

FULL = slice(None)
MASK = np.ones((3, 5), bool)


def pieces(*slices: int) -> list[Piece]:
    return [Piece(1, (z, FULL, FULL), (2, 4), MASK) for z in slices]


@pytest.fixture
def viewer() -> ViewerModel:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((6, 20, 30)), name="cells", contrast_limits=(0, 1))
    return viewer


def show(preview: Preview, viewer: ViewerModel, what: list[Piece]) -> None:
    image = viewer.layers["cells"]
    plane = displayed_plane(image, viewer.dims)
    preview.show(image, what, plane.at())


def test_it_shows_the_pieces_of_the_displayed_plane_and_follows_the_slider(
    viewer: ViewerModel,
) -> None:
    preview = Preview(viewer)
    for step in (1, 2, 3, 2):
        viewer.dims.set_current_step(0, step)
        show(preview, viewer, pieces(1, 2))
        assert preview.layer is not None
        assert preview.layer.visible == (step in (1, 2))
        if preview.layer.visible:
            marked = np.argwhere(preview.layer.data)
            world = np.array([preview.layer.data_to_world(m) for m in marked])
            expected = [(step, r, c) for r in (2, 3, 4) for c in range(4, 9)]
            np.testing.assert_allclose(world, expected)
    assert sum(layer.name.startswith("SAM preview") for layer in viewer.layers) == 1


def test_it_costs_no_more_than_the_object(viewer: ViewerModel) -> None:
    preview = Preview(viewer)
    show(preview, viewer, pieces(*range(6)))
    assert preview.layer is not None
    assert preview.layer.data.size == MASK.size
    assert preview.layer.data.itemsize == 1


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
def test_it_lies_over_the_pixels_of_the_image(
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
    index = plane.at()
    preview = Preview(viewer)
    preview.show(image, [Piece(1, index, (1, 2), MASK)], index)
    layer = preview.layer
    assert layer is not None
    assert viewer.dims.nsteps == steps  # the slider keeps its steps
    marked = np.argwhere(layer.data)
    world = np.array([layer.data_to_world(pixel) for pixel in marked])
    pixels = np.array([image.world_to_data(point) for point in world])
    assert np.allclose(pixels[:, hidden], 3)
    np.testing.assert_allclose(pixels[0, list(plane.axes)], (1, 2), atol=1e-9)
    assert len(pixels) == MASK.sum()


def test_it_comes_back_after_the_user_removed_it(viewer: ViewerModel) -> None:
    preview = Preview(viewer)
    show(preview, viewer, pieces(0))
    viewer.layers.remove(preview.layer)
    assert preview.layer is None
    show(preview, viewer, pieces(0))
    assert preview.layer in viewer.layers


def test_it_does_not_steal_the_selection(viewer: ViewerModel) -> None:
    preview = Preview(viewer)
    shapes = viewer.add_shapes(ndim=3)
    shapes.mode = "add_rectangle"
    for step in (0, 1):
        viewer.dims.set_current_step(0, step)
        show(preview, viewer, pieces(0, 1))
        assert viewer.layers.selection == {shapes}
        assert shapes.mode == "add_rectangle"
    preview.clear()
    assert viewer.layers.selection == {shapes}


def test_clearing_takes_the_layer_away(viewer: ViewerModel) -> None:
    preview = Preview(viewer)
    preview.clear()
    show(preview, viewer, pieces(0))
    preview.clear()
    preview.clear()
    assert [layer.name for layer in viewer.layers] == ["cells"]


def test_it_moves_to_another_image(viewer: ViewerModel) -> None:
    preview = Preview(viewer)
    show(preview, viewer, pieces(0))
    flat = viewer.add_image(np.zeros((9, 9)), scale=(2, 2), contrast_limits=(0, 1))
    here = (FULL, FULL)
    preview.show(flat, [Piece(1, here, (0, 0), MASK)], here)
    assert preview.layer is not None
    assert preview.layer.data.shape == MASK.shape
    assert tuple(preview.layer.scale) == (2, 2)
