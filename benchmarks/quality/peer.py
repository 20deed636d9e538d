"""The peer's way through a stack, for comparison: micro-sam's, in a short form.

An implementation of our own, which follows the public one in what it does. An
object is followed from its outermost prompted slices outwards; the mask of one
slice becomes the prompt of the next: its box, grown by a share of its sides, points
at the maxima of the smoothed distance to its outline, or its logits.
The first slice whose mask overlaps the previous one by too little (IoU) is left out
and ends the way. Between two prompted slices nothing ends it: each side comes half
way, and a slice in the very middle is prompted with the union of its neighbours.
Objects are done one after the other, and a later one overwrites an earlier one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.transform import resize

from napari_sam.masks.patch import mask_iou
from napari_sam.prediction.predictor import Predictor
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.prediction.plane_transform import PlaneTransform
    from napari_sam.prediction.predictor import Embedding

    Mask = NDArray[np.bool_]

# A mask as logits: those of 0.999 and 0.001.
SURE = float(np.log(0.999 / 0.001))


@dataclass(frozen=True, slots=True)
class Setting:
    """One choice of the peer's parameters.

    Parameters
    ----------
    mode : {"box", "mask", "points", "points_and_mask", "single_point"}
        What of a mask becomes the next prompt; "mask" means box and logits.
    iou : float
        Least overlap with the previous slice.
    extension : float
        Growth of the box on each side, as a share of its length.
    source : str
        Where it is published.
    """

    mode: str
    iou: float
    extension: float
    source: str

    def __str__(self) -> str:
        return f"{self.mode} / {self.iou:g} / {self.extension:g}"


PUBLISHED = (
    Setting("single_point", 0.5, 0.05, "viewer"),
    Setting("box", 0.8, 0.025, "light microscopy"),
    Setting("single_point", 0.6, 0.025, "electron microscopy"),
    Setting("box", 0.5, 0.05, "viewer, box chosen"),
)
EVERY_MODE = (
    *PUBLISHED,
    *(
        Setting(mode, 0.5, 0.05, "viewer, mode chosen")
        for mode in ("mask", "points", "points_and_mask")
    ),
)


def unrestricted(predictor: Predictor) -> Predictor:
    """The same model, asked with every kind of prompt as the peer asks it.

    Our own predictor answers points and masks by boxes where the weights were
    trained on boxes only; the peer hands them over as they are.
    """
    _, key = predictor.key.split(":", 1)
    return Predictor(
        predictor.model,
        name=predictor.name,
        family=predictor.family,
        prompts=frozenset({"point", "box", "mask"}),
        key=key,
    )


def segment(
    embeddings: Sequence[Embedding],
    prompts: Mapping[int, Mapping[int, Prompt]],
    predictor: Predictor,
    setting: Setting,
) -> NDArray[np.int32]:
    """Labels (Z, H, W) of all objects.

    Parameters
    ----------
    embeddings : sequence of Embedding
        Of all slices.
    prompts : mapping
        {object id: {slice: Prompt}}.
    predictor : Predictor
        See `unrestricted`.
    setting : Setting
        Its parameters.
    """
    labels = np.zeros((len(embeddings), *embeddings[0].shape), np.int32)
    for object_id, slices in prompts.items():
        way = _Way(embeddings, predictor, setting)
        labels[way.object(slices)] = object_id
    return labels


class _Way:
    """One object."""

    def __init__(
        self, embeddings: Sequence[Embedding], predictor: Predictor, setting: Setting
    ) -> None:
        self.embeddings, self.predictor = embeddings, predictor
        self.setting = setting
        self.masks = np.zeros((len(embeddings), *embeddings[0].shape), bool)

    def object(self, prompts: Mapping[int, Prompt]) -> Mask:
        known = sorted(prompts)
        for index in known:
            self.masks[index] = self._predict(index, prompts[index])
        self._walk(known[0], -1, range(known[0] - 1, -1, -1), self.setting.iou)
        self._walk(
            known[-1], 1, range(known[-1] + 1, len(self.masks)), self.setting.iou
        )
        for low, high in pairwise(known):
            self._between(low, high)
        return self.masks

    def _between(self, low: int, high: int) -> None:
        middle = (low + high) // 2
        even = (high - low) % 2 == 0
        self._walk(low, 1, range(low + 1, middle + (not even)), None)
        self._walk(high, -1, range(high - 1, middle, -1), None)
        if even:
            around = self.masks[middle - 1] | self.masks[middle + 1]
            self.masks[middle] = self._project(around, middle)

    def _walk(self, start: int, step: int, way: range, threshold: float | None) -> None:
        before = self.masks[start]
        for index in way:
            now = self._project(before, index)
            if threshold is not None and mask_iou(before, now) < threshold:
                return
            self.masks[index] = before = now

    def _predict(self, index: int, prompt: Prompt) -> Mask:
        found = self.predictor.predict(
            self.embeddings[index], prompt, multimask_output=False
        )
        return found.mask

    def _project(self, mask: Mask, index: int) -> Mask:
        # The peer fails here, as nothing is left to make a prompt of.
        if not mask.any():
            return np.zeros_like(mask)
        mode = self.setting.mode
        given: dict[str, Any] = {}
        box = grown_box(mask, self.setting.extension)
        if mode in ("box", "mask"):
            given["box"] = box
        if mode == "single_point":
            given["points"] = [innermost(mask)]
        if mode.startswith("points"):
            given["points"], given["labels"] = points_of(mask, box)
        if mode.endswith("mask"):
            given["mask"] = logits_of(mask, self.embeddings[index].frame)
        return self._predict(index, Prompt(**given))


def grown_box(mask: Mask, extension: float) -> NDArray[np.float64]:
    """Tight box through the outer edges of its pixels, grown, cut to the plane."""
    rows, cols = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    low = np.array([rows[0], cols[0]])
    high = np.array([rows[-1], cols[-1]]) + 1
    grow = np.round(extension * (high - low)).astype(int)
    low, high = np.maximum(low - grow, 0), np.minimum(high + grow, mask.shape)
    return np.concatenate([low, high]).astype(float)


def _depth(mask: Mask) -> NDArray[np.float64]:
    depth: NDArray[np.float64] = ndimage.gaussian_filter(
        ndimage.distance_transform_edt(mask), 1
    )
    return depth


def innermost(mask: Mask) -> NDArray[np.int64]:
    """The pixel that lies deepest inside."""
    depth = _depth(mask)
    return np.array(np.unravel_index(depth.argmax(), mask.shape))


def points_of(
    mask: Mask, box: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Deepest points inside, and outside within the box; with their labels."""
    top, left, bottom, right = box.astype(int)
    part = mask[top:bottom, left:right]
    inside, outside = (
        peak_local_max(_depth(side), min_distance=gap, exclude_border=False)
        for side, gap in ((part, 3), (~part, 5))
    )
    if not len(inside):
        inside = innermost(part)[None]
    points = np.concatenate([inside, outside]) + np.array([top, left])
    return points.astype(float), np.repeat([1, 0], [len(inside), len(outside)])


def logits_of(mask: Mask, frame: PlaneTransform) -> NDArray[np.float32]:
    """A mask as the model's low-resolution logits, nothing said in the padding."""
    sure = np.where(mask, SURE, -SURE)
    logits = np.zeros((frame.mask_size, frame.mask_size), np.float32)
    height, width = frame.mask_shape
    logits[:height, :width] = resize(sure, (height, width), order=1, anti_aliasing=True)
    return logits
