"""`napari-sam train`: training, interruption, errors."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from safetensors.numpy import load_file

from napari_sam.checkpoints.model_card import ModelCard
from napari_sam.cli import main as cli
from napari_sam.prediction import loading
from napari_sam.training.finetune import FineTuning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_sam.prediction.predictor import Predictor

QUICK = [
    "--steps",
    "6",
    "--validate-every",
    "3",
    "--augmentations",
    "1",
    "--objects",
    "2",
]


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch, tiny_lite: Predictor) -> Predictor:
    """The model that all verbs load."""
    monkeypatch.setattr(loading, "load_model", lambda *_, **__: tiny_lite)
    return tiny_lite


@pytest.fixture
def folders(tmp_path: Path, rng: np.random.Generator) -> list[str]:
    """Three images of two squares and their labels."""
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for number in range(3):
        labels = np.zeros((40, 48), np.uint16)
        labels[5 + number : 20, 4:20] = 1
        labels[18:36, 25 : 44 - number] = 2
        noise = rng.integers(0, 20, labels.shape)
        plane = (100 * (labels > 0) + noise).astype(np.uint8)
        tifffile.imwrite(tmp_path / "images" / f"{number}.tif", plane)
        tifffile.imwrite(tmp_path / "labels" / f"{number}.tif", labels)
    return [str(tmp_path / "images"), str(tmp_path / "labels")]


def train(folders: list[str], output: Path, *more: str) -> int:
    return cli.main(["train", *folders, "--output", str(output), *QUICK, *more])


def test_images_and_labels_give_a_model(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "a.safetensors"
    assert train(folders, output, "--licence", "CC0-1.0") == 0
    card = ModelCard.read(output)
    assert card is not None
    assert (card.licence, card.prompts) == ("CC0-1.0", {"point", "box"})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "6 objects on 3 planes"
    assert lines[-1] == f"wrote {output}"
    for kind in ("click", "clicks", "box"):
        assert any(line.strip().startswith(f"{kind}: ") for line in lines)
    assert not list(tmp_path.glob("*.run.safetensors"))


def test_the_gain_of_everything_is_told(
    folders: list[str],
    tmp_path: Path,
    tiny_head: Predictor,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading, "load_model", lambda *_, **__: tiny_head)
    output = tmp_path / "a.safetensors"
    assert train(folders, output, "--head-steps", "1", "--all-labelled") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.strip().startswith("everything (F1): 0.") for line in lines)
    assert ModelCard.read(output).training["options"]["all_labelled"]


def test_interrupted_training_is_saved_and_resumed(
    folders: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole, parts = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    assert train(folders, whole) == 0
    run = FineTuning.run

    def stopped(self: FineTuning) -> Iterator[Any]:
        for progress in run(self):
            yield progress
            if progress.phase == "train" and progress.done == 4:
                raise KeyboardInterrupt

    monkeypatch.setattr(FineTuning, "run", stopped)
    assert train(folders, parts) == 130
    assert ModelCard.read(parts) is not None
    assert "interrupted" in capsys.readouterr().err
    monkeypatch.setattr(FineTuning, "run", run)
    assert train(folders, parts, "--resume") == 0
    assert "resumed after step 4" in capsys.readouterr().out
    assert ModelCard.read(parts) == ModelCard.read(whole)
    one, other = load_file(parts), load_file(whole)
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("a.onnx", [], "unknown suffix"),
        ("a", [], "no TinyViT image encoder: name a file"),
        ("there.safetensors", [], "exists: name another file with --output"),
        ("none/a.safetensors", [], "does not exist: make it first"),
        (
            "a.safetensors",
            ["--prompts", "text"],
            "choose one of 'point', 'box'",
        ),
        ("a.safetensors", ["--steps", "0"], "steps=0"),
        ("a.safetensors", ["--resume"], "no training run"),
    ],
)
def test_errors_before_training(
    folders: list[str],
    tmp_path: Path,
    name: str,
    more: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "there.safetensors").write_bytes(b"kept")
    assert train(folders, tmp_path / name, *more) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "a.safetensors").exists()
    assert (tmp_path / "there.safetensors").read_bytes() == b"kept"


def test_error_in_labels(
    folders: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = np.zeros((40, 48), np.float32)
    tifffile.imwrite(tmp_path / "labels" / "1.tif", bad)
    assert train(folders, tmp_path / "a.safetensors") == 1
    assert "The labels of 1.tif have dtype float32" in capsys.readouterr().err


def test_the_run_is_written_while_it_goes_on(
    folders: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "a.safetensors"
    run = FineTuning.run
    found: list[bool] = []

    def watched(self: FineTuning) -> Iterator[Any]:
        for progress in run(self):
            found.append((tmp_path / "a.safetensors.run.safetensors").exists())
            yield progress

    monkeypatch.setattr(FineTuning, "run", watched)
    monkeypatch.setattr("napari_sam.cli.train._SECONDS_PER_STATE", 0)
    assert train(folders, output) == 0
    assert not found[0] and all(found[1:])
    assert [path.name for path in tmp_path.glob("a.*")] == ["a.safetensors"]


def test_termination_saves_the_best_model(
    folders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "a.safetensors"
    run, before = FineTuning.run, signal.getsignal(signal.SIGTERM)

    def terminated(self: FineTuning) -> Iterator[Any]:
        for progress in run(self):
            yield progress
            if progress.phase == "train" and progress.done == 4:
                os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(FineTuning, "run", terminated)
    assert train(folders, output) == 130
    assert ModelCard.read(output) is not None
    assert (tmp_path / "a.safetensors.run.safetensors").exists()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_full_disk_does_not_cost_the_best_model(
    folders: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(self: FineTuning, path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    run = FineTuning.run

    def stopped(self: FineTuning) -> Iterator[Any]:
        for progress in run(self):
            yield progress
            if progress.phase == "train" and progress.done == 4:
                raise KeyboardInterrupt

    monkeypatch.setattr(FineTuning, "run", stopped)
    monkeypatch.setattr(FineTuning, "write", full)
    output = tmp_path / "a.safetensors"
    assert train(folders, output) == 1
    assert ModelCard.read(output) is not None
    assert "No space left" in capsys.readouterr().err
