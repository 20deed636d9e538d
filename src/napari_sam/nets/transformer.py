"""The two-way transformer inside the mask decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam.nets.common import Mlp

if TYPE_CHECKING:
    from napari_sam.nets.config import SamMaskDecoderConfig


# transformers applies `attention_downsample_rate` to the last attention only; every
# published model has 2 in all.
_BLOCK_DOWNSAMPLE_RATE = 2


class TwoWayTransformer(nn.Module):
    """Transformer in which prompt tokens and image tokens attend to each other.

    Source: Kirillov et al. 2023, appendix A, figure 14.
    """

    def __init__(self, config: SamMaskDecoderConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayBlock(config, first=i == 0) for i in range(config.num_hidden_layers)
        )
        self.final_attn_token_to_image = Attention(
            config, config.attention_downsample_rate
        )
        # 1e-5 in every published implementation, independent of the config.
        self.norm_final_attn = nn.LayerNorm(config.hidden_size, 1e-5)

    def forward(
        self,
        tokens: Tensor,
        image: Tensor,
        positions: Tensor,
        attention_similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Transform tokens and image.

        Parameters
        ----------
        tokens : Tensor
            (B, T, C) output tokens followed by prompt tokens.
        image : Tensor
            (B, N, C) image tokens.
        positions : Tensor
            (1, N, C) positional encoding of the image tokens.
        attention_similarity : Tensor, optional
            Added to the scores of the blocks' token-to-image attention, broadcast to
            (B, heads, T, N) (Zhang et al. 2023, "Personalize Segment Anything Model
            with One Shot", target-guided attention).
        target_embedding : Tensor, optional
            Added to the tokens before each block, broadcast to (B, T, C) (same paper,
            target-semantic prompting).

        Returns
        -------
        tokens, image : Tensor
            The updated tensors, of the same shapes.
        """
        if target_embedding is not None:
            # As published, the first block also changes the tokens' own encoding.
            tokens = tokens + target_embedding
        queries = tokens
        for i, layer in enumerate(self.layers):
            if target_embedding is not None and i > 0:
                queries = queries + target_embedding
            queries, image = layer(
                queries, image, tokens, positions, attention_similarity
            )
        attended = self.final_attn_token_to_image(
            queries + tokens, image + positions, image
        )
        return self.norm_final_attn(queries + attended), image


class TwoWayBlock(nn.Module):
    """Block of self-attention, token to image, MLP and image to token."""

    def __init__(self, config: SamMaskDecoderConfig, *, first: bool) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        self.first = first
        self.self_attn = Attention(config, 1)
        self.norm1 = nn.LayerNorm(width, eps)
        self.cross_attn_token_to_image = Attention(config, _BLOCK_DOWNSAMPLE_RATE)
        self.norm2 = nn.LayerNorm(width, eps)
        self.mlp = Mlp(width, config.mlp_dim, config.hidden_act)
        self.norm3 = nn.LayerNorm(width, eps)
        self.norm4 = nn.LayerNorm(width, eps)
        self.cross_attn_image_to_token = Attention(config, _BLOCK_DOWNSAMPLE_RATE)

    def forward(
        self,
        queries: Tensor,
        image: Tensor,
        tokens: Tensor,
        positions: Tensor,
        attention_similarity: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Update queries and image; `tokens` are the queries' positional encoding."""
        queries = self.update_self(queries, tokens)
        attended = self.cross_attn_token_to_image(
            queries + tokens, image + positions, image, attention_similarity
        )
        queries = self.update_mlp(queries, attended)
        attended = self.cross_attn_image_to_token(
            image + positions, queries + tokens, queries
        )
        return queries, self.norm4(image + attended)

    def update_self(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """Apply the self-attention; the first block uses no positions."""
        if self.first:
            return self.norm1(self.self_attn(queries, queries, queries))
        q = queries + tokens
        return self.norm1(queries + self.self_attn(q, q, queries))

    def update_mlp(self, queries: Tensor, attended: Tensor) -> Tensor:
        """Add the output of the attention to the image, then apply the MLP."""
        queries = self.norm2(queries + attended)
        return self.norm3(queries + self.mlp(queries))


class Attention(nn.Module):
    """Multi-head attention, optionally in a space of fewer channels."""

    def __init__(self, config: SamMaskDecoderConfig, downsample: int) -> None:
        super().__init__()
        width, self.heads = config.hidden_size, config.num_attention_heads
        inner = width // downsample
        if inner % self.heads:
            raise ValueError(
                f"The decoder's attention has {inner} channels for {self.heads} heads: "
                "num_attention_heads must divide hidden_size / "
                "attention_downsample_rate."
            )
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(
        self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        """Attend (B, T, C) queries to (B, N, C); `bias` is added to the scores."""
        out = F.scaled_dot_product_attention(
            self._heads(self.q_proj(q)),
            self._heads(self.k_proj(k)),
            self._heads(self.v_proj(v)),
            attn_mask=bias,
        )
        return self.out_proj(out.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)
