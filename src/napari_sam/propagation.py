"""Following objects through a stack: two sweeps, each plane encoded once for all."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.anchors import anchors_of, check_masks, check_prompts
from napari_sam.cache import EmbeddingCache
from napari_sam.confidence import confidence, weigh
from napari_sam.masks import (
    Patch,
    border_contrast,
    mask_to_box,
    patch_iou,
    stability,
    won_masks,
)
from napari_sam.projection import combine, slid_box
from napari_sam.prompts import Prompt
from napari_sam.spans import Span, is_complete, known_results, spans_of
from napari_sam.tracks import EMPTY, Seen, Track
from napari_sam.volume import PropagationOptions, SliceResult, assemble

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.anchors import ObjectAnchors
    from napari_sam.predictor import Embedding, Prediction, Predictor
    from napari_sam.projection import Expected
    from napari_sam.stack import Stack
    from napari_sam.volume import VolumeResult

# Prompts that are decoded at once; more of them only take memory.
_BATCH = 64
# So often a box follows an object that slides out of it.
_SLIDES = 2
# Pieces that are something else than what was looked for.
_LOST_PIECE, _SURE_HOLE = 0.1, 0.3


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
        Of the whole stack, see `napari_sam.image.to_uint8`; a sample of it decides
        when None.
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
    plan = anchors_of(check_prompts(prompts, stack, painted), painted)
    # An empty cache is false, and yet the one to fill.
    cache = EmbeddingCache() if cache is None else cache
    work = Propagation(stack, plan, options or PropagationOptions(), previous)
    yield from work.run(predictor, cache, contrast_limits)


@dataclass(eq=False)
class Propagation:
    """The way of objects through a stack.

    The anchors are segmented first. One sweep up and one down then carry all
    objects on, each plane encoded once and all objects on it decoded together:
    where masks meet, the larger logit decides at once, so that no object grows
    into its neighbour. Slices between two anchors are reached from both and
    blended by distance; they come twice, first provisionally. Beyond the
    outermost anchors an object goes on until it ends.

    Parameters
    ----------
    stack : Stack
        The volume and its axis.
    anchors : dict
        {object id: ObjectAnchors}.
    options : PropagationOptions
        How objects are followed.
    previous : VolumeResult, optional
        An earlier result.
    """

    stack: Stack
    anchors: Mapping[int, ObjectAnchors]
    options: PropagationOptions
    previous: VolumeResult | None = None
    _computed: set[tuple[int, int]] = field(default_factory=set)
    _complete: bool = False

    def run(
        self,
        predictor: Predictor,
        cache: EmbeddingCache,
        contrast_limits: ArrayLike | None = None,
    ) -> Iterator[SliceResult]:
        """Walk; yields results as they are computed, stop iterating to cancel."""
        if contrast_limits is None:
            contrast_limits = self.stack.contrast_limits()
        with ThreadPoolExecutor(1, "napari-sam ahead") as ahead:
            planes = _Planes(self.stack, predictor, cache, contrast_limits, ahead)
            yield from self._walk(_Eye(predictor, planes, self.options))
        self._complete = True

    @property
    def expected_slices(self) -> int:
        """An upper limit of the slices of objects that `run` yields."""
        spans = [span for span, _ in self._spans()]
        walked = sum(len(s.slices) * (1 + 2 * s.is_between) for s in spans)
        return walked + sum(len(a.indices) for a in self.anchors.values())

    def finish(self, results: Iterable[SliceResult]) -> VolumeResult:
        """One result of all that was yielded."""
        done = list(results)  # while it is iterated the work goes on
        count = len(self._computed)
        return assemble(self.stack, done, self.anchors, count, self._complete)

    def _walk(self, eye: _Eye) -> Iterator[SliceResult]:
        todo = {}
        for span, known in self._spans():
            if known is not None and is_complete(span, known):
                for result in known.values():
                    eye.note(span.object_id, result.index, result.patch)
                    yield result
            else:
                # A span that was left half way is gone on with, from one end.
                todo[span] = {} if span.is_between else known or {}
        seen: dict[tuple[int, int], Seen] = {}
        for number, anchor, before in self._see_anchors(eye):
            seen[number, anchor.index] = anchor
            yield before or anchor.result(number, "anchor")
        upward: dict[Span, Track] = {}
        for step in (1, -1):
            tracks = self._tracks(todo, seen, step)
            for track in tracks:
                yield from track.resume(todo[track.span])
            yield from self._sweep(eye, tracks, step)
            if step > 0:
                upward = {track.span: track for track in tracks}
            else:
                for track in tracks:
                    if track.span.is_between:
                        yield from upward[track.span].settle(track)

    def _spans(self) -> Iterator[tuple[Span, dict[int, SliceResult] | None]]:
        """All spans, with what an earlier result says of those that are as before."""
        count = len(self.stack)
        for number, anchors in self.anchors.items():
            for span in spans_of(number, anchors, count, self.options):
                yield span, known_results(span, anchors, self.previous, count)

    def _see_anchors(self, eye: _Eye) -> Iterator[tuple[int, Seen, SliceResult | None]]:
        """Every anchor: known from before, painted, or asked of the model."""
        asked: dict[int, dict[int, Prompt]] = defaultdict(dict)
        for number, anchors in self.anchors.items():
            for index in anchors.indices:
                known = self._known_anchor(number, index)
                if known is not None:
                    seen = Seen(index, known.patch, known.score)
                    yield number, eye.contrasted(number, seen), known
                elif index in anchors.masks:
                    self._computed.add((number, index))
                    painted = Seen(index, anchors.masks[index], 1.0)
                    yield number, eye.contrasted(number, painted), None
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
        self, spans: Iterable[Span], seen: Mapping[tuple[int, int], Seen], step: int
    ) -> list[Track]:
        """The ways of one sweep."""
        tracks = []
        for span in spans:
            start, goal = (span.below, span.above)[::step]
            if start is not None:
                first = seen[span.object_id, start]
                last = None if goal is None else seen[span.object_id, goal]
                tracks.append(Track(span, step, first, last, self.options))
        return tracks

    def _sweep(
        self, eye: _Eye, tracks: Sequence[Track], step: int
    ) -> Iterator[SliceResult]:
        """Carry objects in one direction, all those on a plane together."""
        visits: dict[int, list[Track]] = defaultdict(list)
        for track in tracks:
            for index in track.slices:
                if index not in track.resumed:
                    visits[index].append(track)
        order = sorted(visits)[::step]
        for position, index in enumerate(order):
            active = [track for track in visits[index] if not track.ended]
            if not active:
                continue
            following = order[position + 1] if position + 1 < len(order) else None
            if following is not None and all(t.ended for t in visits[following]):
                following = None
            found = eye.look(index, active, following)
            for track, seen in zip(active, found, strict=True):
                self._computed.add((track.span.object_id, index))
                yield from track.take(seen)


@dataclass(eq=False)
class _Planes:
    """Planes and what the model knows of them; the next one is read meanwhile."""

    stack: Stack
    predictor: Predictor
    cache: EmbeddingCache
    limits: ArrayLike | None
    ahead: Executor
    _coming: dict[int, Future[tuple[NDArray[Any], Embedding]]] = field(
        default_factory=dict
    )

    def pixels(self, index: int) -> NDArray[Any]:
        """The plane, as large as the model sees it at least."""
        return self.stack.plane(index, self.predictor.input_size)

    def get(
        self, index: int, following: int | None = None
    ) -> tuple[NDArray[Any], Embedding]:
        """A plane and its embedding; the following one is begun with."""
        coming = self._coming.pop(index, None)
        self._coming.clear()
        known = self._embed(index) if coming is None else coming.result()
        if following is not None:
            self._coming[following] = self.ahead.submit(self._embed, following)
        return known

    def _embed(self, index: int) -> tuple[NDArray[Any], Embedding]:
        plane = self.pixels(index)
        shape = self.stack.plane_shape
        return plane, self.cache.embed(
            self.predictor, plane, self.limits, plane_shape=shape
        )


@dataclass(eq=False)
class _Eye:
    """Asks the model about objects on a slice, and judges its answers."""

    predictor: Predictor
    planes: _Planes
    options: PropagationOptions
    # What is known of each slice: {slice: {object: mask}}.
    board: dict[int, dict[int, Patch]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def note(self, number: int, index: int, patch: Patch) -> None:
        """Remember where an object is, so that others do not grow into it."""
        if patch.logits.size:
            self.board[index][number] = patch

    def contrasted(self, number: int, seen: Seen) -> Seen:
        """An anchor that the model is not asked about, with its contrast."""
        self.note(number, seen.index, seen.patch)
        plane = self.planes.pixels(seen.index)
        return replace(seen, contrast=self._contrast(plane, seen.patch))

    def answer(
        self, index: int, prompts: Mapping[int, Prompt]
    ) -> Iterator[tuple[int, Seen]]:
        """The anchors that users prompt on a slice."""
        plane, embedding = self.planes.get(index)
        answers = self._decode(embedding, list(prompts.values()))
        patches = [answer.patch for answer in answers]
        for number, answer, patch in zip(prompts, answers, patches, strict=True):
            self.note(number, index, patch)
            contrast = self._contrast(plane, patch)
            yield number, Seen(index, patch, answer.score, contrast)

    def look(
        self, index: int, tracks: Sequence[Track], following: int | None
    ) -> list[Seen]:
        """Look for objects on a slice where they are expected."""
        plane, embedding = self.planes.get(index, following)
        shape, kinds = embedding.shape, self._kinds()
        expected = [track.expect(index, shape, kinds) for track in tracks]
        prompts = [p for e in expected if e is not None for p in e.prompts]
        answers = iter(self._decode_sliding(embedding, prompts))
        found = [self._join(e, answers) for e in expected]
        numbers = [track.span.object_id for track in tracks]
        settled = self._settle(index, numbers, [patch for patch, _ in found])
        seen = []
        for track, patch, (_, answer), e in zip(
            tracks, settled, found, expected, strict=True
        ):
            if e is None or answer is None or not patch.logits.size:
                score = 0.0 if answer is None else answer.score
                seen.append(Seen(index, EMPTY, score, confidence=0.0))
                continue
            contrast = self._contrast(plane, patch)
            trust = self._judge(track, index, patch, answer, e, contrast)
            seen.append(Seen(index, patch, answer.score, contrast, trust))
            if trust >= self.options.min_confidence:
                self.note(track.span.object_id, index, patch)
        return seen

    def _kinds(self) -> frozenset[str]:
        """Of what prompts are made: what is asked for, and the model was trained on."""
        if self.options.projection == "auto":
            return self.predictor.prompts
        return frozenset(self.options.projection.split("+"))

    def _decode(
        self, embedding: Embedding, prompts: Sequence[Prompt]
    ) -> list[Prediction]:
        answers: list[Prediction] = []
        for first in range(0, len(prompts), _BATCH):
            batch = prompts[first : first + _BATCH]
            answers += self.predictor.predict_batch(embedding, batch)
        return answers

    def _decode_sliding(
        self, embedding: Embedding, prompts: Sequence[Prompt]
    ) -> list[Prediction]:
        """Decode, and ask again about what has slid out of its box."""
        answers = self._decode(embedding, prompts)
        boxes = {i: prompt.box for i, prompt in enumerate(prompts)}
        for _ in range(_SLIDES):
            again = {}
            for i, box in boxes.items():
                found = mask_to_box(answers[i].patch.mask)
                if found is not None:
                    tight = found + np.tile(answers[i].patch.origin, 2)
                    moved = slid_box(box, tight, self.options.margin)
                    if moved is not None and _lies_on(moved, embedding.shape):
                        again[i] = moved
            if not again:
                break
            asked = [Prompt(box=box) for box in again.values()]
            for i, answer in zip(again, self._decode(embedding, asked), strict=True):
                answers[i] = answer
            boxes = again
        return answers

    @staticmethod
    def _join(
        expected: Expected | None, answers: Iterator[Prediction]
    ) -> tuple[Patch, Prediction | None]:
        """One mask of the answers to all parts, and the answer to the largest."""
        if expected is None:
            return EMPTY, None
        given = [(part, next(answers)) for part in expected.parts]
        solid = [(p, a) for p, a in given if not p.is_hole]
        same = [
            (p, a) for p, a in solid if patch_iou(p.patch, a.patch) >= _LOST_PIECE
        ] or solid[:1]
        holes = [
            a.patch
            for p, a in given
            if p.is_hole and patch_iou(p.patch, a.patch) >= _SURE_HOLE
        ]
        pieces = [a.patch for _, a in same]
        if len(pieces) == 1 and not holes:
            return pieces[0], same[0][1]
        return combine(pieces, holes), same[0][1]

    def _settle(
        self, index: int, numbers: Sequence[int], patches: Sequence[Patch]
    ) -> list[Patch]:
        """Give each pixel to one object, those of this slice known before included."""
        others = [p for n, p in self.board[index].items() if n not in numbers]
        everyone = [*patches, *others]
        if len(everyone) < 2:
            return list(patches)
        masks = won_masks(everyone)[: len(patches)]
        return [
            patch
            if np.array_equal(won, patch.mask)
            else combine([Patch(patch.origin, np.where(won, patch.logits, -1.0))], [])
            for patch, won in zip(patches, masks, strict=True)
        ]

    def _judge(
        self,
        track: Track,
        index: int,
        patch: Patch,
        answer: Prediction,
        expected: Expected,
        contrast: float,
    ) -> float:
        stack, usual = self.planes.stack, track.usual_contrast
        rows, cols = answer.frame.mask_shape  # the rest is padding
        evidence = weigh(
            patch,
            expected.patch,
            expected.prompts[0].box,
            score=answer.score,
            stability=float(stability(answer.logits[:rows, :cols])),
            contrast=contrast / usual if usual else 0.0,
            step=abs(index - track.last.index) * stack.step,
            depth=abs(index - track.start.index) * stack.step,
            pixel=stack.pixel,
        )
        return confidence(evidence)

    def _contrast(self, plane: NDArray[Any], patch: Patch) -> float:
        shape = self.planes.stack.plane_shape
        return border_contrast(plane, patch.mask, patch.origin, shape)


def _lies_on(box: NDArray[np.float64], shape: tuple[int, int]) -> bool:
    """Whether some of a box lies on the plane."""
    return bool((box[2:] > 0).all() and (box[:2] < np.subtract(shape, 1)).all())
