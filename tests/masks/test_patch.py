"""Mask patches, boxes, IoU, stability and overlaps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_sam.masks.painting import labels_from_patches
from napari_sam.masks.patch import (
    MaskPatch,
    box_iou,
    mask_iou,
    mask_to_box,
    on_common_canvas,
    patch_iou,
    resolve_overlaps,
    stability,
)

SIDE = 12

masks = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=SIDE))
logits = hnp.arrays(
    np.float32, (6, 7), elements=st.floats(-10, 10, width=32, allow_subnormal=False)
)


@st.composite
def pixel_boxes(draw: st.DrawFn) -> np.ndarray:
    corners = draw(
        hnp.arrays(np.int64, (2, 2), elements=st.integers(0, SIDE - 1)).map(
            lambda c: np.sort(c, axis=0)
        )
    )
    return corners.ravel().astype(float)


def rasterised(box: np.ndarray) -> np.ndarray:
    """Fill the pixels whose centres lie in the box or on its border."""
    mask = np.zeros((SIDE, SIDE), bool)
    r0, c0, r1, c1 = box.astype(int)
    mask[r0 : r1 + 1, c0 : c1 + 1] = True
    return mask


@given(box=pixel_boxes())
def test_mask_to_box_of_a_box(box: np.ndarray) -> None:
    np.testing.assert_array_equal(mask_to_box(rasterised(box)), box)


@given(mask=masks)
def test_mask_to_box_is_tight(mask: np.ndarray) -> None:
    box = mask_to_box(mask)
    if box is None:
        assert not mask.any()
        return
    pixels = np.argwhere(mask)
    np.testing.assert_array_equal(box, [*pixels.min(0), *pixels.max(0)])
    assert box.dtype == float


@given(first=pixel_boxes(), second=pixel_boxes())
def test_box_iou_equals_iou_of_the_pixels(
    first: np.ndarray, second: np.ndarray
) -> None:
    expected = mask_iou(rasterised(first), rasterised(second))
    assert box_iou(first, second) == pytest.approx(expected)
    assert box_iou(second, first) == pytest.approx(expected)


@given(boxes=st.lists(pixel_boxes(), min_size=1, max_size=4), one=pixel_boxes())
def test_box_iou_broadcasts(boxes: list[np.ndarray], one: np.ndarray) -> None:
    expected = [box_iou(box, one) for box in boxes]
    np.testing.assert_allclose(box_iou(np.stack(boxes), one), expected)
    table = box_iou(np.stack(boxes)[:, None], np.stack(boxes)[None])
    np.testing.assert_allclose(np.diag(table), 1)
    np.testing.assert_allclose(table, table.T)


@given(pair=hnp.arrays(bool, (2, 5, 6)))
def test_mask_iou(pair: np.ndarray) -> None:
    first, second = ({*map(tuple, np.argwhere(m).tolist())} for m in pair)
    union = len(first | second)
    expected = len(first & second) / union if union else 0
    assert mask_iou(*pair) == pytest.approx(expected)


@given(values=logits, offsets=st.tuples(st.floats(0, 12), st.floats(0, 12)))
def test_stability_decreases_with_the_offset(
    values: np.ndarray, offsets: tuple[float, float]
) -> None:
    low, high = sorted(offsets)
    assert 0 <= stability(values, high) <= stability(values, low) <= 1


@given(values=logits, offset=st.floats(0, 12))
def test_stability_is_an_iou(values: np.ndarray, offset: float) -> None:
    expected = mask_iou(values > offset, values > -offset)
    assert stability(values, offset) == pytest.approx(expected)


def test_stability_of_many_masks(rng: np.random.Generator) -> None:
    values = rng.normal(0, 3, (2, 3, 8, 9)).astype(np.float32)
    found = stability(values)
    assert found.shape == (2, 3)
    assert found[1, 2] == stability(values[1, 2])


def test_stability_of_an_empty_mask() -> None:
    assert stability(np.full((4, 4), -50.0)) == 0


@given(layers=st.lists(logits, max_size=4), data=st.data())
def test_order_of_objects_does_not_matter(
    layers: list[np.ndarray], data: st.DataObject
) -> None:
    # Ties go to the first object, so there must be none.
    layers = [layer + np.float32(1e-3 * i) for i, layer in enumerate(layers)]
    stack = np.array(layers, np.float32).reshape(-1, 6, 7)
    tied = (np.sort(stack, axis=0)[1:] == np.sort(stack, axis=0)[:-1]).any(axis=0)
    order = data.draw(st.permutations(range(len(layers))))
    patches = [MaskPatch((0, 0), layer) for layer in stack]
    labels = labels_from_patches(patches, (6, 7))
    shuffled = labels_from_patches([patches[i] for i in order], (6, 7))
    names = np.array([0, *(1 + i for i in order)])
    np.testing.assert_array_equal(names[shuffled][~tied], labels[~tied])


@given(layers=st.lists(logits, max_size=4))
def test_the_largest_logit_gets_the_pixel(layers: list[np.ndarray]) -> None:
    labels = labels_from_patches([MaskPatch((0, 0), layer) for layer in layers], (6, 7))
    assert labels.dtype == np.int32
    for plane_index, label in np.ndenumerate(labels):
        here = [layer[plane_index] for layer in layers]
        if label:
            assert here[label - 1] == max(here) > 0
        else:
            assert all(value <= 0 for value in here)


def test_no_objects_give_empty_labels() -> None:
    assert not labels_from_patches([], (3, 4)).any()
    assert labels_from_patches([], (3, 4)).shape == (3, 4)
    assert resolve_overlaps([]) == []


@st.composite
def patch_lists(draw: st.DrawFn) -> list[MaskPatch]:
    """Patches of a plane of SIDE x SIDE, many of their logits equal."""
    patches = []
    for _ in range(draw(st.integers(0, 5))):
        row, col = draw(st.tuples(*[st.integers(0, SIDE - 1)] * 2))
        shape = draw(st.tuples(st.integers(0, SIDE - row), st.integers(0, SIDE - col)))
        values = draw(hnp.arrays(np.int8, shape, elements=st.integers(-1, 3)))
        patches.append(MaskPatch((row, col), values.astype(np.float32)))
    return patches


def on_plane(patch: MaskPatch) -> np.ndarray:
    """The logits of the plane, -1 around the patch."""
    plane = np.full((SIDE, SIDE), -1.0)
    plane[patch.region] = patch.logits
    return plane


@given(patches=patch_lists())
def test_resolve_overlaps_equals_the_same_on_full_planes(
    patches: list[MaskPatch],
) -> None:
    planes = np.array([np.zeros((SIDE, SIDE)), *map(on_plane, patches)])
    # The first of equal logits gets the pixel; logits must be positive.
    expected = planes.argmax(axis=0)
    np.testing.assert_array_equal(labels_from_patches(patches, (SIDE, SIDE)), expected)
    for number, (patch, won) in enumerate(
        zip(patches, resolve_overlaps(patches), strict=True), start=1
    ):
        np.testing.assert_array_equal(won, expected[patch.region] == number)


def test_resolve_overlaps_leaves_the_patches_unchanged() -> None:
    patches = [MaskPatch((0, i), np.full((3, 3), 1.0 + i)) for i in range(3)]
    resolve_overlaps(patches)
    assert all(patch.mask.all() for patch in patches)


@given(patches=patch_lists())
def test_patch_iou_equals_iou_of_full_planes(patches: list[MaskPatch]) -> None:
    for first in patches:
        for second in patches:
            expected = mask_iou(on_plane(first) > 0, on_plane(second) > 0)
            assert patch_iou(first, second) == expected


# -- cropping and canvases -----------------------------------------------------


@given(mask=masks, origin=st.tuples(st.integers(-3, 3), st.integers(-3, 3)))
def test_a_patch_from_a_mask_is_tight(
    mask: np.ndarray, origin: tuple[int, int]
) -> None:
    patch = MaskPatch.from_mask(mask, origin, logit=7)
    np.testing.assert_array_equal(
        np.argwhere(patch.mask) + patch.origin, np.argwhere(mask) + origin
    )
    assert patch.logits.dtype == np.float32
    assert set(np.unique(patch.logits)) <= {-7, 7}
    if mask.any():
        np.testing.assert_array_equal(mask_to_box(patch.mask)[:2], [0, 0])
        shift = np.tile(origin, 2)
        np.testing.assert_array_equal(patch.box, mask_to_box(mask) + shift)
    else:
        assert patch.logits.shape == MaskPatch.empty().logits.shape == (0, 0)


@given(values=logits)
def test_a_patch_from_logits_is_a_copy(values: np.ndarray) -> None:
    patch = MaskPatch.from_logits(values, (2, 3))
    assert not np.shares_memory(patch.logits, values)
    assert patch.logits.dtype == values.dtype
    rows, cols = (
        slice(part.start - shift, part.stop - shift)
        for part, shift in zip(patch.region, (2, 3), strict=True)
    )
    if patch.logits.size:
        np.testing.assert_array_equal(patch.logits, values[rows, cols])


@given(patches=patch_lists(), margin=st.integers(0, 2))
def test_a_common_canvas_holds_all_patches(
    patches: list[MaskPatch], margin: int
) -> None:
    patches = [*patches, MaskPatch((4, 5), np.full((1, 1), 2, np.float16))]
    origin, canvases = on_common_canvas(patches, -9, margin)
    assert len({canvas.shape for canvas in canvases}) == 1
    for patch, canvas in zip(patches, canvases, strict=True):
        assert canvas.dtype == patch.logits.dtype
        rows, cols = (
            slice(part.start - first, part.stop - first)
            for part, first in zip(patch.region, origin, strict=True)
        )
        np.testing.assert_array_equal(canvas[rows, cols], patch.logits)
        canvas[rows, cols] = -9
        assert (canvas == -9).all()
    assert [*origin] == [min(p.origin[a] for p in patches) - margin for a in (0, 1)]
