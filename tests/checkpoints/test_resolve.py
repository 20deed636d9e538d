"""Names of the registry and the hub lead to files, or to a sentence."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import xxhash

from napari_sam.checkpoints import registry as models
from napari_sam.checkpoints.download import WeightsError
from napari_sam.checkpoints.resolve import find_model, find_spec, is_hub_name
from napari_sam.huggingface.model import SamModel
from napari_sam.huggingface.processor import SamProcessor
from napari_sam.nets.config import SamConfig, SamMaskDecoderConfig
from napari_sam.prediction.loading import load_model

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "somebody/sam-small"


class Hub:
    """Stands for huggingface_hub: remembers what was asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[dict[str, Any]] = []

    def snapshot_download(self, name: str, **options: Any) -> str:
        assert name == NAME
        self.asked.append(options)
        return str(self.folder)


@pytest.fixture
def hub(data_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    monkeypatch.chdir(tmp_path)
    stand_in = Hub(data_folder / "hf_sam_small")
    monkeypatch.setitem(sys.modules, "huggingface_hub", stand_in)
    return stand_in


def test_a_model_of_the_hub(hub: Hub, data_folder: Path) -> None:
    model = SamModel.from_pretrained(NAME, revision="main", cache_dir="there")
    assert model.config.vision_config.image_size == 256
    (asked,) = hub.asked
    assert asked["revision"] == "main"
    assert asked["cache_dir"] == "there"
    assert "model.safetensors" in asked["allow_patterns"]
    assert "pytorch_model.bin" not in asked["allow_patterns"]


def test_the_family_is_asked_for_before_the_weights_are_brought(hub: Hub) -> None:
    with pytest.raises(ValueError, match="give family= one of sam"):
        load_model(NAME)
    assert not any("safetensors" in str(a["allow_patterns"]) for a in hub.asked)
    predictor = load_model(NAME, family="sam", device="cpu")
    assert predictor.name == NAME


def test_settings_need_no_weights(hub: Hub) -> None:
    SamProcessor.from_pretrained(NAME, family="sam", local_files_only=True)
    (asked,) = hub.asked
    assert asked["local_files_only"] is True
    assert not any("safetensors" in pattern for pattern in asked["allow_patterns"])


def test_folders_of_before_safetensors(hub: Hub, tmp_path: Path) -> None:
    hub.folder = tmp_path
    assert find_model(NAME) == tmp_path
    assert hub.asked[-1]["allow_patterns"][-1] == "pytorch_model.bin"


def test_without_the_extra(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsError, match=r"pip install 'napari-sam\[hub\]'"):
        SamModel.from_pretrained(NAME)


def test_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, **_: Any) -> str:
        raise ConnectionError("no route to host\nand much more")

    monkeypatch.setitem(
        sys.modules, "huggingface_hub", SimpleNamespace(snapshot_download=fail)
    )
    with pytest.raises(WeightsError, match=r"\(no route to host\): check the name and"):
        SamModel.from_pretrained(NAME)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("facebook/sam-vit-base", True),
        ("sam_vit_b", False),
        ("a/b/c", False),
        ("./a/b", False),
        ("../b", False),
        (Path("a/b"), False),
    ],
)
def test_names_of_the_hub(name: str | Path, expected: bool) -> None:
    assert is_hub_name(name) is expected


def test_known_conversions() -> None:
    for name, spec in (
        ("facebook/sam-vit-huge", "sam_vit_h"),
        ("wanglab/medsam-vit-base", "medsam_vit_b"),
    ):
        found = find_spec(name)
        assert found is not None
        assert found.name == spec
    assert find_spec(NAME) is None


def test_a_renamed_file_of_micro_sam_is_recognised(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = data_folder / "sam_small.pth"
    digest = xxhash.xxh128(path.read_bytes()).hexdigest()
    spec = replace(models.get_model_spec("vit_b_lm"), xxh128=digest)
    monkeypatch.setattr(
        "napari_sam.checkpoints.resolve.MODELS", {**models.MODELS, spec.name: spec}
    )
    decoder = SamMaskDecoderConfig(num_attention_heads=4)
    predictor = load_model(path, config=SamConfig(mask_decoder_config=decoder))
    assert predictor.name == "vit_b_lm"
    assert predictor.family == "sam"
    assert predictor.key == f"sam:xxh128:{digest}"


def test_large_models_come_in_shards(
    random_model: Callable[..., SamModel], vit_config: SamConfig, tmp_path: Path
) -> None:
    import json

    from safetensors.torch import load_file, save_file

    model = random_model(vit_config)
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    state, index = load_file(file), {}
    file.unlink()
    for number in range(2):
        shard = f"model-{number + 1:05}-of-00002.safetensors"
        part = {k: v for i, (k, v) in enumerate(state.items()) if i % 2 == number}
        save_file(part, tmp_path / shard)
        index |= dict.fromkeys(part, shard)
    listing = tmp_path / "model.safetensors.index.json"
    listing.write_text(json.dumps({"weight_map": index}))
    loaded = SamModel.from_pretrained(tmp_path).state_dict()
    assert all((loaded[k] == v).all() for k, v in model.state_dict().items())
    listing.write_text(json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}}))
    with pytest.raises(ValueError, match="names files outside of the folder"):
        SamModel.from_pretrained(tmp_path)
