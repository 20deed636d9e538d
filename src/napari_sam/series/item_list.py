"""The images of a series as a list: by name, by status and by text."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from napari_sam.series.storage.state import STATUSES, check_status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam.series.item import SeriesItem
    from napari_sam.series.storage.state import Status


class ItemList:
    """The images of a series, in order.

    Parameters
    ----------
    items : dict
        {name: image}.
    """

    def __init__(self, items: dict[str, SeriesItem]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[SeriesItem]:
        return iter(self._items.values())

    def __getitem__(self, name: str) -> SeriesItem:
        """Return an image by its name.

        Raises
        ------
        KeyError
            When there is none of this name.
        """
        if name not in self._items:
            raise KeyError(f"The series has no image {name!r}: give one of its names.")
        return self._items[name]

    # -- looking through ---------------------------------------------------------------

    @property
    def counts(self) -> dict[Status, int]:
        """{status: number of images}, of all statuses."""
        found = Counter(item.status for item in self)
        return {status: found[status] for status in STATUSES}

    @property
    def problems(self) -> dict[str, str]:
        """{name: why the image cannot be used, or was not segmented}."""
        return {item.name: item.problem for item in self if item.problem}

    @property
    def seconds_per_image(self) -> float | None:
        """Mean time spent on an image; None before any time was noted."""
        times = [item.state.seconds for item in self if item.state.seconds]
        return sum(times) / len(times) if times else None

    def find(self, text: str = "", status: Status | None = None) -> list[SeriesItem]:
        """Find images by text in their name or note, and by status.

        Parameters
        ----------
        text : str
            Upper and lower case are the same.
        status : str, optional
            One of the statuses; all when None.

        Raises
        ------
        ValueError
            When the status is unknown.
        """
        if status is not None:
            check_status(status)
        wanted = text.casefold()
        return [
            item
            for item in self
            if (status is None or item.status == status)
            and (wanted in item.name.casefold() or wanted in item.state.note.casefold())
        ]

    def neighbour(
        self, name: str, step: int = 1, *, unfinished: bool = False
    ) -> SeriesItem | None:
        """Return the image before or after another; None at the end.

        Parameters
        ----------
        name : str
            The image to start from.
        step : int
            1 for the next one, -1 for the previous one.
        unfinished : bool
            Whether to pass images that are done or skipped.

        Raises
        ------
        KeyError
            When there is no image of this name.
        """
        names = list(self._items)
        position = names.index(self[name].name) + step
        while 0 <= position < len(names):
            item = self._items[names[position]]
            if not unfinished or item.is_unfinished:
                return item
            position += step
        return None
