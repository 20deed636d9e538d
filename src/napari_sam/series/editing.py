"""Writing of the files of one image, under its lock."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_sam.images.writing import write_labels
from napari_sam.records.record import write_record
from napari_sam.series.storage.fingerprints import fingerprint_of
from napari_sam.series.storage.lock import ImageLock, LockedError
from napari_sam.series.storage.state import check_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_sam.images.reading.image_file import ImageFile
    from napari_sam.records.record import Record
    from napari_sam.series.item import SeriesItem
    from napari_sam.series.storage.state import ItemState, Status


class ItemEditor:
    """An image that is open for writing, or for reading where another has it open.

    Close it, or use it in a ``with`` statement: it holds the lock of the image.

    Parameters
    ----------
    item : SeriesItem
        The image.

    """

    def __init__(self, item: SeriesItem) -> None:
        self.item = item
        self.read_only = ""
        """Sentence that says why nothing can be written; empty when it can."""
        self._lock: ImageLock | None = None
        try:
            item.lock_path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = ImageLock(item.lock_path)
        except LockedError as error:
            self.read_only = str(error)
        except OSError as error:
            self.read_only = (
                f"The image can be read only, as {item.lock_path} cannot be written "
                f"({error.strerror or error}): check the folder."
            )
        item.refresh()

    def save(
        self,
        labels: NDArray[Any],
        like: ImageFile,
        *,
        record: Record | None = None,
        status: Status = "started",
        **values: Any,
    ) -> None:
        """Write labels, with their record and the state.

        The labels are written last: where a process is killed between, record and
        state know more than the labels, which readers leave out. Each file appears
        under its name only when it is complete.

        Parameters
        ----------
        labels : ndarray
            Integers, of the used image's shape.
        like : ImageFile
            The used image, see `SeriesItem.read`.
        record : dict, optional
            How the labels were made; an earlier record stays when None.
        status : str
            Status from now on.
        **values
            Further fields of the state: note, problem, seconds, classes.

        Raises
        ------
        LockedError
            When the image is read only.
        ValueError
            When the labels do not fit the image, or the image has changed since it
            was annotated.
        OSError
            When a file cannot be written.
        """
        self._check()
        self.item.check_unchanged()
        if labels.shape != like.shape:
            raise ValueError(
                f"The labels have shape {labels.shape}, the image {like.shape}: give "
                "labels of the image's shape."
            )
        present = np.unique(labels)
        classes = values.pop("classes", self.item.classes)
        state = self.item.state.changed(
            status=check_status(status),
            objects=int(np.count_nonzero(present)),
            fingerprint=fingerprint_of(self.item.path, self.item.state.fingerprint),
            classes=_present(classes, present),
            **{"problem": "", **values},
        )
        if record is not None:
            write_record(self.item.record_path, record)
        self.item.put_state(state)
        write_labels(self.item.labels_path, labels, like)
        self.item.refresh()

    def set_status(self, status: Status, note: str | None = None) -> None:
        """Set the status, and the note if there is one.

        Raises
        ------
        LockedError
            When the image is read only.
        ValueError
            When the status is unknown.
        OSError
            When the file cannot be written.
        """
        values = {} if note is None else {"note": note}
        self.update(status=check_status(status), **values)

    def set_classes(self, classes: Mapping[int, str]) -> None:
        """Set the classes, {label: name}, in place of all before.

        Raises
        ------
        LockedError, OSError
            See `set_status`.
        """
        self.update(classes=dict(classes))

    def update(self, **values: Any) -> None:
        """Set fields of the state; labels and record stay as they are."""
        self._check()
        state: ItemState = self.item.state
        self.item.put_state(replace(state.changed(), **values))

    def _check(self) -> None:
        if self._lock is None:
            raise LockedError(self.read_only or "The image is closed: open it again.")

    def close(self) -> None:
        """Free the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _present(
    classes: Mapping[int, str], present: NDArray[np.generic]
) -> dict[int, str]:
    """Return the classes of labels that are there."""
    labels = set(present.tolist())
    return {int(label): name for label, name in classes.items() if label in labels}
