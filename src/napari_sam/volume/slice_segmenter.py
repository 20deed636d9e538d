"""Segmentation of all active objects on one slice."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
from napari_sam.volume.mask_projection import combine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.prediction.embedding import Embedding
    from napari_sam.prediction.prediction import Prediction
    from napari_sam.prediction.protocol import PredictorLike
    from napari_sam.volume.mask_projection import ExpectedMask
    from napari_sam.volume.plane_encoder import EncodedPlane
    from napari_sam.volume.results import PropagationOptions

# Prompts per decoder batch; larger batches only take more memory.
_BATCH_SIZE = 64
# A box follows an object that grows or moves out of it this many times.
_MAX_REFITS = 2
# Components and holes whose mask has a smaller IoU with the expected one are dropped.
_MIN_COMPONENT_IOU, _MIN_HOLE_IOU = 0.1, 0.3


@dataclass(frozen=True, slots=True, eq=False)
class SliceMask:
    """The mask of one object on one slice, with the measures of its quality.

    Parameters
    ----------
    patch : MaskPatch
        The mask; may be empty.
    pred_iou : float
        IoU with the truth as the model predicts it.
    stability_score : float
        IoU of the masks at a lower and a higher threshold.
    contrast : float
        Contrast at the border, in units of the image.
    """

    patch: MaskPatch
    pred_iou: float = 0.0
    stability_score: float = 0.0
    contrast: float = 0.0


@dataclass(eq=False)
class SliceSegmenter:
    """Segmenter of the objects on a slice, which resolves their overlaps.

    Parameters
    ----------
    predictor : PredictorLike
        The model.
    options : PropagationOptions
        Settings of the propagation.
    """

    predictor: PredictorLike
    options: PropagationOptions
    # {slice: {object id: mask}}
    _masks: dict[int, dict[int, MaskPatch]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    @property
    def prompt_kinds(self) -> frozenset[str]:
        """Kinds of prompts to build for the next slice."""
        if self.options.projection == "auto":
            return self.predictor.prompts
        return frozenset(self.options.projection.split("+"))

    def remember(self, object_id: int, slice_index: int, patch: MaskPatch) -> None:
        """Keep the mask of an object, so that other objects do not grow into it."""
        if patch.logits.size:
            self._masks[slice_index][object_id] = patch

    def segment_prompts(
        self, plane: EncodedPlane, prompts: Mapping[int, Prompt]
    ) -> dict[int, SliceMask]:
        """Segment objects from the prompts of the user, {object id: SliceMask}."""
        predictions = self._decode(plane.embedding, list(prompts.values()))
        return {
            object_id: self._measure(plane, prediction.patch, prediction)
            for object_id, prediction in zip(prompts, predictions, strict=True)
        }

    def segment(
        self, plane: EncodedPlane, expected: Mapping[int, ExpectedMask | None]
    ) -> dict[int, SliceMask]:
        """Segment objects where they are expected.

        Parameters
        ----------
        plane : EncodedPlane
            The slice.
        expected : mapping
            {object id: ExpectedMask}; None for an object that has left the plane.

        Returns
        -------
        dict
            {object id: SliceMask}; overlaps are resolved, also with masks that
            `remember` keeps for other objects.
        """
        prompts = [p for e in expected.values() if e is not None for p in e.prompts]
        predictions = iter(self._decode_refitted(plane.embedding, prompts))
        merged = [_merge_parts(e, predictions) for e in expected.values()]
        patches = self._resolve_overlaps(
            plane.index, list(expected), [patch for patch, _ in merged]
        )
        return {
            object_id: self._measure(plane, patch, prediction)
            for object_id, patch, (_, prediction) in zip(
                expected, patches, merged, strict=True
            )
        }

    def break_ties(
        self, plane: EncodedPlane, boxes: Mapping[int, NDArray[np.float64]]
    ) -> dict[int, MaskPatch]:
        """Segment objects once more from boxes, where both directions disagree."""
        margin = self.options.margin / 2
        prompts = [Prompt(box=expand_box(box, margin)) for box in boxes.values()]
        predictions = self._decode(plane.embedding, prompts)
        return {o: p.patch for o, p in zip(boxes, predictions, strict=True)}

    def _measure(
        self, plane: EncodedPlane, patch: MaskPatch, prediction: Prediction | None
    ) -> SliceMask:
        if prediction is None:
            return SliceMask(patch)
        if not patch.logits.size:
            return SliceMask(patch, prediction.score)
        rows, cols = prediction.transform.mask_shape  # the rest is padding
        return SliceMask(
            patch,
            prediction.score,
            float(stability(prediction.logits[:rows, :cols])),
            border_contrast(
                plane.pixels, patch.mask, patch.origin, plane.embedding.shape
            ),
        )

    def _decode(
        self, embedding: Embedding, prompts: Sequence[Prompt]
    ) -> list[Prediction]:
        predictions: list[Prediction] = []
        for first in range(0, len(prompts), _BATCH_SIZE):
            batch = prompts[first : first + _BATCH_SIZE]
            predictions += self.predictor.predict_batch(embedding, batch)
        return predictions

    def _decode_refitted(
        self, embedding: Embedding, prompts: Sequence[Prompt]
    ) -> list[Prediction]:
        """Decode, and again where an object has grown or moved out of its box."""
        predictions = self._decode(embedding, prompts)
        boxes = {i: prompt.box for i, prompt in enumerate(prompts)}
        for _ in range(_MAX_REFITS):
            refitted = {}
            for i, box in boxes.items():
                patch = predictions[i].patch
                if patch.logits.size:
                    moved = refit_box(
                        box, patch.box, embedding.shape, self.options.margin
                    )
                    if moved is not None and _is_on_plane(moved, embedding.shape):
                        refitted[i] = moved
            if not refitted:
                break
            again = [Prompt(box=box) for box in refitted.values()]
            for i, prediction in zip(
                refitted, self._decode(embedding, again), strict=True
            ):
                predictions[i] = prediction
            boxes = refitted
        return predictions

    def _resolve_overlaps(
        self, slice_index: int, object_ids: Sequence[int], patches: Sequence[MaskPatch]
    ) -> list[MaskPatch]:
        """Assign each pixel to one object, also among the masks remembered before."""
        known = self._masks[slice_index].items()
        others = [patch for object_id, patch in known if object_id not in object_ids]
        if len(patches) + len(others) < 2:
            return list(patches)
        masks = resolve_overlaps([*patches, *others])[: len(patches)]
        return [
            patch
            if np.array_equal(mask, patch.mask)
            else combine(
                [MaskPatch(patch.origin, np.where(mask, patch.logits, -1.0))], []
            )
            for patch, mask in zip(patches, masks, strict=True)
        ]


def _merge_parts(
    expected: ExpectedMask | None, predictions: Iterator[Prediction]
) -> tuple[MaskPatch, Prediction | None]:
    """Merge the masks of all parts; also return the prediction of the largest part."""
    if expected is None:
        return MaskPatch.empty(), None
    answers = [(part, next(predictions)) for part in expected.parts]
    ious = [patch_iou(part.patch, prediction.patch) for part, prediction in answers]
    components = [
        (prediction, iou)
        for (part, prediction), iou in zip(answers, ious, strict=True)
        if not part.is_hole
    ]
    kept = [p for p, iou in components if iou >= _MIN_COMPONENT_IOU]
    kept = kept or [components[0][0]]
    holes = [
        prediction.patch
        for (part, prediction), iou in zip(answers, ious, strict=True)
        if part.is_hole and iou >= _MIN_HOLE_IOU
    ]
    if len(kept) == 1 and not holes:
        return kept[0].patch, kept[0]
    return combine([p.patch for p in kept], holes), kept[0]


def _is_on_plane(box: NDArray[np.float64], plane_shape: tuple[int, int]) -> bool:
    """Tell whether a part of a box lies on the plane."""
    return bool((box[2:] > 0).all() and (box[:2] < np.subtract(plane_shape, 1)).all())
