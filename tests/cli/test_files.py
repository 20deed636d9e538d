"""A table of image files: what is segmented, what is written, what is said."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import imageio.v3 as iio
import numpy as np
import ome_types
import pytest
import tifffile
from napari_builtins.io import napari_get_reader
from numpy.testing import assert_array_equal
from PIL import Image

from napari_sam.images.reading.read import read_image
from tests.helpers.command_line import run
from tests.helpers.image_files import BOX, SHOWN, mask, pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.helpers.models import World

pytestmark = [
    pytest.mark.usefixtures("world"),
    # What tifffile says when it takes a stack for colour.
    pytest.mark.filterwarnings("ignore:.*stored as RGB:DeprecationWarning"),
]

BOX_TEXT = ",".join(
    str(value)
    for value in (BOX["Y"].start, BOX["X"].start, BOX["Y"].stop - 1, BOX["X"].stop - 1)
)
PLANE = pixels("YX")
GRAY = {"photometric": "minisblack"}


@dataclass(frozen=True)
class Case:
    """A file and what is expected of it.

    Parameters
    ----------
    name : str
        Name of the file.
    write : callable
        Writes the file.
    order : str
        Axes of the labels in the order of the file; a stack if there is a third one.
    spacing : mapping
        Pixel size of the labels.
    said : str
        Pattern of what is printed besides; nothing when empty.
    error : str
        Pattern of the error, if nothing is to be written.
    options : tuple of str
        Further options of the command.
    depth : int
        Number of slices; the first and the fourth are dark.
    """

    name: str
    write: Callable[[Path], object]
    order: str = "YX"
    spacing: Mapping[str, float] = field(default_factory=dict)
    said: str = ""
    error: str = ""
    options: tuple[str, ...] = ()
    depth: int = 3


def in_type(kind: str) -> np.ndarray:
    """Make the plane of another type; uint8 is shown as it is."""
    if kind == "?":
        return PLANE > 99
    return PLANE if kind == "u1" else (PLANE // 2).astype(kind)


def tiff(data: np.ndarray, **options: Any) -> Callable[[Path], object]:
    return lambda path: tifffile.imwrite(path, data, **options)


def axes_of(axes: str, kind: str = "plain", **metadata: Any) -> Case:
    """Name the axes in the way of OME, of ImageJ, or of tifffile."""
    ways: dict[str, dict[str, Any]] = {
        "ome": {"ome": True},
        "imagej": {"imagej": True},
        "plain": {},
    }
    photometric = "rgb" if kind == "imagej" and "S" in axes else "minisblack"
    write = tiff(
        pixels(axes),
        photometric=photometric,
        metadata={"axes": axes, **metadata},
        **ways[kind],
    )
    index = ",".join(f"{name}={i}" for name, i in SHOWN.items() if name in axes)
    order = "".join(name for name in axes if name in "ZYX")
    options = ("--index", index) if index else ()
    return Case(f"{kind}-{axes}.tif", write, order, options=options)


def walked(axes: str) -> Case:
    """A stack whose first axis is no axis of space or time."""
    write = tiff(pixels("ZYX"), metadata={"axes": axes}, **GRAY)
    error = f"axis {axes[0]} of the image, .* not one of space or time"
    return Case(f"walked-{axes}.tif", write, axes, error=error)


def sizes_of(name: str, said: str = "", **sizes: Any) -> Case:
    """A stack of OME with these sizes, where known ones are 2, 0.5 and 0.25."""
    write = tiff(pixels("ZYX"), ome=True, metadata={"axes": "ZYX", **sizes}, **GRAY)
    known = {"Z": 2.0, "Y": 0.5, "X": 0.25}
    spacing = {a: size for a, size in known.items() if f" {a}," not in said}
    spacing = {a: s for a, s in spacing.items() if f"PhysicalSize{a}" in sizes}
    return Case(f"sizes-{name}.tif", write, "ZYX", spacing, said)


def imagej_sizes(unit: str, is_known: bool = True, spacing: float = 2.0) -> Case:
    write = tiff(
        pixels("ZYX"),
        imagej=True,
        resolution=(4, 2),
        metadata={"axes": "ZYX", "unit": unit, "spacing": spacing},
    )
    said, known = "", {"Y": 0.5, "X": 0.25, "Z": abs(spacing)}
    if not spacing or not np.isfinite(spacing):
        known.pop("Z")
        said = "along Z, .* taken as unknown"
    if not is_known:
        known, said = {}, "along X, 0.25 .*, Y, 0.5 .*, Z, .* taken as unknown"
    return Case(f"imagej-{unit}-{spacing}.tif", write, "ZYX", known, said)


def bands(*values: Any, **options: Any) -> Callable[[Path], object]:
    """Write samples last; a number is a constant sample."""
    samples = [np.full_like(PLANE, v) if isinstance(v, int) else v for v in values]
    return tiff(np.stack(samples, axis=-1), **options)


def pages(*arrays: np.ndarray, **options: Any) -> Callable[[Path], object]:
    """Write pages that are not said to belong together."""

    def write(path: Path) -> None:
        with tifffile.TiffWriter(path) as file:
            for i, data in enumerate(arrays):
                own = {key: values[i] for key, values in options.items()}
                layout = {"contiguous": False, "metadata": None, **GRAY}
                file.write(data, **layout, **own)

    return write


def positions(*arrays: np.ndarray) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        with tifffile.TiffWriter(path, ome=True) as file:
            for data in arrays:
                file.write(data, metadata={"axes": "ZYX"[-data.ndim :]}, **GRAY)

    return write


def damaged(write: Callable[[Path], object], fraction: float) -> Callable[..., object]:
    def cut(path: Path) -> None:
        write(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(fraction * len(content))])

    return cut


def zarr_array(data: np.ndarray, **options: Any) -> Callable[[Path], object]:
    import zarr

    return lambda path: zarr.create_array(path, data=data, **options)


def ome_zarr(axes: str) -> Callable[[Path], object]:
    import zarr

    from tests.images.reading.test_ome_zarr import write_ome

    def write(path: Path) -> None:
        group = zarr.open_group(path, mode="w", zarr_format=2)
        write_ome(group, pixels(axes), axes)

    return write


STACK = pixels("ZYX")
COLOURS = (PLANE, PLANE // 2, 20)
TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "?"]
CORNER = np.pad(np.ones((1, 3)), ((0, 10), (0, 11))) == 1
NAN_PLANE = np.where(CORNER, np.nan, PLANE).astype("f4")
OME_SIZES = {"PhysicalSizeZ": 2.0, "PhysicalSizeY": 0.5, "PhysicalSizeX": 0.25}
PALETTE = np.tile(np.arange(256, dtype="u2") * 257, (3, 1))

CASES = [
    # Types of numbers, in both byte orders.
    *[
        Case(
            f"type-{kind}-{'big' if order == '>' else 'little'}.tif",
            tiff(
                in_type(kind),
                byteorder=order,
                **GRAY,
            ),
        )
        for kind in TYPES
        for order in "<>"
    ],
    Case("nan.tif", tiff(NAN_PLANE)),
    Case(
        "outliers.tif",
        tiff(np.where(CORNER, -5e8, PLANE).astype("f4")),
        options=("--contrast", "20,200"),
    ),
    # How pixels are stored.
    *[
        Case(f"stored-{kind}.tif", tiff(PLANE, compression=kind, **GRAY))
        for kind in ("zlib", "lzma", "packbits", "lzw", "zstd")
    ],
    Case("stored-predictor.tif", tiff(PLANE, compression="zlib", predictor=True)),
    Case("stored-tiles.tif", tiff(PLANE, tile=(16, 16))),
    Case("stored-rows.tif", tiff(PLANE, rowsperstrip=3)),
    Case("stored-big.tif", tiff(PLANE, bigtiff=True)),
    Case("stored-white-is-0.tif", tiff(PLANE, photometric="miniswhite")),
    Case(
        "stored-memory-map.tif",
        tiff(STACK.astype(">u2"), imagej=True, metadata={"axes": "ZYX"}),
        "ZYX",
    ),
    # Axes by their names.
    *[axes_of(axes) for axes in ("YX", "ZYX", "TYX", "TZYX", "CZYX", "ZCYX", "TCZYX")],
    *[axes_of(axes) for axes in ("XY", "YXZ", "ZXY", "XZYT", "YXC", "CYXZ", "ZYXS")],
    *[axes_of(axes, "ome") for axes in ("YX", "ZYX", "CYX", "TCZYX", "CTZYX", "ZTYX")],
    *[axes_of(axes, "imagej") for axes in ("YX", "ZYX", "TZCYX", "TYX", "YXS")],
    *[walked(f"{name}YX") for name in "CMLPVKBR"],
    Case("named-channels.tif", walked("CYX").write, "CYX", options=("--axis", "C")),
    Case("named-number.tif", walked("MYX").write, "MYX", options=("--axis", "0")),
    Case("named-axes.tif", walked("CYX").write, "ZYX", options=("--axes", "ZYX")),
    Case(
        "four-axes.tif",
        tiff(pixels("TZYX"), **GRAY),
        "TZYX",
        error="axes TZYX, shape .* choose one stack with --index",
    ),
    # Colour, and what is not.
    Case("rgb.tif", bands(*COLOURS, photometric="rgb")),
    Case(
        "rgb-u2.tif", tiff(np.stack([PLANE] * 3, -1) * np.uint16(9), photometric="rgb")
    ),
    Case(
        "rgb-planes.tif",
        tiff(
            np.stack([PLANE] * 3),
            photometric="rgb",
            planarconfig="separate",
            metadata=None,
        ),
    ),
    Case(
        "rgb-alpha.tif",
        bands(*COLOURS, 255, photometric="rgb", extrasamples=["unassalpha"]),
    ),
    Case(
        "rgb-alpha-varies.tif",
        bands(*COLOURS, PLANE, photometric="rgb", extrasamples=["assocalpha"]),
        said="alpha .* is not used",
    ),
    Case(
        "rgb-infrared.tif",
        bands(*COLOURS, PLANE, photometric="rgb", extrasamples=["unspecified"]),
        said="more samples than red, green and blue",
    ),
    Case(
        "cmyk.tif",
        bands(20, PLANE, 20, 20, photometric="separated"),
        "YX",
        said="SEPARATED are read as channels",
        options=("--index", "C=1"),
    ),
    *[
        Case(
            f"samples-{n}.tif",
            bands(*[PLANE] * n, planarconfig="contig", **GRAY),
            said=f"The {n} samples of a pixel are read as channels",
            options=("--index", "C=1"),
        )
        for n in (2, 3, 4, 5)
    ],
    Case(
        "samples-walked.tif",
        bands(*[PLANE] * 5, planarconfig="contig", **GRAY),
        "YXC",
        error="axis C of the image, of axes YXC",
    ),
    Case("gray-alpha.tif", bands(PLANE, 255, extrasamples=["unassalpha"], **GRAY)),
    Case(
        "palette.tif",
        tiff(PLANE, photometric="palette", colormap=PALETTE),
        said="numbers of a colour table",
    ),
    *[
        Case(
            f"saved-{n}.tif",
            tiff(np.concatenate([STACK, STACK[:1]])[:n]),
            "ZYX",
            said="--axes SYX reads it as colour" if n > 2 else "",
            depth=n,
        )
        for n in (2, 3, 4)
    ],
    Case("saved-3-named.tif", tiff(STACK), "ZYX", options=("--axes", "ZYX")),
    Case("saved-3-colour.tif", tiff(np.stack([PLANE] * 3)), options=("--axes", "SYX")),
    # Several images in a file.
    Case("pages.tif", pages(*STACK), "ZYX"),
    Case("pages-mixed.tif", pages(*STACK, compression=["zlib", None, "lzma"]), "ZYX"),
    Case(
        "pages-thumbnail.tif",
        pages(STACK[1, ::2, ::2], *STACK, subfiletype=[1, 0, 0, 0]),
        "ZYX",
        said="holds 2 images, .* number 1 is used",
    ),
    Case(
        "pages-two-shapes.tif",
        pages(STACK[1, :5], *STACK),
        "ZYX",
        said=r"0 \(5 x 14 uint8\), 1 .* number 1 is used",
    ),
    Case(
        "pages-two-types.tif",
        pages(PLANE.astype("u2"), PLANE),
        said="holds 2 images, .* number 0 is used",
    ),
    Case(
        "positions.tif",
        positions(STACK, STACK),
        "ZYX",
        error="holds 2 images, .* choose one with --series",
    ),
    Case(
        "position-1.tif", positions(STACK // 9, STACK), "ZYX", options=("--series", "1")
    ),
    Case(
        "position-name.tif",
        positions(STACK // 9, STACK),
        "ZYX",
        options=("--series", "Image1"),
    ),
    Case(
        "position-missing.tif",
        positions(STACK, STACK),
        "ZYX",
        error="no one image '2'",
        options=("--series", "2"),
    ),
    Case(
        "positions-differ.tif", positions(PLANE, STACK), "ZYX", said="number 1 is used"
    ),
    # Pixel sizes and units.
    *[imagej_sizes(u) for u in ("micron", "microns", "um", "nm", "mm", "cm", "inch")],
    *[imagej_sizes(u) for u in ("pixel", "pixels", "A", "km", "Micrometer")],
    *[imagej_sizes(u, is_known=False) for u in ("sec", "units", "furlong")],
    *[imagej_sizes("um", spacing=s) for s in (0.0, float("nan"), -1.5)],
    sizes_of("um", **OME_SIZES),
    sizes_of("x-only", PhysicalSizeX=0.25),
    sizes_of("none"),
    sizes_of("zero", "along Z, 0", **{**OME_SIZES, "PhysicalSizeZ": 0}),
    sizes_of("nan", "along Z, nan", **{**OME_SIZES, "PhysicalSizeZ": float("nan")}),
    sizes_of("negative", "along X, -0.25", **{**OME_SIZES, "PhysicalSizeX": -0.25}),
    sizes_of(
        "frames",
        "along Z, 2.0 reference frame",
        **OME_SIZES,
        PhysicalSizeZUnit="reference frame",
    ),
    sizes_of("inches", PhysicalSizeX=0.25, PhysicalSizeXUnit="in"),
    sizes_of("sec", "along X, 0.25 sec", PhysicalSizeX=0.25, PhysicalSizeXUnit="sec"),
    # Other formats.
    *[Case(f"gray.{e}", lambda path: iio.imwrite(path, PLANE)) for e in ("png", "bmp")],
    Case(
        "colour.png",
        lambda path: iio.imwrite(
            path, np.stack(np.broadcast_arrays(*COLOURS), -1).astype("u1")
        ),
    ),
    Case("deep.png", lambda path: iio.imwrite(path, PLANE.astype("u2") * 200)),
    Case("one-bit.png", lambda path: Image.fromarray(PLANE > 99).save(path)),
    Case("table.png", lambda path: Image.fromarray(PLANE).convert("P").save(path)),
    Case("photo.jpg", lambda path: iio.imwrite(path, PLANE, quality=100)),
    Case(
        "photo.JPEG",
        lambda path: iio.imwrite(path, np.stack([PLANE] * 3, -1), quality=100),
    ),
    Case(
        "print.jpg",
        lambda path: Image.fromarray(255 - np.stack([PLANE] * 4, -1), "CMYK").save(
            path, quality=100
        ),
        said="CMYK, are converted to RGB",
    ),
    Case("photo.webp", lambda path: iio.imwrite(path, PLANE, lossless=True)),
    Case("plane.zarr", zarr_array(PLANE)),
    Case("stack.zarr", zarr_array(STACK), "ZYX"),
    Case("big-endian.zarr", zarr_array(STACK.astype(">u2"), zarr_format=2), "ZYX"),
    Case(
        "names.zarr",
        zarr_array(STACK, dimension_names=("c", "y", "x")),
        "CYX",
        error="axis C of the image",
    ),
    Case(
        "ome.zarr",
        ome_zarr("TCZYX"),
        "ZYX",
        {"Z": 2.0, "Y": 0.5, "X": 0.25},
        options=("--index", "T=1,C=1"),
    ),
    Case(
        "ome-last.zarr",
        ome_zarr("ZYXC"),
        "ZYX",
        {"Z": 2.0, "Y": 0.5, "X": 0.25},
        options=("--index", "C=1"),
    ),
    # Files that are no images, or show nothing.
    Case("empty.tif", lambda path: path.write_bytes(b""), error="cannot be read as TI"),
    Case("text.tif", lambda path: path.write_text("hello"), error="not a TIFF file"),
    Case("text.png", lambda path: path.write_text("hello"), error="read as an image"),
    Case("cut.tif", damaged(tiff(STACK, **GRAY), 0.6), error="cannot be read as TIFF"),
    Case(
        "cut.png",
        damaged(lambda path: iio.imwrite(path, PLANE), 0.6),
        error="cannot be read as an image",
    ),
    Case("missing.zarr", lambda path: None, error="There is no file"),
    Case("complex.tif", tiff(PLANE.astype("c8")), error="only real numbers"),
    # Thin images.
    *[
        Case(
            f"thin-{'x'.join(map(str, shape))}.tif",
            tiff(np.zeros(shape, "u1")),
            error="box .* outside|outside the plane|beyond|box",
        )
        for shape in ((1, 14), (11, 1), (1, 1))
    ],
]


def test_the_table_is_large_and_names_are_unique() -> None:
    assert len(CASES) >= 120
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_in_the_file_is_segmented(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], world: World, case: Case
) -> None:
    path = tmp_path / case.name
    case.write(path)
    before = sorted(tmp_path.iterdir())
    is_stack = len(case.order) == 3
    prompt = f"1:{BOX_TEXT}" if is_stack else BOX_TEXT
    verb = "volume" if is_stack or len(case.order) > 3 else "segment"
    done = run(verb, path, "--box", prompt, *case.options)
    said = capsys.readouterr().err
    if case.error:
        assert done == 1
        assert re.search(case.error, said), said
        assert not world.embedded
        assert sorted(tmp_path.iterdir()) == before
        return
    assert (done, bool(said)) == (0, bool(case.said)), said
    assert re.search(case.said, said), said
    check_written(tmp_path / re.sub(r"\.\w+$", "_labels.tif", case.name), case)


def check_written(path: Path, case: Case) -> None:
    order = re.sub("[^YX]", "Z", case.order)
    expected = mask(order)
    if "Z" in order:
        slices = np.arange(case.depth) % len(STACK)
        expected = expected.take(slices, order.index("Z"))
    written = read_image(path)
    assert written.notes == ()
    assert written.order == case.order
    assert written.spacing == pytest.approx(case.spacing)
    assert_array_equal(written.as_stored(written.data), expected)
    assert_array_equal(tifffile.imread(path), expected)
    ((shown, *_),) = napari_get_reader(str(path))(str(path))
    assert_array_equal(np.asarray(shown), expected)
    with tifffile.TiffFile(path) as file:
        is_ome = file.is_ome
    if is_ome:
        pixels = ome_types.from_tiff(path).images[0].pixels
        for name in "XYZ":
            size = getattr(pixels, f"physical_size_{name.lower()}")
            assert size == pytest.approx(case.spacing.get(name))


def test_labels_are_not_written_into_a_zarr_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import zarr

    root = zarr.open_group(tmp_path / "cells.zarr", mode="w")
    root.create_array("a/b", data=PLANE)
    inner = tmp_path / "cells.zarr" / "a"
    before = sorted(inner.rglob("*"))
    given = ("segment", inner, "--box", BOX_TEXT)
    assert run(*given, "-o", inner / "labels.tif") == 1
    assert "inside a zarr store" in capsys.readouterr().err
    assert run(*given) == 0
    assert_array_equal(tifffile.imread(tmp_path / "cells_labels.tif"), mask("YX"))
    assert sorted(inner.rglob("*")) == before
