"""Many masks of one plane kept small, and the objects chosen among them.

Masks stay what the model gave, low-resolution logits, cut to where they matter:
thresholds can be changed afterwards without asking the model again, and only the
masks of the chosen objects are brought to the size of the plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.automatic.selection import (
    largest_component_filled,
    non_maximum_suppression,
    select_disjoint,
)
from napari_sam.masks.painting import labels_from_patches

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from napari_sam.automatic.candidate import Candidate
    from napari_sam.automatic.crops import Crop
    from napari_sam.masks.patch import MaskPatch


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Which masks are objects.

    Parameters
    ----------
    pred_iou_thresh : float
        Minimum IoU of the mask with an object as the model predicts it.
    stability_score_thresh : float
        Minimum IoU of the masks at a higher and a lower logit threshold.
    quality_thresh : float
        Minimum product of both and, in a search over boxes, of the IoU of the box
        that was asked with that of its mask.
    box_nms_thresh : float
        Of two masks whose boxes have a larger IoU the better one is kept.
    min_size, max_size : int
        Pixels of the plane; no limit above when None.

    Raises
    ------
    ValueError
        When a number is out of range.
    """

    pred_iou_thresh: float = 0.5
    stability_score_thresh: float = 0.6
    quality_thresh: float = 0.7
    box_nms_thresh: float = 0.6
    min_size: int = 0
    max_size: int | None = None

    @classmethod
    def published(cls) -> Self:
        """Those of the published generator for SAM (Kirillov et al. 2023, appendix B).

        `Candidates.masks` gives the same masks by them, before overlaps are settled.
        """
        return cls(0.88, 0.95, quality_thresh=0.0, box_nms_thresh=0.7)

    def __post_init__(self) -> None:
        for name in (
            "pred_iou_thresh",
            "stability_score_thresh",
            "quality_thresh",
            "box_nms_thresh",
        ):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(
                    f"The threshold {name}={value} must be between 0 and 1."
                )
        largest = self.max_size
        if self.min_size < 0 or (largest is not None and largest < self.min_size):
            raise ValueError(
                f"Sizes from {self.min_size} to {largest} pixels hold no object: give "
                "a smallest size of 0 or more and a largest one above it."
            )


@dataclass(frozen=True, slots=True, eq=False)
class PlaneObjects:
    """Objects of one plane, the most trusted first.

    Parameters
    ----------
    patches : tuple of MaskPatch
        Their masks.
    scores : tuple of float
        How far each is to be trusted, 0 to 1.
    shape : tuple of int
        (H, W) of the plane.
    """

    patches: tuple[MaskPatch, ...]
    scores: tuple[float, ...]
    shape: tuple[int, int]

    @property
    def labels(self) -> NDArray[np.int32]:
        """(H, W) int32, object i painted as i + 1; overlaps go to larger logits."""
        return labels_from_patches(self.patches, self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """All masks that a search met on one plane.

    Parameters
    ----------
    members : tuple of Candidate
        In the order in which they were met.
    shape : tuple of int
        (H, W) of the plane.
    region : ndarray, optional
        (H, W) bool: objects lie inside by more than half.
    """

    members: tuple[Candidate, ...]
    shape: tuple[int, int]
    region: NDArray[np.bool_] | None = None

    @property
    def nbytes(self) -> int:
        """Memory held by the masks."""
        return sum(member.logits.nbytes for member in self.members)

    def masks(self, thresholds: Thresholds) -> list[Candidate]:
        """The candidates that pass, none twice; parts and wholes remain.

        Boxes are compared within each crop, the better score first, and then between
        crops, the smaller crop first, as it saw more (Kirillov et al. 2023).
        """
        largest = np.inf if thresholds.max_size is None else thresholds.max_size
        by_crop: dict[Crop, list[Candidate]] = {}
        for c in self.members:
            if (
                c.score >= thresholds.pred_iou_thresh
                and c.is_stable(thresholds.stability_score_thresh)
                and c.quality >= thresholds.quality_thresh
                and thresholds.min_size <= c.area <= largest
                and not np.isnan(c.box[0])
                and not c.crop.cuts(c.box, self.shape)
            ):
                by_crop.setdefault(c.crop, []).append(c)
        kept = [
            non_maximum_suppression(
                group, [c.nms_score for c in group], thresholds.box_nms_thresh
            )
            for group in by_crop.values()
        ]
        left = [candidate for group in kept for candidate in group]
        if len(kept) < 2:
            return left
        order = [-float(np.prod(c.crop.shape)) for c in left]
        return non_maximum_suppression(left, order, thresholds.box_nms_thresh)

    def objects(self, thresholds: Thresholds) -> PlaneObjects:
        """The objects by other thresholds, at once: no mask is decoded again.

        Of masks that contain one another those are chosen that explain most of the
        plane by trusted masks; see `select_disjoint`.
        """
        patches, scores = [], []
        for candidate in select_disjoint(self.masks(thresholds)):
            patch = largest_component_filled(candidate.patch())
            size = int(np.count_nonzero(patch.mask))
            if size >= max(thresholds.min_size, 1) and self._inside(patch, size):
                patches.append(patch)
                scores.append(candidate.quality)
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        return PlaneObjects(
            tuple(patches[i] for i in order),
            tuple(scores[i] for i in order),
            self.shape,
        )

    def _inside(self, patch: MaskPatch, size: int) -> bool:
        if self.region is None:
            return True
        inside = int(np.count_nonzero(self.region[patch.region] & patch.mask))
        return 2 * inside > size
