"""Records on the command line: made of a request, and found their image again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.checkpoints.registry import MODELS
from napari_sam.images.tiff import TiffImage, read_tiff
from napari_sam.records.record import (
    add_entries,
    checksum,
    group_by_commit,
    new_record,
    read_record,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_sam.records.record import Record, RecordEntry
    from napari_sam.requests.base import SegmentationRequest, SegmentationResult

# What a record that was cut or edited by hand makes the readers raise.
_DAMAGE = (KeyError, TypeError, AttributeError, IndexError)


def make_record(
    request: SegmentationRequest,
    result: SegmentationResult,
    labels: NDArray[np.int32],
    image: str,
    indices: Mapping[str, int],
    model: str,
) -> Record:
    """Write down how labels were made from a TIFF file.

    Parameters
    ----------
    request, result : PlaneRequest or StackRequest, SegmentationResult
        Question and answer; object i is label i.
    labels : ndarray
        Of the shape of the selected image.
    image : str
        The file.
    indices : mapping
        {axis: index} that was selected of it.
    model : str
        As the user named it.
    """
    from napari_sam.masks.label_grid import LabelGrid
    from napari_sam.records.describe import describe_all

    path = Path(image).resolve()
    shared: RecordEntry = {
        "image": {"name": path.name, "path": str(path), "index": dict(indices)},
        "grid": LabelGrid.same(labels.shape).to_json(),
        "dtype": str(labels.dtype),
        "policy": "keep",
        "replaced": [],
        "region": _region(labels),
    }
    # Objects without a pixel too: the model answered all prompts together.
    ids = {number: number for number in request.prompts}
    named = model if model in MODELS else str(Path(model).expanduser().resolve())
    entries = describe_all(request, result, ids, named, shared)
    return add_entries(new_record(), entries, {}, labels)


def _region(labels: NDArray[Any]) -> list[list[int]]:
    """[first, one past the last] along each axis of what is not background."""
    region = []
    for axis in range(labels.ndim):
        others = tuple(other for other in range(labels.ndim) if other != axis)
        used = np.flatnonzero(labels.any(axis=others))
        region.append([int(used[0]), int(used[-1]) + 1] if used.size else [0, 0])
    return region


@dataclass(frozen=True, slots=True, eq=False)
class RecordFile:
    """A record file, and where its image is.

    Parameters
    ----------
    record : dict
        As `read_record` reads it.
    name : str
        Of the file, for sentences.
    entries : tuple of dict
        Of all commits, in order.
    image : Path
        The TIFF file that was segmented.
    indices : dict
        {axis: index} to be selected of it.
    """

    record: Record
    name: str
    entries: tuple[RecordEntry, ...]
    image: Path
    indices: dict[str, int]

    @classmethod
    def read(cls, path: str, image: str | None, indices: dict[str, int]) -> RecordFile:
        """Read a record; image and indices, where given, go before the recorded ones.

        Raises
        ------
        ValueError
            When it is no record, or does not tell its one image.
        """
        record = read_record(path)
        try:
            entries = tuple(
                entry for group in group_by_commit(record) for entry in group
            )
            if not entries:
                raise ValueError(f"{path} holds no objects.")
            _check_for_script(path, entries)
            found = Path(image) if image else _image_of(path, entries)
            if not indices and image is None:
                indices = dict(entries[0]["image"].get("index", {}))
        except _DAMAGE as error:
            raise _damaged(path, error) from error
        return cls(record, path, entries, found, indices)

    def replay(self, model: str | None) -> tuple[NDArray[Any], TiffImage]:
        """Make the labels again; also how they are to be stored.

        Raises
        ------
        ValueError
            When image or model are not those of the record.
        """
        from napari_sam.records.replay import replay

        whole = read_tiff(self.image)
        image = whole.select(**self.indices)
        try:
            data = self._as_recorded(image)
            labels = replay(self.record, data, model)
            return self._storage(labels, whole, image)
        except _DAMAGE as error:
            raise _damaged(self.name, error) from error

    def is_as_recorded(self, label: int, labels: NDArray[Any]) -> bool:
        """Whether a label lies where it lay when it was recorded."""
        last = [entry for entry in self.entries if entry["label"] == label][-1]
        labels = labels.reshape(last["grid"]["shape"])
        return bool(checksum(labels, label, last["region"]) == last["checksum"])

    def _as_recorded(self, image: TiffImage) -> NDArray[Any]:
        """The pixels in their recorded shape, which may have axes of length 1."""
        first = self.entries[0]
        shape = tuple(first["shape"])
        if first["rgb"]:
            shape = (*shape, image.data.shape[-1])
        if image.rgb != first["rgb"] or _long(image.data.shape) != _long(shape):
            raise ValueError(
                f"{self.image} has axes {image.axes}, shape {image.data.shape}; the "
                f"image that was segmented has shape {shape}: give the same one by "
                "--image, or its part by --index."
            )
        return image.data.reshape(shape)

    def _storage(
        self, labels: NDArray[Any], whole: TiffImage, image: TiffImage
    ) -> tuple[NDArray[Any], TiffImage]:
        """Labels with the axes of the image, and its pixel size where pixels agree."""
        matrix = np.array(self.entries[0]["grid"]["matrix"])[:-1, :-1]
        size = image.scale if np.allclose(matrix, np.eye(len(matrix))) else None
        for like in (whole, image):
            axes = like.axes.removesuffix("S")
            shape = like.data.shape[: len(axes)]
            if _long(shape) == _long(labels.shape):
                return labels.reshape(shape), replace(like, scale=size)
        axes = image.axes.removesuffix("S")
        for name in "ZCT":
            if len(axes) < labels.ndim and name not in axes:
                axes = name + axes
        if len(axes) < labels.ndim:
            raise ValueError(
                f"The labels have {labels.ndim} axes, which TIFF cannot name: replay "
                "the record in a script."
            )
        return labels, TiffImage(labels, axes[-labels.ndim :], size, image.unit)


def _check_for_script(path: str, entries: tuple[RecordEntry, ...]) -> None:
    pyramid = any(entry["levels"] > 1 for entry in entries)
    if pyramid or any(not c["own"] for entry in entries for c in entry["channels"]):
        raise ValueError(
            f"{path} was made on an image pyramid or on channels of several layers: "
            "replay it in a script, with napari_sam.replay."
        )


def _image_of(path: str, entries: tuple[RecordEntry, ...]) -> Path:
    """The one file that the objects were found in."""
    sources = {entry["image"]["path"] for entry in entries}
    if len(sources) > 1:
        names = ", ".join(sorted(str(source) for source in sources))
        raise ValueError(
            f"The objects of {path} were found in several images ({names}): give one "
            "by --image when they are the same."
        )
    source = sources.pop()
    if source is None:
        raise ValueError(f"{path} names no image file: give it by --image.")
    if not Path(source).is_file():
        raise ValueError(
            f"The image {source} of {path} does not exist: give it by --image."
        )
    return Path(source)


def _long(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def _damaged(path: str, error: Exception) -> ValueError:
    return ValueError(f"{path} is no whole record ({error!r}): save it again.")
