"""Options and results of propagation through a stack."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Literal, Self, get_args

from napari_sam.checks.values import (
    check_fields,
    choice,
    flag,
    optional,
    real_number,
    whole_number,
)
from napari_sam.masks.painting import paint_pieces, pieces_from_patches
from napari_sam.masks.patch import MaskPatch
from napari_sam.volume.appearance import UNKNOWN, Appearance

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from napari_sam.images.stack import Stack
    from napari_sam.images.window import Window
    from napari_sam.masks.painting import ObjectPlaneMask
    from napari_sam.volume.stack_prompts import PromptedSlices

Projection = Literal["auto", "box", "box+point", "box+mask", "box+point+mask"]
Status = Literal["anchor", "propagated", "interpolated", "doubtful", "stopped"]
DOUBTFUL = frozenset({"doubtful", "interpolated"})
# The status of a slice is the first of these that any object on it has.
_STATUS_ORDER: tuple[Status, ...] = ("doubtful", "interpolated", "anchor", "propagated")


_NOT_NEGATIVE = partial(real_number, least=0)
_FRACTION = partial(real_number, least=0, most=1)
_SLICE = optional(partial(whole_number, least=0))
_OPTIONS = {
    "margin": _NOT_NEGATIVE,
    "memory": partial(whole_number, least=1),
    "projection": partial(choice, options=get_args(Projection)),
    "min_confidence": _FRACTION,
    "patience": partial(whole_number, least=0),
    "reach": _NOT_NEGATIVE,
    "doubt": _FRACTION,
    "fit_border": flag,
    "first": _SLICE,
    "last": _SLICE,
}


@dataclass(frozen=True, slots=True)
class PropagationOptions:
    """Options of propagation from slice to slice.

    Parameters
    ----------
    margin : float
        The box of the expected mask is expanded by this fraction of its sides (and by
        one pixel at least) to prompt the next slice.
    memory : int
        Number of last slices from which motion and growth are measured.
    projection : str
        Kinds of prompts for the next slice: "box", "box+point", "box+mask" or
        "box+point+mask"; "auto" takes all kinds that the model was trained on.
    min_confidence : float
        Masks that have a lower confidence (0 to 1) by themselves are rejected. Between
        two prompted slices, where the object must exist, a quarter of it is enough.
    patience : int
        An object ends after more rejected slices than this in a row; fewer are
        interpolated.
    reach : float
        Rejected slices within this fraction of the object's radius are interpolated
        too, whatever their number, unless nothing at all of the object is left:
        an object does not end as abruptly.
    doubt : float
        Slices with a lower confidence (0 to 1) are "doubtful".
    fit_border : bool
        Move the border of every mask to where the image has one, see `Appearance`,
        and keep boxes at least as large as those of a ball.
        Otherwise masks are those of the model; a prompted slice then shows the same
        mask as `segment`.
    first, last : int, optional
        First and last slice to propagate to.

    Raises
    ------
    TypeError, ValueError
        When a value is not a number, or out of range.
    """

    margin: float = 0.06
    memory: int = 3
    projection: Projection = "auto"
    min_confidence: float = 0.08
    patience: int = 1
    reach: float = 0.15
    doubt: float = 0.65
    fit_border: bool = True
    first: int | None = None
    last: int | None = None

    def __post_init__(self) -> None:
        check_fields(self, _OPTIONS)
        first, last = self.first, self.last
        if first is not None and last is not None and first > last:
            raise ValueError(
                f"There is no slice from first={first} to last={last}: give "
                "a last slice of at least the first."
            )


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
        IoU that the model predicts for the mask; 0 for interpolated masks.
    status : {"anchor", "propagated", "interpolated", "doubtful", "stopped"}
        Origin of the mask. "anchor": a prompted slice; "propagated": from the slices
        before; "doubtful": propagated, with low confidence; "interpolated": between
        two slices, where the model failed; "stopped": the first slice without the
        object, its mask is empty.
    origin : tuple of int
        (row, col) of the crop's first pixel on the plane.
    logits : ndarray
        (h, w) float16: logits cropped to the mask, positive inside.
    confidence : float
        Probability (0 to 1) that the mask, or the end of the object, is right.
    provisional : bool
        Whether a final result for this slice follows.
    window : Window or None
        The part of the plane in which the model looked for the object; None for all
        of it.
    appearance : Appearance
        How the object looks on the slice, from which the next ones are segmented.
    weakest : float
        Lowest confidence of the masks from the prompted slice to this one, each by
        itself; `confidence` counts it.
    """

    object_id: int
    index: int
    score: float
    status: Status
    origin: tuple[int, int]
    logits: NDArray[np.float16]
    confidence: float = 1.0
    provisional: bool = False
    window: Window | None = None
    appearance: Appearance = UNKNOWN
    weakest: float = 1.0

    @property
    def patch(self) -> MaskPatch:
        """The cropped mask with its position."""
        return MaskPatch(self.origin, self.logits)

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns of the crop on the plane."""
        return self.patch.region

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The mask inside `region`, (h, w) bool."""
        return self.patch.mask


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """What a result was made from, to tell which parts of it still hold.

    Parameters
    ----------
    settings : str
        Model, options and geometry, see `reuse.settings_key`.
    pixels : dict
        {(slice, window): hash of the pixels that the model saw}.
    """

    settings: str
    pixels: Mapping[tuple[int, Window | None], str]

    def copy(self) -> Self:
        """Return it as it is now, while more pixels are seen."""
        return replace(self, pixels=dict(self.pixels))


