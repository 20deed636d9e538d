"""Ball through prompted cross-sections: where an object has its middle and its ends."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Self

from napari_sam.volume.tracking.confidence import equivalent_radius
from napari_sam.volume.tracking.mask_projection import split_parts

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from napari_sam.images.stack import Stack
    from napari_sam.masks.patch import MaskPatch

# A second cross-section counts where it moves the middle by this fraction of the
# radius: prompts a slice apart should not depend on each other.
_LEAST_SHIFT = 0.35


@dataclass(frozen=True, slots=True)
class Ball:
    """Ball through the cross-sections of an object on prompted slices.

    A prompted slice by itself is taken for the middle of its object. A second one tells
    where the middle is: beyond a small cross-section there is less left of the object
    than of a ball around it.

    Parameters
    ----------
    centre : float
        The slice through the middle.
    radius : float
        Radius in slices.
    """

    centre: float
    radius: float

    @classmethod
    def through(
        cls, section: tuple[int, float], other: tuple[int, float] | None = None
    ) -> Self:
        """Make the ball through one or two cross-sections.

        Parameters
        ----------
        section, other : (int, float)
            Slice, and radius in slices. The centre lies between them.
        """
        index, radius = section
        if other is None:
            return cls(index, radius)
        distance = other[0] - index
        # Where the two cross-sections are as far from the centre as they must be.
        share = (1 + (other[1] ** 2 - radius**2) / distance**2) / 2
        away = min(max(share, 0.0), 1.0) * distance
        return cls(index + away, sqrt(radius**2 + away**2))

    def width(self, slice_index: int) -> float:
        """Return the width of the cross-section on a slice, 1 in the middle."""
        return sqrt(max(1 - ((slice_index - self.centre) / self.radius) ** 2, 0.0))


def ball_sections(patches: Mapping[int, MaskPatch], stack: Stack) -> dict[int, float]:
    """Return the radii of cross-sections in slices, without those that are of no ball.

    Branches and rings, which have several parts or a hole, are of none.

    Parameters
    ----------
    patches : mapping
        {prompted slice: mask}; masks may be empty.
    stack : Stack
        Gives the size of a voxel.
    """
    return {
        index: radius_in_slices(patch, stack)
        for index, patch in patches.items()
        if patch.logits.size and len(split_parts(patch)) == 1
    }


def radius_in_slices(patch: MaskPatch, stack: Stack) -> float:
    """Return the radius of a cross-section in units of the distance between slices."""
    return equivalent_radius(patch, stack.pixel_size) / stack.slice_spacing


def reference_slice(
    radii: Mapping[int, float], slice_index: int, painted: Container[int] = ()
) -> int | None:
    """Return the other slice that tells where the middle of an object is, if any.

    Parameters
    ----------
    radii : mapping
        {prompted slice: radius in slices}, without empty cross-sections.
    slice_index : int
        The slice from which the object is followed.
    painted : container of int
        Slices with painted masks. Other prompts do not refer to them: a correction
        changes nothing beyond the prompts next to it.

    Returns
    -------
    int or None
        The slice with the largest other cross-section; None where `slice_index` is
        near the middle already.
    """
    is_painted = slice_index in painted
    others = [i for i in radii if i != slice_index and (is_painted or i not in painted)]
    if slice_index not in radii or not others:
        return None
    largest = max(others, key=lambda index: (radii[index], -index))
    ball = Ball.through(*((i, radii[i]) for i in (slice_index, largest)))
    is_off = abs(ball.centre - slice_index) >= _LEAST_SHIFT * ball.radius
    return largest if is_off else None
