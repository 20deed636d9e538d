"""The ViT image encoder of SAM, with fused attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam.nets.common import Mlp, neck

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam.nets.config import SamVisionConfig

# With more entries the position bias of all heads would take hundreds of megabytes:
# heads are then computed one after the other in one buffer.
_MAX_JOINT_BIAS = 2**24


class ImageEncoderViT(nn.Module):
    """Plain ViT with windowed and global attention blocks.

    Source: Li et al. 2022, "Exploring plain vision transformer backbones for
    object detection"; Kirillov et al. 2023, "Segment Anything", appendix A.
    """

    def __init__(self, config: SamVisionConfig) -> None:
        super().__init__()
        grid, width = config.embedding_size, config.hidden_size
        self.image_size = config.image_size
        self.patch_embed = PatchEmbed(config)
        self.pos_embed: nn.Parameter | None = None
        if config.use_abs_pos:
            self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, width))
        self.blocks = nn.ModuleList(
            Block(config, 0 if i in config.global_attn_indexes else config.window_size)
            for i in range(config.num_hidden_layers)
        )
        self.neck = neck(width, config.output_channels)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Encode images.

        Parameters
        ----------
        pixel_values : Tensor
            (B, 3, S, S) float, normalised and padded to the input size S.

        Returns
        -------
        Tensor
            (B, C, S / patch, S / patch) image embeddings.
        """
        x = self.patch_embed(pixel_values)
        if self.pos_embed is not None:
            x = x + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.neck(x.permute(0, 3, 1, 2))


