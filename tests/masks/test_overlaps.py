"""Overlaps of many masks: the same as of all together, within the plane's memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from napari_sam.masks import overlaps
from napari_sam.masks.overlaps import PatchOverlaps
from napari_sam.masks.painting import pieces_from_patches
from napari_sam.masks.patch import MaskPatch

if TYPE_CHECKING:
    from collections.abc import Iterator


def patches(rng: np.random.Generator, count: int = 30) -> Iterator[MaskPatch]:
    for _ in range(count):
        shape = rng.integers(1, 20, 2)
        # Few values, so that there are ties.
        logits = rng.integers(-3, 4, shape).astype(np.float32)
        row, col = rng.integers(0, 40, 2).tolist()
        yield MaskPatch.from_logits(logits, (row, col))


@pytest.mark.parametrize("seed", range(5))
def test_one_by_one_as_all_together(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    index = (slice(None), slice(None))
    given = list(patches(np.random.default_rng(seed)))
    together = pieces_from_patches(range(1, 31), index, given)
    monkeypatch.setattr(overlaps, "_KEPT_PIXELS", 60)
    monkeypatch.setattr(overlaps, "_WORTH", 0)
    one_by_one = pieces_from_patches(range(1, 31), index, iter(given))
    assert [p.object_id for p in one_by_one] == [p.object_id for p in together]
    for one, other in zip(one_by_one, together, strict=True):
        assert one.origin == other.origin
        assert_array_equal(one.mask, other.mask)


def test_patches_that_cover_the_same_are_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(overlaps, "_KEPT_PIXELS", 1000)
    found, kept = PatchOverlaps(), []
    for number in range(50):
        found.add(MaskPatch((0, 0), np.full((20, 20), number + 1, np.float32)))
        kept.append(sum(patch.logits.size for patch in found._patches))
    assert max(kept) <= 4 * 400
    *lost, (origin, mask) = found.resolve()
    assert lost == [None] * 49
    assert origin == (0, 0)
    assert mask.all()


def test_no_patches() -> None:
    assert PatchOverlaps().resolve() == []
