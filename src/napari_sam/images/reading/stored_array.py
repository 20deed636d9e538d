"""A view of an array in a store: its axes in another order, read when it is indexed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.files import first_line
from napari_sam.memory import NotEnoughMemoryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class StoredArray:
    """View of an array, without the graph of tasks that dask makes of all chunks.

    Parameters
    ----------
    array : array-like
        With shape, dtype and the indexing of zarr.
    fixed : tuple of int or None
        For each axis of the array its index, or None where the view has it.
    axes : tuple of int
        Axes of the array in the order of the view.
    """

    array: Any
    fixed: tuple[int | None, ...]
    axes: tuple[int, ...]

    @classmethod
    def whole(cls, array: Any) -> StoredArray:
        """View a whole array in its own order."""
        ndim = len(array.shape)
        return cls(array, (None,) * ndim, tuple(range(ndim)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the view."""
        return tuple(int(self.array.shape[axis]) for axis in self.axes)

    @property
    def ndim(self) -> int:
        """Number of axes of the view."""
        return len(self.axes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        dtype: np.dtype[Any] = np.dtype(self.array.dtype)
        return dtype

    def transpose(self, order: Sequence[int]) -> StoredArray:
        """Return a view with the axes in another order."""
        axes = tuple(self.axes[i] for i in order)
        return StoredArray(self.array, self.fixed, axes)

    def at(self, axis: int, index: int) -> StoredArray:
        """Return a view without an axis, at an index of it."""
        fixed = list(self.fixed)
        fixed[self.axes[axis]] = index
        axes = self.axes[:axis] + self.axes[axis + 1 :]
        return StoredArray(self.array, tuple(fixed), axes)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read a part; the key has integers and slices."""
        parts = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in parts:
            i = parts.index(Ellipsis)
            parts[i : i + 1] = [slice(None)] * (self.ndim - len(parts) + 1)
        parts += [slice(None)] * (self.ndim - len(parts))
        index: list[Any] = list(self.fixed)
        for axis, part in zip(self.axes, parts, strict=True):
            index[axis] = part if isinstance(part, slice) else int(part)
        data = self._read(tuple(index))
        kept = [
            axis
            for axis, part in zip(self.axes, parts, strict=True)
            if isinstance(part, slice)
        ]
        return data.transpose([sorted(kept).index(axis) for axis in kept])

    def _read(self, index: tuple[Any, ...]) -> NDArray[Any]:
        try:
            return np.asarray(self.array[index])
        except (IndexError, OSError):
            raise
        except MemoryError as error:
            place = getattr(self.array, "store_path", "of the image")
            raise NotEnoughMemoryError(
                f"A part of the store {place} does not fit into the memory: check its "
                "shape and the size of its chunks, or segment a crop."
            ) from error
        except Exception as error:  # whatever the codecs raise on damaged chunks
            place = getattr(self.array, "store_path", "of the image")
            raise OSError(
                f"The store {place} is damaged ({first_line(error)}): copy it again."
            ) from error

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read the whole view."""
        return np.asarray(self[()], dtype)
