"""Exported networks match the model, and are decoded without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from napari_sam.cli.main import main
from napari_sam.onnx.decoder import OnnxDecoder
from napari_sam.onnx.export import export_onnx
from napari_sam.prediction.predictor import Predictor
from napari_sam.prompts.prompt import Prompt

ATOL = 1e-4
SHAPE = (45, 60)
LOGITS = np.random.default_rng(1).normal(0, 4, (32, 32)).astype(np.float32)
PROMPTS = {
    "point": Prompt(points=[[20, 30]]),
    "points": Prompt(points=[[20, 30], [5, 7], [40, 50]], labels=[1, 0, 1]),
    "box": Prompt(box=[5, 10, 30, 44]),
    "box and points": Prompt(
        points=[[20, 30], [5, 7]], labels=[1, 0], box=[5, 10, 30, 44]
    ),
    "mask": Prompt(mask=LOGITS),
    "box and mask": Prompt(box=[5, 10, 30, 44], mask=LOGITS),
}


@pytest.fixture(scope="module")
def plane() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def exported(
    tiny_sam: Predictor,
    tiny_medsam: Predictor,
    tiny_lite: Predictor,
    tmp_path_factory: Any,
) -> dict[str, Path]:
    folders = {}
    for predictor in (tiny_sam, tiny_medsam, tiny_lite):
        folders[predictor.name] = tmp_path_factory.mktemp(predictor.name)
        export_onnx(predictor, folders[predictor.name])
    return folders


def test_encoder_matches_the_model(
    tiny_predictor: Predictor, exported: dict[str, Path], plane: np.ndarray
) -> None:
    path = exported[tiny_predictor.name] / "encoder.onnx"
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    embedding = tiny_predictor.embed(plane, zoom="off")
    pixels = embedding.transform.pixel_values(plane).numpy()
    (actual,) = session.run(["image_embeddings"], {"pixel_values": pixels})
    np.testing.assert_allclose(actual, embedding.image_embedding, rtol=0, atol=ATOL)


@pytest.mark.parametrize("multimask", [None, True, False])
@pytest.mark.parametrize("kind", PROMPTS)
def test_decoder_matches_the_model(
    tiny_sam: Predictor,
    exported: dict[str, Path],
    plane: np.ndarray,
    kind: str,
    multimask: bool | None,
) -> None:
    embedding = tiny_sam.embed(plane, zoom="off")
    expected = tiny_sam.predict(embedding, PROMPTS[kind], multimask_output=multimask)
    actual = OnnxDecoder(exported["tiny_sam"]).predict(
        embedding.image_embedding.numpy(),
        PROMPTS[kind],
        SHAPE,
        multimask_output=multimask,
    )
    assert len(actual.candidates) == len(expected.candidates)
    for one, other in zip(actual.candidates, expected.candidates, strict=True):
        assert one.score == pytest.approx(other.score, abs=ATOL)
        np.testing.assert_allclose(one.logits, other.logits, rtol=0, atol=ATOL)
        decided = np.abs(other.transform.plane_logits(other.logits)) > 1e-3
        np.testing.assert_array_equal(one.mask[decided], other.mask[decided])


@pytest.mark.parametrize("name", ["tiny_medsam", "tiny_lite"])
def test_decoder_matches_the_medsam_families(
    request: pytest.FixtureRequest,
    exported: dict[str, Path],
    plane: np.ndarray,
    name: str,
) -> None:
    predictor: Predictor = request.getfixturevalue(name)
    embedding, box = predictor.embed(plane, zoom="off"), PROMPTS["box"]
    expected = predictor.predict(embedding, box)
    decoder = OnnxDecoder(exported[name])
    actual = decoder.predict(embedding.image_embedding, box, SHAPE)
    np.testing.assert_allclose(actual.logits, expected.logits, rtol=0, atol=ATOL)
    assert actual.score == pytest.approx(expected.score, abs=1e-3)
    with pytest.raises(ValueError, match="trained on box, not on point"):
        decoder.predict(embedding.image_embedding, PROMPTS["point"], SHAPE)


@pytest.mark.parametrize("multimask", [False, True])
def test_fine_tuned_model_keeps_its_alternatives(
    tiny_lite: Predictor, plane: np.ndarray, tmp_path: Path, multimask: bool
) -> None:
    # Its family was not trained on points and has no alternatives.
    tuned = Predictor(
        tiny_lite.model,
        name="tuned",
        family="lite_medsam",
        prompts=frozenset({"point", "box"}),
        key="tuned",
        multimask_output=multimask,
    )
    export_onnx(tuned, tmp_path)
    embedding, point = tuned.embed(plane, zoom="off"), PROMPTS["point"]
    expected = tuned.predict(embedding, point)
    actual = OnnxDecoder(tmp_path).predict(embedding.image_embedding, point, SHAPE)
    assert len(actual.candidates) == len(expected.candidates) == (3 if multimask else 1)
    for one, other in zip(actual.candidates, expected.candidates, strict=True):
        np.testing.assert_allclose(one.logits, other.logits, rtol=0, atol=ATOL)


WITHOUT_TORCH = """
import sys
import numpy as np
from napari_sam.onnx.decoder import OnnxDecoder
from napari_sam.prompts.prompt import Prompt

