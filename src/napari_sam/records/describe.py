"""What a request was, as plain data for a record."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.checkpoints.registry import MODELS
from napari_sam.prompts.serialization import (
    mask_to_json,
    prompt_to_json,
)
from napari_sam.records.record import (
    index_to_json,
)
from napari_sam.requests.automatic_plane import AutomaticPlaneRequest
from napari_sam.requests.automatic_stack import AutomaticStackRequest
from napari_sam.requests.plane import PlaneRequest
from napari_sam.requests.stack import StackRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_sam.images.axes import ContrastLimits
    from napari_sam.masks.cleanup_objects import LabelCleaning
    from napari_sam.records.record import RecordEntry
    from napari_sam.requests.base import Request, SegmentationResult

# What a clean-up of a label takes from the entry that made it.
_SHARED = (
    *("model", "intensity", "channels", "shape", "rgb", "levels", "plane"),
    *("image", "grid", "dtype"),
)


def describe(request: Request, result: SegmentationResult, number: int) -> RecordEntry:
    """What made one object of a result, in plain JSON types."""
    walked, plane_index = request.stack, request.plane_index
    prompts = request.prompts.get(number, {})
    scores = result.scores.get(number, ())
    slices = [score.index for score in scores if score.index is not None]
    intensity = request.view.intensity
    entry: RecordEntry = {
        "object": number,
        "model": {
            "name": result.model.name,
            "family": result.model.family,
            "key": result.model.key,
        },
        "intensity": {**asdict(intensity), "limits": _plain(result.contrast_limits)},
        "channels": [
            {
                "axis": None if c.axis is None else int(c.axis),
                "index": int(c.index),
                "own": c.levels[0] is request.view.reader.levels[0],
            }
            for c in request.view.reader.channels
        ],
        "shape": list(request.view.reader.shape),
        "rgb": request.view.reader.rgb,
        "levels": len(request.view.reader.levels),
        "plane": index_to_json(plane_index),
        "prompts": {
            str(index): prompt_to_json(prompt)
            for index, prompt in (
                prompts.items() if isinstance(prompts, dict) else [("", prompts)]
            )
        },
        "scores": [{**asdict(s), "score": float(s.score)} for s in scores],
        "slices": [min(slices), max(slices)] if slices else None,
    }
    if request.cleanup:
        entry["cleanup"] = asdict(request.cleanup)
    if isinstance(request, PlaneRequest):
        entry["size"] = request.size
    if isinstance(request, AutomaticPlaneRequest):
        entry["everything"] = request.to_json()
    if isinstance(request, AutomaticStackRequest):
        entry["everything"] = request.to_json(len(result.everything))
    if walked is not None:
        entry["axis"], entry["spacing"] = walked.axis, walked.spacing
    if isinstance(request, StackRequest):
        entry["painted"] = {
            str(index): mask_to_json(patch.mask, patch.origin)
            for index, patch in request.masks.get(number, {}).items()
        }
        options = asdict(request.options)
        entry["options"] = {name: _setting(value) for name, value in options.items()}
    return entry


def describe_all(
    request: Request,
    result: SegmentationResult,
    ids: Mapping[int, int],
    model: object,
    shared: RecordEntry,
) -> list[RecordEntry]:
    """What made each object of a commit.

    Parameters
    ----------
    request, result : PlaneRequest or StackRequest, SegmentationResult
        Question and answer.
    ids : mapping
        {object number: label id}.
    model : object
        As the user named it; a path is written down, to load it again.
    shared : dict
        What holds for all: image, grid, dtype, policy, replaced and region.
    """
    shared = {"version": version("napari-sam"), **shared}
    entries = []
    for number, label in ids.items():
        entry = {"label": label, **describe(request, result, number), **shared}
        if isinstance(model, str | Path) and str(model) not in MODELS:
            entry["model"]["path"] = str(model)
        entries.append(entry)
    return entries


def describe_cleaning(
    cleaning: LabelCleaning, made: RecordEntry, region: Any
) -> RecordEntry:
    """What cleaned up a label, after the entry that tells how it was made."""
    return {
        **{key: made[key] for key in _SHARED if key in made},
        "version": version("napari-sam"),
        "object": 1,
        "label": cleaning.label,
        "prompts": {},
        "scores": [],
        "slices": None,
        "policy": "keep",
        # Its own pixels only give way, and it may shrink.
        "replaced": [cleaning.label],
        "region": region,
        "cleaned": cleaning.to_json(),
    }


def _setting(value: Any) -> Any:
    """A setting as JSON knows it; of numpy's types those of Python."""
    return value.item() if hasattr(value, "item") else value


def _plain(contrast_limits: ContrastLimits | None) -> Any:
    return (
        None if contrast_limits is None else np.asarray(contrast_limits, float).tolist()
    )
