"""Small random model of segment-anything, which the benchmarks compare with ours."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch


def random_sam(seed: int, *, side: int, patch_size: int, window_size: int) -> Any:
    """Build a model of segment-anything with two layers.

    Parameters
    ----------
    seed : int
        Determines the weights.
    side, patch_size, window_size : int
        Of the input, of its patches, and of the windows of the attention, in pixels of
        the input and in patches.

    Returns
    -------
    segment_anything.modeling.Sam
        Ready to predict. Weights that begin as zeros are random, too, and most others
        three times as large, so that differences show.
    """
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    torch.manual_seed(seed)
    encoder = ImageEncoderViT(
        depth=2,
        embed_dim=32,
        img_size=side,
        mlp_ratio=4,
        norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
        num_heads=2,
        patch_size=patch_size,
        qkv_bias=True,
        use_rel_pos=True,
        global_attn_indexes=[1],
        window_size=window_size,
        out_chans=64,
    )
    decoder = MaskDecoder(
        num_multimask_outputs=3,
        transformer=TwoWayTransformer(2, 64, 8, 128),
        transformer_dim=64,
        iou_head_depth=3,
        iou_head_hidden_dim=32,
    )
    grid = side // patch_size
    prompts = PromptEncoder(64, (grid, grid), (side, side), 16)
    sam = Sam(encoder, prompts, decoder).eval()
    with torch.no_grad():
        for name, parameter in sam.named_parameters():
            if not parameter.any():
                parameter.normal_(std=0.1)
            elif "norm" not in name and parameter.ndim > 1:
                parameter.mul_(3)
    return sam
