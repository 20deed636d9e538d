"""Propagation as in micro-sam, for comparison.

A short implementation of our own that follows the public one. An object is propagated
outwards from its outermost prompted slices. The mask of one slice becomes the prompt of
the next: its box, expanded by a fraction of its sides, points at the maxima of the
smoothed distance to its outline, or its logits. The first slice whose mask has too low
an IoU with the previous one is left out and ends the propagation. Between two prompted
slices nothing ends it: each side goes half the distance, and a slice exactly in the
middle is prompted with the union of its neighbours. Objects are processed one after
the other; a later one overwrites an earlier one.
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

# Logit of 0.999, for masks given as logits.
SURE = float(np.log(0.999 / 0.001))


@dataclass(frozen=True, slots=True)
class Setting:
    """Parameters of the peer's algorithm.

    Parameters
    ----------
    mode : {"box", "mask", "points", "points_and_mask", "single_point"}
        Prompt made from a mask; "mask" means box and logits.
    iou : float
        Lowest IoU with the previous slice.
    extension : float
        Expansion of the box on each side, as a fraction of its length.
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
    """Return a predictor that passes every kind of prompt to the model.

    Our own predictor answers points and masks by boxes where the weights were trained
    on boxes only; the peer does not.
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
    """Return the labels (Z, H, W) of all objects.

    Parameters
    ----------
    embeddings : sequence of Embedding
        One for each slice.
    prompts : mapping
        {object id: {slice: Prompt}}.
    predictor : Predictor
        See `unrestricted`.
    setting : Setting
        Parameters of the algorithm.
    """
    labels = np.zeros((len(embeddings), *embeddings[0].shape), np.int32)
    for object_id, slices in prompts.items():
        way = _ObjectPropagation(embeddings, predictor, setting)
        labels[way.object(slices)] = object_id
    return labels


class _ObjectPropagation:
    """Propagation of one object."""

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
        # The peer fails here: no pixel is left for a prompt.
        if not mask.any():
            return np.zeros_like(mask)
        mode = self.setting.mode
        given: dict[str, Any] = {}
        box = expanded_box(mask, self.setting.extension)
        if mode in ("box", "mask"):
            given["box"] = box
        if mode == "single_point":
            given["points"] = [innermost(mask)]
        if mode.startswith("points"):
            given["points"], given["labels"] = points_of(mask, box)
        if mode.endswith("mask"):
            given["mask"] = logits_of(mask, self.embeddings[index].transform)
        return self._predict(index, Prompt(**given))


def expanded_box(mask: Mask, extension: float) -> NDArray[np.float64]:
    """Return the tight box of a mask, expanded and clipped to the plane."""
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
    """Return the pixel with the largest distance to the outline."""
    depth = _depth(mask)
    return np.array(np.unravel_index(depth.argmax(), mask.shape))


def points_of(
    mask: Mask, box: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the deepest points inside, and outside within the box, with labels."""
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
    """Return a mask as the model's low-resolution logits, 0 in the padding."""
    sure = np.where(mask, SURE, -SURE)
    logits = np.zeros((frame.mask_size, frame.mask_size), np.float32)
    height, width = frame.mask_shape
    logits[:height, :width] = resize(sure, (height, width), order=1, anti_aliasing=True)
    return logits
