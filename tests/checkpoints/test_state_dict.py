"""Checkpoints of every published layout are read completely, and safely."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from napari_sam.checkpoints.infer_config import infer_config
from napari_sam.checkpoints.state_dict import (
    load_model_file,
    read_state_dict,
    to_official_keys,
)
from napari_sam.huggingface.model import SamModel
from napari_sam.nets.config import (
    SamConfig,
    SamMaskDecoderConfig,
    SamPromptEncoderConfig,
    SamVisionConfig,
    TinyViTConfig,
)
from napari_sam.nets.sam import SamNetwork

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    State = dict[str, Tensor]

NECK = "image_encoder.neck.0.weight"
IOU_TOKEN = "mask_decoder.iou_token.weight"
PIXELS = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
BOXES = torch.tensor([[[3.0, 4, 40, 50]]])


@pytest.fixture
def model(random_model: Callable[..., SamNetwork], vit_config: SamConfig) -> SamNetwork:
    return random_model(vit_config)


@pytest.fixture
def state(model: SamNetwork) -> State:
    return dict(model.state_dict())


@pytest.fixture
def hf_folder(data_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(data_folder / "hf_sam_small", tmp_path / "hf")


def save(content: Any, folder: Path, name: str = "weights.pth") -> Path:
    path = folder / name
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    return path


def heads(config: SamConfig) -> SamConfig:
    """A config with the number of heads only, which shapes do not tell."""
    count = config.mask_decoder_config.num_attention_heads
    decoder = SamMaskDecoderConfig(num_attention_heads=count)
    return SamConfig(mask_decoder_config=decoder)


def assert_same_model(loaded: SamNetwork, model: SamNetwork) -> None:
    actual, expected = (
        SamModel.of(m)(PIXELS, input_boxes=BOXES) for m in (loaded, model)
    )
    torch.testing.assert_close(
        actual.pred_masks, expected.pred_masks, rtol=0, atol=1e-4
    )
    torch.testing.assert_close(
        actual.iou_scores, expected.iou_scores, rtol=0, atol=1e-4
    )


# -- layouts


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.safetensors"])
def test_official_files(
    state: State, model: SamNetwork, vit_config: SamConfig, tmp_path: Path, name: str
) -> None:
    loaded = load_model_file(save(state, tmp_path, name), heads(vit_config))
    assert_same_model(loaded, model)
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"model": s, "epoch": 3},
        lambda s: {"state_dict": s},
        lambda s: {"model_state": {f"sam.{k}": v for k, v in s.items()}},
        lambda s: {f"module.{k}": v for k, v in s.items()},
        lambda s: {f"module.sam.{k}": v for k, v in s.items()},
    ],
    ids=["model", "state_dict", "micro-sam", "module", "module.sam"],
)
def test_wrappers_of_training_code(
    state: State,
    model: SamNetwork,
    vit_config: SamConfig,
    tmp_path: Path,
    wrap: Callable[[State], Any],
) -> None:
    path = save(wrap(state), tmp_path)
    assert_same_model(load_model_file(path, heads(vit_config)), model)


def test_half_precision_becomes_single(state: State, tmp_path: Path) -> None:
    halves = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    read = read_state_dict(save(halves, tmp_path))
    assert {v.dtype for v in read.values()} == {torch.float32}
    assert torch.equal(read[NECK], state[NECK].half().float())


def test_mobile_sam_with_its_classification_head(
    random_model: Callable[..., SamNetwork], tmp_path: Path
) -> None:
    # 64 x 64 embedding, as in every published file; tiny in all else.
    config = SamConfig(
        vision_config=TinyViTConfig(
            image_size=512,
            embed_dims=(8, 16),
            depths=(1, 1),
            num_heads=(1, 2),
            window_sizes=(1, 7),
            output_channels=16,
        ),
        prompt_encoder_config=SamPromptEncoderConfig(
            hidden_size=16, image_size=512, patch_size=8, mask_input_channels=8
        ),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=16, mlp_dim=24, num_attention_heads=2, iou_head_hidden_dim=12
        ),
    )
    model = random_model(config)
    state = dict(model.state_dict()) | {
        "image_encoder.norm_head.weight": torch.ones(16),
        "image_encoder.norm_head.bias": torch.zeros(16),
        "image_encoder.head.weight": torch.zeros(1000, 16),
        "image_encoder.head.bias": torch.zeros(1000),
        "image_encoder.layers.1.blocks.0.attn.attention_bias_idxs": torch.zeros(
            49, 49, dtype=torch.long
        ),
    }
    loaded = load_model_file(save(state, tmp_path), heads(config))
    assert loaded.config.vision_config == config.vision_config
    # Batch norms are kept: the model can be trained, saved and loaded again.
    assert loaded.state_dict().keys() == model.state_dict().keys()
    pixels = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        loaded.get_image_embeddings(pixels),
        model.get_image_embeddings(pixels),
        rtol=0,
        atol=2e-3,
    )


POSITIONS = "positional_embedding"


@pytest.mark.parametrize(
    "names",
    [
        ["shared_image_embedding"],
        ["prompt_encoder.shared_embedding"],
        ["shared_image_embedding", "prompt_encoder.shared_embedding"],
    ],
    ids=["image", "prompt", "both"],
)
def test_tied_positions_of_hugging_face(hf_folder: Path, names: list[str]) -> None:
    expected = SamModel.from_pretrained(hf_folder).state_dict()
    expected = {name: tensor.clone() for name, tensor in expected.items()}
    file = hf_folder / "model.safetensors"
    state = load_file(file)
    actual = [state.pop(k) for k in list(state) if k.endswith(POSITIONS)]
    save_file(state | {f"{n}.{POSITIONS}": actual[0].clone() for n in names}, file)
    loaded = SamModel.from_pretrained(hf_folder).state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[k], v) for k, v in expected.items())


def test_missing_positions_of_hugging_face(hf_folder: Path) -> None:
    file = hf_folder / "model.safetensors"
    state = load_file(file)
    save_file({k: v for k, v in state.items() if not k.endswith(POSITIONS)}, file)
    with pytest.raises(ValueError, match=r"1 keys missing .*positional_encoding"):
        SamModel.from_pretrained(hf_folder)


def test_official_keys_stay_as_they_are(state: State) -> None:
    assert to_official_keys(state).keys() == state.keys()


# -- sizes


def vit(width: int, depth: int, heads: int, globals_: tuple[int, ...]) -> SamConfig:
    return SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=width,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            global_attn_indexes=globals_,
        )
    )


CONFIGS = {
    "vit_b": vit(768, 12, 12, (2, 5, 8, 11)),
    "vit_l": vit(1024, 24, 16, (5, 11, 17, 23)),
    "vit_h": vit(1280, 32, 16, (7, 15, 23, 31)),
    "mobile_sam": SamConfig(vision_config=TinyViTConfig()),
    "lite_medsam": SamConfig(
        vision_config=TinyViTConfig(image_size=256, patch_kernel=1),
        prompt_encoder_config=SamPromptEncoderConfig(image_size=256, patch_size=4),
    ),
}


def sizes(config: SamConfig) -> dict[str, Any]:
    """Values of a config, without those that TinyViT's first stage does not use."""
    values = asdict(config)
    vision = values["vision_config"]
    if isinstance(config.vision_config, TinyViTConfig):
        for name in ("num_heads", "window_sizes"):
            vision[name] = vision[name][1:]
    return values


