"""Search of all objects of a plane by an instance head, window by window."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.automatic.candidates import Candidates
from napari_sam.automatic.crops import Crop
from napari_sam.automatic.instances.candidate import InstanceCandidate
from napari_sam.automatic.instances.objects import objects_of
from napari_sam.automatic.instances.scale import ScaleChoice
from napari_sam.automatic.instances.tiles import Tiles, blend
from napari_sam.automatic.search import SearchStep, region_window
from napari_sam.images.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from numpy.typing import NDArray

    from napari_sam.automatic.search import SearchOptions
    from napari_sam.prediction.zoom.grid import WindowGrid

    # Encodes a window of the plane (None: all of it) and returns its (3, h, w) maps.
    ReadMaps = Callable[[Window | None], NDArray[np.uint8]]

# Blocks of the plane that are split into objects at once, in pixels of the maps, and
# the margin around each, more than the largest object.
_BLOCK, _MARGIN = 1024, 192


@dataclass(eq=False)
class InstanceSearch:
    """Search at one scale: maps of overlapping windows, blended and split.

    The plane is done block by block, and the maps of windows are dropped when no block
    needs them, so that the memory does not grow with the plane.

    Parameters
    ----------
    read_maps : callable
        Encodes a window, and returns its maps.
    tiles : Tiles
        The windows.
    input_size : int
        Side of the network's input.
    """

    read_maps: ReadMaps
    tiles: Tiles
    input_size: int
    candidates: list[InstanceCandidate] = field(default_factory=list)
    _maps: dict[Window, NDArray[np.uint8]] = field(default_factory=dict)
    _open: tuple[Window, Window] | None = None

    @property
    def window_count(self) -> int:
        """Number of windows to encode."""
        return len(self.tiles.windows)

    @property
    def scale(self) -> float:
        """Pixels of the maps over those of the plane."""
        side = min(self.tiles.side, max(self.tiles.plane_shape))
        return min(1.0, self.input_size / side)

    def run(self) -> Iterator[int]:
        """Search; yields the number of windows that are done."""
        done = 0
        for owned, area in self._blocks():
            self._open = owned, area
            self._drop_before(area.row)
            for window in self.tiles.meeting(area):
                place = self._place(window)
                if place not in self._maps:
                    self._maps[place] = self.read_maps(window)
                    done += 1
                    yield done
            self.candidates += self._split(owned, area)
            self._open = None
        yield done

    def so_far(self) -> list[InstanceCandidate]:
        """Return all candidates of the windows that are done."""
        rest = [] if self._open is None else self._split(*self._open)
        return [*self.candidates, *rest]

    def _place(self, window: Window | None) -> Window:
        return Window(0, 0, *self.tiles.plane_shape) if window is None else window

    def _drop_before(self, row: int) -> None:
        """Drop the maps of windows above a row."""
        self._maps = {
            w: maps for w, maps in self._maps.items() if w.row + w.height > row
        }

    def _split(self, owned: Window, area: Window) -> list[InstanceCandidate]:
        """Return the objects of a block, as far as its windows are done."""
        shape = self.tiles.plane_shape
        values = blend(self._maps, area, shape, self.scale)
        crop = Crop((0, 0), shape)
        found = objects_of(values, area, owned, self.scale)
        return [InstanceCandidate(crop, patch, quality) for patch, quality in found]

    def _blocks(self) -> Iterator[tuple[Window, Window]]:
        """Yield blocks of the area, and each with its margin."""
        area, step = self.tiles.area, round(_BLOCK / self.scale)
        margin = round(_MARGIN / self.scale)
        for row in range(0, area.height, step):
            for col in range(0, area.width, step):
                height = min(step, area.height - row)
                width = min(step, area.width - col)
                top, left = area.row + row, area.col + col
                owned = Window(top, left, height, width)
                low = np.maximum(np.subtract(owned.origin, margin), area.origin)
                high = np.minimum(
                    np.add(owned.origin, owned.shape) + margin,
                    np.add(area.origin, area.shape),
                )
                around = Window(*low.tolist(), *(high - low).tolist())
                yield owned, around


def search_instances(
    read_maps: ReadMaps,
    grid: WindowGrid,
    input_size: int,
    options: SearchOptions,
    region: NDArray[np.bool_] | None = None,
) -> Iterator[SearchStep]:
    """Search all objects of a plane; stopping the iteration cancels the search.

    Parameters
    ----------
    read_maps : callable
        Encodes a window of the plane (None: all of it), and returns its (3, h, w)
        uint8 maps, see `Predictor.instance_maps`.
    grid : WindowGrid
        The plane, and the sizes of its windows.
    input_size : int
        Side of the network's input.
    options : SearchOptions
        The zoom, and the diameter of the objects, if known.
    region : ndarray, optional
        (H, W) bool, where to search; everywhere when None.

    Yields
    ------
    SearchStep
        After each window.
    """
    shape = grid.plane_shape
    steps = choose_side(read_maps, grid, input_size, options, region)
    while True:
        try:
            done = next(steps)
        except StopIteration as stop:
            side: int = stop.value
            break
        yield SearchStep(done, 0, Candidates((), shape, region))
    search = InstanceSearch(
        read_maps, Tiles(shape, side, _area(shape, region)), input_size
    )

    def finish() -> Candidates:
        return Candidates(tuple(search.so_far()), shape, region)

    for done in search.run():
        found = Candidates(tuple(search.candidates), shape, region)
        yield SearchStep(done, search.window_count, found, finish)


def choose_side(
    read_maps: ReadMaps,
    grid: WindowGrid,
    input_size: int,
    options: SearchOptions,
    region: NDArray[np.bool_] | None = None,
) -> Generator[int, None, int]:
    """Choose the side of the windows of a plane.

    Parameters
    ----------
    read_maps, grid, input_size, options, region
        See `search_instances`.

    Yields
    ------
    int
        The number of windows that were encoded to find out.

    Returns
    -------
    int
        In pixels of the plane.
    """
    shape = grid.plane_shape
    if options.zoom == "off":
        return max(shape)
    if options.zoom != "auto":
        return max(round(max(shape) / options.zoom), 1)
    choice = ScaleChoice(read_maps, grid, _area(shape, region), input_size)
    if options.object_diameter is not None:
        return choice.nearest_side(options.object_diameter)
    yield from choice.run()
    return choice.side


def _area(shape: tuple[int, int], region: NDArray[np.bool_] | None) -> Window:
    return Window(0, 0, *shape) if region is None else region_window(region)
