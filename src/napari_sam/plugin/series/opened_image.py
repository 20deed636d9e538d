"""One image of a series that is open: read, and written, on a worker thread."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.records.record import prune_undone, upgrade
from napari_sam.series.editing import ItemEditor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_sam.records.record import Record
    from napari_sam.series.item import OpenImage, SeriesItem
    from napari_sam.series.storage.state import Status

# Larger images are read slice by slice, as they are displayed.
_MAX_READ_BYTES = 2**30


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What a save writes.

    Parameters
    ----------
    labels : ndarray
        Integers, of the image's shape.
    record : dict or None
        The record in the metadata of the layer.
    classes : mapping
        {label: name of its class}.
    seconds : float
        Time that was spent since the last save.
    """

    labels: NDArray[Any]
    record: Record | None
    classes: Mapping[int, str]
    seconds: float = 0.0


@dataclass(slots=True, eq=False)
class OpenedImage:
    """An image of a series with its labels, and the lock while it may be written.

    Parameters
    ----------
    editor : ItemEditor
        Writes the files of the image.
    image : OpenImage
        What was read.
    data : array-like
        Pixels to show.
    labels : ndarray
        As they were read; zeros when there were none.
    record : dict or None
        How they were made.
    """

    editor: ItemEditor
    image: OpenImage
    data: Any
    labels: NDArray[Any]
    record: Record | None
    limits: tuple[float, float] | None
    _written: bytes = b""
    _classes: dict[int, str] = field(default_factory=dict)

    @property
    def item(self) -> SeriesItem:
        """The image in the series."""
        return self.editor.item

    @property
    def read_only(self) -> str:
        """Sentence that says why nothing can be written; empty when it can."""
        return self.editor.read_only

    def save(self, snapshot: Snapshot, *, also_empty: bool = False) -> bool:
        """Write what has changed since the last save; tell whether anything has.

        Parameters
        ----------
        snapshot : Snapshot
            The image as it is now.
        also_empty : bool
            Whether to write labels of an image that has none yet, without objects.

        Raises
        ------
        ValueError, OSError
            When it cannot be written.
        """
        if self.read_only:
            return False
        labels, classes = snapshot.labels, dict(snapshot.classes)
        digest = _digest(labels)
        values = {"seconds": self.item.state.seconds + snapshot.seconds}
        if digest == self._written and (self.item.has_labels or not also_empty):
            if classes == self._classes:
                return False
            self.editor.update(classes=classes, **values)
        else:
            record = snapshot.record
            if record is not None:
                record = prune_undone(upgrade(record), labels)
            status: Status = self.item.status
            self.editor.save(
                labels,
                self.image.used,
                record=record,
                status="started" if status == "new" else status,
                classes=classes,
                **values,
            )
        self._written, self._classes = digest, classes
        return True

    def set_status(self, status: Status, note: str | None, snapshot: Snapshot) -> None:
        """Save, and set the status and the note, with the same errors.

        An image to review is one with labels, if only without objects.
        """
        self.save(snapshot, also_empty=status == "needs review")
        self.editor.set_status(status, note)

    def close(self) -> None:
        """Free the lock."""
        self.editor.close()

    def lock_again(self) -> None:
        """Lock the image again, after other work on the states of images."""
        self.editor = ItemEditor(self.item)
        self._classes = dict(self.item.classes)


def read_pixels(image: OpenImage) -> Any:
    """Return the pixels of an image to show: in memory, unless it is very large."""
    data = image.used.data
    size = int(np.prod(data.shape)) * np.dtype(data.dtype).itemsize
    return np.asarray(data) if size <= _MAX_READ_BYTES else data


def display_limits(data: Any, rgb: bool) -> tuple[float, float] | None:
    """Return the contrast limits to show an image with; None for colour.

    Those of the whole image, as napari takes them of images in memory.
    """
    if rgb or not isinstance(data, np.ndarray) or not data.size:
        return None
    if data.dtype == np.uint8:
        return 0.0, 255.0
    values = data[np.isfinite(data)] if data.dtype.kind == "f" else data
    if not values.size:
        return None
    low, high = float(values.min()), float(values.max())
    return (low, high) if low < high else (low, low + 1)


def open_image(
    item: SeriesItem, read: OpenImage | None = None, data: Any = None
) -> OpenedImage:
    """Open an image for writing, or for reading where another process has it open.

    Parameters
    ----------
    item : SeriesItem
        The image.
    read, data : OpenImage, array-like, optional
        What was read ahead.

    Raises
    ------
    ValueError, OSError
        When the image or its labels cannot be read, or do not fit.
    """
    editor = ItemEditor(item)
    try:
        item.check_state()
        image = item.read() if read is None else read
        if data is None:
            data = read_pixels(image)
        labels = item.read_labels()
        if labels is None:
            labels = np.zeros(image.used.shape, np.int32)
        else:
            item.check_unchanged()
        if labels.shape != image.used.shape:
            raise ValueError(
                f"{item.labels_path} has shape {labels.shape}, the image "
                f"{image.used.shape}: restore one of them."
            )
        opened = OpenedImage(
            editor,
            image,
            data,
            _wide(labels),
            item.read_record(),
            display_limits(data, image.used.rgb),
        )
        opened._written = _digest(opened.labels)
        opened._classes = dict(item.classes)
    except BaseException:
        editor.close()
        raise
    return opened


def _wide(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels in a type that holds further ones."""
    if labels.dtype in (np.int32, np.int64):
        return labels
    is_large = labels.size and int(labels.max()) > np.iinfo(np.int32).max
    return labels.astype(np.int64 if is_large else np.int32)


def _digest(labels: NDArray[Any]) -> bytes:
    """Return a hash of labels, of any integer type."""
    found = hashlib.blake2b(digest_size=16)
    for plane in labels.reshape(-1, *labels.shape[-2:]):
        found.update(np.ascontiguousarray(plane, np.int64).data)
    return found.digest()
