"""One image of a series, with its files."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_sam.images.reading.read import read_image
from napari_sam.images.writing import check_writable
from napari_sam.records.record import prune_undone, read_record
from napari_sam.series.storage.fingerprints import has_changed
from napari_sam.series.storage.listing import LABELS, LOCK, RECORD, STATE
from napari_sam.series.storage.state import ItemState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam.images.reading.image_file import ImageFile
    from napari_sam.records.image_record import Choice
    from napari_sam.records.record import Record
    from napari_sam.series.storage.state import Status


class OpenImage(NamedTuple):
    """An image that was read: the whole file, and what is used of it."""

    file: ImageFile
    used: ImageFile


class SeriesItem:
    """An image, the paths of its files, and its state.

    Parameters
    ----------
    name : str
        Path of the image below the root of the series, with slashes.
    path : Path
        The image file.
    output : Path
        Folder of the series.
    choice : Choice
        What is used of the file.
    problem : str
        Why it cannot be used; empty when it can, as far as it is known.
    size : int, optional
        Bytes of the file.
    files : collection of str, optional
        Names of all files below `output`; they are looked for when None.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        output: Path,
        choice: Choice,
        problem: str = "",
        size: int | None = None,
        files: set[str] | None = None,
    ) -> None:
        self.name = name
        self.path = path
        self.choice = choice
        self._output = output
        self._problem = problem
        self._size = size
        self._damage = ""
        self._state: ItemState | None = None
        self._files = files

    def __repr__(self) -> str:
        return f"SeriesItem({self.name!r}, {self.status!r})"

    @property
    def labels_path(self) -> Path:
        """The label TIFF; it may not exist yet."""
        return self._output / (self.name + LABELS)

    @property
    def record_path(self) -> Path:
        """The record of how the labels were made; it may not exist."""
        return self._output / (self.name + RECORD)

    @property
    def state_path(self) -> Path:
        """The JSON file of the state; it may not exist."""
        return self._output / (self.name + STATE)

    @property
    def lock_path(self) -> Path:
        """The file that is there while a process writes the others."""
        return self._output / (self.name + LOCK)

    # -- the state ---------------------------------------------------------------------

    @property
    def state(self) -> ItemState:
        """The state, as it was when it was read last; see `refresh`."""
        if self._state is None:
            self._state = self._read_state()
        return self._state

    @property
    def status(self) -> Status:
        """The status: new, started, done, needs review or skipped."""
        return self.state.status

    @property
    def is_unfinished(self) -> bool:
        """Whether the image is neither done nor skipped."""
        return self.status not in ("done", "skipped")

    @property
    def objects(self) -> int | None:
        """Number of labels; None without labels, or when they were not counted."""
        return self.state.objects

    @property
    def has_labels(self) -> bool:
        """Whether the label file exists, as it was when the state was read."""
        return self._exists(LABELS)

    @property
    def problem(self) -> str:
        """Why the image cannot be used, or was not segmented; empty without."""
        state = self.state
        before = state.fingerprint
        changed = before is not None and self._size not in (None, before.size)
        sentence = self._changed_sentence() if changed else ""
        return self._problem or self._damage or sentence or state.problem

    def refresh(self) -> None:
        """Read the state again, which another process may have changed."""
        self._state, self._files = None, None
        self._problem = "" if self.path.exists() else self._missing_sentence()
        self._size = self.path.stat().st_size if self.path.is_file() else None
        if self._size == 0:
            self._problem = "The file is empty: copy it again."

    def has_changed(self) -> bool:
        """Tell whether the image has other pixels than those that were annotated."""
        return has_changed(self.path, self.state.fingerprint)

    def check_unchanged(self) -> None:
        """Check that the image is the one that was annotated.

        Raises
        ------
        ValueError
            When it has changed since.
        """
        if self.has_changed():
            raise ValueError(self._changed_sentence())

    def _changed_sentence(self) -> str:
        return (
            f"{self.path} has changed since it was annotated: restore it, or delete "
            f"{self.labels_path}."
        )

    def _missing_sentence(self) -> str:
        return f"There is no file {self.path}: check the path."

    def _read_state(self) -> ItemState:
        """Read the state; one that runs ahead of the labels is new.

        The labels of an image are written last, so a process that was killed between
        may have left a state without labels.
        """
        self._damage, state = "", ItemState()
        has_labels = self._exists(LABELS)
        if self._exists(STATE):
            try:
                state = ItemState.read(self.state_path, self.name)
            except (ValueError, OSError) as error:
                self._damage = str(error)
        if has_labels and state.status == "new":
            return replace(state, status="started")
        if not has_labels:
            status = state.status
            if status in ("started", "needs review"):
                status = "new"
            return replace(state, status=status, fingerprint=None, objects=None)
        return state

    def _exists(self, ending: str) -> bool:
        if self._files is not None:
            return self.name + ending in self._files
        return (self._output / (self.name + ending)).is_file()

    def check_state(self) -> None:
        """Check that the state can be replaced.

        Raises
        ------
        ValueError
            When its file is damaged, or of another image or version.
        """
        _ = self.state
        if self._damage:
            raise ValueError(self._damage)

    def put_state(self, state: ItemState) -> None:
        """Write the state; the caller holds the lock."""
        self.check_state()
        state.write(self.state_path, self.name)
        self._state, self._files = None, None

    # -- the image and its labels ------------------------------------------------------

    def read(self) -> OpenImage:
        """Read the image.

        Raises
        ------
        ValueError, OSError
            When the file is missing, empty, no image, too large, or does not fit what
            is used of it.
        ModuleNotFoundError
            When a library for its format is not installed; the message has the pip
            line.
        """
        if not self.path.exists():
            raise FileNotFoundError(self._missing_sentence())
        if self.path.is_file() and self.path.stat().st_size == 0:
            raise ValueError("The file is empty: copy it again.")
        file = read_image(self.path, self.choice.series, self.choice.axes)
        used = file.select(**self.choice.index)
        check_writable(used)
        return OpenImage(file, used)

    def read_labels(self) -> NDArray[Any] | None:
        """Read the labels, with the axes of the used image; None without labels.

        Raises
        ------
        ValueError, OSError
            When the file cannot be read.
        """
        if not self.labels_path.is_file():
            return None
        return np.asarray(read_image(self.labels_path, labels=True).data)

    def read_record(self) -> Record | None:
        """Read the record of the labels, without what they do not hold.

        None without a record.

        Raises
        ------
        ValueError, OSError
            When a file cannot be read.
        """
        labels = self.read_labels()
        if labels is None or not self.record_path.is_file():
            return None
        return prune_undone(read_record(self.record_path), labels)

    @property
    def classes(self) -> Mapping[int, str]:
        """{label: name of its class}."""
        return self.state.classes

    def remove_lock(self) -> None:
        """Remove the lock file of a process that has ended on another computer."""
        with suppress(FileNotFoundError):
            self.lock_path.unlink()
