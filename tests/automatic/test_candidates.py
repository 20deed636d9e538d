"""Selection of objects among candidates: thresholds, NMS, disjoint subsets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from napari_sam.automatic.candidate import Candidate
from napari_sam.automatic.candidates import Candidates, Thresholds
from napari_sam.automatic.crops import Crop
from napari_sam.automatic.selection import largest_component_filled, select_disjoint
from napari_sam.masks.patch import MaskPatch, stability
from napari_sam.prediction.plane_transform import PlaneTransform

SHAPE = (60, 80)
TRANSFORM = PlaneTransform(SHAPE, SHAPE, 80, 80, "lite_medsam")
FITTED = [
    PlaneTransform.fit((90, 120), 64, 16, "sam"),
    PlaneTransform.fit((90, 120), 16, 16, "lite_medsam"),
    PlaneTransform.fit((120, 70), 64, 16, "medsam"),
]
LOOSE = Thresholds(0, 0, 0)


def rectangle(
    r0: int, c0: int, r1: int, c1: int, score: float = 0.9, **change: Any
) -> Candidate:
    """A mask with certain logits; the box goes through its outermost pixels."""
    logits = np.full((80, 80), -9, np.float32)
    logits[r0 : r1 + 1, c0 : c1 + 1] = 9
    found = Candidate.from_logits(logits, score, Crop((0, 0), SHAPE), TRANSFORM)
    assert found is not None
    return replace(found, **change)


def select(*members: Candidate, **limits: Any) -> list[Candidate]:
    return Candidates(members, SHAPE).masks(Thresholds(0, 0, 0, **limits))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from(FITTED))
def test_the_cut_mask_equals_the_model_mask_on_the_plane(
    seed: int, transform: PlaneTransform
) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 4, (16, 16)).astype(np.float16).astype(np.float32)
    kept = Candidate.from_logits(
        logits, 0.5, Crop((7, 9), transform.plane_shape), transform
    )
    expected = transform.patch(logits)
    if kept is None:
        assert not expected.mask.any()
        return
    patch = kept.patch()
    if not expected.mask.any():
        assert not patch.mask.any()
        return
    assert patch.origin == (expected.origin[0] + 7, expected.origin[1] + 9)
    assert_array_equal(patch.mask, expected.mask)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 3))
def test_stability_score_of_points_is_computed_on_the_plane(
    seed: int, spread: float
) -> None:
    transform = FITTED[0]
    noise = np.random.default_rng(seed).normal(0, spread, (16, 16))
    logits = noise.astype(np.float16).astype(np.float32)
    kept = Candidate.from_logits(
        logits, 0.5, Crop((0, 0), transform.plane_shape), transform
    )
    if kept is not None:
        assert kept.plane_stability_score == stability(transform.plane_logits(logits))
        boxed = replace(kept, agreement=1.0)  # not the published thresholds
        assert boxed.plane_stability_score == kept.stability_score


def test_masks_unstable_on_the_plane_are_dropped() -> None:
    transform = FITTED[0]
    rng = np.random.default_rng(2)
    kept = [
        Candidate.from_logits(
            logits, 0.5, Crop((0, 0), transform.plane_shape), transform
        )
        for logits in rng.normal(0, 2, (200, 16, 16)).astype(np.float32)
    ]
    members = tuple(c for c in kept if c is not None)
    limit = float(np.median([c.plane_stability_score for c in members]))
    limits = Thresholds(0, limit, 0, box_nms_thresh=1)
    chosen = Candidates(members, transform.plane_shape).masks(limits)
    assert set(chosen) == {c for c in members if c.plane_stability_score >= limit}
    assert set(chosen) != {c for c in members if c.stability_score >= limit}


def test_a_mask_only_in_the_padding_is_no_candidate() -> None:
    logits = np.full((80, 80), -9, np.float32)
    logits[70:] = 9  # the plane has 60 rows
    assert Candidate.from_logits(logits, 0.9, Crop((0, 0), SHAPE), TRANSFORM) is None


def test_candidate_area_and_box() -> None:
    kept = rectangle(10, 20, 19, 39)
    assert_array_equal(kept.box, [10, 20, 19, 39])
    assert kept.area == 200
    assert kept.stability_score == 1
    assert kept.logits.nbytes < 80 * 80


@pytest.mark.parametrize(
    ("limits", "left"),
    [
        ({}, [0.9, 0.6]),
        ({"pred_iou_thresh": 0.7}, [0.9]),
        ({"pred_iou_thresh": 0.95}, []),
        ({"min_size": 150}, [0.9]),
        ({"max_size": 150}, [0.6]),
        ({"quality_thresh": 0.7}, [0.9]),
    ],
)
def test_thresholds_drop_candidates(limits: dict[str, Any], left: list[float]) -> None:
    members = rectangle(5, 5, 14, 24, 0.9), rectangle(30, 30, 39, 39, 0.6)
    thresholds = replace(LOOSE, **limits)
    scores = [c.pred_iou for c in Candidates(members, SHAPE).masks(thresholds)]
    assert scores == left


def test_nms_keeps_the_better_of_similar_masks() -> None:
    members = rectangle(5, 5, 24, 24, 0.7), rectangle(5, 6, 24, 25, 0.8)
    assert select(*members) == [members[1]]
    assert len(select(*members, box_nms_thresh=1.0)) == 2


def test_nms_box_iou_matches_the_published_generator() -> None:
    # 10 x 10 pixels, 9 x 9 from centre to centre: 63 of 99 are shared by the latter.
    one, other = rectangle(5, 5, 14, 14, 0.8), rectangle(5, 7, 14, 16, 0.7)
    assert select(one, other, box_nms_thresh=0.637) == [one, other]
    assert select(one, other, box_nms_thresh=0.636) == [one]
    line = rectangle(30, 5, 30, 14, 0.8)
    assert select(line, replace(line, pred_iou=0.7), box_nms_thresh=0.1)[0] == line


def test_published_thresholds() -> None:
    published = Thresholds.published()
    assert (
        published.pred_iou_thresh,
        published.stability_score_thresh,
        published.box_nms_thresh,
    ) == ((0.88, 0.95, 0.7))
    assert published.quality_thresh == published.min_size == 0


def test_a_mask_above_max_size_suppresses_nothing() -> None:
    inner, outer = rectangle(5, 5, 24, 24, 0.7), rectangle(4, 4, 26, 26, 0.9)
    assert select(inner, outer) == [outer]
    assert select(inner, outer, max_size=420) == [inner]


def test_masks_cut_off_by_a_crop_are_dropped() -> None:
    crop = Crop((0, 0), (60, 50), 1)
    cut, whole = (
        rectangle(20, 30, 40, 49, crop=crop),
        rectangle(5, 5, 15, 15, crop=crop),
    )
    assert select(cut, whole) == [whole]


def test_nms_prefers_the_mask_of_the_smaller_crop() -> None:
    crop = Crop((0, 0), (60, 50), 1)
    coarse = rectangle(10, 10, 29, 29, 0.9)
    fine = rectangle(10, 10, 29, 28, 0.7, crop=crop)
    assert select(coarse, fine) == [fine]


def test_members_beat_their_cluster() -> None:
    left, right = rectangle(10, 10, 29, 29), rectangle(10, 31, 29, 50)
    cluster = rectangle(10, 10, 29, 50, 0.85)
    assert select_disjoint([cluster, left, right]) == [left, right]


def test_an_object_beats_one_of_its_parts() -> None:
    whole, part = rectangle(10, 10, 39, 39), rectangle(10, 10, 24, 24, 0.85)
    assert select_disjoint([part, whole]) == [whole]


def test_a_tight_mask_beats_a_loose_one() -> None:
    tight, loose = rectangle(10, 10, 29, 29, 0.95), rectangle(8, 8, 36, 36, 0.75)
    assert select_disjoint([loose, tight]) == [tight]


def test_a_tight_mask_beats_one_with_the_shadow() -> None:
    # As on one of the coins: nearly the same quality and 2.5 times as large.
    tight, loose = rectangle(10, 10, 29, 29, 0.771), rectangle(8, 8, 33, 46, 0.746)
    assert select_disjoint([loose, tight]) == [tight]


def test_masks_with_a_small_overlap_both_remain() -> None:
    members = [rectangle(10, 10, 29, 29), rectangle(10, 27, 29, 46)]
    assert select_disjoint(members) == members
    assert select_disjoint([]) == []


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),
            st.integers(0, 60),
            st.integers(3, 19),
            st.integers(3, 19),
        ),
        max_size=12,
    )
)
def test_labels_patches_and_scores_agree(places: list[tuple[int, ...]]) -> None:
    members = [
        rectangle(r, c, min(r + h, 59), min(c + w, 79), 0.5 + 0.02 * i)
        for i, (r, c, h, w) in enumerate(places)
    ]
    objects = Candidates(tuple(members), SHAPE).objects(LOOSE)
    labels = objects.labels
    assert labels.shape == SHAPE
    assert set(np.unique(labels[labels > 0])) <= set(range(1, len(objects.scores) + 1))
    assert list(objects.scores) == sorted(objects.scores, reverse=True)
    covered = np.zeros(SHAPE, bool)
    for patch in objects.patches:
        covered[patch.region] |= patch.mask
    assert_array_equal(labels > 0, covered)


def test_objects_lie_in_the_region_by_more_than_half() -> None:
    region = np.zeros(SHAPE, bool)
    region[:, :30] = True
    members = rectangle(10, 15, 29, 34), rectangle(35, 25, 54, 44)
    objects = Candidates(members, SHAPE, region).objects(LOOSE)
    (patch,) = objects.patches
    assert patch.origin == (10, 15)


def test_largest_component_is_kept_and_holes_are_filled() -> None:
    logits = np.full((12, 12), -2.0, np.float32)
    logits[1:8, 1:8] = 3
    logits[3:5, 3:5] = -1
    logits[10, 10] = 5
    patch = largest_component_filled(MaskPatch((4, 6), logits))
    assert patch.origin == (5, 7)
    assert patch.mask.all()
    assert patch.mask.shape == (7, 7)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pred_iou_thresh": 1.2},
        {"stability_score_thresh": -0.1},
        {"min_size": 9, "max_size": 3},
    ],
)
def test_invalid_thresholds_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|give"):
        Thresholds(**wrong)


def test_quality_and_nms_score() -> None:
    kept = rectangle(5, 5, 20, 20, 0.8, agreement=0.5)
    assert_allclose(kept.quality, 0.4)
    assert_allclose(kept.nms_score, 0.4)
    assert_allclose(rectangle(5, 5, 20, 20, 0.8).nms_score, 0.8)


# -- objects that the user picks and drops ------------------------------------


def poor(*box: int) -> Candidate:
    return rectangle(*box, score=0.3)


def test_a_picked_object_is_kept_whatever_its_quality() -> None:
    found = Candidates((rectangle(2, 2, 9, 9), poor(20, 20, 29, 29)), SHAPE)
    usual = Thresholds()
    assert len(found.objects(usual).patches) == 1
    picked = found.objects(replace(usual, picked=((24.6, 25.2),)))
    assert picked.labels[25, 25] and picked.labels[5, 5]


def test_a_picked_object_replaces_those_that_it_overlaps() -> None:
    found = Candidates((rectangle(2, 2, 20, 20), poor(2, 2, 11, 20)), SHAPE)
    objects = found.objects(Thresholds(picked=((5, 5),)))
    # The better candidate under the point is the large one.
    assert [int(p.mask.sum()) for p in objects.patches] == [19 * 19]
    small = Candidates((rectangle(2, 2, 20, 20), poor(15, 15, 30, 30)), SHAPE)
    objects = small.objects(Thresholds(picked=((28, 28),)))
    assert objects.labels[28, 28]


def test_a_dropped_object_is_left_out() -> None:
    found = Candidates((rectangle(2, 2, 9, 9), rectangle(20, 20, 29, 29)), SHAPE)
    objects = found.objects(Thresholds(dropped=((25, 25),)))
    assert not objects.labels[25, 25] and objects.labels[5, 5]


def test_points_beside_all_objects_change_nothing() -> None:
    found = Candidates((rectangle(2, 2, 9, 9), poor(20, 20, 29, 29)), SHAPE)
    away = ((50.0, 70.0), (1000.0, -3.0))
    changed = found.objects(Thresholds(picked=away, dropped=away))
    assert_array_equal(changed.labels, found.objects(Thresholds()).labels)


def test_unlikely_objects_are_offered_where_no_object_is() -> None:
    members = rectangle(2, 2, 9, 9), poor(20, 20, 29, 29), poor(3, 3, 9, 8)
    offered = Candidates(members, SHAPE).unlikely(Thresholds(0, 0))
    assert [patch.origin for patch in offered.patches] == [(20, 20)]
    assert not Candidates((), SHAPE).unlikely(Thresholds()).patches
