"""Sizes of the networks, with the names and defaults of Hugging Face's SAM."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self, TypeVar


@dataclass(slots=True)
class SamVisionConfig:
    """Sizes of the ViT image encoder (Kirillov et al. 2023, appendix A).

    Parameters
    ----------
    hidden_size, num_hidden_layers, num_attention_heads : int
        Width, depth and heads of the transformer.
    output_channels : int
        Channels of the image embedding.
    image_size, patch_size : int
        Side of the square input and of one patch, in pixels.
    window_size : int
        Side of an attention window, in patches.
    global_attn_indexes : tuple of int
        Blocks that attend to the whole image instead of windows.
    mlp_dim : int, optional
        Hidden width of the MLPs; ``hidden_size * mlp_ratio`` when None.
    """

    hidden_size: int = 768
    output_channels: int = 256
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    image_size: int = 1024
    patch_size: int = 16
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    attention_dropout: float = 0.0
    initializer_range: float = 1e-10
    qkv_bias: bool = True
    mlp_ratio: float = 4.0
    use_abs_pos: bool = True
    use_rel_pos: bool = True
    window_size: int = 14
    global_attn_indexes: tuple[int, ...] = (2, 5, 8, 11)
    num_pos_feats: int = 128
    mlp_dim: int | None = None

    def __post_init__(self) -> None:
        self.global_attn_indexes = tuple(self.global_attn_indexes)
        if self.mlp_dim is None:
            self.mlp_dim = int(self.hidden_size * self.mlp_ratio)

    @property
    def embedding_size(self) -> int:
        """Side of the square image embedding."""
        return self.image_size // self.patch_size


@dataclass(slots=True)
class TinyViTConfig:
    """Sizes of the TinyViT image encoder (Wu et al. 2022; MobileSAM, LiteMedSAM).

    Parameters
    ----------
    image_size : int
        Side of the square input, in pixels.
    patch_kernel : int
        Kernel of the two stem convolutions: 3 halves the grid twice
        (MobileSAM), 1 keeps every pixel (LiteMedSAM).
    embed_dims, depths, num_heads, window_sizes : tuple of int
        One entry for each stage; the first is convolutional, without heads and window.
    """

    image_size: int = 1024
    patch_kernel: int = 3
    embed_dims: tuple[int, ...] = (64, 128, 160, 320)
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (2, 4, 5, 10)
    window_sizes: tuple[int, ...] = (7, 7, 14, 7)
    mlp_ratio: int = 4
    output_channels: int = 256

    @property
    def embedding_size(self) -> int:
        """Side of the square image embedding."""
        size = self.image_size // (4 if self.patch_kernel == 3 else 1)
        for width in self.embed_dims[1:]:
            size //= downsampling_stride(width)
        return size


def downsampling_stride(width: int) -> int:
    """Return the stride of the downsampling into a stage of this width.

    SAM's TinyViT keeps the grid size at its widest stages (``PatchMerging`` of
    MobileSAM).
    """
    return 1 if width in (320, 448, 576) else 2


@dataclass(slots=True)
class SamPromptEncoderConfig:
    """Sizes of the prompt encoder."""

    hidden_size: int = 256
    image_size: int = 1024
    patch_size: int = 16
    mask_input_channels: int = 16
    num_point_embeddings: int = 4
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6

    @property
    def image_embedding_size(self) -> int:
        """Side of the square image embedding."""
        return self.image_size // self.patch_size


@dataclass(slots=True)
class SamMaskDecoderConfig:
    """Sizes of the mask decoder.

    ``layer_norm_eps`` belongs to the two-way transformer: 1e-5 in the official code,
    1e-6 in Hugging Face's configurations.
    """

    hidden_size: int = 256
    hidden_act: str = "relu"
    mlp_dim: int = 2048
    num_hidden_layers: int = 2
    num_attention_heads: int = 8
    attention_downsample_rate: int = 2
    num_multimask_outputs: int = 3
    iou_head_depth: int = 3
    iou_head_hidden_dim: int = 256
    layer_norm_eps: float = 1e-6


@dataclass(slots=True)
class SamConfig:
    """Sizes of a SAM model: image encoder, prompt encoder and mask decoder.

    Parameters
    ----------
    vision_config : SamVisionConfig, TinyViTConfig or dict, optional
        Sizes of the image encoder; SAM ViT-B when None, like the others.
    prompt_encoder_config : SamPromptEncoderConfig or dict, optional
        Sizes of the prompt encoder.
    mask_decoder_config : SamMaskDecoderConfig or dict, optional
        Sizes of the mask decoder.
    initializer_range : float
        Kept for files of transformers; not used here.
    """

    vision_config: SamVisionConfig | TinyViTConfig = field(
        default_factory=SamVisionConfig
    )
    prompt_encoder_config: SamPromptEncoderConfig = field(
        default_factory=SamPromptEncoderConfig
    )
    mask_decoder_config: SamMaskDecoderConfig = field(
        default_factory=SamMaskDecoderConfig
    )
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        if not isinstance(self.vision_config, TinyViTConfig):
            self.vision_config = _create(SamVisionConfig, self.vision_config)
        self.prompt_encoder_config = _create(
            SamPromptEncoderConfig, self.prompt_encoder_config
        )
        self.mask_decoder_config = _create(
            SamMaskDecoderConfig, self.mask_decoder_config
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, as in a ``config.json``."""
        return {"model_type": "sam", **asdict(self)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Read a ``config.json`` in Hugging Face layout; other keys are ignored."""
        known = {f.name for f in fields(cls)}
        return cls(**{k: v for k, v in values.items() if k in known})


_Config = TypeVar(
    "_Config", SamVisionConfig, SamPromptEncoderConfig, SamMaskDecoderConfig
)


def _create(kind: type[_Config], values: _Config | dict[str, Any] | None) -> _Config:
    """Create a config from a dictionary; ignore keys that transformers adds."""
    if isinstance(values, kind):
        return values
    given: Any = values or {}
    known = {f.name for f in fields(kind)}
    return kind(**{k: v for k, v in given.items() if k in known})
