"""Inference path of TinyViT: the same function, strip by strip.

Batch norms are merged into their convolutions, 1x1 convolutions are linear layers
on (H, W, C) tokens, and every block works in strips of rows, see
`napari_sam.nets.fast.strips`. Differences to `TinyViT` are float32 rounding; a test
compares both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam.nets.fast.strips import (
    LinearWeights,
    WindowAttention,
    add_mlp_,
    depthwise_strips,
    gelu_,
)
from napari_sam.nets.tiny_vit import Downsample, MBConv, TinyViTBlock

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.nets.tiny_vit import ConvNorm, PatchEmbed, Stage, TinyViT

    Step = Callable[[Tensor], Tensor]


class FastTinyViT:
    """TinyViT image encoder for inference on a CPU, without gradients.

    Parameters
    ----------
    encoder : TinyViT
        The encoder whose weights are used; they must not change afterwards.
    """

    @torch.no_grad()
    def __init__(self, encoder: TinyViT) -> None:
        self._steps: list[Step] = [_PatchEmbed(encoder.patch_embed)]
        for stage in encoder.layers:
            self._steps += _steps(cast("Stage", stage))
        self._neck = encoder.neck

    @torch.inference_mode()
    def __call__(self, pixel_values: Tensor) -> Tensor:
        """Encode (B, 3, S, S) images to (B, C, s, s) embeddings."""
        return torch.cat([self._encode(image) for image in pixel_values])

    def _encode(self, image: Tensor) -> Tensor:
        x = image.permute(1, 2, 0).contiguous()
        for step in self._steps:
            x = step(x)
        embedding: Tensor = self._neck(x[None].permute(0, 3, 1, 2))
        return embedding


def _steps(stage: Stage) -> list[Step]:
    steps: list[Step] = []
    for block in (*stage.blocks, stage.downsample):
        if isinstance(block, MBConv):
            steps.append(_MBConv(block))
        elif isinstance(block, TinyViTBlock):
            steps.append(_Block(block))
        elif isinstance(block, Downsample):
            steps.append(_Downsample(block))
    return steps


class _PatchEmbed:
    """Two convolutions, from (H, W, 3) pixels to (H', W', C) tokens."""

    def __init__(self, embed: PatchEmbed) -> None:
        first = cast("ConvNorm", embed.seq[0])
        self._stride = first.c.stride[0]  # the same for both
        self._first, self._second = _folded(first), _folded(embed.seq[2])

    def __call__(self, x: Tensor) -> Tensor:
        first, second = self._first, self._second
        if first.weight.ndim == 2:
            return second(gelu_(first(x)))
        y = x[None].permute(0, 3, 1, 2)
        y = gelu_(F.conv2d(y, first.weight, first.bias, self._stride, padding=1))
        y = F.conv2d(y, second.weight, second.bias, self._stride, padding=1)
        return y.permute(0, 2, 3, 1)[0].contiguous()


class _MBConv:
    """Inverted bottleneck; overwrites its (H, W, C) input."""

    def __init__(self, block: MBConv) -> None:
        self._expand, self._depthwise = _folded(block.conv1), _folded(block.conv2)
        self._shrink = _folded(block.conv3)

    def __call__(self, x: Tensor) -> Tensor:
        for rows, strip in depthwise_strips(x, self._expand, self._depthwise, 1):
            part = x[rows]
            part += self._shrink(strip)
            gelu_(part)
        return x


class _Downsample:
    """Downsampling to the next stage, (H, W, C) to (H', W', C')."""

    def __init__(self, block: Downsample) -> None:
        self._expand, self._depthwise = _folded(block.conv1), _folded(block.conv2)
        self._last = _folded(block.conv3)
        self._stride = block.conv2.c.stride[0]

    def __call__(self, x: Tensor) -> Tensor:
        strips = depthwise_strips(x, self._expand, self._depthwise, self._stride)
        return torch.cat([self._last(strip) for _, strip in strips])


class _Block:
    """Attention in windows, local convolution and MLP; overwrites its input."""

    def __init__(self, block: TinyViTBlock) -> None:
        attention, mlp = block.attn, block.mlp
        heads, norm = attention.heads, attention.norm
        # From (heads, 3, c) channels to (3, heads, c).
        weight, bias = (
            p.view(heads, 3, -1, *p.shape[1:]).transpose(0, 1).reshape(p.shape)
            for p in (attention.qkv.weight, attention.qkv.bias)
        )
        qkv = LinearWeights(weight, bias)
        # Fused attention needs a bias with an axis for the windows.
        scores = attention.attention_biases[:, attention.bias_index][None].contiguous()
        self._attention = WindowAttention(
            norm=norm,
            qkv=qkv,
            padding=qkv(norm.bias),  # the norm of zeros
            out=attention.proj,
            heads=heads,
            window=block.window,
            bias=lambda q: scores,
        )
        self._local = _folded(block.local_conv)
        self._mlp = (mlp.norm, mlp.fc1, mlp.fc2)

    def __call__(self, x: Tensor) -> Tensor:
        self._attention.add_(x)
        local = F.conv2d(
            x[None].permute(0, 3, 1, 2),
            self._local.weight,
            self._local.bias,
            padding=1,
            groups=x.shape[-1],
        )
        x = local.permute(0, 2, 3, 1)[0].contiguous()
        add_mlp_(x, *self._mlp)
        return x


def _folded(conv: nn.Module) -> LinearWeights:
    """Merge a convolution with its norm; a 1x1 kernel becomes a linear layer."""
    weight, bias = cast("ConvNorm", conv).folded()
    return LinearWeights(weight.flatten(1) if weight.shape[-1] == 1 else weight, bias)
