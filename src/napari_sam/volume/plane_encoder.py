"""Encoding of the planes of a stack, with prefetching of the next ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor, Future

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.images.stack import Stack
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.embedding import Embedding
    from napari_sam.prediction.protocol import PredictorLike


@dataclass(frozen=True, slots=True, eq=False)
class EncodedPlane:
    """A plane of a stack with its embedding.

    Parameters
    ----------
    index : int
        The slice.
    pixels : ndarray
        (h, w) or (h, w, C): the plane, for pyramids perhaps at a lower resolution.
    embedding : Embedding
        Its embedding.
    """

    index: int
    pixels: NDArray[Any]
    embedding: Embedding


@dataclass(eq=False)
class PrefetchingPlaneEncoder:
    """Encoder of the planes of a stack that reads ahead on another thread.

    Planes are encoded in batches of `predictor.planes_at_once`.

    Parameters
    ----------
    stack : Stack
        The stack.
    predictor : PredictorLike
        The model.
    cache : EmbeddingCache
        Keeps the embeddings.
    contrast_limits : tuple of float or array-like, optional
        Contrast limits of all planes, see `napari_sam.images.uint8.to_uint8`.
    executor : Executor
        Encodes the next planes while this one is decoded.
    """

    stack: Stack
    predictor: PredictorLike
    cache: EmbeddingCache
    contrast_limits: ArrayLike | None
    executor: Executor
    _pending: dict[int, Future[dict[int, EncodedPlane]]] = field(default_factory=dict)

    def pixels(self, slice_index: int) -> NDArray[Any]:
        """Read a plane, at least at the resolution of the model's input."""
        return self.stack.read_plane(slice_index, self.predictor.input_size)

    def get(self, slice_index: int, following: Sequence[int] = ()) -> EncodedPlane:
        """Return an encoded plane, and start to encode the following ones."""
        # Drop prefetched planes that are no longer needed.
        needed = {slice_index, *following}
        self._pending = {i: f for i, f in self._pending.items() if i in needed}
        if slice_index not in self._pending:
            self._start([slice_index, *following])
        plane = self._pending.pop(slice_index).result()[slice_index]
        if following and following[0] not in self._pending:
            self._start(following)
        return plane

    def _start(self, indices: Sequence[int]) -> None:
        """Start to encode the first batch of these planes."""
        batch = indices[: self.predictor.planes_at_once]
        future = self.executor.submit(self._encode, batch)
        self._pending.update(dict.fromkeys(batch, future))

    def _encode(self, indices: Sequence[int]) -> dict[int, EncodedPlane]:
        planes = [self.pixels(index) for index in indices]
        embeddings = self.cache.embed_batch(
            self.predictor,
            planes,
            self.contrast_limits,
            plane_shape=self.stack.plane_shape,
        )
        return {
            index: EncodedPlane(index, plane, embedding)
            for index, plane, embedding in zip(indices, planes, embeddings, strict=True)
        }
