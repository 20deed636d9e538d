"""The example of transformers' documentation, with its import line changed.

Masks and scores are compared with those of transformers for the same weights, see
`tests.huggingface.test_processor`.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

if TYPE_CHECKING:
    from pathlib import Path

# As documented, but the picture is a local file.
EXAMPLE = """
import torch
from PIL import Image
from transformers import SamModel, SamProcessor

device = "cuda" if torch.cuda.is_available() else "cpu"
model = SamModel.from_pretrained("somebody/sam-small").to(device)
processor = SamProcessor.from_pretrained("somebody/sam-small")

raw_image = Image.open("picture.png").convert("RGB")
input_points = [[[40, 30]]]

inputs = processor(raw_image, input_points=input_points, return_tensors="pt").to(device)
with torch.no_grad():
    outputs = model(**inputs)

masks = processor.image_processor.post_process_masks(
    outputs.pred_masks.cpu(),
    inputs["original_sizes"].cpu(),
    inputs["reshaped_input_sizes"].cpu(),
)
scores = outputs.iou_scores
"""
# Settings of SAM as transformers writes them, for 256 instead of 1024 px.
SETTINGS = {
    "do_convert_rgb": True,
    "do_normalize": True,
    "do_pad": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "SamImageProcessor",
    "image_std": [0.229, 0.224, 0.225],
    "mask_pad_size": {"height": 64, "width": 64},
    "mask_size": {"longest_edge": 64},
    "pad_size": {"height": 256, "width": 256},
    "processor_class": "SamProcessor",
    "resample": 2,
    "rescale_factor": 1 / 255,
    "size": {"longest_edge": 256},
}


@pytest.fixture
def picture(data_folder: Path) -> np.ndarray:
    with np.load(data_folder / "hf_parity.npz") as arrays:
        first: np.ndarray = arrays["image 0"]
    return first


@pytest.fixture
def folder(data_folder: Path, tmp_path: Path) -> Path:
    """A folder as on the hub: weights, config and preprocessor settings."""
    folder = tmp_path / "somebody" / "sam-small"
    folder.mkdir(parents=True)
    for file in (data_folder / "hf_sam_small").iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "preprocessor_config.json").write_text(json.dumps(SETTINGS))
    return folder


def run(example: str) -> SimpleNamespace:
    names: dict[str, Any] = {}
    exec(example.replace("from transformers import", "from napari_sam import"), names)
    return SimpleNamespace(**names)


@pytest.mark.parametrize("where", ["folder", "hub"])
def test_example_gives_the_output_of_transformers(
    folder: Path,
    picture: np.ndarray,
    data_folder: Path,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    if where == "hub":
        monkeypatch.chdir(folder)
        hub = SimpleNamespace(snapshot_download=lambda *_, **__: str(folder))
        monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    else:
        monkeypatch.chdir(tmp_path)
    Image.fromarray(picture).save("picture.png")
    done = run(EXAMPLE)
    assert done.scores.shape == (1, 1, 3)
    (mask,) = done.masks
    assert mask.shape == (1, 3, *picture.shape[:2])
    assert mask.dtype == torch.bool
    with np.load(data_folder / "hf_parity.npz") as arrays:
        scores = arrays["one point/iou_scores"][:1]
        packed = arrays["one point/masks 0"]
    np.testing.assert_allclose(done.scores.numpy(), scores, rtol=0, atol=1e-4)
    expected = np.unpackbits(packed, axis=-1)[..., : picture.shape[1]].astype(bool)
    logits = done.processor.post_process_masks(
        done.outputs.pred_masks,
        done.inputs["original_sizes"],
        done.inputs["reshaped_input_sizes"],
        binarize=False,
    )
    decided = (logits[0].abs() > 1e-3).numpy()
    np.testing.assert_array_equal(mask.numpy()[decided], expected[decided])


def test_example_with_segmentation_map(
    folder: Path,
    picture: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture).save("picture.png")
    example = EXAMPLE.replace(
        "input_points=input_points,",
        'input_points=input_points, segmentation_maps=raw_image.convert("L"),',
    )
    done = run(example)
    assert done.inputs["labels"].shape == (1, 64, 64)
    assert done.masks[0].shape == (1, 3, *picture.shape[:2])


def test_auto_classes_give_the_same(
    folder: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture).save("picture.png")
    expected = run(EXAMPLE)
    auto = EXAMPLE.replace("SamModel", "AutoModel").replace("SamP", "AutoP")
    done = run(auto)
    assert torch.equal(done.scores, expected.scores)
    assert torch.equal(done.masks[0], expected.masks[0])
