"""The mask decoder's inference path: the same function, the algebra rearranged.

`MaskDecoder` projects all N = 4096 image tokens to keys, values and queries for
every prompt. A prompt has only T of about 7 tokens, so each of these products
is cheaper from the other side. With queries t, image tokens x, head width c:

- token to image: ``(W_q t + b_q) . (W_k x + b_k)`` equals ``(W_k^T q) . x`` plus
  a term that is the same for all x and leaves the softmax. The values follow
  the weights: ``sum_x p_x (W_v x + b_v) = W_v (sum_x p_x x) + b_v``.
- image to token: ``(W_q x + b_q) . k = x . (W_q^T k) + b_q . k``; the output
  projection is merged into the T values, which leaves one (N, hT) x (hT, C)
  product.
- The image tokens entering the first layer are the same for every prompt
  without a mask, so they are kept once, not once a prompt.

The transposed convolutions do not overlap (kernel = stride = 2), which makes
them matrix products in channels-last memory, and only wanted masks are formed.
Differences to `MaskDecoder` are float32 rounding; a test holds both together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam.nets.common import LayerNorm2d

if TYPE_CHECKING:
    from napari_sam.nets.mask_decoder import MaskDecoder
    from napari_sam.nets.transformer import Attention, TwoWayBlock

# Prompts decoded together: more only push the image tokens out of the cache.
_CHUNK = 4


@dataclass(frozen=True, slots=True, eq=False)
class ImageTerms:
    """What the decoder needs of an image, independent of every prompt.

    Parameters
    ----------
    tokens : Tensor
        (N, C) image embedding, one row a grid position, row by row.
    """

    tokens: Tensor


class FastMaskDecoder:
    """Decode prompts on one image, without gradients.

    Parameters
    ----------
    decoder : MaskDecoder
        Whose weights are used; they must not change afterwards.
    positions : Tensor
        (1, C, S, S) positional encoding of the embedding grid.
    no_mask : Tensor
        (1, C, 1, 1) dense embedding that stands for no mask prompt.
    """

    def __init__(
        self, decoder: MaskDecoder, positions: Tensor, no_mask: Tensor
    ) -> None:
        self._decoder = decoder
        self._positions = _rows(positions)
        self._no_mask = _rows(no_mask)
        transformer = decoder.transformer
        self._layers = [_Layer(layer) for layer in transformer.layers]  # type: ignore[arg-type]
        self._final = _TokenToImage(transformer.final_attn_token_to_image)
        self._upscaling = _Upscaling(decoder.output_upscaling)

    def prepare(self, image_embedding: Tensor) -> ImageTerms:
        """Compute what depends on the image alone from its (1, C, S, S) embedding."""
        return ImageTerms(_rows(image_embedding)[0])

    @torch.inference_mode()
    def decode(
        self,
        terms: ImageTerms,
        tokens: Tensor,
        dense: Tensor | None,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor]:
        """Decode B prompts with the same number of tokens.

        Parameters
        ----------
        terms : ImageTerms
            From `prepare`.
        tokens : Tensor
            (B, T, C) prompt tokens.
        dense : Tensor or None
            (B, C, S, S) mask prompts; None when there are none.
        multimask_output : bool
            Three alternatives instead of one mask.

        Returns
        -------
        masks, iou_scores : Tensor
            (B, M, 4S, 4S) logits and (B, M) predicted IoU.
        """
        masks, scores = [], []
        image = terms.tokens + self._no_mask
        for start in range(0, len(tokens), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            if dense is not None:
                image = terms.tokens + _rows(dense[chunk])
            mask, score = self._decode_chunk(tokens[chunk], image, multimask_output)
            masks.append(mask)
            scores.append(score)
        return torch.cat(masks), torch.cat(scores)

    def _decode_chunk(
        self, prompt: Tensor, image: Tensor, multimask_output: bool
    ) -> tuple[Tensor, Tensor]:
        learned = self._decoder.output_tokens().expand(len(prompt), -1, -1)
        tokens = torch.cat([learned, prompt], 1)
        queries = tokens
        for layer in self._layers:
            queries, image = layer(queries, image, tokens, self._positions)
        attended = self._final(queries + tokens, image + self._positions, image)
        hidden = self._decoder.transformer.norm_final_attn(queries + attended)
        kernels = self._decoder.mask_kernels(hidden, multimask_output)
        masks = self._upscaling(image, kernels)
        return masks, self._decoder.scores(hidden, multimask_output)


class _TokenToImage:
    """Tokens attend to the image; see the module's first point."""

    def __init__(self, attention: Attention) -> None:
        self._q, self._out = attention.q_proj, attention.out_proj
        self._heads = heads = attention.heads
        inner, width = attention.k_proj.weight.shape
        self._scale = (inner // heads) ** -0.5
        self._keys = attention.k_proj.weight.view(heads, inner // heads, width)
        self._values = attention.v_proj.weight.view(heads, inner // heads, width)
        self._value_bias = attention.v_proj.bias

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Map (B, T, C) queries and (B or 1, N, C) image tokens to (B, T, C)."""
        b, t, width = queries.shape
        q = self._q(queries).view(b, t, self._heads, -1) * self._scale
        absorbed = torch.einsum("bthc,hcd->bhtd", q, self._keys).flatten(1, 2)
        weights = torch.softmax(_matmul(absorbed, keys.transpose(1, 2)), -1)
        seen = _matmul(weights, values).view(b, self._heads, t, width)
        out = torch.einsum("bhtd,hcd->bthc", seen, self._values).flatten(2)
        return self._out(out + self._value_bias)


class _ImageToToken:
    """The image attends to the tokens; see the module's second point."""

    def __init__(self, attention: Attention) -> None:
        self._k, self._v = attention.k_proj, attention.v_proj
        self._heads = heads = attention.heads
        inner, width = attention.q_proj.weight.shape
        scale = (inner // heads) ** -0.5
        self._queries = (attention.q_proj.weight * scale).view(heads, -1, width)
        self._query_bias = (attention.q_proj.bias * scale).view(heads, -1)
        self._out = attention.out_proj.weight.view(width, heads, -1)
        self._out_bias = attention.out_proj.bias

    def __call__(self, image: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Map (B or 1, N, C) image tokens and (B, T, C) tokens to (B, N, C)."""
        b, t, _ = keys.shape
        k = self._k(keys).view(b, t, self._heads, -1)
        v = self._v(values).view(b, t, self._heads, -1)
        absorbed = torch.einsum("bthc,hcd->bhtd", k, self._queries).flatten(1, 2)
        bias = torch.einsum("bthc,hc->bht", k, self._query_bias).flatten(1)
        scores = torch.matmul(image, absorbed.transpose(1, 2)) + bias[:, None]
        weights = torch.softmax(scores.view(b, -1, self._heads, t), -1).flatten(2)
        merged = torch.einsum("bthc,dhc->bhtd", v, self._out).flatten(1, 2)
        return torch.matmul(weights, merged) + self._out_bias


class _Layer:
    """One block of the two-way transformer."""

    def __init__(self, block: TwoWayBlock) -> None:
        self._block = block
        self._token_to_image = _TokenToImage(block.cross_attn_token_to_image)
        self._image_to_token = _ImageToToken(block.cross_attn_image_to_token)

    def __call__(
        self, queries: Tensor, image: Tensor, tokens: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        keys = image + positions
        queries = self._block.update_self(queries, tokens)
        attended = self._token_to_image(queries + tokens, keys, image)
        queries = self._block.update_mlp(queries, attended)
        attended = self._image_to_token(keys, queries + tokens, queries)
        return queries, self._block.norm4(attended.add_(image))


class _Upscaling:
    """Both transposed convolutions and the product with the mask kernels."""

    def __init__(self, upscaling: nn.Sequential) -> None:
        first, norm, second = upscaling[0], upscaling[1], upscaling[3]
        assert isinstance(first, nn.ConvTranspose2d)
        assert isinstance(norm, LayerNorm2d)
        assert isinstance(second, nn.ConvTranspose2d)
        self._first, self._second = _as_linear(first), _as_linear(second)
        self._norm = norm

    def __call__(self, image: Tensor, kernels: Tensor) -> Tensor:
        """Map (B, N, C) tokens and (B, M, C / 8) kernels to (B, M, 4S, 4S)."""
        b, n, _ = image.shape
        size = int(n**0.5)
        norm = self._norm
        x = F.linear(image, *self._first).view(b, n * 4, -1)
        x = F.gelu(F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps))
        x = F.gelu(F.linear(x, *self._second)).view(b, n * 16, -1)
        masks = torch.matmul(kernels, x.transpose(1, 2))
        # Token (y, x), first step (a, c), second step (b, d) -> row y a b, column x c d
        masks = masks.view(-1, kernels.shape[1], size, size, 2, 2, 2, 2)
        masks = masks.permute(0, 1, 2, 4, 6, 3, 5, 7)
        return masks.reshape(b, kernels.shape[1], 4 * size, 4 * size)


def _as_linear(conv: nn.ConvTranspose2d) -> tuple[Tensor, Tensor]:
    """Weight (4 * out, in) and bias (4 * out,), outputs ordered (row, column, out)."""
    assert conv.bias is not None
    weight = conv.weight.permute(2, 3, 1, 0).flatten(0, 2).contiguous()
    return weight, conv.bias.repeat(4)


def _rows(x: Tensor) -> Tensor:
    """(B, C, S, S) to contiguous (B, N, C)."""
    return x.flatten(2).transpose(1, 2).contiguous()


def _matmul(left: Tensor, right: Tensor) -> Tensor:
    """(B, M, K) x (B or 1, K, N); one product when the right side is shared."""
    if right.shape[0] == 1:
        return (left.flatten(0, 1) @ right[0]).view(*left.shape[:2], -1)
    return torch.bmm(left, right)
