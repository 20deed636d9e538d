"""EmbeddingCache: one encoding per plane and model, limited in memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.predictor import Embedding, Predictor
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.nets.sam import SamNetwork


@pytest.fixture
def planes(rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    return list(rng.integers(0, 256, (4, 20, 30), dtype=np.uint8))


@pytest.fixture
def one_entry(tiny_sam: Predictor, planes: list[NDArray[np.uint8]]) -> int:
    """Bytes of one embedding."""
    return tiny_sam.embed(planes[0]).nbytes


def test_a_cached_plane_is_not_encoded_again(
    tiny_sam: Predictor, planes: list[NDArray[np.uint8]]
) -> None:
    cache = EmbeddingCache()
    first = cache.embed(tiny_sam, planes[0])
    assert cache.embed(tiny_sam, planes[0]) is first
    assert cache.embed(tiny_sam, planes[0].copy()) is first
    assert len(cache) == 1
    assert cache.nbytes == first.nbytes


def test_cached_embeddings_equal_those_of_the_predictor(
    tiny_sam: Predictor, rng: np.random.Generator
) -> None:
    plane = rng.random((20, 30, 3)).astype(np.float32)
    cached, direct = EmbeddingCache().embed(tiny_sam, plane), tiny_sam.embed(plane)
    assert cached.plane_key == direct.plane_key
    assert cached.shape == direct.shape
    prompt = Prompt(box=[2, 3, 15, 20])
    found, expected = (tiny_sam.predict(e, prompt) for e in (cached, direct))
    np.testing.assert_array_equal(found.logits, expected.logits)


class BatchPredictor(Predictor):
    """Encodes up to three planes together, and records the batch sizes."""

    planes_at_once = 3

    def __init__(self, model: SamNetwork) -> None:
        prompts = frozenset({"point", "box", "mask"})
        super().__init__(model, name="s", family="sam", prompts=prompts, key="several")
        self.batches: list[int] = []

    def embed_batch(self, planes: Any, *args: Any, **shape: Any) -> list[Embedding]:
        self.batches.append(len(planes))
        return super().embed_batch(planes, *args, **shape)


def test_planes_not_in_the_cache_are_encoded_together(
    tiny_sam: Predictor, planes: list[NDArray[np.uint8]]
) -> None:
    cache, batching = EmbeddingCache(), BatchPredictor(tiny_sam.model)
    known = cache.embed(batching, planes[1])
    shown = [planes[0], planes[1], planes[2], planes[0].copy()]
    found = cache.embed_batch(batching, shown)
    assert batching.batches == [1, 2]
    assert found[1] is known
    assert found[3] is found[0]
    again = cache.embed_batch(batching, shown)
    assert all(a is b for a, b in zip(again, found, strict=True))
    for plane, entry in zip(shown, found, strict=True):
        alone = tiny_sam.embed(plane)
        assert entry.plane_key == alone.plane_key
        np.testing.assert_allclose(
            entry.image_embedding, alone.image_embedding, atol=1e-5
        )


def test_planes_of_different_shapes_are_encoded_together(tiny_sam: Predictor) -> None:
    shapes = [(20, 30), (41, 17, 3), (64, 64)]
    shown = [np.full(shape, 90, np.uint8) for shape in shapes]
    found = BatchPredictor(tiny_sam.model).embed_batch(shown)
    assert [entry.shape for entry in found] == [shape[:2] for shape in shapes]
    for plane, entry in zip(shown, found, strict=True):
        alone = tiny_sam.embed(plane).image_embedding
        np.testing.assert_allclose(entry.image_embedding, alone, atol=1e-5)


def test_other_content_is_another_entry(
    tiny_sam: Predictor, planes: list[NDArray[np.uint8]]
) -> None:
    cache = EmbeddingCache()
    first = cache.embed(tiny_sam, planes[0])
    planes[0][5, 5] ^= 255  # painted over in place
    assert cache.embed(tiny_sam, planes[0]) is not first
    assert len(cache) == 2


def test_other_contrast_limits_are_another_entry(
    tiny_sam: Predictor, planes: list[NDArray[np.uint8]]
) -> None:
    cache = EmbeddingCache()
    first = cache.embed(tiny_sam, planes[0], (0, 255))
    assert cache.embed(tiny_sam, planes[0], (0, 100)) is not first
    # The key is the 8-bit plane, not the limits.
    assert cache.embed(tiny_sam, planes[0]) is first


def test_another_full_plane_is_another_entry(
    tiny_sam: Predictor, planes: list[NDArray[np.uint8]]
) -> None:
    cache = EmbeddingCache()
    first = cache.embed(tiny_sam, planes[0])
    large = cache.embed(tiny_sam, planes[0], plane_shape=(40, 60))
    assert (first.shape, large.shape) == ((20, 30), (40, 60))
    assert cache.embed(tiny_sam, planes[0], plane_shape=(20, 30)) is first
    assert cache.embed(tiny_sam, planes[0], plane_shape=(40, 60)) is large
    assert len(cache) == 2


def test_another_model_is_another_entry(
    tiny_sam: Predictor, tiny_medsam: Predictor, planes: list[NDArray[np.uint8]]
) -> None:
    cache = EmbeddingCache()
    for predictor in (tiny_sam, tiny_medsam, tiny_sam):
        entry = cache.embed(predictor, planes[0])
        assert entry.model_key == predictor.key
    assert len(cache) == 2


def test_the_least_recently_used_goes_first(
    tiny_sam: Predictor, planes: list[NDArray[np.uint8]], one_entry: int
) -> None:
    cache = EmbeddingCache(max_bytes=2 * one_entry)
    first = cache.embed(tiny_sam, planes[0])
    second = cache.embed(tiny_sam, planes[1])
    assert cache.embed(tiny_sam, planes[0]) is first
    cache.embed(tiny_sam, planes[2])  # drops the second
    assert len(cache) == 2
    assert cache.embed(tiny_sam, planes[0]) is first
    assert cache.embed(tiny_sam, planes[1]) is not second


@pytest.mark.parametrize("room", [1, 2, 3])
def test_the_limit_is_kept(
    tiny_sam: Predictor,
    planes: list[NDArray[np.uint8]],
    one_entry: int,
    room: int,
) -> None:
    cache = EmbeddingCache(max_bytes=room * one_entry)
    for plane in planes:
        cache.embed(tiny_sam, plane)
        assert cache.nbytes <= cache.max_bytes
    assert len(cache) == room


def test_the_latest_embedding_is_always_kept(
    tiny_sam: Predictor, planes: list[NDArray[np.uint8]]
) -> None:
    cache = EmbeddingCache(max_bytes=0)
    for plane in planes:
        latest = cache.embed(tiny_sam, plane)
    assert len(cache) == 1
    assert cache.embed(tiny_sam, planes[-1]) is latest


def test_clear_drops_all_embeddings(
    tiny_sam: Predictor, planes: list[NDArray[np.uint8]]
) -> None:
    cache = EmbeddingCache()
    first = cache.embed(tiny_sam, planes[0])
    cache.clear()
    assert len(cache) == 0
    assert cache.nbytes == 0
    assert cache.embed(tiny_sam, planes[0]) is not first


def test_invalid_planes_are_not_cached(tiny_sam: Predictor) -> None:
    cache = EmbeddingCache()
    with pytest.raises(ValueError, match="give one plane"):
        cache.embed(tiny_sam, np.zeros((2, 3, 4, 5)))
    assert len(cache) == 0


def test_several_threads_share_the_cache(
    tiny_sam: Predictor,
    tiny_medsam: Predictor,
    planes: list[NDArray[np.uint8]],
    one_entry: int,
) -> None:
    cache = EmbeddingCache(max_bytes=3 * one_entry)
    tasks = [(p, plane) for p in (tiny_sam, tiny_medsam) for plane in planes] * 5
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda task: cache.embed(*task), tasks))
    assert cache.nbytes <= cache.max_bytes
    for entry, (predictor, plane) in zip(found, tasks, strict=True):
        expected = predictor.embed(plane)
        assert entry.model_key == predictor.key
        assert entry.plane_key == expected.plane_key
        np.testing.assert_allclose(
            entry.image_embedding, expected.image_embedding, atol=1e-5
        )
