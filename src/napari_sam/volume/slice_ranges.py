"""Slice ranges between the prompted slices of an object, and reuse of their results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_sam.volume.results import PropagationOptions, SliceResult
    from napari_sam.volume.stack_prompts import PromptedSlices


@dataclass(frozen=True, slots=True)
class SliceRange:
    """Slices of one object between two prompted slices, or beyond the outermost one.

    Parameters
    ----------
    object_id : int
        The object.
    first, last : int
        First and last slice, both included.
    below, above : int or None
        Prompted slices at `first - 1` and `last + 1`; None where the range ends with
        the stack, with the slices to propagate, or where the user ended the object.
    """

    object_id: int
    first: int
    last: int
    below: int | None
    above: int | None

    @property
    def is_between(self) -> bool:
        """Whether there is a prompted slice at both ends."""
        return self.below is not None and self.above is not None

    @property
    def slices(self) -> range:
        """All slices, upwards."""
        return range(self.first, self.last + 1)


def slice_ranges(
    object_id: int, prompted: PromptedSlices, count: int, options: PropagationOptions
) -> list[SliceRange]:
    """Find the slice ranges of an object in a stack of `count` slices."""
    low = 0 if options.first is None else max(options.first, 0)
    high = count - 1 if options.last is None else min(options.last, count - 1)
    indices = prompted.indices
    limits = {low - 1, high + 1, *prompted.ends, *indices}
    ranges = set()
    for index in indices:
        below = max((i for i in limits if i < index), default=index - 1)
        above = min((i for i in limits if i > index), default=index + 1)
        if below < index - 1:
            start = below if below in indices else None
            ranges.add(SliceRange(object_id, below + 1, index - 1, start, index))
        if above > index + 1:
            stop = above if above in indices else None
            ranges.add(SliceRange(object_id, index + 1, above - 1, index, stop))
    return sorted(ranges, key=lambda r: r.first)


def is_complete(slice_range: SliceRange, results: Mapping[int, SliceResult]) -> bool:
    """Tell whether earlier results cover a range, so that nothing must be computed."""
    if any(result.provisional for result in results.values()):
        return False
    if all(index in results for index in slice_range.slices):
        return True
    is_stopped = any(result.status == "stopped" for result in results.values())
    return is_stopped and not slice_range.is_between
