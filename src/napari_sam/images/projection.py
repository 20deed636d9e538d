"""Projection of a thick slice: several neighbouring planes as one, as napari does."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from napari_sam.images.axes import PlaneIndex

ProjectionMode = Literal["sum", "mean", "max", "min"]


@dataclass(frozen=True, slots=True)
class Projection:
    """The rule that makes one plane of several neighbouring ones.

    Parameters
    ----------
    mode : {"sum", "mean", "max", "min"}
        How the values of a pixel are combined.
    margins : tuple of (float, float)
        Thickness before and after a plane along each axis of the image, in pixels.
        They do not count along the axes of the plane.

    Raises
    ------
    ValueError
        When the mode is not known.
    """

    mode: ProjectionMode
    margins: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if self.mode not in get_args(ProjectionMode):
            raise ValueError(
                f"{self.mode!r} is not a projection: choose one of "
                f"{', '.join(get_args(ProjectionMode))}."
            )

    def indices(
        self, plane_index: PlaneIndex, shape: tuple[int, ...]
    ) -> Iterator[PlaneIndex]:
        """Yield the index of each plane that takes part in the projection of one."""
        parts: list[Iterable[Any]] = [
            [entry] if isinstance(entry, slice) else _planes(entry, *margins, size)
            for entry, margins, size in zip(
                plane_index, self.margins, shape, strict=True
            )
        ]
        return product(*parts)

    def count(self, plane_index: PlaneIndex, shape: tuple[int, ...]) -> int:
        """Return the number of planes that take part in the projection of one."""
        return sum(1 for _ in self.indices(plane_index, shape))

    def combine(self, planes: Iterable[NDArray[Any]]) -> NDArray[Any]:
        """Combine planes, at least one, with two of them in memory at a time."""
        add: Callable[..., Any] = {"max": np.maximum, "min": np.minimum}.get(
            self.mode, np.add
        )
        iterator = iter(planes)
        first = next(iterator)
        combined, count = first, 1
        for plane in iterator:
            if count == 1 and add is np.add:
                combined = first.astype(np.float64)
            elif count == 1:
                combined = first.copy()
            add(combined, plane, out=combined)
            count += 1
        return combined / count if self.mode == "mean" and count > 1 else combined


def _planes(index: int, before: float, after: float, size: int) -> range:
    """Return the planes of a thick slice along one axis.

    The rounding is that of napari: an end counts if it is the position of a plane.
    """
    first = max(int(np.round(index - before)), 0)
    stop = max(int(np.round(index + after)), 0)
    if np.isclose(stop, index + after) or stop == first:
        stop += 1
    planes = range(min(first, size - 1), min(stop, size))
    return planes or range(index, index + 1)
