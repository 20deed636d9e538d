"""Arrays that record which planes are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

FULL = slice(None)


class Recorder:
    """Array of which only single planes can be read; it records them."""

    def __init__(self, data: np.ndarray, rgb: bool = False) -> None:
        self.data, self.shape, self.dtype = data, data.shape, data.dtype
        self.axes = data.ndim - rgb
        self.planes: list[tuple[Any, ...]] = []
        self.elements = 0

    def __getitem__(self, index: Any) -> np.ndarray:
        assert isinstance(index, tuple)
        assert len(index) == self.axes
        assert [e for e in index if isinstance(e, slice)] == [FULL, FULL]
        self.planes.append(tuple(None if isinstance(e, slice) else e for e in index))
        plane: np.ndarray = self.data[index]
        self.elements += plane.size
        return plane

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise AssertionError("the full array was read")
