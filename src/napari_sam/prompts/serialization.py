"""Prompts and masks as JSON, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from numpy.typing import NDArray


def prompt_to_json(prompt: Prompt) -> dict[str, Any]:
    """A prompt in plain types; masks as run lengths of a crop."""
    entry: dict[str, Any] = {}
    if prompt.points is not None:
        entry["points"] = prompt.points.tolist()
        entry["labels"] = prompt.labels.tolist()
    if prompt.box is not None:
        entry["box"] = prompt.box.tolist()
    if prompt.mask is not None:
        if prompt.mask.dtype != bool:
            raise ValueError("Logits of a model are no prompt that can be recorded.")
        entry["mask"] = mask_to_json(prompt.mask, prompt.mask_origin)
    return entry


def prompt_from_json(entry: Any) -> Prompt:
    """Undo `prompt_to_json`.

    Raises
    ------
    ValueError
        When the entry is no prompt.
    """
    known = {"points", "labels", "box", "mask"}
    if not isinstance(entry, dict) or not entry.keys() <= known:
        raise ValueError(
            f"{entry!r} is no prompt: give an object with points, labels and box."
        )
    given = dict(entry)
    if "mask" in given:
        given["mask"], given["mask_origin"] = mask_from_json(given["mask"])
    try:
        for numbers in (entry.get(key) for key in ("points", "labels", "box")):
            np.array(numbers, float)
    except (TypeError, ValueError) as error:  # words, or something nested
        raise ValueError(f"{entry!r} is no prompt: give numbers.") from error
    return Prompt(**given)


def mask_to_json(mask: NDArray[np.bool_], origin: tuple[int, int]) -> dict[str, Any]:
    """Run lengths of a mask, row by row, outside first (as in COCO, but by rows)."""
    flat = np.concatenate([[False], mask.ravel()])
    starts = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff(np.concatenate([[0], starts, [mask.size]]))
    return {
        "origin": [int(first) for first in origin],
        "size": list(mask.shape),
        "counts": counts.tolist(),
    }


def mask_from_json(entry: dict[str, Any]) -> tuple[NDArray[np.bool_], tuple[int, int]]:
    """Mask and origin from `mask_to_json`.

    Raises
    ------
    ValueError
        When the entry is no mask.
    """
    try:
        counts = np.asarray(entry["counts"], dtype=np.int64)
        inside = np.arange(len(counts)) % 2 == 1
        rows, cols = entry["origin"]
        height, width = entry["size"]
        mask = np.repeat(inside, counts).reshape(height, width)
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(
            "The mask of a recorded prompt is damaged: give its origin, its size, and "
            "counts that add up to it."
        ) from error
    return mask, (rows, cols)
