"""The inference path of the decoder computes the same function as the plain one."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.nets.config import (
    SamConfig,
    SamMaskDecoderConfig,
    SamPromptEncoderConfig,
    SamVisionConfig,
)
from napari_sam.nets.fast.decoder import FastMaskDecoder
from napari_sam.nets.fast.upscaling import Upscaling

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_sam.nets.sam import SamNetwork
    from napari_sam.prediction.predictor import Predictor
    from tests.helpers.scenes import Scene

ATOL = 1e-4
KINDS = ["points", "box", "mask", "points+box", "points+mask", "box+mask", "all"]


class RandomPrompts:
    """Random prompts of one kind for several objects, encoded by a model."""

    def __init__(
        self, model: SamNetwork, kind: str, objects: int, seed: int, points: int = 3
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        encoder = model.prompt_encoder
        size, side = encoder.image_size, encoder.mask_size
        points_xy = labels = boxes = masks = None
        if kind.startswith("points") or kind == "all":
            points_xy = torch.rand(objects, points, 2, generator=generator) * size
            labels = torch.randint(0, 2, (objects, points), generator=generator)
        if "box" in kind or kind == "all":
            corners = torch.rand(objects, 2, 2, generator=generator) * size
            boxes = corners.sort(1).values.flatten(1)
        if "mask" in kind or kind == "all":
            masks = 5 * torch.randn(objects, 1, side, side, generator=generator)
        self.tokens = encoder.tokens(points_xy, labels, boxes).expand(objects, -1, -1)
        self.dense = None if masks is None else encoder.dense(masks)
        grid = encoder.embedding_size
        self.embedding = torch.randn(1, encoder.width, grid, grid, generator=generator)


def plain(
    model: SamNetwork, prompts: RandomPrompts, multimask: bool
) -> tuple[Tensor, Tensor]:
    encoder = model.prompt_encoder
    dense = encoder.dense(None) if prompts.dense is None else prompts.dense
    output: tuple[Tensor, Tensor] = model.mask_decoder(
        prompts.embedding, encoder.image_positions(), prompts.tokens, dense, multimask
    )
    return output


def fast(
    model: SamNetwork, prompts: RandomPrompts, multimask: bool
) -> tuple[Tensor, Tensor]:
    encoder = model.prompt_encoder
    decoder = FastMaskDecoder(
        model.mask_decoder, encoder.image_positions(), encoder.dense(None)
    )
    context = decoder.prepare(prompts.embedding)
    return decoder.decode(context, prompts.tokens, prompts.dense, multimask)


def assert_same(model: SamNetwork, prompts: RandomPrompts, multimask: bool) -> None:
    expected, actual = plain(model, prompts, multimask), fast(model, prompts, multimask)
    for one, other in zip(expected, actual, strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=ATOL)


@pytest.fixture(scope="module")
def model(random_model: Callable[..., SamNetwork], vit_config: SamConfig) -> SamNetwork:
    return random_model(vit_config)


@pytest.mark.parametrize("multimask", [False, True])
@pytest.mark.parametrize("objects", [1, 4, 9])
@pytest.mark.parametrize("kind", KINDS)
def test_fast_decoder_matches(
    model: SamNetwork, kind: str, objects: int, multimask: bool
) -> None:
    assert_same(model, RandomPrompts(model, kind, objects, seed=objects), multimask)


@st.composite
def configs(draw: st.DrawFn) -> SamConfig:
    heads = draw(st.sampled_from([1, 2, 4]))
    width = 16 * draw(st.integers(1, 5))
    grid, patch = draw(st.integers(1, 6)), draw(st.sampled_from([4, 16]))
    return SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            image_size=grid * patch,
            patch_size=patch,
            global_attn_indexes=(0,),
            output_channels=width,
        ),
        prompt_encoder_config=SamPromptEncoderConfig(
            hidden_size=width, image_size=grid * patch, patch_size=patch
        ),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=width,
            num_attention_heads=heads,
            mlp_dim=draw(st.integers(1, 40)),
            num_hidden_layers=draw(st.integers(1, 3)),
            attention_downsample_rate=draw(st.sampled_from([1, 2])),
            num_multimask_outputs=draw(st.integers(1, 4)),
            iou_head_depth=draw(st.integers(2, 4)),
            iou_head_hidden_dim=draw(st.integers(1, 20)),
            layer_norm_eps=draw(st.sampled_from([1e-5, 1e-6])),
        ),
    )


@given(
    config=configs(),
    kind=st.sampled_from(KINDS),
    objects=st.integers(1, 9),
    multimask=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_fast_decoder_matches_at_any_size(
    random_model: Callable[..., SamNetwork],
    config: SamConfig,
    kind: str,
    objects: int,
    multimask: bool,
    seed: int,
) -> None:
    model = random_model(config, seed)
    assert_same(model, RandomPrompts(model, kind, objects, seed), multimask)


@pytest.mark.parametrize("points", [1, 3, 40])
@pytest.mark.parametrize("heads", [1, 4])
def test_upscaling_of_tokens_or_updates(
    random_model: Callable[..., SamNetwork],
    vit_config: SamConfig,
    monkeypatch: pytest.MonkeyPatch,
    heads: int,
    points: int,
) -> None:
    width = 64
    config = replace(
        vit_config,
        vision_config=replace(vit_config.vision_config, output_channels=width),
        prompt_encoder_config=replace(
            vit_config.prompt_encoder_config, hidden_size=width
        ),
        mask_decoder_config=replace(
            vit_config.mask_decoder_config, hidden_size=width, num_attention_heads=heads
        ),
    )
    model, calls = random_model(config), []
    for method in ("from_tokens", "from_updates"):
        inner = getattr(Upscaling, method)

        def spy(*args: object, inner: Any = inner, method: str = method) -> Tensor:
            calls.append(method)
            result: Tensor = inner(*args)
            return result

        monkeypatch.setattr(Upscaling, method, spy)
    prompts = RandomPrompts(model, "points", 2, seed=3, points=points)
    assert_same(model, prompts, True)
    # Two updates of the image, with a row for each head and token, padding included.
    low_rank = 2 * heads * (6 + points) < width
    assert calls == ["from_updates" if low_rank else "from_tokens"]


@pytest.mark.parametrize("multimask", [False, True])
def test_number_of_masks(
    random_model: Callable[..., SamNetwork], vit_config: SamConfig, multimask: bool
) -> None:
    decoder = replace(vit_config.mask_decoder_config, num_multimask_outputs=4)
    model = random_model(replace(vit_config, mask_decoder_config=decoder))
    masks, scores = fast(model, RandomPrompts(model, "box", 2, seed=0), multimask)
    count = 4 if multimask else 1
    assert masks.shape == (2, count, 32, 32)
    assert scores.shape == (2, count)


def test_decoding_keeps_the_embedding(model: SamNetwork) -> None:
    prompts = RandomPrompts(model, "box", 5, seed=1)
    before = prompts.embedding.clone()
    first = fast(model, prompts, True)
    second = fast(model, prompts, True)
    assert torch.equal(prompts.embedding, before)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.weights
def test_default_weights_are_decoded_within_float32_rounding(
    default_predictor: Predictor, coins: Scene
) -> None:
    model = default_predictor.model
    prompts = RandomPrompts(model, "box", 4, seed=3)
    prompts.embedding = default_predictor.embed(coins.image).image_embedding
    actual, _ = fast(model, prompts, False)
    exact, _ = plain(copy.deepcopy(model).double(), in_double(prompts), False)
    assert exact.abs().max() > 10
    torch.testing.assert_close(actual.double(), exact, rtol=0, atol=ATOL)


def in_double(prompts: RandomPrompts) -> RandomPrompts:
    exact = copy.copy(prompts)
    exact.tokens, exact.embedding = prompts.tokens.double(), prompts.embedding.double()
    return exact