class PatchEmbed(nn.Module):
    """Projection of image patches to tokens."""

    def __init__(self, config: SamVisionConfig) -> None:
        super().__init__()
        patch = config.patch_size
        self.proj = nn.Conv2d(config.num_channels, config.hidden_size, patch, patch)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, 3, S, S) pixels to (B, S / patch, S / patch, C) tokens."""
        return self.proj(x).permute(0, 2, 3, 1)


class Block(nn.Module):
    """Transformer block with attention in windows, or global when `window` is 0."""

    def __init__(self, config: SamVisionConfig, window: int) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        assert config.mlp_dim is not None
        self.window = window
        self.norm1 = nn.LayerNorm(width, eps)
        self.attn = Attention(config, window or config.embedding_size)
        self.norm2 = nn.LayerNorm(width, eps)
        self.mlp = Mlp(width, config.mlp_dim, config.hidden_act)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) tokens to the same shape."""
        attended = self.norm1(x)
        if self.window:
            windows, padded = split_windows(attended, self.window)
            attended = join_windows(self.attn(windows), padded, x.shape[1:3])
        else:
            attended = self.attn(attended)
        x = x + attended
        return x + self.mlp(self.norm2(x))

    def with_attention(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Also return the attention that was used, (B * windows * heads, N, N)."""
        attended = self.norm1(x)
        if self.window:
            windows, padded = split_windows(attended, self.window)
            windows, weights = self.attn.with_weights(windows)
            attended = join_windows(windows, padded, x.shape[1:3])
        else:
            attended, weights = self.attn.with_weights(attended)
        x = x + attended
        return x + self.mlp(self.norm2(x)), weights


class Attention(nn.Module):
    """Multi-head attention with decomposed relative positions.

    The bias of query (y, x) and key (v, u) is ``q . R_h[y - v] + q . R_w[x - u]``
    (Li et al. 2022, "MViTv2", section 4.1), the additive mask of fused attention.
    """

    def __init__(self, config: SamVisionConfig, grid: int) -> None:
        super().__init__()
        width, self.heads = config.hidden_size, config.num_attention_heads
        self.qkv = nn.Linear(width, 3 * width, bias=config.qkv_bias)
        self.proj = nn.Linear(width, width)
        self.rel_pos_h: nn.Parameter | None = None
        self.rel_pos_w: nn.Parameter | None = None
        if config.use_rel_pos:
            shape = 2 * grid - 1, width // self.heads
            self.rel_pos_h = nn.Parameter(torch.zeros(shape))
            self.rel_pos_w = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) tokens to the same shape."""
        b, h, w, c = x.shape
        q, k, v = self._project(x)
        if self.rel_pos_h is None:
            out = F.scaled_dot_product_attention(q, k, v)
        elif b * self.heads * (h * w) ** 2 <= _MAX_JOINT_BIAS:
            bias_h, bias_w = self._bias(q, h, w)
            bias = (bias_h + bias_w).flatten(-2)
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        else:
            out = _attend_head_by_head(q, k, v, *self._bias(q, h, w))
        return self.proj(out.transpose(1, 2).reshape(b, h, w, c))

    def with_weights(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Also return the weights, (B * heads, HW, HW), which `forward` never holds."""
        b, h, w, c = x.shape
        q, k, v = self._project(x)
        scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
        if self.rel_pos_h is not None:
            bias_h, bias_w = self._bias(q, h, w)
            scores = scores + (bias_h + bias_w).flatten(-2)
        weights = scores.softmax(-1, torch.float32).to(q.dtype)
        weights = weights.flatten(0, 1)
        out = weights.unflatten(0, (b, self.heads)) @ v
        return self.proj(out.transpose(1, 2).reshape(b, h, w, c)), weights

    def relative_positions(self, h: int, w: int) -> tuple[Tensor, Tensor]:
        """Look up the (h, h, c) and (w, w, c) positions of rows and columns."""
        assert self.rel_pos_h is not None
        assert self.rel_pos_w is not None
        return relative(self.rel_pos_h, h), relative(self.rel_pos_w, w)

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute queries, keys and values, each (B, heads, HW, c)."""
        b, h, w, c = x.shape
        qkv = self.qkv(x).view(b, h * w, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def _bias(self, q: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
        """Compute the bias of rows and of columns for (B, heads, HW, c) queries."""
        grid_q = q.reshape(*q.shape[:2], h, w, -1)
        rows, cols = self.relative_positions(h, w)
        bias_h = torch.einsum("bnyxc,yvc->bnyxv", grid_q, rows)
        bias_w = torch.einsum("bnyxc,xuc->bnyxu", grid_q, cols)
        bias_h = bias_h.reshape(*q.shape[:3], h, 1)
        bias_w = bias_w.reshape(*q.shape[:3], 1, w)
        return bias_h, bias_w


def _attend_head_by_head(
    q: Tensor, k: Tensor, v: Tensor, bias_h: Tensor, bias_w: Tensor
) -> Tensor:
    """Attend with the bias of a single image and head in memory at a time."""
    out = torch.empty_like(v)
    # One buffer for all heads: new memory of this size costs page faults. Autograd
    # needs the bias of each head, so the buffer is for inference only.
    reuse = not torch.is_grad_enabled()
    buffer = q.new_empty(q.shape[2], bias_h.shape[3], bias_w.shape[4])
    heads = []
    for image in range(q.shape[0]):
        for head in range(q.shape[1]):
            head_window = (slice(image, image + 1), slice(head, head + 1))
            bias = torch.add(
                bias_h[image, head], bias_w[image, head], out=buffer if reuse else None
            )
            attended = F.scaled_dot_product_attention(
                q[head_window],
                k[head_window],
                v[head_window],
                attn_mask=bias.flatten(-2)[None, None],
            )
            if reuse:
                out[head_window] = attended
            else:
                heads.append(attended)
    return out if reuse else torch.cat(heads, 1).view_as(q)


def relative(table: Tensor, size: int) -> Tensor:
    """Look up the relative positions of a row of tokens.

    Parameters
    ----------
    table : Tensor
        (2 * size - 1, c), from the most negative offset to the most positive.
    size : int
        Number of tokens along the axis.

    Returns
    -------
    Tensor
        (size, size, c), entry [q, k] for the offset q - k.
    """
    index = torch.arange(size, device=table.device)
    return table[index[:, None] - index[None, :] + size - 1]


def split_windows(x: Tensor, window: int) -> tuple[Tensor, tuple[int, int]]:
    """Split (B, H, W, C) into (B * n, window, window, C), padded with zeros.

    Returns the windows and the padded (H, W). `join_windows` is the inverse.
    """
    b, h, w, c = x.shape
    x = F.pad(x, (0, 0, 0, -w % window, 0, -h % window))
    rows, cols = x.shape[1] // window, x.shape[2] // window
    x = x.view(b, rows, window, cols, window, c).transpose(2, 3)
    return x.reshape(-1, window, window, c), (rows * window, cols * window)


def join_windows(x: Tensor, padded: tuple[int, int], size: Sequence[int]) -> Tensor:
    """Invert `split_windows`: (B * n, window, window, C) to (B, *size, C)."""
    window, c = x.shape[1], x.shape[3]
    rows, cols = padded[0] // window, padded[1] // window
    x = x.view(-1, rows, cols, window, window, c).transpose(2, 3)
    return x.reshape(-1, *padded, c)[:, : size[0], : size[1]]
