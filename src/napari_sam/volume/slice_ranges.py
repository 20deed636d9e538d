"""Which stretches of slices an object is followed over, and which are known already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_sam.volume.results import PropagationOptions, SliceResult, VolumeResult
    from napari_sam.volume.stack_prompts import PromptedSlices


@dataclass(frozen=True, slots=True)
class SliceRange:
    """Slices of one object without an anchor, and the anchors they lie between.

    Parameters
    ----------
    object_id : int
        The object.
    first, last : int
        The slices, both included.
    below, above : int or None
        The anchors on the slices `first - 1` and `last + 1`; None where the span
        ends with the stack, its range, or where the user ended the object.
    """

    object_id: int
    first: int
    last: int
    below: int | None
    above: int | None

    @property
    def is_between(self) -> bool:
        """Whether it is walked from both ends."""
        return self.below is not None and self.above is not None

    @property
    def slices(self) -> range:
        """All slices, upwards."""
        return range(self.first, self.last + 1)


def slice_ranges(
    object_id: int, anchors: PromptedSlices, count: int, options: PropagationOptions
) -> list[SliceRange]:
    """All spans of an object in a stack of so many slices."""
    low = 0 if options.first is None else max(options.first, 0)
    high = count - 1 if options.last is None else min(options.last, count - 1)
    shown = anchors.indices
    walls = {low - 1, high + 1, *anchors.ends, *shown}
    spans = set()
    for anchor in shown:
        below = max((w for w in walls if w < anchor), default=anchor - 1)
        above = min((w for w in walls if w > anchor), default=anchor + 1)
        if below < anchor - 1:
            start = below if below in shown else None
            spans.add(SliceRange(object_id, below + 1, anchor - 1, start, anchor))
        if above > anchor + 1:
            stop = above if above in shown else None
            spans.add(SliceRange(object_id, anchor + 1, above - 1, anchor, stop))
    return sorted(spans, key=lambda s: s.first)


def known_results(
    span: SliceRange, anchors: PromptedSlices, previous: VolumeResult | None, count: int
) -> dict[int, SliceResult] | None:
    """What an earlier result says of a span, when nothing about it has changed.

    Returns
    -------
    dict or None
        {slice: SliceResult}, perhaps not of all slices; None when the span is to
        be walked again: an anchor at one of its ends is new, moved or gone.
    """
    if previous is None or span.object_id not in previous.anchors:
        return None
    before = previous.anchors[span.object_id]
    marks = set(before.indices) | set(before.ends)
    ends = (span.first - 1, span.last + 1)
    if marks & set(span.slices):
        return None
    if any(
        0 <= plane_index < count and not anchors.same_at(before, plane_index)
        for plane_index in ends
    ):
        return None
    results = previous.of_object(span.object_id)
    return {i: results[i] for i in span.slices if i in results}


def is_complete(span: SliceRange, results: Mapping[int, SliceResult]) -> bool:
    """Whether earlier results of an unchanged span need nothing added."""
    if any(result.provisional for result in results.values()):
        return False
    if all(index in results for index in span.slices):
        return True
    return not span.is_between and any(r.status == "stopped" for r in results.values())
