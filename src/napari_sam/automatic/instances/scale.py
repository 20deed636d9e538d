"""Scale of a search: the size of windows in which objects are large enough."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.automatic.instances.objects import objects_of
from napari_sam.automatic.instances.tiles import blend
from napari_sam.images.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_sam.prediction.zoom.grid import WindowGrid

    ReadMaps = Callable[[Window | None], NDArray[np.uint8]]

# Diameter in pixels of the network at which objects are found best, and the range in
# which they are found well.
IDEAL_DIAMETER = 26.0
_SMALL, LARGEST_DIAMETER = 16.0, 60.0
# Side of the windows for too large objects, at least this many times the other one.
_COARSER = 1.9
# Windows in which a scale is tried.
_PROBES = 3
# A finer scale must explain that much more of the same place.
_GAIN = 1.1
# Where objects are large enough already: a finer scale takes four times as long.
_GAIN_OF_LARGE = 1.3
# From this mean quality on, objects of a good size need no finer scale.
_SURE_QUALITY = 0.8
# Less of a window than this, weighted by quality, is no object.
_MIN_EVIDENCE = 0.002


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Objects of some windows at one scale.

    Parameters
    ----------
    boxes : ndarray
        (N, 4) on the plane.
    diameters : ndarray
        (N,) in pixels of the plane, of the circle of the same area.
    qualities : ndarray
        (N,) see `quality_of`.
    """

    boxes: NDArray[np.float64]
    diameters: NDArray[np.float64]
    qualities: NDArray[np.float64]

    def evidence(self, windows: list[Window], plane_shape: tuple[int, int]) -> float:
        """Return the area of whole objects in windows, weighted by quality."""
        areas = np.pi / 4 * self.diameters**2 * self.qualities**2
        found = 0.0
        for window in windows:
            whole = [
                window.holds(box.reshape(2, 2)).all()
                and not window.cuts(box, plane_shape)
                for box in self.boxes
            ]
            found += float(areas[np.array(whole, bool)].sum())
        return found / sum(window.height * window.width for window in windows)

    def mean_quality(self) -> float:
        """Return the mean quality, weighted by area; 0 without objects."""
        weights = self.diameters**2
        if not len(weights):
            return 0.0
        return float(np.average(self.qualities, weights=weights))

    def typical_diameter(self) -> float | None:
        """Return the median diameter, weighted by area and quality."""
        weights = self.diameters * self.qualities**2
        if not weights.sum() > 0:
            return None
        order = np.argsort(self.diameters)
        half = np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)
        return float(self.diameters[order][min(half, len(order) - 1)])


