"""Planes of a stack and their embeddings; the next ones are encoded meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor, Future

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.images.stack import Stack
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.predictor import Embedding, Predictor

    Known = tuple[NDArray[Any], Embedding]


@dataclass(eq=False)
class PrefetchingPlaneEncoder:
    """Planes and what the model knows of them; the next ones are read meanwhile.

    As many are encoded together as the model's device is faster with.

    Parameters
    ----------
    stack : Stack
        Where they are read.
    predictor : Predictor
        Encodes them.
    cache : EmbeddingCache
        Keeps them.
    limits : tuple of float or array-like, optional
        Of all planes, see `napari_sam.images.uint8.to_uint8`.
    ahead : Executor
        Encodes the next planes beside the decoding of this one.
    """

    stack: Stack
    predictor: Predictor
    cache: EmbeddingCache
    contrast_limits: ArrayLike | None
    ahead: Executor
    _coming: dict[int, Future[dict[int, Known]]] = field(default_factory=dict)

    def pixels(self, index: int) -> NDArray[Any]:
        """The plane, as large as the model sees it at least."""
        return self.stack.plane(index, self.predictor.input_size)

    def get(self, index: int, following: Sequence[int] = ()) -> Known:
        """A plane and its embedding; those that are wanted next are begun with."""
        # What was begun with and is not wanted any more is let go.
        wanted = {index, *following}
        self._coming = {i: c for i, c in self._coming.items() if i in wanted}
        if index not in self._coming:
            self._begin([index, *following])
        known = self._coming.pop(index).result()[index]
        if following and following[0] not in self._coming:
            self._begin(following)
        return known

    def _begin(self, indices: Sequence[int]) -> None:
        """Encode the first of these planes, as many as go together."""
        batch = indices[: self.predictor.planes_at_once]
        coming = self.ahead.submit(self._embed, batch)
        self._coming.update(dict.fromkeys(batch, coming))

    def _embed(self, indices: Sequence[int]) -> dict[int, Known]:
        planes = [self.pixels(index) for index in indices]
        shape = self.stack.plane_shape
        embeddings = self.cache.embed_batch(
            self.predictor, planes, self.contrast_limits, plane_shape=shape
        )
        known = zip(planes, embeddings, strict=True)
        return dict(zip(indices, known, strict=True))
