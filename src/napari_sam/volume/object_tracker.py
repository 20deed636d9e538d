"""One object's way from an anchor through a span: what to expect, when to end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.interpolation import blend, interpolate, majority
from napari_sam.masks.patch import MaskPatch, patch_iou
from napari_sam.volume.box_motion import user_margin
from napari_sam.volume.confidence import radius_of
from napari_sam.volume.mask_projection import CrossSection, ExpectedMask, expect
from napari_sam.volume.results import SliceResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_sam.images.stack import Stack
    from napari_sam.volume.results import PropagationOptions, Status
    from napari_sam.volume.slice_ranges import SliceRange

# Two opinions that share less are not blended: the better one is taken. Of two that
# share more, but not nearly all, a third one decides.
_SAME, _AGREED = 0.3, 0.9
# A mask with this share of `min_confidence` may be one of the object, and it is better
# than a guess where that is known to be there, between two anchors.
_FAINT = 0.25
EMPTY = MaskPatch.empty()


@dataclass(frozen=True, slots=True, eq=False)
class Observation:
    """An object on one slice, with all that is known about the mask.

    Parameters
    ----------
    index : int
        The slice.
    patch : MaskPatch
        May be empty.
    score, contrast, confidence : float
        See `volume.confidence.ConfidenceFeatures`; the contrast in units of the image.
    third : MaskPatch, optional
        What was found when the sweep before had seen something else.
    """

    index: int
    patch: MaskPatch
    score: float = 0.0
    contrast: float = 0.0
    confidence: float = 1.0
    third: MaskPatch | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the object is not there."""
        return self.patch.logits.size == 0

    def result(
        self, object_id: int, status: Status, *, provisional: bool = False
    ) -> SliceResult:
        """As users get it."""
        logits = self.patch.logits
        # Kept above the smallest float16 so that "inside" survives the cast.
        positive = np.clip(logits, 1e-4, 6e4)
        small = np.where(logits > 0, positive, np.clip(logits, -6e4, 0))
        return SliceResult(
            object_id,
            self.index,
            self.score,
            status,
            self.patch.origin,
            small.astype(np.float16),
            self.confidence,
            provisional,
        )


