"""Inference path of the mask decoder: the same function with rearranged algebra.

`MaskDecoder` projects all N = 4096 image tokens to keys, values and queries for each
prompt, from C = 256 channels to h = 8 heads of c = 16. A prompt has only about T = 7
tokens, so most of these products are cheaper when applied to the tokens:

1. *Token to image* (`_TokenToImage`). With query q = W_q t + b_q of one head,
   ``q . (W_k x + b_k) = (W_k^T q) . x + const``, and the constant leaves the
   softmax over x. For the values, the weights p sum to 1:
   ``sum_x p_x (W_v x + b_v) = W_v (sum_x p_x x) + b_v``. Two products of
   (hT, C) and (N, C) replace two projections of (N, C) to (N, hc).
2. *Image to token* (`_ImageToToken`). ``(W_q x + b_q) . k = (W_q^T k) . x + b_q . k``,
   and W_o is merged into the T values, so that one (N, Th) x (Th, C) product
   gives the update of the image. The weights of a head sum to 1 over its T
   tokens, so the output bias is added to the values of the first head.
3. *The first layer* (`_ProjectedImage`) has the same image for all prompts without a
   mask. There the plain projections to (N, hc) are cheaper: they are computed once
   for each image, and a prompt costs (T, c) x (c, N) for each head.
4. *The last attention* is computed only for the tokens of the score and the masks.
5. *Upscaling* uses the updates of the image, not the image: see
   `napari_sam.nets.fast.upscaling`.

Scores of the later layers are stored as (N, hT) or, where a softmax runs over T, as
(N, Th): the layouts in which the products with the image are fastest. Terms that
depend on the weights alone are computed at load, those of the image in `prepare`.
Differences to `MaskDecoder` are float32 rounding; a test compares both.
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

# Prompts decoded together: on a CPU more would push the image tokens out of the cache.
_CPU_BATCH, _GPU_BATCH = 4, 64
# Images whose first layer is kept, for clicks that alternate between a few planes.
# It is 2.5 times as large as the embedding and computed in a few milliseconds.
_CACHED_IMAGES = 2


@dataclass(frozen=True, slots=True, eq=False)
class ImageContext:
    """Input of the decoder that depends on the image, not on prompts.

    Parameters
    ----------
    tokens : Tensor
        (N, C) image embedding, one row for each position of the grid, row by row.
    """

    tokens: Tensor

    @property
    def image_embedding(self) -> Tensor:
        """Output of the image encoder, (1, C, S, S)."""
        size = int(self.tokens.shape[0] ** 0.5)
        return self.tokens.T.reshape(1, -1, size, size)

    def to(self, device: torch.device) -> ImageContext:
        """Move the context to a device; return itself when it is already there."""
        moved = self.tokens.to(device)
        return self if moved is self.tokens else ImageContext(moved)


@dataclass(frozen=True, slots=True, eq=False)
class _ProjectedImage:
    """Projections of the image in the first layer, for prompts without a mask.

    Parameters
    ----------
    tokens : Tensor
        (1, N, C).
    keys, values : Tensor
        (h, c, N) and (h, N, c), for the tokens' attention to the image.
    queries : Tensor
        (h, c, N), scaled, for the image's attention to the tokens.
    upscaled : list of Tensor
        Output of `Upscaling.project` for the tokens.
    """

    tokens: Tensor
    keys: Tensor
    values: Tensor
    queries: Tensor
    upscaled: list[Tensor]


class FastMaskDecoder:
    """Mask decoder for inference, without gradients.

    Parameters
    ----------
    decoder : MaskDecoder
        The decoder whose weights are used; they must not change afterwards.
    positions : Tensor
        (1, C, S, S) positional encoding of the embedding grid.
    no_mask : Tensor
        (1, C, 1, 1) dense embedding of prompts without a mask.
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
        # Bound to its parts, not to self: a cycle would keep the memory of the model.
        project = partial(
            _project_image,
            self._layers[0],
            self._upscaling,
            self._no_mask,
            self._positions,
        )
        self._project_image = lru_cache(_CACHED_IMAGES)(project)

    @torch.inference_mode()
    def prepare(self, image_embedding: Tensor) -> ImageContext:
        """Compute the context of an image from its (1, C, S, S) embedding."""
        context = ImageContext(_rows(image_embedding)[0])
        self._project_image(context)
        return context

    @torch.inference_mode()
    def decode(
        self,
        context: ImageContext,
        tokens: Tensor,
        dense: Tensor | None,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor]:
        """Decode B prompts with the same number of tokens.

        Parameters
        ----------
        context : ImageContext
            From `prepare`.
        tokens : Tensor
            (B, T, C) prompt tokens.
        dense : Tensor or None
            (B, C, S, S) encoded mask prompts; None without masks.
        multimask_output : bool
            Three alternatives instead of one mask.

        Returns
        -------
        masks, iou_scores : Tensor
            (B, M, 4S, 4S) logits and (B, M) predicted IoU.
        """

        def run(part: slice) -> tuple[Tensor, Tensor]:
            if dense is None:
                image: Tensor | _ProjectedImage = self._project_image(context)
            else:
                image = context.tokens + _rows(dense[part])
            return self._decode_batch(tokens[part], image, multimask_output)

        size = _CPU_BATCH if tokens.device.type == "cpu" else _GPU_BATCH
        masks, scores = zip(*in_batches(run, len(tokens), size), strict=True)
        return torch.cat(masks), torch.cat(scores)

    def _decode_batch(
        self, prompt: Tensor, image: Tensor | _ProjectedImage, multimask_output: bool
    ) -> tuple[Tensor, Tensor]:
        learned = self._decoder.output_tokens().expand(len(prompt), -1, -1)
        tokens = torch.cat([learned, prompt], 1)
        first, queries, updates = image, tokens, []
        for layer in self._layers:
            if isinstance(image, _ProjectedImage):
                queries, image, update = layer.on_projected(queries, image, tokens)
            else:
                queries, image, update = layer(queries, image, tokens, self._positions)
            updates.append(update)
        assert isinstance(image, Tensor)
        hidden = self._attend_last(queries, image, tokens, multimask_output)
        kernels = self._decoder.mask_kernels(hidden, multimask_output)
        rank = sum(update.weights.shape[-1] for update in updates)
        if isinstance(first, _ProjectedImage) and rank < image.shape[-1]:
            masks = self._upscaling.from_updates(first.upscaled, updates, kernels)
        else:
            masks = self._upscaling.from_tokens(image, kernels)
        return masks, self._decoder.scores(hidden, multimask_output)

    def _attend_last(
        self, queries: Tensor, image: Tensor, tokens: Tensor, multimask_output: bool
    ) -> Tensor:
        """Compute the last attention to the image for the tokens that are decoded.

        These are the token of the score and those of the masks, (B, 1 + M or 2, C).
        """
        masks = self._decoder.mask_tokens.num_embeddings
        last = self._decoder.output_slice(multimask_output).indices(masks)[1]
        queries, tokens = queries[:, : 1 + last], tokens[:, : 1 + last]
        attended = self._final(queries + tokens, image + self._positions, image)
        return self._decoder.transformer.norm_final_attn(queries + attended)


