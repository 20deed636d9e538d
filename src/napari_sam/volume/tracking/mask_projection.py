"""Expected mask on the next slice, and the prompts for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_sam.masks.morphology import innermost, large_components
from napari_sam.masks.patch import MaskPatch, on_common_canvas, patch_iou, window_at
from napari_sam.prompts.prompt import NEGATIVE, POSITIVE, Prompt
from napari_sam.volume.appearance import UNKNOWN, Appearance
from napari_sam.volume.tracking.box_motion import (
    box_size,
    enlarge_box,
    expand_box,
    extrapolate_box,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.volume.tracking.box_motion import SliceBox

# Smallest components and holes that get a prompt of their own: fractions of the
# object's area, and pixels below which a model of 256 pixels resolves nothing.
_MIN_COMPONENT_FRACTION, _MIN_HOLE_FRACTION, _MIN_PIXELS = 0.08, 0.03, 16
_MAX_PARTS = 8
# Parts of two slices with a larger IoU are the same part.
_SAME_PART_IOU = 0.1
_OUTSIDE_LOGIT = -4.0  # of pixels outside all patches


@dataclass(frozen=True, slots=True, eq=False)
class MaskPart:
    """A connected component of an object's cross-section, or a hole in it.

    Parameters
    ----------
    patch : MaskPatch
        Its mask.
    is_hole : bool
        Whether the part is a hole.
    """

    patch: MaskPatch
    is_hole: bool = False

    @property
    def box(self) -> NDArray[np.float64]:
        """(row_min, col_min, row_max, col_max) on the plane."""
        return self.patch.box


@dataclass(frozen=True, slots=True, eq=False)
class CrossSection:
    """The mask of an object on one slice, with its parts.

    Parameters
    ----------
    index : int
        The slice.
    patch : MaskPatch
        The mask; not empty.
    parts : tuple of MaskPart
        Components and holes that get prompts of their own.
    """

    index: int
    patch: MaskPatch
    parts: tuple[MaskPart, ...]

    @property
    def is_single(self) -> bool:
        """Whether it is of one part, without holes."""
        return len(self.parts) == 1

    @classmethod
    def of(cls, index: int, patch: MaskPatch) -> Self:
        """Make the cross-section of a mask."""
        return cls(index, patch, tuple(split_parts(patch)))


@dataclass(frozen=True, slots=True, eq=False)
class ExpectedMask:
    """The mask expected on the next slice, and the prompts for it.

    Parameters
    ----------
    patch : MaskPatch
        The whole object; its logits are 1 and -1.
    parts : tuple of MaskPart
        Expected components and holes.
    prompts : tuple of Prompt
        One for each part.
    appearance : Appearance
        How the object is expected to look.
    """

    patch: MaskPatch
    parts: tuple[MaskPart, ...]
    prompts: tuple[Prompt, ...]
    appearance: Appearance = UNKNOWN


def split_parts(patch: MaskPatch) -> list[MaskPart]:
    """Find the components and holes of a mask that are large enough for a prompt.

    Branches of a tube get a prompt each, because one box around several branches
    includes what lies between them.
    """
    from scipy.ndimage import binary_fill_holes

    mask = patch.mask
    area = np.count_nonzero(mask)
    components = large_components(
        mask, max(_MIN_COMPONENT_FRACTION * area, _MIN_PIXELS)
    )
    holes = large_components(
        binary_fill_holes(mask) & ~mask, max(_MIN_HOLE_FRACTION * area, _MIN_PIXELS)
    )
    parts = [
        MaskPart(MaskPatch.from_mask(component, patch.origin), is_hole)
        for is_hole, members in ((False, components or [mask]), (True, holes))
        for component in members
    ]
    return parts[:_MAX_PARTS]


def expect(
    history: Sequence[CrossSection],
    slice_index: int,
    plane_shape: tuple[int, int],
    *,
    margin: float | NDArray[np.float64],
    kinds: frozenset[str],
    goal: CrossSection | None = None,
    appearance: Appearance = UNKNOWN,
    least_size: NDArray[np.float64] | None = None,
    slice_step: NDArray[np.float64] | None = None,
) -> ExpectedMask | None:
    """Predict the mask of an object on a slice, and build the prompts for it.

    Motion and growth of the last slices continue, see `extrapolate_box`.

    Parameters
    ----------
    history : sequence of CrossSection
        The object on the last slices, in the order of the propagation; at least one.
    slice_index : int
        The slice to predict.
    plane_shape : tuple of int
        (H, W) of a slice.
    margin : float or ndarray
        Boxes are expanded by this fraction of their sides, and by one pixel at least.
        For an object of one part (4,), one margin for each side.
    kinds : frozenset of str
        Kinds of prompts to build: "box", "point" and "mask".
    goal : CrossSection, optional
        The object on the prompted slice at the end of the propagation.
    appearance : Appearance
        How the object looks.
    least_size : ndarray, optional
        (height, width) of the smallest box of an object of one part. A mask that is
        too small once would otherwise make all later boxes too small.
    slice_step : ndarray, optional
        See `extrapolate_box`.

    Returns
    -------
    ExpectedMask or None
        None when the object has left the plane.
    """
    last = history[-1]
    goal_boxes = None
    if goal is not None:
        goal_boxes = (last.index, last.patch.box), (goal.index, goal.patch.box)
        if slice_step is not None and not (last.is_single and goal.is_single):
            # Branches are not parts of one ball.
            slice_step = np.zeros(2)
    parts = []
    for part in last.parts:
        known = _part_boxes(part, history)
        box = extrapolate_box(known, slice_index, goal_boxes, slice_step=slice_step)
        if least_size is not None and len(last.parts) == 1:
            box = enlarge_box(box, least_size)
        warped = _warp(part.patch, part.box, box, plane_shape)
        if warped is not None:
            parts.append(MaskPart(warped, part.is_hole))
    components = [part for part in parts if not part.is_hole]
    holes = [part for part in parts if part.is_hole]
    if not components:
        return None
    patch = combine([p.patch for p in components], [p.patch for p in holes])
    if not patch.mask.any():
        patch = components[0].patch
    smallest_margin = float(np.min(margin))
    is_single = len(components) == 1
    prompts = tuple(
        _part_prompt(
            part,
            holes,
            margin if is_single and not part.is_hole else smallest_margin,
            kinds,
        )
        for part in parts
    )
    return ExpectedMask(patch, tuple(parts), prompts, appearance)


def combine(components: Sequence[MaskPatch], holes: Sequence[MaskPatch]) -> MaskPatch:
    """Combine components by their largest logit, and subtract holes."""
    inside = [patch for patch in components if patch.logits.size]
    if not inside:
        return MaskPatch.empty()
    low, layers = on_common_canvas(inside, _OUTSIDE_LOGIT)
    canvas = np.maximum(np.maximum.reduce(layers), _OUTSIDE_LOGIT).astype(np.float32)
    high = np.add(low, canvas.shape)
    for hole in holes:
        start = np.maximum(hole.origin, low)
        size = np.minimum(np.add(hole.origin, hole.logits.shape), high) - start
        if (size > 0).all():
            part = canvas[window_at(tuple(start - low), tuple(size))]
            logits = hole.logits[window_at(tuple(start - hole.origin), tuple(size))]
            np.minimum(part, -logits, out=part)
    return MaskPatch.from_logits(canvas, low)


def _part_boxes(part: MaskPart, history: Sequence[CrossSection]) -> list[SliceBox]:
    """Collect slice and box of a part on the last slices, as far back as it exists."""
    boxes = [(history[-1].index, part.box)]
    for section in reversed(history[:-1]):
        same_kind = [p for p in section.parts if p.is_hole == part.is_hole]
        ious = [patch_iou(p.patch, part.patch) for p in same_kind]
        if not ious or max(ious) < _SAME_PART_IOU:
            break
        part = same_kind[int(np.argmax(ious))]
        boxes.append((section.index, part.box))
    return boxes[::-1]


def _warp(
    patch: MaskPatch,
    source: NDArray[np.float64],
    target: NDArray[np.float64],
    plane_shape: tuple[int, int],
) -> MaskPatch | None:
    """Resize a mask from one box to another, nearest pixel; None outside the plane."""
    first = np.floor(target[:2] + 0.5).astype(int)
    last = np.maximum(np.floor(target[2:] + 0.5).astype(int), first)
    first, last = np.maximum(first, 0), np.minimum(last, np.subtract(plane_shape, 1))
    if (last < first).any():
        return None
    scale = box_size(source) / box_size(target)
    indices = []
    for axis in (0, 1):
        pixels = np.arange(first[axis], last[axis] + 1)
        positions = (pixels - target[axis] + 0.5) * scale[axis] + source[axis] - 0.5
        nearest = np.round(positions).astype(int) - patch.origin[axis]
        indices.append(np.clip(nearest, 0, patch.logits.shape[axis] - 1))
    mask = patch.mask[np.ix_(*indices)]
    if not mask.any():
        mask[mask.shape[0] // 2, mask.shape[1] // 2] = True
    return MaskPatch.from_mask(mask, (int(first[0]), int(first[1])))


def _part_prompt(
    part: MaskPart,
    holes: Sequence[MaskPart],
    margin: float | NDArray[np.float64],
    kinds: frozenset[str],
) -> Prompt:
    """Build the prompt of a part: its box, and points and mask where asked for."""
    points, labels = None, None
    if "point" in kinds:
        points, labels = [_innermost(part.patch)], [POSITIVE]
        for hole in () if part.is_hole else holes:
            points.append(_innermost(hole.patch))
            labels.append(NEGATIVE)
    mask: dict[str, Any] = {}
    if "mask" in kinds:
        mask = {"mask": part.patch.mask, "mask_origin": part.patch.origin}
    box = expand_box(part.box, margin)
    return Prompt(points=points, labels=labels, box=box, **mask)


def _innermost(patch: MaskPatch) -> NDArray[np.float64]:
    """Return the pixel deepest inside a mask, (row, col) on the plane."""
    return np.add(patch.origin, innermost(patch.mask)).astype(float)