@dataclass(eq=False)
class ScaleChoice:
    """Choice of the side of the windows, from coarse to fine.

    Each scale is tried in a few windows, where the scale before saw most; a finer one
    is taken while it explains more of the same place.

    Parameters
    ----------
    read_maps : callable
        Encodes a window, and returns its maps.
    grid : WindowGrid
        Possible sides.
    area : Window
        The part of the plane to search.
    input_size : int
        Side of the network's input.

    Attributes
    ----------
    side : int
        The choice, once `run` is through.
    """

    read_maps: ReadMaps
    grid: WindowGrid
    area: Window
    input_size: int
    side: int = field(default=0, init=False)

    @property
    def sides(self) -> list[int]:
        """Possible sides, the plane or area first."""
        finer = [side for side in self.grid.sides if side < 0.6 * self.area.side]
        return [self.area.side, *reversed(finer)]

    def coarser_side(self, side: int) -> int:
        """Return a side for objects that are too large for windows of another side."""
        sides = [*self.grid.sides, max(self.grid.plane_shape)]
        around = Window.around(self.grid.plane_shape).side
        return min((s for s in sides if s > _COARSER * side), default=around)

    def nearest_side(self, diameter: float) -> int:
        """Return the side that shows objects of this diameter best."""
        ideal = diameter * self.input_size / IDEAL_DIAMETER
        sides = [*self.sides, Window.around(self.grid.plane_shape).side]
        return min(sides, key=lambda side: abs(log(side / ideal)))

    def run(self) -> Iterator[int]:
        """Try scales; yields the number of windows that were encoded."""
        sides, done, shape = self.sides, 1, self.grid.plane_shape
        values = self._maps(self.area)
        yield done
        best, self.side = self._objects([self.area], [values]), sides[0]
        interest = self._interest(values)
        for side in sides[1:]:
            if self._is_settled(best) and best.mean_quality() >= _SURE_QUALITY:
                break
            finer = self._places(interest, side)
            maps = []
            for window in finer:
                maps.append(self._maps(window))
                done += 1
                yield done
            other = self._objects(finer, maps)
            gain = _GAIN_OF_LARGE if self._is_settled(best) else _GAIN
            least = max(gain * best.evidence(finer, shape), _MIN_EVIDENCE)
            if other.evidence(finer, shape) > least:
                best, self.side = other, side
            elif self._is_settled(best):
                break
        diameter = best.typical_diameter()
        if diameter is not None:
            self.side = self._fitting_side(diameter)

    def _is_settled(self, best: _Found) -> bool:
        diameter = best.typical_diameter()
        return diameter is not None and (
            diameter * self.input_size / self.side >= _SMALL
        )

    def _fitting_side(self, diameter: float) -> int:
        """Return the side next to the chosen one that shows objects well."""
        too_large = diameter * self.input_size / LARGEST_DIAMETER
        too_small = diameter * self.input_size / _SMALL
        if self.side < too_large:
            return min((s for s in self.sides if s >= too_large), default=self.side)
        if self.side > too_small:
            return max((s for s in self.sides if s <= too_small), default=self.side)
        return self.side

    def _maps(self, window: Window) -> NDArray[np.uint8]:
        whole = window == Window(0, 0, *self.grid.plane_shape)
        return self.read_maps(None if whole else window)

    def _objects(self, windows: list[Window], maps: list[NDArray[np.uint8]]) -> _Found:
        rows = []
        for window, values in zip(windows, maps, strict=True):
            scale = min(1.0, self.input_size / window.side)
            shape = self.grid.plane_shape
            blended = blend({window: values}, window, shape, scale)
            for patch, quality in objects_of(blended, window, window, scale):
                if not window.cuts(patch.box, shape):
                    area = np.count_nonzero(patch.mask)
                    rows.append((*patch.box, 2 * np.sqrt(area / np.pi), quality))
        table = np.array(rows).reshape(-1, 6)
        return _Found(table[:, :4], table[:, 4], table[:, 5])

    def _interest(self, values: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return where something is, from the maps of the whole area."""
        foreground, depth, border = values.astype(float) / 255
        highest: NDArray[np.float64] = np.maximum(np.maximum(foreground, depth), border)
        return highest

    def _places(self, interest: NDArray[np.float64], side: int) -> list[Window]:
        """Return windows where most is, apart from each other."""
        from scipy.ndimage import uniform_filter

        factor = np.divide(interest.shape, self.area.shape)
        height, width = (min(side, size) for size in self.area.shape)
        size = np.maximum(np.rint((height, width) * factor), 1).astype(int)
        mean = uniform_filter(interest, size, mode="constant")
        places: list[Window] = []
        while len(places) < _PROBES and mean.max() >= 0:
            centre = np.array(np.unravel_index(mean.argmax(), mean.shape))
            corner = (centre + 0.5) / factor - np.array((height, width)) / 2
            last = np.subtract(self.area.shape, (height, width))
            row, col = np.clip(np.rint(corner), 0, last).astype(int) + self.area.origin
            window = Window(int(row), int(col), height, width)
            if window not in places:
                places.append(window)
            low, high = np.maximum(centre - size, 0), centre + size + 1
            mean[low[0] : high[0], low[1] : high[1]] = -1
        return places
