"""Limits of the sizes of networks, which come from files."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam.nets.config import SamConfig

# Largest values; the largest published network has 1280, 32, 16, 1024.
_LARGEST = {
    "num_hidden_layers": 200,
    "num_attention_heads": 256,
    "image_size": 8192,
    "num_multimask_outputs": 64,
    "iou_head_depth": 64,
    "num_point_embeddings": 64,
    "num_channels": 64,
    "depths": 200,
    "mlp_ratio": 64,
}
_LARGEST_NUMBER = 65536
# Of these 0 has a meaning.
_MAY_BE_ZERO = {
    "window_size",
    "attention_dropout",
    "initializer_range",
    "global_attn_indexes",
    "layer_norm_eps",
    "window_sizes",
    "num_heads",
}


def check_sizes(config: SamConfig, source: str) -> None:
    """Check the sizes of a network before it is built.

    Parameters
    ----------
    config : SamConfig
        As read from a file.
    source : str
        Name of the file in error messages.

    Raises
    ------
    ValueError
        When a size is not a number, out of range, or does not fit another one.
    """
    parts = (
        config.vision_config,
        config.prompt_encoder_config,
        config.mask_decoder_config,
    )
    for part in parts:
        for field in fields(part):
            _check(getattr(part, field.name), field.name, str(field.type), source)
        _check_divisible(part, source)
    _check_parts_fit(config, source)


def _check(value: Any, name: str, kind: str, source: str) -> None:
    """Check one value of a kind, the annotation of its field."""
    if kind.startswith("tuple"):
        if not isinstance(value, tuple | list) or len(value) > _LARGEST_NUMBER:
            raise ValueError(f"{source} has {name}={value!r}: a list is needed.")
        for one in value:
            _check(one, name, "int", source)
        return
    if not kind.startswith(("int", "float")) or (value is None and "None" in kind):
        return
    types = (int,) if kind.startswith("int") else (int, float)
    least = 0 if name in _MAY_BE_ZERO else 1 if types == (int,) else 1e-12
    largest = _LARGEST.get(name, _LARGEST_NUMBER)
    is_number = isinstance(value, types) and not isinstance(value, bool)
    if not is_number or not least <= value <= largest:
        raise ValueError(
            f"{source} has {name}={value!r}: numbers from {least} to {largest} are "
            "possible; get the file again."
        )


def _check_divisible(part: Any, source: str) -> None:
    """Check sizes that are divided by others."""
    for size, divisor in (
        ("hidden_size", "num_attention_heads"),
        ("image_size", "patch_size"),
    ):
        whole, parts = getattr(part, size, None), getattr(part, divisor, None)
        if whole is not None and parts is not None and whole % parts:
            raise ValueError(
                f"{source} has {size}={whole} and {divisor}={parts}: the first must be "
                "a multiple of the second; get the file again."
            )


def _check_parts_fit(config: SamConfig, source: str) -> None:
    """Check that the three parts agree about the image and its embedding."""
    vision, prompts = config.vision_config, config.prompt_encoder_config
    width = prompts.hidden_size
    for what, size, other, of_other in (
        ("image_size", vision.image_size, "prompt encoder", prompts.image_size),
        (
            "side of the embedding",
            vision.embedding_size,
            "prompt encoder",
            prompts.image_embedding_size,
        ),
        ("output_channels", vision.output_channels, "prompt encoder", width),
        (
            "output_channels",
            vision.output_channels,
            "mask decoder",
            config.mask_decoder_config.hidden_size,
        ),
    ):
        if size != of_other:
            raise ValueError(
                f"{source} has an image encoder with {what} {size} and a {other} for "
                f"{of_other}: they do not fit together; get the file again."
            )
