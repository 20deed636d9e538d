"""One table of the objects of a series."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from napari_sam.images.reading.image_file import ImageFile
from napari_sam.masks.measurements import mean_intensities
from napari_sam.series.opening import open_series
from tests.helpers.discs import PLANE, DiscPredictor, discs
from tests.helpers.series import open_images, save

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam.series.image_series import ImageSeries


def rows_of(series: ImageSeries, path: Path) -> list[dict[str, str]]:
    assert series.write_table(path) == {}
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_rows_have_class_position_score_and_intensity(tmp_path: Path) -> None:
    series = open_images(tmp_path, "a.tif", "b.tif", "new.tif")
    assert series.segment(DiscPredictor("box"), {"a": [], "new": []}) != {}
    series["a.tif"].refresh()
    save(series, "a.tif", discs() * 7, status="done", classes={14: "cell"})
    rows = rows_of(series, tmp_path / "t.csv")
    assert [row["object"] for row in rows] == ["7", "14", "21", "28"]
    row = rows[1]
    assert (row["image"], row["status"], row["class"]) == ("a.tif", "done", "cell")
    assert (float(row["y"]), float(row["x"])) == (22, 60)
    assert (row["z"], row["unit"], row["score"]) == ("", "pixel", "")
    assert row["pixels"] == row["size"] == str((discs() == 2).sum())
    assert float(row["intensity-0"]) == 200


def test_scores_come_from_the_record(tmp_path: Path) -> None:
    series = open_images(tmp_path, "a.tif")
    assert series.segment(DiscPredictor("box")) == {}
    scores = [float(row["score"]) for row in rows_of(series, tmp_path / "t.csv")]
    assert len(scores) == 4
    assert all(0 < score <= 1 for score in scores)


def test_all_channels_are_measured_in_units_of_the_file(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    channels = np.stack([PLANE, PLANE // 2, 0 * PLANE + 3])[:, None].repeat(2, axis=1)
    sizes = {"PhysicalSizeZ": 2, "PhysicalSizeY": 0.5, "PhysicalSizeX": 0.25}
    tifffile.imwrite(
        images / "a.ome.tif",
        channels,
        ome=True,
        photometric="minisblack",
        metadata={"axes": "CZYX", **sizes},
    )
    series = open_series(images, tmp_path / "out", index={"C": 1})
    used = series["a.ome.tif"].read().used
    with series.edit("a.ome.tif") as editor:
        editor.save(np.stack([0 * discs(), discs()]), used)
    (row, *_) = rows_of(series, tmp_path / "t.csv")
    assert [float(row[f"intensity-{c}"]) for c in range(3)] == [200, 100, 3]
    assert row["unit"] == "µm^3"
    assert float(row["size"]) == int(row["pixels"]) * 2 * 0.5 * 0.25
    assert [float(row[axis]) for axis in "zyx"] == [2, 20 * 0.5, 22 * 0.25]
    assert (row["first_slice"], row["last_slice"]) == ("1", "1")


def test_images_that_cannot_be_measured_are_listed(tmp_path: Path) -> None:
    series = open_images(tmp_path, "a.tif", "b.tif", "c.tif")
    for item in series:
        save(series, item.name, discs())
    (tmp_path / "images" / "a.tif").unlink()
    tifffile.imwrite(tmp_path / "images" / "b.tif", PLANE[1:])
    path = tmp_path / "t.csv"
    assert set(series.write_table(path)) == {"a.tif", "b.tif"}
    with path.open(encoding="utf-8") as file:
        assert {row["image"] for row in csv.DictReader(file)} == {"c.tif"}


@given(
    labels=arrays(
        np.int16,
        array_shapes(min_dims=2, max_dims=3, max_side=6),
        elements=st.integers(0, 4),
    ),
    data=st.data(),
)
def test_mean_intensities_are_those_of_numpy(
    labels: np.ndarray, data: st.DataObject
) -> None:
    values = st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf])
    image = data.draw(arrays(float, labels.shape, elements=values))
    found = mean_intensities(labels, image)
    assert list(found) == sorted(set(labels.ravel().tolist()) - {0})
    for label, mean in found.items():
        inside = image[(labels == label) & np.isfinite(image)]
        expected = inside.mean() if inside.size else np.nan
        assert mean == pytest.approx(expected, nan_ok=True, abs=1e-6)


def test_an_image_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="same shape"):
        mean_intensities(discs(), PLANE[1:])
    assert ImageFile(PLANE, "YX").channels()[0] is PLANE
