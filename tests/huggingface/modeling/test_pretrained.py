"""Keywords of from_pretrained and save_pretrained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

import napari_sam as ns
from napari_sam.huggingface.model import SamModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.nets.config import SamConfig


@pytest.fixture
def model(random_sam: Callable[..., SamModel], vit_config: SamConfig) -> SamModel:
    return random_sam(vit_config)


@pytest.fixture
def folder(model: SamModel, tmp_path: Path) -> Path:
    files = model.save_pretrained(tmp_path / "inside", safe_serialization=True)
    assert [Path(file).name for file in files] == ["config.json", "model.safetensors"]
    assert all(Path(file).is_file() for file in files)
    return tmp_path / "inside"


def assert_same(one: SamModel, other: SamModel) -> None:
    assert all(
        torch.equal(v, other.state_dict()[k]) for k, v in one.state_dict().items()
    )


@pytest.mark.parametrize(
    "options",
    [
        {"device_map": "cpu"},
        {"device_map": {"": "cpu"}},
        {"torch_dtype": "auto", "use_safetensors": True, "low_cpu_mem_usage": True},
        {"attn_implementation": "eager", "revision": "main", "local_files_only": True},
        {"subfolder": None, "force_download": True, "trust_remote_code": True},
        {"generation_config": None, "tp_size": None, "kernel_config": None},
        {"distributed_config": None, "device_mesh": None, "adapter_name": "default"},
    ],
)
def test_options_without_effect(
    model: SamModel, folder: Path, options: dict[str, Any]
) -> None:
    loaded = SamModel.from_pretrained(folder, **options)
    assert_same(model, loaded)
    assert not loaded.training
    assert all(p.requires_grad for p in loaded.parameters())


def test_folder_inside_a_folder(model: SamModel, folder: Path) -> None:
    assert_same(model, SamModel.from_pretrained(folder.parent, subfolder="inside"))


def test_variant(model: SamModel, folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")
    assert_same(model, SamModel.from_pretrained(folder, variant="fp16"))
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors"):
        SamModel.from_pretrained(folder)


def test_shards_of_the_old_format(model: SamModel, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    state, index = model.state_dict(), {}
    for number, part in enumerate(("vision_encoder", "")):
        shard = f"pytorch_model-{number + 1:05}-of-00002.bin"
        names = [n for n in state if n.startswith(part) and n not in index]
        torch.save({n: state[n].clone() for n in names}, folder / shard)
        index |= dict.fromkeys(names, shard)
    listing = folder / "pytorch_model.bin.index.json"
    listing.write_text(json.dumps({"weight_map": index}))
    assert_same(model, SamModel.from_pretrained(folder))


def test_attributes_of_the_configuration(folder: Path) -> None:
    loaded = SamModel.from_pretrained(folder, output_attentions=True)
    assert loaded.config.output_attentions
    with pytest.raises(TypeError, match="no option 'dance'"):
        SamModel.from_pretrained(folder, dance=True)
    with pytest.raises(ValueError, match="load_in_8bit is not supported"):
        SamModel.from_pretrained(folder, load_in_8bit=True)
    with pytest.raises(ValueError, match="several devices"):
        SamModel.from_pretrained(folder, device_map={"a": "cpu", "b": 0})


def test_loading_info(folder: Path) -> None:
    loaded, info = SamModel.from_pretrained(folder, output_loading_info=True)
    assert isinstance(loaded, SamModel)
    assert not any(info.values())


def test_saved_state_dict_is_loaded_again(
    random_sam: Callable[..., SamModel], vit_config: SamConfig, tmp_path: Path
) -> None:
    model, other = random_sam(vit_config), random_sam(vit_config, 3)
    model.save_pretrained(tmp_path, state_dict=other.state_dict())
    assert_same(other, SamModel.from_pretrained(tmp_path))


def test_points_on_weights_trained_on_boxes_warn(model: SamModel) -> None:
    pixels, points = torch.zeros(1, 3, 64, 64), torch.zeros(1, 1, 1, 2)
    model(pixels, input_points=points)  # nothing is known of these weights
    model.trained_prompts = ("box",)
    model(pixels, input_boxes=torch.tensor([[[3.0, 4, 40, 50]]]))
    with pytest.warns(
        UserWarning, match="trained on prompts by box only.*load_model"
    ) as found:
        model(pixels, input_points=points)
    assert found[0].filename == __file__  # it points to the line of the user


@pytest.mark.weights
def test_lite_medsam_knows_its_prompts() -> None:
    assert SamModel.from_pretrained("lite_medsam").trained_prompts == {"box"}


def test_the_image_encoder_alone_is_written_and_read(
    random_sam: Callable[..., SamModel], vit_config: SamConfig, tmp_path: Path
) -> None:
    whole = random_sam(vit_config)
    whole.save_pretrained(tmp_path / "whole")
    encoder = ns.SamVisionModel.from_pretrained(tmp_path / "whole")
    encoder.save_pretrained(tmp_path / "encoder")
    assert ns.SamVisionConfig.from_pretrained(tmp_path / "encoder") == encoder.config
    again = ns.SamVisionModel.from_pretrained(tmp_path / "encoder")
    state = whole.state_dict()
    assert set(again.state_dict()) == {k for k in state if k.startswith("vision_")}
    for name, value in again.state_dict().items():
        assert torch.equal(value, state[name])


def test_weights_that_are_given(
    random_sam: Callable[..., SamModel], vit_config: SamConfig
) -> None:
    model = random_sam(vit_config)
    again = SamModel.from_pretrained(
        None, config=model.config, state_dict=model.state_dict()
    )
    for name, value in again.state_dict().items():
        assert torch.equal(value, model.state_dict()[name])
    with pytest.raises(ValueError, match="give config and state_dict"):
        SamModel.from_pretrained(None, config=model.config)


def test_the_meta_device_holds_no_weights() -> None:
    with torch.device("meta"), pytest.raises(RuntimeError, match="meta device"):
        SamModel.from_pretrained("folder")


def test_kinds_of_attention(
    random_sam: Callable[..., SamModel], vit_config: SamConfig
) -> None:
    model = random_sam(vit_config)
    model.set_attn_implementation("eager")
    assert model.config.vision_config._attn_implementation == "eager"
    with pytest.raises(ValueError, match="is not supported"):
        model.set_attn_implementation("foo")


def test_gradients_of_the_patches(
    random_sam: Callable[..., SamModel], vit_config: SamConfig
) -> None:
    model = random_sam(vit_config).requires_grad_(False)
    pixels = torch.rand(1, 3, 64, 64)
    model.enable_input_require_grads()
    assert model(pixel_values=pixels).pred_masks.requires_grad
    model.disable_input_require_grads()
    assert not model(pixel_values=pixels).pred_masks.requires_grad


def test_attentions_have_gradients(
    random_sam: Callable[..., SamModel], vit_config: SamConfig
) -> None:
    model = random_sam(vit_config).requires_grad_(True)
    plain = model(pixel_values=torch.ones(1, 3, 64, 64)).pred_masks
    output = model(pixel_values=torch.ones(1, 3, 64, 64), output_attentions=True)
    torch.testing.assert_close(output.pred_masks, plain, atol=1e-4, rtol=1e-4)
    output.vision_attentions[0].retain_grad()
    output.pred_masks.sum().backward()
    assert output.vision_attentions[0].grad is not None


def test_new_weights_can_be_drawn(
    random_sam: Callable[..., SamModel], vit_config: SamConfig
) -> None:
    model = random_sam(vit_config).requires_grad_(True)
    before = model.mask_decoder.iou_token.weight.clone()
    model.init_weights()
    assert not torch.equal(model.mask_decoder.iou_token.weight, before)
