"""Candidates of one plane, and the objects selected among them by thresholds.

Candidates are low-resolution logits, cut tight around each mask. Thresholds can
therefore change without running the model again, and only the masks of selected
objects are interpolated to the plane.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.automatic.selection import (
    largest_component_filled,
    non_maximum_suppression,
    select_disjoint,
    without_overlaps,
)
from napari_sam.checks.arrays import positions
from napari_sam.checks.values import (
    check_fields,
    optional,
    real_number,
    whole_number,
)
from napari_sam.masks.painting import labels_from_patches
from napari_sam.masks.patch import stability

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import NDArray

    from napari_sam.automatic.candidate import AnyCandidate
    from napari_sam.automatic.crops import Crop
    from napari_sam.masks.patch import MaskPatch


# Objects of at least this fraction of the quality threshold are offered to be picked.
_UNLIKELY = 0.25


_FRACTION = partial(real_number, least=0, most=1)
_SIZE = partial(whole_number, least=0)
_OPTIONS = {
    "pred_iou_thresh": _FRACTION,
    "stability_score_thresh": _FRACTION,
    "quality_thresh": optional(_FRACTION),
    "box_nms_thresh": _FRACTION,
    "min_size": _SIZE,
    "max_size": optional(_SIZE),
    "picked": positions,
    "dropped": positions,
}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Thresholds that select objects among the candidates.

    Parameters
    ----------
    pred_iou_thresh : float
        Minimum predicted IoU of the mask with an object.
    stability_score_thresh : float
        Minimum stability score: IoU of the masks at a higher and a lower logit
        threshold.
    quality_thresh : float, optional
        Minimum quality. In a search by prompts predicted IoU x stability score and, for
        boxes, x the IoU of the prompted box with the box of its mask; 0.7 when None.
        For an instance head the estimated probability that it is an object; 0.4 when
        None.
    box_nms_thresh : float
        Of two masks whose boxes have a larger IoU the better one is kept.
    min_size, max_size : int
        Area in pixels of the plane; no maximum when None.
    picked, dropped : tuple of tuple of float
        Points of a plane, (row, col). Under each of `picked` the best candidate is an
        object, whatever the thresholds; objects under `dropped` are left out.

    Raises
    ------
    TypeError, ValueError
        When a value is not a number, or out of range.
    """

    pred_iou_thresh: float = 0.5
    stability_score_thresh: float = 0.6
    quality_thresh: float | None = None
    box_nms_thresh: float = 0.6
    min_size: int = 0
    max_size: int | None = None
    picked: tuple[tuple[float, float], ...] = ()
    dropped: tuple[tuple[float, float], ...] = ()

    @classmethod
    def published(cls) -> Self:
        """Return the published values for SAM (Kirillov et al. 2023, appendix B).

        With them `Candidates.masks` returns the masks of the published generator,
        which may overlap.
        """
        return cls(0.88, 0.95, quality_thresh=0.0, box_nms_thresh=0.7)

    def __post_init__(self) -> None:
        check_fields(self, _OPTIONS)
        if self.max_size is not None and self.max_size < self.min_size:
            raise ValueError(
                f"No object has from {self.min_size} to {self.max_size} pixels: give "
                "a max_size of at least min_size."
            )

    def quality_of(self, candidate: AnyCandidate) -> float:
        """Return the minimum quality of a candidate."""
        usual = candidate.usual_quality
        return usual if self.quality_thresh is None else self.quality_thresh


