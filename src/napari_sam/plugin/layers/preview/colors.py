"""Colours of the preview: other ones than those of neighbours and of labels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.axes import plane_sides
from napari_sam.masks.painting import neighbours
from napari_sam.plugin.layers.preview.drawing import PALETTE
from napari_sam.plugin.layers.transforms import Sliders, label_grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import Dims
    from napari.layers import Image, Labels

    from napari_sam.masks.label_grid import LabelGrid
    from napari_sam.masks.painting import ObjectPlaneMask

_PALETTE_RGB = np.array(
    [[int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)] for color in PALETTE]
)
# Colours closer than this, in RGB from 0 to 1, look alike.
_ALIKE = 0.4
# Labels this close to an object must not have its colour, in pixels.
_BESIDE = 3
# Labels that are not in memory are read for at most this many objects.
_MAX_LAZY = 8


def choose_colors(
    pieces: Sequence[ObjectPlaneMask],
    avoided: Sequence[Sequence[Sequence[float]]] = (),
    first: int = 0,
) -> list[int]:
    """Choose a colour for each object of a plane, another than that of its neighbours.

    An object keeps its colour on all planes where its neighbours allow it.

    Parameters
    ----------
    pieces : sequence of ObjectPlaneMask
        The objects.
    avoided : sequence of sequence of color
        Further colours beside each object, as RGB from 0 to 1.
    first : int
        Index of the colour of object 1.

    Returns
    -------
    list of int
        Indices in `PALETTE`.
    """
    chosen: dict[int, int] = {}
    beside = neighbours(pieces)
    for number in sorted(range(len(pieces)), key=lambda i: -len(beside[i])):
        taken = {chosen[other] for other in beside[number] if other in chosen}
        own = pieces[number].object_id - 1 + first
        alike = _likeness(avoided[number] if avoided else ())
        chosen[number] = min(
            range(len(PALETTE)),
            key=lambda c: (c in taken, alike[c], (c - own) % len(PALETTE)),
        )
    return [chosen[number] for number in range(len(pieces))]


def _likeness(colors: Sequence[Sequence[float]]) -> list[float]:
    """Return how much each colour of the palette resembles one of some colours.

    It is 0 where they are easy to tell apart.
    """
    if not len(colors):
        return [0.0] * len(PALETTE)
    others = np.array([list(color)[:3] for color in colors])
    distances = np.linalg.norm(_PALETTE_RGB[:, None] - others, axis=2).min(axis=1)
    likeness: list[float] = np.maximum(_ALIKE - distances, 0).tolist()
    return likeness


def colors_beside(
    pieces: Sequence[ObjectPlaneMask], image: Image, labels: Labels | None, dims: Dims
) -> list[list[Any]]:
    """Return the colours of the labels on and beside each object, as RGBA."""
    from scipy.ndimage import binary_dilation

    nothing: list[list[Any]] = [[] for _ in pieces]
    if labels is None or not labels.visible or labels.multiscale:
        return nothing
    if not isinstance(labels.data, np.ndarray) and len(pieces) > _MAX_LAZY:
        return nothing
    try:
        grid = label_grid(labels, image, Sliders.of(dims))
    except ValueError:  # they do not lie on the image
        return nothing
    colors = []
    for piece in pieces:
        values = _labels_under(_box_around(piece), labels.data, grid)
        if values:
            grown = binary_dilation(np.pad(piece.mask, _BESIDE), iterations=_BESIDE)
            around = replace(_box_around(piece), mask=grown)
            values = _labels_under(around, labels.data, grid)
        shown = (labels.get_color(value) for value in sorted(values))
        colors.append([color for color in shown if color is not None and color[3] > 0])
    return colors


def _box_around(piece: ObjectPlaneMask) -> ObjectPlaneMask:
    """Return the box of an object with a margin."""
    row, col = np.subtract(piece.origin, _BESIDE).tolist()
    box = np.ones(np.add(piece.mask.shape, 2 * _BESIDE), bool)
    return replace(piece, origin=(row, col), mask=box)


def _labels_under(piece: ObjectPlaneMask, data: Any, grid: LabelGrid) -> set[int]:
    """Return the labels, other than background, on the pixels of a piece."""
    values: set[int] = set()
    for part in [_cropped(piece, grid)] if _is_same(grid) else grid.place(piece):
        block = np.asarray(data[part.plane_index][part.region])[part.mask]
        if block.any():
            values.update(np.unique(block).tolist())
    return values - {0}


def _is_same(grid: LabelGrid) -> bool:
    """Whether labels have the pixels of the image, which need no resampling."""
    size = grid.image_ndim
    return len(grid.shape) == size and np.array_equal(grid.matrix, np.eye(size + 1))


def _cropped(piece: ObjectPlaneMask, grid: LabelGrid) -> ObjectPlaneMask:
    """Return the part of a piece that lies on the plane."""
    sides = plane_sides(grid.shape, piece.plane_index)
    starts = [max(-first, 0) for first in piece.origin]
    stops = np.subtract(sides, piece.origin).tolist()
    rows, cols = (slice(a, b) for a, b in zip(starts, stops, strict=True))
    row, col = np.add(piece.origin, starts).tolist()
    return replace(piece, origin=(row, col), mask=piece.mask[rows, cols])
