"""Networks in the layout of segment-anything's own export and of samexporter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
import torch

from napari_sam.cli.main import main
from napari_sam.onnx.official import export_official
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam.prediction.predictor import Predictor

ATOL = 1e-4
SHAPE = (45, 60)


@pytest.fixture
def plane() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


def run(path: Path, **inputs: Any) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    arrays = {name: np.asarray(value, np.float32) for name, value in inputs.items()}
    found: list[np.ndarray] = session.run(None, arrays)
    return found


def resized(predictor: Predictor, plane: np.ndarray) -> np.ndarray:
    """Resize an image as consumers of the layout do: the longer side to the input."""
    size = predictor.input_size
    height, width = (round(side * size / max(plane.shape)) for side in plane.shape[:2])
    pixels = torch.from_numpy(plane).permute(2, 0, 1)[None]
    found = torch.nn.functional.interpolate(
        pixels, (height, width), mode="bilinear", antialias=True
    )
    return found[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("name", ["tiny_sam", "tiny_lite"])
def test_the_encoder_takes_pixels_of_any_size(
    name: str, request: pytest.FixtureRequest, tmp_path: Path, plane: np.ndarray
) -> None:
    predictor: Predictor = request.getfixturevalue(name)
    encoder, _ = export_official(predictor, tmp_path)
    expected = predictor.embed(plane, zoom="off")
    pixels = expected.transform.pixel_values(plane)[0]
    rows, cols = expected.transform.resized_shape
    rule = predictor.preprocessing
    if rule.intensity == "mean_std":
        mean, std = torch.tensor(rule.mean), torch.tensor(rule.std)
        pixels = pixels * std[:, None, None] + mean[:, None, None]
    else:
        pixels = pixels * 255  # stretched already; its range stays
    image = pixels[:, :rows, :cols].permute(1, 2, 0)
    (found,) = run(encoder, input_image=image)
    np.testing.assert_allclose(found, expected.image_embedding, rtol=0, atol=ATOL)


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("points", [1, 2, 4])
def test_masks_are_those_of_the_model(
    tiny_sam: Predictor,
    tmp_path: Path,
    plane: np.ndarray,
    points: int,
    single: bool,
) -> None:
    _, decoder = export_official(tiny_sam, tmp_path, single_mask=single)
    embedding = tiny_sam.embed(plane, zoom="off")
    rng = np.random.default_rng(points)
    clicks = rng.uniform(3, 42, (points, 2))
    labels = np.arange(points) % 2 == 0
    # As in segment-anything's notebook: (x, y) of the resized image, and a point at
    # the padding, as there is no box.
    scale = tiny_sam.input_size / max(SHAPE)
    coordinates = np.concatenate([clicks[:, ::-1] * scale, [[0, 0]]])
    size = tiny_sam.model.prompt_encoder.mask_size
    masks, scores, low_res = run(
        decoder,
        image_embeddings=embedding.image_embedding,
        point_coords=coordinates[None],
        point_labels=[[*labels.astype(int), -1]],
        mask_input=np.zeros((1, 1, size, size)),
        has_mask_input=[0],
        orig_im_size=SHAPE,
    )
    prompt = Prompt(points=clicks, labels=labels.astype(int))
    alternatives = tiny_sam.predict(embedding, prompt, multimask_output=True)
    only = tiny_sam.predict(embedding, prompt, multimask_output=False)
    expected = [only, *alternatives.candidates]
    if single:
        # Two points and the one at the padding are unambiguous.
        expected = [only if points >= 2 else alternatives.candidates[0]]
    assert masks.shape == (1, len(expected), *SHAPE)
    order = np.argsort(-scores[0, 1:], kind="stable") + 1
    rows = [0] if single else [0, *order.tolist()]
    for row, prediction in zip(rows, expected, strict=True):
        assert scores[0, row] == pytest.approx(prediction.score, abs=ATOL)
        np.testing.assert_allclose(
            low_res[0, row], prediction.logits, rtol=0, atol=1e-3
        )
        wrong = (masks[0, row] > 0) != prediction.mask
        near = np.abs(masks[0, row]) < 0.05
        assert not (wrong & ~near).any()


def test_a_model_of_stretched_images_is_refused(
    tiny_medsam: Predictor, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"aspect ratio.*leave --layout out"):
        export_official(tiny_medsam, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_the_command_line_writes_both_layouts(
    tiny_sam: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "napari_sam.prediction.loading.load_model", lambda *_, **__: tiny_sam
    )
    arguments = ["export", "vit_b", "--layout", "official", "--return-single-mask"]
    assert main([*arguments, "--output", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "encoder.onnx",
        "decoder.onnx",
    }
    assert main([*arguments, "--output", str(tmp_path)]) == 1  # they exist
    other = ["--return-single-mask", "--output", str(tmp_path / "new")]
    assert main(["export", "vit_b", *other]) == 1  # only of this layout
