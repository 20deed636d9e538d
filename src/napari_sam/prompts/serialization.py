"""JSON of prompts and masks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.checks.schema import misfit
from napari_sam.checks.values import describe
from napari_sam.memory import check_memory
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from numpy.typing import NDArray


def prompt_to_json(prompt: Prompt) -> dict[str, Any]:
    """Convert a prompt to plain JSON types; a mask to run lengths of its crop."""
    entry: dict[str, Any] = {}
    if prompt.points is not None:
        entry["points"] = prompt.points.tolist()
        entry["labels"] = prompt.labels.tolist()
    if prompt.box is not None:
        entry["box"] = prompt.box.tolist()
    if prompt.mask is not None:
        if prompt.mask.dtype != bool:
            raise ValueError(
                "The mask prompt holds logits: give a boolean mask to record it."
            )
        entry["mask"] = mask_to_json(prompt.mask, prompt.mask_origin)
    return entry


def prompt_from_json(entry: Any) -> Prompt:
    """Create a prompt from the output of `prompt_to_json`.

    Raises
    ------
    ValueError
        When the entry is not a prompt.
    """
    known = {"points", "labels", "box", "mask"}
    if not isinstance(entry, dict) or not entry.keys() <= known:
        raise ValueError(
            f"{describe(entry)} is not a prompt: give an object with points, labels "
            "and box."
        )
    fields = dict(entry)
    if "mask" in fields:
        fields["mask"], fields["mask_origin"] = mask_from_json(fields["mask"])
    try:
        return Prompt(**fields)
    except TypeError as error:
        raise ValueError(f"{describe(entry)} is not a prompt: give numbers.") from error


def mask_to_json(mask: NDArray[np.bool_], origin: tuple[int, int]) -> dict[str, Any]:
    """Encode a mask as run lengths, row by row, background first (COCO: columns)."""
    flat = np.concatenate([[False], mask.ravel()])
    starts = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], starts, [mask.size]]))
    return {
        "origin": [int(first) for first in origin],
        "size": list(mask.shape),
        "counts": counts.tolist(),
    }


def mask_from_json(entry: dict[str, Any]) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Decode the output of `mask_to_json`: mask and origin.

    Raises
    ------
    ValueError
        When the entry is not a mask.
    """
    is_mask = misfit(entry, _MASK) is None
    if not is_mask or sum(entry["counts"]) != math.prod(entry["size"]):
        raise ValueError(
            "The mask of a prompt is damaged: give its origin, its size, and counts "
            "that add up to the size."
        )
    (rows, cols), (height, width) = entry["origin"], entry["size"]
    check_memory(
        float(height * width),
        f"The mask of a prompt, of {height} x {width} pixels,",
        "restore the file",
    )
    counts = np.asarray(entry["counts"], dtype=np.int64)
    inside = np.arange(len(counts)) % 2 == 1
    return np.repeat(inside, counts).reshape(height, width), (rows, cols)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


_MASK = {"counts": [_is_count], "origin": [int, int], "size": [_is_count, _is_count]}
