"""Inference path of ViT: the same function, in buffers that are used again.

At 1024 pixels the position bias of one global block is heads x 4096 x 4096 values,
805 MB for ViT-B. Writing it takes longer than the arithmetic of the attention, so it is
computed for one head and some rows of queries at a time, in a few megabytes that are
used again. Windows and the MLP are computed strip by strip, see
`napari_sam.nets.fast.strips`. Differences to `ImageEncoderViT` are float32 rounding; a
test compares both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam.nets.fast.strips import LinearWeights, WindowAttention, add_mlp_

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.nets.image_encoder import Attention, Block, ImageEncoderViT

# Bias values computed at a time: 16 MB.
_BIAS_VALUES = 2**22


class FastViT:
    """ViT image encoder for inference on a CPU, without gradients.

    Parameters
    ----------
    encoder : ImageEncoderViT
        The encoder whose weights are used; they must not change afterwards. One with
        blocks that no published SAM has is called as it is.
    """

    @torch.no_grad()
    def __init__(self, encoder: ImageEncoderViT) -> None:
        self._encoder = encoder
        blocks = [cast("Block", block) for block in encoder.blocks]
        self._is_usual = encoder.pos_embed is not None and all(map(_is_usual, blocks))
        self._blocks = [_Block(block) for block in blocks] if self._is_usual else []

    @torch.inference_mode()
    def __call__(self, pixel_values: Tensor) -> Tensor:
        """Encode (B, 3, S, S) images to (B, C, s, s) embeddings."""
        if not self._is_usual:
            embeddings: Tensor = self._encoder(pixel_values)
            return embeddings
        return torch.cat([self._encode(image[None]) for image in pixel_values])

    def _encode(self, image: Tensor) -> Tensor:
        x = (self._encoder.patch_embed(image) + self._encoder.pos_embed)[0].contiguous()
        for block in self._blocks:
            block.update_(x)
        embedding: Tensor = self._encoder.neck(x[None].permute(0, 3, 1, 2))
        return embedding


def _is_usual(block: Block) -> bool:
    return block.attn.rel_pos_h is not None and block.mlp.act.name == "gelu"


class _Block:
    """Windowed or global attention, and an MLP."""

    def __init__(self, block: Block) -> None:
        attention = block.attn
        projection = _projection(attention.qkv)
        self._attention: WindowAttention | _GlobalAttention
        if block.window:
            self._attention = WindowAttention(
                norm=block.norm1,
                qkv=projection,
                padding=projection.bias,  # the projection of zeros
                out=attention.proj,
                heads=attention.heads,
                window=block.window,
                bias=_window_bias(attention, block.window),
            )
        else:
            self._attention = _GlobalAttention(block, projection)
        self._mlp = (block.norm2, block.mlp.lin1, block.mlp.lin2)

    def update_(self, x: Tensor) -> None:
        """Update (H, W, C) tokens in place."""
        self._attention.add_(x)
        add_mlp_(x, *self._mlp)


def _projection(linear: nn.Linear) -> LinearWeights:
    """Return the weights, with zeros for a missing bias."""
    bias: Tensor | None = linear.bias
    if bias is None:
        bias = linear.weight.new_zeros(linear.out_features)
    return LinearWeights(linear.weight, bias)


def _window_bias(attention: Attention, window: int) -> Callable[[Tensor], Tensor]:
    rows, cols = attention.relative_positions(window, window)

    def bias(q: Tensor) -> Tensor:
        """Map (n, heads, L, c) queries to (n, heads, L, L), L = window**2."""
        by_row, by_col = _relative_scores(
            q.view(*q.shape[:2], window, window, -1), rows, cols
        )
        return (by_row[..., None] + by_col[..., None, :]).view(*q.shape[:3], -1)

    return bias


class _GlobalAttention:
    """Attention of all tokens to all tokens."""

    def __init__(self, block: Block, qkv: LinearWeights) -> None:
        self._norm, self._qkv, self._out = block.norm1, qkv, block.attn.proj
        self._heads = block.attn.heads
        assert block.attn.rel_pos_h is not None
        size = (len(block.attn.rel_pos_h) + 1) // 2
        self._rows, self._cols = block.attn.relative_positions(size, size)

    def add_(self, x: Tensor) -> None:
        """Compute ``x += attention(x)`` for (H, W, C) tokens."""
        height, width, _ = x.shape
        qkv = self._qkv(self._norm(x)).view(height * width, 3, self._heads, -1)
        q, k, v = qkv.permute(1, 2, 0, 3).unbind(0)  # each (heads, HW, c)
        step = max(1, min(height, _BIAS_VALUES // (width * height * width)))
        buffer = x.new_empty(step, width, height, width)
        attended = x.new_empty(height * width, self._heads, q.shape[-1])
        for head in range(self._heads):
            keys, values = k[head].contiguous(), v[head].contiguous()
            by_row, by_col = _relative_scores(
                q[head].view(height, width, -1), self._rows, self._cols
            )
            for start in range(0, height, step):
                stop = min(start + step, height)
                part = slice(start * width, stop * width)
                bias = torch.add(
                    by_row[start:stop, :, :, None],
                    by_col[start:stop, :, None],
                    out=buffer[: stop - start],
                )
                attended[part, head] = F.scaled_dot_product_attention(
                    q[head, part][None, None],
                    keys[None, None],
                    values[None, None],
                    attn_mask=bias.view(1, 1, -1, height * width),
                )[0, 0]
        x += self._out(attended.view(x.shape))


def _relative_scores(q: Tensor, rows: Tensor, cols: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the terms of the position bias of (..., y, x, c) queries.

    From (y, H, c) and (x, W, c) relative positions, the results are (..., y, x, H) and
    (..., y, x, W): the bias of key (v, u) is ``q . R_h[y - v] + q . R_w[x - u]``.
    """
    by_row = torch.matmul(q, rows.transpose(1, 2))
    by_col = torch.matmul(q.transpose(-3, -2), cols.transpose(1, 2)).transpose(-3, -2)
    return by_row, by_col
