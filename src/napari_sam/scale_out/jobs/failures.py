"""The reason why one task or image of many failed, in words."""

from __future__ import annotations

from napari_sam.checkpoints.download import WeightsError

_MAX_CHARACTERS = 500


def describe_failure(error: Exception) -> str:
    """Return the message of an error in one line; of others than ours, its kind."""
    text = " ".join(str(error).split())[:_MAX_CHARACTERS]
    if isinstance(error, MemoryError) and not text:
        text = "There is not enough memory for the image: convert it to OME-Zarr."
    if isinstance(error, ValueError | OSError | ImportError | WeightsError):
        return text or type(error).__name__
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