@dataclass(frozen=True, slots=True, eq=False)
class PlaneObjects:
    """Objects of one plane, the best quality first.

    Parameters
    ----------
    patches : tuple of MaskPatch
        Their masks.
    scores : tuple of float
        Quality of each, 0 to 1, see `Thresholds`.
    shape : tuple of int
        (H, W) of the plane.
    numbers : tuple of int
        The object of the stack of which each is a part; 0 where that is not known.
    """

    patches: tuple[MaskPatch, ...]
    scores: tuple[float, ...]
    shape: tuple[int, int]
    numbers: tuple[int, ...] = ()

    @property
    def are_numbered(self) -> bool:
        """Whether it is known which are parts of the same object of the stack."""
        return 0 not in self.numbers and len(self.numbers) == len(self.patches)

    def numbered(self, labels: NDArray[np.int32]) -> NDArray[np.int32]:
        """Replace its `labels` by the numbers of the objects of the stack."""
        return np.array([0, *self.numbers], np.int32)[labels]

    @property
    def labels(self) -> NDArray[np.int32]:
        """(H, W) int32, object i as i + 1; overlaps go to the larger logit."""
        return labels_from_patches(self.patches, self.shape)

    @property
    def annotations(self) -> list[dict[str, Any]]:
        """The objects as `SamAutomaticMaskGenerator` of segment-anything returns them.

        One dict for each: `segmentation` (H, W) bool, `area`, `bbox` and `crop_box` as
        [x, y, width, height], `predicted_iou`, `stability_score`, and `point_coords`,
        here the pixel deepest inside the object as [[x, y]].
        """
        return [
            _annotation(patch, score, self.shape)
            for patch, score in zip(self.patches, self.scores, strict=True)
        ]


