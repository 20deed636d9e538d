"""Stacks with bright objects, and their propagation by a stand-in model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.stack import Stack
from napari_sam.prompts.prompt import Prompt
from napari_sam.volume.propagation import propagate
from napari_sam.volume.results import PropagationOptions, VolumeResult, assemble
from tests.helpers.models import World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.prediction.predictor import Predictor


DARK, BRIGHT = 20, 200


def ellipsoid(
    shape: Sequence[int], centre: Sequence[float], radii: Sequence[float]
) -> np.ndarray:
    """Boolean, axes (z, y, x)."""
    grid = np.indices(shape).T
    inside: np.ndarray = (((grid - centre) / radii) ** 2).sum(-1).T < 1
    return inside


def lit(mask: np.ndarray) -> np.ndarray:
    return np.where(mask, BRIGHT, DARK).astype(np.uint8)


def box_on(mask: np.ndarray, index: int) -> Prompt:
    """A tight box around one slice of a mask."""
    rows, cols = np.nonzero(mask[index])
    return Prompt(box=(rows.min(), cols.min(), rows.max(), cols.max()))


SHAPE = (14, 40, 44)


BALL = ellipsoid(SHAPE, (6, 15, 18), (5, 11, 13))  # on slices 2 to 10


SMALL = ellipsoid(SHAPE, (8, 33, 36), (4, 5, 6))  # on slices 5 to 11


def follow(
    volume: Any,
    prompts: Any,
    predictor: Predictor | None = None,
    options: PropagationOptions | None = None,
    contrast_limits: tuple[float, float] | None = None,
    **stack: Any,
) -> VolumeResult:
    whole = Stack(volume, **stack)
    results = propagate(
        whole,
        prompts,
        predictor or World(),
        contrast_limits=contrast_limits,
        options=options,
    )
    return assemble(whole, results)


@dataclass(frozen=True)
class Scene:
    """A plane with its reference labels."""

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]


def statuses(out: VolumeResult, object_id: int = 1) -> dict[int, str]:
    return {s.index: s.status for s in out.slices if s.object_id == object_id}
