"""Drawing in a session, and reading what it wrote."""

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
    """Add a rectangle to the session's boxes; on slice 4 unless told."""
    assert session.shapes_layer is not None
    session.shapes_layer.add_rectangles(corners(box, *(index or (4,))))


def press(button: Any) -> None:
    """Press it as a user does: a button that is off does nothing."""
    assert button.enabled
    button.native.click()


def written(session: SamSession) -> np.ndarray:
    """The labels that the session wrote."""
    assert session.labels_layer is not None
    data: np.ndarray = session.labels_layer.data
    return data
