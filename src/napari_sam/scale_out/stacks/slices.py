"""Results of a propagation as arrays of a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.window import Window
from napari_sam.scale_out.stacks.arrays import pack, unpack
from napari_sam.volume.results import Fingerprint, SliceResult, VolumeResult
from napari_sam.volume.stack_prompts import prompted_slices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_sam.requests.stack import StackRequest

_NO_WINDOW = (-1,) * 4


def volume_to_arrays(volume: VolumeResult) -> dict[str, Any]:
    """Store a result, without its stack and its prompts."""
    slices = volume.slices
    made_from = volume.fingerprint
    pixels = [] if made_from is None else list(made_from.pixels.items())
    text = {
        "settings": None if made_from is None else made_from.settings,
        "pixels": [
            [index, window and list(window), key] for (index, window), key in pixels
        ],
        "statuses": [entry.status for entry in slices],
    }
    return {
        **pack([s.origin for s in slices], [s.logits for s in slices]),
        "objects": np.array([(s.object_id, s.index) for s in slices], np.int64),
        "scores": np.array([(s.score, s.confidence) for s in slices], np.float64),
        "provisional": np.array([s.provisional for s in slices], bool),
        "windows": np.array([s.window or _NO_WINDOW for s in slices], np.int64),
        "text": np.frombuffer(json.dumps(text).encode(), np.uint8),
        "recomputed": volume.recomputed,
        "complete": volume.complete,
        "empty": np.array(sorted(volume.empty), np.int64),
    }


def volume_from_arrays(
    stored: Mapping[str, NDArray[Any]], request: StackRequest
) -> VolumeResult:
    """Read the result of `volume_to_arrays`, of the same request."""
    text = json.loads(stored["text"].tobytes())
    rows = zip(
        stored["objects"].reshape(-1, 2).tolist(),
        stored["scores"].reshape(-1, 2).tolist(),
        text["statuses"],
        unpack(stored),
        stored["provisional"].tolist(),
        stored["windows"].reshape(-1, 4).tolist(),
        strict=True,
    )
    slices = tuple(
        SliceResult(
            object_id,
            index,
            score,
            status,
            origin,
            logits,
            confidence,
            provisional,
            _window(window),
        )
        for (object_id, index), (score, confidence), status, (
            origin,
            logits,
        ), provisional, window in rows
    )
    made_from = None
    if text["settings"] is not None:
        pixels = {
            (index, None if window is None else Window(*window)): key
            for index, window, key in text["pixels"]
        }
        made_from = Fingerprint(text["settings"], pixels)
    return VolumeResult(
        request.stack,
        slices,
        dict(prompted_slices(request.prompts, request.masks)),
        int(stored["recomputed"]),
        bool(stored["complete"]),
        frozenset(stored["empty"].tolist()),
        made_from,
    )


def _window(sides: list[int]) -> Window | None:
    return None if tuple(sides) == _NO_WINDOW else Window(*sides)
