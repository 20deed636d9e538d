"""Helpers to draw prompts in a session and to read its labels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_sam.plugin.session import SamSession

FIRST, SECOND = (7, 12, 23, 28), (22, 32, 34, 44)


def corners(box: Sequence[float], *index: float) -> np.ndarray:
    r0, c0, r1, c1 = box
    return np.array(
        [(*index, r, c) for r, c in ((r0, c0), (r0, c1), (r1, c1), (r1, c0))]
    )


def draw(session: SamSession, box: Sequence[float], *index: float) -> None:
    """Add a rectangle to the boxes layer, by default on slice 4."""
    assert session.shapes_layer is not None
    session.shapes_layer.add_rectangles(corners(box, *(index or (4,))))


def press(button: Any) -> None:
    """Press an enabled button."""
    assert button.enabled
    button.native.click()


def written(session: SamSession) -> np.ndarray:
    """Return the data of the session's labels layer."""
    assert session.labels_layer is not None
    data: np.ndarray = session.labels_layer.data
    return data