@pytest.mark.parametrize("name", CONFIGS)
def test_sizes_of_published_models(name: str) -> None:
    config = CONFIGS[name]
    with torch.device("meta"):
        state = SamNetwork(config).state_dict()
    actual = infer_config(state, SamMaskDecoderConfig(), source=name)
    assert sizes(actual) == sizes(config)


def test_sizes_of_a_small_model(state: State, vit_config: SamConfig) -> None:
    actual = infer_config(state, heads(vit_config).mask_decoder_config, source="it")
    assert actual == vit_config


def test_number_of_heads_comes_from_the_config(
    state: State, vit_config: SamConfig, tmp_path: Path
) -> None:
    path = save(state, tmp_path)
    for count in (1, 2, 4):
        decoder = SamMaskDecoderConfig(num_attention_heads=count)
        loaded = load_model_file(path, SamConfig(mask_decoder_config=decoder))
        assert loaded.mask_decoder.transformer.final_attn_token_to_image.heads == count


# -- files that are refused


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda s: s.pop(IOU_TOKEN), f"known architecture .*{IOU_TOKEN} is missing"),
        (
            lambda s: s.pop("image_encoder.blocks.1.mlp.lin1.bias"),
            r"1 keys missing \(image_encoder\.blocks\.1\.mlp\.lin1\.bias\)",
        ),
        (
            lambda s: s.update(extra=torch.zeros(1)),
            r"1 keys not expected \(extra\)",
        ),
        (
            lambda s: s.update({f"extra.{i}": torch.zeros(1) for i in range(4)}),
            r"4 keys not expected \(extra\.0, extra\.1, extra\.2, \.\.\.\)",
        ),
        (
            lambda s: s.update({"image_encoder.neck.1.bias": torch.zeros(5)}),
            r"1 keys of another shape "
            r"\(image_encoder\.neck\.1\.bias \(5,\) instead of \(16,\)\)",
        ),
    ],
    ids=["size", "missing", "extra", "many", "shape"],
)
def test_error_names_keys_that_do_not_fit(
    state: State,
    vit_config: SamConfig,
    tmp_path: Path,
    change: Callable[[State], Any],
    sentence: str,
) -> None:
    change(state)
    path = save(state, tmp_path)
    with pytest.raises(ValueError, match=sentence) as caught:
        load_model_file(path, heads(vit_config))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.5, 0.99])
