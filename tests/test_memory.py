"""Small files that ask for much memory are refused before it is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from napari_sam import memory
from napari_sam.images.reading.read import read_image
from napari_sam.memory import NotEnoughMemoryError, check_memory, free_memory
from napari_sam.records.record import new_record
from napari_sam.records.replay import replay

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 10 MB of free memory."""
    monkeypatch.setattr(memory, "free_memory", lambda: 10**7)


def test_free_memory_is_that_of_a_real_machine() -> None:
    assert 10**8 < free_memory() < 10**14


def test_the_sentence_has_need_and_cure() -> None:
    check_memory(1, "This", "do that")
    with pytest.raises(
        NotEnoughMemoryError, match=r"^This needs 1,000,000,000.0 GB .*: do that\.$"
    ):
        check_memory(1e18, "This", "do that")


@pytest.mark.usefixtures("small_machine")
def test_a_tiff_that_does_not_fit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "zeros.tif"
    tifffile.imwrite(
        path,
        np.zeros((3, 2000, 2000), np.uint8),
        compression="zlib",
        photometric="minisblack",
    )
    assert path.stat().st_size < 10**5
    with pytest.raises(NotEnoughMemoryError, match=r"shape \(3, 2000, 2000\).*free"):
        read_image(path)


def test_a_tiff_that_unpacks_to_much_is_told(tmp_path: Path) -> None:
    path = tmp_path / "zeros.tif"
    tifffile.imwrite(
        path,
        np.zeros((3, 6000, 6000), np.uint8),
        compression="zlib",
        photometric="minisblack",
    )
    assert any("unpacks to 108 MB" in note for note in read_image(path).notes)


@pytest.mark.parametrize(
    ("shape", "dtype", "sentence"),
    [
        ([10**6, 10**6, 10**6], "int32", "GB of memory"),
        ([40, -1], "int32", "damaged at object '1', 'grid', 'shape'"),
        ("40", "int32", "damaged at object '1', 'grid', 'shape'"),
        ([40, 1.5], "int32", "damaged at object '1', 'grid', 'shape'"),
        ([40, 50], "float64", "cannot be"),
        ([40, 50], "O", "cannot be"),
    ],
)
def test_records_that_ask_for_impossible_labels(
    shape: Any, dtype: str, sentence: str
) -> None:
    entry = {
        **{"commit": 1, "object": 1, "label": 1, "region": [], "checksum": ""},
        **{"prompts": {}, "scores": [], "policy": "keep", "replaced": []},
        **{"model": {"name": "sam", "key": "sam"}, "intensity": {"limits": None}},
        **{"channels": [], "rgb": False, "levels": 1, "plane": [None, None]},
        "shape": [40, 50],
        "grid": {"shape": shape, "image_ndim": 2, "matrix": [[1.0]], "extra": []},
        "dtype": dtype,
    }
    record = {**new_record(), "objects": {"1": [entry]}}
    with pytest.raises(ValueError, match=sentence):
        replay(record, np.zeros((40, 50), np.uint8))
