"""The image as the model receives it: planes, channels and contrast."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_sam.images.empty_planes import (
    NothingShownError,
    nothing_shown_text,
    shows_nothing,
)
from napari_sam.images.intensity import IntensityMapping
from napari_sam.images.planes import Channel, PlaneReader
from napari_sam.images.projection import Projection
from napari_sam.images.window import Window, mirror

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.images.axes import ContrastLimits, PlaneIndex
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.embedding import Embedding
    from napari_sam.prediction.protocol import PredictorLike


@dataclass(frozen=True, slots=True)
class ImageView:
    """An image with the rule that maps its values to 8 bits.

    Parameters
    ----------
    reader : PlaneReader
        Reads planes of the image.
    intensity : IntensityMapping
        Rule for the contrast limits.
    displayed : tuple or None
        Contrast limits of the viewer; None for RGB.
    """

    reader: PlaneReader
    intensity: IntensityMapping
    displayed: ContrastLimits | None = None

    def contrast_limits(self, plane_index: PlaneIndex) -> ContrastLimits | None:
        """Return the contrast limits of all planes parallel to one.

        Depending on the rule some planes are read to measure them.
        """
        return self.intensity.contrast_limits(self.reader, plane_index, self.displayed)

    def embed(
        self,
        predictor: PredictorLike,
        cache: EmbeddingCache,
        plane_index: PlaneIndex,
        window: Window | None = None,
    ) -> Embedding:
        """Return the embedding of a plane or window, encoding it if the cache has none.

        Contrast limits are those of the plane, so that the model sees the same grey
        values in all windows.

        Raises
        ------
        NothingShownError
            See `read_uint8`.
        """
        return self._embed(predictor, cache, plane_index, window)[0]

    def instance_maps(
        self,
        predictor: PredictorLike,
        cache: EmbeddingCache,
        plane_index: PlaneIndex,
        window: Window | None = None,
    ) -> NDArray[np.uint8]:
        """Return the maps of a plane or window, see `Predictor.instance_maps`.

        The plane is mirrored for `Window.around`, which shows it from twice as far.
        """
        if window == Window.around(self.reader.plane_shape(plane_index)):
            plane = self.read_uint8(plane_index, predictor.input_size, None)
            pixels = mirror(plane)
            embedding = cache.embed(predictor, pixels)
        else:
            embedding, pixels = self._embed(predictor, cache, plane_index, window)
        maps: NDArray[np.uint8] = predictor.instance_maps(embedding, pixels)
        return maps

    def _embed(
        self,
        predictor: PredictorLike,
        cache: EmbeddingCache,
        plane_index: PlaneIndex,
        window: Window | None,
    ) -> tuple[Embedding, NDArray[np.uint8]]:
        """Return the embedding of a plane or window, and its pixels."""
        pixels = self.read_uint8(plane_index, predictor.input_size, window)
        plane_shape = self.reader.plane_shape(plane_index)
        embedding = cache.embed(
            predictor, pixels, plane_shape=plane_shape, window=window
        )
        return embedding, pixels

    def read_uint8(
        self, plane_index: PlaneIndex, min_side: int | None, window: Window | None
    ) -> NDArray[np.uint8]:
        """Read a plane or window as the model sees it; see `PlaneReader.read`.

        Raises
        ------
        NothingShownError
            When the whole plane shows nothing; a window of another plane may.
        """
        limits = self.contrast_limits(plane_index)
        pixels = self.reader.read_uint8(plane_index, min_side, limits, window)
        if shows_nothing(pixels):
            # Large planes have many empty windows.
            key = str(limits), str(plane_index)
            if key in self.reader.with_content:
                return pixels
            plane = pixels
            if window is not None:
                plane = self.reader.read_uint8(plane_index, min_side, limits)
            if shows_nothing(plane):
                raise NothingShownError(nothing_shown_text(limits))
            self.reader.with_content.add(key)
        return pixels

    def to_json(self, contrast_limits: ContrastLimits | None) -> dict[str, Any]:
        """Describe the image for a record, with the contrast limits that were used."""
        limits = (
            None
            if contrast_limits is None
            else np.asarray(contrast_limits, float).tolist()
        )
        return {
            "intensity": {**asdict(self.intensity), "limits": limits},
            "channels": [
                {
                    "axis": None if c.axis is None else int(c.axis),
                    "index": int(c.index),
                    "own": c.levels[0] is self.reader.levels[0],
                }
                for c in self.reader.channels
            ],
            "projection": self.reader.projection and asdict(self.reader.projection),
            "shape": list(self.reader.shape),
            "rgb": self.reader.rgb,
            "levels": len(self.reader.levels),
        }

    @classmethod
    def from_json(
        cls,
        entry: dict[str, Any],
        levels: Sequence[Any],
        channels: Sequence[Any] = (),
    ) -> Self:
        """Build a view of an image from `to_json`, with the recorded contrast limits.

        Parameters
        ----------
        entry : dict
            Entry of a record.
        levels : sequence of array-like
            Levels of the image, the full resolution first.
        channels : sequence of array-like
            Arrays of the channels that came from other layers, in order.

        Raises
        ------
        ValueError
            When the image differs from the recorded one, or a channel is missing.
        """
        if len(levels) != entry["levels"]:
            raise ValueError(
                f"The image has {len(levels)} levels, the recorded one "
                f"{entry['levels']}: give all levels as a list."
            )
        others = iter(channels)
        used = [
            Channel(
                levels if c["own"] else _next_channel(others), c["axis"], c["index"]
            )
            for c in entry["channels"]
        ]
        projection = entry.get("projection")
        if projection is not None:
            margins = tuple((before, after) for before, after in projection["margins"])
            projection = Projection(projection["mode"], margins)
        reader = PlaneReader(levels, entry["rgb"], used, projection)
        if list(reader.shape) != entry["shape"]:
            raise ValueError(
                f"The image has shape {reader.shape}, the recorded one "
                f"{tuple(entry['shape'])}: give the same image."
            )
        limits = entry["intensity"]["limits"]
        if limits is not None:
            limits = tuple(tuple(x) if isinstance(x, list) else x for x in limits)
        return cls(reader, IntensityMapping.display(), limits)


def _next_channel(arrays: Any) -> tuple[Any, ...]:
    array = next(arrays, None)
    if array is None:
        raise ValueError(
            "The record uses channels of other layers: give their arrays as channels, "
            "in order."
        )
    return tuple(array) if isinstance(array, list | tuple) else (array,)