def test_truncated_files(
    state: State, tmp_path: Path, name: str, fraction: float
) -> None:
    path = save(state, tmp_path, name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    with pytest.raises(ValueError, match=f"{name}.*get it again"):
        read_state_dict(path)


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_text_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("<!DOCTYPE html>\n<title>404 Not Found</title>\n")
    with pytest.raises(ValueError, match=f"{name}.*get it again"):
        read_state_dict(path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@given(start=st.sampled_from([b"", b"\x80\x02", b"PK\x03\x04"]), rest=st.binary())
@example(b"\x80\x02", b"0")
@example(b"\x80\x02", b"}\x85R.")
def test_arbitrary_bytes(
    tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "weights.pth"
    path.write_bytes(start + rest)
    with pytest.raises(ValueError, match=r"weights\.pth"):
        read_state_dict(path)


class Code:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_file_is_not_run(tmp_path: Path, state: State, writer: str) -> None:
    executed, path = tmp_path / "executed", tmp_path / "weights.pth"
    content = {"model": state, "optimizer": Code(executed)}
    if writer == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps({"optimizer": Code(executed)}, protocol=2))
    with pytest.raises(ValueError, match="not loaded for safety"):
        read_state_dict(path)
    assert not executed.exists()
    if writer == "torch":
        torch.load(path, weights_only=False)
    else:
        pickle.loads(path.read_bytes())
    assert executed.exists(), "the file is harmless, so the test proves nothing"


@pytest.mark.parametrize(
    "content",
    [[torch.zeros(3)], torch.zeros(3), {"a": 1}, {1: torch.zeros(3)}],
    ids=["list", "tensor", "numbers", "numbered"],
)
def test_other_contents(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ValueError, match=r"weights\.pth is not a state dict"):
        read_state_dict(save(content, tmp_path))


@pytest.mark.parametrize("content", [{}, {"fc.weight": torch.zeros(3, 3)}])
def test_other_networks(tmp_path: Path, content: State) -> None:
    with pytest.raises(ValueError, match="not a SAM checkpoint of a known archit"):
        load_model_file(save(content, tmp_path))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no checkpoint file at .*none\.pth"):
        load_model_file(tmp_path / "none.pth")


def test_folder_without_config(hf_folder: Path) -> None:
    (hf_folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no config\.json: give a folder"):
        SamModel.from_pretrained(hf_folder)


def test_folder_without_weights(hf_folder: Path) -> None:
    (hf_folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        SamModel.from_pretrained(hf_folder)


@pytest.mark.parametrize("model_type", ["sam2", None])
def test_folder_of_another_model(hf_folder: Path, model_type: str | None) -> None:
    (hf_folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(ValueError, match=f"describes a {model_type!r} model: only"):
        SamModel.from_pretrained(hf_folder)


@pytest.mark.parametrize("text", ["{", "[]"])
def test_folder_with_damaged_config(hf_folder: Path, text: str) -> None:
    (hf_folder / "config.json").write_text(text)
    with pytest.raises(ValueError, match=r"config\.json"):
        SamModel.from_pretrained(hf_folder)
