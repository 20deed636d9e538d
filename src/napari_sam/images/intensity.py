"""Which values of an image become black and white for the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from napari_sam.images.planes import MOST_CHANNELS
from napari_sam.images.uint8 import PERCENTILES, data_limits, to_uint8

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_sam.images.axes import ContrastLimits, PlaneIndex
    from napari_sam.images.planes import PlaneReader

# Pixels of one plane that are enough for percentiles.
_ENOUGH_PIXELS = 2**18

Kind = Literal["display", "data", "percentiles", "full", "window"]


@dataclass(frozen=True, slots=True)
class IntensityMapping:
    """A rule for contrast limits, the same for all planes of an image.

    Make one with `display`, `data`, `percentiles`, `full` or `window`.

    Parameters
    ----------
    kind : {"display", "data", "percentiles", "full", "window"}
        The rule.
    low, high : float
        Percentiles of "percentiles", limits of "window"; else without meaning.

    Raises
    ------
    ValueError
        When `low` and `high` are not increasing, or no percentiles.
    """

    kind: Kind = "display"
    low: float = 0.0
    high: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(
                f"{self.kind!r} is no intensity mapping: choose one of "
                f"{', '.join(get_args(Kind))}."
            )
        if self.kind == "percentiles" and not 0 <= self.low < self.high <= 100:
            raise ValueError(
                f"{self.low} and {self.high} are no percentiles: give two increasing "
                "numbers from 0 to 100."
            )
        if self.kind == "window" and not (
            self.low < self.high and np.isfinite([self.low, self.high]).all()
        ):
            raise ValueError(
                "The width of an intensity window must be above 0, and centre and "
                "width finite."
            )

    @classmethod
    def display(cls) -> Self:
        """As the viewer shows it: the layer's contrast limits."""
        return cls("display")

    @classmethod
    def data(cls) -> Self:
        """As `images.uint8.data_limits`: 8 bits as they are, else percentiles."""
        return cls("data")

    @classmethod
    def percentiles(
        cls, low: float = PERCENTILES[0], high: float = PERCENTILES[1]
    ) -> Self:
        """Percentiles of the values on up to 16 planes spread over the image."""
        return cls("percentiles", float(low), float(high))

    @classmethod
    def full(cls) -> Self:
        """Lowest and highest value on up to 16 planes spread over the image."""
        return cls("full")

    @classmethod
    def window(cls, centre: float, width: float) -> Self:
        """A CT window, for instance centre 40 and width 400 HU for soft tissue."""
        return cls("window", centre - width / 2, centre + width / 2)

    def contrast_limits(
        self,
        reader: PlaneReader,
        plane_index: PlaneIndex,
        displayed: ContrastLimits | None,
    ) -> ContrastLimits | None:
        """Contrast limits for the planes of an image.

        Parameters
        ----------
        reader : PlaneReader
            The image; remembers limits that cost reading many planes.
        at : tuple
            One of the planes, see `PlaneReader.read`.
        displayed : tuple, optional
            What the viewer shows as black and white; None for RGB.

        Returns
        -------
        tuple or None
            (low, high), or one pair for each chosen channel, padded to three;
            None leaves 8-bit data and RGB as they are.
        """
        if self.kind == "display":
            return displayed
        channels = max(len(reader.channels), 1)
        if self.kind == "window":
            return for_channels([(self.low, self.high)] * channels)
        axes = tuple(isinstance(entry, slice) for entry in plane_index)
        key = self, axes
        if key not in reader.contrast_limits:
            reader.contrast_limits[key] = self._measured(
                reader.sample(plane_index), channels
            )
        return reader.contrast_limits[key]

    def _measured(
        self, planes: Iterable[NDArray[Any]], channels: int
    ) -> ContrastLimits:
        parts: list[list[NDArray[Any]]] = [[] for _ in range(channels)]
        for plane in planes:
            to_uint8(plane[:1, :1])  # refuses what is no image before measuring it
            for number, part in enumerate(parts):
                part.append(
                    self._reduced(plane if channels == 1 else plane[..., number])
                )
            del plane  # before the next one is read
        return for_channels([self._range(np.concatenate(part)) for part in parts])

    def _reduced(self, values: NDArray[Any]) -> NDArray[Any]:
        """A part of a plane that measures like the whole of it."""
        if self.kind == "full":
            finite = values[np.isfinite(values)]
            return np.array([finite.min(), finite.max()] if finite.size else [])
        side = float(np.sqrt(values.shape[0] * values.shape[1] / _ENOUGH_PIXELS))
        step = max(1, round(side))
        return values[::step, ::step].reshape(-1, 1, *values.shape[2:])

    def _range(self, values: NDArray[Any]) -> tuple[float, float]:
        if self.kind == "data":
            return data_limits(values)
        finite = values[np.isfinite(values)].astype(np.float64)
        if not finite.size:
            return 0.0, 0.0
        if self.kind == "full":
            return float(finite.min()), float(finite.max())
        low, high = np.percentile(finite, (self.low, self.high))
        if low == high:  # a few bright pixels on a constant ground
            low, high = finite.min(), finite.max()
        return float(low), float(high)


def for_channels(pairs: Sequence[tuple[float, float]]) -> ContrastLimits:
    """One pair as it is; several, padded to three as the planes are."""
    if len(pairs) == 1:
        return pairs[0]
    return (*pairs, *[(0.0, 1.0)] * (MOST_CHANNELS - len(pairs)))
