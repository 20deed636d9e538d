"""Objects of the preview are told apart from their neighbours and from labels."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.colormaps import DirectLabelColormap

from napari_sam.masks.painting import ObjectPlaneMask, neighbours
from napari_sam.plugin.layers.preview.colors import choose_colors, colors_beside
from napari_sam.plugin.layers.preview.drawing import (
    COLORS,
    PALETTE,
    draw_preview,
    inside_value,
    outline_value,
)

FULL = slice(None)
PLANE = FULL, FULL


def square(object_id: int, row: int, col: int, side: int = 10) -> ObjectPlaneMask:
    return ObjectPlaneMask(object_id, PLANE, (row, col), np.ones((side, side), bool))


def tiles(count: int, side: int = 10) -> list[ObjectPlaneMask]:
    """Squares that fill an area, as touching cells do."""
    return [
        square(count * row + col + 1, side * row, side * col, side)
        for row in range(count)
        for col in range(count)
    ]


def test_neighbours_touch_or_nearly_do() -> None:
    pieces = [square(1, 0, 0), square(2, 0, 10), square(3, 12, 0), square(4, 40, 40)]
    assert neighbours(pieces) == [{1, 2}, {0, 2}, {0, 1}, set()]
    assert neighbours(pieces[:1]) == [set()]


@pytest.mark.parametrize("side", [3, 10, 200])
def test_touching_objects_have_different_colours(side: int) -> None:
    pieces = tiles(8, side)
    colors = choose_colors(pieces)
    beside = neighbours(pieces)
    assert all(beside)
    assert not any(
        colors[one] == colors[other] for one in range(64) for other in beside[one]
    )
    _, drawing = draw_preview(pieces, [], 8 * side, colors=colors)
    assert len(np.unique(drawing[drawing > 0])) > 3


def test_an_object_alone_is_blue_and_keeps_its_colour() -> None:
    assert choose_colors([square(1, 0, 0)]) == [0]
    alone = choose_colors([square(3, 0, 0)])
    assert choose_colors([square(1, 50, 50), square(3, 0, 0)])[1:] == alone
    assert choose_colors([square(1, 0, 0)], first=2) == [2]
    assert COLORS[inside_value(0)].startswith(PALETTE[0])
    assert COLORS[outline_value(6)].startswith(PALETTE[6])


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("color", PALETTE)
def test_no_object_has_the_colour_of_a_label_beside_it(color: str, scale: int) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((40, 40)), contrast_limits=(0, 1))
    data = np.zeros((40 // scale, 40 // scale), int)
    data[: 20 // scale, : 10 // scale] = 7
    labels = viewer.add_labels(data, scale=(scale, scale))
    labels.colormap = DirectLabelColormap(color_dict={7: color, None: "black"})
    pieces = [square(i + 1, 2, 11, 5) for i in range(len(PALETTE))]
    far = square(1, 30, 30, 5)
    for piece in pieces:
        beside = colors_beside([piece, far], image, labels, viewer.dims)
        assert len(beside[0]) == 1
        assert beside[1] == []
        chosen, _ = choose_colors([piece, far], beside)
        assert PALETTE[chosen] != color
    labels.visible = False
    assert colors_beside(pieces[:1], image, labels, viewer.dims) == [[]]
