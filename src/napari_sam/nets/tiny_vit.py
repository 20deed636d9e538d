"""The TinyViT image encoder of MobileSAM and LiteMedSAM."""

from __future__ import annotations

from collections import OrderedDict
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam.nets.common import neck
from napari_sam.nets.config import TinyViTConfig, downsampling_stride
from napari_sam.nets.image_encoder import join_windows, split_windows

_LOCAL_KERNEL = 3
_EXPAND_RATIO = 4


class TinyViT(nn.Module):
    """Hierarchical encoder: one convolutional stage, then windowed attention.

    Source: Wu et al. 2022, "TinyViT: fast pretraining distillation for small
    vision transformers", with the strides of MobileSAM (Zhang et al. 2023).
    All activations are (B, C, H, W) in channels-last memory, which convolutions and
    linear layers read without a copy.
    """

    def __init__(self, config: TinyViTConfig) -> None:
        super().__init__()
        self.image_size = config.image_size
        dims = config.embed_dims
        self.patch_embed = PatchEmbed(dims[0], config.patch_kernel)
        self.layers = nn.ModuleList()
        for i, (width, depth) in enumerate(zip(dims, config.depths, strict=True)):
            blocks: list[nn.Module] = [
                MBConv(width)
                if i == 0
                else TinyViTBlock(
                    width, config.num_heads[i], config.window_sizes[i], config.mlp_ratio
                )
                for _ in range(depth)
            ]
            next_width = dims[i + 1] if i + 1 < len(dims) else None
            self.layers.append(Stage(blocks, width, next_width))
        self.neck = neck(dims[-1], config.output_channels)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Encode images: (B, 3, S, S) to (B, C, 64, 64) for the published sizes."""
        x = pixel_values.contiguous(memory_format=torch.channels_last)
        x = self.patch_embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.neck(x)

    def fold_batch_norms(self) -> None:
        """Merge every batch norm into its convolution, for inference only."""
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fold()


class ConvNorm(nn.Sequential):
    """Convolution and batch norm, which `fold` merges into one convolution."""

    c: nn.Conv2d

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        conv = nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        super().__init__(OrderedDict(c=conv, bn=nn.BatchNorm2d(outputs)))

    @torch.no_grad()
    def fold(self) -> None:
        """Merge the batch norm into the convolution."""
        weight, bias = self.folded()
        self.c.weight = nn.Parameter(weight, requires_grad=False)
        self.c.bias = nn.Parameter(bias, requires_grad=False)
        if hasattr(self, "bn"):
            del self.bn

    def folded(self) -> tuple[Tensor, Tensor]:
        """Return the kernel and bias of the convolution with the batch norm merged."""
        if self.c.bias is not None:
            return self.c.weight, self.c.bias
        norm = cast("nn.BatchNorm2d", self.bn)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        weight = self.c.weight * gain[:, None, None, None]
        return (
            weight.contiguous(memory_format=torch.channels_last),
            norm.bias - norm.running_mean * gain,
        )


class PatchEmbed(nn.Module):
    """Two convolutions: 3x3 with stride 2 each, or 1x1 with stride 1 each."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        stride = 2 if kernel == 3 else 1
        self.seq = nn.Sequential(
            ConvNorm(3, width // 2, kernel, stride),
            nn.GELU(),
            ConvNorm(width // 2, width, kernel, stride),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, S, S) to (B, C, S', S')."""
        return self.seq(x)


class Stage(nn.Module):
    """Blocks of one width, then the downsampling to the next width."""

    def __init__(
        self, blocks: list[nn.Module], width: int, next_width: int | None
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = (
            nn.Identity() if next_width is None else Downsample(width, next_width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H', W')."""
        for block in self.blocks:
            x = block(x)
        return self.downsample(x)


class Downsample(nn.Module):
    """Downsampling to the next stage: 1x1, depthwise 3x3 (strided), 1x1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = downsampling_stride(outputs)
        self.conv1 = ConvNorm(inputs, outputs, 1)
        self.conv2 = ConvNorm(outputs, outputs, 3, stride, groups=outputs)
        self.conv3 = ConvNorm(outputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H', W')."""
        return self.conv3(F.gelu(self.conv2(F.gelu(self.conv1(x)))))


class MBConv(nn.Module):
    """Inverted bottleneck (Sandler et al. 2018, "MobileNetV2")."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = width * _EXPAND_RATIO
        self.conv1 = ConvNorm(width, hidden, 1)
        self.conv2 = ConvNorm(hidden, hidden, 3, groups=hidden)
        self.conv3 = ConvNorm(hidden, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        hidden = F.gelu(self.conv2(F.gelu(self.conv1(x))))
        return F.gelu(x + self.conv3(hidden))


class TinyViTBlock(nn.Module):
    """Transformer block: attention in windows, a local convolution, an MLP."""

    def __init__(self, width: int, heads: int, window: int, mlp_ratio: int) -> None:
        super().__init__()
        self.window = window
        self.attn = WindowAttention(width, heads, window)
        self.local_conv = ConvNorm(width, width, _LOCAL_KERNEL, groups=width)
        self.mlp = NormMlp(width, width * mlp_ratio)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        tokens = x.permute(0, 2, 3, 1)  # (B, H, W, C), no copy in channels-last
        windows, padded = split_windows(tokens, self.window)
        attended = self.attn(windows.flatten(1, 2)).view_as(windows)
        tokens = tokens + join_windows(attended, padded, tokens.shape[1:3])
        tokens = self.local_conv(tokens.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return (tokens + self.mlp(tokens)).permute(0, 3, 1, 2)


class NormMlp(nn.Module):
    """Layer norm and an MLP with GELU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C)."""
        return self.fc2(F.gelu(self.fc1(self.norm(x))))


class WindowAttention(nn.Module):
    """Attention inside one window, with a learned bias for each offset."""

    bias_index: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window**2))
        # Also created inside a meta-device context, as the index is not in the file.
        self.register_buffer("bias_index", offset_index(window), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (windows, N, C) to the same shape; padded tokens take part."""
        n, tokens, _ = x.shape
        qkv = self.qkv(self.norm(x)).view(n, tokens, self.heads, -1)
        q, k, v = qkv.transpose(1, 2).chunk(3, -1)
        bias = self.attention_biases[:, self.bias_index][None]
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        return self.proj(out.transpose(1, 2).flatten(2))


def offset_index(window: int) -> Tensor:
    """Return the index of the bias for each pair of positions in a window.

    The result is (N, N) int64, N = window**2: the number of the absolute offset
    (|dy|, |dx|) in row-major order, dy * window + dx.
    """
    with torch.device("cpu"):
        y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
        y, x = y.flatten(), x.flatten()
        dy = (y[:, None] - y[None, :]).abs()
        dx = (x[:, None] - x[None, :]).abs()
        return dy * window + dx
