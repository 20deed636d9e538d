"""Results of a propagation as arrays of a file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.window import Window
from napari_sam.scale_out.stacks.arrays import pack, unpack
from napari_sam.volume.appearance import Appearance
from napari_sam.volume.footprint import Footprint
from napari_sam.volume.results import Fingerprint, SliceResult, VolumeResult

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_sam.images.stack import Stack
    from napari_sam.volume.stack_prompts import PromptedSlices

_NO_WINDOW = (-1,) * 4
FOOTPRINT = ("seen", "crops", "claims", "unseen")
"""Names of the arrays of a footprint."""


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
    looks = [(a.threshold, a.contrast, a.trust) for a in (s.appearance for s in slices)]
    return {
        **pack([s.origin for s in slices], [s.logits for s in slices]),
        "objects": np.array([(s.object_id, s.index) for s in slices], np.int64),
        "scores": np.array(
            [(s.score, s.confidence, s.weakest) for s in slices], np.float64
        ),
        "looks": np.array(looks, np.float64),
        "provisional": np.array([s.provisional for s in slices], bool),
        "windows": np.array([s.window or _NO_WINDOW for s in slices], np.int64),
        "text": np.frombuffer(json.dumps(text).encode(), np.uint8),
        "recomputed": volume.recomputed,
        "complete": volume.complete,
        "empty": np.array(sorted(volume.empty), np.int64),
    }


def volume_from_arrays(
    stored: Mapping[str, NDArray[Any]],
    stack: Stack,
    prompted: Mapping[int, PromptedSlices],
) -> VolumeResult:
    """Read the result of `volume_to_arrays`, with its stack and its prompts."""
    text = json.loads(stored["text"].tobytes())
    rows = zip(
        stored["objects"].reshape(-1, 2).tolist(),
        stored["scores"].reshape(-1, 3).tolist(),
        text["statuses"],
        unpack(stored),
        stored["provisional"].tolist(),
        stored["windows"].reshape(-1, 4).tolist(),
        stored["looks"].reshape(-1, 3).tolist(),
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
            Appearance(*look),
            weakest,
        )
        for (object_id, index), (score, confidence, weakest), status, (
            origin,
            logits,
        ), provisional, window, look in rows
    )
    made_from = None
    if text["settings"] is not None:
        pixels = {
            (index, None if window is None else Window(*window)): key
            for index, window, key in text["pixels"]
        }
        made_from = Fingerprint(text["settings"], pixels)
    return VolumeResult(
        stack,
        slices,
        dict(prompted),
        int(stored["recomputed"]),
        bool(stored["complete"]),
        frozenset(stored["empty"].tolist()),
        made_from,
    )


def footprint_to_arrays(footprint: Footprint) -> dict[str, Any]:
    """Store a footprint."""
    windows = [(index, *(w or _NO_WINDOW)) for index, w in footprint.windows]
    return {
        "seen": np.array(windows, np.int64),
        "crops": np.array(footprint.crops, np.int64),
        "claims": np.array(footprint.claims, np.int64),
        "unseen": np.array(sorted(footprint.empty), np.int64),
    }


def footprint_from_arrays(stored: Mapping[str, NDArray[Any]]) -> Footprint:
    """Read the result of `footprint_to_arrays`."""
    seen = stored["seen"].reshape(-1, 5).tolist()
    return Footprint(
        {(index, _window(sides)) for index, *sides in seen},
        [tuple(row) for row in stored["crops"].reshape(-1, 5).tolist()],
        [tuple(row) for row in stored["claims"].reshape(-1, 6).tolist()],
        set(stored["unseen"].tolist()),
    )


def _window(sides: list[int]) -> Window | None:
    return None if tuple(sides) == _NO_WINDOW else Window(*sides)
