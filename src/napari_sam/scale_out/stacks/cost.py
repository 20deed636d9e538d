"""Measuring of what a job costs, on one plane before any work."""

from __future__ import annotations

import time
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.reading.stored_array import StoredArray

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_sam.images.stack import Stack

_LABEL_BYTES = 4


class CountingPredictor:
    """A predictor that counts what it is asked.

    Parameters
    ----------
    predictor : Predictor
        What it asks in turn.
    """

    def __init__(self, predictor: Any) -> None:
        self._predictor = predictor
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._predictor, name)

    def predict_batch(
        self, embedding: Any, prompts: Sequence[Any], **further: Any
    ) -> Any:
        """Count the prompts, and answer them."""
        self.asked += len(prompts)
        return self._predictor.predict_batch(embedding, prompts, **further)


def timed(run: Callable[[], object]) -> float:
    """Return the seconds that a function takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def plane_bytes(stack: Stack) -> int:
    """Return the bytes that reading a plane takes: of whole chunks, where there are."""
    data: Any = stack.reader.levels[0]
    item = int(np.dtype(data.dtype).itemsize)
    if not isinstance(data, StoredArray) or not hasattr(data.array, "chunks"):
        colours = data.shape[-1] if stack.reader.rgb else 1
        return prod(stack.plane_shape) * int(colours) * item
    count = 1
    in_plane = {
        data.axes[axis]
        for axis, entry in enumerate(stack.plane_index(0))
        if isinstance(entry, slice)
    }
    for axis, (size, chunk) in enumerate(
        zip(data.array.shape, data.array.chunks, strict=True)
    ):
        count *= -(-size // chunk) * chunk if axis in in_plane else chunk
    return int(count) * item


def label_bytes(shapes: Sequence[Sequence[int]]) -> int:
    """Return the bytes of the labels of some levels."""
    return _LABEL_BYTES * sum(int(prod(shape)) for shape in shapes)
