"""Zarr arrays and groups, and OME-Zarr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from napari_sam.images.reading.read import read_image
from tests.images.reading.test_raster import forbid

if TYPE_CHECKING:
    from pathlib import Path

zarr = pytest.importorskip("zarr")
UNITS = {"T": "second", "Z": "micrometer", "Y": "micrometer", "X": "micrometer"}
SCALE = {"T": 3.0, "C": 1.0, "Z": 2.0, "Y": 0.5, "X": 0.25}
KINDS = {"T": "time", "C": "channel"}


def counted(*shape: int, kind: str = "u2") -> np.ndarray:
    return np.arange(np.prod(shape)).reshape(shape).astype(kind)


def write_ome(
    group: Any, data: np.ndarray, axes: str, version: str = "0.4", **scales: float
) -> None:
    """Write an image with a reduced level, as OME-Zarr."""
    entries: list[Any] = []
    for name in axes:
        entry = {"name": name.lower(), "type": KINDS.get(name, "space")}
        entries.append(entry | ({"unit": UNITS[name]} if name in UNITS else {}))
    scale = [(SCALE | scales)[name] for name in axes]
    datasets = []
    for level, step in enumerate((1, 2)):
        values = data[..., ::step, ::step]
        array = group.create_array(f"s{level}", shape=values.shape, dtype=values.dtype)
        array[...] = values
        factors = [step if name in "YX" else 1 for name in axes]
        sizes = [a * b for a, b in zip(scale, factors, strict=True)]
        transforms = [{"type": "scale", "scale": sizes}]
        datasets.append({"path": f"s{level}", "coordinateTransformations": transforms})
    multiscale = {"axes": entries, "datasets": datasets, "version": version}
    if version == "0.5":
        group.attrs["ome"] = {"version": version, "multiscales": [multiscale]}
    else:
        group.attrs["multiscales"] = [multiscale]


@pytest.mark.parametrize("axes", ["YX", "ZYX", "CYX", "TCZYX", "ZYXC"])
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_has_axes_and_spacing(tmp_path: Path, axes: str, version: str) -> None:
    data = counted(*range(3, 3 + len(axes)))
    path = tmp_path / "image.zarr"
    zarr_format = 3 if version == "0.5" else 2
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    write_ome(group, data, axes, version)
    image = read_image(path)
    assert image.order == axes
    assert_array_equal(image.as_stored(np.asarray(image.data)), data)
    names = [name for name in axes if name != "C"]
    assert image.spacing == {name: SCALE[name] for name in names}
    units = {"T": "s"} | dict.fromkeys("ZYX", "µm")
    assert image.units == {name: units[name] for name in names}
    assert image.notes == ()


def test_planes_are_read_when_they_are_needed(tmp_path: Path) -> None:
    path = tmp_path / "image.zarr"
    shape = (10**4, 10**4, 10**5)  # 10 TB
    zarr.create_array(path, shape=shape, chunks=(1, 500, 500), dtype="u1")
    image = read_image(path)
    assert (image.axes, image.shape) == ("ZYX", shape)
    part = image.select(Z=7).plane()[:9, :8]
    assert_array_equal(np.asarray(part), np.zeros((9, 8)))


@pytest.mark.parametrize(
    ("names", "axes"),
    [(("t", "y", "x"), "TYX"), (("channel", "row", "x"), "CRX"), (None, "ZYX")],
)
def test_names_of_dimensions(
    tmp_path: Path, names: tuple[str, ...] | None, axes: str
) -> None:
    data, path = counted(2, 3, 4), tmp_path / "array.zarr"
    array = zarr.create_array(path, data=data, dimension_names=names)
    assert array.shape == data.shape
    assert read_image(path).order == axes
    old = zarr.create_array(tmp_path / "old.zarr", data=data, zarr_format=2)
    if names is not None:
        old.attrs["_ARRAY_DIMENSIONS"] = list(names)
    assert read_image(tmp_path / "old.zarr").order == axes


def test_spacing_of_all_levels_and_unknown_sizes(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "image.zarr", mode="w", zarr_format=2)
    write_ome(group, counted(3, 4, 5), "ZYX", Z=0.0)
    (scales,) = group.attrs["multiscales"]
    scales["coordinateTransformations"] = [{"type": "scale", "scale": [1, 2, 2]}]
    group.attrs["multiscales"] = [scales]
    image = read_image(tmp_path / "image.zarr")
    assert image.spacing == {"Y": 1.0, "X": 0.5}
    assert "along Z" in image.notes[0]


def test_old_versions_name_axes_only_or_not_at_all(tmp_path: Path) -> None:
    for axes in (["z", "y", "x"], None):
        group = zarr.open_group(tmp_path / "image.zarr", mode="w", zarr_format=2)
        write_ome(group, counted(3, 4, 5), "ZYX")
        scales = {"datasets": [{"path": "s0"}], "version": "0.1"}
        group.attrs["multiscales"] = [scales | ({"axes": axes} if axes else {})]
        image = read_image(tmp_path / "image.zarr")
        assert (image.axes, image.spacing) == ("ZYX", {})


def test_several_images_and_labels_are_said(tmp_path: Path) -> None:
    path = tmp_path / "plate.zarr"
    root = zarr.open_group(path, mode="w", zarr_format=2)
    small, large = counted(4, 5), counted(6, 7)
    write_ome(root.create_group("A/1"), small, "YX")
    well = root.create_group("B/2")
    write_ome(well, large, "YX")
    write_ome(well.create_group("labels/nuclei"), large, "YX")
    image = read_image(path)
    assert_array_equal(np.asarray(image.data), large)
    assert "0 'A/1' (4 x 5 uint16), 1 'B/2' (6 x 7 uint16)" in image.notes[0]
    assert "labels, nuclei: not used" in image.notes[1]
    for series in ("0", "A/1"):
        assert_array_equal(np.asarray(read_image(path, series).data), small)
    inner = read_image(path / "B" / "2" / "labels" / "nuclei")
    assert_array_equal(np.asarray(inner.data), large)


def test_groups_of_arrays(tmp_path: Path) -> None:
    path = tmp_path / "arrays.zarr"
    root = zarr.open_group(path, mode="w")
    data = counted(8, 10)
    for name, values in {"b": data, "a": data[::2, ::2]}.items():
        root.create_array(name, data=values)
    image = read_image(path)
    assert_array_equal(np.asarray(image.data), data)
    assert image.notes == ()
    root.create_array("c", data=data)
    with pytest.raises(ValueError, match="choose one with --series"):
        read_image(path)


def test_other_folders_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.zarr"
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read_image(path)
    path.mkdir()
    with pytest.raises(ValueError, match=r"image\.zarr cannot be read as zarr"):
        read_image(path)
    zarr.open_group(path, mode="w")
    with pytest.raises(ValueError, match="holds no image"):
        read_image(path)


def test_without_zarr_the_message_has_the_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zarr.create_array(tmp_path / "image.zarr", data=counted(4, 5))
    forbid(monkeypatch, "zarr")
    with pytest.raises(ModuleNotFoundError, match="pip install zarr"):
        read_image(tmp_path / "image.zarr")
