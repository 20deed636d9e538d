"""The prompt encoder of SAM: from points, boxes and masks to embeddings."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_sam.nets.common import Activation, LayerNorm2d

if TYPE_CHECKING:
    from napari_sam.nets.config import SamPromptEncoderConfig

NOT_A_POINT = -1
# Padding label of transformers; its tokens are zeros.
PADDING = -10


class PromptEncoder(nn.Module):
    """Encoder of points and boxes to tokens, and of masks to a dense embedding.

    Source: Kirillov et al. 2023, appendix A, "Prompt encoder". Point embeddings 0 and 1
    are those of negative and positive clicks, 2 and 3 those of the top left and bottom
    right corner of a box.
    """

    def __init__(self, config: SamPromptEncoderConfig) -> None:
        super().__init__()
        width, hidden = config.hidden_size, config.mask_input_channels
        self.image_size = config.image_size
        self.embedding_size = config.image_embedding_size
        self.pe_layer = RandomPositions(width // 2)
        self.point_embeddings = nn.ModuleList(
            nn.Embedding(1, width) for _ in range(config.num_point_embeddings)
        )
        self.not_a_point_embed = nn.Embedding(1, width)
        self.no_mask_embed = nn.Embedding(1, width)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, hidden // 4, 2, 2),
            LayerNorm2d(hidden // 4, config.layer_norm_eps),
            Activation(config.hidden_act),
            nn.Conv2d(hidden // 4, hidden, 2, 2),
            LayerNorm2d(hidden, config.layer_norm_eps),
            Activation(config.hidden_act),
            nn.Conv2d(hidden, width, 1),
        )

    @property
    def mask_size(self) -> int:
        """Side of a mask prompt and of the low-resolution masks, in pixels."""
        return 4 * self.embedding_size

    def tokens(
        self,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        boxes: Tensor | None = None,
    ) -> Tensor:
        """Encode points and boxes.

        Parameters
        ----------
        points : Tensor, optional
            (B, N, 2) as (x, y) pixels of the model input, centres at integers.
        labels : Tensor, optional
            (B, N), 1 positive, 0 negative, -1 not a point, -10 padding.
        boxes : Tensor, optional
            (B, 4) as (x_min, y_min, x_max, y_max).

        Returns
        -------
        Tensor
            (B, T, C) tokens. Points without a box are followed by one "not a point"
            token, as in training. (1, 0, C) without points and boxes.
        """
        parts = []
        if points is not None:
            assert labels is not None
            if boxes is None:
                zeros = points.new_zeros(points.shape[0], 1, 2)
                points = torch.cat([points, zeros], 1)
                pad = labels.new_full((labels.shape[0], 1), NOT_A_POINT)
                labels = torch.cat([labels, pad], 1)
            parts.append(self.embed_points(points, labels))
        if boxes is not None:
            corners = self._positions(boxes.reshape(-1, 2, 2))
            parts.append(corners + torch.cat([self._kind(2), self._kind(3)]))
        if not parts:
            return self.no_mask_embed.weight.new_empty(1, 0, self.width)
        return torch.cat(parts, 1)

    def dense(self, masks: Tensor | None) -> Tensor:
        """Encode mask prompts.

        Parameters
        ----------
        masks : Tensor or None
            (B, 1, M, M) logits, M = `mask_size`.

        Returns
        -------
        Tensor
            (B, C, S, S), or the constant (1, C, 1, 1) without masks.
        """
        if masks is None:
            return self.no_mask_embed.weight[:, :, None, None]
        return self.mask_downscaling(masks.to(self.no_mask_embed.weight.dtype))

    def image_positions(self) -> Tensor:
        """Return the positional encoding of the embedding grid, (1, C, S, S)."""
        size = self.embedding_size
        weight = self.pe_layer.positional_encoding_gaussian_matrix
        centres = (torch.arange(size, device=weight.device) + 0.5) / size
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        encoded = self.pe_layer(torch.stack([x, y], -1))
        return encoded.permute(2, 0, 1)[None]

    @property
    def width(self) -> int:
        """Channels of a token."""
        return self.no_mask_embed.weight.shape[1]

    def _positions(self, xy: Tensor) -> Tensor:
        # Adding 0.5 turns integer pixel centres into distances from the corner.
        return self.pe_layer((xy + 0.5) / self.image_size)

    def embed_points(self, points: Tensor, labels: Tensor) -> Tensor:
        """Encode (B, N, 2) points to (B, N, C).

        Labels 2 and 3 are the corners of a box, as in the official ONNX export.
        """
        kinds = labels[..., None]
        tokens = self._positions(points)
        tokens = torch.where(
            kinds == NOT_A_POINT, self.not_a_point_embed.weight, tokens
        )
        tokens = torch.where(kinds == PADDING, torch.zeros_like(tokens), tokens)
        for kind in range(4):
            tokens = torch.where(kinds == kind, tokens + self._kind(kind), tokens)
        return tokens

    def _kind(self, index: int) -> Tensor:
        embedding = self.point_embeddings[index]
        assert isinstance(embedding, nn.Embedding)
        return embedding.weight


class RandomPositions(nn.Module):
    """Positional encoding by random spatial frequencies (Tancik et al. 2020)."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, frequencies: int) -> None:
        super().__init__()
        self.register_buffer(
            "positional_encoding_gaussian_matrix", torch.randn(2, frequencies)
        )

    def forward(self, xy: Tensor) -> Tensor:
        """Encode (..., 2) coordinates in [0, 1] to (..., 2 * frequencies)."""
        frequencies = self.positional_encoding_gaussian_matrix
        # Half precision would move points by several pixels, so it is applied last.
        exact = frequencies.to(torch.promote_types(frequencies.dtype, torch.float32))
        phase = 2 * math.pi * ((2 * xy.to(exact.dtype) - 1) @ exact)
        return torch.cat([phase.sin(), phase.cos()], -1).to(frequencies.dtype)
