"""Embeddings of the real weights, shared among tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam.images.uint8 import plane_key, to_uint8

if TYPE_CHECKING:
    from napari_sam.prediction.embedding import Embedding
    from napari_sam.prediction.predictor import Predictor


def encode_each_plane_once(predictor: Predictor) -> Predictor:
    """Let `predictor` return the first embedding of a plane whenever it is equal."""
    encode = predictor.embed
    known: dict[Any, Embedding] = {}

    def embed(
        plane: Any,
        contrast_limits: Any = None,
        *,
        plane_shape: tuple[int, int] | None = None,
        window: Any = None,
        zoom: Any = "auto",
    ) -> Embedding:
        pixels = to_uint8(plane, contrast_limits)
        key = plane_key(pixels), plane_shape, window, zoom
        if key not in known:
            known[key] = encode(
                pixels, plane_shape=plane_shape, window=window, zoom=zoom
            )
        return known[key]

    predictor.embed = embed  # type: ignore[method-assign]
    return predictor
