"""Replay of a record: from an image to the same labels."""

from __future__ import annotations

import math
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.checkpoints.model_key import without_click_decoder
from napari_sam.files import refusing_damage
from napari_sam.masks.cleanup import CleanUp, LabelCleanUp
from napari_sam.masks.label_grid import LabelGrid
from napari_sam.masks.painting import plan_changes
from napari_sam.memory import check_memory
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.loading import load_model
from napari_sam.prediction.predictor import Predictor
from napari_sam.prediction.steps import run_to_end
from napari_sam.records.record import check_record, group_by_commit
from napari_sam.requests.automatic_plane import AutomaticPlaneRequest
from napari_sam.requests.automatic_stack import AutomaticStackRequest
from napari_sam.requests.plane import PlaneRequest
from napari_sam.requests.stack import StackRequest
from napari_sam.requests.view import ImageView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam.records.record import Record, RecordEntry
    from napari_sam.requests.base import SegmentationRequest, SegmentationResult


_CURE = "restore the file"

# Keys that an entry needs to be replayed.
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
    """Segment an image again as a record describes.

    The same image and the same model give the same labels, bit by bit.

    Parameters
    ----------
    record : dict
        As `read_record` returns it, or as stored in the metadata of a Labels layer
        under "napari_sam".
    image : array-like or sequence of array-like
        The image that was segmented, any real dtype; a list holds the levels of a
        pyramid, the full resolution first.
    model : str, Path or Predictor, optional
        The model of the record, where it cannot be loaded by its recorded name.
    channels : sequence of array-like, optional
        Arrays of the channels that came from other layers, in order.

    Returns
    -------
    ndarray
        Labels of the recorded shape and dtype.

    Raises
    ------
    ValueError
        When the record is empty or incomplete, or when the image or the model differ
        from those of the record.

    Examples
    --------
    >>> labels = ns.replay(ns.read_record("cells.json"), image)  # doctest: +SKIP
    """
    commits = group_by_commit(check_record(record))
    if not commits:
        raise ValueError("The record holds no objects: give one of segmented labels.")
    _check_complete(commits)
    levels = tuple(image) if isinstance(image, list | tuple) else (image,)
    first = commits[0][0]
    labels = _empty_labels(first)
    models = _Models(model)
    cache = EmbeddingCache()
    for entries in commits:
        if "cleaned" in entries[0]:
            with refusing_damage("The record", _CURE):
                cleaning = LabelCleanUp.from_json(entries[0]["cleaned"])
            changes = cleaning.changes(labels)
            labels[changes.indices] = changes.values
            continue
        _check_axes(entries[0])
        with refusing_damage("The record", _CURE):
            request = request_from_json(entries, levels, channels)
        predictor = models.get(entries[0]["model"], has_points=_has_points(entries))
        if predictor.prompt_support.corrects_clicks and not _corrects(entries[0]):
            # Clicks were answered by the decoder alone.
            predictor = copy(predictor)
            predictor.instance_head = None
        _paint(labels, entries, run_to_end(request.run(predictor, cache)))
    return labels


def request_from_json(
    entries: Sequence[RecordEntry], levels: Sequence[Any], channels: Sequence[Any] = ()
) -> SegmentationRequest:
    """Build the request of a commit from the entries of its objects.

    Parameters
    ----------
    entries : sequence of dict
        Entries of one commit.
    levels, channels : sequence of array-like
        See `ImageView.from_json`.
    """
    first = entries[0]
    view = ImageView.from_json(first, levels, channels)
    request: SegmentationRequest
    if "everything" in first and "axis" in first:
        request = AutomaticStackRequest.from_json(view, entries)
    elif "everything" in first:
        request = AutomaticPlaneRequest.from_json(view, entries)
    elif "axis" in first:
        request = StackRequest.from_json(view, entries)
    else:
        request = PlaneRequest.from_json(view, entries)
    return replace(request, cleanup=CleanUp(**first.get("cleanup", {})))


