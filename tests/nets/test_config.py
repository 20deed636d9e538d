"""Sizes of the networks: defaults and dictionaries."""

from __future__ import annotations

from napari_sam.nets.config import (
    SamConfig,
    SamMaskDecoderConfig,
    SamPromptEncoderConfig,
    SamVisionConfig,
)


def test_defaults_are_sam_vit_b() -> None:
    vision, prompt = SamVisionConfig(), SamPromptEncoderConfig()
    assert (vision.hidden_size, vision.num_hidden_layers, vision.mlp_dim) == (
        768,
        12,
        3072,
    )
    assert vision.global_attn_indexes == (2, 5, 8, 11)
    assert vision.embedding_size == prompt.image_embedding_size == 64
    assert SamMaskDecoderConfig().num_multimask_outputs == 3


def test_dictionary_round_trip(vit_config: SamConfig) -> None:
    values = vit_config.to_dict()
    assert SamConfig.from_dict(values) == vit_config
    assert SamConfig.from_dict(values | {"architectures": ["SamModel"]}) == vit_config
    assert SamConfig.from_dict({}) == SamConfig()
