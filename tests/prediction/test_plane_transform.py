"""PlaneTransform: preprocessing of each family, and masks back on the plane."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.transform import resize
from torch.nn import functional as F

from napari_sam.checkpoints.families import Family
from napari_sam.images.uint8 import to_uint8
from napari_sam.images.window import Window
from napari_sam.masks.patch import mask_iou
from napari_sam.prediction.plane_transform import PlaneTransform

# family: (input size, mask size) of its published models
SIZES = {"sam": (1024, 256), "medsam": (1024, 256), "lite_medsam": (256, 256)}
FAMILIES = get_args(Family)
SHAPES = [(1, 1), (1, 40), (40, 1), (64, 64), (100, 30), (303, 384), (1500, 700)]

families = pytest.mark.parametrize("family", FAMILIES)
sides = st.integers(1, 3000)


def fit(shape: tuple[int, int], family: Family) -> PlaneTransform:
    return PlaneTransform.fit(shape, *SIZES[family], family)


def test_sizes_cover_every_family() -> None:
    assert set(SIZES) == set(FAMILIES)


@families
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channels", [(), (3,)])
def test_input_shape(
    rng: np.random.Generator,
    family: Family,
    shape: tuple[int, int],
    channels: tuple[int, ...],
) -> None:
    # Small inputs: the recipe is the same and the test is quick.
    transform = PlaneTransform.fit(shape, 64, 32, family)
    plane = rng.integers(0, 256, shape + channels, dtype=np.uint8)
    values = transform.pixel_values(plane)
    assert values.shape == (1, 3, 64, 64)
    assert values.dtype == torch.float32
    assert torch.isfinite(values).all()
    height, width = transform.resized_shape
    assert not values[..., height:, :].any()
    assert not values[..., width:].any()


@families
def test_the_plane_is_not_modified(rng: np.random.Generator, family: Family) -> None:
    plane = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    before = plane.copy()
    PlaneTransform.fit((20, 30), 64, 32, family).pixel_values(plane)
    np.testing.assert_array_equal(plane, before)


@families
@pytest.mark.parametrize("value", [0, 128, 255])
def test_constant_planes_are_finite(family: Family, value: int) -> None:
    plane = np.full((20, 30), value, np.uint8)
    assert torch.isfinite(fit((20, 30), family).pixel_values(plane)).all()


@pytest.mark.parametrize("family", ["medsam", "lite_medsam"])
def test_min_max_families_scale_to_0_to_1(
    rng: np.random.Generator, family: Family
) -> None:
    values = fit((60, 90), family).pixel_values(
        rng.integers(90, 120, (60, 90, 3), dtype=np.uint8)
    )
    assert values.min() == 0
    assert values.max() == 1


def test_sam_standardises_each_channel() -> None:
    rgb = np.zeros((1024, 1024, 3), np.uint8) + np.array([10, 100, 200], np.uint8)
    values = fit((1024, 1024), "sam").pixel_values(rgb)[0, :, 5, 5]
    expected = [
        (10 - 123.675) / 58.395,
        (100 - 116.28) / 57.12,
        (200 - 103.53) / 57.375,
    ]
    assert values.tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (200, 130)])
@pytest.mark.parametrize("colour", [False, True])
def test_medsam_follows_its_published_recipe(
    rng: np.random.Generator, shape: tuple[int, int], colour: bool
) -> None:
    plane = rng.integers(0, 256, (*shape, 3) if colour else shape, dtype=np.uint8)
    # MedSAM_Inference.py, with a smaller input.
    img_3c = plane if colour else np.repeat(plane[:, :, None], 3, axis=-1)
    img = resize(
        img_3c, (128, 128), order=3, preserve_range=True, anti_aliasing=True
    ).astype(np.uint8)
    img = (img - img.min()) / np.clip(img.max() - img.min(), a_min=1e-8, a_max=None)
    expected = torch.tensor(img).float().permute(2, 0, 1)[None]
    found = PlaneTransform.fit(shape, 128, 32, "medsam").pixel_values(plane)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def medsam_input(plane: np.ndarray, side: int) -> np.ndarray:
    """(1, 3, side, side) float32: the published recipe for any image, in plain steps.

    The data preparation of MedSAM (pre_CT_MR.py) clips to percentiles and scales to
    8 bits; its inference script (MedSAM_Inference.py) resizes and stretches.
    """
    if plane.dtype != np.uint8:
        low, high = np.percentile(plane, [0.5, 99.5])
        clipped = np.clip(plane.astype(np.float64), low, high)
        plane = np.uint8(np.rint((clipped - low) / (high - low) * 255.0))
    if plane.ndim == 2:
        plane = np.repeat(plane[:, :, None], 3, axis=-1)
    resized = resize(
        plane, (side, side), order=3, preserve_range=True, anti_aliasing=True
    ).astype(np.uint8)
    stretched = (resized - resized.min()) / np.clip(
        resized.max() - resized.min(), a_min=1e-8, a_max=None
    )
    return stretched.transpose(2, 0, 1)[None].astype(np.float32)


@pytest.mark.parametrize("kind", ["8-bit", "16-bit", "RGB"])
def test_medsam_input_matches_the_published_recipe_for_any_image(
    rng: np.random.Generator, kind: str
) -> None:
    y, x = np.mgrid[:90, :140]
    waves = np.sin(x / 9) + np.cos(y / 7) + rng.normal(0, 0.2, (90, 140))
    plane = {
        "8-bit": (127 + 40 * waves).clip(0, 255).astype(np.uint8),
        "16-bit": (9000 + 3000 * waves).clip(0, 65535).astype(np.uint16),
        "RGB": (127 + 40 * np.stack([waves, -waves, waves + 1], -1))
        .clip(0, 255)
        .astype(np.uint8),
    }[kind]
    # 256 px instead of 1024: the recipe is the same and the test is quick.
    transform = PlaneTransform.fit((90, 140), 256, 64, "medsam")
    found = transform.pixel_values(to_uint8(plane)).numpy()
    expected = medsam_input(plane, 256)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@given(shape=st.tuples(st.integers(1, 60), st.integers(1, 60)), seed=st.integers(0, 9))
def test_masks_smaller_than_the_input_are_interpolated_without_padding(
    shape: tuple[int, int], seed: int
) -> None:
    transform = PlaneTransform.fit(shape, 64, 16, "lite_medsam")
    logits = np.random.default_rng(seed).normal(0, 3, (16, 16)).astype(np.float32)
    large = F.interpolate(
        torch.from_numpy(logits)[None, None], (64, 64), mode="bilinear"
    )
    rows, cols = transform.resized_shape
    expected = F.interpolate(large[..., :rows, :cols], shape, mode="bilinear")[0, 0]
    np.testing.assert_allclose(
        transform.plane_logits(logits), expected, rtol=0, atol=1e-4
    )


@given(height=sides, width=sides)
def test_the_longest_side_fills_the_input(height: int, width: int) -> None:
    for family in ("sam", "lite_medsam"):
        size, _ = SIZES[family]
        transform = fit((height, width), family)
        assert max(transform.resized_shape) == size
        scale = size / max(height, width)
        for new, old in zip(transform.resized_shape, (height, width), strict=True):
            assert new == max(1, int(old * scale + 0.5))
    assert fit((height, width), "medsam").resized_shape == (1024, 1024)


@given(height=sides, width=sides)
def test_corners_of_the_plane_are_inside_the_input(height: int, width: int) -> None:
    for family in FAMILIES:
        transform = fit((height, width), family)
        far = np.array([height, width]) * transform.scale
        assert (far <= transform.input_size + 1e-9).all()
        # One factor for both axes may miss the rounded size by half a pixel;
        # a plane thinner than a pixel of the input still gets a whole one.
        assert (np.abs(far - transform.resized_shape) <= 1).all()
        rows, cols = transform.mask_shape
        assert 1 <= rows <= transform.mask_size
        assert 1 <= cols <= transform.mask_size


def test_scales() -> None:
    assert fit((300, 600), "sam").scale.tolist() == [512 / 300, 1024 / 600]
    assert fit((300, 600), "medsam").scale.tolist() == [1024 / 300, 1024 / 600]
    assert fit((303, 600), "lite_medsam").scale.tolist() == [256 / 600] * 2


def blob(shape: tuple[int, int]) -> np.ndarray:
    """An ellipse off the centre of the plane."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    y, x = y / shape[0] - 0.4, x / shape[1] - 0.6
    return (y / 0.25) ** 2 + (x / 0.2) ** 2 < 1


