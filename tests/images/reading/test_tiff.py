"""TIFF files: axes, pixel sizes and labels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from napari_sam.images.reading.image_file import ImageFile
from napari_sam.images.reading.read import read_image
from napari_sam.images.reading.units import length_unit
from napari_sam.images.writing import write_labels

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (2, 3, 5, 6)
SPACING = {"Z": 2.0, "Y": 0.5, "X": 0.25}


def counted(axes: str) -> np.ndarray:
    """A different number in each voxel, and one axis per letter."""
    shape = SHAPE[-len(axes) :]
    return np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)


def write_ome(path: Path, data: np.ndarray, axes: str, **metadata: Any) -> Path:
    sizes = {"PhysicalSizeZ": 2.0, "PhysicalSizeY": 0.5, "PhysicalSizeX": 0.25}
    units = {f"{name}Unit": "nm" for name in sizes}
    metadata = {"axes": axes, **sizes, **units, **metadata}
    tifffile.imwrite(path, data, ome=True, photometric="minisblack", metadata=metadata)
    return path


def write_ij(path: Path, data: np.ndarray, axes: str, **metadata: Any) -> Path:
    tifffile.imwrite(
        path,
        data,
        imagej=True,
        resolution=(4, 2),
        metadata={"axes": axes, "unit": "micron", **metadata},
    )
    return path


@pytest.mark.parametrize("axes", ["YX", "ZYX", "TYX", "CYX", "TZYX", "CZYX", "TCYX"])
def test_round_trip_keeps_axes_values_and_pixel_size(tmp_path: Path, axes: str) -> None:
    image = read_image(write_ome(tmp_path / "image.ome.tif", counted(axes), axes))
    expected = {name: size for name, size in SPACING.items() if name in axes}
    assert (image.axes, image.unit, image.spacing) == (axes, "nm", expected)
    path = write_labels(tmp_path / "labels.tif", image.data, image)
    again = read_image(path)
    assert_array_equal(again.data, counted(axes))
    assert (again.axes, again.unit, again.spacing) == (axes, "nm", expected)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    axes=st.sampled_from(["YX", "ZYX", "TZYX"]),
    spacing=st.dictionaries(st.sampled_from("ZYX"), st.floats(1e-6, 1e6)),
    top=st.integers(0, 2**31 - 1),
)
def test_round_trip_of_labels(
    tmp_path: Path, axes: str, spacing: dict[str, float], top: int
) -> None:
    labels = np.zeros(SHAPE[-len(axes) :], np.int32)
    labels[..., 2:, 3:] = top
    like = ImageFile(labels, axes, spacing, dict.fromkeys(spacing, "µm")).select()
    again = read_image(write_labels(tmp_path / "labels.tif", labels, like))
    assert_array_equal(again.data, labels)
    assert again.spacing == pytest.approx(like.spacing)
    assert again.units == like.units


def test_tifffile_reads_axes_and_pixel_size(tmp_path: Path) -> None:
    units = dict.fromkeys(SPACING, "µm")
    like = ImageFile(np.zeros((3, 5, 6, 3)), "ZYXS", SPACING, units)
    path = write_labels(tmp_path / "labels.tif", np.ones((3, 5, 6), np.int32), like)
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        assert (file.series[0].axes, file.series[0].shape) == ("ZYX", (3, 5, 6))
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    sizes = [pixels[f"PhysicalSize{name}"] for name in "ZYX"]
    assert sizes == [2.0, 0.5, 0.25]
    assert {pixels[f"PhysicalSize{name}Unit"] for name in "ZYX"} == {"µm"}


@pytest.mark.parametrize(
    ("top", "dtype"), [(0, np.uint16), (65535, np.uint16), (65536, np.int32)]
)
def test_labels_are_uint16_when_they_fit(tmp_path: Path, top: int, dtype: type) -> None:
    labels = np.array([[0, top]], np.int32)
    path = write_labels(tmp_path / "labels.tif", labels, ImageFile(labels, "YX"))
    again = tifffile.imread(path)
    assert again.dtype == dtype
    assert again.max() == top


@pytest.mark.parametrize("label", [2**31, -(2**31), 2**40])
def test_labels_beyond_int32_are_refused(tmp_path: Path, label: int) -> None:
    labels = np.array([[0, label]], np.int64)
    with pytest.raises(ValueError, match="at most 2147483647"):
        write_labels(tmp_path / "labels.tif", labels, ImageFile(labels, "YX"))
    assert list(tmp_path.iterdir()) == []


def test_negative_labels_are_int32(tmp_path: Path) -> None:
    labels = np.array([[-1, 3]], np.int32)
    path = write_labels(tmp_path / "labels.tif", labels, ImageFile(labels, "YX"))
    assert_array_equal(tifffile.imread(path), labels)


def write_units(path: Path, **units: str) -> Path:
    """Write a stack of pixel size 2 x 500 x 250, each axis in its own unit."""
    sizes = {"PhysicalSizeZ": 2.0, "PhysicalSizeY": 500.0, "PhysicalSizeX": 250.0}
    named = {f"PhysicalSize{axis}Unit": unit for axis, unit in units.items()}
    metadata = {"axes": "ZYX", **sizes, **named}
    tifffile.imwrite(path, counted("ZYX"), ome=True, metadata=metadata)
    return path


@pytest.mark.parametrize(
    ("z", "y", "x", "scale"),
    [
        ("µm", "nm", "nm", (2000.0, 500.0, 250.0)),
        ("mm", "µm", "µm", (2000.0, 500.0, 250.0)),
        ("µm", "cm", "m", (2e-6, 5.0, 250.0)),
        ("nm", "nm", "Å", (20.0, 5000.0, 250.0)),
        ("nm", "pm", "pm", (2000.0, 500.0, 250.0)),
        ("um", "µm", "µm", (2.0, 500.0, 250.0)),
        ("μm", "μm", "µm", (2.0, 500.0, 250.0)),
        # The same unknown unit needs no conversion.
        ("pixel", "pixel", "pixel", (2.0, 500.0, 250.0)),
    ],
)
def test_sizes_are_converted_to_the_unit_of_x(
    tmp_path: Path, z: str, y: str, x: str, scale: tuple[float, float, float]
) -> None:
    image = read_image(write_units(tmp_path / "image.ome.tif", Z=z, Y=y, X=x))
    expected = dict(zip("ZYX", scale, strict=True))
    assert (image.spacing, image.unit) == (expected, length_unit(x))
    again = read_image(write_labels(tmp_path / "labels.tif", image.data, image))
    assert (again.spacing, again.unit) == (expected, length_unit(x))


def test_a_z_size_in_another_kind_of_unit_is_unknown(tmp_path: Path) -> None:
    units = {"Z": "reference frame", "Y": "µm", "X": "µm"}
    image = read_image(write_units(tmp_path / "image.ome.tif", **units))
    assert image.spacing == {"Y": 500.0, "X": 250.0}
    assert "along Z, 2.0 reference frame" in image.notes[0]
    path = write_labels(tmp_path / "labels.tif", image.data, image)
    with tifffile.TiffFile(path) as file:
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert "PhysicalSizeZ" not in pixels
    assert (pixels["PhysicalSizeY"], pixels["PhysicalSizeX"]) == (500.0, 250.0)


@pytest.mark.parametrize("unit", ["micron", "um", "\\u00B5m"])
def test_pixel_sizes_of_imagej(tmp_path: Path, unit: str) -> None:
    path = write_ij(tmp_path / "ij.tif", counted("ZYX"), "ZYX", unit=unit, spacing=1.5)
    image = read_image(path)
    assert (image.axes, image.unit) == ("ZYX", "µm")
    assert image.spacing == pytest.approx({**SPACING, "Z": 1.5})


def test_negative_spacings_of_imagej(tmp_path: Path) -> None:
    path = write_ij(tmp_path / "ij.tif", counted("ZYX"), "ZYX", spacing=-1.5)
    assert read_image(path).spacing == pytest.approx({**SPACING, "Z": 1.5})


def test_imagej_hyperstacks(tmp_path: Path) -> None:
    data = counted("TZYX")[:, :, None]  # T, Z, C, Y, X
    image = read_image(write_ij(tmp_path / "ij.tif", data, "TZCYX", spacing=1.5))
    assert image.select(T=1).axes == "ZYX"
    assert_array_equal(image.select(T=1).data, data[1, :, 0])


def test_files_without_metadata_have_no_scale(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "plain.tif", counted("YX"))
    image = read_image(tmp_path / "plain.tif")
    assert (image.axes, image.spacing, image.unit) == ("YX", {}, None)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((5, 6), "YX"), ((3, 5, 6), "ZYX"), ((2, 3, 5, 6), "TZYX")],
)
def test_unnamed_axes_become_z_then_t(
    tmp_path: Path, shape: tuple[int, ...], axes: str
) -> None:
    data = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, data, photometric="minisblack")
    image = read_image(path)
    assert image.axes == axes
    assert_array_equal(image.data, data)
    again = read_image(write_labels(tmp_path / "labels.tif", data, image))
    assert again.axes == axes


def test_separate_pages_are_slices(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "pages.tif") as file:
        for page in counted("ZYX"):
            file.write(page, contiguous=False, metadata=None)
    image = read_image(tmp_path / "pages.tif")
    assert image.axes == "ZYX"
    assert_array_equal(image.data, counted("ZYX"))


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_colour_becomes_the_last_axis(tmp_path: Path, planar: str) -> None:
    colour = np.arange(90, dtype=np.uint8).reshape(5, 6, 3)
    stored = colour if planar == "contig" else np.moveaxis(colour, -1, 0)
    path = tmp_path / "rgb.tif"
    layout = {"photometric": "rgb", "planarconfig": planar, "metadata": None}
    tifffile.imwrite(path, stored, **layout)
    image = read_image(path)
    assert (image.axes, image.rgb) == ("YXS", True)
    assert_array_equal(image.plane(), colour)
    labels = colour[..., 0]
    again = read_image(write_labels(tmp_path / "labels.tif", labels, image))
    assert (again.axes, again.rgb) == ("YX", False)


def test_colour_stacks(tmp_path: Path) -> None:
    colour = np.zeros((4, 5, 6, 3), np.uint8)
    tifffile.imwrite(tmp_path / "rgb.tif", colour, photometric="rgb")
    image = read_image(tmp_path / "rgb.tif")
    assert (image.axes, image.rgb) == ("ZYXS", True)
    assert image.volume().shape == colour.shape
    assert image.select(Z=1).plane().shape == (5, 6, 3)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"There is no file .*none\.tif"):
        read_image(tmp_path / "none.tif")
    with pytest.raises(FileNotFoundError, match="is a folder: name an image in it"):
        read_image(tmp_path)


@pytest.mark.parametrize("content", [b"", b"II*\0", b"\x89PNG\r\n\x1a\n" + bytes(99)])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.tif"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"image\.tif cannot be read as TIFF"):
        read_image(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=st.dictionaries(st.integers(0, 10**6), st.binary(min_size=1, max_size=9)))
def test_damaged_files_are_refused_or_read(
    tmp_path: Path, damage: dict[int, bytes]
) -> None:
    complete = write_labels(
        tmp_path / "complete.tif",
        np.random.default_rng(5).integers(0, 99, (3, 20, 20)),
        ImageFile(np.zeros((3, 20, 20)), "ZYX", SPACING, dict.fromkeys("ZYX", "nm")),
    )
    content = bytearray(complete.read_bytes())
    for place, garbage in damage.items():
        plane_index = place % len(content)
        content[plane_index : plane_index + len(garbage)] = garbage
    path = tmp_path / "damaged.tif"
    path.write_bytes(content)
    try:
        read_image(path)
    except ValueError as error:
        # The count of its images may be damaged, too.
        assert re.search("cannot be read as TIFF|holds no image", str(error))


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_truncated_files_are_refused(tmp_path: Path, fraction: float) -> None:
    labels = np.random.default_rng(5).integers(0, 99, (3, 40, 40))
    path = write_labels(tmp_path / "image.tif", labels, ImageFile(labels, "ZYX"))
    path.write_bytes(path.read_bytes()[: int(fraction * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"image\.tif cannot be read as TIFF \(.+\)"):
        read_image(path)


@pytest.mark.parametrize("existing", [None, b"an older result"])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bytes | None
) -> None:
    def half(path: Any, *_: Any, **__: Any) -> None:
        with open(path, "wb") as file:
            file.write(b"II*")
        raise OSError("No space left on device")

    monkeypatch.setattr(tifffile, "imwrite", half)
    path = tmp_path / "labels.tif"
    if existing is not None:
        path.write_bytes(existing)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    labels = counted("YX")
    with pytest.raises(OSError, match="No space left"):
        write_labels(path, labels, ImageFile(labels, "YX"))
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_labels_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="axes"):
        write_labels(
            tmp_path / "labels.tif", counted("YX"), ImageFile(counted("ZYX"), "ZYX")
        )
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    path.write_bytes(b"an older result")
    assert write_labels(path, counted("YX"), ImageFile(counted("YX"), "YX")) == path
    assert_array_equal(read_image(path).data, counted("YX"))
    assert [p.name for p in tmp_path.iterdir()] == ["labels.tif"]
