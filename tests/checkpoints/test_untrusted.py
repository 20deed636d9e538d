"""Files of weights and sizes from anywhere: refused in one sentence, with no memory."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.checkpoints.state_dict import load_model_file, read_state_dict
from napari_sam.nets.config import (
    SamConfig,
    SamMaskDecoderConfig,
    SamPromptEncoderConfig,
    SamVisionConfig,
    TinyViTConfig,
)
from napari_sam.nets.config_limits import check_sizes

if TYPE_CHECKING:
    from pathlib import Path

PARTS = {
    "vision_config": SamVisionConfig,
    "prompt_encoder_config": SamPromptEncoderConfig,
    "mask_decoder_config": SamMaskDecoderConfig,
}
NUMBERS = [
    (part, field.name)
    for part, kind in PARTS.items()
    for field in fields(kind)
    if str(field.type).startswith(("int", "float")) and "None" not in str(field.type)
]
STRANGE = st.one_of(
    st.integers(max_value=-1),
    st.integers(min_value=10**6),
    st.just(float("nan")),
    st.just(float("inf")),
    st.text(max_size=3),
    st.none(),
    st.booleans(),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)


# The same image, embedding and width for all three parts.
FITTING: dict[str, dict[str, int]] = {
    "vision_config": {"output_channels": 256, "image_size": 1024, "patch_size": 16},
    "prompt_encoder_config": {"hidden_size": 256, "image_size": 1024, "patch_size": 16},
    "mask_decoder_config": {"hidden_size": 256},
}


@pytest.mark.parametrize(
    ("part", "name"),
    [(part, name) for part, sizes in FITTING.items() for name in sizes],
)
def test_parts_that_do_not_fit_together_are_named(part: str, name: str) -> None:
    sizes = {one: dict(values) for one, values in FITTING.items()}
    check_sizes(SamConfig.from_dict(sizes), "a")
    sizes[part][name] *= 2
    with pytest.raises(ValueError, match=r"^a has .* do not fit together"):
        check_sizes(SamConfig.from_dict(sizes), "a")


def test_published_sizes_are_possible() -> None:
    sizes = {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16}
    check_sizes(SamConfig(), "vit_b")
    check_sizes(SamConfig(vision_config=SamVisionConfig(**sizes)), "vit_h")
    check_sizes(SamConfig(vision_config=TinyViTConfig()), "mobile_sam")


@given(st.sampled_from(NUMBERS), STRANGE)
def test_strange_sizes_are_named(size: tuple[str, str], value: Any) -> None:
    part, name = size
    values = {name: value, "mlp_dim": 16} if part == "vision_config" else {name: value}
    config = SamConfig(**{part: PARTS[part](**values)})
    with pytest.raises(ValueError, match=rf"^a has .*{name}=") as raised:
        check_sizes(config, "a")
    assert "get the file again" in str(raised.value)


def test_a_folder_with_endless_layers_is_refused(tmp_path: Path) -> None:
    config = {"model_type": "sam", **asdict(SamConfig())}
    config["vision_config"]["num_hidden_layers"] = 10**9
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="num_hidden_layers=1000000000"):
        load_model_file(tmp_path)


@pytest.mark.parametrize("name", ["tiny_lite", "tiny_sam"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_refused(
    tmp_path: Path, request: pytest.FixtureRequest, name: str, value: float
) -> None:
    state = dict(request.getfixturevalue(name).model.state_dict())
    key = sorted(key for key in state if state[key].is_floating_point())[-1]
    state[key] = state[key].clone()
    state[key].view(-1)[-1] = value
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    with pytest.raises(ValueError, match=rf"no numbers, in {key}"):
        load_model_file(path)


def test_a_view_that_repeats_one_value_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"a": torch.zeros(1, dtype=torch.half).expand(10**6, 10**6)}, path)
    assert path.stat().st_size < 10_000
    with pytest.raises(ValueError, match=r"expands to 2,000,000 MB.*not loaded"):
        read_state_dict(path)


def test_an_archive_that_unpacks_to_much_is_refused(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain.pth", tmp_path / "packed.pth"
    torch.save({"a": torch.zeros(10**6)}, plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(packed, "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry), zipfile.ZIP_DEFLATED)
    assert read_state_dict(plain)["a"].shape == (10**6,)
    with pytest.raises(ValueError, match=r"unpacks to 4 MB, far more than its size"):
        read_state_dict(packed)
