"""Search of all objects of a plane by an instance head, window by window."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.automatic.candidates import Candidates
from napari_sam.automatic.crops import Crop
from napari_sam.automatic.instances.candidate import InstanceCandidate
from napari_sam.automatic.instances.objects import objects_of
from napari_sam.automatic.instances.scale import ScaleChoice
from napari_sam.automatic.instances.tiles import Tiles, blend, blocks_of
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
# Objects of this diameter in the network are looked for in larger windows, too, and
# if the mean quality of those that were found is lower than this, all are.
_LARGE = 40.0
_SURE_QUALITY = 0.8


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
    min_diameter : float
        Smaller objects are left out, in pixels of the plane.
    """

    read_maps: ReadMaps
    tiles: Tiles
    input_size: int
    min_diameter: float = 0.0
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
        return self.tiles.scale(self.input_size)

    def run(self) -> Iterator[int]:
        """Search; yields the number of windows that are done."""
        done = 0
        for owned, area in blocks_of(self.tiles.area, _BLOCK, _MARGIN, self.scale):
            self._open = owned, area
            self._drop_before(area.row)
            for window in self.tiles.meeting(area):
                place = self.tiles.place(window)
                if place not in self._maps:
                    self._maps[place] = self.read_maps(window)
                    done += 1
                    yield done
            self.candidates += self._split(owned, area)
            self._open = None
        yield done

    def shows_all_well(self) -> bool:
        """Tell whether larger windows would show nothing better."""
        if not self.candidates:
            return False
        areas = [c.area for c in self.candidates]
        qualities = [c.quality for c in self.candidates]
        largest = 2 * np.sqrt(max(areas) / np.pi) * self.scale
        is_sure = np.average(qualities, weights=areas) >= _SURE_QUALITY
        return bool(is_sure and largest < _LARGE)

    def so_far(self) -> list[InstanceCandidate]:
        """Return all candidates of the windows that are done."""
        rest = [] if self._open is None else self._split(*self._open)
        return [*self.candidates, *rest]

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
        objects = [InstanceCandidate(crop, patch, quality) for patch, quality in found]
        smallest = np.pi / 4 * self.min_diameter**2
        return [candidate for candidate in objects if candidate.area >= smallest]


@dataclass(frozen=True, slots=True, eq=False)
class InstanceSource:
    """Where the maps of a plane come from, and the windows it can be seen in.

    Parameters
    ----------
    read_maps : callable
        Encodes a window of the plane (None: all of it), and returns its (3, h, w)
        uint8 maps, see `Predictor.instance_maps`.
    grid : WindowGrid
        The plane, and the sizes of its windows.
    input_size : int
        Side of the network's input.
    """

    read_maps: ReadMaps
    grid: WindowGrid
    input_size: int

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(H, W) of the plane."""
        return self.grid.plane_shape

    def area(self, region: NDArray[np.bool_] | None) -> Window:
        """Return the part of the plane that a region needs; all of it when None."""
        if region is None:
            return Window(0, 0, *self.plane_shape)
        return region_window(region)

    def scale_choice(self, region: NDArray[np.bool_] | None) -> ScaleChoice:
        """Return the choice of the size of the windows."""
        return ScaleChoice(
            self.read_maps, self.grid, self.area(region), self.input_size
        )

    def search(self, side: int, region: NDArray[np.bool_] | None) -> InstanceSearch:
        """Return the search with windows of one size."""
        tiles = Tiles(self.plane_shape, side, self.area(region))
        return InstanceSearch(self.read_maps, tiles, self.input_size)


def search_instances(
    source: InstanceSource,
    options: SearchOptions,
    region: NDArray[np.bool_] | None = None,
    side: int | None = None,
) -> Iterator[SearchStep]:
    """Search all objects of a plane; stopping the iteration cancels the search.

    Large objects are searched in larger windows as well; of the whole plane in
    `Window.around`.

    Parameters
    ----------
    source : InstanceSource
        The plane.
    options : SearchOptions
        The zoom, and the diameter of the objects, if known.
    region : ndarray, optional
        (H, W) bool, where to search; everywhere when None.
    side : int, optional
        Side of the windows; chosen when None.

    Yields
    ------
    SearchStep
        After each window.
    """
    if side is None:
        side = yield from choose_side(source, options, region)
    searches = [source.search(side, region)]
    if options.zoom == "auto" and options.object_diameter is None:
        coarser = source.scale_choice(region).coarser_side(side)
        searches.append(source.search(coarser, region))
        searches[1].min_diameter = _LARGE * side / source.input_size
    total, before = sum(search.window_count for search in searches), 0

    def step(done: int) -> SearchStep:
        def candidates(so_far: bool) -> Candidates:
            found = [
                c for s in searches for c in (s.so_far() if so_far else s.candidates)
            ]
            return Candidates(tuple(found), source.plane_shape, region)

        return SearchStep(done, total, candidates(False), partial(candidates, True))

    for search in searches:
        for done in search.run():
            yield step(before + done)
        before += search.window_count
        if search.shows_all_well():
            break
    yield step(total)


def choose_side(
    source: InstanceSource,
    options: SearchOptions,
    region: NDArray[np.bool_] | None = None,
) -> Generator[SearchStep, None, int]:
    """Choose the side of the windows of a plane.

    Parameters
    ----------
    source, options, region
        See `search_instances`.

    Yields
    ------
    SearchStep
        After each window that is encoded to find out, without candidates.

    Returns
    -------
    int
        In pixels of the plane.
    """
    longest = max(source.plane_shape)
    if options.zoom == "off":
        return longest
    if options.zoom != "auto":
        return max(round(longest / options.zoom), 1)
    choice = source.scale_choice(region)
    if options.object_diameter is not None:
        return choice.nearest_side(options.object_diameter)
    nothing = Candidates((), source.plane_shape, region)
    for done in choice.run():
        yield SearchStep(done, 0, nothing)
    return choice.side
