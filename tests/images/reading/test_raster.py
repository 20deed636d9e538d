"""PNG, JPEG and similar files."""

from __future__ import annotations

import builtins
import re
import struct
import zlib
from typing import TYPE_CHECKING, Any

import imageio.v3 as iio
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from napari_sam.images.reading.read import read_image

if TYPE_CHECKING:
    from pathlib import Path

H, W = 16, 24
RAMP = (np.arange(H * W) % 251).reshape(H, W).astype(np.uint8)
COLOUR = np.stack([RAMP, RAMP // 2, 255 - RAMP], axis=-1)
ALPHA = np.where(RAMP > 99, 255, 7).astype(np.uint8)


@pytest.mark.parametrize("ending", ["png", "bmp", "PNG"])
@pytest.mark.parametrize("data", [RAMP, COLOUR], ids=["gray", "colour"])
def test_pixels_are_those_of_the_file(
    tmp_path: Path, data: np.ndarray, ending: str
) -> None:
    path = tmp_path / f"image.{ending}"
    iio.imwrite(path, data)
    image = read_image(path)
    assert image.axes == "YXS"[: data.ndim]
    assert_array_equal(image.data, data)
    assert (image.notes, image.spacing) == ((), {})


@pytest.mark.parametrize("data", [RAMP, COLOUR], ids=["gray", "colour"])
@pytest.mark.parametrize("ending", ["jpg", "jpeg", "webp"])
def test_lossy_files_are_nearly_the_same(
    tmp_path: Path, data: np.ndarray, ending: str
) -> None:
    smooth = np.full_like(data, 60)
    smooth[:8, :8] = 190
    path = tmp_path / f"image.{ending}"
    iio.imwrite(path, smooth, quality=100)
    image = read_image(path)
    assert image.rgb == (data.ndim == 3 or ending == "webp")
    seen = image.data if data.ndim == 3 or not image.rgb else image.data[..., 0]
    assert_allclose(seen.astype(int), smooth, atol=30)


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    data = RAMP.astype(np.uint16) * 257
    iio.imwrite(tmp_path / "image.png", data)
    image = read_image(tmp_path / "image.png")
    assert image.data.dtype == np.uint16
    assert_array_equal(image.data, data)


def png(path: Path, data: np.ndarray, bits: int, colour_type: int) -> Path:
    """Write a PNG file; Pillow writes no 16 bit colours."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content)
        return (
            struct.pack(">I", len(content))
            + name
            + content
            + struct.pack(">I", checksum)
        )

    header = struct.pack(">IIBBBBB", W, H, bits, colour_type, 0, 0, 0)
    lines = b"".join(b"\0" + line.tobytes() for line in data)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(lines))
        + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize(
    ("samples", "colour_type"),
    [(COLOUR, 2), (np.stack([RAMP, ALPHA], -1), 4), (np.dstack([COLOUR, ALPHA]), 6)],
    ids=["rgb", "gray-alpha", "rgb-alpha"],
)
def test_sixteen_bits_that_are_read_as_eight_are_said(
    tmp_path: Path, samples: np.ndarray, colour_type: int
) -> None:
    path = png(tmp_path / "deep.png", samples.astype(">u2") * 257, 16, colour_type)
    image = read_image(path)
    # Pillow makes colours of gray with alpha.
    seen = samples[..., :3] if colour_type != 4 else samples[..., :1]
    assert_array_equal(image.data, np.broadcast_to(seen, (H, W, 3)))
    assert "16 bits: they are read as 8 bits" in image.notes[-1]


@pytest.mark.parametrize("colours", [RAMP[..., None], COLOUR], ids=["gray", "rgb"])
@pytest.mark.parametrize("alpha", [ALPHA, np.full_like(ALPHA, 255)], ids=["a", "full"])
def test_alpha_is_not_used_and_said_if_it_varies(
    tmp_path: Path, colours: np.ndarray, alpha: np.ndarray
) -> None:
    data = np.concatenate([colours, alpha[..., None]], axis=-1)
    Image.fromarray(data).save(tmp_path / "image.png")
    image = read_image(tmp_path / "image.png")
    assert_array_equal(image.data, np.squeeze(colours))
    assert len(image.notes) == (alpha is ALPHA)


def test_printing_colours_are_converted_and_said(tmp_path: Path) -> None:
    solid = Image.new("CMYK", (W, H), (0, 255, 255, 0))
    solid.save(tmp_path / "print.jpg", quality=100)
    image = read_image(tmp_path / "print.jpg")
    assert image.axes == "YXS"
    red, green, blue = image.data[5, 5].astype(int)
    assert red > 240 > 20 > max(green, blue)
    assert "CMYK, are converted to RGB" in image.notes[0]


def test_a_movie_has_the_axis_t(tmp_path: Path) -> None:
    frames = [Image.fromarray(RAMP + np.uint8(i)) for i in range(3)]
    path = tmp_path / "movie.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    image = read_image(path)
    assert image.order == "TYX"
    assert image.shape == (3, H, W)
    gray = image.data[..., 0] if image.rgb else image.data
    assert_array_equal(gray, [np.asarray(frame) for frame in frames])


def test_labels_are_numbers(tmp_path: Path) -> None:
    labels = (RAMP // 50).astype(np.uint8)
    indexed = Image.fromarray(labels).convert("P")
    indexed.putdata(labels.ravel().tolist())
    indexed.putpalette([9, 9, 9, *range(3, 255)])
    indexed.save(tmp_path / "indexed.png")
    Image.fromarray(labels).convert("RGB").save(tmp_path / "gray.png")
    for name in ("indexed", "gray"):
        image = read_image(tmp_path / f"{name}.png", labels=True)
        assert image.axes == "YX"
        assert_array_equal(image.data, labels)
    iio.imwrite(tmp_path / "colour.png", COLOUR)
    with pytest.raises(ValueError, match="in colour: save labels as one number"):
        read_image(tmp_path / "colour.png", labels=True)


def test_axes_and_series(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    iio.imwrite(path, COLOUR)
    channels = read_image(path, axes="YXC")
    assert (channels.axes, channels.order) == ("CYX", "YXC")
    assert_array_equal(channels.data, np.moveaxis(COLOUR, -1, 0))
    assert read_image(path, "0").axes == "YXS"
    with pytest.raises(ValueError, match="holds one image"):
        read_image(path, "1")
    with pytest.raises(ValueError, match="name 3 axes"):
        read_image(path, axes="YX")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"II*\0" + bytes(99)])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"image\.png cannot be read as an image \("):
        read_image(path)


def test_without_imageio_the_message_has_the_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image.png"
    iio.imwrite(path, RAMP)
    forbid(monkeypatch, "imageio")
    with pytest.raises(ModuleNotFoundError, match=re.escape("pip install imageio.")):
        read_image(path)


def forbid(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Let imports of a package fail."""
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
