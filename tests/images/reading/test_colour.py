"""Colour is what a file says is colour, and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from napari_builtins.io import napari_write_image, napari_write_labels
from numpy.testing import assert_array_equal

from napari_sam.images.reading.read import read_image

if TYPE_CHECKING:
    from pathlib import Path

# What tifffile says when napari saves stacks of three or four slices.
pytestmark = pytest.mark.filterwarnings("ignore:.*stored as RGB:DeprecationWarning")

H, W = 6, 7


def counted(*shape: int, kind: str = "u1") -> np.ndarray:
    return (np.arange(np.prod(shape)) % 251).reshape(shape).astype(kind)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    leading=st.lists(st.integers(2, 5), max_size=3),
    kind=st.sampled_from(["uint8", "uint16", "float32"]),
)
def test_a_stack_saved_by_napari_is_a_stack(
    tmp_path: Path, leading: list[int], kind: str
) -> None:
    stack = counted(*leading, H, W, kind=kind)
    path = napari_write_image(str(tmp_path / "stack.tif"), stack, {})
    image = read_image(path)
    assert not image.rgb
    assert image.order == "CTZYX"[-stack.ndim :]
    assert_array_equal(image.data, stack)
    in_doubt = leading and leading[-1] in (3, 4) and kind != "float32"
    if image.notes:
        assert in_doubt or leading[-1] in (3, 4)
        assert "--axes" in image.notes[0]
    named = read_image(path, axes="CTZYX"[-stack.ndim :])
    assert named.notes == ()
    assert_array_equal(named.data, stack)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
@pytest.mark.parametrize("save", [napari_write_image, napari_write_labels])
def test_labels_are_never_colour(tmp_path: Path, count: int, save: Any) -> None:
    for shape in [(count, H, W), (2, count, H, W), (H, W, count)]:
        labels = counted(*shape)
        path = save(str(tmp_path / "labels.tif"), labels, {})
        image = read_image(path, labels=True)
        assert_array_equal(image.data, labels)
        assert image.order == "TZYX"[-labels.ndim :]
        assert image.notes == ()


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_red_green_and_blue_are_colour(tmp_path: Path, planar: str, kind: str) -> None:
    colour = counted(H, W, 3, kind=kind)
    stored = colour if planar == "contig" else np.moveaxis(colour, -1, 0)
    path, layout = tmp_path / "rgb.tif", {"photometric": "rgb", "planarconfig": planar}
    tifffile.imwrite(path, stored, **layout, metadata=None)
    image = read_image(path)
    assert (image.axes, image.order, image.notes) == ("YXS", "YX", ())
    assert_array_equal(image.data, colour)


def test_axes_turn_a_doubtful_file_to_colour(tmp_path: Path) -> None:
    colour = counted(3, H, W)
    path, layout = tmp_path / "rgb.tif", {"photometric": "rgb"}
    tifffile.imwrite(path, colour, planarconfig="separate", **layout)
    doubtful = read_image(path)
    assert doubtful.axes == "ZYX"
    assert "read as a stack; --axes SYX reads it as colour" in doubtful.notes[0]
    image = read_image(path, axes="SYX")
    assert (image.axes, image.notes) == ("YXS", ())
    assert_array_equal(image.data, np.moveaxis(colour, 0, -1))


@pytest.mark.parametrize(
    ("extra", "varies", "note"),
    [
        ("unassalpha", False, None),
        ("unassalpha", True, "alpha .* is not used"),
        ("assocalpha", True, "alpha .* is not used"),
        ("unspecified", False, "more samples than red, green and blue"),
        ("unspecified", True, "more samples than red, green and blue"),
    ],
)
def test_a_fourth_band_is_not_silently_alpha(
    tmp_path: Path, extra: str, varies: bool, note: str | None
) -> None:
    bands = counted(H, W, 4)
    if not varies:
        bands[..., 3] = 255
    path = tmp_path / "four.tif"
    tifffile.imwrite(path, bands, photometric="rgb", extrasamples=[extra])
    image = read_image(path)
    assert image.axes == "YXS"
    assert_array_equal(image.data, bands[..., :3])
    if note is None:
        assert image.notes == ()
    else:
        (said,) = image.notes
        assert re.search(note, said)
    channels = read_image(path, axes="YXC")
    assert (channels.axes, channels.order) == ("CYX", "YXC")
    assert_array_equal(channels.data, np.moveaxis(bands, -1, 0))


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize(
    ("photometric", "count"),
    [*[("minisblack", n) for n in (2, 3, 4, 5)], ("separated", 4), ("cielab", 3)],
)
def test_other_samples_are_channels(
    tmp_path: Path, photometric: str, count: int, planar: str
) -> None:
    bands = counted(H, W, count)
    stored = bands if planar == "contig" else np.moveaxis(bands, -1, 0)
    path, layout = tmp_path / "bands.tif", {"photometric": photometric}
    tifffile.imwrite(path, stored, planarconfig=planar, **layout)
    image = read_image(path)
    assert image.axes == "CYX"
    assert_array_equal(image.data, np.moveaxis(bands, -1, 0))
    assert f"The {count} samples of a pixel" in image.notes[0]
    assert ("SEPARATED" in image.notes[0]) == (photometric == "separated")


@pytest.mark.parametrize("photometric", ["separated", "cielab"])
def test_printing_colours_are_channels_whatever_their_axes(
    tmp_path: Path, photometric: str
) -> None:
    bands = counted(H, W, 4 if photometric == "separated" else 3)
    path = tmp_path / "bands.tif"
    layout = {"photometric": photometric, "metadata": {"axes": "YXS"}}
    tifffile.imwrite(path, bands, **layout)
    assert read_image(path).axes == "CYX"


def test_gray_with_alpha_is_gray(tmp_path: Path) -> None:
    samples = counted(H, W, 2)
    path = tmp_path / "gray.tif"
    layout = {"photometric": "minisblack", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(path, samples, **layout)
    image = read_image(path)
    assert image.axes == "YX"
    assert_array_equal(image.data, samples[..., 0])
    assert "alpha" in image.notes[0]


def test_numbers_of_a_colour_table_are_said(tmp_path: Path) -> None:
    path, table = tmp_path / "palette.tif", np.zeros((3, 256), np.uint16)
    tifffile.imwrite(path, counted(H, W), photometric="palette", colormap=table)
    image = read_image(path)
    assert_array_equal(image.data, counted(H, W))
    assert "colour table" in image.notes[0]
