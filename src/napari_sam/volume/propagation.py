"""Propagation of objects through a stack, from their prompted slices."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from napari_sam.prediction.zoom.grid import WindowGrid
from napari_sam.volume.appearance import Appearance
from napari_sam.volume.estimate import Estimate, ExpectedRange, RemainingWork
from napari_sam.volume.footprint import Footprint
from napari_sam.volume.object_windows import ObjectWindows, box_length
from napari_sam.volume.plane_encoder import PrefetchingPlaneEncoder, SliceWindows
from napari_sam.volume.results import Fingerprint, assemble
from napari_sam.volume.reuse import EarlierResult, settings_key
from napari_sam.volume.slice_observer import observe_slice, windows_ahead
from napari_sam.volume.slice_ranges import is_complete, slice_ranges
from napari_sam.volume.slice_segmenter import SliceSegmenter
from napari_sam.volume.tracker_factory import TrackerFactory, prompted_sizes
from napari_sam.volume.tracking.merging import merge_directions
from napari_sam.volume.tracking.observation import Observation
from napari_sam.volume.tracking.territories import Territories

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike

    from napari_sam.images.stack import Stack
    from napari_sam.images.window import Window
    from napari_sam.masks.patch import MaskPatch
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.protocol import PredictorLike
    from napari_sam.prediction.zoom.options import Zoom
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.volume.results import PropagationOptions, SliceResult, VolumeResult
    from napari_sam.volume.slice_ranges import SliceRange
    from napari_sam.volume.stack_prompts import PromptedSlices
    from napari_sam.volume.tracking.object_tracker import ObjectTracker

    # Earlier results to resume from, by range.
    Ranges = dict[SliceRange, dict[int, SliceResult]]


@dataclass(eq=False)
class Propagation:
    """Propagation of objects through a stack, an iterable of slice results.

    The prompted slices are segmented first. One sweep upwards and one downwards then
    propagate all objects. Small objects are followed in windows of the planes, which
    neighbours share. Each plane, or window of it, is encoded once, and all objects in
    it are decoded together; where masks overlap the larger logit decides at once, so
    that no object grows into its neighbour. Slices between two prompted slices are
    reached from both sides and blended by distance; they come twice, first as
    provisional results. Beyond the outermost prompted slices an object is propagated
    until it ends. Every slice yields once it is segmented: the last result again while
    it is open whether the object has ended.

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
        An earlier result; what image, model, options and prompts have not changed of
        it is reused.
    zoom : "auto", "off" or float
        How windows are chosen, see `ObjectWindows`.

    Attributes
    ----------
    estimate : Estimate or None
        What is left to do; known from the last result on a prompted slice on, which
        comes before the long work.
    work : RemainingWork
        What was done and is left, for a progress bar.
    footprint : Footprint
        Where objects were looked for and found, beyond the prompted slices.
    """

    stack: Stack
    prompted: Mapping[int, PromptedSlices]
    options: PropagationOptions
    predictor: PredictorLike
    cache: EmbeddingCache
    contrast_limits: ArrayLike | None = None
    previous: VolumeResult | None = None
    zoom: Zoom = "auto"
    estimate: Estimate | None = field(default=None, init=False)
    work: RemainingWork = field(default_factory=RemainingWork, init=False)
    footprint: Footprint = field(default_factory=Footprint, init=False)
    _results: list[SliceResult] = field(default_factory=list)
    _computed: set[tuple[int, int]] = field(default_factory=set)
    _empty: set[int] = field(default_factory=set)
    _complete: bool = False
    _earlier: EarlierResult = field(init=False)
    _fingerprint: Fingerprint | None = field(default=None, init=False)

    def __iter__(self) -> Iterator[SliceResult]:
        """Propagate; can be iterated once, stop iterating to cancel."""
        contrast_limits = self.contrast_limits
        if contrast_limits is None:
            contrast_limits = self.stack.contrast_limits()
        executor = ThreadPoolExecutor(1, "napari-sam prefetch")
        encoder = PrefetchingPlaneEncoder(
            self.stack, self.predictor, self.cache, contrast_limits, executor
        )
        settings = settings_key(
            self.stack, self.predictor, self.options, self.zoom, contrast_limits
        )
        self._earlier = EarlierResult(self.previous, settings, encoder)
        self._fingerprint = Fingerprint(settings, encoder.seen)
        try:
            for result in self._propagate(encoder):
                self._results.append(result)
                yield result
        finally:
            # Cancelling does not wait for planes that are no longer needed.
            executor.shutdown(wait=False, cancel_futures=True)
        self._complete = True

    def result(self, results: Iterable[SliceResult] | None = None) -> VolumeResult:
        """Combine the slice results so far, or some of them, into one result."""
        chosen = self._results if results is None else results
        count = len(self._computed)
        done = self._complete, frozenset(self._empty)
        made_from = self._fingerprint and self._fingerprint.copy()
        return assemble(self.stack, chosen, self.prompted, count, *done, made_from)

    def _propagate(self, encoder: PrefetchingPlaneEncoder) -> Iterator[SliceResult]:
        object_windows = self._object_windows
        territories = Territories(self.stack, self.footprint)
        segmenter = SliceSegmenter(
            self.predictor, self.options, object_windows, territories, self.footprint
        )
        factory = TrackerFactory(
            self.stack, self.prompted, self.options, object_windows
        )
        for object_id, observation, known_result in self._segment_prompted(
            encoder, segmenter
        ):
            segmenter.remember(object_id, observation.index, observation.patch)
            territories.add(object_id, observation.index, observation.patch)
            factory.add(object_id, observation)
            self.work.note_encoded(observation.index, observation.window)
            if factory.is_complete:
                kept, ranges = self._reused(factory)
                for result in kept:
                    segmenter.remember(result.object_id, result.index, result.patch)
                    yield result
                self.estimate = self._estimate(encoder, ranges, factory)
            yield known_result or observation.result(object_id, "anchor")
        upward: dict[SliceRange, ObjectTracker] = {}
        for direction in (1, -1):
            trackers = factory.trackers(ranges, direction)
            for tracker in trackers:
                yield from tracker.resume(ranges[tracker.slice_range])
            yield from self._sweep(encoder, segmenter, trackers, direction, upward)
            if direction > 0:
                upward = {tracker.slice_range: tracker for tracker in trackers}
            else:
                for tracker in trackers:
                    if tracker.slice_range.is_between:
                        upper = upward[tracker.slice_range]
                        yield from merge_directions(upper, tracker)

    def _reused(self, factory: TrackerFactory) -> tuple[list[SliceResult], Ranges]:
        """Return the earlier results of complete ranges, and all other ranges."""
        self._empty |= self._earlier.empty
        kept: list[SliceResult] = []
        count = len(self.stack)
        open_ranges: Ranges = {}
        for object_id, prompted in self.prompted.items():
            radii = factory.radii(object_id) if self.options.fit_border else {}
            for slice_range in slice_ranges(object_id, prompted, count, self.options):
                known = self._earlier.results(slice_range, prompted, count, radii)
                if known is not None and is_complete(slice_range, known):
                    kept += known.values()
                else:
                    # Beyond the outermost prompt it is resumed where it was stopped.
                    is_between = slice_range.is_between
                    open_ranges[slice_range] = {} if is_between else known or {}
        return kept, open_ranges

    @property
    def _object_windows(self) -> ObjectWindows:
        grid = WindowGrid.of(self.predictor, self.stack.plane_shape)
        return ObjectWindows(grid, self.zoom)

    def _segment_prompted(
        self, encoder: PrefetchingPlaneEncoder, segmenter: SliceSegmenter
    ) -> Iterator[tuple[int, Observation, SliceResult | None]]:
        """Yield each object on each prompted slice: reused, painted or segmented."""
        sizes = prompted_sizes(self.prompted)
        to_segment: dict[int, dict[int, Prompt]] = defaultdict(dict)
        for object_id, prompted in self.prompted.items():
            for index in prompted.indices:
                known = self._earlier.anchor(object_id, index, prompted)
                if known is not None:
                    patch, pred_iou, window = known.patch, known.score, known.window
                    appearance = known.appearance
                elif index in prompted.masks:
                    patch, pred_iou = prompted.masks[index], 1.0
                    window = self._window_around(patch, sizes[object_id])
                    border = encoder.border(index, window, patch)
                    appearance = Appearance.of_border(border)
                else:
                    to_segment[index][object_id] = prompted.prompts[index]
                    continue
                observation = Observation(
                    index,
                    patch,
                    pred_iou,
                    window=window,
                    appearance=appearance,
                )
                yield object_id, observation, known
        for index, prompts in sorted(to_segment.items()):
            self._computed.update((object_id, index) for object_id in prompts)
            windows = SliceWindows(encoder, index)
            masks = segmenter.segment_prompts(windows, prompts, sizes)
            windows.check_shown()
            for object_id, mask in masks.items():
                observation = Observation(
                    index,
                    mask.patch,
                    mask.pred_iou,
                    window=mask.window,
                    appearance=Appearance.of_border(mask.border, mask.threshold),
                )
                yield object_id, observation, None

    def _window_around(self, patch: MaskPatch, size: float) -> Window | None:
        """Return the window of a painted mask."""
        object_windows, box = self._object_windows, patch.box
        side = object_windows.side_on_slice(box_length(box), size)
        return object_windows.around(box, side)

    def _estimate(
        self,
        encoder: PrefetchingPlaneEncoder,
        ranges: Ranges,
        factory: TrackerFactory,
    ) -> Estimate | None:
        """Estimate the time from the number of windows to encode."""
        expected: dict[Hashable, ExpectedRange] = {}
        pixel = max(self.stack.pixel_size)
        for direction in (1, -1):
            for tracker in factory.trackers(ranges, direction):
                if tracker.ended:
                    continue
                known, slice_range = ranges[tracker.slice_range], tracker.slice_range
                depth = box_length(tracker.start.patch.box) / 2 * pixel
                expected[slice_range, direction] = ExpectedRange(
                    tracker.object_id,
                    tuple(i for i in tracker.slices if i not in known),
                    tracker.window(None),
                    float("inf")
                    if slice_range.is_between
                    else depth / self.stack.slice_spacing,
                )
        self.work.expect(expected)
        return Estimate.of(expected.values(), encoder.seconds_each)

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
            following = [
                (i, window)
                for i in islice(later, self.predictor.planes_at_once)
                for window in windows_ahead(by_slice[i])
            ]
            for tracker, observation in observe_slice(
                encoder, segmenter, index, active, upward, following
            ):
                if not observation.is_shown:
                    self._empty.add(index)
                    self.footprint.empty.add(index)
                self._computed.add((tracker.object_id, index))
                results = list(tracker.update(observation))
                self.work.note_encoded(index, observation.window)
                key, size = (tracker.slice_range, direction), tracker.relative_size
                self.work.note_slice(key, index, tracker.ended, size)
                yield from results
