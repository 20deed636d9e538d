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

    from napari_sam.huggingface.model import SamModel
    from napari_sam.prediction.predictor import Predictor
    from tests.helpers.scenes import Scene

ATOL = 1e-4
KINDS = ["points", "box", "mask", "points+box", "points+mask", "box+mask", "all"]


class LayerRequest:
    """Random prompts of one kind for several objects, encoded by a model."""

    def __init__(
        self, model: SamModel, kind: str, objects: int, seed: int, points: int = 3
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        encoder = model.prompt_encoder
        size, side = encoder.image_size, encoder.mask_size
        places = labels = boxes = masks = None
        if kind.startswith("points") or kind == "all":
            places = torch.rand(objects, points, 2, generator=generator) * size
            labels = torch.randint(0, 2, (objects, points), generator=generator)
        if "box" in kind or kind == "all":
            corners = torch.rand(objects, 2, 2, generator=generator) * size
            boxes = corners.sort(1).values.flatten(1)
        if "mask" in kind or kind == "all":
            masks = 5 * torch.randn(objects, 1, side, side, generator=generator)
        self.tokens = encoder.tokens(places, labels, boxes).expand(objects, -1, -1)
        self.dense = None if masks is None else encoder.dense(masks)
        grid = encoder.embedding_size
        self.embedding = torch.randn(1, encoder.width, grid, grid, generator=generator)


def plain(model: SamModel, asked: LayerRequest, several: bool) -> tuple[Tensor, Tensor]:
    encoder = model.prompt_encoder
    dense = encoder.dense(None) if asked.dense is None else asked.dense
    answer: tuple[Tensor, Tensor] = model.mask_decoder(
        asked.embedding, encoder.image_positions(), asked.tokens, dense, several
    )
    return answer


def fast(model: SamModel, asked: LayerRequest, several: bool) -> tuple[Tensor, Tensor]:
    encoder = model.prompt_encoder
    decoder = FastMaskDecoder(
        model.mask_decoder, encoder.image_positions(), encoder.dense(None)
    )
    terms = decoder.prepare(asked.embedding)
    return decoder.decode(terms, asked.tokens, asked.dense, several)


def assert_same(model: SamModel, asked: LayerRequest, several: bool) -> None:
    expected, found = plain(model, asked, several), fast(model, asked, several)
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=ATOL)


@pytest.fixture(scope="module")
def model(random_model: Callable[..., SamModel], vit_config: SamConfig) -> SamModel:
    return random_model(vit_config)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("objects", [1, 4, 9])
@pytest.mark.parametrize("kind", KINDS)
def test_same_answers(model: SamModel, kind: str, objects: int, several: bool) -> None:
    assert_same(model, LayerRequest(model, kind, objects, seed=objects), several)


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
    several=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_same_answers_at_any_size(
    random_model: Callable[..., SamModel],
    config: SamConfig,
    kind: str,
    objects: int,
    several: bool,
    seed: int,
) -> None:
    model = random_model(config, seed)
    assert_same(model, LayerRequest(model, kind, objects, seed), several)


@pytest.mark.parametrize("points", [1, 3, 40])
@pytest.mark.parametrize("heads", [1, 4])
def test_upscaling_of_the_image_or_of_its_updates(
    random_model: Callable[..., SamModel],
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
    model, ways = random_model(config), []
    for way in ("plain", "traced"):
        inner = getattr(Upscaling, way)

        def noted(*args: object, inner: Any = inner, way: str = way) -> Tensor:
            ways.append(way)
            result: Tensor = inner(*args)
            return result

        monkeypatch.setattr(Upscaling, way, noted)
    asked = LayerRequest(model, "points", 2, seed=3, points=points)
    assert_same(model, asked, True)
    # Two updates of the image with a row for each token, one of them padding, and head.
    few = 2 * heads * (6 + points) < width
    assert ways == ["traced" if few else "plain"]


@pytest.mark.parametrize("several", [False, True])
def test_as_many_masks_as_asked_for(
    random_model: Callable[..., SamModel], vit_config: SamConfig, several: bool
) -> None:
    decoder = replace(vit_config.mask_decoder_config, num_multimask_outputs=4)
    model = random_model(replace(vit_config, mask_decoder_config=decoder))
    masks, scores = fast(model, LayerRequest(model, "box", 2, seed=0), several)
    count = 4 if several else 1
    assert masks.shape == (2, count, 32, 32)
    assert scores.shape == (2, count)


def test_the_embedding_is_not_changed(model: SamModel) -> None:
    asked = LayerRequest(model, "box", 5, seed=1)
    before = asked.embedding.clone()
    first = fast(model, asked, True)
    second = fast(model, asked, True)
    assert torch.equal(asked.embedding, before)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.weights
def test_the_real_decoder_rounds_no_more_than_float32_must(
    default_predictor: Predictor, coins: Scene
) -> None:
    model = default_predictor.model
    asked = LayerRequest(model, "box", 4, seed=3)
    asked.embedding = default_predictor.embed(coins.image).image_embedding
    found, _ = fast(model, asked, False)
    exact, _ = plain(copy.deepcopy(model).double(), in_double(asked), False)
    assert exact.abs().max() > 10
    torch.testing.assert_close(found.double(), exact, rtol=0, atol=ATOL)


def in_double(asked: LayerRequest) -> LayerRequest:
    exact = copy.copy(asked)
    exact.tokens, exact.embedding = asked.tokens.double(), asked.embedding.double()
    return exact
