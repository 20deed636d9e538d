"""The images of a series in a viewer: which one is open, and its autosave."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from psygnal import Signal
from qtpy.QtCore import QObject, QTimer

from napari_sam.plugin.series.item_layers import ItemLayers
from napari_sam.plugin.series.new_classes import NewClasses
from napari_sam.plugin.series.opened_image import open_image
from napari_sam.plugin.series.read_ahead import ReadAhead
from napari_sam.scale_out.jobs.failures import describe_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.components import ViewerModel

    from napari_sam.plugin.connected_panel import ConnectedPanel
    from napari_sam.plugin.series.opened_image import OpenedImage
    from napari_sam.plugin.series.read_ahead import ReadImage
    from napari_sam.plugin.series.worker import FileWorker
    from napari_sam.series.image_series import ImageSeries
    from napari_sam.series.item import SeriesItem
    from napari_sam.series.storage.state import Status

SAVE_MS = 1000
_WAIT_MS = 50
# A longer pause is no work on the image.
_MAX_PAUSE_S = 60.0
# Changes of larger labels that only napari's undo makes are saved when they are left.
_MAX_WATCHED_SIZE = 2**25


class Annotation(QObject):
    """Opens one image of a series after the other, and saves what is done to it.

    Nothing is read or written on the thread of the window. The image before stays until
    the next one is there.

    Parameters
    ----------
    viewer : ViewerModel
        Gets the layers.
    series : ImageSeries
        The images.
    panel : callable
        Returns the panel of Segment Anything; None while it is not open.
    worker : FileWorker
        Reads and writes.
    parent : QObject
        Owner.

    Attributes
    ----------
    opened : OpenedImage or None
        The image that is shown.
    shown : Signal
        Emitted after the image that is shown was changed, or removed.
    changed : Signal
        Emitted with the name of an image whose files or state changed.
    failed : Signal
        Emitted with the name of an image and why it cannot be opened.
    """

    shown = Signal()
    changed = Signal(str)
    failed = Signal(str, str)

    def __init__(
        self,
        viewer: ViewerModel,
        series: ImageSeries,
        panel: Callable[[], ConnectedPanel | None],
        worker: FileWorker,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.series, self._panel, self.worker = series, panel, worker
        self.layers = ItemLayers(viewer)
        self.ahead = ReadAhead(self.worker)
        self.new_classes = NewClasses(self.layers)
        self.opened: OpenedImage | None = None
        self.wanted = ""
        """Name of the image that is about to be opened, or is open."""
        self._number = 0
        self._last: OpenedImage | None = None  # of the thread
        self._seconds, self._active = 0.0, time.monotonic()
        self._save_timer = _single_shot(self, SAVE_MS, self.save)
        self._session_timer = QTimer(self)
        self._session_timer.setInterval(_WAIT_MS)
        self._session_timer.timeout.connect(self._follow_session)
        self._session_timer.start()
        self._followed: ConnectedPanel | None = None
        self._connections: list[tuple[Any, Callable[..., None]]] = []
        self._step, self._unfinished = 1, False

    # -- opening -----------------------------------------------------------------------

    @property
    def item(self) -> SeriesItem | None:
        """The image that is open, or about to be."""
        return self.series[self.wanted] if self.wanted else None

    def go(self, step: int, *, unfinished: bool = False) -> str:
        """Open the next image (1) or the previous one (-1).

        Returns
        -------
        str
            Why there is none; empty when it is opened.
        """
        self._step, self._unfinished = step, unfinished
        if not self.wanted:
            first = next(iter(self.series), None)
            if first is None:
                return "The series has no images."
            self._open(first.name)
            return ""
        found = self.series.neighbour(self.wanted, step, unfinished=unfinished)
        if found is None:
            which = "unfinished image" if unfinished else "image"
            where = "after" if step > 0 else "before"
            return f"There is no {which} {where} {self.wanted}."
        self._open(found.name)
        return ""

    def go_to_first(self) -> str:
        """Open the first unfinished image; return why there is none."""
        self._step, self._unfinished = 1, True
        for item in self.series:
            if item.is_unfinished:
                self._open(item.name)
                return ""
        return "All images are done."

    def open(self, name: str) -> None:
        """Open an image, once accepted objects of the one before are written."""
        self._step, self._unfinished = 0, False
        self._open(name)

    def _open(self, name: str) -> None:
        self.wanted = name
        self._number += 1
        number, item = self._number, self.series[name]
        self.worker.submit(
            partial(self._open_unless_late, number, item, self.ahead.take(name)),
            partial(self._on_opened, number),
            partial(self._on_failed, number),
        )

    def _open_unless_late(
        self, number: int, item: SeriesItem, read: ReadImage | None
    ) -> OpenedImage | None:
        """Open on the thread; not when another image is wanted meanwhile."""
        if number != self._number:
            return None
        if self.opened is not None and self.opened.item is item:
            return None  # it is open, and locked
        if self._last is not None and self._last is not self.opened:
            self._last.close()  # it came too late to be shown
        self._last = open_image(item, *(read or ()))
        return self._last

    def _on_opened(self, number: int, opened: OpenedImage | None) -> None:
        if opened is None:
            return
        if number != self._number:
            self.worker.submit(opened.close)
            return
        panel = self._panel()
        if panel is not None and panel.session.current.waiting:
            # Accepted objects belong to the image that is left.
            QTimer.singleShot(_WAIT_MS, partial(self._on_opened, number, opened))
            return
        self._leave()
        self._show(opened)

    def _on_failed(self, number: int, error: Exception) -> None:
        """Tell why an image cannot be opened, and pass it on the way to others."""
        name = self.wanted
        if number != self._number:
            return
        self.failed.emit(name, describe_failure(error))
        if not (self._step and not self.go(self._step, unfinished=self._unfinished)):
            self.wanted = name if self.opened is None else self.opened.item.name

    def _show(self, opened: OpenedImage) -> None:
        _, labels = self.layers.show(opened)
        self.opened = opened
        self._seconds, self._active = 0.0, time.monotonic()
        self._connect(labels)
        self._followed = None
        self.new_classes.follow(labels, None)
        self._follow_session()
        self.shown.emit()
        following = self.series.neighbour(opened.item.name, self._step or 1)
        self.ahead.read([] if following is None else [following])

    def _follow_session(self) -> None:
        """Let the session of the viewer, which may be new, work on the open image."""
        panel, image, labels = self._panel(), self.layers.image, self.layers.labels
        # A plugin may see the panel through a new proxy each time.
        if panel == self._followed or image is None or labels is None:
            return
        if self._followed is not None:
            self._followed.session.changed.disconnect(self.note_edit)
        self._followed = panel
        session = None if panel is None else panel.session
        self.new_classes.follow(labels, session)
        if panel is not None and session is not None:
            panel.choose_layers(image, labels)
            session.changed.connect(self.note_edit)

    def _leave(self) -> None:
        """Save the image and free its lock; its layers are for the next one."""
        opened, self.opened = self.opened, None
        self._save_timer.stop()
        self._disconnect()
        if opened is None:
            return
        self._note_activity()
        snapshot = self.layers.snapshot(self._seconds, copy=False)
        self._seconds = 0.0
        name = opened.item.name

        def save_and_close() -> str:
            try:
                if snapshot is not None:
                    opened.save(snapshot)
            finally:
                opened.close()
            return name

        self.worker.submit(save_and_close, self.changed.emit)

    def close(self) -> None:
        """Save and close the image. Python waits for it at exit."""
        self.wanted = ""
        self._number += 1
        self._session_timer.stop()
        self._leave()
        self.layers.remove()
        self.worker.submit(self._close_last)
        self.ahead.close()

    def _close_last(self) -> None:
        if self._last is not None:
            self._last.close()

    # -- saving ------------------------------------------------------------------------

    def note_edit(self, _: Any = None) -> None:
        """Save in a second, unless that is about to be done."""
        if self.opened is not None and not self.opened.read_only:
            self._note_activity()
            if not self._save_timer.isActive():
                self._save_timer.start()

    def save(self) -> None:
        """Save the image as it is now, if it has changed."""
        opened, snapshot = self.opened, self.layers.snapshot(self._seconds)
        self._save_timer.stop()
        if opened is None or snapshot is None or opened.read_only:
            return
        self._seconds = 0.0
        self.worker.submit(partial(opened.save, snapshot), partial(self._tell, opened))

    def set_status(self, status: Status, note: str | None = None) -> None:
        """Save, and set the status and the note of the image.

        Raises
        ------
        ValueError
            When no image is open, or it is read only.
        """
        opened, snapshot = self.opened, self.layers.snapshot(self._seconds)
        if opened is None or snapshot is None:
            raise ValueError("No image is open: choose one in the list.")
        if opened.read_only:
            raise ValueError(opened.read_only)
        self._save_timer.stop()
        self._seconds = 0.0
        self.worker.submit(
            partial(opened.set_status, status, note, snapshot),
            lambda _: self.changed.emit(opened.item.name),
        )

    def with_all_images(
        self, work: Callable[[], Any], on_result: Callable[[Any], object]
    ) -> None:
        """Do work that writes the states of images; the open one is closed meanwhile.

        Parameters
        ----------
        work : callable
            Called on the thread.
        on_result : callable
            Called with what it returns, on the main thread.
        """
        opened, snapshot = self.opened, self.layers.snapshot(self._seconds)
        self._seconds = 0.0

        def run() -> tuple[Any, dict[int, str] | None]:
            if opened is None or opened.read_only or snapshot is None:
                return work(), None
            opened.save(snapshot)
            opened.close()
            try:
                result = work()
            finally:
                opened.lock_again()
            return result, dict(opened.item.classes)

        def show(found: tuple[Any, dict[int, str] | None]) -> None:
            result, classes = found
            if classes is not None and self.opened is opened:
                self.layers.put_classes(classes)
            on_result(result)

        self.worker.submit(run, show)

    def _tell(self, opened: OpenedImage, is_written: bool) -> None:
        if is_written:
            self.changed.emit(opened.item.name)

    def _note_activity(self) -> None:
        now = time.monotonic()
        self._seconds += min(now - self._active, _MAX_PAUSE_S)
        self._active = now

    def _connect(self, labels: Any) -> None:
        events = labels.events
        emitters = [events.paint, events.labels_update, events.data, events.features]
        if labels.data.size <= _MAX_WATCHED_SIZE:
            emitters.append(events.set_data)  # all that napari tells of its undo
        self._connections = [(emitter, self.note_edit) for emitter in emitters]
        for emitter, callback in self._connections:
            emitter.connect(callback)

    def _disconnect(self) -> None:
        for emitter, callback in self._connections:
            emitter.disconnect(callback)
        self._connections = []
        self.new_classes.follow(None, None)
        if self._followed is not None:
            self._followed.session.changed.disconnect(self.note_edit)
            self._followed = None


def _single_shot(parent: QObject, milliseconds: int, call: Any) -> QTimer:
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(call)
    return timer
