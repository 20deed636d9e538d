"""Propagation of objects through a stack, from their prompted slices."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from napari_sam.masks.contrast import border_contrast
from napari_sam.volume.object_tracker import ObjectTracker, Observation, disputed_box
from napari_sam.volume.plane_encoder import PrefetchingPlaneEncoder
from napari_sam.volume.results import assemble
from napari_sam.volume.slice_ranges import is_complete, reusable_results, slice_ranges
from napari_sam.volume.slice_segmenter import SliceSegmenter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike

    from napari_sam.images.stack import Stack
    from napari_sam.masks.patch import MaskPatch
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.protocol import PredictorLike
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.volume.plane_encoder import EncodedPlane
    from napari_sam.volume.results import PropagationOptions, SliceResult, VolumeResult
    from napari_sam.volume.slice_ranges import SliceRange
    from napari_sam.volume.stack_prompts import PromptedSlices

    # Earlier results to resume from, by range.
    Ranges = dict[SliceRange, dict[int, SliceResult]]


@dataclass(eq=False)
class Propagation:
    """Propagation of objects through a stack, an iterable of slice results.

    The prompted slices are segmented first. One sweep upwards and one downwards then
    propagate all objects. Each plane is encoded once, and all objects on it are decoded
    together; where masks overlap the larger logit decides at once, so that no object
    grows into its neighbour. Slices between two prompted slices are reached from both
    sides and blended by distance; they come twice, first as provisional results. Beyond
    the outermost prompted slices an object is propagated until it ends. Every slice
    yields once it is segmented: the last result again while it is open whether the
    object has ended.

    Parameters
    ----------
    stack : Stack
        The stack and its axis of propagation.
    prompted : dict
        {object id: PromptedSlices}.
    options : PropagationOptions
        Settings.
    predictor : PredictorLike
        The model.
    cache : EmbeddingCache
        Keeps embeddings of planes between calls.
    contrast_limits : tuple of float or array-like, optional
        Of the whole stack; measured on a sample when None.
    previous : VolumeResult, optional
        An earlier result; the parts that have not changed are reused.
    """

    stack: Stack
    prompted: Mapping[int, PromptedSlices]
    options: PropagationOptions
    predictor: PredictorLike
    cache: EmbeddingCache
    contrast_limits: ArrayLike | None = None
    previous: VolumeResult | None = None
    _results: list[SliceResult] = field(default_factory=list)
    _computed: set[tuple[int, int]] = field(default_factory=set)
    _complete: bool = False

    def __iter__(self) -> Iterator[SliceResult]:
        """Propagate; can be iterated once, stop iterating to cancel."""
        contrast_limits = self.contrast_limits
        if contrast_limits is None:
            contrast_limits = self.stack.contrast_limits()
        executor = ThreadPoolExecutor(1, "napari-sam prefetch")
        encoder = PrefetchingPlaneEncoder(
            self.stack, self.predictor, self.cache, contrast_limits, executor
        )
        try:
            for result in self._propagate(encoder):
                self._results.append(result)
                yield result
        finally:
            # Cancelling does not wait for planes that are no longer needed.
            executor.shutdown(wait=False, cancel_futures=True)
        self._complete = True

    @property
    def expected_count(self) -> int:
        """Upper estimate of the number of results."""
        ranges = [slice_range for slice_range, _ in self._ranges()]
        propagated = sum(len(r.slices) * (1 + 2 * r.is_between) for r in ranges)
        return propagated + sum(len(p.indices) for p in self.prompted.values())

    def result(self, results: Iterable[SliceResult] | None = None) -> VolumeResult:
        """Combine the slice results so far, or some of them, into one result."""
        chosen = self._results if results is None else results
        count = len(self._computed)
        return assemble(self.stack, chosen, self.prompted, count, self._complete)

    def _propagate(self, encoder: PrefetchingPlaneEncoder) -> Iterator[SliceResult]:
        segmenter = SliceSegmenter(self.predictor, self.options)
        ranges: Ranges = {}
        for slice_range, known in self._ranges():
            if known is not None and is_complete(slice_range, known):
                for result in known.values():
                    segmenter.remember(
                        slice_range.object_id, result.index, result.patch
                    )
                    yield result
            else:
                # A range beyond the outermost prompt is resumed where it was stopped.
                ranges[slice_range] = {} if slice_range.is_between else known or {}
        observations: dict[tuple[int, int], Observation] = {}
        for object_id, observation, known_result in self._segment_prompted(
            encoder, segmenter
        ):
            segmenter.remember(object_id, observation.index, observation.patch)
            observations[object_id, observation.index] = observation
            yield known_result or observation.result(object_id, "anchor")
        upward: dict[SliceRange, ObjectTracker] = {}
        for direction in (1, -1):
            trackers = self._trackers(ranges, observations, direction)
            for tracker in trackers:
                yield from tracker.resume(ranges[tracker.slice_range])
            yield from self._sweep(encoder, segmenter, trackers, direction, upward)
            if direction > 0:
                upward = {tracker.slice_range: tracker for tracker in trackers}
            else:
                for tracker in trackers:
                    if tracker.slice_range.is_between:
                        yield from upward[tracker.slice_range].merge_with(tracker)

    def _ranges(self) -> Iterator[tuple[SliceRange, dict[int, SliceResult] | None]]:
        """Find all slice ranges, with the earlier results of unchanged ones."""
        count = len(self.stack)
        for object_id, prompted in self.prompted.items():
            for slice_range in slice_ranges(object_id, prompted, count, self.options):
                known = reusable_results(slice_range, prompted, self.previous, count)
                yield slice_range, known

    def _segment_prompted(
        self, encoder: PrefetchingPlaneEncoder, segmenter: SliceSegmenter
    ) -> Iterator[tuple[int, Observation, SliceResult | None]]:
        """Yield each object on each prompted slice: reused, painted or segmented."""
        to_segment: dict[int, dict[int, Prompt]] = defaultdict(dict)
        for object_id, prompted in self.prompted.items():
            for index in prompted.indices:
                known = self._known_result(object_id, index)
                if known is not None:
                    patch, pred_iou = known.patch, known.score
                elif index in prompted.masks:
                    patch, pred_iou = prompted.masks[index], 1.0
                else:
                    to_segment[index][object_id] = prompted.prompts[index]
                    continue
                contrast = self._contrast(encoder, index, patch)
                yield object_id, Observation(index, patch, pred_iou, contrast), known
        for index, prompts in sorted(to_segment.items()):
            self._computed.update((object_id, index) for object_id in prompts)
            masks = segmenter.segment_prompts(encoder.get(index), prompts)
            for object_id, mask in masks.items():
                yield (
                    object_id,
                    Observation(index, mask.patch, mask.pred_iou, mask.contrast),
                    None,
                )

    def _contrast(
        self, encoder: PrefetchingPlaneEncoder, slice_index: int, patch: MaskPatch
    ) -> float:
        pixels, plane_shape = encoder.pixels(slice_index), self.stack.plane_shape
        return border_contrast(pixels, patch.mask, patch.origin, plane_shape)

    def _known_result(self, object_id: int, slice_index: int) -> SliceResult | None:
        """Return the earlier result on a prompted slice whose prompt is the same."""
        if self.previous is None or object_id not in self.previous.prompted:
            return None
        before = self.previous.prompted[object_id]
        if not self.prompted[object_id].same_on(before, slice_index):
            return None
        result = self.previous.of_object(object_id).get(slice_index)
        return result if result is not None and result.status == "anchor" else None

    def _trackers(
        self,
        ranges: Iterable[SliceRange],
        observations: Mapping[tuple[int, int], Observation],
        direction: int,
    ) -> list[ObjectTracker]:
        """Make the trackers of one sweep, for ranges that start with a prompt."""
        trackers = []
        for slice_range in ranges:
            start, goal = (slice_range.below, slice_range.above)[::direction]
            if start is None:
                continue
            object_id = slice_range.object_id
            prompt = self.prompted[object_id].prompts.get(start)
            trackers.append(
                ObjectTracker(
                    slice_range,
                    direction,
                    observations[object_id, start],
                    None if goal is None else observations[object_id, goal],
                    None if prompt is None else prompt.box,
                    self.stack,
                    self.options,
                )
            )
        return trackers

    def _sweep(
        self,
        encoder: PrefetchingPlaneEncoder,
        segmenter: SliceSegmenter,
        trackers: Sequence[ObjectTracker],
        direction: int,
        upward: Mapping[SliceRange, ObjectTracker],
    ) -> Iterator[SliceResult]:
        """Propagate in one direction, all objects on a plane together."""
        by_slice: dict[int, list[ObjectTracker]] = defaultdict(list)
        for tracker in trackers:
            for index in tracker.slices:
                if index not in tracker.resumed:
                    by_slice[index].append(tracker)
        order = sorted(by_slice)[::direction]
        for position, index in enumerate(order):
            active = [tracker for tracker in by_slice[index] if not tracker.ended]
            if not active:
                continue
            later = (
                i
                for i in order[position + 1 :]
                if not all(tracker.ended for tracker in by_slice[i])
            )
            following = list(islice(later, self.predictor.planes_at_once))
            plane = encoder.get(index, following)
            for tracker, observation in _observe(plane, segmenter, active, upward):
                self._computed.add((tracker.object_id, index))
                yield from tracker.update(observation)


def _observe(
    plane: EncodedPlane,
    segmenter: SliceSegmenter,
    trackers: Sequence[ObjectTracker],
    upward: Mapping[SliceRange, ObjectTracker],
) -> list[tuple[ObjectTracker, Observation]]:
    """Segment all objects on a plane; break ties with the upward sweep."""
    index, shape, kinds = plane.index, plane.embedding.shape, segmenter.prompt_kinds
    expected = {t.object_id: t.expect(index, shape, kinds) for t in trackers}
    masks = segmenter.segment(plane, expected)
    observations, disputes = [], {}
    for tracker in trackers:
        object_id = tracker.object_id
        observation = tracker.observe(index, masks[object_id], expected[object_id])
        observations.append((tracker, observation))
        if tracker.accepts(observation):
            segmenter.remember(object_id, index, observation.patch)
        other = upward.get(tracker.slice_range)
        earlier = None if other is None else other.accepted(index)
        box = None if earlier is None else disputed_box(earlier, observation)
        if box is not None:
            disputes[object_id] = box
    tie_breaks = segmenter.break_ties(plane, disputes)
    return [
        (tracker, replace(observation, tie_break=tie_breaks.get(tracker.object_id)))
        for tracker, observation in observations
    ]
