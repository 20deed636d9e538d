"""Zoom of a predictor that is called directly, with the real default weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import napari_sam as ns
from napari_sam.prediction.zoom.plane import ZoomableEmbedding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.prediction.predictor import Predictor

SHAPE = 900, 1100
CENTRES = [(300, 400), (320, 430), (640, 910)]
RADIUS = 9


@pytest.fixture(scope="module")
def plane() -> NDArray[np.uint8]:
    """Three cells of 18 pixels among many others."""
    rng = np.random.default_rng(11)
    image = 90 + 12 * gaussian_filter(rng.normal(size=SHAPE), 3) * 8
    rows, cols = np.indices(SHAPE)
    others = [(r, c) for r in range(40, 860, 60) for c in range(40, 1060, 60)]
    far = [o for o in others if min(np.hypot(*np.subtract(o, c)) for c in CENTRES) > 40]
    for row, col in (*CENTRES, *far):
        image[np.hypot(rows - row, cols - col) < RADIUS] += 70
    noisy = gaussian_filter(image, 0.8) + rng.normal(0, 4, SHAPE)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def iou(mask: NDArray[np.bool_], centre: tuple[int, int]) -> float:
    rows, cols = np.indices(SHAPE)
    truth = np.hypot(rows - centre[0], cols - centre[1]) < RADIUS
    return float((mask & truth).sum() / (mask | truth).sum())


PROMPTS = [
    ns.Prompt(points=[(302, 398)]),
    ns.Prompt(box=(312, 422, 328, 438)),
    ns.Prompt(points=[(640, 910), (660, 910)], labels=[1, 0]),
]


@pytest.mark.weights
def test_small_objects_of_a_large_plane_are_found(
    default_predictor: Predictor, plane: Any
) -> None:
    embedding = default_predictor.embed(plane)
    found = default_predictor.predict_batch(embedding, PROMPTS)
    without = default_predictor.embed(plane, zoom="off")
    assert not isinstance(without, ZoomableEmbedding)
    lost = default_predictor.predict_batch(without, PROMPTS)
    for one, other, centre in zip(found, lost, CENTRES, strict=True):
        assert one.mask.shape == SHAPE
        assert iou(one.mask, centre) > 0.85
        assert one.window is not None
        assert iou(other.mask, centre) < iou(one.mask, centre)
        assert other.window is None
    assert iou(lost[0].mask, CENTRES[0]) < 0.3


@pytest.mark.weights
def test_a_window_can_be_given(default_predictor: Predictor, plane: Any) -> None:
    prompt = PROMPTS[1]
    found = default_predictor.predict(default_predictor.embed(plane), prompt)
    assert found.window is not None
    embedding = default_predictor.embed(plane, window=found.window)
    assert embedding.window == found.window
    same = default_predictor.predict(embedding, prompt)
    np.testing.assert_array_equal(same.logits, found.logits)
    np.testing.assert_array_equal(same.mask, found.mask)
    outside = ns.Prompt(points=[(5, 5)])
    with pytest.raises(ValueError, match="lies outside the window"):
        default_predictor.predict(embedding, outside)


@pytest.mark.weights
def test_logits_return_to_their_window(
    default_predictor: Predictor, plane: Any
) -> None:
    embedding = default_predictor.embed(plane)
    first = default_predictor.predict(embedding, PROMPTS[1])
    refined = ns.Prompt(points=[(320, 430)], mask=first.logits)
    second = default_predictor.predict(embedding, refined)
    assert second.window == first.window
    assert iou(second.mask, CENTRES[1]) > 0.8


@pytest.mark.weights
def test_segment_gives_the_same_as_the_predictor(
    default_predictor: Predictor, plane: Any
) -> None:
    boxes = [prompt.box for prompt in PROMPTS if prompt.box is not None]
    labels = ns.segment(plane, boxes=boxes, model=default_predictor)
    found = default_predictor.predict(default_predictor.embed(plane), PROMPTS[1])
    np.testing.assert_array_equal(labels > 0, found.mask)


@pytest.mark.weights
def test_the_plane_may_change_after_it_was_embedded(
    default_predictor: Predictor, plane: Any
) -> None:
    mine = plane.copy()
    embedding = default_predictor.embed(mine)
    mine[:] = 0
    found = default_predictor.predict(embedding, PROMPTS[1])
    assert iou(found.mask, CENTRES[1]) > 0.85


@pytest.mark.weights
def test_an_object_too_small_for_the_model_is_told(
    default_predictor: Predictor, plane: Any
) -> None:
    box = PROMPTS[1].box
    with pytest.warns(ns.SmallObjectWarning, match="Object 1 is only [34]"):
        ns.segment(plane, boxes=box, model=default_predictor, zoom="off")
    ns.segment(plane, boxes=box, model=default_predictor, zoom=4)


@pytest.mark.weights
@pytest.mark.parametrize("kind", ["levels", "lazy"])
def test_only_the_windows_of_a_large_plane_are_read(
    default_predictor: Predictor, plane: Any, kind: str
) -> None:
    import dask.array as da

    read = []

    def block(block_id: Any = None) -> NDArray[np.uint8]:
        read.append(block_id)
        return plane[:900, :900]

    chunks = ((900,) * 10, (900,) * 10)
    large = da.map_blocks(block, chunks=chunks, dtype=np.uint8)
    given = [large, da.zeros((4500, 4500), np.uint8)] if kind == "levels" else large
    at = np.tile((3 * 900, 5 * 900), 2)
    labels = ns.segment(
        given,
        boxes=PROMPTS[1].box + at,
        model=default_predictor,
        contrast_limits=(0, 255),
    )
    # The first corner tells whether it is an image.
    assert {block for block in read if isinstance(block, tuple)} <= {(0, 0), (3, 5)}
    rows, cols = np.nonzero(labels[2700:3600, 4500:5400])
    assert abs(rows.mean() - 320) < 2
    assert abs(cols.mean() - 430) < 2


@pytest.mark.weights
def test_a_doubtful_click_without_zoom_is_told(
    default_predictor: Predictor, plane: Any
) -> None:
    (click,) = PROMPTS[0].points
    with pytest.warns(ns.SmallObjectWarning, match="under 34 pixels"):
        ns.segment(plane, points=[click], model=default_predictor, zoom="off")
    ns.segment(plane, points=[click], model=default_predictor)
