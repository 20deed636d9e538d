"""What a job costs, measured on one plane before any work."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.reading.stored_array import StoredArray

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_sam.images.stack import Stack

_GIGABYTE = 1e9
_LABEL_BYTES = 4


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """Work of a job.

    Parameters
    ----------
    encodes : int
        Images that the model encodes.
    prompts : int
        Prompts that it answers.
    bytes_read : int
        Pixels that are read, uncompressed: whole chunks, as often as a task needs them.
    bytes_written : int
        Labels of all levels, uncompressed.
    seconds : float
        On this computer alone, from the time of one plane.
    """

    encodes: int
    prompts: int
    bytes_read: int
    bytes_written: int
    seconds: float

    @property
    def text(self) -> str:
        """A sentence."""
        return (
            f"{self.encodes:,} images to encode and {self.prompts:,} prompts, "
            f"{self.bytes_read / _GIGABYTE:,.2f} GB to read and "
            f"{self.bytes_written / _GIGABYTE:,.2f} GB to write, about "
            f"{duration_text(self.seconds)} on this computer."
        )


def duration_text(seconds: float) -> str:
    """Describe a time in two units at most."""
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if days >= 2:
        return f"{days:.1f} days"
    if hours >= 2:
        return f"{hours:.1f} h"
    if minutes >= 2:
        return f"{minutes:.0f} min"
    return f"{seconds:.0f} s"


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
    item = np.dtype(data.dtype).itemsize
    if not isinstance(data, StoredArray) or not hasattr(data.array, "chunks"):
        pixels = np.prod(stack.plane_shape, dtype=np.int64) * (
            data.shape[-1] if stack.reader.rgb else 1
        )
        return int(pixels) * item
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
    return sum(int(np.prod(s, dtype=np.int64)) for s in shapes) * _LABEL_BYTES
