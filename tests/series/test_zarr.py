"""OME-Zarr in a series: a folder that is one image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_sam.series.opening import open_series
from tests.helpers.discs import PLANE, DiscPredictor, discs, same_objects
from tests.helpers.series import save, write_images

if TYPE_CHECKING:
    from pathlib import Path


def test_a_zarr_store_is_one_image(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    images = write_images(tmp_path / "images", "b.tif")
    zarr.save(str(images / "a.zarr"), PLANE)
    series = open_series(images, tmp_path / "out")
    assert [item.name for item in series] == ["a.zarr", "b.tif"]
    assert series.segment(DiscPredictor("box")) == {}
    again = open_series(tmp_path / "out")
    assert not again.problems
    for item in again:
        same_objects(item.read_labels(), discs())
    assert again.write_table(tmp_path / "t.csv") == {}
    save(again, "a.zarr", np.zeros_like(discs()), status="done")
    assert again["a.zarr"].state.objects == 0
