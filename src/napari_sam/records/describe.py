"""Record entries: how each object of a commit was made, as plain data."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam.checkpoints.registry import MODELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_sam.masks.cleanup import LabelCleanUp
    from napari_sam.records.record import RecordEntry
    from napari_sam.requests.base import SegmentationRequest, SegmentationResult

# A clean-up of a label has these in common with the entry that made the label.
_SHARED = (
    *("model", "intensity", "channels", "shape", "rgb", "levels", "plane"),
    *("image", "grid", "dtype"),
)


def describe(
    request: SegmentationRequest,
    result: SegmentationResult,
    object_id: int,
    view: RecordEntry | None = None,
) -> RecordEntry:
    """Describe how one object of a result was made, in plain JSON types.

    Parameters
    ----------
    request, result : SegmentationRequest, SegmentationResult
        The request and its result.
    object_id : int
        Which object.
    view : dict, optional
        What all objects have in common: the image, as the view of the request
        describes it.
    """
    model = result.model
    view = request.view.to_json(result.contrast_limits) if view is None else view
    scores = result.scores.get(object_id, ())
    slices = [score.index for score in scores if score.index is not None]
    entry: RecordEntry = {
        "object": object_id,
        "model": {"name": model.name, "family": model.family, "key": model.key},
        **view,
        **request.to_json(object_id, result),
        "corrects_clicks": result.model.prompt_support.corrects_clicks,
        # asdict would take half of the time of a large commit.
        "scores": [
            {"index": s.index, "score": float(s.score), "status": s.status}
            for s in scores
        ],
        "slices": [min(slices), max(slices)] if slices else None,
    }
    if request.cleanup:
        entry["cleanup"] = asdict(request.cleanup)
    return entry


def describe_all(
    request: SegmentationRequest,
    result: SegmentationResult,
    label_of: Mapping[int, int],
    model: object,
    shared: RecordEntry,
) -> list[RecordEntry]:
    """Describe how each object of a commit was made.

    Parameters
    ----------
    request, result : SegmentationRequest, SegmentationResult
        The request and its result.
    label_of : mapping
        {object id: label}.
    model : object
        The model as the user chose it; a path is recorded, to load it again.
    shared : dict
        What all objects have in common: image, grid, dtype, policy, replaced and
        region.
    """
    shared = {"version": version("napari-sam"), **shared}
    view = request.view.to_json(result.contrast_limits)
    entries = []
    for object_id, label in label_of.items():
        made = describe(request, result, object_id, view)
        entry = {"label": label, **made, **shared}
        if isinstance(model, str | Path) and str(model) not in MODELS:
            entry["model"]["path"] = str(model)
        entries.append(entry)
    return entries


def describe_cleaning(
    cleaning: LabelCleanUp, made: RecordEntry, region: list[list[int]]
) -> RecordEntry:
    """Describe a clean-up of a label; `made` is the entry of what made the label."""
    return {
        **{key: made[key] for key in _SHARED if key in made},
        "version": version("napari-sam"),
        "object": 1,
        "label": cleaning.label,
        "prompts": {},
        "scores": [],
        "slices": None,
        "policy": "keep",
        # The label itself is replaced, so that it may shrink.
        "replaced": [cleaning.label],
        "region": region,
        "cleaned": cleaning.to_json(),
    }
