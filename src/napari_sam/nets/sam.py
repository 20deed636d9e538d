"""SAM's network: image encoder, prompt encoder and mask decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_sam.nets.common import ACTIVATIONS
from napari_sam.nets.config import SamConfig, TinyViTConfig
from napari_sam.nets.image_encoder import ImageEncoderViT
from napari_sam.nets.mask_decoder import MaskDecoder
from napari_sam.nets.prompt_encoder import PromptEncoder
from napari_sam.nets.tiny_vit import TinyViT


class SamNetwork(nn.Module):
    """Image encoder, prompt encoder and mask decoder under their official names.

    Parameters
    ----------
    config : SamConfig
        Sizes; the default is SAM ViT-B.

    Raises
    ------
    ValueError
        When an activation is not known, or attention heads do not divide a width.
    """

    def __init__(self, config: SamConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SamConfig()
        _check_supported(config)
        vision = config.vision_config
        self.image_encoder: nn.Module = (
            TinyViT(vision)
            if isinstance(vision, TinyViTConfig)
            else ImageEncoderViT(vision)
        )
        self.prompt_encoder = PromptEncoder(config.prompt_encoder_config)
        self.mask_decoder = MaskDecoder(config.mask_decoder_config)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.prompt_encoder.no_mask_embed.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.prompt_encoder.no_mask_embed.weight.dtype

    @torch.inference_mode()
    def get_image_embeddings(self, pixel_values: Tensor) -> Tensor:
        """Encode (B, 3, S, S) images to (B, C, s, s) embeddings, without gradients."""
        return self.image_encoder(pixel_values.to(self.dtype))

    @torch.no_grad()
    def get_image_wide_positional_embeddings(self) -> Tensor:
        """Return the positional encoding of the embedding grid, (1, C, s, s)."""
        return self.prompt_encoder.image_positions()


def _check_supported(config: SamConfig) -> None:
    """Refuse activations that are not known, and heads that do not fit."""
    parts = (
        ("image encoder", config.vision_config),
        ("prompt encoder", config.prompt_encoder_config),
        ("mask decoder", config.mask_decoder_config),
    )
    for name, part in parts:
        activation = getattr(part, "hidden_act", "gelu")
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise ValueError(
                f"The {name}'s hidden_act is {activation!r}: choose one of "
                f"{', '.join(ACTIVATIONS)}."
            )
    decoder, vision = config.mask_decoder_config, config.vision_config
    # A head of the decoder has a part of the reduced width.
    heads = decoder.num_attention_heads * decoder.attention_downsample_rate
    _check_width("mask decoder", decoder.hidden_size, heads)
    if not isinstance(vision, TinyViTConfig):
        heads = vision.num_attention_heads
        _check_width("image encoder", vision.hidden_size, heads)


def _check_width(name: str, width: int, divisor: int) -> None:
    """Refuse a width that its attention heads do not divide."""
    if width % divisor:
        raise ValueError(
            f"The {name}'s attention heads do not divide its hidden_size {width}: give "
            f"a multiple of {divisor}."
        )
