"""From prompts on some slices to objects through a stack, slice by slice."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_sam.cache import EmbeddingCache
from napari_sam.masks import (
    Patch,
    border_contrast,
    mask_to_box,
    patch_iou,
    won_masks,
)
from napari_sam.prompts import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.predictor import Prediction, Predictor
    from napari_sam.stack import Stack

Status = Literal["prompted", "propagated", "stopped"]
ObjectPrompts = dict[int, dict[int, Prompt]]


@dataclass(frozen=True, slots=True)
class PropagationOptions:
    """When and how an object is followed into the next slice.

    Parameters
    ----------
    margin : float
        The box of the previous mask grows by this share of its sides (and by
        one pixel at least) to become the prompt of the next slice.
    min_overlap : float
        An object ends where its mask overlaps the previous one by less (IoU).
    min_score : float
        An object ends where the model scores its mask lower.
    min_contrast : float
        An object ends where the brightness step at its border falls below this
        share of the step in the slice before, or changes sign; see
        `napari_sam.masks.border_contrast`.
    """

    margin: float = 0.05
    min_overlap: float = 0.4
    min_score: float = 0.5
    min_contrast: float = 0.4


@dataclass(frozen=True, slots=True, eq=False)
class SliceResult:
    """One object on one slice.

    Parameters
    ----------
    object_id : int
        The object.
    index : int
        The slice.
    score : float
        The model's own estimate of the mask's quality.
    status : {"prompted", "propagated", "stopped"}
        Where the mask came from; "stopped" marks the first slice that no longer
        holds the object, its mask is empty.
    origin : tuple of int
        (row, col) of the crop's first pixel on the plane.
    logits : ndarray
        (h, w) float16 crop of the logits around the mask, positive inside.
    """

    object_id: int
    index: int
    score: float
    status: Status
    origin: tuple[int, int]
    logits: NDArray[np.float16]

    @property
    def patch(self) -> Patch:
        """The crop and where it lies."""
        return Patch(self.origin, self.logits)

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns of the crop on the plane."""
        return self.patch.region

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The mask inside `region`, (h, w) bool."""
        return self.patch.mask


@dataclass(frozen=True, eq=False)
class VolumeResult:
    """Objects through a stack.

    Parameters
    ----------
    stack : Stack
        That was segmented.
    slices : tuple of SliceResult
        Index, score and status of every object on every slice it was followed to,
        by object and slice.
    """

    stack: Stack
    slices: tuple[SliceResult, ...]

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """Of the volume's shape, without its colour axis; 0 is background.

        Where objects overlap the larger logit decides. Made when first asked for.
        """
        labels = np.zeros(self.stack.shape, np.int32)
        for index, members in self.by_slice().items():
            plane = labels[self.stack.at(index)]
            masks = won_masks([result.patch for result in members])
            for result, won in zip(members, masks, strict=True):
                plane[result.region][won] = result.object_id
        return labels

    def by_slice(self) -> dict[int, list[SliceResult]]:
        """{slice: its results}, by object."""
        slices: dict[int, list[SliceResult]] = defaultdict(list)
        for result in self.slices:
            slices[result.index].append(result)
        return dict(slices)


def propagate(
    stack: Stack,
    prompts: Mapping[int, Mapping[int, Prompt]],
    predictor: Predictor,
    *,
    contrast_limits: ArrayLike | None = None,
    options: PropagationOptions | None = None,
    cache: EmbeddingCache | None = None,
) -> Iterator[SliceResult]:
    """Follow objects from their prompted slices outwards, in both directions.

    First the prompted slices are segmented. Then one sweep up and one down
    carry every object on, each slice encoded once for all of them: the box of
    the previous mask is the next prompt. Between two prompted slices each side
    comes half way; beyond the outermost an object goes on until it ends.

    Parameters
    ----------
    stack : Stack
        The volume and its axis.
    prompts : mapping
        {object id: {slice index: Prompt}}.
    predictor : Predictor
        The model.
    contrast_limits : tuple of float or array-like, optional
        Of the whole stack, see `napari_sam.image.to_uint8`; a sample of it decides
        when None.
    options : PropagationOptions, optional
        Stop rules.
    cache : EmbeddingCache, optional
        Keeps planes encoded between calls.

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
    plan = check_prompts(prompts, stack)
    if contrast_limits is None:
        contrast_limits = stack.contrast_limits()
    walk = _Walk(
        stack,
        predictor,
        contrast_limits,
        options or PropagationOptions(),
        # An empty cache is false, and yet the one to fill.
        EmbeddingCache() if cache is None else cache,
    )
    anchors: dict[tuple[int, int], _Seen] = {}
    for index, members in sorted(_by_slice(plan).items()):
        for object_id, seen in walk.segment(index, members).items():
            anchors[object_id, index] = seen
            yield seen.result(object_id, index, "prompted")
    for step in (1, -1):
        yield from walk.sweep(plan, anchors, step)


def check_prompts(
    prompts: Mapping[int, Mapping[int, Prompt]], stack: Stack
) -> ObjectPrompts:
    """Check all prompts before any work starts; the boxes are cut to the plane."""
    if not any(prompts.values()):
        raise ValueError("There are no prompts: give a prompt on at least one slice.")
    plan: ObjectPrompts = {}
    for object_id, slices in prompts.items():
        if object_id < 1:
            raise ValueError(f"Object id {object_id} is not a label: use 1 or more.")
        plan[object_id] = {}
        for index, prompt in slices.items():
            if not isinstance(prompt, Prompt):
                raise ValueError(
                    f"Slice {index} of object {object_id} holds a "
                    f"{type(prompt).__name__}: give a Prompt."
                )
            if not float(index).is_integer():
                raise ValueError(f"{index} is no slice: slices are whole numbers.")
            if not 0 <= index < len(stack):
                raise ValueError(
                    f"There is a prompt on slice {index}, the stack has slices 0 to "
                    f"{len(stack) - 1}: move or delete it."
                )
            plan[object_id][int(index)] = prompt.within(stack.plane_shape)
    return {object_id: slices for object_id, slices in plan.items() if slices}


