"""Names, paths and hub ids are resolved to files and registry entries."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import xxhash
from safetensors.torch import load_file, save_file

from napari_sam.checkpoints import registry
from napari_sam.checkpoints.download import WeightsError
from napari_sam.checkpoints.resolve import find_model, find_spec, is_hub_name
from napari_sam.huggingface.model import SamModel
from napari_sam.huggingface.processor import SamProcessor
from napari_sam.nets.config import SamConfig, SamMaskDecoderConfig
from napari_sam.prediction.loading import load_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.nets.sam import SamNetwork

NAME = "somebody/sam-small"


class Hub:
    """A fake huggingface_hub that records the calls."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls: list[dict[str, Any]] = []

    def snapshot_download(self, name: str, **options: Any) -> str:
        assert name == NAME
        self.calls.append(options)
        return str(self.folder)


@pytest.fixture
def hub(data_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    monkeypatch.chdir(tmp_path)
    fake = Hub(data_folder / "hf_sam_small")
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    return fake


def test_model_from_the_hub(hub: Hub, data_folder: Path) -> None:
    model = SamModel.from_pretrained(NAME, revision="main", cache_dir="there")
    assert model.config.vision_config.image_size == 256
    (call,) = hub.calls
    assert call["revision"] == "main"
    assert call["cache_dir"] == "there"
    assert "model.safetensors" in call["allow_patterns"]
    assert "pytorch_model.bin" not in call["allow_patterns"]


def test_missing_family_is_reported_before_the_download(hub: Hub) -> None:
    with pytest.raises(ValueError, match="give family= one of sam"):
        load_model(NAME)
    assert not any("safetensors" in str(a["allow_patterns"]) for a in hub.calls)
    predictor = load_model(NAME, family="sam", device="cpu")
    assert predictor.name == NAME


def test_settings_need_no_weights(hub: Hub) -> None:
    SamProcessor.from_pretrained(NAME, family="sam", local_files_only=True)
    (call,) = hub.calls
    assert call["local_files_only"] is True
    assert not any("safetensors" in pattern for pattern in call["allow_patterns"])


def test_repository_without_safetensors(hub: Hub, tmp_path: Path) -> None:
    hub.folder = tmp_path
    assert find_model(NAME) == tmp_path
    assert hub.calls[-1]["allow_patterns"][-3:] == [
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
        "pytorch_model-*-of-*.bin",
    ]


def test_missing_huggingface_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsError, match=r"pip install 'napari-sam\[hub\]'"):
        SamModel.from_pretrained(NAME)


def test_offline_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_is_hub_name(name: str | Path, expected: bool) -> None:
    assert is_hub_name(name) is expected


def test_conversions_on_the_hub_are_known() -> None:
    for name, known in (
        ("facebook/sam-vit-huge", "sam_vit_h"),
        ("wanglab/medsam-vit-base", "medsam_vit_b"),
    ):
        spec = find_spec(name)
        assert spec is not None
        assert spec.name == known
    assert find_spec(NAME) is None


def test_renamed_file_is_identified_by_its_hash(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = data_folder / "sam_small.pth"
    digest = xxhash.xxh128(path.read_bytes()).hexdigest()
    spec = replace(registry.get_model_spec("vit_b_lm"), xxh128=digest)
    monkeypatch.setattr(
        "napari_sam.checkpoints.resolve.MODELS", {**registry.MODELS, spec.name: spec}
    )
    decoder = SamMaskDecoderConfig(num_attention_heads=4)
    predictor = load_model(path, config=SamConfig(mask_decoder_config=decoder))
    assert predictor.name == "vit_b_lm"
    assert predictor.family == "sam"
    assert predictor.key == f"sam:xxh128:{digest}"


def test_sharded_weights(
    random_model: Callable[..., SamNetwork], vit_config: SamConfig, tmp_path: Path
) -> None:
    model = SamModel.of(random_model(vit_config))
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
    with pytest.raises(ValueError, match="outside the folder"):
        SamModel.from_pretrained(tmp_path)
