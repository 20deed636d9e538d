"""Annotations: what the files of all programs are read into."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_sam.prompts.prompt import NEGATIVE, NEGATIVE_NAME, POSITIVE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam.prompts.ignored import Ignored

Kind = Literal["points", "line", "rectangle", "ellipse", "polygon", "mask"]

# A label plane and its position in the stack, {axis: index} from 0.
LabelPlane = tuple[dict[str, int], "NDArray[Any]"]

# Larger coordinates are mistakes, and would overflow.
_MAX_COORDINATE = 1e9
MAX_ID = 2**63 - 1
_NEGATIVE_CLASSES = (NEGATIVE_NAME, "background")
# Of a plane whose size is told by a file only.
_MAX_PIXELS = 2**30
# From the corner of the first pixel, where other programs count, to its centre.
_HALF_PIXEL = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Annotation:
    """One annotation, in (row, col) of the plane with pixel centres at integers.

    Parameters
    ----------
    source : str
        The source, for messages: "cells.zip, ROI 0012".
    kind : str
        What it is.
    vertices : ndarray, optional
        (N, 2) of points and lines; (4, 2) corners, in turn, of rectangles and of the
        parallelogram around an ellipse.
    polygons : sequence of sequences of ndarray
        Parts of a polygon, each an exterior followed by its holes: (N, 2) vertices.
        The interior is even-odd in each part.
    mask : ndarray, optional
        (h, w) bool, of a mask.
    origin : tuple of int
        (row, col) of the mask's first pixel.
    object_id : int, optional
        The number of its object, from 1, when the file tells.
    name : str
        Its class; "" for none.
    position : mapping
        {axis: index} from 0 along the axes C, Z and T, as far as the file tells.
    page : int, optional
        Index from 0 of its plane in the whole stack, channels first, then Z, then T.
    """

    source: str
    kind: Kind
    vertices: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)))
    polygons: Sequence[Sequence[NDArray[np.float64]]] = ()
    mask: NDArray[np.bool_] | None = None
    origin: tuple[int, int] = (0, 0)
    object_id: int | None = None
    name: str = ""
    position: Mapping[str, int] = field(default_factory=dict)
    page: int | None = None

    @property
    def point_label(self) -> int:
        """1 for points on the object; 0 where their class is the background."""
        is_negative = self.name.strip().lower() in _NEGATIVE_CLASSES
        return NEGATIVE if is_negative else POSITIVE

    @property
    def is_area(self) -> bool:
        """Whether it covers pixels."""
        return self.kind not in ("points", "line")


def from_corner(points: Any, source: str, minimum: int = 1) -> NDArray[np.float64]:
    """Convert (x, y) from the corner of the first pixel to (row, col) of centres.

    Raises
    ------
    ValueError
        When they are not at least `minimum` pairs of finite numbers.
    """
    try:
        xy = np.array(points, dtype=float)
    except (TypeError, ValueError, OverflowError):
        xy = np.empty(0)
    if xy.ndim == 2 and xy.shape[1] > 2:
        xy = xy[:, :2]  # GeoJSON allows a height
    if xy.ndim != 2 or xy.shape[1] != 2 or len(xy) < minimum:
        raise ValueError(
            f"{source} has no list of at least {minimum} (x, y): export it again."
        )
    if not (np.abs(xy) < _MAX_COORDINATE).all():  # NaN, too
        raise ValueError(f"{source} has coordinates that are no pixels: export again.")
    return xy[:, ::-1] - _HALF_PIXEL


def box_corners(box: Any, source: str) -> NDArray[np.float64]:
    """Return the corners, as of `from_corner`, of (x_min, y_min, x_max, y_max)."""
    try:
        left, top, right, bottom = box
    except (TypeError, ValueError) as error:
        raise ValueError(f"{source} has no box of four numbers: export it.") from error
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return from_corner(corners, source, 4)


def read_id(value: Any) -> int | None:
    """Read the number of an object from a number or a name of digits, else None."""
    if isinstance(value, str) and value.strip().isascii() and len(value) < 20:
        value = int(value) if value.strip().isdecimal() else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 1 <= value <= MAX_ID else None


@dataclass(frozen=True, slots=True, eq=False)
class AnnotationFile:
    """The content of an annotation file.

    Parameters
    ----------
    annotations : iterable of Annotation
        To be read once.
    shape : tuple of int, optional
        (H, W) of the plane, when the caller or the file tells.
    ignored : Ignored
        What is left out; complete when the annotations have been read.
    """

    annotations: Iterable[Annotation]
    ignored: Ignored
    shape: tuple[int, int] | None = None


def check_shape(
    path: Path, found: Sequence[Any], given: tuple[int, int] | None
) -> tuple[int, int] | None:
    """Return (H, W) of the plane, from the caller or from the file.

    Parameters
    ----------
    path : Path
        For messages.
    found : sequence
        Height and width as the file tells them; anything but two integers is unknown.
    given : tuple of int, optional
        (H, W) of the image, when the caller knows.

    Raises
    ------
    ValueError
        When they differ, or when the file alone tells an impossible size.
    """
    if len(found) != 2 or not all(type(side) is int and side > 0 for side in found):
        return given
    height, width = found
    if given is not None and given != (height, width):
        raise ValueError(
            f"{path} is for an image of {height} x {width} pixels, and this one has "
            f"{given[0]} x {given[1]}: choose the image that was annotated."
        )
    if given is None and height * width > _MAX_PIXELS:
        raise ValueError(
            f"{path} is for an image of {height} x {width} pixels: give shape=(H, W) "
            "if that is true."
        )
    return height, width
