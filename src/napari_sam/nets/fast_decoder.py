"""The mask decoder's inference path: the same function, the algebra rearranged.

`MaskDecoder` projects all N = 4096 image tokens to keys, values and queries for
every prompt, C = 256 channels to h = 8 heads of c = 16. A prompt has only T of
about 7 tokens, so most of these products are cheaper from the other side:

1. *Token to image* (`_TokenToImage`). With query q = W_q t + b_q of one head,
   ``q . (W_k x + b_k) = (W_k^T q) . x + const``, and the constant leaves the
   softmax over x. The values follow the weights p, which sum to 1:
   ``sum_x p_x (W_v x + b_v) = W_v (sum_x p_x x) + b_v``. Two products of
   (hT, C) and (N, C) replace two projections of (N, C) to (N, hc).
2. *Image to token* (`_ImageToToken`). ``(W_q x + b_q) . k = (W_q^T k) . x + b_q . k``,
   and W_o is merged into the T values, so that one (N, hT) x (hT, C) product
   gives the update of the image. The weights of a head sum to 1 over its T
   tokens: the output bias travels with the values of the first head.
3. *The first layer* (`_FirstImage`) sees the same image for all prompts without a
   mask. There the plain projections to (N, hc) are the cheaper side: they are
   made once an image, and a prompt pays (T, c) x (c, N) a head.
4. *Upscaling* (`_Upscaling`). A transposed convolution with kernel = stride = 2
   is a matrix product for each of its four offsets. Only wanted masks are formed.

Scores lie as (hT, N), one row a prompt token, because the softmax over T tokens
then runs along memory. What depends on the weights alone is made at load, what
depends on the image at `prepare`. Differences to `MaskDecoder` are float32
rounding; a test holds both together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam.devices import in_batches
from napari_sam.nets.common import LayerNorm2d

if TYPE_CHECKING:
    from napari_sam.nets.mask_decoder import MaskDecoder
    from napari_sam.nets.transformer import Attention, TwoWayBlock

# Prompts decoded together: on a CPU more only push the image tokens out of the cache.
_CHUNK_ON_CPU, _CHUNK_ON_GPU = 4, 64
# Images whose terms of the first layer are kept: clicks go back and forth between
# few. They are 2.5 times as large as the embedding and made in a few milliseconds.
_IMAGES_KEPT = 2


@dataclass(frozen=True, slots=True, eq=False)
class ImageTerms:
    """What the decoder needs of an image, independent of every prompt.

    Parameters
    ----------
    tokens : Tensor
        (N, C) image embedding, one row a grid position, row by row.
    """

    tokens: Tensor

    def to(self, device: torch.device) -> ImageTerms:
        """The same on a device; itself when it is there."""
        here = self.tokens.to(device)
        return self if here is self.tokens else ImageTerms(here)


@dataclass(frozen=True, slots=True, eq=False)
class _FirstImage:
    """The image as the first layer sees it without a mask prompt.

    Parameters
    ----------
    tokens : Tensor
        (1, N, C).
    keys, values : Tensor
        (h, c, N) and (h, N, c), for the tokens' attention to the image.
    queries : Tensor
        (h, c, N), scaled, for the image's attention to the tokens.
    """

    tokens: Tensor
    keys: Tensor
    values: Tensor
    queries: Tensor


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
        # Bound to its first layer, not to self: no cycle keeps a model's memory.
        make = partial(_first_image, self._layers[0], self._no_mask, self._positions)
        self._first_image = lru_cache(_IMAGES_KEPT)(make)

    @torch.inference_mode()
    def prepare(self, image_embedding: Tensor) -> ImageTerms:
        """Compute what depends on the image alone from its (1, C, S, S) embedding."""
        terms = ImageTerms(_rows(image_embedding)[0])
        self._first_image(terms)
        return terms

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

        def run(chunk: slice) -> tuple[Tensor, Tensor]:
            if dense is None:
                image: Tensor | _FirstImage = self._first_image(terms)
            else:
                image = terms.tokens + _rows(dense[chunk])
            return self._decode_chunk(tokens[chunk], image, multimask_output)

        chunk = _CHUNK_ON_CPU if tokens.device.type == "cpu" else _CHUNK_ON_GPU
        masks, scores = zip(*in_batches(run, len(tokens), chunk), strict=True)
        return torch.cat(masks), torch.cat(scores)

    def _decode_chunk(
        self, prompt: Tensor, image: Tensor | _FirstImage, multimask_output: bool
    ) -> tuple[Tensor, Tensor]:
        learned = self._decoder.output_tokens().expand(len(prompt), -1, -1)
        tokens = torch.cat([learned, prompt], 1)
        queries = tokens
        for layer in self._layers:
            if isinstance(image, _FirstImage):
                queries, image = layer.on_projected(queries, image, tokens)
            else:
                queries, image = layer(queries, image, tokens, self._positions)
        assert isinstance(image, Tensor)
        attended = self._final(queries + tokens, image + self._positions, image)
        hidden = self._decoder.transformer.norm_final_attn(queries + attended)
        kernels = self._decoder.mask_kernels(hidden, multimask_output)
        masks = self._upscaling(image, kernels)
        return masks, self._decoder.scores(hidden, multimask_output)


class _TokenToImage:
    """Tokens attend to the image; see the module's points 1 and 3."""

    def __init__(self, attention: Attention) -> None:
        self._attention = attention
        self._scale = (attention.q_proj.out_features // attention.heads) ** -0.5
        self._keys = _by_head(attention.k_proj.weight, attention.heads)
        self._values = _by_head(attention.v_proj.weight, attention.heads)

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Map (B, T, C) queries and (B, N, C) image tokens to (B, T, C)."""
        q = self._queries(queries)
        absorbed = torch.matmul(q, self._keys).flatten(1, 2)  # (B, hT, C)
        weights = torch.softmax(torch.bmm(absorbed, keys.transpose(1, 2)), -1)
        seen = torch.bmm(weights, values).view(*q.shape[:3], -1)  # (B, h, T, C)
        return self._join(torch.matmul(seen, self._values.transpose(1, 2)))

    def project(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Map (1, N, C) image tokens to (h, c, N) keys and (h, N, c) values."""
        # The values' bias is added in `_join`, the keys' leaves the softmax.
        projected = torch.matmul(values, self._values.transpose(1, 2))
        return torch.matmul(self._keys, keys[0].T), projected

    def on_projected(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Map (B, T, C) queries, with what `project` gave, to (B, T, C)."""
        weights = torch.softmax(torch.matmul(self._queries(queries), keys), -1)
        return self._join(torch.matmul(weights, values))

    def _queries(self, queries: Tensor) -> Tensor:
        """(B, T, C) to (B, h, T, c), scaled."""
        q = self._attention.q_proj(queries) * self._scale
        return _split_heads(q, self._attention.heads)

    def _join(self, seen: Tensor) -> Tensor:
        """(B, h, T, c) to (B, T, C)."""
        joined = seen.transpose(1, 2).flatten(2) + self._attention.v_proj.bias
        return self._attention.out_proj(joined)


class _ImageToToken:
    """The image attends to the tokens; see the module's points 2 and 3."""

    def __init__(self, attention: Attention) -> None:
        self._attention = attention
        self._heads = heads = attention.heads
        inner, _ = attention.q_proj.weight.shape
        scale = (inner // heads) ** -0.5
        self._queries = _by_head(attention.q_proj.weight, heads) * scale
        self._query_bias = attention.q_proj.bias.view(heads, -1, 1) * scale
        self._out = _by_head(attention.out_proj.weight.T, heads)

    def scores(self, keys: Tensor, image: Tensor) -> Tensor:
        """Scores (B, h, T, N) of (B, T, C) tokens for (B, N, C) image tokens."""
        k = self._keys(keys)
        absorbed = torch.matmul(k, self._queries).flatten(1, 2)  # (B, hT, C)
        bias = torch.matmul(k, self._query_bias).flatten(1, 2)  # (B, hT, 1)
        scores = torch.baddbmm(bias, absorbed, image.transpose(1, 2))
        return scores.view(*k.shape[:3], -1)

    def project(self, image: Tensor) -> Tensor:
        """Map (1, N, C) image tokens to (h, c, N) queries."""
        return torch.matmul(self._queries, image[0].T) + self._query_bias

    def scores_on_projected(self, keys: Tensor, queries: Tensor) -> Tensor:
        """`scores`, with what `project` gave."""
        return torch.matmul(self._keys(keys), queries)

    def update(self, image: Tensor, scores: Tensor, values: Tensor) -> Tensor:
        """Add the attended (B, T, C) values to the (B or 1, N, C) image."""
        v = _split_heads(self._attention.v_proj(values), self._heads)
        merged = torch.matmul(v, self._out)  # (B, h, T, C)
        merged[:, 0] += self._attention.out_proj.bias
        weights = torch.softmax(scores, 2).flatten(1, 2)  # (B, hT, N)
        return torch.baddbmm(image, weights.transpose(1, 2), merged.flatten(1, 2))

    def _keys(self, tokens: Tensor) -> Tensor:
        return _split_heads(self._attention.k_proj(tokens), self._heads)


class _Layer:
    """One block of the two-way transformer."""

    def __init__(self, block: TwoWayBlock) -> None:
        self._block = block
        self._token_to_image = _TokenToImage(block.cross_attn_token_to_image)
        self._image_to_token = _ImageToToken(block.cross_attn_image_to_token)

    def __call__(
        self, queries: Tensor, image: Tensor, tokens: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Update (B, T, C) queries and the (B, N, C) image."""
        keys = image + positions
        queries = self._block.update_self(queries, tokens)
        attended = self._token_to_image(queries + tokens, keys, image)
        queries = self._block.update_mlp(queries, attended)
        scores = self._image_to_token.scores(queries + tokens, keys)
        return queries, self._update(image, scores, queries)

    def project(self, image: Tensor, positions: Tensor) -> _FirstImage:
        """Do all that the first layer does with the image alone."""
        keys, values = self._token_to_image.project(image + positions, image)
        queries = self._image_to_token.project(image + positions)
        return _FirstImage(image, keys, values, queries)

    def on_projected(
        self, queries: Tensor, image: _FirstImage, tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Do the same as a call, with what `project` gave."""
        queries = self._block.update_self(queries, tokens)
        attended = self._token_to_image.on_projected(
            queries + tokens, image.keys, image.values
        )
        queries = self._block.update_mlp(queries, attended)
        scores = self._image_to_token.scores_on_projected(
            queries + tokens, image.queries
        )
        return queries, self._update(image.tokens, scores, queries)

    def _update(self, image: Tensor, scores: Tensor, queries: Tensor) -> Tensor:
        return self._block.norm4(self._image_to_token.update(image, scores, queries))


def _first_image(
    layer: _Layer, no_mask: Tensor, positions: Tensor, terms: ImageTerms
) -> _FirstImage:
    return layer.project(terms.tokens + no_mask, positions)


class _Upscaling:
    """Both transposed convolutions and the product with the mask kernels.

    Output row 4y + 2a + b and column 4x + 2c + d come from token (y, x) by offset
    (a, c) of the first convolution and (b, d) of the second. For one a and b the
    rows of all products follow each other as (y, x, c, d): rows of the mask, which
    are written as a whole. It also keeps the temporaries small.
    """

    def __init__(self, upscaling: nn.Sequential) -> None:
        first, norm, second = upscaling[0], upscaling[1], upscaling[3]
        assert isinstance(first, nn.ConvTranspose2d)
        assert isinstance(norm, LayerNorm2d)
        assert isinstance(second, nn.ConvTranspose2d)
        self._first, self._second = _row_products(first), _row_products(second)
        self._norm = norm

    def __call__(self, image: Tensor, kernels: Tensor) -> Tensor:
        """Map (B, N, C) tokens and (B, M, C / 8) kernels to (B, M, 4S, 4S)."""
        batch, n, _ = image.shape
        count, size, norm = kernels.shape[1], math.isqrt(n), self._norm
        masks = image.new_empty(batch, count, size, 2, 2, 4 * size)
        for a, first in enumerate(self._first):
            x = F.linear(image, *first).view(batch, 2 * n, -1)  # rows (y, x, c)
            x = F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, norm.eps)
            x = _gelu(x)
            for b, second in enumerate(self._second):
                fine = _gelu(F.linear(x, *second)).view(batch, 4 * n, -1)
                mask = torch.bmm(kernels, fine.transpose(1, 2))
                masks[:, :, :, a, b] = mask.view(batch, count, size, -1)
        return masks.view(batch, count, 4 * size, 4 * size)


def _row_products(conv: nn.ConvTranspose2d) -> list[tuple[Tensor, Tensor]]:
    """Weight (2 * out, in) and bias (2 * out,) for each of the two row offsets."""
    assert conv.bias is not None
    weight = conv.weight.permute(2, 3, 1, 0)  # (row, column, out, in)
    return [(rows.flatten(0, 1).contiguous(), conv.bias.repeat(2)) for rows in weight]


def _gelu(x: Tensor) -> Tensor:
    """GELU in place."""
    return torch.ops.aten.gelu_(x)


def _by_head(weight: Tensor, heads: int) -> Tensor:
    """(hc, C) to (h, c, C)."""
    return weight.reshape(heads, -1, weight.shape[1])


def _split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, hc) to (B, h, T, c)."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def _rows(x: Tensor) -> Tensor:
    """(B, C, S, S) to contiguous (B, N, C)."""
    return x.flatten(2).transpose(1, 2).contiguous()
