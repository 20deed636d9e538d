"""Score of an instance head: what counts as found, and as too much."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import nn

from napari_sam.nets.instance_head import InstanceMaps
from napari_sam.training.instances.scores import HeadScore, score_head
from napari_sam.training.instances.windows import HeadWindow
from tests.helpers.instances import disc_plane, perfect_maps

if TYPE_CHECKING:
    from torch import Tensor


class FixedHead(nn.Module):
    """Predicts the perfect maps of given labels, whatever it sees."""

    def __init__(self, labels: np.ndarray) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.maps = torch.from_numpy(np.stack(perfect_maps(labels))).float()

    def forward(self, embeddings: Tensor, pixels: Tensor) -> InstanceMaps:
        return InstanceMaps(*(self.scale * self.maps[:, None]))


@pytest.fixture
def truth() -> np.ndarray:
    """Return eight discs."""
    return disc_plane((128, 128), 8, (10, 12), 5).astype(np.int32)


def score(truth: np.ndarray, owners: np.ndarray, predicted: np.ndarray) -> HeadScore:
    pixels = torch.zeros(3, 128, 128)
    window = HeadWindow(torch.zeros(1, 32, 32), pixels, truth, owners)
    numbers = np.unique(truth[truth > 0]).tolist()
    return score_head(FixedHead(predicted), [(window, numbers)])


def test_perfect_maps_find_everything(truth: np.ndarray) -> None:
    result = score(truth, truth, truth)
    assert result.f1 == 1
    assert result.iou > 0.95


def test_missing_objects_lower_the_score(truth: np.ndarray) -> None:
    half = np.where(truth > 4, 0, truth)
    assert score(truth, truth, half).f1 == pytest.approx(2 * 4 / (8 + 4))


def test_nothing_found_is_0(truth: np.ndarray) -> None:
    assert score(truth, truth, 0 * truth) == HeadScore(0.0, 0.0)


def test_answers_count_only_where_pixels_are_known(truth: np.ndarray) -> None:
    labelled = np.where(truth > 4, 0, truth)
    assert score(labelled, labelled, truth).f1 == 1
    everywhere = np.where(labelled > 0, labelled, 1)
    assert score(labelled, everywhere, truth).f1 == pytest.approx(2 * 4 / (4 + 8))


def test_a_better_score_finds_no_less() -> None:
    before = HeadScore(0.6, 0.7)
    assert HeadScore(0.6, 0.8).is_better_than(before)
    assert not HeadScore(0.55, 0.9).is_better_than(before)
    assert not before.is_better_than(before)
