"""Intensity mapping: the rule for the contrast limits of an image."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import numpy as np

from napari_sam.checks.values import check_type, describe
from napari_sam.images.planes import MAX_CHANNELS
from napari_sam.images.uint8 import PERCENTILES, data_limits, to_uint8

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_sam.images.axes import ContrastLimits, PlaneIndex
    from napari_sam.images.planes import PlaneReader

# Percentiles of a plane are computed from about this many pixels.
_SAMPLED_PIXELS = 2**18

Kind = Literal["display", "data", "percentiles", "full", "window"]


@dataclass(frozen=True, slots=True)
class IntensityMapping:
    """A rule for contrast limits, the same for all planes of an image.

    Create one with `display`, `data`, `percentiles`, `full` or `window`.

    Parameters
    ----------
    kind : {"display", "data", "percentiles", "full", "window"}
        The rule.
    low, high : float
        Percentiles of "percentiles", contrast limits of "window"; otherwise ignored.

    Raises
    ------
    ValueError
        When `low` and `high` are not increasing, or not percentiles.
    """

    kind: Kind = "display"
    low: float = 0.0
    high: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.kind, str) or self.kind not in get_args(Kind):
            raise ValueError(
                f"{describe(self.kind)} is not an intensity mapping: choose one of "
                f"{', '.join(get_args(Kind))}."
            )
        for name in ("low", "high"):
            check_type(getattr(self, name), name, Real, "a number")
        if self.kind == "percentiles" and not 0 <= self.low < self.high <= 100:
            raise ValueError(
                f"{self.low} and {self.high} are not percentiles: give two increasing "
                "numbers from 0 to 100."
            )
        if self.kind == "window" and not (
            self.low < self.high and np.isfinite([self.low, self.high]).all()
        ):
            raise ValueError(
                "The intensity window is not valid: give a finite centre and a finite "
                "width above 0."
            )

    @classmethod
    def display(cls) -> Self:
        """Use the contrast limits of the layer, as displayed."""
        return cls("display")

    @classmethod
    def data(cls) -> Self:
        """Use `images.uint8.data_limits`: 8-bit data unchanged, else percentiles."""
        return cls("data")

    @classmethod
    def percentiles(
        cls, low: float = PERCENTILES[0], high: float = PERCENTILES[1]
    ) -> Self:
        """Use percentiles of the values on up to 16 planes spread over the image."""
        return cls("percentiles", float(low), float(high))

    @classmethod
    def full(cls) -> Self:
        """Use the minimum and maximum on up to 16 planes spread over the image."""
        return cls("full")

    @classmethod
    def window(cls, centre: float, width: float) -> Self:
        """Use a CT window, for instance centre 40 and width 400 HU for soft tissue."""
        return cls("window", centre - width / 2, centre + width / 2)

    def contrast_limits(
        self,
        reader: PlaneReader,
        plane_index: PlaneIndex,
        displayed: ContrastLimits | None,
    ) -> ContrastLimits | None:
        """Compute the contrast limits of the planes of an image.

        Parameters
        ----------
        reader : PlaneReader
            The image. It stores limits that take many planes to compute.
        plane_index : tuple
            Index of one of the planes, see `PlaneReader.read`.
        displayed : tuple, optional
            Contrast limits in the viewer; None for RGB.

        Returns
        -------
        tuple or None
            (low, high), or one pair per selected channel, padded to three; None
            leaves 8-bit data and RGB unchanged.
        """
        if self.kind == "display":
            return displayed
        channels = max(len(reader.channels), 1)
        if self.kind == "window":
            return limits_for_channels([(self.low, self.high)] * channels)
        dtypes = [c.levels[0].dtype for c in reader.channels]
        dtypes = dtypes or [reader.levels[0].dtype]
        if self.kind == "data" and all(d in (bool, np.uint8) for d in dtypes):
            # Known without reading a plane.
            return limits_for_channels([data_limits(np.empty(0, d)) for d in dtypes])
        axes = tuple(isinstance(entry, slice) for entry in plane_index)
        key = self, axes
        if key not in reader.contrast_limits:
            planes = reader.sample(plane_index)
            reader.contrast_limits[key] = self._measure(planes, channels)
        return reader.contrast_limits[key]

    def _measure(self, planes: Iterable[NDArray[Any]], channels: int) -> ContrastLimits:
        samples: list[list[NDArray[Any]]] = [[] for _ in range(channels)]
        for plane in planes:
            to_uint8(plane[:1, :1])  # check the dtype and shape first
            for channel, sample in enumerate(samples):
                values = plane if channels == 1 else plane[..., channel]
                sample.append(self._subsample(values))
            del plane  # free it before the next one is read
        return limits_for_channels([self._limits(np.concatenate(s)) for s in samples])

    def _subsample(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return a part of a plane with about the same limits."""
        if self.kind == "full":
            finite = values[np.isfinite(values)]
            return np.array([finite.min(), finite.max()] if finite.size else [])
        pixels = values.shape[0] * values.shape[1]
        step = max(1, round(float(np.sqrt(pixels / _SAMPLED_PIXELS))))
        return values[::step, ::step].reshape(-1, 1, *values.shape[2:])

    def _limits(self, values: NDArray[Any]) -> tuple[float, float]:
        if self.kind == "data":
            return data_limits(values)
        finite = values[np.isfinite(values)].astype(np.float64)
        if not finite.size:
            return 0.0, 0.0
        if self.kind == "full":
            return float(finite.min()), float(finite.max())
        low, high = np.percentile(finite, (self.low, self.high))
        if low == high:  # a few bright pixels on a constant background
            low, high = finite.min(), finite.max()
        return float(low), float(high)


def limits_for_channels(pairs: Sequence[tuple[float, float]]) -> ContrastLimits:
    """Return a single pair as it is, and several padded to three, as the planes are."""
    if len(pairs) == 1:
        return pairs[0]
    return (*pairs, *[(0.0, 1.0)] * (MAX_CHANNELS - len(pairs)))
