"""Loading of predictors from names, files and folders."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_sam.checkpoints.download import fetch
from napari_sam.checkpoints.model_spec import PackagedWeights
from napari_sam.checkpoints.registry import MODELS, get_model_spec
from napari_sam.checkpoints.state_dict import with_decoder
from napari_sam.huggingface.model import SamModel
from napari_sam.nets.config import SamConfig, SamMaskDecoderConfig
from napari_sam.nets.devices import best_device
from napari_sam.prediction.loading import load_click_decoder, load_model
from napari_sam.prompts.prompt import Prompt
from napari_sam.training.saving import official_state, write_tensors

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_sam.checkpoints.families import Family
    from napari_sam.nets.sam import SamNetwork
    from napari_sam.prediction.predictor import Predictor

IOU_TOKEN = "mask_decoder.iou_token.weight"
SMALL = SamConfig(mask_decoder_config=SamMaskDecoderConfig(num_attention_heads=4))


@pytest.fixture
def file(data_folder: Path) -> Path:
    return data_folder / "sam_small.pth"


def box_mask_shape(predictor: Predictor) -> tuple[int, ...]:
    plane = np.arange(600, dtype=np.uint16).reshape(20, 30)
    found = predictor.predict(predictor.embed(plane), Prompt(box=[2, 3, 15, 20]))
    return found.mask.shape


@pytest.mark.parametrize(
    ("family", "prompts"),
    [
        ("sam", {"point", "box", "mask"}),
        ("medsam", {"box"}),
        ("lite_medsam", {"box"}),
    ],
)
def test_a_file_with_its_family(file: Path, family: Family, prompts: set[str]) -> None:
    predictor = load_model(file, config=SMALL, family=family)
    assert predictor.name == "sam_small.pth"
    assert predictor.family == family
    assert predictor.prompts == prompts
    assert predictor.device == best_device()
    assert repr(predictor).startswith(f"Predictor('sam_small.pth', family='{family}'")


def test_a_path_may_be_a_string(file: Path) -> None:
    predictor = load_model(str(file), config=SMALL, family="sam")
    assert box_mask_shape(predictor) == (20, 30)


def test_a_folder_in_hugging_face_layout(data_folder: Path) -> None:
    predictor = load_model(data_folder / "hf_sam_small", family="sam")
    assert predictor.name == "hf_sam_small"
    assert box_mask_shape(predictor) == (20, 30)


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu")])
def test_the_device_is_chosen(file: Path, device: str | torch.device) -> None:
    predictor = load_model(file, config=SMALL, family="sam", device=device)
    assert predictor.device == torch.device("cpu")
    assert {p.device.type for p in predictor.model.parameters()} == {"cpu"}


def test_keys_identify_weights_and_family(
    file: Path, data_folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copy(file, tmp_path / "copy.pth")
    key = load_model(file, config=SMALL, family="sam").key
    assert load_model(copy, config=SMALL, family="sam").key == key
    assert load_model(file, config=SMALL, family="medsam").key != key
    assert load_model(data_folder / "hf_sam_small", family="sam").key != key


@pytest.mark.parametrize("name", ["sam_vit_x", "", "no/such/file.pth"])
def test_errors_for_unknown_names_list_the_known_ones(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"neither a known|in the registry") as e:
        load_model(name)
    if name:
        assert all(known in str(e.value) for known in MODELS)


@pytest.mark.parametrize("family", [None, "sam2"])
@pytest.mark.parametrize("source", ["sam_small.pth", "hf_sam_small"])
def test_unknown_weights_need_a_family(
    data_folder: Path, source: str, family: Family | None
) -> None:
    sentence = r"give family= one of sam, medsam, lite_medsam"
    with pytest.raises(ValueError, match=sentence) as caught:
        load_model(data_folder / source, config=SMALL, family=family)
    assert source in str(caught.value)


def test_a_file_that_is_not_a_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "page.pth"
    path.write_text("<html></html>")
    with pytest.raises(ValueError, match=r"page\.pth .*get it again"):
        load_model(path, family="sam")


def test_a_folder_that_is_not_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"has no config\.json"):
        load_model(tmp_path, family="sam")


@pytest.mark.weights
def test_a_registry_name(default_predictor: Predictor) -> None:
    spec = get_model_spec("lite_medsam")
    assert default_predictor.name == "lite_medsam"
    assert default_predictor.family == spec.family
    assert default_predictor.prompts == spec.prompts
    assert spec.click_decoder is not None
    made_by = f"lite_medsam:{spec.hash}, clicks sha256:{spec.click_decoder.sha256}"
    assert default_predictor.key == made_by


@pytest.mark.weights
def test_the_click_decoder_shares_the_image_encoder(
    default_predictor: Predictor,
) -> None:
    click_decoder = default_predictor.click_decoder
    assert click_decoder is not None
    assert click_decoder.image_encoder is default_predictor.model.image_encoder
    other = default_predictor.model.mask_decoder.state_dict()
    found = click_decoder.mask_decoder.state_dict()
    assert found.keys() == other.keys()
    assert not torch.equal(found["iou_token.weight"], other["iou_token.weight"])


def test_a_damaged_click_decoder_is_refused(
    tmp_path: Path, random_model: Callable[..., SamNetwork], lite_config: SamConfig
) -> None:
    path = tmp_path / "decoder.safetensors"
    model, decoder = random_model(lite_config), PackagedWeights(str(path), "0" * 64)
    for content in (None, b"something else"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged or missing: install napari-sam"):
            load_click_decoder(model, decoder)


def test_a_click_decoder_that_does_not_fit_is_refused(
    tmp_path: Path, random_model: Callable[..., SamNetwork], lite_config: SamConfig
) -> None:
    model, path = random_model(lite_config), tmp_path / "decoder.safetensors"
    decoder = {
        key: value
        for key, value in official_state(model).items()
        if not key.startswith("image_encoder.")
    }
    write_tensors(path, decoder, {})
    other = with_decoder(random_model(lite_config, 5), path)
    assert torch.equal(other.mask_decoder.iou_token.weight, decoder[IOU_TOKEN])
    del decoder[IOU_TOKEN]
    write_tensors(path, decoder, {})
    with pytest.raises(ValueError, match=f"1 keys missing .{IOU_TOKEN}"):
        with_decoder(model, path)


@pytest.mark.weights
def test_known_weights_are_recognised_under_another_name(
    default_predictor: Predictor, tmp_path: Path
) -> None:
    path = tmp_path / "from_a_colleague.pth"
    shutil.copy(fetch(get_model_spec("lite_medsam")), path)
    predictor = load_model(path)
    assert predictor.name == "lite_medsam"
    assert predictor.family == "lite_medsam"
    assert predictor.prompts == {"box"}
    assert predictor.key == default_predictor.key


@pytest.mark.weights
def test_a_trained_model_is_saved_and_loaded(
    default_predictor: Predictor, tmp_path: Path
) -> None:
    model = SamModel.from_pretrained("lite_medsam")
    assert any("bn" in name for name in model.state_dict())  # as it is trained
    torch.save(model.state_dict(), tmp_path / "tuned.pth")
    tuned = load_model(tmp_path / "tuned.pth", family="lite_medsam", device="cpu")
    expected = default_predictor.model.state_dict()
    found = tuned.model.state_dict()
    assert not any("bn" in name for name in found)  # merged for prediction
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
