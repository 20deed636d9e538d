"""Inference of a model's sizes from the shapes in its state dict."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_sam.nets.config import (
    SamConfig,
    SamMaskDecoderConfig,
    SamPromptEncoderConfig,
    SamVisionConfig,
    TinyViTConfig,
    downsampling_stride,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor


def infer_config(
    state: Mapping[str, Tensor], decoder: SamMaskDecoderConfig, *, source: str
) -> SamConfig:
    """Infer all sizes from a state dict with official keys.

    Parameters
    ----------
    state : Mapping
        Tensors by their official keys.
    decoder : SamMaskDecoderConfig
        Gives the number of heads and the epsilon, which shapes do not tell.
    source : str
        Name of the file in error messages.

    Raises
    ------
    ValueError
        When a tensor that is needed for a size is missing.
    """
    try:
        vision: SamVisionConfig | TinyViTConfig
        if "image_encoder.patch_embed.proj.weight" in state:
            vision = _infer_vit(state)
        else:
            vision = _infer_tiny_vit(state)
        return SamConfig(
            vision_config=vision,
            prompt_encoder_config=_infer_prompt_encoder(state, vision),
            mask_decoder_config=_infer_mask_decoder(state, decoder),
        )
    except (KeyError, IndexError, ZeroDivisionError) as error:
        missing = error.args[0] if isinstance(error, KeyError) else "sizes"
        raise ValueError(
            f"{source} is not a SAM checkpoint of a known architecture "
            f"(ViT or TinyViT): {missing} is missing."
        ) from error


def _infer_vit(state: Mapping[str, Tensor]) -> SamVisionConfig:
    prefix = "image_encoder."
    width, channels, patch, _ = state[f"{prefix}patch_embed.proj.weight"].shape
    grid = state[f"{prefix}pos_embed"].shape[1]
    depth = _count(state, prefix + r"blocks\.(\d+)\.")
    tables = [state[f"{prefix}blocks.{i}.attn.rel_pos_h"].shape for i in range(depth)]
    sizes = [(rows + 1) // 2 for rows, _ in tables]
    windows = {size for size in sizes if size != grid}
    mlp_dim = state[f"{prefix}blocks.0.mlp.lin1.weight"].shape[0]
    return SamVisionConfig(
        hidden_size=width,
        output_channels=state[f"{prefix}neck.0.weight"].shape[0],
        num_hidden_layers=depth,
        num_attention_heads=width // tables[0][1],
        num_channels=channels,
        image_size=grid * patch,
        patch_size=patch,
        window_size=max(windows, default=0),
        global_attn_indexes=tuple(i for i, size in enumerate(sizes) if size == grid),
        qkv_bias=f"{prefix}blocks.0.attn.qkv.bias" in state,
        mlp_dim=mlp_dim,
        mlp_ratio=mlp_dim / width,
    )


def _infer_tiny_vit(state: Mapping[str, Tensor]) -> TinyViTConfig:
    prefix = "image_encoder."
    kernel = state[f"{prefix}patch_embed.seq.0.c.weight"].shape[-1]
    stages = _count(state, prefix + r"layers\.(\d+)\.")
    dims = [state[f"{prefix}patch_embed.seq.2.c.weight"].shape[0]]
    dims += [
        state[f"{prefix}layers.{i}.downsample.conv3.c.weight"].shape[0]
        for i in range(stages - 1)
    ]
    heads, windows = [1], [1]
    for i in range(1, stages):
        table = state[f"{prefix}layers.{i}.blocks.0.attn.attention_biases"]
        heads.append(table.shape[0])
        windows.append(math.isqrt(table.shape[1]))
    hidden = state[f"{prefix}layers.1.blocks.0.mlp.fc1.weight"].shape[0]
    # All published files have a 64 x 64 embedding, which gives the input size.
    strides = math.prod(downsampling_stride(width) for width in dims[1:])
    return TinyViTConfig(
        image_size=64 * strides * (4 if kernel == 3 else 1),
        patch_kernel=kernel,
        embed_dims=tuple(dims),
        depths=tuple(
            _count(state, prefix + rf"layers\.{i}\.blocks\.(\d+)\.")
            for i in range(stages)
        ),
        num_heads=tuple(heads),
        window_sizes=tuple(windows),
        mlp_ratio=hidden // dims[1],
        output_channels=state[f"{prefix}neck.0.weight"].shape[0],
    )


def _infer_prompt_encoder(
    state: Mapping[str, Tensor], vision: SamVisionConfig | TinyViTConfig
) -> SamPromptEncoderConfig:
    prefix = "prompt_encoder."
    return SamPromptEncoderConfig(
        hidden_size=state[f"{prefix}no_mask_embed.weight"].shape[1],
        image_size=vision.image_size,
        patch_size=vision.image_size // vision.embedding_size,
        mask_input_channels=state[f"{prefix}mask_downscaling.3.weight"].shape[0],
        num_point_embeddings=_count(state, prefix + r"point_embeddings\.(\d+)\."),
    )


def _infer_mask_decoder(
    state: Mapping[str, Tensor], decoder: SamMaskDecoderConfig
) -> SamMaskDecoderConfig:
    prefix = "mask_decoder."
    width = state[f"{prefix}iou_token.weight"].shape[1]
    attention = f"{prefix}transformer.final_attn_token_to_image"
    return replace(
        decoder,
        hidden_size=width,
        mlp_dim=state[f"{prefix}transformer.layers.0.mlp.lin1.weight"].shape[0],
        num_hidden_layers=_count(state, prefix + r"transformer\.layers\.(\d+)\."),
        attention_downsample_rate=width // state[f"{attention}.q_proj.weight"].shape[0],
        num_multimask_outputs=state[f"{prefix}mask_tokens.weight"].shape[0] - 1,
        iou_head_depth=_count(state, prefix + r"iou_prediction_head\.layers\.(\d+)\."),
        iou_head_hidden_dim=state[f"{prefix}iou_prediction_head.layers.0.weight"].shape[
            0
        ],
    )


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """Count numbered modules: one more than the largest number in the keys."""
    matches = (re.match(pattern, key) for key in state)
    return 1 + max((int(match[1]) for match in matches if match), default=-1)
