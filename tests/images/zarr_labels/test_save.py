"""Labels of a viewer go into the OME-Zarr of their image."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaozarrs
import zarr
from numpy.testing import assert_array_equal

from napari_sam.images.zarr_labels.save import save_labels
from tests.helpers.ome_zarr import ball_stack, write_ome_zarr

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_ome_zarr(tmp_path / "image.ome.zarr", ball_stack())


@pytest.fixture
def labels() -> np.ndarray:
    return (ball_stack() == 700).astype(np.int32) * 7


def stored(group: Path, level: str = "0") -> np.ndarray:
    return np.asarray(zarr.open_array(str(group / level), mode="r")[...])


def test_labels_are_saved_into_the_store_of_their_image(
    path: Path, labels: np.ndarray
) -> None:
    group = save_labels(labels, path, "cells")
    assert group == path / "labels" / "cells"
    assert_array_equal(stored(group), labels)
    levels: Any = zarr.open_group(str(path), mode="r").attrs["ome"]
    for dataset in levels["multiscales"][0]["datasets"]:
        image = zarr.open_array(str(path / dataset["path"]), mode="r")
        assert stored(group, dataset["path"]).shape == image.shape
    yaozarrs.validate_zarr_store(str(path))
    corrected = labels.copy()
    corrected[0, :3] = 9
    save_labels(corrected, path, "cells")
    assert_array_equal(stored(group), corrected)


def test_labels_of_other_programs_stay(path: Path, labels: np.ndarray) -> None:
    group = save_labels(labels, path, "theirs")
    attributes = zarr.open_group(str(group), mode="r+").attrs
    del attributes["napari_sam"]
    with pytest.raises(ValueError, match="of another program: choose another name"):
        save_labels(labels + 1, path, "theirs")
    assert_array_equal(stored(group), labels)


@pytest.mark.parametrize(
    "damage", ["[" * 100_000, "{", ""], ids=["deep", "cut", "empty"]
)
def test_damaged_labels_stay(path: Path, labels: np.ndarray, damage: str) -> None:
    group = save_labels(labels, path, "theirs")
    (group / "zarr.json").write_text(damage)
    with pytest.raises(ValueError, match="of another program: choose another name"):
        save_labels(labels + 1, path, "theirs")
    assert (group / "zarr.json").read_text() == damage


def damage_axes(path: Path) -> None:
    file = path / "zarr.json"
    file.write_text(file.read_text().replace("micrometer", "micrometre?"))


def damage_level(path: Path) -> None:
    (path / "0" / "zarr.json").write_text("[]")


def damage_list(path: Path) -> None:
    entry = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": [1]}}
    (path / "labels" / "zarr.json").write_text(json.dumps(entry))


@pytest.mark.parametrize("damage", [damage_axes, damage_level, damage_list])
def test_a_damaged_image_gets_no_labels(
    path: Path, labels: np.ndarray, damage: Callable[[Path], None]
) -> None:
    save_labels(labels, path, "first")
    damage(path)
    with pytest.raises(ValueError, match=r"cannot be read as zarr \("):
        save_labels(labels, path, "second")
    assert not (path / "labels" / "second").exists()


def test_a_store_of_labels_alone(tmp_path: Path, labels: np.ndarray) -> None:
    group = save_labels(labels, tmp_path / "new.zarr", "cells", (2.0, 0.5, 0.5))
    assert_array_equal(stored(group), labels)
    yaozarrs.validate_zarr_store(str(group))
    ome: Any = zarr.open_group(str(group), mode="r").attrs["ome"]
    first = ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]
    assert first["scale"] == [2.0, 0.5, 0.5]


def test_labels_that_do_not_fit(path: Path, labels: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="save labels of the whole image"):
        save_labels(labels[1:], path, "cells")
    with pytest.raises(TypeError, match="float64: give integers"):
        save_labels(labels * 0.5, path, "cells")
    with pytest.raises(ValueError, match="1 axes: without an image give 2 to 4"):
        save_labels(labels[0, 0], tmp_path / "new.zarr", "cells")
    assert not (path / "labels").exists()