@families
@pytest.mark.parametrize("shape", [(64, 64), (100, 30), (303, 384), (1500, 700)])
def test_a_mask_survives_the_round_trip(family: Family, shape: tuple[int, int]) -> None:
    transform, mask = fit(shape, family), blob(shape)
    logits = transform.mask_logits(mask)
    assert logits.shape == (transform.mask_size, transform.mask_size)
    assert logits.dtype == np.float32
    assert np.isfinite(logits).all()
    back = transform.plane_logits(logits)
    assert back.shape == shape
    assert back.dtype == np.float32
    assert mask_iou(back > 0, mask) > 0.9


@families
def test_padding_is_background_of_a_mask_prompt(family: Family) -> None:
    transform = fit((50, 200), family)
    logits = transform.mask_logits(np.ones((50, 200), bool))
    rows, cols = transform.mask_shape
    assert (logits[:rows, :cols] > 0).all()
    assert (logits[rows:] < 0).all()
    assert (logits[:, cols:] < 0).all()


@families
@pytest.mark.parametrize("shape", SHAPES)
def test_plane_logits_have_the_shape_of_the_plane(
    family: Family, shape: tuple[int, int]
) -> None:
    transform = fit(shape, family)
    for sign in (-1.0, 1.0):
        logits = torch.full((transform.mask_size, transform.mask_size), 8 * sign)
        found = transform.plane_logits(logits)
        assert found.shape == shape
        assert (np.sign(found) == sign).all()


