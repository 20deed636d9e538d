"""Labels of other programs become labels of a series."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from numpy.testing import assert_array_equal

from napari_sam.exchange.folders import FOLDER_FORMATS
from napari_sam.series.opening import open_series
from tests.helpers.discs import discs
from tests.helpers.series import open_images, save

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["1.tif", "day2/1.tif", "day2/3.tif"]


@pytest.mark.parametrize("format", FOLDER_FORMATS)
def test_a_series_goes_to_a_folder_and_comes_back(tmp_path: Path, format: str) -> None:
    series = open_images(tmp_path, *NAMES)
    for name in NAMES[:2]:
        save(series, name, discs(), classes={1: "A"})
    series.add_class("A")
    folder = tmp_path / "folder"
    assert series.export(folder, format) == {}  # type: ignore[arg-type]
    again = open_series(tmp_path / "images", tmp_path / "again")
    assert again.import_folder(folder) == {}
    assert [item.status for item in again] == ["needs review"] * 2 + ["new"]
    for name in NAMES[:2]:
        found = again[name].read_labels()
        assert found is not None
        assert_array_equal(found > 0, discs() > 0)
        if format != "nnunet":
            assert_array_equal(found, discs())
    if format == "nnunet":
        assert "A" in again.classes
        assert "A" in again["1.tif"].classes.values()


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    series = open_images(tmp_path, *NAMES)
    save(series, "1.tif", discs())
    series.export(tmp_path / "folder", "stardist")
    masks = tmp_path / "folder" / "masks"
    (masks / "1.tif").rename(masks / "3.tif")
    (masks / "day2_1.tif").write_bytes(b"none")
    found = series.import_folder(tmp_path / "folder")
    assert list(found) == ["day2/1.tif"]
    assert series["day2/3.tif"].status == "needs review"
    assert series["1.tif"].status == "started"
