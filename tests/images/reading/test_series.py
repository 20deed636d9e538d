"""TIFF files with several images: none is used or dropped in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from napari_sam.images.reading.read import read_image

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SHAPES = [(6, 7), (9, 8), (12, 5)]


def plane(number: int, shape: tuple[int, ...], kind: str = "u1") -> np.ndarray:
    return np.full(shape, number, kind)


def write_pages(path: Path, pages: Sequence[tuple[np.ndarray, dict[str, Any]]]) -> Path:
    """Write pages one after the other, with no metadata of what belongs together."""
    with tifffile.TiffWriter(path) as file:
        for data, options in pages:
            file.write(
                data,
                photometric="minisblack",
                contiguous=False,
                **{"metadata": None, **options},
            )
    return path


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    layout=st.lists(
        st.tuples(
            st.sampled_from(SHAPES),
            st.sampled_from(["u1", "u2"]),
            st.booleans(),
            st.sampled_from([None, "zlib", "lzma"]),
            st.sampled_from([None, "a", "b"]),
        ),
        min_size=1,
        max_size=9,
    )
)
def test_pages_of_equal_shape_and_type_are_one_stack(
    tmp_path: Path, layout: list[tuple[Any, ...]]
) -> None:
    pages, groups = [], {}
    for number, (shape, kind, reduced, compression, text) in enumerate(layout, start=1):
        options = {"compression": compression, "subfiletype": int(reduced)}
        pages.append((plane(number, shape, kind), {**options, "description": text}))
        groups.setdefault((shape, kind, reduced), []).append(number)
    path = write_pages(tmp_path / "pages.tif", pages)
    for i, ((shape, kind, _), numbers) in enumerate(groups.items()):
        image = read_image(path, series=str(i))
        expected = np.stack([plane(number, shape, kind) for number in numbers])
        assert_array_equal(image.data, expected[0] if len(numbers) == 1 else expected)
        assert image.axes == ("YX" if len(numbers) == 1 else "ZYX")
        assert image.notes == ()
    full = {k: v for k, v in groups.items() if not k[2]} or groups
    largest = max(np.prod(shape) * len(v) for (shape, _, _), v in full.items())
    if len(groups) == 1:
        assert read_image(path).notes == ()
        return
    try:
        image = read_image(path)
    except ValueError as error:
        assert "choose one with --series" in str(error)
        return
    assert image.data.size == largest
    assert f"holds {len(groups)} images" in image.notes[0]
    assert "--series chooses another" in image.notes[0]


def test_a_thumbnail_is_not_the_image(tmp_path: Path) -> None:
    stack = np.random.default_rng(3).integers(0, 255, (4, 12, 5), np.uint8)
    thumbnail = (stack[0, ::4, ::2], {"subfiletype": 1})
    pages = [thumbnail, *((one, {}) for one in stack)]
    image = read_image(write_pages(tmp_path / "pages.tif", pages))
    assert_array_equal(image.data, stack)
    assert "0 (3 x 3 uint8), 1 (4 x 12 x 5 uint8): number 1 is used" in image.notes[0]


def test_arrays_written_one_after_the_other_are_one_stack(tmp_path: Path) -> None:
    path = tmp_path / "arrays.tif"
    with tifffile.TiffWriter(path) as file:
        for number in range(1, 4):
            file.write(plane(number, (6, 7)), contiguous=False)
    image = read_image(path)
    assert image.axes == "ZYX"
    assert_array_equal(image.data[:, 0, 0], [1, 2, 3])


def write_positions(path: Path, *stacks: np.ndarray, names: Sequence[str] = ()) -> Path:
    with tifffile.TiffWriter(path, ome=True) as file:
        for i, stack in enumerate(stacks):
            name = names[i] if names else f"well {i}"
            sizes = {"PhysicalSizeX": 0.5 + i, "PhysicalSizeY": 0.5 + i}
            metadata = {"axes": "ZYX"[-stack.ndim :], "Name": name, **sizes}
            file.write(stack, photometric="minisblack", metadata=metadata)
    return path


def test_of_equal_positions_one_must_be_chosen(tmp_path: Path) -> None:
    stacks = [plane(i, (3, 6, 7)) for i in (1, 2)]
    path = write_positions(tmp_path / "positions.ome.tif", *stacks)
    with pytest.raises(ValueError, match=r"0 'well 0' \(3 x 6 x 7 uint8\), 1 'well 1'"):
        read_image(path)
    for i, stack in enumerate(stacks):
        for series in (str(i), f"well {i}"):
            image = read_image(path, series)
            assert_array_equal(image.data, stack)
            assert image.spacing == {"X": 0.5 + i, "Y": 0.5 + i}
            assert image.notes == ()


def test_of_several_positions_the_largest_is_used_and_said(tmp_path: Path) -> None:
    stacks = [plane(1, (6, 7)), plane(2, (3, 6, 7)), plane(3, (9, 8))]
    image = read_image(write_positions(tmp_path / "positions.ome.tif", *stacks))
    assert_array_equal(image.data, stacks[1])
    assert "holds 3 images" in image.notes[0]
    assert "number 1 is used" in image.notes[0]
    assert image.spacing["X"] == 1.5


@pytest.mark.parametrize("series", ["2", "-1", "well 7", "", "well"])
def test_a_series_that_is_not_there_is_refused(tmp_path: Path, series: str) -> None:
    stacks = [plane(i, (3, 6, 7)) for i in (1, 2)]
    names = ("well", "well")
    path = write_positions(tmp_path / "positions.ome.tif", *stacks, names=names)
    with pytest.raises(ValueError, match=r"no one image .*: choose one of 0 'well'"):
        read_image(path, series)


def test_pages_of_no_image_are_said(tmp_path: Path) -> None:
    path = write_positions(tmp_path / "image.ome.tif", plane(1, (3, 6, 7)))
    tifffile.imwrite(path, plane(2, (6, 7)), append="force", metadata=None)
    image = read_image(path)
    assert_array_equal(image.data, plane(1, (3, 6, 7)))
    assert f"1 pages of {path} belong to no image" in image.notes[0]


def test_missing_planes_and_broken_metadata_are_said(tmp_path: Path) -> None:
    path = write_positions(tmp_path / "image.ome.tif", plane(1, (3, 6, 7)))
    content = path.read_bytes()
    path.write_bytes(content.replace(b'SizeZ="3"', b'SizeZ="5"'))
    image = read_image(path)
    assert_array_equal(image.data[:, 0, 0], [1, 1, 1, 0, 0])
    assert any("2 planes are missing" in note for note in image.notes)
    path.write_bytes(content.replace(b'SizeX="7"', b'SizeX=""7'))
    image = read_image(path)
    assert_array_equal(image.data, plane(1, (3, 6, 7)))
    assert image.spacing == {}
    assert any("pixel size of" in note for note in image.notes)


def test_a_pyramid_is_one_image(tmp_path: Path) -> None:
    path, full = tmp_path / "pyramid.ome.tif", plane(7, (32, 32))
    with tifffile.TiffWriter(path) as file:
        file.write(full, subifds=1, metadata={"axes": "YX"}, photometric="minisblack")
        file.write(full[::2, ::2], subfiletype=1, photometric="minisblack")
    image = read_image(path)
    assert image.notes == ()
    assert_array_equal(image.data, full)


def test_what_tifffile_says_of_a_damaged_file_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = [(plane(i, (6, 7)), {}) for i in range(4)]
    path = write_pages(tmp_path / "pages.tif", pages)
    content = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        path.write_bytes(content[: file.pages[3].offset])
    image = read_image(path)
    assert len(image.data) == 3
    assert any(note.startswith("tifffile says: ") for note in image.notes)
    assert capsys.readouterr().err == ""
