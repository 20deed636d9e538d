"""Prediction: the mask of one object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_sam.masks.patch import mask_to_box

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.images.window import Window
    from napari_sam.masks.patch import MaskPatch
    from napari_sam.prediction.plane_transform import PlaneTransform

Method = Literal["prompt", "click decoder", "box search", "box of the mask"]

# A prediction has at most this many alternatives; masks above this IoU are the same
# answer to the user.
MAX_ANSWERS, SAME_MASK_IOU = 3, 0.8


@dataclass(frozen=True, eq=False)
class Prediction:
    """Mask of one object, predicted for one prompt.

    Parameters
    ----------
    logits : ndarray
        (m, m) float32, the low-resolution logits of the mask decoder; can be used as
        `Prompt.mask` of the next prompt.
    score : float
        Predicted IoU of the mask with the object. For MedSAM, which did not train
        that output, the stability of the mask.
    transform : PlaneTransform
        Maps the plane to the model's input.
    candidates : tuple of Prediction
        The alternatives, best first, including this one.
    method : str
        How the prompt was answered: "prompt", directly; "click decoder", points by
        the click decoder; "box search", points by a search over boxes; "box of the
        mask", a mask by its box, or by the box given with it.
    is_calibrated : bool
        Whether the score is an estimate of the IoU that takes account of the stability.
    """

    logits: NDArray[np.float32]
    score: float
    transform: PlaneTransform
    candidates: tuple[Prediction, ...] = ()
    method: Method = "prompt"
    is_calibrated: bool = False

    @property
    def window(self) -> Window | None:
        """The part of the plane that the model saw; None for all of it."""
        return self.transform.window

    @property
    def coarse_area(self) -> float:
        """Pixels of the mask on the plane, estimated from the low-resolution logits."""
        rows, cols = self.transform.mask_shape
        count = np.count_nonzero(self.logits[:rows, :cols] > 0)
        return count * float(np.prod(self.transform.shape)) / (rows * cols)

    @property
    def coarse_box(self) -> NDArray[np.float64] | None:
        """(4,) box of the mask on the plane, to a pixel of the logits; None if empty.

        Unlike `patch`, which takes memory for a large object on a large plane.
        """
        rows, cols = self.transform.mask_shape
        box = mask_to_box(self.logits[:rows, :cols] > 0)
        if box is None:
            return None
        scale = np.tile(np.divide(self.transform.shape, (rows, cols)), 2)
        to_edges = np.array([0, 0, 1, 1])  # from the centres of the last pixels
        on_window = (box + to_edges) * scale - to_edges
        moved: NDArray[np.float64] = on_window + np.tile(self.transform.origin, 2)
        return moved

    def holds(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which points of the plane lie on the mask, by its low resolution.

        Parameters
        ----------
        points : ndarray
            (N, 2) in pixels of the plane.

        Returns
        -------
        ndarray
            (N,) bool.
        """
        places = self.transform.to_mask(points - self.transform.origin)
        found = np.floor(places + 0.5).astype(int)
        within = (found >= 0) & (found < self.transform.mask_shape)
        inside: NDArray[np.bool_] = within[:, 0] & within[:, 1]
        rows, cols = found[inside].T
        inside[inside] = self.logits[rows, cols] > 0
        return inside

    @cached_property
    def patch(self) -> MaskPatch:
        """Logits at the size of the plane, cut tight around the mask; kept."""
        return self.transform.patch(self.logits)

    def make_patch(self) -> MaskPatch:
        """Return `patch` without keeping it: of many large objects it takes memory."""
        known: MaskPatch | None = self.__dict__.get("patch")
        return self.transform.patch(self.logits) if known is None else known

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool mask of the plane, computed on first access."""
        mask = np.zeros(self.transform.plane_shape, bool)
        mask[self.patch.region] = self.patch.mask
        return mask


def best_first(
    transform: PlaneTransform,
    logits: NDArray[np.float32],
    scores: NDArray[np.floating],
    method: Method = "prompt",
) -> Prediction:
    """Build the best-scored prediction, with all alternatives as its candidates.

    Parameters
    ----------
    transform : PlaneTransform
        Maps the plane to the model's input.
    logits : ndarray
        (M, m, m) float32, the alternatives.
    scores : ndarray
        (M,).
    method : str
        See `Prediction`.
    """
    candidates = tuple(
        Prediction(logits[i].copy(), float(scores[i]), transform, method=method)
        for i in np.argsort(-scores, kind="stable")
    )
    return replace(candidates[0], candidates=candidates)