@families
def test_a_step_in_the_logits_is_a_step_in_the_plane(family: Family) -> None:
    transform = fit((400, 800), family)
    logits = torch.full((transform.mask_size, transform.mask_size), -8.0)
    rows, cols = transform.mask_shape
    logits[: rows // 4, : cols // 2] = 8
    mask = transform.plane_logits(logits) > 0
    expected = np.zeros((400, 800), bool)
    expected[:100, :400] = True
    assert mask_iou(mask, expected) > 0.97


# Windows of the plane

small_sides = st.integers(1, 90)


@st.composite
def transforms(draw: st.DrawFn) -> PlaneTransform:
    """Small models of each family, on planes smaller and larger than their input."""
    family = draw(st.sampled_from(FAMILIES))
    sizes = (32, 32) if family == "lite_medsam" else (64, 16)
    shape = draw(st.tuples(small_sides, small_sides))
    return PlaneTransform.fit(shape, *sizes, family)


def random_logits(
    transform: PlaneTransform, seed: int, fraction: float = 0.5
) -> np.ndarray:
    """Noise with a fraction of positive values."""
    noise = np.random.default_rng(seed).normal(0, 3, (transform.mask_size,) * 2)
    return (noise - np.quantile(noise, 1 - fraction)).astype(np.float32)


def interpolated(transform: PlaneTransform, logits: np.ndarray) -> np.ndarray:
    """Interpolation to the plane with torch, as in the published scripts."""
    values = torch.from_numpy(logits)[None, None]
    if transform.family == "medsam":
        values = values.sigmoid() - 0.5
    height, width = transform.resized_shape
    shapes = [transform.plane_shape]
    if transform.family == "sam":
        shapes = [(transform.input_size, transform.input_size), transform.plane_shape]
    for shape in shapes:
        if shape is shapes[-1]:
            values = values[..., :height, :width]
        values = F.interpolate(values, shape, mode="bilinear", align_corners=False)
    return values[0, 0].numpy()


@given(transform=transforms(), seed=st.integers(0, 99))
def test_plane_logits_equal_interpolation_by_torch(
    transform: PlaneTransform, seed: int
) -> None:
    logits = random_logits(transform, seed)
    found = transform.plane_logits(logits)
    np.testing.assert_allclose(
        found, interpolated(transform, logits), rtol=0, atol=1e-5
    )


@families
@pytest.mark.parametrize("shape", [(3000, 2500), (303, 384)])
def test_plane_logits_at_full_size(family: Family, shape: tuple[int, int]) -> None:
    transform = fit(shape, family)
    logits = random_logits(transform, 1)
    found = transform.plane_logits(torch.from_numpy(logits))
    np.testing.assert_allclose(
        found, interpolated(transform, logits), rtol=0, atol=1e-4
    )


@given(transform=transforms(), seed=st.integers(0, 99), data=st.data())
def test_a_window_equals_its_part_of_the_plane(
    transform: PlaneTransform, seed: int, data: st.DataObject
) -> None:
    logits = random_logits(transform, seed)
    whole = transform.plane_logits(logits)
    ends = [
        sorted(data.draw(st.tuples(st.integers(0, side), st.integers(0, side))))
        for side in transform.plane_shape
    ]
    window = slice(*ends[0]), slice(*ends[1])
    found = transform.plane_logits(logits, window)
    assert found.dtype == np.float32
    assert found.shape == whole[window].shape
    assert found.tobytes() == whole[window].tobytes()


@given(
    transform=transforms(),
    seed=st.integers(0, 99),
    fraction=st.sampled_from([0, 0.004, 0.02, 0.5, 1]),
)
def test_nothing_is_positive_outside_the_window(
    transform: PlaneTransform, seed: int, fraction: float
) -> None:
    logits = random_logits(transform, seed, fraction)
    positive = transform.plane_logits(logits) > 0
    window = transform.positive_region(logits)
    if window is None:
        assert not positive.any()
        return
    rows, cols = window
    assert 0 <= rows.start < rows.stop <= transform.plane_shape[0]
    assert 0 <= cols.start < cols.stop <= transform.plane_shape[1]
    positive[window] = False
    assert not positive.any()


@families
def test_the_window_of_a_small_object_is_small(family: Family) -> None:
    transform = fit((5000, 4000), family)
    logits = np.full((transform.mask_size,) * 2, -5, np.float32)
    rows, cols = (int(0.4 * side) for side in transform.mask_shape)
    logits[rows : rows + 4, cols : cols + 4] = 5
    window = transform.positive_region(logits)
    assert window is not None
    for side, size in zip(window, transform.plane_shape, strict=True):
        assert side.start <= 0.4 * size <= side.stop
        assert side.stop - side.start <= 7 * 5000 / 256


@families
def test_a_mask_in_the_padding_is_empty_on_the_plane(family: Family) -> None:
    transform = fit((50, 200), family)
    rows, _ = transform.mask_shape
    logits = np.full((transform.mask_size,) * 2, -5, np.float32)
    logits[rows + 1 :] = 5
    if family == "medsam":  # has no padding
        logits[:] = -5
    assert transform.positive_region(logits) is None
    patch = transform.patch(logits)
    assert (patch.origin, patch.logits.shape) == ((0, 0), (0, 0))


@given(
    transform=transforms(),
    seed=st.integers(0, 99),
    fraction=st.sampled_from([0, 0.004, 0.02, 0.5, 1]),
)
def test_a_patch_is_tight(
    transform: PlaneTransform, seed: int, fraction: float
) -> None:
    logits = random_logits(transform, seed, fraction)
    whole = transform.plane_logits(logits)
    patch = transform.patch(logits)
    assert patch.logits.tobytes() == whole[patch.region].tobytes()
    mask = np.zeros(transform.plane_shape, bool)
    mask[patch.region] = patch.mask
    np.testing.assert_array_equal(mask, whole > 0)
    for axis in (0, 1):
        edges = patch.mask.any(axis=1 - axis)
        assert not edges.size or (edges[0] and edges[-1])


@given(transform=transforms(), data=st.data())
def test_a_cropped_mask_equals_the_full_one(
    transform: PlaneTransform, data: st.DataObject
) -> None:
    mask = data.draw(hnp.arrays(bool, transform.plane_shape))
    row, col = (data.draw(st.integers(0, side - 1)) for side in mask.shape)
    mask[:row] = mask[:, :col] = False
    found = transform.mask_logits(mask[row:, col:], (row, col))
    np.testing.assert_array_equal(found, transform.mask_logits(mask))


@given(shape=st.tuples(small_sides, small_sides), data=st.data())
def test_resizing_in_blocks_of_rows_gives_the_same_input(
    shape: tuple[int, int], data: st.DataObject
) -> None:
    channels = data.draw(st.sampled_from([(), (3,)]))
    plane = data.draw(hnp.arrays(np.uint8, shape + channels))
    transform = PlaneTransform.fit(shape, 32, 32, "lite_medsam")
    whole = transform.pixel_values(plane)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_sam.images.uint8._BLOCK_VALUES", 100)
        in_blocks = transform.pixel_values(plane)
    torch.testing.assert_close(in_blocks, whole, rtol=0, atol=0)


@families
def test_a_downsampled_plane_gives_nearly_the_same_input(family: Family) -> None:
    smooth = np.outer(np.hanning(64), np.hanning(90))
    level = np.rint(255 * smooth).astype(np.uint8)
    large = np.kron(level, np.ones((4, 4), np.uint8))
    transform = PlaneTransform.fit(large.shape, 32, 32, family)
    full, reduced = transform.pixel_values(large), transform.pixel_values(level)
    assert full.shape == reduced.shape
    assert (full - reduced).abs().max() < 0.1


def test_enlarged_pixels_are_placed_exactly() -> None:
    window = Window(100, 200, 64, 64)
    transform = PlaneTransform.fit((900, 900), 256, 256, "lite_medsam", window)
    # A pixel becomes four: their centre, and their first and last.
    np.testing.assert_allclose(transform.to_input(np.array([[3, 5]])), [[13.5, 21.5]])
    corners = np.array([[[3, 5], [3, 5]]], float)
    expected = [[[12, 20], [15, 23]]]
    np.testing.assert_allclose(transform.corners_to_input(corners), expected)


@pytest.mark.parametrize("window", [None, Window(0, 0, 512, 512)])
def test_reduced_pixels_are_placed_as_published(window: Window | None) -> None:
    transform = PlaneTransform.fit((900, 900), 256, 256, "lite_medsam", window)
    points = np.array([[3, 5], [70, 80]], float)
    np.testing.assert_array_equal(transform.to_input(points), points * transform.scale)
    np.testing.assert_array_equal(
        transform.corners_to_input(points[None]), points[None] * transform.scale
    )


@families
def test_a_mask_of_a_window_lies_on_the_plane(family: Family) -> None:
    window = Window(30, 50, 40, 40)
    transform = PlaneTransform.fit((200, 300), *SIZES[family], family, window)
    mask = np.zeros((40, 40), bool)
    mask[10:31, 8:25] = True
    patch = transform.patch(transform.mask_logits(mask))
    found = np.zeros((200, 300), bool)
    found[patch.region] = patch.mask
    expected = np.zeros((200, 300), bool)
    expected[window.slices] = mask
    assert (found & expected).sum() / (found | expected).sum() > 0.8
