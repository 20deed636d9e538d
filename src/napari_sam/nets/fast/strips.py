"""Encoder steps for inference that work on part of an image at a time.

An encoder's hidden activations are several times as large as the image's tokens,
67 MB for a stage of LiteMedSAM, and writing and reading them back takes as long
as the arithmetic. Every step here carries one strip of rows through all of its
layers while the strip is in the processor's cache, and adds the result to the
tokens in place. The values are those of the whole-image form up to rounding.

Tokens of one image are (H, W, C) throughout, contiguous: a linear layer and a
convolution in channels-last memory read the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Hidden values in work at a time: 4 MB, which a laptop's last cache level holds.
_STRIP_VALUES = 2**20
# Fewer tokens a product would spend its time on rearranging the weights.
_LEAST_TOKENS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class LinearWeights:
    """Weight and bias of a linear layer or a convolution.

    Parameters
    ----------
    weight : Tensor
        (out, in), or (out, in / groups, kernel, kernel).
    bias : Tensor
        (out,).
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the linear layer to (..., in)."""
        return F.linear(x, self.weight, self.bias)


def gelu_(x: Tensor) -> Tensor:
    """GELU in place."""
    gelled: Tensor = torch.ops.aten.gelu_(x)
    return gelled


def add_mlp_(
    x: Tensor, norm: nn.LayerNorm, first: nn.Linear, second: nn.Linear
) -> None:
    """``x += second(gelu(first(norm(x))))`` for (H, W, C) tokens."""
    tokens = x.view(-1, x.shape[-1])
    for part in torch.split(
        tokens, max(_LEAST_TOKENS, _STRIP_VALUES // first.out_features)
    ):
        part += second(gelu_(first(norm(part))))


def depthwise_strips(
    x: Tensor, expand: LinearWeights, depthwise: LinearWeights, stride: int
) -> Iterator[tuple[slice, Tensor]]:
    """``gelu(depthwise(gelu(expand(x))))``, strip by strip.

    Parameters
    ----------
    x : Tensor
        (H, W, C), H and W multiples of `stride`. Rows of strips that were yielded
        are not read again: the caller may overwrite them.
    expand : LinearWeights
        C to D channels, pixel by pixel.
    depthwise : LinearWeights
        (D, 1, 3, 3), padded with one zero on each side.
    stride : int
        1 or 2.

    Yields
    ------
    rows, strip
        Rows of the result, and (rows, W / stride, D) values.
    """
    height, width, _ = x.shape
    channels = expand.weight.shape[0]
    step = max(1, _STRIP_VALUES // (width * channels) // stride) * stride
    # A strip of rows start ... stop - 1 needs one hidden row more on either side.
    # The last two rows of one strip are the first two of the next.
    hidden = x.new_empty(min(step, height) + 2, width, channels)
    hidden[:2] = 0
    done = 0
    for start in range(0, height, step):
        stop = min(start + step, height)
        upto = min(stop + 1, height)
        known = 1 if start == 0 else 2
        fresh = hidden[known : known + upto - done]
        fresh[...] = gelu_(expand(x[done:upto]))
        last = stop - start + 2
        if stop == height:
            hidden[last - 1] = 0
        strip = F.conv2d(
            hidden[None, :last].permute(0, 3, 1, 2),
            depthwise.weight,
            depthwise.bias,
            stride,
            padding=(0, 1),
            groups=channels,
        )
        hidden[:2] = hidden[last - 2 : last].clone()
        done = upto
        yield (
            slice(start // stride, stop // stride),
            gelu_(strip.permute(0, 2, 3, 1)[0]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class WindowAttention:
    """Attention inside square windows, one row of windows at a time.

    Windows at the right and bottom reach beyond the image. What stands there takes
    part as keys and values, as it did in training, but is the same everywhere:
    it is not projected.

    Parameters
    ----------
    norm : LayerNorm
        Before the projection.
    qkv : LinearWeights
        C to (3, heads, c) channels.
    padding : Tensor
        (3C,) queries, keys and values of a token beyond the image.
    out : Linear
        Projection of what was attended.
    heads, window : int
        Number of heads, tokens along the side of a window.
    bias : callable
        Maps (n, heads, window**2, c) queries to what is added to their scores,
        (n or 1, heads, window**2, window**2).
    """

    norm: nn.LayerNorm
    qkv: LinearWeights
    padding: Tensor
    out: nn.Linear
    heads: int
    window: int
    bias: Callable[[Tensor], Tensor]

    def add_(self, x: Tensor) -> None:
        """``x += attention(x)`` for (H, W, C) tokens."""
        _, width, channels = x.shape
        side = self.window
        across = -(-width // side)
        grid = x.new_empty(side, across * side, 3 * channels)
        grid[:, width:] = self.padding
        for rows in torch.split(x, side):
            count = len(rows)
            grid[:count, :width] = self.qkv(self.norm(rows))
            grid[count:, :width] = self.padding
            q, k, v = (
                grid.view(side, across, side, 3, self.heads, -1)
                .permute(3, 1, 4, 0, 2, 5)  # (3, windows, heads, side, side, c)
                .flatten(3, 4)
            )
            seen = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias(q))
            seen = seen.view(across, self.heads, side, side, -1).permute(2, 0, 3, 1, 4)
            seen = seen.reshape(side, across * side, channels)[:count, :width]
            # One product, not one a row of tokens, as for what is not contiguous.
            rows += self.out(seen.contiguous())
