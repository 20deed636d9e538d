"""Drawing of the preview: tints and outlines of masks, frames of windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.patch import window_at
from napari_sam.plugin.colors import NAMES, SKY_BLUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.images.window import Window
    from napari_sam.masks.painting import ObjectPlaneMask
    from napari_sam.plugin.layers.preview.window import Region

# Of objects.
PALETTE = tuple(NAMES.values())
# A tint inside and an opaque outline in the first colour; a paler frame; and a pale
# outline around what may be an object. Other colours follow, inside before outline.
INSIDE, OUTLINE, FRAME, UNLIKELY = 1, 2, 3, 4
_OTHER = 5


def inside_value(color: int) -> int:
    """Return the value of pixels inside an object of a colour of the palette."""
    return INSIDE if not color else _OTHER + 2 * (color - 1)


def outline_value(color: int) -> int:
    """Return the value of the outline of an object of a colour of the palette."""
    return inside_value(color) + 1


COLORS: dict[int | None, str] = {
    None: "transparent",
    0: "transparent",
    FRAME: f"{SKY_BLUE}AA",
    UNLIKELY: f"{SKY_BLUE}77",
    **{inside_value(i): f"{color}66" for i, color in enumerate(PALETTE)},
    **{outline_value(i): f"{color}FF" for i, color in enumerate(PALETTE)},
}
# Relative to the shorter side of the plane, so that lines stay visible on large images,
# but never as thick as small objects and windows.
_LINE_FRACTION = 1 / 500
_MAX_OF_OBJECT, _MAX_OF_FRAME = 1 / 10, 1 / 128
_DASHES_PER_SIDE = 16
# Frames of larger windows are not drawn: the preview takes memory within its tiles.
_MAX_FRAME = 4096


def draw_preview(
    pieces: Sequence[ObjectPlaneMask],
    windows: Sequence[Window],
    side: int,
    unlikely: Sequence[ObjectPlaneMask] = (),
    colors: Sequence[int] = (),
) -> tuple[Region, NDArray[np.uint8]]:
    """Draw masks and frames; return their region of the plane as well.

    Parameters
    ----------
    pieces : sequence of ObjectPlaneMask
        On one plane; at least one, or one of `unlikely`.
    windows : sequence of Window
        The parts of the plane that the model saw.
    side : int
        The shorter side of the plane.
    unlikely : sequence of ObjectPlaneMask
        Masks to outline faintly.
    colors : sequence of int
        Index in `PALETTE` of the colour of each piece; all the first when empty.
    """
    from scipy.ndimage import binary_erosion

    framed = [window for window in windows if window.side <= _MAX_FRAME]
    drawn = [*unlikely, *pieces]
    regions = [piece.region for piece in drawn] + [w.slices for w in framed]
    rows, cols = (
        slice(min(r[a].start for r in regions), max(r[a].stop for r in regions))
        for a in (0, 1)
    )
    drawing = np.zeros((rows.stop - rows.start, cols.stop - cols.start), np.uint8)
    width = max(1, round(side * _LINE_FRACTION))
    for window in framed:
        first = window.row - rows.start, window.col - cols.start
        _draw_frame(drawing[window_at(first, window.shape)], width)
    values = [(0, UNLIKELY)] * len(unlikely)
    for color in colors or [0] * len(pieces):
        values.append((inside_value(color), outline_value(color)))
    for piece, (fill, outline) in zip(drawn, values, strict=True):
        first = piece.origin[0] - rows.start, piece.origin[1] - cols.start
        part = drawing[window_at(first, piece.mask.shape)]
        part[piece.mask] = outline
        thin = max(1, min(width, round(max(piece.mask.shape) * _MAX_OF_OBJECT)))
        inside = binary_erosion(piece.mask, iterations=thin)
        part[inside] = fill
    return (rows, cols), drawing


def _draw_frame(part: NDArray[np.uint8], width: int) -> None:
    """Draw a dashed line along the inner border of a part of the drawing."""
    side = max(part.shape)
    thin = max(1, min(width, round(side * _MAX_OF_FRAME)))
    dash = max(1, side // (2 * _DASHES_PER_SIDE))
    for lines in (part, part.T):  # rows, then columns
        is_dash = np.arange(lines.shape[1]) // dash % 2 == 0
        lines[:thin, is_dash] = FRAME
        lines[-thin:, is_dash] = FRAME
