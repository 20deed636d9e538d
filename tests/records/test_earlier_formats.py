"""Records of earlier versions replay to the same labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from napari_sam import samples
from napari_sam.records.record import FORMAT, read_record
from napari_sam.records.replay import replay, request_from_json
from napari_sam.requests.automatic_plane import AutomaticPlaneRequest

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam.prediction.predictor import Predictor


@pytest.fixture
def folder(data_folder: Path) -> Path:
    return data_folder / "records"


def image_of(name: str) -> np.ndarray:
    """Return the image of a record."""
    if name == "head":
        return samples.head()[0][8:14]
    if name == "coins_everything":
        return samples.coins()[10:100, 110:250]
    return samples.coins()[:160, :180]


def test_format_1_is_read_in_the_current_format(folder: Path) -> None:
    record = read_record(folder / "coins_everything.json")
    assert record["format"] == FORMAT
    entries = record["objects"]["1"]
    request = request_from_json(entries, (image_of("coins_everything"),))
    assert isinstance(request, AutomaticPlaneRequest)
    assert request.options.crop_n_layers == 0
    assert request.options.method == "prompts"  # there was no instance head
    assert request.options.min_pred_iou == request.options.min_stability_score == 0.3
    thresholds = request.thresholds
    assert thresholds.pred_iou_thresh == 0.4
    assert thresholds.stability_score_thresh == 0.6
    assert thresholds.quality_thresh == 0.7
    assert thresholds.box_nms_thresh == 0.6
    assert thresholds.min_size == 30


@pytest.mark.weights
@pytest.mark.parametrize("name", ["coins", "coins_everything", "head"])
def test_records_of_format_1_give_the_same_labels(
    name: str, folder: Path, default_predictor: Predictor
) -> None:
    record = read_record(folder / f"{name}.json")
    with np.load(folder / "labels.npz") as stored:
        expected = stored[name]
    if name == "coins":  # an earlier click decoder answered the second object
        del record["objects"]["2"]
        expected = np.where(expected == 2, 0, expected)
    assert_array_equal(replay(record, image_of(name), default_predictor), expected)


@pytest.mark.weights
def test_points_that_another_click_decoder_answered_are_refused(
    folder: Path, default_predictor: Predictor
) -> None:
    record = read_record(folder / "coins.json")
    with pytest.raises(ValueError, match="another click decoder"):
        replay(record, image_of("coins"), default_predictor)
