"""One object as a model sees it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.masks.patch import MaskPatch
    from napari_sam.prediction.plane_transform import PlaneTransform

Method = Literal["prompt", "click decoder", "box search", "box of the mask"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """One object as the model sees it.

    Parameters
    ----------
    logits : ndarray
        (m, m) float32, the model's low-resolution logits, in the frame of its
        input; can be fed back as `Prompt.mask`.
    score : float
        The model's own estimate of the mask's IoU with the truth; for MedSAM,
        whose estimate is not trained, the stability of the mask.
    frame : PlaneTransform
        How the plane lies in the model's input.
    candidates : tuple of Prediction
        The model's alternatives, best first, this one included.
    method : str
        "prompt" when the model was asked directly; "click decoder" when points were
        answered by a decoder of their own, "box search" when by searching boxes;
        "box of the mask" when the mask of the prompt was replaced by its box, or by
        the box that was given with it.
    """

    logits: NDArray[np.float32]
    score: float
    transform: PlaneTransform
    candidates: tuple[Prediction, ...] = ()
    method: Method = "prompt"

    @cached_property
    def patch(self) -> MaskPatch:
        """The mask's logits at the size of the plane, cut tight around the mask."""
        return self.transform.patch(self.logits)

    @cached_property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool; as large as the plane, made when first asked for."""
        mask = np.zeros(self.transform.plane_shape, bool)
        mask[self.patch.region] = self.patch.mask
        return mask


def best_first(
    transform: PlaneTransform,
    logits: NDArray[np.float32],
    scores: NDArray[np.floating],
    method: Method,
) -> Prediction:
    """One prediction of the alternatives to it, sorted by their scores.

    Parameters
    ----------
    frame : PlaneTransform
        How the plane lies in the model's input.
    logits : ndarray
        (M, m, m) float32.
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
