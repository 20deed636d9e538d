"""What came of following objects through a stack."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from napari_sam.masks.painting import paint_pieces, pieces_from_patches
from napari_sam.masks.patch import MaskPatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from napari_sam.images.stack import Stack
    from napari_sam.masks.painting import ObjectPlaneMask
    from napari_sam.volume.mask_projection import Projection
    from napari_sam.volume.stack_prompts import PromptedSlices

Status = Literal["anchor", "propagated", "interpolated", "doubtful", "stopped"]
# Of several objects on a slice the first of these decides.
_ORDER: tuple[Status, ...] = ("doubtful", "interpolated", "anchor", "propagated")


@dataclass(frozen=True, slots=True)
class PropagationOptions:
    """How objects are followed from slice to slice.

    Parameters
    ----------
    margin : float
        The box of the expected mask grows by this share of its sides (and by
        one pixel at least) to become the prompt of the next slice.
    memory : int
        So many of the last slices tell motion and growth.
    projection : str
        Of what the prompts of the next slice are made: "box", "box+point",
        "box+mask", "box+point+mask"; "auto" takes all the model was trained on.
    min_confidence : float
        A slice whose mask is less probable to be good counts as bad; between two
        anchors, where the object is known to be, a quarter of it is enough.
    patience : int
        An object ends after more bad slices than this in a row; fewer are bridged
        by interpolation.
    reach : float
        Bad slices that lie within this share of the object's radius are bridged
        too, however many, unless nothing at all is left of it: an object does not
        end as abruptly.
    doubt : float
        Slices of less confidence are called doubtful.
    first, last : int, optional
        Slices beyond are not looked at.
    """

    margin: float = 0.06
    memory: int = 3
    projection: Projection = "auto"
    min_confidence: float = 0.2
    patience: int = 1
    reach: float = 0.15
    doubt: float = 0.8
    first: int | None = None
    last: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SliceResult:
    """One object on one slice.

    Parameters
    ----------
    object_id : int
        The object.
    index : int
        The slice.
    score : float
        The model's own estimate of the mask's quality; 0 where it was not asked.
    status : {"anchor", "propagated", "interpolated", "doubtful", "stopped"}
        Where the mask came from. "anchor": from the user; "propagated": from the
        slices before; "doubtful": likewise, with little confidence;
        "interpolated": between slices, as the model failed; "stopped" marks the
        first slice that no longer holds the object, its mask is empty.
    origin : tuple of int
        (row, col) of the crop's first pixel on the plane.
    logits : ndarray
        (h, w) float16 crop of the logits around the mask, positive inside.
    confidence : float
        Probability that mask or end are right, from the slices around.
    provisional : bool
        Another result for this slice follows.
    """

    object_id: int
    index: int
    score: float
    status: Status
    origin: tuple[int, int]
    logits: NDArray[np.float16]
    confidence: float = 1.0
    provisional: bool = False

    @property
    def patch(self) -> MaskPatch:
        """The crop and where it lies."""
        return MaskPatch(self.origin, self.logits)

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns of the crop on the plane."""
        return self.patch.region

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The mask inside `region`, (h, w) bool."""
        return self.patch.mask


@dataclass(frozen=True, eq=False)
class VolumeResult:
    """Objects through a stack.

    Parameters
    ----------
    stack : Stack
        That was segmented.
    slices : tuple of SliceResult
        Index, score and status of every object on every slice it was followed to,
        by object and slice.
    anchors : dict
        {object id: ObjectAnchors} that it was made from.
    recomputed : int
        Slices of objects that the model was asked about: neither taken from an
        earlier result nor painted by hand.
    complete : bool
        Whether the work came to its end.
    """

    stack: Stack
    slices: tuple[SliceResult, ...]
    anchors: Mapping[int, PromptedSlices] = field(default_factory=dict)
    recomputed: int = 0
    complete: bool = True

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """Labels of the volume's shape without colour; 0 is background.

        Where objects overlap, the larger logit decides.
        """
        return paint_pieces(self.pieces, self.stack.shape)

    @cached_property
    def pieces(self) -> tuple[ObjectPlaneMask, ...]:
        """Masks of the objects on the planes of the image, without overlaps."""
        pieces: list[ObjectPlaneMask] = []
        for index, members in self.by_slice().items():
            object_ids = [member.object_id for member in members]
            patches = [member.patch for member in members]
            plane_index = self.stack.plane_index(index)
            pieces += pieces_from_patches(object_ids, plane_index, patches)
        return tuple(pieces)

    def by_slice(self) -> dict[int, list[SliceResult]]:
        """{slice: its results}, by object."""
        slices: dict[int, list[SliceResult]] = defaultdict(list)
        for result in self.slices:
            slices[result.index].append(result)
        return dict(slices)

    def of_object(self, object_id: int) -> Mapping[int, SliceResult]:
        """{slice: result} of one object."""
        return self._by_object.get(object_id, {})

    @cached_property
    def _by_object(self) -> dict[int, dict[int, SliceResult]]:
        """Sorted out once: every anchor and span of a correction asks for it."""
        objects: dict[int, dict[int, SliceResult]] = defaultdict(dict)
        for result in self.slices:
            objects[result.object_id][result.index] = result
        return dict(objects)


def assemble(
    stack: Stack,
    results: Iterable[SliceResult],
    anchors: Mapping[int, PromptedSlices] | None = None,
    recomputed: int | None = None,
    complete: bool = True,
) -> VolumeResult:
    """Sort slice results by object and slice; of several the last one counts.

    Parameters
    ----------
    stack : Stack
        That was segmented.
    results : iterable of SliceResult
        In the order in which they came.
    anchors, recomputed, complete
        See `VolumeResult`; the number of results when None.
    """
    last = {(r.object_id, r.index): r for r in results}
    ordered = tuple(last[key] for key in sorted(last))
    count = len(ordered) if recomputed is None else recomputed
    return VolumeResult(stack, ordered, dict(anchors or {}), count, complete)


DOUBTFUL = frozenset({"doubtful", "interpolated"})


def slice_states(volume: VolumeResult) -> dict[int, Status]:
    """The state of every slice that holds an object, the most doubtful one's."""
    states: dict[int, Status] = {}
    for index, members in volume.by_slice().items():
        found = {member.status for member in members}
        state = next((status for status in _ORDER if status in found), None)
        if state is not None:
            states[index] = state
    return states


def next_doubtful(states: Mapping[int, Status], index: int) -> int | None:
    """The doubtful slice after this one, or the first one; None without any."""
    doubtful = sorted(i for i, state in states.items() if state in DOUBTFUL)
    later = [i for i in doubtful if i > index]
    return next(iter([*later, *doubtful]), None)
