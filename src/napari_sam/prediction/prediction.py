"""Prediction: the mask of one object."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.images.window import Window
    from napari_sam.masks.patch import MaskPatch
    from napari_sam.prediction.plane_transform import PlaneTransform

Method = Literal["prompt", "click decoder", "box search", "box of the mask"]


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
    """

    logits: NDArray[np.float32]
    score: float
    transform: PlaneTransform
    candidates: tuple[Prediction, ...] = ()
    method: Method = "prompt"

    @property
    def window(self) -> Window | None:
        """The part of the plane that the model saw; None for all of it."""
        return self.transform.window

    @cached_property
    def patch(self) -> MaskPatch:
        """Logits at the size of the plane, cut tight around the mask."""
        return self.transform.patch(self.logits)

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
