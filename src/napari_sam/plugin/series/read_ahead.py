"""Images of a series that are read before they are opened."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from napari_sam.plugin.series.opened_image import display_limits, read_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from napari_sam.plugin.series.worker import FileWorker
    from napari_sam.series.item import OpenImage, SeriesItem


class ReadImage(NamedTuple):
    """An image that was read, and its pixels to show."""

    image: OpenImage
    data: Any


class ReadAhead:
    """Reads images that are likely opened next.

    Parameters
    ----------
    worker : FileWorker
        Reads after all else that waits.

    Attributes
    ----------
    on_read : callable or None
        Takes what was read and its contrast limits.
    """

    def __init__(self, worker: FileWorker) -> None:
        self._worker = worker
        self._read: dict[str, ReadImage] = {}
        self._wanted: set[str] = set()
        self.on_read: Callable[[ReadImage, Any], None] | None = None

    def take(self, name: str) -> ReadImage | None:
        """Return an image that was read ahead, if it was."""
        return self._read.get(name)

    def read(self, items: Iterable[SeriesItem]) -> None:
        """Read these images, and forget others."""
        wanted = {item.name: item for item in items}
        self._wanted = set(wanted)
        self._read = {n: read for n, read in self._read.items() if n in wanted}
        for name, item in wanted.items():
            if name not in self._read and not item.problem:
                self._worker.submit(
                    partial(self._work, item), partial(self._keep, name), _ignore
                )

    def close(self) -> None:
        """Forget all images."""
        self._read, self._wanted, self.on_read = {}, set(), None

    def _work(self, item: SeriesItem) -> tuple[ReadImage, Any] | None:
        if item.name not in self._wanted:
            return None
        image = item.read()
        data = read_pixels(image)
        return ReadImage(image, data), display_limits(data, image.used.rgb)

    def _keep(self, name: str, found: tuple[ReadImage, Any] | None) -> None:
        if found is None or name not in self._wanted:
            return
        self._read[name] = found[0]
        if self.on_read is not None:
            self.on_read(*found)


def _ignore(_: Exception) -> None:
    """Ignore an error: it is told when the image is opened."""
