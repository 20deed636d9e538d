"""The instance head: shapes, ranges and its packaged weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_sam.checkpoints.model_card import ModelCard
from napari_sam.checkpoints.model_spec import PackagedWeights
from napari_sam.checkpoints.registry import get_model_spec
from napari_sam.nets.instance_head import InstanceHead
from napari_sam.prediction.loading import (
    load_instance_head,
    load_model,
    load_parents_head,
)
from napari_sam.training.finetune import FineTuning
from tests.helpers.training import discs

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam.prediction.predictor import Predictor


def test_maps_have_the_resolution_of_the_input() -> None:
    head = InstanceHead(32, (16, 16, 8), (8, 8)).eval()
    maps = head(torch.randn(2, 32, 8, 8), torch.rand(2, 3, 32, 32))
    for part in maps:
        assert part.shape == (2, 32, 32)
        assert ((part >= 0) & (part <= 1)).all()


def test_a_damaged_head_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    weights = PackagedWeights(str(path), "0" * 64)
    for content in (None, b"something else"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged or missing: install napari-sam"):
            load_instance_head(weights)


def test_the_packaged_head_fits_and_is_small() -> None:
    weights = get_model_spec("lite_medsam").instance_head
    assert weights is not None
    assert weights.path.stat().st_size < 1_000_000
    head = load_instance_head(weights)
    assert all(torch.isfinite(value).all() for value in head.parameters())


def fine_tuned(parent: str, encoder_blocks: int) -> ModelCard:
    return ModelCard(
        "lite_medsam",
        frozenset({"box"}),
        multimask_output=False,
        parent=parent,
        licence="MIT",
        training={"options": {"encoder_blocks": encoder_blocks}},
    )


def test_a_fine_tuned_decoder_keeps_the_head_of_its_parent() -> None:
    spec = get_model_spec("lite_medsam")
    assert spec.click_decoder is not None
    key = f"lite_medsam:{spec.hash}"
    with_clicks = f"{key}, clicks sha256:{spec.click_decoder.sha256}"
    for parent in (key, with_clicks):
        assert load_parents_head(fine_tuned(parent, 0)) is not None
        assert load_parents_head(fine_tuned(parent, 1)) is None
    assert load_parents_head(fine_tuned(f"{key}+abc@20", 0)) is None
    assert load_parents_head(fine_tuned("sam:sha256:0", 0)) is None


@pytest.mark.weights
def test_a_fine_tuned_file_has_the_head(
    default_predictor: Predictor, tmp_path: Path
) -> None:
    training = FineTuning(default_predictor, discs(2))
    loaded = load_model(training.save(tmp_path / "cells.safetensors"), device="cpu")
    own, other = default_predictor.instance_head, loaded.instance_head
    assert own is not None
    assert other is not None
    for one, two in zip(own.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)


@pytest.mark.weights
@pytest.mark.parametrize("shape", [(120, 200), (200, 200, 3), (64, 64)])
def test_maps_of_a_plane_have_its_proportions(
    shape: tuple[int, ...], default_predictor: Predictor
) -> None:
    plane = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    embedding = default_predictor.embed(plane)
    maps = default_predictor.instance_maps(embedding, plane)
    assert maps.dtype == np.uint8
    height, width = embedding.transform.resized_shape
    assert maps.shape == (3, height, width)
    assert max(height, width) == 256
