"""The inference paths of the encoders compute the same functions as the plain ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam.nets.config import SamVisionConfig, TinyViTConfig
from napari_sam.nets.fast import strips
from napari_sam.nets.fast import vit as fast_vit
from napari_sam.nets.fast.tiny_vit import FastTinyViT
from napari_sam.nets.fast.vit import FastViT
from napari_sam.nets.image_encoder import ImageEncoderViT
from napari_sam.nets.tiny_vit import TinyViT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari_sam.nets.config import SamConfig
    from napari_sam.nets.sam import SamNetwork

ATOL = 1e-4


@pytest.fixture(autouse=True, params=["one strip", "many strips"])
def small_strips(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run with one strip for the image, and with the smallest strips."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "many strips":
            patch.setattr(strips, "_STRIP_VALUES", 1)
            patch.setattr(strips, "_MIN_TOKENS", 3)
            patch.setattr(fast_vit, "_BIAS_VALUES", 1)
        yield


def assert_same(model: SamNetwork, seed: int, images: int = 1) -> None:
    encoder = model.image_encoder
    size = encoder.image_size
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(images, 3, size, size, generator=generator)
    before = pixels.clone()
    fast = (FastTinyViT if isinstance(encoder, TinyViT) else FastViT)(encoder)
    actual, expected = fast(pixels), encoder(pixels)
    torch.testing.assert_close(actual, expected, rtol=0, atol=ATOL)
    torch.testing.assert_close(fast(pixels), actual, rtol=0, atol=0)
    assert torch.equal(pixels, before)


def with_vision(
    config: SamConfig, vision: SamVisionConfig | TinyViTConfig
) -> SamConfig:
    size, grid = vision.image_size, vision.embedding_size
    prompts = replace(
        config.prompt_encoder_config, image_size=size, patch_size=size // grid
    )
    return replace(config, vision_config=vision, prompt_encoder_config=prompts)


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("folded", [False, True])
def test_tiny_vit(
    random_model: Callable[..., SamNetwork],
    lite_config: SamConfig,
    images: int,
    folded: bool,
) -> None:
    model = random_model(lite_config)
    if folded:
        assert isinstance(model.image_encoder, TinyViT)
        model.image_encoder.fold_batch_norms()
    assert_same(model, 0, images)


@pytest.mark.parametrize("images", [1, 3])
def test_vit(
    random_model: Callable[..., SamNetwork], vit_config: SamConfig, images: int
) -> None:
    model = random_model(vit_config)
    assert isinstance(model.image_encoder, ImageEncoderViT)
    assert_same(model, 0, images)


@settings(max_examples=20)
@given(
    kernel=st.sampled_from([1, 3]),
    strided=st.booleans(),
    size=st.integers(1, 5),
    windows=st.tuples(*[st.integers(1, 6)] * 2),
    depths=st.tuples(*[st.integers(1, 2)] * 3),
    seed=st.integers(0, 2**16),
)
def test_tiny_vit_at_any_size(
    random_model: Callable[..., SamNetwork],
    lite_config: SamConfig,
    kernel: int,
    strided: bool,
    size: int,
    windows: tuple[int, int],
    depths: tuple[int, int, int],
    seed: int,
) -> None:
    vision = lite_config.vision_config
    assert isinstance(vision, TinyViTConfig)
    vision = replace(
        vision,
        patch_kernel=kernel,
        image_size=size * 4 * (4 if kernel == 3 else 1),
        # Stages of 320 and more channels keep the grid size.
        embed_dims=(8, 16, 24 if strided else 320),
        num_heads=(1, 2, 3 if strided else 2),
        window_sizes=(7, *windows),
        depths=depths,
    )
    assert_same(random_model(with_vision(lite_config, vision), seed), seed)


@settings(max_examples=20)
@given(
    grid=st.integers(1, 7),
    window=st.integers(1, 8),
    heads=st.sampled_from([1, 2, 4]),
    biased=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_vit_at_any_size(
    random_model: Callable[..., SamNetwork],
    vit_config: SamConfig,
    grid: int,
    window: int,
    heads: int,
    biased: bool,
    seed: int,
) -> None:
    vision = vit_config.vision_config
    assert isinstance(vision, SamVisionConfig)
    vision = replace(
        vision,
        image_size=4 * grid,
        patch_size=4,
        window_size=window,
        num_attention_heads=heads,
        qkv_bias=biased,
    )
    assert_same(random_model(with_vision(vit_config, vision), seed), seed)
