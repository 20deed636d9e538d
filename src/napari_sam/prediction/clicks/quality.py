"""Quality of masks that answer clicks: their estimated IoU with the object meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_sam.masks.patch import stability

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.prediction.clicks.prompted_mask import PromptedMask
    from napari_sam.prompts.prompt import Prompt

Source = Literal["decoder", "instance", "box"]
SOURCES: tuple[Source, ...] = ("decoder", "instance", "box")

FEATURES = (
    *SOURCES,
    *("decoder pred_iou", "instance quality", "box pred_iou"),
    *("stability", "certainty"),
    *("like decoder", "like instance", "like box"),
    "like good instance",
    *("log size", "log size squared", "log enlargement"),
    *("off centre", "any instance", "best instance quality"),
    *("violations", "points", "at edge"),
)
"""Names of the columns of `click_features`."""

# Logits beyond this count as certain.
_CERTAIN_LOGIT = 4.0
# Size of objects that the network sees best, in low-resolution pixels.
_USUAL_SIZE = 30.0
# Masks that come as close to the edge of the window may be cut, in pixels.
_EDGE = 2


@dataclass(frozen=True, slots=True, eq=False)
class ClickCandidate:
    """A possible answer to clicks.

    Parameters
    ----------
    source : str
        Where it comes from: "decoder", the click decoder; "instance", the instance
        head; "box", the published decoder for the box around one of these.
    mask : PromptedMask
        The mask.
    """

    source: Source
    mask: PromptedMask


def click_features(
    candidates: Sequence[ClickCandidate],
    prompt: Prompt,
    shape: tuple[int, int],
    enlargement: float,
) -> NDArray[np.float64]:
    """Measure what distinguishes good answers to clicks from bad ones.

    Parameters
    ----------
    candidates : sequence of ClickCandidate
        N answers to one prompt in one window.
    prompt : Prompt
        In low-resolution pixels.
    shape : tuple of int
        (h, w) of the part of the low-resolution mask that the plane covers.
    enlargement : float
        Pixels of the network's input over those of the plane.

    Returns
    -------
    ndarray
        (N, 21), see `FEATURES`.
    """
    overlaps = _overlaps([c.mask.mask for c in candidates])
    sources = np.array([c.source for c in candidates])
    is_source = {source: sources == source for source in SOURCES}
    scores = np.array([c.mask.pred_iou for c in candidates])
    instances = is_source["instance"]
    best_instance = scores[instances].max(initial=0.0)
    rows = []
    for i, candidate in enumerate(candidates):
        own = [float(is_source[source][i]) for source in SOURCES]
        like = {s: np.where(m, overlaps[i], 0).max() for s, m in is_source.items()}
        good = np.where(instances, overlaps[i] * scores, 0).max()
        mask = candidate.mask
        size = np.log(_side(mask) / _USUAL_SIZE)
        rows.append(
            [
                *own,
                *(is_own * mask.pred_iou for is_own in own),
                float(stability(mask.logits)),
                _certainty(mask),
                *(like[source] for source in SOURCES),
                good,
                *(size, size**2, np.log(enlargement)),
                *(_off_centre(mask, prompt), float(instances.any()), best_instance),
                *(mask.violations, len(prompt.points), _at_edge(mask, shape)),
            ]
        )
    return np.array(rows, float)


def _overlaps(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.float32]:
    """Return the IoU of each pair of masks, (N, N), 0 for a mask with itself."""
    flat = np.stack(masks).reshape(len(masks), -1).astype(np.float32)
    shared = flat @ flat.T
    areas = np.diag(shared)
    ious: NDArray[np.float32] = shared / np.maximum(areas[:, None] + areas - shared, 1)
    np.fill_diagonal(ious, 0)
    return ious


def _side(mask: PromptedMask) -> float:
    """Return the geometric mean of the sides of a mask's box."""
    return float(np.sqrt(np.prod(mask.mask_box[2:] - mask.mask_box[:2] + 1)))


def _certainty(mask: PromptedMask) -> float:
    """Return the mean logit inside a mask, 0 to 1."""
    inside = mask.logits[mask.mask]
    if not inside.size:
        return 0.0
    return float(np.minimum(inside, _CERTAIN_LOGIT).mean()) / _CERTAIN_LOGIT


def _off_centre(mask: PromptedMask, prompt: Prompt) -> float:
    """Return the distance of the points on the object from the middle of a mask.

    In sides of its box, at most 1; 0 without such points.
    """
    if not len(prompt.positives):
        return 0.0
    low, high = mask.mask_box[:2], mask.mask_box[2:]
    offset = (prompt.positives.mean(axis=0) - (low + high) / 2) / (high - low + 1)
    return min(float(np.hypot(*offset)), 1.0)


def _at_edge(mask: PromptedMask, shape: tuple[int, int]) -> float:
    low, high = mask.mask_box[:2], mask.mask_box[2:]
    last = np.array(shape) - 1
    return float((low <= _EDGE).any() or (high >= last - _EDGE).any())


# Logistic regression of the IoU, fitted to clicks on scenes of the instance head's
# training (training/click_quality.py).
_WEIGHTS = np.array(
    [
        -0.28,
        0.67,
        -0.13,
        1.30,
        1.83,
        0.39,
        0.19,
        1.26,
        0.79,
        0.82,
        0.31,
        1.66,
        -0.24,
        0.11,
        -0.03,
        -1.31,
        -0.37,
        -0.47,
        -0.49,
        0.22,
        -0.73,
    ]
)
_BIAS = -2.41


def estimate_ious(
    candidates: Sequence[ClickCandidate],
    prompt: Prompt,
    shape: tuple[int, int],
    enlargement: float,
) -> NDArray[np.float64]:
    """Estimate the IoU of each candidate with the object meant, (N,).

    See `click_features` for the parameters.
    """
    features = click_features(candidates, prompt, shape, enlargement)
    logits = features @ _WEIGHTS + _BIAS
    ious: NDArray[np.float64] = 1 / (1 + np.exp(-logits))
    return ious
