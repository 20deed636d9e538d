"""The mask decoder of SAM, in the plain form for training and as reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_sam.nets.common import LayerNorm2d, ReluMlp
from napari_sam.nets.transformer import TwoWayTransformer

if TYPE_CHECKING:
    from napari_sam.nets.config import SamMaskDecoderConfig


class MaskDecoder(nn.Module):
    """Mask decoder with a two-way transformer.

    Source: Kirillov et al. 2023, section 3 and appendix A, "Lightweight mask decoder".
    Mask token 0 gives the mask of an unambiguous prompt, tokens 1 to 3 the
    alternatives of an ambiguous one.
    """

    def __init__(self, config: SamMaskDecoderConfig) -> None:
        super().__init__()
        width, outputs = config.hidden_size, config.num_multimask_outputs + 1
        self.transformer = TwoWayTransformer(config)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(outputs, width)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(width, width // 4, 2, 2),
            LayerNorm2d(width // 4),
            nn.GELU(),
            nn.ConvTranspose2d(width // 4, width // 8, 2, 2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            ReluMlp(width, width, width // 8, 3) for _ in range(outputs)
        )
        self.iou_prediction_head = ReluMlp(
            width, config.iou_head_hidden_dim, outputs, config.iou_head_depth
        )

    def output_tokens(self) -> Tensor:
        """Return the learned tokens of the score and the masks, (1, 1 + M, C)."""
        return torch.cat([self.iou_token.weight, self.mask_tokens.weight])[None]

    def output_slice(self, multimask_output: bool | None) -> slice:
        """Return the slice of the mask tokens that are decoded; all for None."""
        if multimask_output is None:
            return slice(None)
        return slice(1, None) if multimask_output else slice(0, 1)

    def forward(
        self,
        image_embeddings: Tensor,
        image_positions: Tensor,
        tokens: Tensor,
        dense: Tensor,
        multimask_output: bool | None,
        attention_similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode prompts into masks.

        Parameters
        ----------
        image_embeddings : Tensor
            (B or 1, C, S, S).
        image_positions : Tensor
            (1, C, S, S).
        tokens : Tensor
            (B, T, C) from `PromptEncoder.tokens`.
        dense : Tensor
            (B or 1, C, S or 1, S or 1) from `PromptEncoder.dense`.
        multimask_output : bool or None
            Three alternatives instead of one mask; with None all four, the single mask
            first.
        attention_similarity, target_embedding : Tensor, optional
            See `napari_sam.nets.transformer.TwoWayTransformer`.

        Returns
        -------
        masks : Tensor
            (B, 3 or 1, 4S, 4S) logits.
        iou_scores : Tensor
            (B, 3 or 1) predicted intersection over union with the object.
        """
        batch = tokens.shape[0]
        learned = self.output_tokens().expand(batch, -1, -1)
        queries = torch.cat([learned, tokens], 1)
        image = (image_embeddings + dense).expand(batch, -1, -1, -1)
        hidden, image_tokens = self.transformer(
            queries,
            image.flatten(2).transpose(1, 2),
            image_positions.flatten(2).transpose(1, 2),
            attention_similarity,
            target_embedding,
        )
        upscaled = self.output_upscaling(
            image_tokens.transpose(1, 2).reshape(image.shape)
        )
        kernels = self.mask_kernels(hidden, multimask_output)
        masks = torch.einsum("bmc,bchw->bmhw", kernels, upscaled)
        return masks, self.scores(hidden, multimask_output)

    def mask_kernels(self, hidden: Tensor, multimask_output: bool | None) -> Tensor:
        """Return the weights of each mask for the upscaled features, (B, M, C / 8)."""
        indices = range(len(self.output_hypernetworks_mlps))[
            self.output_slice(multimask_output)
        ]
        return torch.stack(
            [self.output_hypernetworks_mlps[i](hidden[:, 1 + i]) for i in indices], 1
        )

    def scores(self, hidden: Tensor, multimask_output: bool | None) -> Tensor:
        """Return the predicted IoU of each mask, (B, M)."""
        return self.iou_prediction_head(hidden[:, 0])[
            :, self.output_slice(multimask_output)
        ]