class _TokenToImage:
    """Attention of tokens to the image; see points 1 and 3 of the module."""

    def __init__(self, attention: Attention) -> None:
        self._attention = attention
        self._scale = (attention.q_proj.out_features // attention.heads) ** -0.5
        self._keys = _split_weight(attention.k_proj.weight, attention.heads)
        self._values = _split_weight(attention.v_proj.weight, attention.heads)

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Map (B, T, C) queries and (B, N, C) image tokens to (B, T, C)."""
        q = self._queries(queries)
        absorbed = torch.matmul(q, self._keys).flatten(1, 2)  # (B, hT, C)
        attended = _attend(torch.bmm(keys, absorbed.transpose(1, 2)), values)
        attended = attended.view(*q.shape[:3], -1)  # (B, h, T, C)
        return self._join(torch.matmul(attended, self._values.transpose(1, 2)))

    def project(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Map (1, N, C) image tokens to (h, c, N) keys and (h, N, c) values."""
        # The bias of the values is added in `_join`; that of the keys has no effect.
        projected = torch.matmul(values, self._values.transpose(1, 2))
        return torch.matmul(self._keys, keys[0].T), projected

    def on_projected(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Map (B, T, C) queries to (B, T, C), with keys and values from `project`."""
        q = self._queries(queries)
        weights = torch.softmax(torch.bmm(_join_prompts(q), keys), -1)
        attended = torch.bmm(weights, values)  # (h, BT, c)
        batch, heads, count, _ = q.shape
        attended = attended.view(heads, batch, count, -1).transpose(0, 1)
        return self._join(attended)

    def _queries(self, queries: Tensor) -> Tensor:
        """Project (B, T, C) tokens to scaled (B, h, T, c) queries."""
        q = self._attention.q_proj(queries) * self._scale
        return _split_heads(q, self._attention.heads)

    def _join(self, attended: Tensor) -> Tensor:
        """Join the heads, (B, h, T, c) to (B, T, C)."""
        joined = attended.transpose(1, 2).flatten(2) + self._attention.v_proj.bias
        return self._attention.out_proj(joined)


class _ImageToToken:
    """Attention of the image to tokens; see points 2 and 3 of the module."""

    def __init__(self, attention: Attention) -> None:
        self._attention = attention
        self._heads = heads = attention.heads
        inner, _ = attention.q_proj.weight.shape
        scale = (inner // heads) ** -0.5
        self._queries = _split_weight(attention.q_proj.weight, heads) * scale
        self._query_bias = attention.q_proj.bias.view(heads, -1, 1) * scale
        self._out = _split_weight(attention.out_proj.weight.T, heads)

    def weights(self, keys: Tensor, image: Tensor) -> Tensor:
        """Compute the attention (B, N, Th) of image tokens to (B, T, C) tokens."""
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
        """Compute `weights` with queries from `project`."""
        k = self._keys(keys)
        heads, count = k.shape[1:3]
        scores = torch.bmm(_join_prompts(k), queries).view(
            heads, -1, count, queries.shape[-1]
        )
        weights = torch.softmax(scores, 2).permute(1, 2, 0, 3)  # (B, T, h, N)
        return weights.flatten(1, 2).transpose(1, 2)

    def values(self, values: Tensor) -> Tensor:
        """Project (B, T, C) tokens to the values (B, T, h, C) added to the image."""
        v = _split_heads(self._attention.v_proj(values), self._heads)
        merged = torch.matmul(v, self._out)  # (B, h, T, C)
        merged[:, 0] += self._attention.out_proj.bias
        return merged.transpose(1, 2).contiguous()

    def _keys(self, tokens: Tensor) -> Tensor:
        return _split_heads(self._attention.k_proj(tokens), self._heads)


class _Layer:
    """Block of the two-way transformer."""

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
        return queries, *self._normalise(image, weights, values)

    def project(
        self, image: Tensor, positions: Tensor, upscaling: Upscaling
    ) -> _ProjectedImage:
        """Compute the projections of the image in the first layer."""
        keys, values = self._token_to_image.project(image + positions, image)
        queries = self._image_to_token.project(image + positions)
        return _ProjectedImage(image, keys, values, queries, upscaling.project(image))

    def on_projected(
        self, queries: Tensor, image: _ProjectedImage, tokens: Tensor
    ) -> tuple[Tensor, Tensor, TokenUpdate]:
        """Do the same as a call with projections, which are not changed."""
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
        return queries, *self._normalise(updated, weights, values)

    def _normalise(
        self, image: Tensor, weights: Tensor, values: Tensor
    ) -> tuple[Tensor, TokenUpdate]:
        norm = self._block.norm4
        normalised, _, deviation = torch.native_layer_norm(
            image, norm.normalized_shape, norm.weight, norm.bias, norm.eps
        )
        return normalised, TokenUpdate(weights, values, deviation)


def _attend(scores: Tensor, values: Tensor) -> Tensor:
    """Average (B, N, C) values by the softmax of (B, N, K) scores over N: (B, K, C).

    Along another axis than the last, torch's softmax sums 4096 terms sequentially in
    float32, and its weights sum to 1 only within 6e-5. `sum` adds pairwise, and
    dividing the average is less work than dividing the weights.
    """
    weights = scores.sub_(scores.amax(1, keepdim=True)).exp_()
    total = weights.sum(1)[..., None]
    return torch.bmm(weights.transpose(1, 2), values).div_(total)


def _project_image(
    layer: _Layer,
    upscaling: Upscaling,
    no_mask: Tensor,
    positions: Tensor,
    context: ImageContext,
) -> _ProjectedImage:
    return layer.project(context.tokens + no_mask, positions, upscaling)


def _split_weight(weight: Tensor, heads: int) -> Tensor:
    """Split the heads of a weight, (hc, C) to (h, c, C)."""
    return weight.reshape(heads, -1, weight.shape[1])


def _split_heads(x: Tensor, heads: int) -> Tensor:
    """Split the heads of tokens, (B, T, hc) to (B, h, T, c)."""
    return x.view(*x.shape[:2], heads, -1).transpose(1, 2)


def _join_prompts(x: Tensor) -> Tensor:
    """Join all prompts of a head for one product, (B, h, T, c) to (h, BT, c)."""
    return x.transpose(0, 1).flatten(1, 2)


def _rows(x: Tensor) -> Tensor:
    """Reshape (B, C, S, S) to contiguous (B, N, C)."""
    return x.flatten(2).transpose(1, 2).contiguous()
