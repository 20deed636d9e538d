"""Records of labels of an image file, and what is used of the file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.checkpoints.registry import MODELS
from napari_sam.records.record import add_entries, new_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_sam.images.reading.image_file import ImageFile
    from napari_sam.records.record import Record, RecordEntry
    from napari_sam.requests.base import SegmentationRequest, SegmentationResult


@dataclass(frozen=True, slots=True)
class Choice:
    """What is used of an image file.

    Parameters
    ----------
    index : mapping
        {axis: index} to select.
    series, axes : str, optional
        See `read_image`.
    """

    index: Mapping[str, int] = field(default_factory=dict)
    series: str | None = None
    axes: str | None = None

    def __bool__(self) -> bool:
        return bool(self.index or self.series or self.axes)

    def to_json(self, path: str, image: ImageFile) -> RecordEntry:
        """Describe a file and its choice for a record.

        Parameters
        ----------
        path : str
            The file.
        image : ImageFile
            What was used of it. Its axes are recorded where the file has them in
            another order.
        """
        file = Path(path).resolve()
        entry = {"name": file.name, "path": str(file), "index": dict(self.index)}
        further = {"series": self.series, "axes": self.axes}
        if image.axes.removesuffix("S") != image.order:
            further["arranged"] = image.axes
        return entry | {name: text for name, text in further.items() if text}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Choice:
        """Read the choice of a record."""
        index = dict(entry.get("index", {}))
        return cls(index, entry.get("series"), entry.get("axes"))


def make_record(
    request: SegmentationRequest,
    result: SegmentationResult,
    labels: NDArray[np.int32],
    source: RecordEntry,
    model: object,
) -> Record:
    """Make the record of labels of an image file.

    Parameters
    ----------
    request, result : SegmentationRequest, SegmentationResult
        The request and its result; object i is label i.
    labels : ndarray
        Label image of the result, of the shape of the selected image.
    source : dict
        The file and what was selected of it; see `Choice.to_json`.
    model : object
        The model as the user chose it: a name or path, or a loaded one.
    """
    from napari_sam.masks.label_grid import LabelGrid
    from napari_sam.records.describe import describe_all

    shared: RecordEntry = {
        "image": source,
        "grid": LabelGrid.same(labels.shape).to_json(),
        "dtype": str(labels.dtype),
        "policy": "keep",
        "replaced": [],
        "region": _region(labels),
    }
    # All objects, also those without a pixel: a replay needs all prompts.
    ids = {object_id: object_id for object_id in request.prompts or result.scores}
    if isinstance(model, str | Path) and str(model) not in MODELS:
        model = str(Path(model).expanduser().resolve())
    entries = describe_all(request, result, ids, model, shared)
    return add_entries(new_record(), entries, {}, labels)


def _region(labels: NDArray[Any]) -> list[list[int]]:
    """Return the bounding box of all labels, [start, stop] along each axis."""
    from scipy.ndimage import find_objects

    boxes = find_objects((labels > 0).view(np.uint8))
    return [[a.start, a.stop] for a in boxes[0]] if boxes else [[0, 0]] * labels.ndim
