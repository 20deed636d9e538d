"""Random label planes: holes, islands, diagonal touches, borders, large ids."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

_IDS = (0, 1, 2, 3, 70_000, 2**31 - 1)


def label_planes(ids: tuple[int, ...] = _IDS) -> st.SearchStrategy[np.ndarray]:
    """Planes of up to 12 x 12 pixels, of noise or of blocks that hold holes."""
    shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))
    noise = shapes.flatmap(
        lambda shape: arrays(np.int64, shape, elements=st.sampled_from(ids))
    )
    return st.one_of(noise, noise.map(lambda plane: plane.repeat(2, 0).repeat(3, 1)))


def annulus() -> np.ndarray:
    """An object of id 5 with a hole, in it an island, and a part that touches it."""
    plane = np.zeros((12, 14), np.int32)
    plane[1:8, 1:8] = 5
    plane[2:7, 2:7] = 0
    plane[4, 4] = 5
    plane[8, 8] = 5
    plane[6, 6] = 9
    return plane