decoder = OnnxDecoder(sys.argv[1])
embedding = np.load(sys.argv[2])
found = decoder.predict(embedding, Prompt(box=[5, 10, 30, 44]), (45, 60))
assert found.mask.shape == (45, 60)
assert "torch" not in sys.modules
np.save(sys.argv[2], found.logits)
"""


def test_decoding_needs_no_torch(
    tiny_sam: Predictor, exported: dict[str, Path], plane: np.ndarray, tmp_path: Path
) -> None:
    embedding, path = tiny_sam.embed(plane, zoom="off"), tmp_path / "array.npy"
    np.save(path, embedding.image_embedding.numpy())
    command = [sys.executable, "-c", WITHOUT_TORCH, exported["tiny_sam"], path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = tiny_sam.predict(embedding, PROMPTS["box"]).logits
    np.testing.assert_allclose(np.load(path), expected, rtol=0, atol=ATOL)


def test_masks_of_the_plane_are_refused(
    exported: dict[str, Path],
) -> None:
    decoder = OnnxDecoder(exported["tiny_sam"])
    mask = np.zeros(SHAPE, bool)
    mask[4:9, 4:9] = True
    with pytest.raises(ValueError, match="logits of 32 x 32"):
        decoder.predict(np.zeros((1, 16, 8, 8)), Prompt(mask=mask), SHAPE)


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="write it with napari-sam export"):
        OnnxDecoder(tmp_path)


def test_command(
    data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "onnx"
    source = str(data_folder / "hf_sam_small")
    command = ["export", source, "--output", str(folder), "--family", "sam"]
    assert main(command) == 0
    assert "longest side to 256 px" in capsys.readouterr().out
    assert OnnxDecoder(folder).input_size == 256
    assert main(command) == 1
    assert "exists: name another folder, or give --overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


def test_missing_extra(
    tiny_sam: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'napari-sam\[onnx\]'"):
        export_onnx(tiny_sam, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_wrong_network_is_deleted(
    tiny_sam: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    correct = type(tiny_sam.model).get_image_embeddings

    def wrong(model: Any, pixel_values: torch.Tensor) -> torch.Tensor:
        return correct(model, pixel_values) + 1

    monkeypatch.setattr(type(tiny_sam.model), "get_image_embeddings", wrong)
    with pytest.raises(ValueError, match="differs from the model by 1 and was removed"):
        export_onnx(tiny_sam, tmp_path)
    assert not list(tmp_path.iterdir())


def half(monkeypatch: pytest.MonkeyPatch, end: BaseException | None) -> None:
    """Let torch write the beginning of a file, and end as if by a signal, if at all."""

    def export(*arguments: Any, **_: Any) -> None:
        Path(arguments[2]).write_bytes(b"\x08")
        if end is not None:
            raise end

    monkeypatch.setattr(torch.onnx, "export", export)


@pytest.mark.parametrize("end", [KeyboardInterrupt(), SystemExit(), None])
def test_an_incomplete_network_takes_the_place_of_none(
    tiny_sam: Predictor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    end: BaseException | None,
) -> None:
    (tmp_path / "encoder.onnx").write_bytes(b"earlier")
    half(monkeypatch, end)
    with pytest.raises(type(end) if end is not None else Exception):
        export_onnx(tiny_sam, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["encoder.onnx"]
    assert (tmp_path / "encoder.onnx").read_bytes() == b"earlier"


@pytest.mark.parametrize("settings", ["{", "{}", '{"family": "sam9"}'])
def test_damaged_settings(tmp_path: Path, settings: str) -> None:
    (tmp_path / "decoder.onnx").write_bytes(b"")
    (tmp_path / "napari_sam.json").write_text(settings)
    with pytest.raises(ValueError, match="export the model again"):
        OnnxDecoder(tmp_path)
