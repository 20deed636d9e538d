"""Options of configurations that no published SAM uses."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch

from napari_sam.nets.common import ACTIVATIONS
from napari_sam.nets.fast.vit import FastViT
from napari_sam.nets.image_encoder import ImageEncoderViT

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.nets.config import SamConfig
    from napari_sam.nets.sam import SamNetwork

PIXELS = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("option", "tables"),
    [("use_abs_pos", "pos_embed"), ("use_rel_pos", "rel_pos_")],
)
def test_without_positions_is_with_positions_of_zero(
    random_model: Callable[..., SamNetwork],
    vit_config: SamConfig,
    option: str,
    tables: str,
) -> None:
    network = random_model(vit_config)
    state = {
        name: torch.zeros_like(value) if tables in name else value
        for name, value in network.state_dict().items()
    }
    assert any(network.state_dict()[name].any() for name in state if tables in name)
    network.load_state_dict(state)
    changed: dict[str, Any] = {option: False}
    without = random_model(
        replace(vit_config, vision_config=replace(vit_config.vision_config, **changed))
    )
    assert not any(tables in name for name in without.state_dict())
    without.load_state_dict({k: v for k, v in state.items() if tables not in k})
    with torch.no_grad():
        expected = network.image_encoder(PIXELS)
        torch.testing.assert_close(without.image_encoder(PIXELS), expected)
    assert isinstance(without.image_encoder, ImageEncoderViT)
    torch.testing.assert_close(FastViT(without.image_encoder)(PIXELS), expected)


@pytest.mark.parametrize("part", ["vision", "prompt_encoder", "mask_decoder"])
def test_activations_are_used(
    random_model: Callable[..., SamNetwork], vit_config: SamConfig, part: str
) -> None:
    def logits(activation: str) -> torch.Tensor:
        name = f"{part}_config"
        changed: Any = replace(getattr(vit_config, name), hidden_act=activation)
        network = random_model(replace(vit_config, **{name: changed}))
        encoder = network.prompt_encoder
        with torch.no_grad():
            masks, _ = network.mask_decoder(
                network.image_encoder(PIXELS[:1]),
                encoder.image_positions(),
                encoder.tokens(boxes=torch.tensor([[3.0, 4, 40, 50]])),
                encoder.dense(torch.ones(1, 1, encoder.mask_size, encoder.mask_size)),
                True,
            )
        return masks

    assert not torch.allclose(logits("silu"), logits("tanh"), atol=1e-5)


def test_another_activation_is_not_lost_by_the_fast_path(
    random_model: Callable[..., SamNetwork], vit_config: SamConfig
) -> None:
    changed = replace(vit_config.vision_config, hidden_act="quick_gelu")  # type: ignore[type-var]
    encoder = random_model(replace(vit_config, vision_config=changed)).image_encoder
    assert isinstance(encoder, ImageEncoderViT)
    with torch.no_grad():
        torch.testing.assert_close(FastViT(encoder)(PIXELS), encoder(PIXELS))


def test_activations_by_their_formulas() -> None:
    x = torch.linspace(-4, 4, 33, dtype=torch.float64)
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    formulas = {
        "gelu": x * 0.5 * (1 + torch.erf(x / math.sqrt(2))),
        "gelu_new": 0.5 * x * (1 + torch.tanh(inner)),
        "quick_gelu": x / (1 + torch.exp(-1.702 * x)),
        "relu2": x.clamp(min=0) ** 2,
        "silu": x / (1 + torch.exp(-x)),
        "linear": x,
    }
    for name, expected in formulas.items():
        torch.testing.assert_close(ACTIVATIONS[name](x), expected)
