"""Record files of the command line: writing, and replaying on an image file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.checkpoints.registry import MODELS
from napari_sam.images.reading.image_file import ImageFile
from napari_sam.images.reading.read import read_image
from napari_sam.records.record import (
    add_entries,
    group_by_commit,
    is_intact,
    new_record,
    read_record,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_sam.records.record import Record, RecordEntry
    from napari_sam.requests.base import SegmentationRequest, SegmentationResult

# Raised by the readers of a record that was edited by hand or truncated.
_DAMAGED = (KeyError, TypeError, AttributeError, IndexError)


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
    model: str,
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
    model : str
        The model as the user named it.
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
    name = model if model in MODELS else str(Path(model).expanduser().resolve())
    entries = describe_all(request, result, ids, name, shared)
    return add_entries(new_record(), entries, {}, labels)


def _region(labels: NDArray[Any]) -> list[list[int]]:
    """Return the bounding box of all labels, [start, stop] along each axis."""
    from scipy.ndimage import find_objects

    boxes = find_objects((labels > 0).view(np.uint8))
    return [[a.start, a.stop] for a in boxes[0]] if boxes else [[0, 0]] * labels.ndim


@dataclass(frozen=True, slots=True, eq=False)
class RecordFile:
    """A record file and its image.

    Parameters
    ----------
    record : dict
        The record, see `read_record`.
    name : str
        Name of the file, for messages.
    entries : tuple of dict
        Entries of all commits, in order.
    path : Path
        The image file that was segmented.
    choice : Choice
        What to use of it.
    """

    record: Record
    name: str
    entries: tuple[RecordEntry, ...]
    path: Path
    choice: Choice

    @classmethod
    def read(cls, path: str, image: str | None, choice: Choice) -> RecordFile:
        """Read a record; a given image and choice replace the recorded ones.

        Raises
        ------
        ValueError
            When the file is not a record, or does not name exactly one image.
        """
        record = read_record(path)
        try:
            entries = tuple(
                entry for group in group_by_commit(record) for entry in group
            )
            if not entries:
                raise ValueError(f"{path} has no objects.")
            _check_supported(path, entries)
            image_path = Path(image) if image else _image_of(path, entries)
            if not choice and image is None:
                choice = Choice.from_json(entries[0]["image"])
        except _DAMAGED as error:
            raise _damaged(path, error) from error
        return cls(record, path, entries, image_path, choice)

    def read_image(self) -> ImageFile:
        """Read the image file."""
        return read_image(self.path, self.choice.series, self.choice.axes)

    def replay(
        self, file: ImageFile, model: str | None
    ) -> tuple[NDArray[Any], ImageFile]:
        """Make the labels again.

        Parameters
        ----------
        file : ImageFile
            The image.
        model : str, optional
            The same weights, if they do not load by their recorded name.

        Returns
        -------
        labels : ndarray
            The labels, with the axes of the image.
        like : ImageFile
            Axes and pixel size for writing them.

        Raises
        ------
        ValueError
            When image or model differ from the record.
        """
        from napari_sam.records.replay import replay

        image = file.select(**self.choice.index)
        try:
            if "arranged" not in self.entries[0]["image"]:
                # The viewer shows a file in its own order.
                file, image = file.in_order(), image.in_order()
            data = self._as_recorded(image)
            labels = replay(self.record, data, model)
            return self._with_axes(labels, file, image)
        except _DAMAGED as error:
            raise _damaged(self.name, error) from error

    def is_as_recorded(self, label: int, labels: NDArray[Any]) -> bool:
        """Whether a label has the same pixels as when it was recorded."""
        last = [entry for entry in self.entries if entry["label"] == label][-1]
        labels = labels.reshape(last["grid"]["shape"])
        return is_intact(last, labels)

    def _as_recorded(self, image: ImageFile) -> NDArray[Any]:
        """Reshape the image as recorded, perhaps with axes of length 1."""
        first = self.entries[0]
        shape = tuple(first["shape"])
        if first["rgb"]:
            shape = (*shape, image.data.shape[-1])
        if image.rgb != first["rgb"] or _squeezed(image.data.shape) != _squeezed(shape):
            raise ValueError(
                f"{self.path} has axes {image.axes}, shape {image.data.shape}; the "
                f"segmented image has shape {shape}: give the same image with --image, "
                "or the same part of it with --index."
            )
        return np.asarray(image.data).reshape(shape)

    def _with_axes(
        self, labels: NDArray[Any], file: ImageFile, image: ImageFile
    ) -> tuple[NDArray[Any], ImageFile]:
        """Give labels the axes of the image, and its pixel size if pixels coincide."""
        matrix = np.array(self.entries[0]["grid"]["matrix"])[:-1, :-1]
        sizes = image.spacing if np.allclose(matrix, np.eye(len(matrix))) else {}
        for like in (file, image):
            if _squeezed(like.shape) == _squeezed(labels.shape):
                return labels.reshape(like.shape), replace(like, spacing=sizes)
        axes = image.axes.removesuffix("S")
        for name in "ZCT":
            if len(axes) < labels.ndim and name not in axes:
                axes = name + axes
        if len(axes) < labels.ndim:
            raise ValueError(
                f"The labels have {labels.ndim} axes, more than TIFF has names for: "
                "replay the record in a script, with napari_sam.replay."
            )
        return labels, ImageFile(labels, axes[-labels.ndim :], sizes, image.units)


def _check_supported(path: str, entries: tuple[RecordEntry, ...]) -> None:
    pyramid = any(entry["levels"] > 1 for entry in entries)
    if pyramid or any(not c["own"] for entry in entries for c in entry["channels"]):
        raise ValueError(
            f"{path} was made on an image pyramid or on channels of several layers: "
            "replay it in a script, with napari_sam.replay."
        )


def _image_of(path: str, entries: tuple[RecordEntry, ...]) -> Path:
    """Return the one file that all objects were segmented in."""
    sources = {entry["image"]["path"] for entry in entries}
    if len(sources) > 1:
        names = ", ".join(sorted(str(source) for source in sources))
        raise ValueError(
            f"The objects of {path} were segmented in several images ({names}): give "
            "one with --image if they are the same."
        )
    source = sources.pop()
    if source is None:
        raise ValueError(f"{path} names no image file: give it with --image.")
    if not Path(source).exists():
        raise ValueError(
            f"The image {source} of {path} does not exist: give it with --image."
        )
    return Path(source)


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Drop axes of length 1 from a shape."""
    return tuple(size for size in shape if size != 1)


def _damaged(path: str, error: Exception) -> ValueError:
    return ValueError(
        f"{path} is incomplete or damaged ({error!r}): save the record again."
    )
