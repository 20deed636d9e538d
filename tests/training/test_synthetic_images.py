"""Synthetic images are determined by their seed and have the right objects."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import ndimage

if TYPE_CHECKING:
    from types import ModuleType

FILE = Path(__file__).parents[2] / "training" / "synthetic_images.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("synthetic_images", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["synthetic_images"] = module  # for its dataclass
    spec.loader.exec_module(module)
    return module


SYNTHETIC = load()
ALL_KINDS = [*SYNTHETIC.KINDS, *SYNTHETIC.UNSEEN]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_seed_determines_the_image(kind: str) -> None:
    first, again, other = (SYNTHETIC.make(kind, seed) for seed in (3, 3, 4))
    assert [image.key for image in first] == [image.key for image in again]
    assert first[0].key != other[0].key
    for image in first:
        assert image.plane.dtype == np.uint8
        assert image.plane.std() > 5
        assert len(image.objects(20)) >= 1


def test_objects_are_connected() -> None:
    for kind in ("membranes", "tubes", "rods"):
        (image,) = SYNTHETIC.make(kind, 5)
        for number in image.objects():
            assert ndimage.label(image.labels == number, np.ones((3, 3)))[1] == 1


def test_polarities_and_nested_objects() -> None:
    brighter = set()
    for seed in range(12):
        (image,) = SYNTHETIC.make("nuclei", seed)
        inside = image.plane[image.labels > 0].mean()
        brighter.add(bool(inside > image.plane[image.labels == 0].mean()))
    assert brighter == {True, False}
    outer, inner = SYNTHETIC.make("nested", 1)
    assert outer.plane_key == inner.plane_key
    both = inner.labels > 0
    assert np.array_equal(outer.labels[both], inner.labels[both])


def test_held_out_kinds_are_not_trained_on() -> None:
    assert not set(SYNTHETIC.KINDS) & set(SYNTHETIC.UNSEEN)