@dataclass(frozen=True, eq=False)
class VolumeResult:
    """Result of a propagation: the objects of a stack.

    Parameters
    ----------
    stack : Stack
        The stack that was segmented.
    slices : tuple of SliceResult
        Mask, score and status of every object on every slice, by object and slice.
    prompted : dict
        {object id: PromptedSlices} of the propagation.
    recomputed : int
        Number of masks that the model computed, other than those reused from an
        earlier result or painted by hand.
    complete : bool
        Whether the propagation came to its end.
    empty : frozenset of int
        Slices that show nothing between the contrast limits; masks on them are
        interpolated.
    fingerprint : Fingerprint, optional
        What it was made from; without it nothing of the result is reused.
    """

    stack: Stack
    slices: tuple[SliceResult, ...]
    prompted: Mapping[int, PromptedSlices] = field(default_factory=dict)
    recomputed: int = 0
    complete: bool = True
    empty: frozenset[int] = frozenset()
    fingerprint: Fingerprint | None = None

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """Label array of the volume's shape without colour; 0 is background.

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
        """Group the results by slice, {slice: results}."""
        slices: dict[int, list[SliceResult]] = defaultdict(list)
        for result in self.slices:
            slices[result.index].append(result)
        return dict(slices)

    def of_object(self, object_id: int) -> Mapping[int, SliceResult]:
        """Return the results of one object, {slice: result}."""
        return self._by_object.get(object_id, {})

    @cached_property
    def _by_object(self) -> dict[int, dict[int, SliceResult]]:
        objects: dict[int, dict[int, SliceResult]] = defaultdict(dict)
        for result in self.slices:
            objects[result.object_id][result.index] = result
        return dict(objects)


def assemble(
    stack: Stack,
    results: Iterable[SliceResult],
    prompted: Mapping[int, PromptedSlices] | None = None,
    recomputed: int | None = None,
    complete: bool = True,
    empty: frozenset[int] = frozenset(),
    fingerprint: Fingerprint | None = None,
) -> VolumeResult:
    """Sort slice results by object and slice; the last result of a slice counts.

    Parameters
    ----------
    stack : Stack
        The stack that was segmented.
    results : iterable of SliceResult
        In the order of the propagation.
    prompted, recomputed, complete, empty, fingerprint
        See `VolumeResult`; `recomputed` is the number of results when None.
    """
    last = {(r.object_id, r.index): r for r in results}
    ordered = tuple(last[key] for key in sorted(last))
    count = len(ordered) if recomputed is None else recomputed
    return VolumeResult(
        stack, ordered, dict(prompted or {}), count, complete, empty, fingerprint
    )


def slice_states(volume: VolumeResult) -> dict[int, Status]:
    """Summarize the status of every slice with an object, {slice: status}."""
    states: dict[int, Status] = {}
    for index, members in volume.by_slice().items():
        statuses = {member.status for member in members}
        state = next((status for status in _STATUS_ORDER if status in statuses), None)
        if state is not None:
            states[index] = state
    return states


def next_doubtful(states: Mapping[int, Status], index: int) -> int | None:
    """Find the next doubtful slice after one, or else the first; None without any."""
    doubtful = sorted(i for i, state in states.items() if state in DOUBTFUL)
    later = [i for i in doubtful if i > index]
    return next(iter([*later, *doubtful]), None)
