"""Trackers of all objects for a sweep, from what is on their prompted slices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_sam.volume.object_windows import box_length, prompt_size
from napari_sam.volume.tracking.ball import ball_sections, reference_slice
from napari_sam.volume.tracking.object_tracker import ObjectTracker

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari_sam.images.stack import Stack
    from napari_sam.volume.object_windows import ObjectWindows
    from napari_sam.volume.results import PropagationOptions
    from napari_sam.volume.slice_ranges import SliceRange
    from napari_sam.volume.stack_prompts import PromptedSlices
    from napari_sam.volume.tracking.observation import Observation


def prompted_sizes(prompted: Mapping[int, PromptedSlices]) -> dict[int, float]:
    """Return the size of objects with boxes or masks, {object id: pixels}."""
    found = {}
    for object_id, slices in prompted.items():
        sizes = [prompt_size(prompt) for prompt in slices.prompts.values()]
        sizes += [box_length(patch.box) for patch in slices.masks.values()]
        known = [size for size in sizes if size is not None]
        if known:
            found[object_id] = max(known)
    return found


@dataclass(eq=False)
class TrackerFactory:
    """Maker of trackers that start on prompted slices.

    Parameters
    ----------
    stack : Stack
        The stack.
    prompted : mapping
        {object id: PromptedSlices}.
    options : PropagationOptions
        Settings of the propagation.
    object_windows : ObjectWindows
        Choice of windows.

    Attributes
    ----------
    observations : dict
        {object id: {prompted slice: Observation}}, added by `add`.
    """

    stack: Stack
    prompted: Mapping[int, PromptedSlices]
    options: PropagationOptions
    object_windows: ObjectWindows
    observations: dict[int, dict[int, Observation]] = field(
        default_factory=dict, init=False
    )

    @property
    def is_complete(self) -> bool:
        """Whether all prompted slices were added."""
        added = sum(map(len, self.observations.values()))
        return added == sum(len(slices.indices) for slices in self.prompted.values())

    def add(self, object_id: int, observation: Observation) -> None:
        """Add an object on a prompted slice."""
        self.observations.setdefault(object_id, {})[observation.index] = observation

    def radii(self, object_id: int) -> dict[int, float]:
        """Return the size of an object, {prompted slice: radius in slices}.

        Without slices on which it is no section of a ball.
        """
        known = self.observations[object_id].items()
        return ball_sections({index: o.patch for index, o in known}, self.stack)

    def trackers(
        self, ranges: Iterable[SliceRange], direction: int
    ) -> list[ObjectTracker]:
        """Make the trackers of one sweep, for ranges that start with a prompt.

        Parameters
        ----------
        ranges : iterable of SliceRange
            Ranges of slices to propagate through.
        direction : int
            1 for upwards, -1 for downwards.
        """
        sizes = self._largest_sizes()
        return [
            self._tracker(slice_range, direction, sizes[slice_range.object_id])
            for slice_range in ranges
            if (slice_range.below, slice_range.above)[::direction][0] is not None
        ]

    def _tracker(
        self, slice_range: SliceRange, direction: int, size: float
    ) -> ObjectTracker:
        object_id = slice_range.object_id
        known = self.observations[object_id]
        start, goal = (slice_range.below, slice_range.above)[::direction]
        assert start is not None
        reference = self._reference(object_id, start, goal)
        first, side = known[start], None
        if not first.is_empty:
            length = box_length(first.patch.box)
            side = self.object_windows.side_on_slice(length, size)
        prompt = self.prompted[object_id].prompts.get(start)
        return ObjectTracker(
            slice_range,
            direction,
            first,
            None if goal is None else known[goal],
            None if reference is None else known[reference],
            None if prompt is None else prompt.box,
            self.stack,
            self.options,
            self.object_windows,
            side,
        )

    def _reference(self, object_id: int, start: int, goal: int | None) -> int | None:
        """Return the slice that tells where the middle of an object is, if any."""
        if not self.options.fit_border:
            return None
        radii = self.radii(object_id)
        if goal is None:
            return reference_slice(radii, start, self.prompted[object_id].masks)
        return goal if {start, goal} <= radii.keys() else None

    def _largest_sizes(self) -> dict[int, float]:
        """Return the size of each object on the prompted slice where it is largest."""
        sizes = prompted_sizes(self.prompted)
        for object_id, known in self.observations.items():
            lengths = [
                box_length(o.patch.box) for o in known.values() if not o.is_empty
            ]
            sizes[object_id] = max([*lengths, sizes.get(object_id, 0.0)])
        return sizes
