"""Metadata of fine-tuned models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from napari_sam.checkpoints.model_card import CARD_KEY, ModelCard

if TYPE_CHECKING:
    from pathlib import Path

CARD = ModelCard(
    family="sam",
    prompts=frozenset({"point", "box"}),
    multimask_output=True,
    parent="sam:sha256:00",
    licence="CC0-1.0",
    refines_clicks_by_box=True,
)


def write(path: Path, metadata: dict[str, str]) -> Path:
    save_file({"a": np.zeros(1)}, path, metadata)
    return path


def changed(**values: Any) -> dict[str, str]:
    card = json.loads(CARD.to_metadata()[CARD_KEY]) | values
    return {CARD_KEY: json.dumps(card)}


def test_round_trip(tmp_path: Path) -> None:
    assert ModelCard.read(write(tmp_path / "a.safetensors", CARD.to_metadata())) == CARD


def test_key_of_earlier_versions(tmp_path: Path) -> None:
    card = json.loads(CARD.to_metadata()[CARD_KEY])
    card["settles_clicks"] = card.pop("refines_clicks_by_box")
    path = write(tmp_path / "a.safetensors", {CARD_KEY: json.dumps(card)})
    assert ModelCard.read(path) == CARD


def test_files_without_a_card(tmp_path: Path) -> None:
    assert ModelCard.read(write(tmp_path / "a.safetensors", {"format": "pt"})) is None
    (tmp_path / "a.pth").write_bytes(b"")
    assert ModelCard.read(tmp_path / "a.pth") is None
    assert ModelCard.read(tmp_path) is None


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({CARD_KEY: "{"}, "damaged model card"),
        (changed(unknown=1), "damaged model card"),
        (changed(family="sam9"), "'sam9'"),
        (changed(prompts=["text"]), "'text'"),
        (changed(prompts=["box", "text"]), "'text'"),
        (changed(prompts=["box", 1]), "prompts"),
        (changed(prompts=["point", "mask"]), "lack 'box'"),
        (changed(parent=7), "'parent'"),
        (changed(training={"options": 1}), "'training', 'options'"),
        (changed(refines_clicks_by_box=None), "'refines_clicks_by_box'"),
        ({CARD_KEY: "[" * 100_000}, "damaged model card"),
        ({CARD_KEY: "7"}, "damaged model card"),
    ],
)
def test_damaged_cards(metadata: dict[str, str], message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", metadata)
    with pytest.raises(ValueError, match=message):
        ModelCard.read(path)


def test_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"abc")
    with pytest.raises(ValueError, match="get it again"):
        ModelCard.read(tmp_path / "a.safetensors")
