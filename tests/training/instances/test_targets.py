"""Targets and losses of an instance head."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_sam.training.instances.loss import head_losses
from napari_sam.training.instances.targets import instance_targets


@pytest.fixture
def two_squares() -> np.ndarray:
    """Return two objects side by side, and one apart from them."""
    labels = np.zeros((40, 50), np.int32)
    labels[5:16, 5:16], labels[5:16, 16:27], labels[25:34, 10:19] = 1, 2, 3
    return labels


def test_depth_is_largest_in_the_middle_of_each_object(two_squares: np.ndarray) -> None:
    foreground, depth, _ = instance_targets(two_squares)
    np.testing.assert_array_equal(foreground, 255 * (two_squares > 0))
    assert depth[10, 10] == depth[10, 21] == depth[29, 14] == 255
    assert depth[5, 10] == depth[10, 15] < 100
    assert not depth[two_squares == 0].any()


def test_borders_are_between_objects_only(two_squares: np.ndarray) -> None:
    border = instance_targets(two_squares)[2] > 0
    assert border[8, 15]
    assert border[8, 16]
    assert not border[:, :14].any()
    assert not border[20:].any()


def exact(labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return targets, and logits that predict them."""
    targets = torch.from_numpy(instance_targets(labels))[None] / 255
    return targets, torch.logit(targets.clamp(1e-4, 1 - 1e-4))


def test_right_maps_have_the_smallest_loss(two_squares: np.ndarray) -> None:
    targets, logits = exact(two_squares)
    right = head_losses(logits, targets)
    assert (right < 0.02).all()
    assert (head_losses(-logits, targets) > right + 0.1).all()


def test_pixels_without_weight_do_not_count(two_squares: np.ndarray) -> None:
    targets, logits = exact(two_squares)
    wrong = logits.clone()
    wrong[:, :, 20:] *= -1
    weights = torch.ones(1, *two_squares.shape)
    assert (head_losses(wrong, targets, weights) > 0.1).any()
    weights[:, 20:] = 0
    assert (head_losses(wrong, targets, weights) < 0.02).all()


def test_equal_weights_change_nothing(two_squares: np.ndarray) -> None:
    targets, logits = exact(two_squares)
    weights = torch.full((1, *two_squares.shape), 1.0)
    torch.testing.assert_close(
        head_losses(0.3 * logits, targets, weights), head_losses(0.3 * logits, targets)
    )
