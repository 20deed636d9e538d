"""Choice of device, precision and batch size."""

from __future__ import annotations

import gc
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from napari_sam.checks.values import check_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from torch import Tensor

    Encode = Callable[[Tensor], Tensor]

_Result = TypeVar("_Result")

# Largest root mean square deviation from float32, as a fraction of the standard
# deviation of the embedding: more than bfloat16 rounds, less than changes a mask.
_TOLERANCE = 0.02
_REDUCED_PRECISIONS = (torch.float16, torch.bfloat16)


def best_device() -> torch.device:
    """Return the first available device of CUDA, Apple's MPS and the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def choose_device(device: str | torch.device | None) -> torch.device:
    """Return a device to compute on, before anything is loaded.

    Parameters
    ----------
    device : str or torch.device, optional
        The device; the best one when None.

    Raises
    ------
    TypeError, ValueError
        When torch does not know the device, or this machine does not have it.
    """
    if device is None:
        return best_device()
    advice = "give 'cpu', or leave the device out for the best one"
    check_type(device, "device", str | torch.device, "a name such as 'cpu' or 'cuda:0'")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device={device!r} is not known: {advice}.") from None
    if chosen.type == "cpu":
        return chosen
    is_mps = chosen.type == "mps"
    kind: Any = torch.backends.mps if is_mps else getattr(torch, chosen.type, None)
    if not (hasattr(kind, "is_available") and kind.is_available()):
        raise ValueError(f"device={str(device)!r} is not on this machine: {advice}.")
    count = kind.device_count() if hasattr(kind, "device_count") else 1
    if chosen.index is not None and chosen.index >= count:
        raise ValueError(
            f"device={str(device)!r}: this machine has {count} of this kind, counted "
            "from 0."
        )
    return chosen


def free_gpu_memory() -> None:
    """Free GPU memory held by models that are no longer used."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def own_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Leave the autocast of a script, whose reduced numbers the decoder cannot mix."""
    if device.type in ("cpu", "cuda"):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def has_fallback(device: torch.device) -> bool:
    """Tell whether work that exceeds the memory of a device can move to the CPU."""
    return device.type != "cpu"


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether a device ran out of memory; not all devices have their own error."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "out of memory" in str(error)


def in_batches(
    run: Callable[[slice], _Result], count: int, size: int
) -> Iterator[_Result]:
    """Process `count` items in batches of `size`, smaller ones when memory runs out.

    Each time a batch exceeds the memory of the device, the rest is processed in
    batches of half the size. A single item that does not fit is an error.
    """
    start = 0
    while start < count:
        try:
            result = run(slice(start, start + size))
        except RuntimeError as error:
            if size == 1 or not is_out_of_memory(error):
                raise
            size //= 2
            continue
        yield result
        start += size


class MeasuredPrecision:
    """Image encoder in the fastest precision of a GPU, measured on the first image.

    Weights stay float32; torch's autocast reduces matrix products and convolutions.
    The fastest precision depends on the card: old ones have no bfloat16, on some it is
    slower than float32. A precision whose embedding deviates too much is rejected.

    Parameters
    ----------
    encode : callable
        Maps (B, 3, S, S) images to embeddings, in float32.
    clock : callable, optional
        Returns the time in seconds.
    """

    def __init__(
        self, encode: Encode, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._encode, self._clock = encode, clock
        self.precision: torch.dtype | None = None

    def __call__(self, pixels: Tensor) -> Tensor:
        """Encode (B, 3, S, S) images to float32 embeddings."""
        if self.precision is None:
            self.precision = self._fastest(pixels)
        return self._encode_in(self.precision, pixels)

    def _encode_in(self, dtype: torch.dtype, pixels: Tensor) -> Tensor:
        kind, reduced = pixels.device.type, dtype != torch.float32
        with torch.autocast(kind, dtype if reduced else None, enabled=reduced):
            return self._encode(pixels).float()

    def _fastest(self, pixels: Tensor) -> torch.dtype:
        exact, shortest = self._timed(torch.float32, pixels)
        fastest = torch.float32
        for dtype in _REDUCED_PRECISIONS:
            if dtype == torch.bfloat16 and not _has_bfloat16(pixels.device):
                continue
            embedding, seconds = self._timed(dtype, pixels)
            deviation = (embedding - exact).square().mean().sqrt()
            # Overflow makes the deviation NaN, and the comparison false.
            if seconds < shortest and deviation < _TOLERANCE * exact.std():
                fastest, shortest = dtype, seconds
        return fastest

    def _timed(self, dtype: torch.dtype, pixels: Tensor) -> tuple[Tensor, float]:
        """Return the embedding and the seconds of a second run, without set-up time."""
        embedding = self._encode_in(dtype, pixels)
        _wait_for(pixels.device)
        started = self._clock()
        self._encode_in(dtype, pixels)
        _wait_for(pixels.device)
        return embedding, self._clock() - started


def _has_bfloat16(device: torch.device) -> bool:
    return device.type != "cuda" or torch.cuda.is_bf16_supported()


def _wait_for(device: torch.device) -> None:
    """Wait until a GPU has finished; calls only queue its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
