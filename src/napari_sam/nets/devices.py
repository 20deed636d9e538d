"""Where a model computes, how precisely, and what to do when memory runs out."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    Encode = Callable[[Tensor], Tensor]

_Answer = TypeVar("_Answer")

# Root mean square of the deviation from float32, as a share of the embedding's own
# spread: above the rounding of bfloat16, below what shows in a mask.
_TOLERANCE = 0.02
_REDUCED = (torch.float16, torch.bfloat16)


def best_device() -> torch.device:
    """CUDA, Apple's MPS or the CPU, the first that is there."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def free_gpu_memory() -> None:
    """Give back what models that are no longer used held on graphics cards."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def has_fallback(device: torch.device) -> bool:
    """Whether work that does not fit this device's memory may go elsewhere."""
    return device.type != "cpu"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device had too little memory; not every device has its own error."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "out of memory" in str(error)


def in_batches(
    run: Callable[[slice], _Answer], count: int, size: int
) -> Iterator[_Answer]:
    """Work through `count` things, `size` at a time, fewer once memory ran out.

    Each time a device's memory was too small for a batch, the rest is done in batches
    half as large; that a single one does not fit is an error.
    """
    start = 0
    while start < count:
        try:
            answer = run(slice(start, start + size))
        except RuntimeError as error:
            if size == 1 or not is_out_of_memory(error):
                raise
            size //= 2
            continue
        yield answer
        start += size


class MeasuredPrecision:
    """Encode in the precision that is fastest on this GPU, found at the first image.

    Weights stay float32; torch's autocast brings matrix products and convolutions to
    less. Which is fastest depends on the card: old ones have no bfloat16, some make
    it slower than float32. A precision whose embedding deviates is not taken.

    Parameters
    ----------
    encode : callable
        Maps (B, 3, S, S) images to embeddings, in float32.
    clock : callable, optional
        Tells seconds.
    """

    def __init__(
        self, encode: Encode, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._encode, self._clock = encode, clock
        self.chosen: torch.dtype | None = None

    def __call__(self, pixels: Tensor) -> Tensor:
        """Encode (B, 3, S, S) images to float32 embeddings."""
        if self.chosen is None:
            self.chosen = self._measured(pixels)
        return self._in(self.chosen, pixels)

    def _in(self, dtype: torch.dtype, pixels: Tensor) -> Tensor:
        kind, reduced = pixels.device.type, dtype != torch.float32
        with torch.autocast(kind, dtype if reduced else None, enabled=reduced):
            return self._encode(pixels).float()

    def _measured(self, pixels: Tensor) -> torch.dtype:
        exact, least = self._timed(torch.float32, pixels)
        chosen = torch.float32
        for dtype in _REDUCED:
            if dtype == torch.bfloat16 and not _has_bfloat16(pixels.device):
                continue
            found, seconds = self._timed(dtype, pixels)
            deviation = (found - exact).square().mean().sqrt()
            # Overflow gives a deviation that is not a number, and that is not less.
            if seconds < least and deviation < _TOLERANCE * exact.std():
                chosen, least = dtype, seconds
        return chosen

    def _timed(self, dtype: torch.dtype, pixels: Tensor) -> tuple[Tensor, float]:
        """The embedding, and seconds of a second run: the first one sets things up."""
        found = self._in(dtype, pixels)
        _wait_for(pixels.device)
        started = self._clock()
        self._in(dtype, pixels)
        _wait_for(pixels.device)
        return found, self._clock() - started


def _has_bfloat16(device: torch.device) -> bool:
    return device.type != "cuda" or torch.cuda.is_bf16_supported()


def _wait_for(device: torch.device) -> None:
    """Work on a GPU is only queued by a call."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
