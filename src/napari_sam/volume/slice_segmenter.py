"""Asking the model about objects on a slice, and judging its answers."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.masks.contrast import border_contrast
from napari_sam.masks.patch import (
    MaskPatch,
    patch_iou,
    resolve_overlaps,
    stability,
)
from napari_sam.prompts.prompt import Prompt
from napari_sam.volume.box_motion import expand_box, refit_box
from napari_sam.volume.confidence import confidence, confidence_features
from napari_sam.volume.mask_projection import combine
from napari_sam.volume.object_tracker import EMPTY, Observation, disputed_box

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.prediction.predictor import Embedding, Prediction, Predictor
    from napari_sam.volume.mask_projection import ExpectedMask
    from napari_sam.volume.object_tracker import ObjectTracker
    from napari_sam.volume.plane_encoder import PrefetchingPlaneEncoder
    from napari_sam.volume.results import PropagationOptions

# Prompts that are decoded at once; more of them only take memory.
_BATCH = 64
# So often a box follows an object that grows or slides out of it.
_REFITS = 2
# Pieces that are something else than what was looked for.
_LOST_PIECE, _SURE_HOLE = 0.1, 0.3


@dataclass(eq=False)
class SliceSegmenter:
    """Asks the model about objects on a slice, and judges its answers.

    Parameters
    ----------
    predictor : Predictor
        The model.
    planes : PrefetchingPlaneEncoder
        What it looks at.
    options : PropagationOptions
        How objects are followed.
    """

    predictor: Predictor
    planes: PrefetchingPlaneEncoder
    options: PropagationOptions
    # What is known of each slice: {slice: {object: mask}}.
    masks_by_slice: dict[int, dict[int, MaskPatch]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def note(self, number: int, index: int, patch: MaskPatch) -> None:
        """Remember where an object is, so that others do not grow into it."""
        if patch.logits.size:
            self.masks_by_slice[index][number] = patch

    def with_contrast(self, number: int, seen: Observation) -> Observation:
        """An anchor that the model is not asked about, with its contrast."""
        self.note(number, seen.index, seen.patch)
        plane = self.planes.pixels(seen.index)
        return replace(seen, contrast=self._contrast(plane, seen.patch))

    def answer(
        self, index: int, prompts: Mapping[int, Prompt]
    ) -> Iterator[tuple[int, Observation]]:
        """The anchors that users prompt on a slice."""
        plane, embedding = self.planes.get(index)
        answers = self._decode(embedding, list(prompts.values()))
        patches = [answer.patch for answer in answers]
        for number, answer, patch in zip(prompts, answers, patches, strict=True):
            self.note(number, index, patch)
            contrast = self._contrast(plane, patch)
            yield number, Observation(index, patch, answer.score, contrast)

    def look(
        self,
        index: int,
        tracks: Sequence[ObjectTracker],
        before: Sequence[Observation | None],
        following: Sequence[int],
    ) -> list[Observation]:
        """Look for objects on a slice where they are expected.

        Where that differs from what the sweep `before` found, a third opinion is
        asked for.
        """
        plane, embedding = self.planes.get(index, following)
        shape, kinds = embedding.shape, self._kinds()
        expected = [track.expect(index, shape, kinds) for track in tracks]
        prompts = [p for e in expected if e is not None for p in e.prompts]
        answers = iter(self._decode_refitted(embedding, prompts))
        found = [self._join(e, answers) for e in expected]
        numbers = [track.span.object_id for track in tracks]
        settled = self._settle(index, numbers, [patch for patch, _ in found])
        seen = []
        for track, patch, (_, answer), e in zip(
            tracks, settled, found, expected, strict=True
        ):
            if e is None or answer is None or not patch.logits.size:
                score = 0.0 if answer is None else answer.score
                seen.append(Observation(index, EMPTY, score, confidence=0.0))
                continue
            contrast = self._contrast(plane, patch)
            quality = self._judge(track, index, patch, answer, e, contrast)
            seen.append(Observation(index, patch, answer.score, contrast, quality))
            if quality >= track.least_confidence:
                self.note(track.span.object_id, index, patch)
        return self._ask_thirds(embedding, seen, before)

    def _ask_thirds(
        self,
        embedding: Embedding,
        seen: Sequence[Observation],
        before: Sequence[Observation | None],
    ) -> list[Observation]:
        """The same, with a third opinion on what two sweeps saw differently."""
        boxes = {}
        for plane_index, (now, earlier) in enumerate(zip(seen, before, strict=True)):
            box = None if earlier is None else disputed_box(earlier, now)
            if box is not None:
                boxes[plane_index] = Prompt(
                    box=expand_box(box, self.options.margin / 2)
                )
        answers = self._decode(embedding, list(boxes.values()))
        thirds = {
            plane_index: a.patch for plane_index, a in zip(boxes, answers, strict=True)
        }
        return [
            replace(now, third=thirds.get(plane_index))
            for plane_index, now in enumerate(seen)
        ]

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

    def _decode_refitted(
        self, embedding: Embedding, prompts: Sequence[Prompt]
    ) -> list[Prediction]:
        """Decode, and ask again about what has grown or slid out of its box."""
        answers = self._decode(embedding, prompts)
        boxes = {i: prompt.box for i, prompt in enumerate(prompts)}
        for _ in range(_REFITS):
            again = {}
            for i, box in boxes.items():
                patch = answers[i].patch
                if patch.logits.size:
                    moved = refit_box(
                        box, patch.box, embedding.shape, self.options.margin
                    )
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
        expected: ExpectedMask | None, answers: Iterator[Prediction]
    ) -> tuple[MaskPatch, Prediction | None]:
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
        self, index: int, numbers: Sequence[int], patches: Sequence[MaskPatch]
    ) -> list[MaskPatch]:
        """Give each pixel to one object, those of this slice known before included."""
        others = [p for n, p in self.masks_by_slice[index].items() if n not in numbers]
        everyone = [*patches, *others]
        if len(everyone) < 2:
            return list(patches)
        masks = resolve_overlaps(everyone)[: len(patches)]
        return [
            patch
            if np.array_equal(won, patch.mask)
            else combine(
                [MaskPatch(patch.origin, np.where(won, patch.logits, -1.0))], []
            )
            for patch, won in zip(patches, masks, strict=True)
        ]

    def _judge(
        self,
        track: ObjectTracker,
        index: int,
        patch: MaskPatch,
        answer: Prediction,
        expected: ExpectedMask,
        contrast: float,
    ) -> float:
        stack, usual = self.planes.stack, track.usual_contrast
        rows, cols = answer.transform.mask_shape  # the rest is padding
        evidence = confidence_features(
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

    def _contrast(self, plane: NDArray[Any], patch: MaskPatch) -> float:
        shape = self.planes.stack.plane_shape
        return border_contrast(plane, patch.mask, patch.origin, shape)


def _lies_on(box: NDArray[np.float64], shape: tuple[int, int]) -> bool:
    """Whether some of a box lies on the plane."""
    return bool((box[2:] > 0).all() and (box[:2] < np.subtract(shape, 1)).all())
