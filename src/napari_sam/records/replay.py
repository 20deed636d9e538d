"""From a request to its record, and from a record back to the same labels."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.intensity import IntensityMapping
from napari_sam.images.planes import Channel, PlaneReader
from napari_sam.images.stack import Stack
from napari_sam.masks.cleanup import CleanUp
from napari_sam.masks.cleanup_objects import LabelCleaning
from napari_sam.masks.label_grid import LabelGrid
from napari_sam.masks.painting import plan_changes
from napari_sam.masks.patch import PAINTED_LOGIT, MaskPatch
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.loading import load_model
from napari_sam.prediction.predictor import Predictor
from napari_sam.prompts.serialization import (
    mask_from_json,
    prompt_from_json,
)
from napari_sam.records.record import (
    check_record,
    commits,
    index_from_json,
)
from napari_sam.requests.automatic_plane import AutomaticPlaneRequest
from napari_sam.requests.automatic_stack import AutomaticStackRequest
from napari_sam.requests.base import SegmentationResult, run_to_end
from napari_sam.requests.plane import PlaneRequest
from napari_sam.requests.stack import StackRequest
from napari_sam.requests.view import ImageView
from napari_sam.volume.results import PropagationOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam.images.axes import ContrastLimits
    from napari_sam.records.record import Record, RecordEntry
    from napari_sam.requests.base import Request


# What an entry of a record must say to be made again.
_NEEDED = (
    *("model", "intensity", "channels", "shape", "rgb", "levels", "plane", "prompts"),
    *("scores", "grid", "dtype", "policy", "replaced"),
)


def replay(
    record: Record,
    image: Any,
    model: str | Path | Predictor | None = None,
    *,
    channels: Sequence[Any] = (),
) -> NDArray[Any]:
    """Make labels again from an image and the record of how they were made.

    Parameters
    ----------
    record : dict
        As `napari_sam.records.record.read_record` reads it, or as it lies in the
        metadata of a labels layer under "napari_sam".
    image : array-like or sequence of them
        The image that was segmented; a list holds the levels of a pyramid.
    model : str, Path or Predictor, optional
        The same model, where it does not load under its recorded name.
    channels : sequence of array-like
        Arrays of the picked channels, where these came from other layers.

    Returns
    -------
    ndarray
        Labels of the recorded shape and type.

    Raises
    ------
    ValueError
        When image or model are not those of the record.
    """
    steps = commits(check_record(record))
    if not steps:
        raise ValueError("The record holds no objects.")
    _check_complete(steps)
    levels = tuple(image) if isinstance(image, list | tuple) else (image,)
    first = steps[0][0]
    labels = np.zeros(first["grid"]["shape"], first["dtype"])
    models = _Models(model)
    cache = EmbeddingCache()
    for entries in steps:
        if "cleaned" in entries[0]:
            cleaned = LabelCleaning.from_json(entries[0]["cleaned"]).changes(labels)
            labels[cleaned.indices] = cleaned.values
            continue
        request = _request(entries, levels, channels)
        predictor = models.get(entries[0]["model"])
        _paint(labels, entries, _answer(request, entries, predictor, cache))
    return labels


def _check_complete(steps: Sequence[Sequence[RecordEntry]]) -> None:
    for entry in (entry for entries in steps for entry in entries):
        missing = [key for key in _NEEDED if key not in entry]
        if missing:
            raise ValueError(
                f"The record of label {entry['label']} lacks {', '.join(missing)}: it "
                "is damaged, or was not made by napari-sam."
            )


def _answer(
    request: Request,
    entries: Sequence[RecordEntry],
    predictor: Predictor,
    cache: EmbeddingCache,
) -> SegmentationResult:
    """Ask again; of a stack only what was reached then, as it may have been stopped."""
    if not isinstance(request, StackRequest):
        return run_to_end(request.run(predictor, cache))
    reached = {
        (e["object"], score["index"]): score["status"] == "provisional"
        for e in entries
        for score in e["scores"]
    }
    work, results, open_ones = request.propagation(), [], set(reached)
    for result in work.run(predictor, cache, request.contrast_limits):
        key = result.object_id, result.index
        if key in open_ones:
            results.append(result)
            if reached[key] or not result.provisional:
                open_ones.remove(key)
        if not open_ones:
            break
    return request.finish(predictor, work.finish(results))


class _Models:
    """Loads each recorded model once, and refuses others."""

    def __init__(self, given: str | Path | Predictor | None) -> None:
        self._given = given
        self._loaded: dict[str, Predictor] = {}

    def get(self, entry: Mapping[str, str]) -> Predictor:
        key = entry["key"]
        if key not in self._loaded:
            chosen = self._given or entry.get("path") or entry["name"]
            if not isinstance(chosen, Predictor):
                registered = chosen == entry["name"] and "path" not in entry
                family: Any = None if registered else entry["family"]
                chosen = load_model(chosen, family=family)
            if chosen.key != key:
                raise ValueError(
                    f"The labels were made by {entry['name']} ({key}), the model given "
                    f"is {chosen.name} ({chosen.key}): give the same weights."
                )
            self._loaded[key] = chosen
        return self._loaded[key]


def _request(
    entries: Sequence[RecordEntry], levels: Sequence[Any], channels: Sequence[Any]
) -> Request:
    first = entries[0]
    view = _view(first, levels, channels)
    prompts = {
        entry["object"]: {
            index: prompt_from_json(prompt)
            for index, prompt in entry["prompts"].items()
        }
        for entry in entries
    }
    plane_index = index_from_json(first["plane"])
    cleanup = CleanUp(**first.get("cleanup", {}))
    if "everything" in first and "axis" not in first:
        search = AutomaticPlaneRequest.from_json(view, plane_index, first["everything"])
        return replace(search, cleanup=cleanup)
    if "axis" not in first:
        asked = {number: slices[""] for number, slices in prompts.items()}
        return PlaneRequest(view, plane_index, asked, first.get("size"), cleanup)
    fixed = {
        axis: entry
        for axis, entry in enumerate(plane_index)
        if not isinstance(entry, slice) and axis != first["axis"]
    }
    spacing = first.get("spacing")
    sizes = None if spacing is None else tuple(spacing)
    stack = Stack(view.reader, first["axis"], fixed=fixed, spacing=sizes)
    if "everything" in first:
        everywhere = AutomaticStackRequest.from_json(view, stack, first["everything"])
        return replace(everywhere, cleanup=cleanup)
    painted = {
        entry["object"]: {
            int(index): MaskPatch.from_mask(*mask_from_json(mask), PAINTED_LOGIT)
            for index, mask in entry.get("painted", {}).items()
        }
        for entry in entries
    }
    return StackRequest(
        view,
        stack,
        {n: {int(i): p for i, p in slices.items()} for n, slices in prompts.items()},
        PropagationOptions(**first["options"]),
        {number: masks for number, masks in painted.items() if masks},
        cleanup=cleanup,
    )


def _view(
    entry: RecordEntry, levels: Sequence[Any], channels: Sequence[Any]
) -> ImageView:
    """What the model saw; its contrast limits as they were, not measured again."""
    if len(levels) != entry["levels"]:
        raise ValueError(
            f"The image has {len(levels)} levels, the one that was segmented "
            f"{entry['levels']}: give all levels as a list."
        )
    others = iter(channels)
    picked = [
        Channel(levels if c["own"] else _other(others), c["axis"], c["index"])
        for c in entry["channels"]
    ]
    reader = PlaneReader(levels, entry["rgb"], picked)
    if list(reader.shape) != entry["shape"]:
        raise ValueError(
            f"The image has shape {reader.shape}, the one that was segmented "
            f"{tuple(entry['shape'])}: give the same image."
        )
    return ImageView(reader, IntensityMapping.display(), _limits(entry))


def _other(arrays: Any) -> tuple[Any, ...]:
    array = next(arrays, None)
    if array is None:
        raise ValueError(
            "The model saw channels of other layers: give their arrays as channels, "
            "in order."
        )
    return tuple(array) if isinstance(array, list | tuple) else (array,)


def _limits(entry: RecordEntry) -> ContrastLimits | None:
    contrast_limits = entry["intensity"]["limits"]
    if contrast_limits is None or not isinstance(contrast_limits[0], list):
        return (
            None
            if contrast_limits is None
            else (contrast_limits[0], contrast_limits[1])
        )
    return tuple((low, high) for low, high in contrast_limits)


def _paint(
    labels: NDArray[Any], entries: Sequence[RecordEntry], result: SegmentationResult
) -> None:
    grid = LabelGrid.from_json(entries[0]["grid"])
    if grid.shape != labels.shape:
        raise ValueError("The record mixes labels of different shapes.")
    ids = {entry["object"]: entry["label"] for entry in entries}
    pieces = [p for piece in result.pieces for p in grid.place(piece)]
    changes = plan_changes(
        labels, pieces, ids, entries[0]["policy"], entries[0]["replaced"]
    )
    labels[changes.indices] = changes.values
