"""Confidence of masks: by themselves, and after those before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.volume.tracking.confidence import (
    ConfidenceFeatures,
    confidence,
    confidence_on_the_way,
)

GOOD = ConfidenceFeatures(
    iou=0.9, pred_iou=0.9, stability_score=0.95, shift=0.05, step=0.2, contrast=1.0,
    filled=0.0, depth=0.3, trust=1.0, fading=0.0, offset=0.0, sharpness=1.0,
)  # fmt: skip
CHANCE = st.floats(0, 1)


def test_a_clear_mask_is_trusted_with_and_without_its_border() -> None:
    assert confidence(GOOD) > 0.9
    assert confidence(GOOD, fits_border=False) > 0.9


def test_masks_of_the_model_are_not_judged_by_their_border() -> None:
    faded = replace(GOOD, fading=1.0, offset=0.5, sharpness=0.0)
    assert confidence(faded) < confidence(GOOD)
    plain = [confidence(f, fits_border=False) for f in (GOOD, faded)]
    assert plain[0] == plain[1]


@given(own=CHANCE, one=CHANCE, other=CHANCE)
def test_a_mask_is_not_surer_after_a_weaker_one(
    own: float, one: float, other: float
) -> None:
    weak, strong = sorted((one, other))
    after = [confidence_on_the_way(own, weakest) for weakest in (weak, strong)]
    assert 0 <= after[0] <= after[1] <= 1


def test_a_way_of_equal_masks_does_not_wear_out() -> None:
    own = weakest = 0.8
    values = []
    for _ in range(50):
        values.append(confidence_on_the_way(own, weakest))
        weakest = min(own, weakest)
    assert values == pytest.approx(np.full(50, values[0]))
