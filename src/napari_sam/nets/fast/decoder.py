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
   and W_o is merged into the T values, so that one (N, Th) x (Th, C) product
   gives the update of the image. The weights of a head sum to 1 over its T
   tokens: the output bias travels with the values of the first head.
3. *The first layer* (`_FirstImage`) sees the same image for all prompts without a
   mask. There the plain projections to (N, hc) are the cheaper side: they are
   made once an image, and a prompt pays (T, c) x (c, N) a head.
4. *The last attention* is asked only by the tokens that answer.
5. *Upscaling* goes by the updates of the image, not by the image: see
   `napari_sam.nets.fast.upscaling`.

Scores of the later layers lie as (N, hT) or, where a softmax runs over T, as
(N, Th): the layouts in which the products with the image are fastest. What depends
on the weights alone is made at load, what depends on the image at `prepare`.
Differences to `MaskDecoder` are float32 rounding; a test holds both together.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_sam.nets.devices import in_batches
from napari_sam.nets.fast.upscaling import TokenUpdate, Upscaling

if TYPE_CHECKING:
    from napari_sam.nets.mask_decoder import MaskDecoder
    from napari_sam.nets.transformer import Attention, TwoWayBlock

# Prompts decoded together: on a CPU more only push the image tokens out of the cache.
_CHUNK_ON_CPU, _CHUNK_ON_GPU = 4, 64
# Images whose terms of the first layer are kept: clicks go back and forth between
# few. They are 2.5 times as large as the embedding and made in a few milliseconds.
_IMAGES_KEPT = 2


