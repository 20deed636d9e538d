"""SAM network that decodes batches of prompts, under its official names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from napari_sam.huggingface.modeling.prompt_batches import (
    PromptBatch,
    Prompts,
    batch_prompts,
)
from napari_sam.nets.sam import SamNetwork

if TYPE_CHECKING:
    from napari_sam.nets.prompt_encoder import PromptEncoder

Output = Tensor | tuple[Tensor, ...]
"""One tensor, or one for each image where the numbers of objects differ."""


class PromptedNetwork(SamNetwork):
    """SAM network that decodes the prompts of several images and objects.

    Parameters are those of `SamNetwork`.
    """

    @classmethod
    def of(
        cls, network: SamNetwork, prompt_encoder: PromptEncoder | None = None
    ) -> Self:
        """Wrap a network, such as that of a predictor.

        The image encoder, prompt encoder and mask decoder are shared, and the training
        mode is kept.

        Parameters
        ----------
        network : SamNetwork
            Not changed.
        prompt_encoder : PromptEncoder, optional
            Takes the place of the network's own.
        """
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        model.config = network.config
        model.image_encoder = network.image_encoder
        model.prompt_encoder = prompt_encoder or network.prompt_encoder
        model.mask_decoder = network.mask_decoder
        model.training = network.training  # of the whole; parts keep their modes
        return model

    def prompt_embeddings(
        self,
        input_points: Tensor | None = None,
        input_labels: Tensor | None = None,
        input_boxes: Tensor | None = None,
        input_masks: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor]:
        """Encode prompts without an image; parameters as for `forward`.

        Returns
        -------
        sparse : Tensor or None
            (B, objects, tokens, C) of points and boxes; None without these.
        dense : Tensor
            (B, C, s, s) of the masks, or the embedding of "no mask".
        """
        prompts = [p for p in (input_points, input_boxes, input_masks) if p is not None]
        images = len(prompts[0]) if prompts else 1
        counts, (batch,) = batch_prompts(
            images, input_points, input_labels, input_boxes, input_masks
        )
        tokens, size = self._tokens(batch), self.prompt_encoder.embedding_size
        sparse = tokens.reshape(images, counts[0], *tokens.shape[1:])
        dense = self.prompt_encoder.dense(batch.masks)
        shape = (-1 if input_masks is not None else images, -1, size, size)
        return sparse if tokens.shape[1] else None, dense.expand(shape)

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_points: Prompts | None = None,
        input_labels: Prompts | None = None,
        input_boxes: Prompts | None = None,
        input_masks: Prompts | None = None,
        image_embeddings: Tensor | None = None,
        multimask_output: bool | None = True,
        attention_similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
    ) -> tuple[Output, Output]:
        """Predict masks; gradients are computed.

        Parameters are those of `napari_sam.huggingface.model.SamModel.forward`.

        Returns
        -------
        scores : Tensor or tuple of Tensor
            (B, objects, masks).
        masks : Tensor or tuple of Tensor
            (B, objects, masks, h, w) low-resolution logits. Both are tuples with one
            entry for each image where images have different numbers of objects.
        """
        embeddings = self._embeddings(pixel_values, image_embeddings)
        counts, batches = batch_prompts(
            len(embeddings), input_points, input_labels, input_boxes, input_masks
        )
        personal = attention_similarity, target_embedding
        if len(batches) != 1 and personal != (None, None):
            raise ValueError(
                "attention_similarity and target_embedding need objects with the same "
                "prompts: give tensors, not lists."
            )
        outputs = [
            self._decode(batch, embeddings, multimask_output, *personal)
            for batch in batches
        ]
        order = torch.cat([batch.positions for batch in batches]).argsort()
        masks, scores = (
            _by_image(torch.cat(parts)[order], counts)
            for parts in zip(*outputs, strict=True)
        )
        return scores, masks

    def _embeddings(
        self, pixel_values: Tensor | None, image_embeddings: Tensor | None
    ) -> Tensor:
        """Return the (B, C, s, s) embeddings, computed from the images if needed."""
        if (pixel_values is None) == (image_embeddings is None):
            raise ValueError(
                "SamModel takes either pixel_values or image_embeddings: give one."
            )
        if pixel_values is not None:
            image_embeddings = self.image_encoder(pixel_values.to(self.dtype))
        assert image_embeddings is not None
        return image_embeddings.to(self.dtype)

    def _decode(
        self,
        batch: PromptBatch,
        image_embeddings: Tensor,
        multimask_output: bool | None,
        attention_similarity: Tensor | None,
        target_embedding: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Decode a batch to (K, masks, h, w) logits and (K, masks) scores."""
        output: tuple[Tensor, Tensor] = self.mask_decoder(
            image_embeddings[batch.images],
            self.prompt_encoder.image_positions(),
            self._tokens(batch),
            self._dense(batch),
            multimask_output,
            attention_similarity,
            target_embedding,
        )
        return output

    def _tokens(self, batch: PromptBatch) -> Tensor:
        """Encode points and boxes to (K, tokens, C)."""
        tokens = self.prompt_encoder.tokens(batch.points, batch.labels, batch.boxes)
        return tokens.expand(len(batch.images), -1, -1)

    def _dense(self, batch: PromptBatch) -> Tensor:
        """Encode masks to (K, C, s, s), or (1, C, 1, 1) without masks."""
        dense = self.prompt_encoder.dense(batch.masks)
        return dense if batch.masks is None else dense[batch.mask_indices]


def _by_image(values: Tensor, counts: list[int]) -> Output:
    if len(set(counts)) == 1:
        return values.reshape(len(counts), counts[0], *values.shape[1:])
    return torch.split(values, counts)
