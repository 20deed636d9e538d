"""Propagation of one object through one range of slices in one direction."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.patch import MaskPatch
from napari_sam.volume.tracking.ball import Ball, radius_in_slices
from napari_sam.volume.tracking.box_motion import box_size, user_margin
from napari_sam.volume.tracking.confidence import (
    confidence,
    confidence_features,
    confidence_on_the_way,
    equivalent_radius,
)
from napari_sam.volume.tracking.mask_projection import (
    CrossSection,
    ExpectedMask,
    expect,
)
from napari_sam.volume.tracking.observation import Observation, interpolated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_sam.images.stack import Stack
    from napari_sam.images.window import Window
    from napari_sam.volume.object_windows import ObjectWindows
    from napari_sam.volume.results import PropagationOptions, SliceResult, Status
    from napari_sam.volume.slice_ranges import SliceRange
    from napari_sam.volume.tracking.slice_mask import SliceMask

# Weight of a slice in how the object looks on the next ones: it changes slowly.
_APPEARANCE_GAIN = 0.25
# Boxes are at least this fraction of what they would be if the object were a ball.
_LEAST_FRACTION = 0.9
# Between two prompted slices, where the object must exist, this fraction of
# `min_confidence` is enough: such a mask is better than interpolation.
_FAINT_FRACTION = 0.25


class ObjectTracker:
    """Tracker of one object through a range of slices in one direction.

    Parameters
    ----------
    slice_range : SliceRange
        The slices.
    direction : int
        1 for upwards, -1 for downwards.
    start : Observation
        The object on the prompted slice where the propagation starts.
    goal : Observation, optional
        The object on the prompted slice at the other end.
    reference : Observation, optional
        The object on another prompted slice, which tells more about its size.
    user_box : ndarray, optional
        (4,) box that the user drew on the first slice.
    stack : Stack
        Gives the size of a voxel.
    options : PropagationOptions
        Settings.
    object_windows : ObjectWindows
        Choice of windows.
    side : int or None
        Side of the windows to start with; None for the whole plane.

    Attributes
    ----------
    start : Observation
        The object on the first, prompted slice.
    ended : bool
        Whether the object has ended in this direction.
    resumed : set of int
        Slices whose results were taken over from an earlier propagation.
    """

    def __init__(
        self,
        slice_range: SliceRange,
        direction: int,
        start: Observation,
        goal: Observation | None,
        reference: Observation | None,
        user_box: NDArray[np.float64] | None,
        stack: Stack,
        options: PropagationOptions,
        object_windows: ObjectWindows,
        side: int | None,
    ) -> None:
        self.slice_range, self.direction = slice_range, direction
        self.ended = start.is_empty
        self.resumed: set[int] = set()
        self.start, self._stack, self._options = start, stack, options
        self._object_windows, self._side = object_windows, side
        self._observations: dict[int, Observation] = {}
        self._ball = self._ball_through(reference)
        self._goal_section = None
        if goal is not None and not goal.is_empty:
            self._goal_section = CrossSection.of(goal.index, goal.patch)
        self._history: list[tuple[Observation, CrossSection]] = []
        self._rejected: list[Observation] = []
        self._last_result = start.result(self.object_id, "anchor")
        self._margin = np.full(4, options.margin)
        if not self.ended:
            self._accept(_seen_with(start, reference))
            if user_box is not None:
                self._margin = user_margin(user_box, start.patch.box, options.margin)

    @property
    def object_id(self) -> int:
        """The object."""
        return self.slice_range.object_id

    @property
    def fits_border(self) -> bool:
        """Whether the borders of masks are fitted to the image."""
        return self._options.fit_border

    @property
    def slices(self) -> range:
        """The slices in the order of the propagation."""
        return self.slice_range.slices[:: self.direction]

    @property
    def relative_size(self) -> float:
        """Width of the object where it was seen last, relative to the first slice."""
        pixel = self._stack.pixel_size
        first, last = (
            equivalent_radius(observation.patch, pixel)
            for observation in (self.start, self._last)
        )
        return last / first

    def resume(self, results: Mapping[int, SliceResult]) -> Iterator[SliceResult]:
        """Take over the results of an earlier propagation, which are yielded."""
        for index in self.slices:
            result = results.get(index)
            if result is None or result.status == "stopped":
                break
            observation = Observation(
                index,
                result.patch,
                result.score,
                result.confidence,
                result.weakest,
                window=result.window,
                appearance=result.appearance,
            )
            self._accept(observation)
            self._set_side(observation)
            self.resumed.add(index)
            self._last_result = result
            yield result

    def expect(
        self, slice_index: int, plane_shape: tuple[int, int], kinds: frozenset[str]
    ) -> ExpectedMask | None:
        """Predict the mask on a slice and its prompts; None outside the plane."""
        return expect(
            [section for _, section in self._history],
            slice_index,
            plane_shape,
            margin=self._margin,
            kinds=kinds,
            goal=self._goal_section,
            appearance=self._last.appearance,
            least_size=self._least_size(slice_index),
            slice_step=self._slice_step,
        )

    @property
    def _slice_step(self) -> NDArray[np.float64] | None:
        """Distance between slices in pixels, (2,); None without fitted borders."""
        if not self.fits_border:
            return None
        return self._stack.slice_spacing / np.array(self._stack.pixel_size)

    def _least_size(self, slice_index: int) -> NDArray[np.float64] | None:
        """Return the size below which the object is not expected yet."""
        if not self.fits_border:
            return None
        share = self._ball.width(slice_index) / self._ball.width(self.start.index)
        size = box_size(self.start.patch.box)
        least = _LEAST_FRACTION * share * size
        if self._goal_section is None:
            return least
        # A ball through distant sections of a tube is much wider than the tube.
        return np.minimum(
            least, np.maximum(size, box_size(self._goal_section.patch.box))
        )

    def _ball_through(self, reference: Observation | None) -> Ball:
        """Return the ball through the first slice and another one."""
        sections = [
            (o.index, radius_in_slices(o.patch, self._stack))
            for o in (self.start, reference)
            if o is not None and not o.is_empty
        ]
        return Ball.through(*sections) if sections else Ball(self.start.index, 1.0)

    def _depth(self, slice_index: int) -> float:
        """Return the distance of a slice from what is known, in physical units."""
        is_between = self.slice_range.is_between
        known = self.start.index if is_between else self._ball.centre
        return abs(slice_index - known) * self._stack.slice_spacing

    def window(self, expected: ExpectedMask | None) -> Window | None:
        """Return the window for the next slice.

        Parameters
        ----------
        expected : ExpectedMask or None
            What is expected there; when None, where the object was last.
        """
        patch = self._last.patch if expected is None else expected.patch
        return self._object_windows.follow(patch.box, self._side, self._last.window)

    def observe(
        self, slice_index: int, mask: SliceMask, expected: ExpectedMask | None
    ) -> Observation:
        """Estimate the confidence of a mask from the slices before."""
        patch = mask.patch
        if expected is None or not patch.logits.size:
            patch = MaskPatch.empty()
            return Observation(
                slice_index,
                patch,
                mask.pred_iou,
                confidence=0.0,
                weakest=0.0,
                window=mask.window,
            )
        last = self._last
        features = confidence_features(
            patch,
            expected.patch,
            expected.prompts[0].box,
            pred_iou=mask.pred_iou,
            stability_score=mask.stability_score,
            border=mask.border,
            appearance=last.appearance,
            step=abs(slice_index - last.index) * self._stack.slice_spacing,
            depth=self._depth(slice_index),
            pixel=self._stack.pixel_size,
        )
        fits_border = self.fits_border
        own = confidence(features, fits_border=fits_border)
        after = confidence_on_the_way(own, last.weakest) if fits_border else own
        return Observation(
            slice_index,
            patch,
            mask.pred_iou,
            after,
            min(own, last.weakest),
            window=mask.window,
            appearance=last.appearance.updated(mask.border.contrast, _APPEARANCE_GAIN),
        )

    def accepts(self, observation: Observation) -> bool:
        """Tell whether a mask is confident enough to be one of the object."""
        threshold = self._options.min_confidence
        if self.slice_range.is_between:
            threshold = _FAINT_FRACTION * threshold
        return not observation.is_empty and observation.weakest >= threshold

    def accepted(self, slice_index: int) -> Observation | None:
        """Return the observation on a slice; None when it was rejected."""
        observation = self._observations.get(slice_index)
        if observation is None or not self.accepts(observation):
            return None
        return observation

    def update(self, observation: Observation) -> Iterator[SliceResult]:
        """Add an observation.

        Yields
        ------
        SliceResult
            All results that are now final, or the last one again when there are none.
        """
        self._observations[observation.index] = observation
        is_between = self.slice_range.is_between
        if self.accepts(observation):
            gap, self._rejected = self._rejected, []
            if not is_between:
                yield from self._interpolate_gap([o.index for o in gap], observation)
            self._last_result = observation.result(
                self.object_id, self.status(observation), provisional=is_between
            )
            yield self._last_result
            self._accept(observation)
            self._set_side(observation)
            return
        self._rejected.append(observation)
        is_last = observation.index == self.slices[-1]
        # Slices that show nothing do not tell whether the object has ended.
        gap_length = sum(o.is_shown for o in self._rejected)
        if not is_between and (gap_length > self._allowed_gap or is_last):
            yield self._stop()
        else:
            # Whether the object has ended is not known yet; cancelling works here too.
            yield self._last_result

    @property
    def _last(self) -> Observation:
        """The last accepted observation."""
        return self._history[-1][0]

    @property
    def _allowed_gap(self) -> int:
        """Number of rejected slices in a row that do not end the object yet."""
        options = self._options
        faint = _FAINT_FRACTION * options.min_confidence
        if max(o.weakest for o in self._rejected) < faint:
            return options.patience
        radius = equivalent_radius(self._last.patch, self._stack.pixel_size)
        return max(
            options.patience, int(options.reach * radius / self._stack.slice_spacing)
        )

    def status(self, observation: Observation) -> Status:
        """Tell whether a mask is sure or doubtful."""
        is_sure = observation.confidence >= self._options.doubt
        return "propagated" if is_sure else "doubtful"

    def _accept(self, observation: Observation) -> None:
        section = CrossSection.of(observation.index, observation.patch)
        self._history.append((observation, section))
        del self._history[: -self._options.memory]

    def _set_side(self, observation: Observation) -> None:
        """Keep the scale at which the object was found, for the next slices."""
        window = observation.window
        self._side = None if window is None else window.side

    def _interpolate_gap(
        self, gap: Iterable[int], after: Observation
    ) -> Iterator[SliceResult]:
        before = self._last
        for index in gap:
            filled = interpolated(before, after, index)
            yield filled.result(self.object_id, "interpolated")

    def _stop(self) -> SliceResult:
        self.ended = True
        certainty = 1 - max(o.weakest for o in self._rejected)
        end = replace(self._rejected[0], patch=MaskPatch.empty(), confidence=certainty)
        return end.result(self.object_id, "stopped")


def _seen_with(start: Observation, reference: Observation | None) -> Observation:
    """Return the object on a slice with the contrast that it has where it is larger."""
    if reference is None or reference.is_empty:
        return start
    areas = [np.count_nonzero(o.patch.mask) for o in (start, reference)]
    if areas[0] >= areas[1]:
        return start
    appearance = start.appearance.of_clearer(reference.appearance)
    return replace(start, appearance=appearance)
