"""From prompts on some slices to objects through a stack, slice by slice."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_sam.cache import EmbeddingCache
from napari_sam.masks import mask_iou, mask_to_box, mask_to_window, window_at
from napari_sam.prompts import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from napari_sam.predictor import Embedding, Prediction, Predictor
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
        `border_contrast`.
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
    def region(self) -> tuple[slice, slice]:
        """Rows and columns of the crop on the plane."""
        return window_at(self.origin, self.logits.shape)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The mask inside `region`, (h, w) bool."""
        inside: NDArray[np.bool_] = self.logits > 0
        return inside


@dataclass(frozen=True, slots=True, eq=False)
class VolumeResult:
    """Objects through a stack.

    Parameters
    ----------
    labels : ndarray
        int32, of the volume's shape (without its colour axis); 0 is background.
    slices : tuple of SliceResult
        Index, score and status of every object on every slice it was followed to,
        by object and slice.
    """

    labels: NDArray[np.int32]
    slices: tuple[SliceResult, ...]


def propagate(
    stack: Stack,
    prompts: Mapping[int, Mapping[int, Prompt]],
    predictor: Predictor,
    *,
    contrast_limits: tuple[float, float] | None = None,
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
    contrast_limits : tuple of float, optional
        Of the whole stack; a sample of it decides when None.
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
    """Paint slice results into one volume; each voxel goes to the largest logit."""
    labels = np.zeros(stack.shape, np.int32)
    ordered = sorted(results, key=lambda r: (r.object_id, r.index))
    slices: dict[int, list[SliceResult]] = defaultdict(list)
    for result in ordered:
        slices[result.index].append(result)
    for index, members in slices.items():
        plane = labels[stack.at(index)]
        best = np.zeros(stack.plane_shape, np.float16)
        for result in members:
            wins = result.logits > best[result.region]
            plane[result.region][wins] = result.object_id
            best[result.region][wins] = result.logits[wins]
    return VolumeResult(labels, tuple(ordered))


def border_contrast(plane: NDArray[Any], mask: NDArray[np.bool_]) -> float:
    """Mean brightness inside a mask less that of a ring of equal area around it.

    In units of the plane; RGB is averaged, NaN and infinities do not count. 0 for
    empty or full masks.
    """
    from scipy.ndimage import distance_transform_edt

    box = mask_to_box(mask)
    if box is None:
        return 0.0
    reach = int(np.ceil(np.sqrt(np.count_nonzero(mask)) / 4)) + 1
    rows = slice(max(int(box[0]) - reach, 0), int(box[2]) + reach + 1)
    cols = slice(max(int(box[1]) - reach, 0), int(box[3]) + reach + 1)
    inside = mask[rows, cols]
    ring = ~inside & (distance_transform_edt(~inside) <= reach)
    gray = plane[rows, cols].astype(np.float32)
    gray = gray.mean(-1) if gray.ndim == 3 else gray
    finite = np.isfinite(gray)
    inside, ring = inside & finite, ring & finite
    if not (inside.any() and ring.any()):
        return 0.0
    return float(gray[inside].mean() - gray[ring].mean())


def next_prompt(
    mask: NDArray[np.bool_], options: PropagationOptions, kinds: frozenset[str]
) -> Prompt:
    """Prompt for the neighbouring slice: the mask's box with a margin.

    Models that were trained on points get the mask's innermost pixel as well.
    """
    from scipy.ndimage import distance_transform_edt

    box = mask_to_box(mask)
    assert box is not None
    sides = box[2:] - box[:2]
    grow = np.maximum(1.0, options.margin * sides)
    points = None
    if "point" in kinds:
        # Padded, so that the plane's border counts as outside.
        depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        points = [np.unravel_index(np.argmax(depth), depth.shape)]
    return Prompt(points=points, box=np.concatenate([box[:2] - grow, box[2:] + grow]))


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """An object on one slice, at full size while the next slice needs it."""

    mask: NDArray[np.bool_]
    logits: NDArray[np.float32]
    score: float
    contrast: float

    def result(self, object_id: int, index: int, status: Status) -> SliceResult:
        window = None if status == "stopped" else mask_to_window(self.mask)
        rows, cols = window or (slice(0, 0), slice(0, 0))
        crop = self.logits[rows, cols]
        # Kept above the smallest float16 so that "inside" survives the cast.
        positive = np.clip(crop, 1e-4, 6e4)
        small = np.where(crop > 0, positive, np.clip(crop, -6e4, 0))
        origin = rows.start, cols.start
        return SliceResult(
            object_id, index, self.score, status, origin, small.astype(np.float16)
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Walk:
    """What all slices of one propagation share."""

    stack: Stack
    predictor: Predictor
    limits: tuple[float, float]
    options: PropagationOptions
    cache: EmbeddingCache

    def segment(self, index: int, prompts: Mapping[int, Prompt]) -> dict[int, _Seen]:
        """Segment some objects on one slice, in one batch."""
        plane = self.stack.plane(index)
        embedding = self.cache.embed(self.predictor, plane, self.limits)
        answers = self.predictor.predict_batch(embedding, list(prompts.values()))
        return {
            object_id: self._see(plane, embedding, answer)
            for object_id, answer in zip(prompts, answers, strict=True)
        }

    def _see(
        self, plane: NDArray[Any], embedding: Embedding, answer: Prediction
    ) -> _Seen:
        return _Seen(
            mask=answer.mask,
            logits=self.predictor.plane_logits(embedding, answer),
            score=answer.score,
            contrast=border_contrast(plane, answer.mask),
        )

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
                object_id: next_prompt(seen.mask, self.options, self.predictor.prompts)
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
                if index in slices and anchors[object_id, index].mask.any():
                    following[object_id] = anchors[object_id, index]
                    goals[object_id] = _goal(sorted(slices), index, step, len(indices))
            previous = following

    def _goes_on(self, before: _Seen, now: _Seen) -> bool:
        options = self.options
        return (
            bool(now.mask.any())
            and now.score >= options.min_score
            and mask_iou(before.mask, now.mask) >= options.min_overlap
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
