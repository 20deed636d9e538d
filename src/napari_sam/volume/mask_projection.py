"""From the masks of the last slices to what the next slice is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_sam.masks.morphology import innermost, large_components
from napari_sam.masks.patch import MaskPatch, on_common_canvas, patch_iou, window_at
from napari_sam.prompts.prompt import NEGATIVE, POSITIVE, Prompt
from napari_sam.volume.box_motion import box_size, expand_box, extrapolate_box

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Projection = Literal["auto", "box", "box+point", "box+mask", "box+point+mask"]

# Smaller pieces and holes are not followed on their own: shares of the object, and
# pixels below which a model of 256 pixels sees nothing.
_PIECE_SHARE, _HOLE_SHARE, _FEWEST_PIXELS = 0.08, 0.03, 16
_MOST_PARTS = 8
# A piece is the continuation of the one it shares this much with.
_SAME_PIECE = 0.1
_FLOOR = -4.0  # the logit of what lies outside all patches


@dataclass(frozen=True, slots=True, eq=False)
class MaskPart:
    """A piece of an object's cross-section, or a hole in it.

    Parameters
    ----------
    patch : MaskPatch
        Its mask.
    is_hole : bool
        It is to be taken away from the object.
    """

    patch: MaskPatch
    is_hole: bool = False

    @property
    def box(self) -> NDArray[np.float64]:
        """(row_min, col_min, row_max, col_max) on the plane."""
        return self.patch.box


@dataclass(frozen=True, slots=True, eq=False)
class CrossSection:
    """An object on one slice, as the next slices need it.

    Parameters
    ----------
    index : int
        The slice.
    patch : MaskPatch
        Its mask; not empty.
    parts : tuple of MaskPart
        The pieces and holes that are followed.
    """

    index: int
    patch: MaskPatch
    parts: tuple[MaskPart, ...] = field(default=())

    @classmethod
    def of(cls, index: int, patch: MaskPatch) -> CrossSection:
        """A section and its parts."""
        return cls(index, patch, tuple(split_parts(patch)))


@dataclass(frozen=True, slots=True, eq=False)
class ExpectedMask:
    """What is thought to be on the next slice.

    Parameters
    ----------
    patch : MaskPatch
        The whole object, its logits 1 and -1.
    parts : tuple of MaskPart
        Where each piece and hole is thought to be.
    prompts : tuple of Prompt
        One for each part.
    """

    patch: MaskPatch
    parts: tuple[MaskPart, ...]
    prompts: tuple[Prompt, ...]


def split_parts(patch: MaskPatch) -> list[MaskPart]:
    """Pieces and holes of a mask that are large enough to be followed.

    Branches of a tube that leave each other, or meet, are followed by a prompt
    each: one box around both asks for what lies between them as well.
    """
    from scipy.ndimage import binary_fill_holes

    mask = patch.mask
    area = np.count_nonzero(mask)
    pieces = large_components(mask, max(_PIECE_SHARE * area, _FEWEST_PIXELS))
    if not pieces:
        pieces = [mask]
    filled = binary_fill_holes(mask)
    holes = large_components(filled & ~mask, max(_HOLE_SHARE * area, _FEWEST_PIXELS))
    found = [MaskPart(MaskPatch.from_mask(piece, patch.origin)) for piece in pieces]
    found += [
        MaskPart(MaskPatch.from_mask(hole, patch.origin), is_hole=True)
        for hole in holes
    ]
    return found[:_MOST_PARTS]


def expect(
    history: Sequence[CrossSection],
    index: int,
    plane_shape: tuple[int, int],
    *,
    margin: float | NDArray[np.float64],
    kinds: frozenset[str],
    goal: CrossSection | None = None,
) -> ExpectedMask | None:
    """What is thought to be on a slice, and how the model is asked about it.

    Motion and growth of the last slices go on, damped, as of a Kalman filter with
    fixed gains; towards a `goal` the object also heads straight for it.

    Parameters
    ----------
    history : sequence of CrossSection
        The last slices of the object in the order of the walk, at least one.
    index : int
        The next slice.
    plane_shape : tuple of int
        (H, W) of a slice.
    margin : float or ndarray
        Boxes grow by this share of their sides, and by one pixel at least; of an
        object in one piece, (4,) for each side of the box.
    kinds : frozenset of str
        "box", "point" and "mask": of what the prompts are made.
    goal : CrossSection, optional
        The anchor that the walk comes to.

    Returns
    -------
    Expected or None
        None when the object has left the plane.
    """
    last = history[-1]
    heading = None
    if goal is not None:
        heading = [(section.index, section.patch.box) for section in (last, goal)]
    parts = []
    for part in last.parts:
        track = _track(part, history)
        box = extrapolate_box(track, index, heading)
        warped = _warp(part.patch, part.box, box, plane_shape)
        if warped is not None:
            parts.append(MaskPart(warped, part.is_hole))
    solid = [part for part in parts if not part.is_hole]
    holes = [part for part in parts if part.is_hole]
    if not solid:
        return None
    whole = combine([p.patch for p in solid], [p.patch for p in holes])
    if not whole.mask.any():
        whole = solid[0].patch
    narrow = float(np.min(margin))
    prompts = tuple(
        _ask(part, holes, narrow if part.is_hole or len(solid) > 1 else margin, kinds)
        for part in parts
    )
    return ExpectedMask(whole, tuple(parts), prompts)


def combine(solid: Sequence[MaskPatch], holes: Sequence[MaskPatch]) -> MaskPatch:
    """One mask of pieces and holes: the largest logit of the pieces, less the holes."""
    inside = [patch for patch in solid if patch.logits.size]
    if not inside:
        return MaskPatch.empty()
    low, layers = on_common_canvas(inside, _FLOOR)
    canvas = np.maximum(np.maximum.reduce(layers), _FLOOR).astype(np.float32)
    high = np.add(low, canvas.shape)
    for hole in holes:
        start = np.maximum(hole.origin, low)
        size = np.minimum(np.add(hole.origin, hole.logits.shape), high) - start
        if (size > 0).all():
            part = canvas[window_at(tuple(start - low), tuple(size))]
            logits = hole.logits[window_at(tuple(start - hole.origin), tuple(size))]
            np.minimum(part, -logits, out=part)
    return MaskPatch.from_logits(canvas, low)


def _track(part: MaskPart, history: Sequence[CrossSection]) -> list[tuple[int, Any]]:
    """Slice and box of a part on the last slices, as far back as it is found."""
    track = [(history[-1].index, part.box)]
    for section in reversed(history[:-1]):
        same = [p for p in section.parts if p.is_hole == part.is_hole]
        shared = [patch_iou(p.patch, part.patch) for p in same]
        if not shared or max(shared) < _SAME_PIECE:
            break
        part = same[int(np.argmax(shared))]
        track.append((section.index, part.box))
    return track[::-1]


def _warp(
    patch: MaskPatch,
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    plane_shape: tuple[int, int],
) -> MaskPatch | None:
    """Carry a mask from one box to another, nearest pixel; None off the plane."""
    first = np.floor(target[:2] + 0.5).astype(int)
    last = np.maximum(np.floor(target[2:] + 0.5).astype(int), first)
    first, last = np.maximum(first, 0), np.minimum(last, np.subtract(plane_shape, 1))
    if (last < first).any():
        return None
    scale = box_size(source) / box_size(target)
    picked = []
    for axis in (0, 1):
        pixels = np.arange(first[axis], last[axis] + 1)
        under = (pixels - target[axis] + 0.5) * scale[axis] + source[axis] - 0.5
        under = np.round(under).astype(int) - patch.origin[axis]
        picked.append(np.clip(under, 0, patch.logits.shape[axis] - 1))
    mask = patch.mask[np.ix_(*picked)]
    if not mask.any():
        mask[mask.shape[0] // 2, mask.shape[1] // 2] = True
    return MaskPatch.from_mask(mask, (int(first[0]), int(first[1])))


def _ask(
    part: MaskPart,
    holes: Sequence[MaskPart],
    margin: float | NDArray[np.float64],
    kinds: frozenset[str],
) -> Prompt:
    """The prompt of a part: its box, and what else the model was trained on."""
    points, labels = None, None
    if "point" in kinds:
        points, labels = [_innermost(part.patch)], [POSITIVE]
        for hole in () if part.is_hole else holes:
            points.append(_innermost(hole.patch))
            labels.append(NEGATIVE)
    masks: dict[str, Any] = {}
    if "mask" in kinds:
        masks = {"mask": part.patch.mask, "mask_origin": part.patch.origin}
    box = expand_box(part.box, margin)
    return Prompt(points=points, labels=labels, box=box, **masks)


def _innermost(patch: MaskPatch) -> NDArray[np.float64]:
    """The pixel deepest inside a mask, (row, col) on the plane."""
    return np.add(patch.origin, innermost(patch.mask)).astype(float)
