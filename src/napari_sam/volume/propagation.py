"""Following objects through a stack: two sweeps, each plane encoded once for all."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.volume.object_tracker import ObjectTracker, Observation
from napari_sam.volume.plane_encoder import PrefetchingPlaneEncoder
from napari_sam.volume.results import PropagationOptions, SliceResult, assemble
from napari_sam.volume.slice_ranges import (
    SliceRange,
    is_complete,
    known_results,
    slice_ranges,
)
from napari_sam.volume.slice_segmenter import SliceSegmenter
from napari_sam.volume.stack_prompts import check_masks, check_prompts, prompted_slices

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike

    from napari_sam.images.stack import Stack
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.volume.results import VolumeResult
    from napari_sam.volume.stack_prompts import PromptedSlices


def propagate(
    stack: Stack,
    prompts: Mapping[int, Mapping[int, Prompt]],
    predictor: Predictor,
    *,
    masks: Mapping[int, Mapping[int, ArrayLike]] | None = None,
    contrast_limits: ArrayLike | None = None,
    options: PropagationOptions | None = None,
    cache: EmbeddingCache | None = None,
    previous: VolumeResult | None = None,
) -> Iterator[SliceResult]:
    """Follow objects from their anchors outwards, in both directions.

    See `Propagation`; `volume.assemble` makes one result of what this yields.

    Parameters
    ----------
    stack : Stack
        The volume and its axis.
    prompts : mapping
        {object id: {slice index: Prompt}}.
    predictor : Predictor
        The model.
    masks : mapping, optional
        {object id: {slice index: (H, W) bool}}, painted by hand.
    contrast_limits : tuple of float or array-like, optional
        Of the whole stack, see `images.uint8.to_uint8`; a sample decides when None.
    options : PropagationOptions, optional
        How objects are followed.
    cache : EmbeddingCache, optional
        Keeps planes encoded between calls.
    previous : VolumeResult, optional
        An earlier result; what lies between anchors that have not changed is
        taken from it.

    Yields
    ------
    SliceResult
        As they are computed; stop iterating to cancel.

    Raises
    ------
    ValueError
        When there is no prompt, a slice lies outside the stack or a prompt
        outside its plane.
    """
    painted = check_masks(masks, stack)
    plan = prompted_slices(check_prompts(prompts, stack, painted), painted)
    # An empty cache is false, and yet the one to fill.
    cache = EmbeddingCache() if cache is None else cache
    settings = options or PropagationOptions()
    yield from Propagation(
        stack, plan, settings, predictor, cache, contrast_limits, previous
    )


@dataclass(eq=False)
class Propagation:
    """The way of objects through a stack.

    The anchors are segmented first. One sweep up and one down then carry all
    objects on, each plane encoded once and all objects on it decoded together:
    where masks meet, the larger logit decides at once, so that no object grows
    into its neighbour. Slices between two anchors are reached from both and
    blended by distance; they come twice, first provisionally. Beyond the
    outermost anchors an object goes on until it ends. Each slice yields as soon
    as it is looked at, the latest result again where it is not known yet whether the
    object ends.

    Parameters
    ----------
    stack : Stack
        The volume and its axis.
    anchors : dict
        {object id: PromptedSlices}.
    options : PropagationOptions
        Settings.
    predictor : Predictor
        The model.
    cache : EmbeddingCache
        Keeps embeddings of planes between calls.
    contrast_limits : tuple of float or array-like, optional
        Of the whole stack; measured on a sample when None.
    previous : VolumeResult, optional
        An earlier result; the parts that have not changed are reused.
    """

    stack: Stack
    anchors: Mapping[int, PromptedSlices]
    options: PropagationOptions
    predictor: Predictor
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
        ahead = ThreadPoolExecutor(1, "napari-sam ahead")
        planes = PrefetchingPlaneEncoder(
            self.stack, self.predictor, self.cache, contrast_limits, ahead
        )
        segmenter = SliceSegmenter(self.predictor, planes, self.options)
        try:
            for result in self._walk(segmenter):
                self._results.append(result)
                yield result
        finally:
            # Cancelling does not wait for planes that are not needed any more.
            ahead.shutdown(wait=False, cancel_futures=True)
        self._complete = True

    @property
    def expected_count(self) -> int:
        """Upper estimate of the number of results."""
        ranges = [span for span, _ in self._spans()]
        propagated = sum(len(r.slices) * (1 + 2 * r.is_between) for r in ranges)
        return propagated + sum(len(a.indices) for a in self.anchors.values())

    def result(self, results: Iterable[SliceResult] | None = None) -> VolumeResult:
        """Combine the slice results so far, or some of them, into one result."""
        chosen = self._results if results is None else results
        count = len(self._computed)
        return assemble(self.stack, chosen, self.anchors, count, self._complete)

    def _walk(self, eye: SliceSegmenter) -> Iterator[SliceResult]:
        todo = {}
        for span, known in self._spans():
            if known is not None and is_complete(span, known):
                for result in known.values():
                    eye.note(span.object_id, result.index, result.patch)
                    yield result
            else:
                # A span that was left half way is gone on with, from one end.
                todo[span] = {} if span.is_between else known or {}
        seen: dict[tuple[int, int], Observation] = {}
        for number, anchor, before in self._see_anchors(eye):
            seen[number, anchor.index] = anchor
            yield before or anchor.result(number, "anchor")
        upward: dict[SliceRange, ObjectTracker] = {}
        for step in (1, -1):
            tracks = self._tracks(todo, seen, step)
            for track in tracks:
                yield from track.resume(todo[track.span])
            yield from self._sweep(eye, tracks, step, upward)
            if step > 0:
                upward = {track.span: track for track in tracks}
            else:
                for track in tracks:
                    if track.span.is_between:
                        yield from upward[track.span].settle(track)

    def _spans(self) -> Iterator[tuple[SliceRange, dict[int, SliceResult] | None]]:
        """All spans, with what an earlier result says of those that are as before."""
        count = len(self.stack)
        for number, anchors in self.anchors.items():
            for span in slice_ranges(number, anchors, count, self.options):
                yield span, known_results(span, anchors, self.previous, count)

    def _see_anchors(
        self, eye: SliceSegmenter
    ) -> Iterator[tuple[int, Observation, SliceResult | None]]:
        """Every anchor: known from before, painted, or asked of the model."""
        asked: dict[int, dict[int, Prompt]] = defaultdict(dict)
        for number, anchors in self.anchors.items():
            for index in anchors.indices:
                known = self._known_anchor(number, index)
                if known is not None:
                    seen = Observation(index, known.patch, known.score)
                    yield number, eye.with_contrast(number, seen), known
                elif index in anchors.masks:
                    painted = Observation(index, anchors.masks[index], 1.0)
                    yield number, eye.with_contrast(number, painted), None
                else:
                    asked[index][number] = anchors.prompts[index]
        for index, members in sorted(asked.items()):
            self._computed.update((number, index) for number in members)
            for number, seen in eye.answer(index, members):
                yield number, seen, None

    def _known_anchor(self, number: int, index: int) -> SliceResult | None:
        """An anchor that an earlier result holds already."""
        if self.previous is None or number not in self.previous.anchors:
            return None
        if not self.anchors[number].same_at(self.previous.anchors[number], index):
            return None
        result = self.previous.of_object(number).get(index)
        return result if result is not None and result.status == "anchor" else None

    def _tracks(
        self,
        spans: Iterable[SliceRange],
        seen: Mapping[tuple[int, int], Observation],
        step: int,
    ) -> list[ObjectTracker]:
        """The ways of one sweep."""
        tracks = []
        for span in spans:
            start, goal = (span.below, span.above)[::step]
            if start is not None:
                first = seen[span.object_id, start]
                prompt = self.anchors[span.object_id].prompts.get(start)
                box = None if prompt is None else prompt.box
                last = None if goal is None else seen[span.object_id, goal]
                tracks.append(
                    ObjectTracker(
                        span, step, first, last, box, self.stack, self.options
                    )
                )
        return tracks

    def _sweep(
        self,
        eye: SliceSegmenter,
        tracks: Sequence[ObjectTracker],
        step: int,
        earlier: Mapping[SliceRange, ObjectTracker],
    ) -> Iterator[SliceResult]:
        """Carry objects in one direction, all those on a plane together."""
        visits: dict[int, list[ObjectTracker]] = defaultdict(list)
        for track in tracks:
            for index in track.slices:
                if index not in track.resumed:
                    visits[index].append(track)
        order = sorted(visits)[::step]
        for position, index in enumerate(order):
            active = [track for track in visits[index] if not track.ended]
            if not active:
                continue
            later = (
                i for i in order[position + 1 :] if not all(t.ended for t in visits[i])
            )
            following = list(islice(later, eye.predictor.planes_at_once))
            others = [earlier.get(track.span) for track in active]
            before = [None if t is None else t.accepted(index) for t in others]
            found = eye.look(index, active, before, following)
            for track, seen in zip(active, found, strict=True):
                self._computed.add((track.span.object_id, index))
                yield from track.take(seen)
