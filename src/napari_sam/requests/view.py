"""What of an image the model sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_sam.images.axes import ContrastLimits, PlaneIndex
    from napari_sam.images.intensity import IntensityMapping
    from napari_sam.images.planes import PlaneReader
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.predictor import Embedding, Predictor


@dataclass(frozen=True, slots=True)
class ImageView:
    """What of an image the model sees.

    Parameters
    ----------
    reader : PlaneReader
        Its planes.
    intensity : IntensityMapping
        Which values become black and white.
    displayed : tuple or None
        What the viewer shows as black and white; None for RGB.
    """

    reader: PlaneReader
    intensity: IntensityMapping
    displayed: ContrastLimits | None = None

    def contrast_limits(self, plane_index: PlaneIndex) -> ContrastLimits | None:
        """Contrast limits of the planes parallel to one; may read some of them."""
        return self.intensity.contrast_limits(self.reader, plane_index, self.displayed)

    def embed(
        self, predictor: Predictor, cache: EmbeddingCache, plane_index: PlaneIndex
    ) -> Embedding:
        """Read and encode a plane, unless the cache knows it."""
        pixels = self.reader.read_uint8(
            plane_index, predictor.input_size, self.contrast_limits(plane_index)
        )
        return cache.embed(
            predictor, pixels, plane_shape=self.reader.plane_shape(plane_index)
        )
