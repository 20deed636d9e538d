"""Encoder layers for inference that process an image in strips of rows.

The hidden activations of an encoder are several times as large as the tokens, 67 MB for
a stage of LiteMedSAM; writing and reading them takes as long as the arithmetic. Each
function here computes all layers of a strip of rows while the strip is in the CPU
cache, and adds the result to the tokens in place. The values are those of the plain
form up to rounding.

Tokens of an image are always (H, W, C) and contiguous, which linear layers and
convolutions in channels-last memory read without a copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Hidden values of a strip: 4 MB, which fit the last cache level of a laptop.
_STRIP_VALUES = 2**20
# With fewer tokens a product spends its time on rearranging the weights.
_MIN_TOKENS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class LinearWeights:
    """Weights of a linear layer or a convolution.

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
    """Apply GELU in place."""
    result: Tensor = torch.ops.aten.gelu_(x)
    return result


def add_mlp_(
    x: Tensor, norm: nn.LayerNorm, first: nn.Linear, second: nn.Linear
) -> None:
    """Compute ``x += second(gelu(first(norm(x))))`` for (H, W, C) tokens."""
    tokens = x.view(-1, x.shape[-1])
    for part in torch.split(
        tokens, max(_MIN_TOKENS, _STRIP_VALUES // first.out_features)
    ):
        part += second(gelu_(first(norm(part))))


def depthwise_strips(
    x: Tensor, expand: LinearWeights, depthwise: LinearWeights, stride: int
) -> Iterator[tuple[slice, Tensor]]:
    """Compute ``gelu(depthwise(gelu(expand(x))))`` strip by strip.

    Parameters
    ----------
    x : Tensor
        (H, W, C), H and W multiples of `stride`. Rows of yielded strips are not read
        again, so that the caller may overwrite them.
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
    # A strip of rows start ... stop - 1 needs one more hidden row at each side. The
    # last two rows of a strip are the first two of the next.
    hidden = x.new_empty(min(step, height) + 2, width, channels)
    hidden[:2] = 0
    done = 0
    for start in range(0, height, step):
        stop = min(start + step, height)
        end = min(stop + 1, height)
        reused = 1 if start == 0 else 2
        hidden[reused : reused + end - done] = gelu_(expand(x[done:end]))
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
        done = end
        yield (
            slice(start // stride, stop // stride),
            gelu_(strip.permute(0, 2, 3, 1)[0]),
        )


@dataclass(frozen=True, slots=True, eq=False)
class WindowAttention:
    """Attention inside square windows, computed for one row of windows at a time.

    Windows at the right and bottom extend beyond the image. The padded tokens take part
    as keys and values, as in training, but are all the same and need no projection.

    Parameters
    ----------
    norm : LayerNorm
        Layer norm before the projection.
    qkv : LinearWeights
        C to (3, heads, c) channels.
    padding : Tensor
        (3C,) query, key and value of a padded token.
    out : Linear
        Output projection.
    heads, window : int
        Number of heads, and side of a window in tokens.
    bias : callable
        Maps (n, heads, window**2, c) queries to the bias of their scores, (n or 1,
        heads, window**2, window**2).
    """

    norm: nn.LayerNorm
    qkv: LinearWeights
    padding: Tensor
    out: nn.Linear
    heads: int
    window: int
    bias: Callable[[Tensor], Tensor]

    def add_(self, x: Tensor) -> None:
        """Compute ``x += attention(x)`` for (H, W, C) tokens."""
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
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=self.bias(q))
            attended = attended.view(across, self.heads, side, side, -1)
            attended = attended.permute(2, 0, 3, 1, 4)
            attended = attended.reshape(side, across * side, channels)[:count, :width]
            # Contiguous for a single product instead of one for each row of tokens.
            rows += self.out(attended.contiguous())
