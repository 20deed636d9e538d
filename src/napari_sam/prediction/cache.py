"""Embeddings in memory and on disk, the least recently used dropped first."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

from napari_sam.files import MEGABYTE
from napari_sam.images.uint8 import full_shape, plane_key, to_uint8
from napari_sam.prediction.click_sequence import ClickCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from napari_sam.prediction.disk_cache import DiskCache
    from napari_sam.prediction.predictor import Embedding, Predictor

# Model, content, shape of the whole plane, and whether it went through the disk.
_Key = tuple[str, str, tuple[int, int], bool]

DEFAULT_MAX_BYTES = 512 * MEGABYTE


class EmbeddingCache:
    """Embeddings by the content of their plane and the model that made them.

    Answers to the first clicks on an object are kept beside them, in `click_cache`.

    Content as the key makes stale entries impossible: an edited image, another
    contrast, another model or another shape of the whole plane asks for another
    key. One cache may serve several models, images and threads.

    Parameters
    ----------
    max_bytes : int
        Limit of the memory held; the latest embedding is kept in any case.
    disk : DiskCache, optional
        Keeps embeddings beyond this process. All embeddings are then rounded to
        half precision, so that results do not depend on where one came from.
    """

    def __init__(
        self, max_bytes: int = DEFAULT_MAX_BYTES, disk: DiskCache | None = None
    ) -> None:
        self.max_bytes = max_bytes
        self.disk = disk
        self.click_cache = ClickCache()
        self._entries: OrderedDict[_Key, Embedding] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        with self._lock:
            return sum(entry.nbytes for entry in self._entries.values())

    def embed(
        self,
        predictor: Predictor,
        plane: Any,
        contrast_limits: ArrayLike | None = None,
        *,
        plane_shape: tuple[int, int] | None = None,
    ) -> Embedding:
        """Return `Predictor.embed` of the plane, from memory or disk when known."""
        return self.embed_batch(
            predictor, [plane], contrast_limits, plane_shape=plane_shape
        )[0]

    def embed_batch(
        self,
        predictor: Predictor,
        planes: Sequence[Any],
        contrast_limits: ArrayLike | None = None,
        *,
        plane_shape: tuple[int, int] | None = None,
    ) -> list[Embedding]:
        """Do so for several planes; those that are not known are encoded together."""
        pixels = [to_uint8(plane, contrast_limits) for plane in planes]
        keys = [self._key(predictor, p, plane_shape) for p in pixels]
        found = {key: self._from_memory(key) for key in keys}
        for key, entry in found.items():
            if entry is None:
                found[key] = self._from_disk(predictor, key)
        missing = {
            key: p for key, p in zip(keys, pixels, strict=True) if found[key] is None
        }
        fresh = predictor.embed_batch(list(missing.values()), plane_shape=plane_shape)
        for key, entry in zip(missing, fresh, strict=True):
            found[key] = self._to_disk(predictor, key, entry)
        entries = [found[key] for key in keys]
        known = [entry for entry in entries if entry is not None]
        with self._lock:
            for key, entry in zip(keys, known, strict=True):
                self._entries[key] = entry
                self._entries.move_to_end(key)
            self._shrink()
        return known

    def _key(
        self, predictor: Predictor, pixels: Any, plane_shape: tuple[int, int] | None
    ) -> _Key:
        shape = full_shape(pixels, plane_shape)
        return predictor.key, plane_key(pixels), shape, self.disk is not None

    def _from_memory(self, key: _Key) -> Embedding | None:
        with self._lock:
            return self._entries.get(key)

    def _from_disk(self, predictor: Predictor, key: _Key) -> Embedding | None:
        stored = None if self.disk is None else self.disk.get(key)
        if stored is None:
            return None
        _, content, shape, _ = key
        return predictor.restore(stored, shape, content)

    def _to_disk(self, predictor: Predictor, key: _Key, entry: Embedding) -> Embedding:
        if self.disk is None:
            return entry
        half = entry.half()
        self.disk.put(key, half)
        return predictor.restore(half, entry.shape, entry.plane_key)

    def limit(self, max_bytes: int) -> None:
        """Set another limit of memory, and keep to it at once."""
        with self._lock:
            self.max_bytes = max_bytes
            self._shrink()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()

    def _shrink(self) -> None:
        held = sum(entry.nbytes for entry in self._entries.values())
        while held > self.max_bytes and len(self._entries) > 1:
            held -= self._entries.popitem(last=False)[1].nbytes
