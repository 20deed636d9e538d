"""Record files of the command line: replaying on an image file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.reading.image_file import ImageFile
from napari_sam.images.reading.read import read_image
from napari_sam.records.image_record import Choice
from napari_sam.records.record import group_by_commit, is_intact, read_record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.records.record import Record, RecordEntry

# Raised by the readers of a record that was edited by hand or truncated.
_DAMAGED = (KeyError, TypeError, AttributeError, IndexError)


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