@dataclass(frozen=True, slots=True, eq=False)
class ImageContext:
    """What the decoder needs of an image, independent of every prompt.

    Parameters
    ----------
    tokens : Tensor
        (N, C) image embedding, one row a grid position, row by row.
    """

    tokens: Tensor

    def to(self, device: torch.device) -> ImageContext:
        """The same on a device; itself when it is there."""
        here = self.tokens.to(device)
        return self if here is self.tokens else ImageContext(here)


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
    upscaled : list of Tensor
        What the first step of the upscaling takes from the tokens.
    """

    tokens: Tensor
    keys: Tensor
    values: Tensor
    queries: Tensor
    upscaled: list[Tensor]


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
        norms = [layer.norm4 for layer in transformer.layers]
        self._upscaling = Upscaling(decoder.output_upscaling, norms)  # type: ignore[arg-type]
        # Bound to what it needs, not to self: no cycle keeps a model's memory.
        make = partial(
            _first_image,
            self._layers[0],
            self._upscaling,
            self._no_mask,
            self._positions,
        )
        self._first_image = lru_cache(_IMAGES_KEPT)(make)

    @torch.inference_mode()
    def prepare(self, image_embedding: Tensor) -> ImageContext:
        """Compute what depends on the image alone from its (1, C, S, S) embedding."""
        terms = ImageContext(_rows(image_embedding)[0])
        self._first_image(terms)
        return terms

    @torch.inference_mode()
    def decode(
        self,
        terms: ImageContext,
        tokens: Tensor,
        dense: Tensor | None,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor]:
        """Decode B prompts with the same number of tokens.

        Parameters
        ----------
        terms : ImageContext
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
        first, queries, updates = image, tokens, []
        for layer in self._layers:
            if isinstance(image, _FirstImage):
                queries, image, update = layer.on_projected(queries, image, tokens)
            else:
                queries, image, update = layer(queries, image, tokens, self._positions)
            updates.append(update)
        assert isinstance(image, Tensor)
        hidden = self._attend_last(queries, image, tokens, multimask_output)
        kernels = self._decoder.mask_kernels(hidden, multimask_output)
        rank = sum(update.weights.shape[-1] for update in updates)
        if isinstance(first, _FirstImage) and rank < image.shape[-1]:
            masks = self._upscaling.traced(first.upscaled, updates, kernels)
        else:
            masks = self._upscaling.plain(image, kernels)
        return masks, self._decoder.scores(hidden, multimask_output)

    def _attend_last(
        self, queries: Tensor, image: Tensor, tokens: Tensor, multimask_output: bool
    ) -> Tensor:
        """The last attention to the image, of the tokens up to the last that answers.

        Those are the score's, and after it the masks' (B, 1 + M or 2, C).
        """
        masks = self._decoder.mask_tokens.num_embeddings
        last = self._decoder.output_slice(multimask_output).indices(masks)[1]
        queries, tokens = queries[:, : 1 + last], tokens[:, : 1 + last]
        attended = self._final(queries + tokens, image + self._positions, image)
        return self._decoder.transformer.norm_final_attn(queries + attended)


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
        seen = _attended(torch.bmm(keys, absorbed.transpose(1, 2)), values)
        seen = seen.view(*q.shape[:3], -1)  # (B, h, T, C)
        return self._join(torch.matmul(seen, self._values.transpose(1, 2)))

    def project(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Map (1, N, C) image tokens to (h, c, N) keys and (h, N, c) values."""
        # The values' bias is added in `_join`, the keys' leaves the softmax.
        projected = torch.matmul(values, self._values.transpose(1, 2))
        return torch.matmul(self._keys, keys[0].T), projected

    def on_projected(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Map (B, T, C) queries, with what `project` gave, to (B, T, C)."""
        q = self._queries(queries)
        weights = torch.softmax(torch.bmm(_by_head_first(q), keys), -1)
        seen = torch.bmm(weights, values)  # (h, BT, c)
        batch, heads, count, _ = q.shape
        return self._join(seen.view(heads, batch, count, -1).transpose(0, 1))

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

    def weights(self, keys: Tensor, image: Tensor) -> Tensor:
        """Attention (B, N, Th) of (B, N, C) image tokens to (B, T, C) tokens."""
        k = self._keys(keys)
        absorbed = torch.matmul(k, self._queries).transpose(1, 2).flatten(1, 2)
        bias = torch.matmul(k, self._query_bias).transpose(1, 2).reshape(len(k), 1, -1)
        scores = torch.baddbmm(bias, image, absorbed.transpose(1, 2))
        heads, count = k.shape[1:3]
        return torch.softmax(scores.view(*scores.shape[:2], count, heads), 2).flatten(2)

    def project(self, image: Tensor) -> Tensor:
        """Map (1, N, C) image tokens to (h, c, N) queries."""
        return torch.matmul(self._queries, image[0].T) + self._query_bias

    def weights_on_projected(self, keys: Tensor, queries: Tensor) -> Tensor:
        """`weights`, with what `project` gave."""
        k = self._keys(keys)
        heads, count = k.shape[1:3]
        scores = torch.bmm(_by_head_first(k), queries).view(
            heads, -1, count, queries.shape[-1]
        )
        weights = torch.softmax(scores, 2).permute(1, 2, 0, 3)  # (B, T, h, N)
        return weights.flatten(1, 2).transpose(1, 2)

    def values(self, values: Tensor) -> Tensor:
        """What (B, T, C) tokens give to the image, (B, T, h, C)."""
        v = _split_heads(self._attention.v_proj(values), self._heads)
        merged = torch.matmul(v, self._out)  # (B, h, T, C)
        merged[:, 0] += self._attention.out_proj.bias
        return merged.transpose(1, 2).contiguous()

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
    ) -> tuple[Tensor, Tensor, TokenUpdate]:
        """Update (B, T, C) queries and the (B, N, C) image, which is overwritten."""
        keys = image + positions
        queries = self._block.update_self(queries, tokens)
        attended = self._token_to_image(queries + tokens, keys, image)
        queries = self._block.update_mlp(queries, attended)
        weights = self._image_to_token.weights(queries + tokens, keys)
        values = self._image_to_token.values(queries)
        image.baddbmm_(weights, values.flatten(1, 2))
        return queries, *self._normalised(image, weights, values)

    def project(
        self, image: Tensor, positions: Tensor, upscaling: Upscaling
    ) -> _FirstImage:
        """Do all that the first layer does with the image alone."""
        keys, values = self._token_to_image.project(image + positions, image)
        queries = self._image_to_token.project(image + positions)
        return _FirstImage(image, keys, values, queries, upscaling.project(image))

    def on_projected(
        self, queries: Tensor, image: _FirstImage, tokens: Tensor
    ) -> tuple[Tensor, Tensor, TokenUpdate]:
        """Do the same as a call, with what `project` gave, which stays as it is."""
        queries = self._block.update_self(queries, tokens)
        attended = self._token_to_image.on_projected(
            queries + tokens, image.keys, image.values
        )
        queries = self._block.update_mlp(queries, attended)
        weights = self._image_to_token.weights_on_projected(
            queries + tokens, image.queries
        )
        values = self._image_to_token.values(queries)
        updated = torch.baddbmm(image.tokens, weights, values.flatten(1, 2))
        return queries, *self._normalised(updated, weights, values)

    def _normalised(
        self, image: Tensor, weights: Tensor, values: Tensor
    ) -> tuple[Tensor, TokenUpdate]:
        norm = self._block.norm4
        normalised, _, deviation = torch.native_layer_norm(
            image, norm.normalized_shape, norm.weight, norm.bias, norm.eps
        )
        return normalised, TokenUpdate(weights, values, deviation)


def _attended(scores: Tensor, values: Tensor) -> Tensor:
    """Softmax of (B, N, K) scores over N, then the mean of (B, N, C): (B, K, C).

    Along an axis that is not the last one, torch's softmax adds up 4096 terms one
    after the other in float32, and its weights sum to 1 within 6e-5 only. `sum` adds
    pairwise, and dividing what was gathered is less work than dividing the weights.
    """
    weights = scores.sub_(scores.amax(1, keepdim=True)).exp_()
    total = weights.sum(1)[..., None]
    return torch.bmm(weights.transpose(1, 2), values).div_(total)


def _first_image(
    layer: _Layer,
    upscaling: Upscaling,
    no_mask: Tensor,
    positions: Tensor,
    terms: ImageContext,
) -> _FirstImage:
    return layer.project(terms.tokens + no_mask, positions, upscaling)


def _by_head(weight: Tensor, heads: int) -> Tensor:
    """(hc, C) to (h, c, C)."""
    return weight.reshape(heads, -1, weight.shape[1])


def _split_heads(x: Tensor, heads: int) -> Tensor:
    """(B, T, hc) to (B, h, T, c)."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def _by_head_first(x: Tensor) -> Tensor:
    """(B, h, T, c) to (h, BT, c): with all prompts in one product a head."""
    return x.transpose(0, 1).flatten(1, 2)


def _rows(x: Tensor) -> Tensor:
    """(B, C, S, S) to contiguous (B, N, C)."""
    return x.flatten(2).transpose(1, 2).contiguous()
