"""A click on a slide of 30,000 pixels a side reads as much as one on a small plane."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.plugin.layers.preview_layer import PreviewLayer
from napari_sam.plugin.session import SamSession
from napari_sam.prediction.predictor import Predictor

LARGE, SMALL = 30_000, 1024
RADIUS, SPACING = 12, 60
MEGABYTE = 2**20
MOST = 120 * MEGABYTE  # a mask or a preview of the whole plane takes 900


class Slide:
    """A level of bright discs on a grid, computed where it is read."""

    dtype = np.dtype(np.uint8)
    ndim = 2

    def __init__(self, side: int, factor: int) -> None:
        self.shape, self.factor, self.read = (side // factor,) * 2, factor, 0
        self.size = self.shape[0] ** 2

    def __getitem__(self, index: Any) -> np.ndarray:
        rows, cols = (
            (np.arange(*part.indices(size)) + 0.5) * self.factor - 0.5
            for part, size in zip(index, self.shape, strict=True)
        )
        assert len(rows) * len(cols) <= 4 * MEGABYTE
        self.read += len(rows) * len(cols)
        return np.where(discs(rows, cols), 180, 60).astype(np.uint8)

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        return self[:, :]  # napari keeps the smallest level


def discs(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    from_centre = ((x % SPACING - SPACING / 2) ** 2 for x in (rows, cols))
    return np.add.outer(*from_centre) < RADIUS**2


def session_on(side: int, model: Predictor) -> tuple[SamSession, list[Slide]]:
    levels = [Slide(side, 2**i) for i in range(7 if side == LARGE else 1)]
    viewer = ViewerModel()
    multiscale = len(levels) > 1
    viewer.add_image(
        levels if multiscale else levels[0][:, :],
        multiscale=multiscale,
        contrast_limits=(0, 255),
    )
    session = SamSession(viewer, model)
    session.new_prompt_layers()
    for level in levels:
        level.read = 0
    return session, levels


@pytest.mark.weights
def test_a_click_reads_and_takes_no_more(default_predictor: Predictor) -> None:
    session, levels = session_on(LARGE, default_predictor)
    place = np.array([250, 250]) * SPACING + SPACING / 2  # in the middle of a disc
    assert session.points_layer is not None
    session.points_layer.add(place)
    tracemalloc.start()
    session.accept_result(*computed(session))
    show(session)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST
    # A plane of 1,024 pixels is read at most once for each of its windows.
    assert sum(level.read for level in levels) <= 1.3 * SMALL**2
    assert session.result is not None
    (piece,) = session.result.pieces
    rows, cols = (np.arange(part.start, part.stop) for part in piece.region)
    truth = discs(rows, cols)
    assert (piece.mask & truth).sum() / (piece.mask | truth).sum() > 0.9
    assert (session.result.predictions[0].window or (0,))[-1] < 600


def computed(session: SamSession) -> Any:
    from napari_sam.prediction.steps import run_to_end

    request = session.build_plane_request()
    return request, run_to_end(request.request.run(session.load(), session.cache))


def show(session: SamSession) -> None:
    pending = session.pending
    assert pending is not None
    index = pending.request.request.plane_index
    preview = PreviewLayer(session.viewer)
    preview.show(pending.image, pending.result.pieces, index, pending.windows)
    assert preview.layer is not None
    assert preview.layer.data.size <= 16 * MEGABYTE