def _annotation(
    patch: MaskPatch, score: float, shape: tuple[int, int]
) -> dict[str, Any]:
    from scipy.ndimage import distance_transform_edt

    mask = patch.mask
    segmentation = np.zeros(shape, bool)
    segmentation[patch.region] = mask
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, col = np.add(np.unravel_index(depth.argmax(), depth.shape), patch.origin)
    top, left, bottom, right = patch.box
    return {
        "segmentation": segmentation,
        "area": int(mask.sum()),
        "bbox": [left, top, right - left + 1, bottom - top + 1],
        "predicted_iou": score,
        "point_coords": [[float(col), float(row)]],
        "stability_score": float(stability(patch.logits)),
        "crop_box": [0, 0, shape[1], shape[0]],
    }


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """All candidates that a search found on one plane.

    Parameters
    ----------
    members : tuple of Candidate
        In the order of the search.
    shape : tuple of int
        (H, W) of the plane.
    region : ndarray, optional
        (H, W) bool; more than half of each object lies inside.
    """

    members: tuple[AnyCandidate, ...]
    shape: tuple[int, int]
    region: NDArray[np.bool_] | None = None

    def masks(self, thresholds: Thresholds) -> list[AnyCandidate]:
        """Select the candidates that pass the thresholds and are no duplicates.

        Non-maximum suppression runs within each crop, the best score first, and then
        between crops, the smallest crop first, as it shows more detail (Kirillov et
        al. 2023). A mask and its parts may both remain.

        Parameters
        ----------
        thresholds : Thresholds
            What an object must reach.

        Returns
        -------
        list of Candidate or InstanceCandidate
            The best score first within each crop.
        """
        by_crop: dict[Crop, list[AnyCandidate]] = {}
        for candidate in self.members:
            if self._passes(candidate, thresholds):
                by_crop.setdefault(candidate.crop, []).append(candidate)
        kept = [
            non_maximum_suppression(
                group, [c.nms_score for c in group], thresholds.box_nms_thresh
            )
            for group in by_crop.values()
        ]
        remaining = [candidate for group in kept for candidate in group]
        if len(kept) < 2:
            return remaining
        crop_sizes = [-float(np.prod(c.crop.shape)) for c in remaining]
        return non_maximum_suppression(remaining, crop_sizes, thresholds.box_nms_thresh)

    def only_masks(self, thresholds: Thresholds) -> Candidates:
        """Drop what `masks` does not select; the same thresholds give the same objects.

        Takes less memory, but candidates for lower thresholds are gone.

        Parameters
        ----------
        thresholds : Thresholds
            What an object must reach.

        Returns
        -------
        Candidates
            With the selected members only.
        """
        return replace(self, members=tuple(self.masks(thresholds)))

    def _passes(self, candidate: AnyCandidate, thresholds: Thresholds) -> bool:
        max_size = np.inf if thresholds.max_size is None else thresholds.max_size
        return bool(
            candidate.pred_iou >= thresholds.pred_iou_thresh
            and candidate.is_stable(thresholds.stability_score_thresh)
            and candidate.quality >= thresholds.quality_of(candidate)
            and thresholds.min_size <= candidate.area <= max_size
            and not np.isnan(candidate.box[0])
            and not candidate.crop.cuts(candidate.box, self.shape)
        )

    def objects(self, thresholds: Thresholds) -> PlaneObjects:
        """Select objects that do not overlap; the model does not run again.

        Of masks that contain each other the best disjoint subset is selected, see
        `select_disjoint`.

        Parameters
        ----------
        thresholds : Thresholds
            What an object must reach.

        Returns
        -------
        PlaneObjects
            Labels and scores of the objects.
        """
        picked = self._under(thresholds.picked)
        others = select_disjoint(self.masks(thresholds))
        selected: list[tuple[float, MaskPatch, int]] = []
        for candidate in [*picked, *without_overlaps(others, picked)]:
            patch = largest_component_filled(candidate.patch())
            area = int(np.count_nonzero(patch.mask))
            smallest = 1 if candidate in picked else max(thresholds.min_size, 1)
            is_dropped = any(patch.holds(point) for point in thresholds.dropped)
            if area >= smallest and not is_dropped and self._in_region(patch, area):
                selected.append((candidate.quality, patch, candidate.number))
        selected.sort(key=lambda one: -one[0])
        scores, patches, numbers = (
            zip(*selected, strict=True) if selected else ((),) * 3
        )
        return PlaneObjects(patches, scores, self.shape, numbers)

    def unlikely(
        self, thresholds: Thresholds, objects: PlaneObjects
    ) -> tuple[MaskPatch, ...]:
        """Select masks of too low a quality where no object is, the best first.

        Parameters
        ----------
        thresholds : Thresholds
            Those that selected the objects.
        objects : PlaneObjects
            Selected from these candidates.
        """

        def is_left_out(candidate: AnyCandidate) -> bool:
            usual = thresholds.quality_of(candidate)
            is_poor = _UNLIKELY * usual <= candidate.quality < usual
            return is_poor or any(map(partial(_holds, candidate), thresholds.dropped))

        low = [candidate for candidate in self.members if is_left_out(candidate)]
        taken = objects.labels > 0
        found = []
        for candidate in sorted(low, key=lambda c: -c.quality):
            patch = candidate.patch()
            covered = taken[patch.region]
            if patch.mask.any() and not covered[patch.mask].any():
                covered[patch.mask] = True
                found.append(patch)
        return tuple(found)

    def toggle(self, thresholds: Thresholds, point: tuple[float, float]) -> Thresholds:
        """Return thresholds that drop the object at a point, or pick what is there.

        Parameters
        ----------
        thresholds : Thresholds
            Those that select the objects now.
        point : tuple of float
            (row, col) on the plane.
        """
        picked, dropped = thresholds.picked, thresholds.dropped
        objects = self.objects(thresholds).patches
        here = next((patch for patch in objects if patch.holds(point)), None)
        if here is not None:
            kept = tuple(p for p in picked if not here.holds(p))
            more = (point,) if kept == picked else ()
            return replace(thresholds, picked=kept, dropped=(*dropped, *more))
        under = self._under([point])
        if not under:
            return thresholds
        kept = tuple(p for p in dropped if not _holds(under[0], p))
        more = (point,) if kept == dropped else ()
        return replace(thresholds, picked=(*picked, *more), dropped=kept)

    def _under(self, points: Sequence[tuple[float, float]]) -> list[AnyCandidate]:
        """Return the best candidate under each point."""
        found: list[AnyCandidate] = []
        for point in points:
            under = [c for c in self.members if _holds(c, point)]
            if under:
                best = max(under, key=lambda c: c.quality)
                found += [best] if best not in found else []
        return found

    def _in_region(self, patch: MaskPatch, area: int) -> bool:
        if self.region is None:
            return True
        inside = int(np.count_nonzero(self.region[patch.region] & patch.mask))
        return 2 * inside > area


def _holds(candidate: AnyCandidate, point: Sequence[float]) -> bool:
    """Tell whether a point of the plane lies in a candidate."""
    low, high = candidate.box[:2], candidate.box[2:]
    # Masks of points are interpolated at need, which takes time.
    is_near = (low <= np.add(point, 1)).all() and (high >= np.add(point, -1)).all()
    return bool(is_near) and candidate.patch().holds(point)
