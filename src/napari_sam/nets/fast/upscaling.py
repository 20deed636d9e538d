"""Upscaling in the mask decoder: from image tokens to masks in a few large products.

A transposed convolution whose kernel is as large as its stride is a matrix product
for each of its four offsets. Only the requested masks are computed.

The first of the two does not need its input x_L. Block k of the transformer computes
the image tokens ``x_k = norm(x_(k-1) + A_k M_k)`` from weights A_k of (N, K) and values
M_k of (K, C), with K of about 56 and C = 256 channels. A norm is ``r P(y) g + b``: P
subtracts the mean over the channels, and r is 1 over their deviation, one number for
each token. All but r is linear, so with ``V_k = g_k P V_(k+1)``, starting from the
weights W of the convolution,

    W(x_L) = d_1 x_0 V_1 + sum over k of d_k A_k (M_k + b_(k-1)) V_k + const,

where d_k is the product of r_k to r_L, and b_(k-1) is added to the values because the
weights A_k of one head sum to 1. The term of x_0 depends on the image alone. What
remains is two products of (N, 56) instead of one of (N, 256).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam.nets.common import LayerNorm2d
from napari_sam.nets.fast.strips import LinearWeights, gelu_

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True, eq=False)
class TokenUpdate:
    """Update of the image tokens by a block: ``norm(x + weights @ values)``.

    Parameters
    ----------
    weights : Tensor
        (B, N, T * h) attention of the image to T tokens in h heads.
    values : Tensor
        (B, T, h, C).
    deviation : Tensor
        (B, N, 1), 1 over the deviation in the norm.
    """

    weights: Tensor
    values: Tensor
    deviation: Tensor


class Upscaling:
    """Both transposed convolutions and the product with the mask kernels.

    Output row 4y + 2a + b and column 4x + 2c + d come from token (y, x) by offset
    (a, c) of the first convolution and (b, d) of the second. For each a and b the rows
    of all products are in the order (y, x, c, d), that of complete rows of the mask.
    This also keeps the temporary tensors small.

    Parameters
    ----------
    upscaling : Sequential
        Layers of the plain decoder.
    norms : sequence of LayerNorm
        Last norms of the blocks of the transformer, first to last.
    """

    def __init__(self, upscaling: nn.Sequential, norms: Sequence[nn.LayerNorm]) -> None:
        first, norm, second = upscaling[0], upscaling[1], upscaling[3]
        assert isinstance(first, nn.ConvTranspose2d)
        assert isinstance(norm, LayerNorm2d)
        assert isinstance(second, nn.ConvTranspose2d)
        self._first, self._second = _row_products(first), _row_products(second)
        self._incremental = [_IncrementalLinear(first, norms) for first in self._first]
        self._norm = norm

    def project(self, image: Tensor) -> list[Tensor]:
        """Project the (1, N, C) tokens before all blocks, for `from_updates`."""
        return [torch.matmul(image, linear.maps[0]) for linear in self._incremental]

    def from_tokens(self, image: Tensor, kernels: Tensor) -> Tensor:
        """Map (B, N, C) tokens and (B, M, C / 8) kernels to (B, M, 4S, 4S) logits."""
        return self._masks((first(image) for first in self._first), kernels)

    def from_updates(
        self, projected: list[Tensor], updates: Sequence[TokenUpdate], kernels: Tensor
    ) -> Tensor:
        """Do the same from the output of `project` and the updates by the blocks."""
        deviations = [update.deviation for update in reversed(updates)]
        scales = list(accumulate(deviations, mul))[::-1]
        weights = [u.weights * d for u, d in zip(updates, scales, strict=True)]
        values = [update.values for update in updates]
        coarse = (
            linear(base, scales[0], weights, values)
            for linear, base in zip(self._incremental, projected, strict=True)
        )
        return self._masks(coarse, kernels)

    def _masks(self, coarse: Iterator[Tensor], kernels: Tensor) -> Tensor:
        """Compute masks from (B, N, 2 * C / 4) of the first convolution, for each a."""
        batch, count, _ = kernels.shape
        norm, masks = self._norm, None
        for a, x in enumerate(coarse):
            n = x.shape[1]
            size = math.isqrt(n)
            if masks is None:
                masks = x.new_empty(batch, count, size, 2, 2, 4 * size)
            x = x.view(batch, 2 * n, -1)  # rows (y, x, c)
            x = F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)
            x = gelu_(x)
            for b, second in enumerate(self._second):
                fine = gelu_(second(x)).view(batch, 4 * n, -1)
                mask = torch.bmm(kernels, fine.transpose(1, 2))
                masks[:, :, :, a, b] = mask.view(batch, count, size, -1)
        assert masks is not None
        return masks.view(batch, count, 4 * size, 4 * size)


class _IncrementalLinear:
    """Linear layer on image tokens that are given by the updates of the blocks."""

    def __init__(self, last: LinearWeights, norms: Sequence[nn.LayerNorm]) -> None:
        weight = last.weight.T  # (C, out), from the right
        self._bias = last.bias + norms[-1].bias @ weight
        self.maps: list[Tensor] = []
        for norm in reversed(norms):
            weight = norm.weight[:, None] * weight
            weight = weight - weight.mean(0)
            self.maps.insert(0, weight)
        self._shifts = [None, *(norm.bias for norm in norms[:-1])]

    def __call__(
        self,
        projected: Tensor,
        scale: Tensor,
        weights: Sequence[Tensor],
        values: Sequence[Tensor],
    ) -> Tensor:
        """Map (1, N, out), (B, N, 1), (B, N, K) and (B, T, h, C) to (B, N, out)."""
        out = torch.addcmul(self._bias, projected, scale)
        for a, v, shift, weight in zip(
            weights, values, self._shifts, self.maps, strict=True
        ):
            if shift is not None:
                v = torch.cat([v[:, :, :1] + shift, v[:, :, 1:]], 2)
            out.baddbmm_(a, torch.matmul(v.flatten(1, 2), weight))
        return out


def _row_products(conv: nn.ConvTranspose2d) -> list[LinearWeights]:
    """Return weight (2 * out, in) and bias (2 * out,) for each of two row offsets."""
    assert conv.bias is not None
    weight = conv.weight.permute(2, 3, 1, 0)  # (row, column, out, in)
    bias = conv.bias.repeat(2)
    return [LinearWeights(rows.flatten(0, 1).contiguous(), bias) for rows in weight]
