"""DiskCache: stored arrays are found again, limited in size, shared by processes."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np
import pytest

from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.disk_cache import DiskCache
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from napari_sam.nets.fast.decoder import ImageContext
    from napari_sam.prediction.predictor import Predictor

BOX = Prompt(box=[2, 3, 15, 20])


def half(value: float, size: int = 100) -> np.ndarray:
    return np.full(size, value, np.float16)


def test_another_cache_reads_stored_arrays(tmp_path: Path) -> None:
    DiskCache(tmp_path / "new").put(("model", "plane"), half(3))
    found = DiskCache(tmp_path / "new").get(("model", "plane"))
    np.testing.assert_array_equal(found, half(3))
    assert DiskCache(tmp_path / "new").get(("model", "other")) is None
    assert DiskCache(tmp_path / "missing").get("anything") is None


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "object"])
def test_damaged_files_count_as_missing(tmp_path: Path, damage: str) -> None:
    cache = DiskCache(tmp_path)
    cache.put("key", half(3))
    (file,) = tmp_path.iterdir()
    content = {
        "cut": file.read_bytes()[:-20],
        "empty": b"",
        "text": b"this is no array",
    }
    if damage == "object":
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    else:
        file.write_bytes(content[damage])
    assert cache.get("key") is None
    cache.put("key", half(4))
    np.testing.assert_array_equal(cache.get("key"), half(4))


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path)
    for number in range(4):
        cache.put(number, half(number))
        (newest,) = (p for p in tmp_path.iterdir() if np.load(p)[0] == number)
        os.utime(newest, ns=(number, number))
    size = newest.stat().st_size
    assert cache.get(0) is not None  # used again, so 1 is the oldest now
    DiskCache(tmp_path, max_bytes=3 * size).put(4, half(4))
    left = {number for number in range(5) if cache.get(number) is not None}
    assert left == {0, 3, 4}
    assert len(list(tmp_path.iterdir())) == 3


def test_other_files_of_the_folder_stay(tmp_path: Path) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    cache = DiskCache(tmp_path, max_bytes=1)
    cache.put("a", half(1))
    cache.put("b", half(2))
    assert other.read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2  # and the latest array


def test_an_unwritable_folder_is_ignored(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("a file where the folder should be")
    cache = DiskCache(blocked)
    cache.put("key", half(1))
    assert cache.get("key") is None


def _put_and_get(folder: str, seed: int) -> int:
    cache = DiskCache(folder, max_bytes=5000)
    wrong = 0
    for number in np.random.default_rng(seed).integers(0, 20, 200).tolist():
        cache.put(number, half(number))
        found = cache.get(number)
        wrong += found is not None and not np.array_equal(found, half(number))
    return wrong


def test_processes_share_a_folder(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        wrong = list(pool.map(_put_and_get, [str(tmp_path)] * 2, [1, 2]))
    assert wrong == [0, 0]
    assert not list(tmp_path.glob("*.part"))


class Counting:
    """A predictor that counts how often it encodes."""

    def __init__(self, predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        encode = predictor._runner.encode

        def counted(values: Tensor) -> ImageContext:
            self.count += 1
            return encode(values)

        monkeypatch.setattr(predictor._runner, "encode", counted)


def test_a_later_session_does_not_encode_again(
    tiny_sam: Predictor,
    tmp_path: Path,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planes = rng.integers(0, 256, (3, 20, 30), dtype=np.uint8)
    encoded = Counting(tiny_sam, monkeypatch)
    first = EmbeddingCache(disk=DiskCache(tmp_path))
    before = [tiny_sam.predict(first.embed(tiny_sam, p), BOX) for p in planes]
    assert encoded.count == 3
    later = EmbeddingCache(disk=DiskCache(tmp_path))
    after = [tiny_sam.predict(later.embed(tiny_sam, p), BOX) for p in planes]
    assert encoded.count == 3
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.logits, other.logits)
        assert one.score == other.score


def test_half_precision_is_close_to_full_precision(
    tiny_sam: Predictor, tmp_path: Path, rng: np.random.Generator
) -> None:
    plane = rng.integers(0, 256, (20, 30), dtype=np.uint8)
    halved = EmbeddingCache(disk=DiskCache(tmp_path)).embed(tiny_sam, plane)
    full = tiny_sam.embed(plane)
    difference = (halved.image_embedding - full.image_embedding).abs().max()
    assert 0 < difference < 1e-2
    assert (halved.plane_key, halved.shape) == (full.plane_key, full.shape)


def test_other_contrast_limits_or_model_are_another_file(
    tiny_sam: Predictor,
    tiny_medsam: Predictor,
    tmp_path: Path,
    rng: np.random.Generator,
) -> None:
    plane = rng.integers(0, 2**12, (20, 30)).astype(np.uint16)
    cache = EmbeddingCache(disk=DiskCache(tmp_path))
    cache.embed(tiny_sam, plane, (0, 4095))
    cache.embed(tiny_sam, plane, (0, 1000))
    cache.embed(tiny_medsam, plane, (0, 4095))
    assert len(list(tmp_path.iterdir())) == 3
