"""Cache of embeddings in memory and on disk."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Any

from napari_sam.checks.values import whole_number
from napari_sam.files import MEGABYTE
from napari_sam.images.uint8 import full_shape, plane_key, to_uint8
from napari_sam.prediction.click_sequence import ClickCache

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from napari_sam.images.window import Window
    from napari_sam.prediction.disk_cache import DiskCache
    from napari_sam.prediction.embedding import Embedding
    from napari_sam.prediction.protocol import PredictorLike

# Model, hash of the pixels, (H, W) of the full plane, the window of it that the pixels
# show, and whether the embedding was rounded for the disk and has instances.
_Key = tuple[str, str, tuple[int, int], "Window | None", bool, bool]

DEFAULT_MAX_BYTES = 512 * MEGABYTE


class EmbeddingCache:
    """Least-recently-used cache of embeddings, shared by models, images and threads.

    The key of an entry is the model, the content of the 8-bit plane or window, and the
    place of the window on the full plane. An edited image or other contrast limits
    therefore never return an outdated embedding.

    Parameters
    ----------
    max_bytes : int
        Limit of memory. The latest embedding is kept even if it is larger.
    disk : DiskCache, optional
        Stores embeddings beyond this process. All embeddings are then rounded to
        half precision, so that results do not depend on where one came from.

    Attributes
    ----------
    click_cache : ClickCache
        Predictions of earlier clicks, see `predict_iteratively`.
    encoded_count : int
        Number of planes and windows that were encoded, because there was no entry.
    """

    def __init__(
        self, max_bytes: int = DEFAULT_MAX_BYTES, disk: DiskCache | None = None
    ) -> None:
        self.max_bytes = whole_number(max_bytes, "max_bytes", least=0)
        self.disk = disk
        self.click_cache = ClickCache()
        self.encoded_count = 0
        self._entries: OrderedDict[_Key, Embedding] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def nbytes(self) -> int:
        """Memory used, in bytes."""
        with self._lock:
            return sum(entry.nbytes for entry in self._entries.values())

    def embed(
        self,
        predictor: PredictorLike,
        plane: Any,
        contrast_limits: ArrayLike | None = None,
        *,
        plane_shape: tuple[int, int] | None = None,
        window: Window | None = None,
    ) -> Embedding:
        """Return the embedding of a plane; see `embed_batch`."""
        return self.embed_batch(
            predictor,
            [plane],
            contrast_limits,
            plane_shape=plane_shape,
            windows=[window],
        )[0]

    def embed_batch(
        self,
        predictor: PredictorLike,
        planes: Sequence[Any],
        contrast_limits: ArrayLike | None = None,
        *,
        plane_shape: tuple[int, int] | None = None,
        windows: Sequence[Window | None] | None = None,
    ) -> list[Embedding]:
        """Return the embeddings of planes; those not in the cache are encoded together.

        Parameters
        ----------
        predictor : PredictorLike
            The model.
        planes : sequence of array-like
            (H, W) or (H, W, 3) each, any real dtype.
        contrast_limits : tuple of float or array-like, optional
            Grey values shown to the model as black and white, of all planes.
        plane_shape : tuple of int, optional
            (H, W) of the full planes, if `planes` are parts of them.
        windows : sequence of Window, optional
            What each of `planes` shows of the full plane of `plane_shape`.

        Returns
        -------
        list of Embedding
            One for each plane.
        """
        pixels = [to_uint8(plane, contrast_limits) for plane in planes]
        parts = [None] * len(planes) if windows is None else windows
        keys = [
            self._key(predictor, p, plane_shape, part)
            for p, part in zip(pixels, parts, strict=True)
        ]
        entries: dict[_Key, Embedding] = {}
        missing: dict[_Key, NDArray[Any]] = {}
        for key, plane in dict(zip(keys, pixels, strict=True)).items():
            entry = self._from_memory(key) or self._from_disk(predictor, key, plane)
            if entry is None:
                missing[key] = plane
            else:
                entries[key] = entry
        encoded = predictor.embed_batch(
            list(missing.values()),
            plane_shape=plane_shape,
            windows=[key[3] for key in missing],
        )
        for key, entry in zip(missing, encoded, strict=True):
            entries[key] = self._to_disk(predictor, key, entry, missing[key])
        with self._lock:
            self.encoded_count += len(encoded)
            for key in keys:
                self._entries[key] = entries[key]
                self._entries.move_to_end(key)
            self._shrink()
        return [entries[key] for key in keys]

    def limit(self, max_bytes: int) -> None:
        """Set another limit of memory, and drop what exceeds it."""
        with self._lock:
            self.max_bytes = max_bytes
            self._shrink()

    def clear(self) -> None:
        """Drop all embeddings from memory."""
        with self._lock:
            self._entries.clear()

    def _key(
        self,
        predictor: PredictorLike,
        pixels: Any,
        plane_shape: tuple[int, int] | None,
        window: Window | None,
    ) -> _Key:
        shape = full_shape(pixels, plane_shape, window)
        has_instances = predictor.instance_head is not None
        is_rounded = self.disk is not None
        content = plane_key(pixels)
        return predictor.key, content, shape, window, is_rounded, has_instances

    def _from_memory(self, key: _Key) -> Embedding | None:
        with self._lock:
            return self._entries.get(key)

    def _from_disk(
        self, predictor: PredictorLike, key: _Key, pixels: NDArray[np.uint8]
    ) -> Embedding | None:
        stored = None if self.disk is None else self.disk.get(key[:-1])
        if stored is None:
            return None
        _, content, shape, window, *_ = key
        return predictor.restore(stored, shape, content, window, pixels)

    def _to_disk(
        self,
        predictor: PredictorLike,
        key: _Key,
        entry: Embedding,
        pixels: NDArray[np.uint8],
    ) -> Embedding:
        if self.disk is None:
            return entry
        half = entry.half()
        self.disk.put(key[:-1], half)
        return predictor.restore(
            half, entry.shape, entry.plane_key, entry.window, pixels
        )

    def _shrink(self) -> None:
        total = sum(entry.nbytes for entry in self._entries.values())
        while total > self.max_bytes and len(self._entries) > 1:
            total -= self._entries.popitem(last=False)[1].nbytes
