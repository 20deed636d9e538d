"""The foreground is split where objects touch, and nowhere else."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam.masks.object_quality import (
    FEATURES,
    quality_features,
    quality_of,
)
from napari_sam.masks.watershed import Maps, split_objects
from tests.helpers.instances import disc_plane, perfect_maps


def maps_of(labels: np.ndarray) -> Maps:
    return Maps(*(m.astype(np.float32) for m in perfect_maps(labels)))


def test_nothing_is_found_in_nothing() -> None:
    labels = split_objects(maps_of(np.zeros((20, 30), int)))
    assert labels.shape == (20, 30)
    assert not labels.any()
    assert not quality_of(labels, maps_of(labels)).size


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_discs_are_told_apart(seed: int) -> None:
    truth = disc_plane((120, 120), 14, (5, 14), seed)
    found = split_objects(maps_of(truth))
    assert found.max() == truth.max()
    for number in range(1, truth.max() + 1):
        values = np.bincount(found[truth == number], minlength=found.max() + 1)
        label = values.argmax()
        shared = values[label]
        union = (truth == number).sum() + (found == label).sum() - shared
        assert shared / union > 0.9


def test_touching_halves_are_split_at_their_border() -> None:
    truth = np.zeros((40, 60), int)
    truth[5:35, 5:30], truth[5:35, 30:55] = 1, 2
    found = split_objects(maps_of(truth))
    assert found.max() == 2
    assert (found[10:30, 8:26] == found[20, 10]).all()


def test_a_rod_stays_one_object() -> None:
    truth = np.zeros((40, 120), int)
    truth[15:25, 10:110] = 1
    assert split_objects(maps_of(truth)).max() == 1


def test_objects_of_perfect_maps_have_a_high_quality() -> None:
    truth = disc_plane((100, 100), 6, (8, 12), 3)
    maps = maps_of(truth)
    labels = split_objects(maps)
    assert quality_features(labels, maps).shape == (6, len(FEATURES))
    assert (quality_of(labels, maps) > 0.5).all()


def test_blurred_maps_have_a_lower_quality() -> None:
    truth = disc_plane((100, 100), 6, (8, 12), 3)
    maps = maps_of(truth)
    weak = Maps(0.3 + 0.3 * maps.foreground, np.full_like(maps.depth, 0.3), maps.border)
    labels = split_objects(maps)
    assert (quality_of(labels, weak) < quality_of(labels, maps)).all()


def ball_stack() -> np.ndarray:
    """Draw two touching balls, and one alone."""
    z, rows, cols = np.indices((30, 60, 80))
    truth = np.zeros(z.shape, int)
    for number, (centre, radius) in enumerate(
        [((14, 28, 20), 12), ((14, 28, 44), 12), ((15, 40, 68), 8)], start=1
    ):
        distance = np.linalg.norm(np.stack([z, rows, cols], -1) - centre, axis=-1)
        truth[(distance < radius) & (truth == 0)] = number
    return truth


def stack_maps(truth: np.ndarray) -> Maps:
    planes = [maps_of(plane) for plane in truth]
    return Maps(
        np.stack([p.foreground for p in planes]),
        np.stack([p.depth for p in planes]),
        np.stack([p.border for p in planes]),
    )


def test_balls_of_a_stack_are_told_apart() -> None:
    truth = ball_stack()
    found = split_objects(stack_maps(truth))
    assert found.max() == 3
    for number in (1, 2, 3):
        inside = found[truth == number]
        assert (inside == np.bincount(inside).argmax()).mean() > 0.95


def test_a_poor_plane_does_not_split_an_object_of_a_stack() -> None:
    truth = ball_stack()
    maps = stack_maps(truth)
    maps.depth[14, 20:36, 18:22] = 0.1
    maps.depth[15, 36:42, 62:74] *= 0.5
    assert split_objects(maps).max() == 3


def test_parts_of_a_plane_that_another_plane_joins_are_one_object() -> None:
    truth = np.zeros((8, 40, 60), int)
    truth[4:, 15:25, 10:20] = truth[4:, 15:25, 40:50] = 1
    truth[:4, 15:25, 10:50] = 1
    assert split_objects(stack_maps(truth)).max() == 1
