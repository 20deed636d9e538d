"""From a request to its record, and from a record back to the same labels."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam import __version__
from napari_sam.checkpoints.registry import MODELS
from napari_sam.images.intensity import IntensityMapping
from napari_sam.images.planes import Channel, PlaneReader
from napari_sam.images.stack import Stack
from napari_sam.masks.cleanup import CleanUp
from napari_sam.masks.cleanup_objects import LabelCleaning
from napari_sam.masks.label_grid import LabelGrid
from napari_sam.masks.painting import plan_changes
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.loading import load_model
from napari_sam.prediction.predictor import Predictor
from napari_sam.records.record import (
    check_record,
    commits,
    index_from_json,
    index_to_json,
    mask_from_json,
    mask_to_json,
    prompt_from_json,
    prompt_to_json,
)
from napari_sam.requests.automatic_plane import EverythingRequest
from napari_sam.requests.automatic_stack import THROUGH_STACKS, EverythingStackRequest
from napari_sam.requests.base import (
    Result,
    SliceRequest,
    StackRequest,
    View,
    run_to_end,
)
from napari_sam.volume.results import PropagationOptions
from napari_sam.volume.stack_prompts import paint_patch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.images.planes import ContrastLimits
    from napari_sam.records.record import Entry, Record
    from napari_sam.requests.base import Request


# What an entry of a record must say to be made again.
_NEEDED = (
    *("model", "intensity", "channels", "shape", "rgb", "levels", "plane", "prompts"),
    *("scores", "grid", "dtype", "policy", "replaced"),
)
# What a clean-up of a label takes from the entry that made it.
_SHARED = (
    *("model", "intensity", "channels", "shape", "rgb", "levels", "plane"),
    *("image", "grid", "dtype"),
)


def describe(request: Request, result: Result, number: int) -> Entry:
    """What made one object of a result, in plain JSON types."""
    walked = request.stack if isinstance(request, THROUGH_STACKS) else None
    at = request.stack.at(0) if isinstance(request, THROUGH_STACKS) else request.at
    prompts = request.prompts.get(number, {})
    scores = result.scores.get(number, ())
    slices = [score.index for score in scores if score.index is not None]
    intensity = request.view.intensity
    entry: Entry = {
        "object": number,
        "model": {
            "name": result.model.name,
            "family": result.model.family,
            "key": result.model.key,
        },
        "intensity": {**asdict(intensity), "limits": _plain(result.limits)},
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
        "plane": index_to_json(at),
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
    if isinstance(request, SliceRequest):
        entry["size"] = request.size
    if isinstance(request, EverythingRequest):
        entry["everything"] = request.to_json()
    if isinstance(request, EverythingStackRequest):
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
    result: Result,
    ids: Mapping[int, int],
    model: object,
    shared: Entry,
) -> list[Entry]:
    """What made each object of a commit.

    Parameters
    ----------
    request, result : SliceRequest or StackRequest, Result
        Question and answer.
    ids : mapping
        {object number: label id}.
    model : object
        As the user named it; a path is written down, to load it again.
    shared : dict
        What holds for all: image, grid, dtype, policy, replaced and region.
    """
    shared = {"version": __version__, **shared}
    entries = []
    for number, label in ids.items():
        entry = {"label": label, **describe(request, result, number), **shared}
        if isinstance(model, str | Path) and str(model) not in MODELS:
            entry["model"]["path"] = str(model)
        entries.append(entry)
    return entries


def describe_cleaning(cleaning: LabelCleaning, made: Entry, region: Any) -> Entry:
    """What cleaned up a label, after the entry that tells how it was made."""
    return {
        **{key: made[key] for key in _SHARED if key in made},
        "version": __version__,
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


def _setting(value: Any) -> Any:
    """A setting as JSON knows it; of numpy's types those of Python."""
    return value.item() if hasattr(value, "item") else value


def _check_complete(steps: Sequence[Sequence[Entry]]) -> None:
    for entry in (entry for entries in steps for entry in entries):
        missing = [key for key in _NEEDED if key not in entry]
        if missing:
            raise ValueError(
                f"The record of label {entry['label']} lacks {', '.join(missing)}: it "
                "is damaged, or was not made by napari-sam."
            )


def _answer(
    request: Request,
    entries: Sequence[Entry],
    predictor: Predictor,
    cache: EmbeddingCache,
) -> Result:
    """Ask again; of a stack only what was reached then, as it may have been stopped."""
    if not isinstance(request, StackRequest):
        return run_to_end(request.run(predictor, cache))
    reached = {
        (e["object"], score["index"]): score["status"] == "provisional"
        for e in entries
        for score in e["scores"]
    }
    work, results, open_ones = request.propagation(), [], set(reached)
    for result in work.run(predictor, cache, request.limits):
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
    entries: Sequence[Entry], levels: Sequence[Any], channels: Sequence[Any]
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
    at = index_from_json(first["plane"])
    cleanup = CleanUp(**first.get("cleanup", {}))
    if "everything" in first and "axis" not in first:
        search = EverythingRequest.from_json(view, at, first["everything"])
        return replace(search, cleanup=cleanup)
    if "axis" not in first:
        asked = {number: slices[""] for number, slices in prompts.items()}
        return SliceRequest(view, at, asked, first.get("size"), cleanup)
    fixed = {
        axis: entry
        for axis, entry in enumerate(at)
        if not isinstance(entry, slice) and axis != first["axis"]
    }
    spacing = first.get("spacing")
    sizes = None if spacing is None else tuple(spacing)
    stack = Stack(view.reader, first["axis"], fixed=fixed, spacing=sizes)
    if "everything" in first:
        everywhere = EverythingStackRequest.from_json(view, stack, first["everything"])
        return replace(everywhere, cleanup=cleanup)
    painted = {
        entry["object"]: {
            int(index): paint_patch(*mask_from_json(mask))
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


def _view(entry: Entry, levels: Sequence[Any], channels: Sequence[Any]) -> View:
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
    return View(reader, IntensityMapping.display(), _limits(entry))


def _other(arrays: Any) -> tuple[Any, ...]:
    array = next(arrays, None)
    if array is None:
        raise ValueError(
            "The model saw channels of other layers: give their arrays as channels, "
            "in order."
        )
    return tuple(array) if isinstance(array, list | tuple) else (array,)


def _limits(entry: Entry) -> ContrastLimits | None:
    limits = entry["intensity"]["limits"]
    if limits is None or not isinstance(limits[0], list):
        return None if limits is None else (limits[0], limits[1])
    return tuple((low, high) for low, high in limits)


def _plain(limits: ContrastLimits | None) -> Any:
    return None if limits is None else np.asarray(limits, float).tolist()


def _paint(labels: NDArray[Any], entries: Sequence[Entry], result: Result) -> None:
    grid = LabelGrid.from_json(entries[0]["grid"])
    if grid.shape != labels.shape:
        raise ValueError("The record mixes labels of different shapes.")
    ids = {entry["object"]: entry["label"] for entry in entries}
    pieces = [p for piece in result.pieces for p in grid.place(piece)]
    changes = plan_changes(
        labels, pieces, ids, entries[0]["policy"], entries[0]["replaced"]
    )
    labels[changes.indices] = changes.values
