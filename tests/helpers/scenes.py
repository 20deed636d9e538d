"""Stacks with bright objects, and their propagation by a stand-in model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prompts.prompt import Prompt
from napari_sam.requests.from_arrays import stack_request
from tests.helpers.models import World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.prediction.predictor import Predictor
    from napari_sam.volume.propagation import Propagation
    from napari_sam.volume.results import PropagationOptions, VolumeResult


DARK, BRIGHT = 20, 200


def ellipsoid(
    shape: Sequence[int], centre: Sequence[float], radii: Sequence[float]
) -> np.ndarray:
    """Make a boolean ellipsoid, axes (z, y, x)."""
    grid = np.indices(shape).T
    inside: np.ndarray = (((grid - centre) / radii) ** 2).sum(-1).T < 1
    return inside


def lit(mask: np.ndarray) -> np.ndarray:
    """Make a uint8 image that is bright inside a mask."""
    return np.where(mask, BRIGHT, DARK).astype(np.uint8)


def box_on(mask: np.ndarray, index: int) -> Prompt:
    """Make a prompt from the tight box around one slice of a mask."""
    rows, cols = np.nonzero(mask[index])
    return Prompt(box=(rows.min(), cols.min(), rows.max(), cols.max()))


SHAPE = (14, 40, 44)
BALL = ellipsoid(SHAPE, (6, 15, 18), (5, 11, 13))  # on slices 2 to 10
SMALL = ellipsoid(SHAPE, (8, 33, 36), (4, 5, 6))  # on slices 5 to 11


def start_propagation(
    volume: Any,
    prompts: Any,
    predictor: Predictor | None = None,
    options: PropagationOptions | None = None,
    contrast_limits: tuple[float, float] | None = None,
    cache: EmbeddingCache | None = None,
    **stack: Any,
) -> Propagation:
    """Start a propagation, by default with `World`; iterate to run it."""
    request = stack_request(
        volume, prompts, intensity=contrast_limits, options=options, **stack
    )
    cache = EmbeddingCache() if cache is None else cache
    return request.iter_slices(predictor or World(), cache)


def propagate_stack(*args: Any, **kwargs: Any) -> VolumeResult:
    """Propagate to the end; see `start_propagation`."""
    slices = start_propagation(*args, **kwargs)
    return slices.result(list(slices))


@dataclass(frozen=True)
class Scene:
    """A plane with its reference labels."""

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]


def statuses(out: VolumeResult, object_id: int = 1) -> dict[int, str]:
    """Return {slice: status} of an object."""
    return {s.index: s.status for s in out.slices if s.object_id == object_id}