def _has_points(entries: Sequence[RecordEntry]) -> bool:
    """Tell whether a commit has prompts with points."""
    prompts = (entry.get("prompts") or {} for entry in entries)
    return any(
        prompt.get("points") for by_slice in prompts for prompt in by_slice.values()
    )


def _corrects(entry: RecordEntry) -> bool:
    """Tell whether a commit used the instance head, for clicks or for all objects."""
    return "everything" in entry or entry.get("corrects_clicks", False)


def _empty_labels(entry: RecordEntry) -> NDArray[Any]:
    """Make the label array of a record, which may come from anywhere."""
    shape = entry["grid"]["shape"]
    try:
        dtype = np.dtype(entry["dtype"])
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The record is damaged at the dtype {entry['dtype']!r}: {_CURE}."
        ) from error
    is_shape = isinstance(shape, list | tuple) and all(
        isinstance(size, int) and size >= 0 for size in shape
    )
    if not is_shape or dtype.kind not in "biu":
        raise ValueError(
            f"The record names labels of shape {shape!r} and dtype {dtype}, which "
            "cannot be: restore the record."
        )
    check_memory(
        math.prod(shape) * dtype.itemsize,
        f"The record, with labels of shape {tuple(shape)},",
        "replay it on a machine with more, or restore the record",
    )
    return np.zeros(shape, dtype)


def _check_axes(entry: RecordEntry) -> None:
    """Refuse a commit whose parts name different numbers of axes."""
    counts = {len(entry["shape"]), len(entry["plane"]), entry["grid"]["image_ndim"]}
    if len(counts) > 1:
        raise ValueError(
            "The record is damaged: image, plane and labels name different axes; "
            f"{_CURE}."
        )


class _Models:
    """Recorded models, each loaded once and compared with the record."""

    def __init__(self, model: str | Path | Predictor | None) -> None:
        self._model = model
        self._loaded: dict[str, Predictor] = {}

    def get(self, entry: Mapping[str, str], *, has_points: bool) -> Predictor:
        """Load the model that an entry names.

        A click decoder of another version answers only points differently.
        """
        key = entry["key"]
        if key not in self._loaded:
            model = self._model or entry.get("path") or entry["name"]
            if not isinstance(model, Predictor):
                is_registered = model == entry["name"] and "path" not in entry
                family: Any = None if is_registered else entry["family"]
                model = load_model(model, family=family)
            self._loaded[key] = model
        model = self._loaded[key]
        if without_click_decoder(model.key) != without_click_decoder(key):
            raise ValueError(
                f"The record was made with the model {entry['name']} ({key}), not "
                f"with {model.name} ({model.key}): give the same weights."
            )
        if has_points and model.key != key:
            raise ValueError(
                f"The points of the record were answered by another click decoder "
                f"({key}) than that of {model.name} ({model.key}): install the version "
                "of napari-sam that made the record."
            )
        return model


def _check_complete(commits: Sequence[Sequence[RecordEntry]]) -> None:
    for entry in (entry for entries in commits for entry in entries):
        missing = [key for key in _NEEDED if key not in entry]
        if missing:
            raise ValueError(
                f"The record of label {entry['label']} lacks {', '.join(missing)}: it "
                "is damaged, or was not made by napari-sam."
            )


def _paint(
    labels: NDArray[Any], entries: Sequence[RecordEntry], result: SegmentationResult
) -> None:
    """Paint the objects of a commit."""
    first = entries[0]
    grid = LabelGrid.from_json(first["grid"])
    if grid.shape != labels.shape:
        raise ValueError(
            "The record mixes labels of different shapes: it is damaged, replay each "
            "part alone."
        )
    pieces = [placed for piece in result.pieces for placed in grid.place(piece)]
    # Objects without an entry left no pixel, as others were there before.
    label_of = dict.fromkeys((piece.object_id for piece in pieces), 0)
    label_of |= {entry["object"]: entry["label"] for entry in entries}
    changes = plan_changes(labels, pieces, label_of, first["policy"], first["replaced"])
    labels[changes.indices] = changes.values
