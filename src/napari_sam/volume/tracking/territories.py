"""Territories: where the prompts of other objects say that they are."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.patch import MaskPatch, window_at
from napari_sam.volume.footprint import Footprint
from napari_sam.volume.tracking.confidence import equivalent_radius

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from napari_sam.images.stack import Stack


@dataclass(frozen=True, slots=True, eq=False)
class _Territory:
    """The mask of an object on a prompted slice, and how far it reaches from there.

    `depth` is the distance to the outline, (h, w), 1 where it is largest; `reach` is
    the radius of the mask in slices.
    """

    index: int
    origin: tuple[int, int]
    depth: NDArray[np.float16]
    reach: float

    def distance(self, slice_index: int) -> float:
        """Return the distance of a slice, in radii."""
        return abs(slice_index - self.index) / self.reach

    def on(self, slice_index: int) -> NDArray[np.bool_]:
        """Return the part of the mask that a ball would have on a slice."""
        height = min(self.distance(slice_index), 1.0)
        inside: NDArray[np.bool_] = self.depth > 1 - np.sqrt(1 - height**2)
        return inside


@dataclass(eq=False)
class Territories:
    """Territories of all objects of a stack, each about as deep as it is wide.

    A prompt says that its object is there. An object that comes from further away, in
    its own radii, has passed its end: it does not get the pixels.

    Parameters
    ----------
    stack : Stack
        Gives the size of a voxel.
    footprint : Footprint
        Gets what the objects claim.
    """

    stack: Stack
    footprint: Footprint = field(default_factory=Footprint)
    _known: dict[int, list[_Territory]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def add(self, object_id: int, slice_index: int, patch: MaskPatch) -> None:
        """Add the mask of an object on a prompted slice."""
        from scipy.ndimage import distance_transform_edt

        if not patch.logits.size:
            return
        pixel = self.stack.pixel_size
        depth = distance_transform_edt(np.pad(patch.mask, 1), sampling=pixel)
        depth = depth[1:-1, 1:-1]
        reach = equivalent_radius(patch, pixel) / self.stack.slice_spacing
        shares = (depth / depth.max()).astype(np.float16)
        territory = _Territory(slice_index, patch.origin, shares, reach)
        self._known[object_id].append(territory)
        self.footprint.add_territory(slice_index, reach, patch)

    def outside(
        self, slice_index: int, object_ids: Sequence[int], patches: Sequence[MaskPatch]
    ) -> list[MaskPatch]:
        """Return the masks of objects on a slice without the territories of others."""
        claims = [
            (object_id, distance, territory)
            for object_id, known in self._known.items()
            for territory in known
            if (distance := territory.distance(slice_index)) < 1
        ]
        return [
            self._outside(slice_index, object_id, patch, claims)
            for object_id, patch in zip(object_ids, patches, strict=True)
        ]

    def _outside(
        self,
        slice_index: int,
        object_id: int,
        patch: MaskPatch,
        claims: Sequence[tuple[int, float, _Territory]],
    ) -> MaskPatch:
        own = self._known.get(object_id, ())
        distance = min((t.distance(slice_index) for t in own), default=np.inf)
        nearer = [t for o, d, t in claims if o != object_id and d < distance]
        logits = None
        for part, territory in _overlaps(patch, nearer):
            if logits is None:
                logits = patch.logits.copy()
            taken = territory.on(slice_index)[part[1]]
            here = logits[part[0]]
            here[taken] = np.minimum(here[taken], -1)
        if logits is None:
            return patch
        return MaskPatch.from_logits(logits, patch.origin)


def _overlaps(
    patch: MaskPatch, territories: Sequence[_Territory]
) -> Iterator[tuple[tuple[tuple[slice, slice], tuple[slice, slice]], _Territory]]:
    """Yield territories that overlap a patch, with the common part in both."""
    for territory in territories:
        low = np.maximum(patch.origin, territory.origin)
        high = np.minimum(
            np.add(patch.origin, patch.logits.shape),
            np.add(territory.origin, territory.depth.shape),
        )
        size = tuple((high - low).tolist())
        if min(size) > 0:
            starts = (
                tuple((low - o).tolist()) for o in (patch.origin, territory.origin)
            )
            first, second = (window_at(start, size) for start in starts)
            yield (first, second), territory
