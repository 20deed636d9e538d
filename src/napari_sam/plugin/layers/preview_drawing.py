"""Drawing of the preview: tints and outlines of masks, frames of windows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import binary_erosion

from napari_sam.masks.patch import window_at
from napari_sam.plugin.colors import SKY_BLUE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.images.window import Window
    from napari_sam.masks.painting import ObjectPlaneMask
    from napari_sam.plugin.layers.preview_window import Region

# A tint inside and an opaque outline, in a colour that no prompt has; a paler frame;
# and a pale outline around what may be an object.
INSIDE, OUTLINE, FRAME, UNLIKELY = 1, 2, 3, 4
COLORS: dict[int | None, str] = {
    None: "transparent",
    0: "transparent",
    INSIDE: f"{SKY_BLUE}66",
    OUTLINE: f"{SKY_BLUE}FF",
    FRAME: f"{SKY_BLUE}AA",
    UNLIKELY: f"{SKY_BLUE}77",
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
    """
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
    for number, piece in enumerate(drawn):
        is_unlikely = number < len(unlikely)
        first = piece.origin[0] - rows.start, piece.origin[1] - cols.start
        part = drawing[window_at(first, piece.mask.shape)]
        part[piece.mask] = UNLIKELY if is_unlikely else OUTLINE
        thin = max(1, min(width, round(max(piece.mask.shape) * _MAX_OF_OBJECT)))
        inside = binary_erosion(piece.mask, iterations=thin)
        part[inside] = 0 if is_unlikely else INSIDE
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
