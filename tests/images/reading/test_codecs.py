"""Compressed TIFF files, with and without imagecodecs."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from napari_sam.images.reading.read import read_image

if TYPE_CHECKING:
    from pathlib import Path

PLANE = (np.arange(32 * 48) % 251).reshape(32, 48).astype(np.uint8)
# Pillow's name: tifffile's name, or None where Python decodes it.
KINDS = {
    "tiff_lzw": "LZW",
    "jpeg": "JPEG",
    "zstd": "ZSTD",
    "tiff_adobe_deflate": None,
    "packbits": None,
}
SCRIPT = """
import json, sys
sys.modules["imagecodecs"] = None
from napari_sam.images.reading.read import read_image
from napari_sam.images.writing import check_writable
answers = {}
for path in sys.argv[1:]:
    try:
        image = read_image(path)
        check_writable(image)
        answers[path] = None
    except ModuleNotFoundError as error:
        answers[path] = str(error)
print(json.dumps(answers))
"""


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    paths = {kind: tmp_path / f"{kind}.tif" for kind in KINDS}
    for kind, path in paths.items():
        quality = {"quality": 100} if kind == "jpeg" else {}
        Image.fromarray(PLANE).save(path, compression=kind, **quality)
    return paths


def test_compressed_files_are_read_with_imagecodecs(files: dict[str, Path]) -> None:
    pytest.importorskip("imagecodecs")
    for kind, path in files.items():
        data = read_image(path).data
        if kind == "jpeg":
            assert abs(data.astype(int) - PLANE).mean() < 3
        else:
            assert_array_equal(data, PLANE)


def test_without_imagecodecs_the_message_has_the_pip_line(
    files: dict[str, Path],
) -> None:
    command = [sys.executable, "-c", SCRIPT, *map(str, files.values())]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answers = json.loads(done.stdout)
    for kind, name in KINDS.items():
        answer = answers[str(files[kind])]
        if name is None or (name == "ZSTD" and sys.version_info >= (3, 14)):
            assert answer is None
        else:
            assert f"is compressed ({name}) in a way that needs imagecodecs" in answer
            assert "pip install 'napari-sam[codecs]'." in answer
