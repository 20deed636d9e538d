"""Configurations with the interface of transformers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch

import napari_sam as ns

if TYPE_CHECKING:
    from pathlib import Path

PARTS = [ns.SamVisionConfig, ns.SamPromptEncoderConfig, ns.SamMaskDecoderConfig]


@pytest.mark.parametrize("kind", PARTS)
def test_parts_are_read_and_written(kind: Any, tmp_path: Path) -> None:
    config = kind(hidden_size=32, my_note="kept")
    assert config.my_note == "kept"
    again = kind.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again != kind()
    config.save_pretrained(tmp_path / "part")
    assert kind.from_pretrained(tmp_path / "part") == config
    whole = ns.SamConfig(**{kind.base_config_key: config})
    (file,) = whole.save_pretrained(tmp_path / "whole")
    read = kind.from_pretrained(tmp_path / "whole")
    assert (read.hidden_size, read.my_note) == (32, "kept")
    assert ns.SamConfig.from_json_file(file).to_dict() == (
        ns.SamConfig.from_pretrained(tmp_path / "whole").to_dict()
    )


def test_unknown_keywords_of_the_whole() -> None:
    config = ns.SamConfig(vision_config={"hidden_size": 48, "dropout": 0.5}, id=7)
    assert isinstance(config.vision_config, ns.SamVisionConfig)
    assert config.vision_config.dropout == 0.5
    values = config.to_dict()
    assert values["id"] == 7
    assert values["vision_config"]["dropout"] == 0.5
    assert ns.SamConfig.from_dict(values) == config
    changed, unused = ns.SamConfig.from_dict(
        values, id=8, other=1, return_unused_kwargs=True
    )
    assert (changed.id, unused) == (8, {"other": 1})


def test_text_shows_what_is_unusual() -> None:
    config = ns.SamVisionConfig(hidden_size=48)
    shown = json.loads(config.to_json_string())
    assert shown == {
        "model_type": "sam_vision_model",
        "hidden_size": 48,
        "mlp_dim": 192,
        "scale": 24,
    }
    assert "patch_size" in config.to_json_string(use_diff=False)
    assert repr(config).startswith("SamVisionConfig {")
    config.update({"patch_size": 8})
    assert (config.patch_size, config.scale) == (8, 24)


def test_computed_values_in_files_are_left_out() -> None:
    config = ns.SamPromptEncoderConfig(image_size=64, image_embedding_size=99)
    assert config.image_embedding_size == 4


def test_attention_is_kept_for_all_parts() -> None:
    config = ns.SamConfig(attn_implementation="eager")
    assert config.vision_config._attn_implementation == "eager"
    config._attn_implementation = {"": "sdpa", "mask_decoder_config": "eager"}
    assert config.vision_config._attn_implementation == "sdpa"
    assert config.mask_decoder_config._attn_implementation == "eager"
    assert "_attention" not in config.to_dict()


def test_types_and_labels_of_a_configuration() -> None:
    config = ns.SamVisionConfig(dtype="float16", num_labels=3)
    assert config.dtype == torch.float16
    assert config.to_dict()["dtype"] == "float16"
    assert config.id2label == {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}
    assert ns.SamVisionConfig().num_labels == 2


def test_a_missing_configuration_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="neither a known model"):
        ns.SamConfig.from_pretrained(tmp_path / "missing")