class ObjectTracker:
    """The way of one object through a span in one direction.

    Parameters
    ----------
    span : SliceRange
        Where to walk.
    step : int
        1 upwards, -1 downwards.
    start : Observation
        The anchor that it starts from.
    goal : Observation, optional
        The anchor that it comes to.
    box : ndarray, optional
        (4,) that the user drew at the start.
    stack : Stack
        For the size of its voxels.
    options : PropagationOptions
        When it ends.
    """

    def __init__(
        self,
        span: SliceRange,
        step: int,
        start: Observation,
        goal: Observation | None,
        box: NDArray[np.float64] | None,
        stack: Stack,
        options: PropagationOptions,
    ) -> None:
        self.span, self.step, self.start = span, step, start
        self.stack, self.options = stack, options
        self.ended = start.is_empty
        self.resumed: set[int] = set()
        self._seen: dict[int, Observation] = {}
        self._goal = goal
        self._heading = None
        if goal is not None and not goal.is_empty:
            self._heading = CrossSection.of(goal.index, goal.patch)
        self._history: list[tuple[Observation, CrossSection]] = []
        self._bad: list[Observation] = []
        self._told = start.result(span.object_id, "anchor")
        self._margin = np.full(4, options.margin)
        if not self.ended:
            self._believe(start)
            if box is not None:
                self._margin = user_margin(box, start.patch.box, options.margin)

    @property
    def slices(self) -> range:
        """The slices in the order of the walk."""
        return self.span.slices[:: self.step]

    @property
    def last(self) -> Observation:
        """The last slice that was believed."""
        return self._history[-1][0]

    @property
    def usual_contrast(self) -> float:
        """Contrast of the last slices."""
        return float(np.mean([seen.contrast for seen, _ in self._history]))

    @property
    def least_confidence(self) -> float:
        """A mask with less is no mask of this object."""
        share = _FAINT if self.span.is_between else 1.0
        return share * self.options.min_confidence

    def accepted(self, index: int) -> Observation | None:
        """What was found on a slice, unless it was bad."""
        seen = self._seen.get(index)
        return seen if seen is not None and self._is_good(seen) else None

    def resume(self, results: Mapping[int, SliceResult]) -> Iterator[SliceResult]:
        """Go on after slices that were done before, which are yielded."""
        for index in self.slices:
            result = results.get(index)
            if result is None or result.status == "stopped":
                break
            contrast = self.usual_contrast
            seen = Observation(
                index, result.patch, result.score, contrast, result.confidence
            )
            self._believe(seen)
            self.resumed.add(index)
            self._told = result
            yield result

    def expect(
        self, index: int, plane_shape: tuple[int, int], kinds: frozenset[str]
    ) -> ExpectedMask | None:
        """What the next slice is asked; None when the object has left the plane."""
        return expect(
            [section for _, section in self._history],
            index,
            plane_shape,
            margin=self._margin,
            kinds=kinds,
            goal=self._heading,
        )

    def take(self, seen: Observation) -> Iterator[SliceResult]:
        """Judge what was found on a slice.

        Yields
        ------
        SliceResult
            All that are settled, or the latest one again while nothing is.
        """
        self._seen[seen.index] = seen
        number = self.span.object_id
        if self._is_good(seen):
            gap, self._bad = self._bad, []
            if not self.span.is_between:
                yield from self._bridge([bad.index for bad in gap], seen)
            self._told = seen.result(
                number, self._status(seen), provisional=self.span.is_between
            )
            yield self._told
            self._believe(seen)
            return
        self._bad.append(seen)
        at_end = seen.index == self.slices[-1]
        if not self.span.is_between and (len(self._bad) > self._patience or at_end):
            yield self._stop()
        else:
            # It is not known yet what the slice is; one can cancel here all the same.
            yield self._told

    def settle(self, other: ObjectTracker) -> Iterator[SliceResult]:
        """Results of a span that was walked from both ends, `other` downwards."""
        number = self.span.object_id
        known = {s.index: s for s in (self.start, other.start) if not s.is_empty}
        for index in self.span.slices:
            found = self._merge(index, other)
            if found is not None:
                known[index] = found
                yield found.result(number, self._status(found))
        for index in self.span.slices:
            before = [i for i in known if i < index]
            after = [i for i in known if i > index]
            if index not in known and before and after:
                filled = _between(known[max(before)], known[min(after)], index)
                yield filled.result(number, "interpolated")

    def _merge(self, index: int, other: ObjectTracker) -> Observation | None:
        first, second = self.accepted(index), other.accepted(index)
        if first is None or second is None:
            return first or second
        length = self.span.last - self.span.first + 2
        way = (index - self.span.first + 1) / length
        weights = (1 - way) * first.confidence, way * second.confidence
        shared = patch_iou(first.patch, second.patch)
        share = weights[1] / sum(weights)
        better = first if share < 0.5 else second
        quality = min(1.0, 0.5 + shared) * better.confidence
        if shared < _SAME:
            return replace(better, confidence=quality)
        patches = first.patch, second.patch
        third = second.third
        return Observation(
            index,
            blend(*patches, share) if third is None else majority([*patches, third]),
            (1 - share) * first.score + share * second.score,
            better.contrast,
            quality,
        )

    @property
    def _patience(self) -> int:
        """So many bad slices in a row do not end the object yet."""
        faint = _FAINT * self.options.min_confidence
        if max(bad.confidence for bad in self._bad) < faint:
            return self.options.patience
        reach = self.options.reach * radius_of(self.last.patch, self.stack.pixel)
        return max(self.options.patience, int(reach / self.stack.step))

    def _is_good(self, seen: Observation) -> bool:
        return not seen.is_empty and seen.confidence >= self.least_confidence

    def _status(self, seen: Observation) -> Status:
        return "propagated" if seen.confidence >= self.options.doubt else "doubtful"

    def _believe(self, seen: Observation) -> None:
        section = CrossSection.of(seen.index, seen.patch)
        self._history.append((seen, section))
        del self._history[: -self.options.memory]

    def _bridge(self, gap: Iterable[int], after: Observation) -> Iterator[SliceResult]:
        before = self.last
        for index in gap:
            filled = _between(before, after, index)
            yield filled.result(self.span.object_id, "interpolated")

    def _stop(self) -> SliceResult:
        self.ended = True
        sure = 1 - max(bad.confidence for bad in self._bad)
        end = replace(self._bad[0], patch=EMPTY, confidence=sure)
        return end.result(self.span.object_id, "stopped")


def disputed_box(first: Observation, second: Observation) -> NDArray[np.float64] | None:
    """The box around two opinions on a slice that differ, to ask about once more.

    Where two ends of an object differ, one has mostly lost a part of it; the two
    together hold all. None where they agree, or share too little to be one object.
    """
    if second.is_empty or not (_SAME <= patch_iou(first.patch, second.patch) < _AGREED):
        return None
    boxes = np.stack([first.patch.box, second.patch.box])
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def _between(before: Observation, after: Observation, index: int) -> Observation:
    """The object on a slice where the model failed."""
    share = (index - before.index) / (after.index - before.index)
    patch = interpolate(before.patch, after.patch, share)
    return Observation(index, patch, confidence=0.0)