def assemble(stack: Stack, results: Iterable[SliceResult]) -> VolumeResult:
    """Sort slice results by object and slice."""
    ordered = sorted(results, key=lambda r: (r.object_id, r.index))
    return VolumeResult(stack, tuple(ordered))


def next_prompt(
    patch: Patch, options: PropagationOptions, kinds: frozenset[str]
) -> Prompt:
    """Prompt for the neighbouring slice: the mask's box with a margin.

    Models that were trained on points get the mask's innermost pixel as well.
    """
    from scipy.ndimage import distance_transform_edt

    origin, box = np.array(patch.origin), mask_to_box(patch.mask)
    assert box is not None
    box += np.tile(origin, 2)
    sides = box[2:] - box[:2]
    grow = np.maximum(1.0, options.margin * sides)
    points = None
    if "point" in kinds:
        # Padded, as what lies around the patch or the plane counts as outside.
        depth = distance_transform_edt(np.pad(patch.mask, 1))[1:-1, 1:-1]
        points = [origin + np.unravel_index(np.argmax(depth), depth.shape)]
    return Prompt(points=points, box=np.concatenate([box[:2] - grow, box[2:] + grow]))


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """An object on one slice, as the next slice needs it."""

    patch: Patch
    score: float
    contrast: float

    def result(self, object_id: int, index: int, status: Status) -> SliceResult:
        origin, logits = self.patch.origin, self.patch.logits
        if status == "stopped":
            origin, logits = (0, 0), np.empty((0, 0), np.float32)
        # Kept above the smallest float16 so that "inside" survives the cast.
        positive = np.clip(logits, 1e-4, 6e4)
        small = np.where(logits > 0, positive, np.clip(logits, -6e4, 0))
        return SliceResult(
            object_id, index, self.score, status, origin, small.astype(np.float16)
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Walk:
    """What all slices of one propagation share."""

    stack: Stack
    predictor: Predictor
    limits: ArrayLike | None
    options: PropagationOptions
    cache: EmbeddingCache

    def segment(self, index: int, prompts: Mapping[int, Prompt]) -> dict[int, _Seen]:
        """Segment some objects on one slice, in one batch."""
        plane = self.stack.plane(index, self.predictor.input_size)
        embedding = self.cache.embed(
            self.predictor, plane, self.limits, plane_shape=self.stack.plane_shape
        )
        answers = self.predictor.predict_batch(embedding, list(prompts.values()))
        return {
            object_id: self._see(plane, answer)
            for object_id, answer in zip(prompts, answers, strict=True)
        }

    def _see(self, plane: NDArray[Any], answer: Prediction) -> _Seen:
        patch = answer.patch
        contrast = border_contrast(
            plane, patch.mask, patch.origin, self.stack.plane_shape
        )
        return _Seen(patch, answer.score, contrast)

    def sweep(
        self,
        plan: ObjectPrompts,
        anchors: Mapping[tuple[int, int], _Seen],
        step: Literal[1, -1],
    ) -> Iterator[SliceResult]:
        """Carry every object from its anchors in one direction."""
        previous: dict[int, _Seen] = {}
        goals: dict[int, int] = {}
        indices = range(len(self.stack))[::step]
        for index in indices:
            active = {
                object_id: next_prompt(seen.patch, self.options, self.predictor.prompts)
                for object_id, seen in previous.items()
                if (index - goals[object_id]) * step <= 0
            }
            found = self.segment(index, active) if active else {}
            following: dict[int, _Seen] = {}
            for object_id, seen in found.items():
                goes_on = self._goes_on(previous[object_id], seen)
                yield seen.result(
                    object_id, index, "propagated" if goes_on else "stopped"
                )
                if goes_on:
                    following[object_id] = seen
            for object_id, slices in plan.items():
                if index in slices and anchors[object_id, index].patch.mask.any():
                    following[object_id] = anchors[object_id, index]
                    goals[object_id] = _goal(sorted(slices), index, step, len(indices))
            previous = following

    def _goes_on(self, before: _Seen, now: _Seen) -> bool:
        options = self.options
        return (
            bool(now.patch.mask.any())
            and now.score >= options.min_score
            and patch_iou(before.patch, now.patch) >= options.min_overlap
            and now.contrast * np.sign(before.contrast)
            >= options.min_contrast * abs(before.contrast)
        )


def _goal(anchors: list[int], index: int, step: int, length: int) -> int:
    """Last slice that this anchor is responsible for in this direction."""
    if step > 0:
        later = [a for a in anchors if a > index]
        return (index + later[0]) // 2 if later else length - 1
    earlier = [a for a in anchors if a < index]
    return (index + earlier[-1]) // 2 + 1 if earlier else 0


def _by_slice(plan: ObjectPrompts) -> dict[int, dict[int, Prompt]]:
    """{object: {slice: prompt}} to {slice: {object: prompt}}."""
    slices: dict[int, dict[int, Prompt]] = defaultdict(dict)
    for object_id, members in plan.items():
        for index, prompt in members.items():
            slices[index][object_id] = prompt
    return slices
