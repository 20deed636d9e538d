"""Label files: the order and the pixel size of the image, in any order of axes."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

import numpy as np
import ome_types
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from napari_sam.images.reading.image_file import ImageFile
from napari_sam.images.reading.read import read_image
from napari_sam.images.writing import check_writable, write_labels
from tests.helpers import image_files
from tests.helpers.image_files import SPACING, UNITS

if TYPE_CHECKING:
    from pathlib import Path


# tests/cli/test_axes.py segments all of them.
SAMPLE = [axes for axes in image_files.AXES if len(axes) < 5]
SAMPLE += image_files.AXES[len(SAMPLE) :: 8]


@pytest.mark.parametrize("part", range(8))
def test_labels_have_the_order_and_spacing_of_the_image(
    tmp_path: Path, part: int
) -> None:
    for axes in SAMPLE[part::8]:
        check_round_trip(tmp_path, axes)


def check_round_trip(folder: Path, axes: str) -> None:
    stored = image_files.pixels(axes)
    image = read_image(image_files.write(folder / "image.tif", stored, axes))
    assert image.notes == ()
    assert image.axes.removesuffix("S").endswith("YX")
    assert image.rgb == ("S" in axes)
    check_writable(image)
    gray = image.data[..., 0] if image.rgb else image.data
    path = write_labels(folder / "labels.tif", gray // 100, image)
    order = axes.replace("S", "")
    colour = axes.find("S")
    expected = stored.take(0, colour) if colour >= 0 else stored
    with tifffile.TiffFile(path) as file:
        assert file.series[0].axes == order
        assert_array_equal(file.series[0].asarray(), expected // 100)
        assert file.is_ome == (order[-2:] == "YX")
    again = read_image(path)
    assert_array_equal(again.data, gray // 100)
    known = {name: size for name, size in SPACING.items() if name in order}
    assert again.spacing == image.spacing == known
    assert again.units == image.units == {name: UNITS[name] for name in known}


axis_letters = "".join(sorted(set(string.ascii_uppercase) - set("YXS")))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_labels_of_any_axes_types_and_byte_orders(
    tmp_path: Path, data: st.DataObject
) -> None:
    others = data.draw(st.lists(st.sampled_from(axis_letters), max_size=4, unique=True))
    axes = "".join(data.draw(st.permutations([*others, "Y", "X"])))
    shape = data.draw(st.tuples(*[st.integers(1, 4)] * len(axes)))
    kind = data.draw(st.sampled_from(["u1", "<u2", ">u2", ">i2", "<i4", ">i8", "bool"]))
    units = data.draw(
        st.sampled_from([{}, dict.fromkeys(set(axes) & set("YXZ"), "mm")])
    )
    labels = (np.arange(np.prod(shape)).reshape(shape) % 100).astype(kind)
    spacing = {name: data.draw(st.floats(1e-6, 1e6)) for name in units}
    like = ImageFile.arrange(labels, axes, spacing=spacing, units=units)
    check_writable(like)
    path = write_labels(tmp_path / "labels.tif", like.data, like)
    written = tifffile.imread(path, squeeze=False)
    assert_array_equal(np.squeeze(written), np.squeeze(labels).astype(written.dtype))
    again, before = read_image(path).select(), like.select()
    assert_array_equal(again.data, before.data)
    if not set(axes) & set("QI"):
        assert (again.axes, again.order) == (before.axes, before.order)
    assert again.spacing == pytest.approx(before.spacing)
    with tifffile.TiffFile(path) as file:
        assert not file.is_ome or ome_types.from_tiff(path).images


@pytest.mark.parametrize(
    ("order", "is_ome"),
    [
        *[(axes, True) for axes in ("YX", "TCZYX", "CTYX", "ZCTYX")],
        *[(axes, False) for axes in ("MYX", "YXZ", "XY", "ZX", "TZCAYX")],
    ],
)
def test_ome_holds_what_it_has_names_for(
    tmp_path: Path, order: str, is_ome: bool
) -> None:
    labels = np.ones((2,) * len(order), np.uint16)
    like = ImageFile.arrange(labels, order, spacing={"X": 2.0}, units={"X": "Å"})
    path = write_labels(tmp_path / "labels.tif", like.data, like)
    with tifffile.TiffFile(path) as file:
        assert file.is_ome == is_ome
    if is_ome:
        pixels = ome_types.from_tiff(path).images[0].pixels
        assert pixels.physical_size_x == 2.0
        assert pixels.physical_size_x_unit.value == "Å"
        assert pixels.physical_size_y is None


def test_empty_images_are_refused_before_the_work() -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 0\): it has no pixels"):
        check_writable(ImageFile(np.zeros((3, 0)), "YX"))


@pytest.mark.parametrize("failure", [ValueError("not supported"), OSError("no disk")])
def test_whatever_cannot_be_written_is_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(tifffile, "imwrite", refuse)
    with pytest.raises(ValueError, match=r"axes ZYX cannot be written \(no"):
        check_writable(ImageFile(np.zeros((2, 3, 4)), "ZYX"))
