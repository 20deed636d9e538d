"""The images of a TIFF file: series of pages, regrouped so that no page is dropped.

tifffile makes a series of pages that are equal in all respects, such as compression.
Here pages of the same shape and dtype belong together, where the file does not say what
belongs together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.reading.tiff_sizes import shaped_metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

# Series that tifffile formed from the pages alone.
_BY_PAGES = ("generic", "uniform")


@dataclass(frozen=True, slots=True, eq=False)
class TiffImage:
    """One image of a TIFF file, not yet read.

    Parameters
    ----------
    name : str
        Name in the file; may be empty.
    axes : str
        As of tifffile's series, in the order of the file.
    shape : tuple of int
        Shape as stored.
    dtype : dtype
        Type of the pixels.
    parts : tuple
        Series or pages of equal shape, stacked along the first axis if there are
        several.
    number : int
        Number of the first series in the file.
    reduced : bool
        Whether the file says that it is a smaller version of another image.
    """

    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: Any
    parts: tuple[Any, ...]
    number: int
    reduced: bool = False

    @property
    def nbytes(self) -> int:
        """Bytes of the pixels in memory."""
        return int(math.prod(self.shape) * np.dtype(self.dtype).itemsize)

    @property
    def page(self) -> Any:
        """The first page, which describes the colours of all."""
        return self.parts[0].keyframe

    @property
    def is_shaped(self) -> bool:
        """Whether tifffile wrote the array without the names of its axes."""
        metadata = shaped_metadata(self.page)
        return bool(metadata) and "axes" not in metadata

    @property
    def is_named(self) -> bool:
        """Whether the file names the axes."""
        return _is_series(self.parts[0]) and not (
            self.is_shaped or self.parts[0].kind in _BY_PAGES
        )

    @property
    def compression(self) -> str:
        """How the first page is compressed."""
        kind = self.page.compression
        return str(getattr(kind, "name", kind))

    def read(self) -> NDArray[Any]:
        """Read the pixels, of shape `shape`."""
        if len(self.parts) == 1:
            data: NDArray[Any] = np.asarray(self.parts[0].asarray())
            return data.reshape(self.shape)
        data = np.empty(self.shape, self.dtype)
        for i, part in enumerate(self.parts):
            data[i] = part.asarray()
        return data


def images_of(file: Any) -> list[TiffImage]:
    """List the images of an open TIFF file, in its order."""
    series = file.series
    if all(one.kind in _BY_PAGES for one in series):
        return _from_pages(file)
    groups: dict[Any, list[int]] = {}
    for number, one in enumerate(series):
        # Arrays that tifffile wrote one after the other, each as a series.
        alone = one.kind != "shaped" or one.keyframe.is_reduced
        key = number if alone else (one.shape, one.dtype, one.axes)
        groups.setdefault(key, []).append(number)
    return [_stacked([series[i] for i in group], group[0]) for group in groups.values()]


def unused_pages(file: Any, images: Sequence[TiffImage]) -> int:
    """Count the pages that belong to no image of the file."""
    used: set[Any] = set()
    for image in images:
        for part in image.parts:
            for level in part.levels if _is_series(part) else ():
                used.update(page.index for page in level.pages if page is not None)
            if not _is_series(part):
                used.add(part.index)
    return len(file.pages) - len(used & set(range(len(file.pages))))


def missing_pages(image: TiffImage) -> int:
    """Count the pages of an image that the file lacks; they are read as 0."""
    series = [part for part in image.parts if _is_series(part)]
    return sum(page is None for one in series for page in one.pages)


def _is_series(part: Any) -> bool:
    """Tell a series from a page."""
    return hasattr(part, "levels")


def _from_pages(file: Any) -> list[TiffImage]:
    """Group pages by shape and dtype; reduced ones are images of their own."""
    file.pages.useframes = False
    groups: dict[Any, list[Any]] = {}
    for page in file.pages:
        page = page.aspage()
        if page.size:
            key = (page.shape, page.dtype, page.axes, bool(page.is_reduced))
            groups.setdefault(key, []).append(page)
    return [_stacked(group, number) for number, group in enumerate(groups.values())]


def _stacked(parts: list[Any], number: int) -> TiffImage:
    first = parts[0]
    several = len(parts) > 1
    is_series = _is_series(first)
    return TiffImage(
        str(first.name or "") if is_series and not several else "",
        ("I" if several else "") + first.axes,
        ((len(parts),) if several else ()) + tuple(first.shape),
        first.dtype,
        tuple(parts),
        number,
        bool(first.keyframe.is_reduced),
    )
