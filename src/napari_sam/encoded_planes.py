"""Planes of a stack and their embeddings; the next one is encoded meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.cache import EmbeddingCache
    from napari_sam.predictor import Embedding, Predictor
    from napari_sam.stack import Stack


@dataclass(eq=False)
class EncodedPlanes:
    """Planes and what the model knows of them; the next one is read meanwhile.

    Parameters
    ----------
    stack : Stack
        Where they are read.
    predictor : Predictor
        Encodes them.
    cache : EmbeddingCache
        Keeps them.
    limits : tuple of float or array-like, optional
        Of all planes, see `napari_sam.image.to_uint8`.
    ahead : Executor
        Encodes the next plane beside the decoding of this one.
    """

    stack: Stack
    predictor: Predictor
    cache: EmbeddingCache
    limits: ArrayLike | None
    ahead: Executor
    _coming: dict[int, Future[tuple[NDArray[Any], Embedding]]] = field(
        default_factory=dict
    )

    def pixels(self, index: int) -> NDArray[Any]:
        """The plane, as large as the model sees it at least."""
        return self.stack.plane(index, self.predictor.input_size)

    def get(
        self, index: int, following: int | None = None
    ) -> tuple[NDArray[Any], Embedding]:
        """A plane and its embedding; the following one is begun with."""
        coming = self._coming.pop(index, None)
        self._coming.clear()
        known = self._embed(index) if coming is None else coming.result()
        if following is not None:
            self._coming[following] = self.ahead.submit(self._embed, following)
        return known

    def _embed(self, index: int) -> tuple[NDArray[Any], Embedding]:
        plane = self.pixels(index)
        shape = self.stack.plane_shape
        return plane, self.cache.embed(
            self.predictor, plane, self.limits, plane_shape=shape
        )
