"""Many masks of one plane kept small, and the objects chosen among them.

Masks stay what the model gave, low-resolution logits, cut to where they matter:
thresholds can be changed afterwards without asking the model again, and only the
masks of the chosen objects are brought to the size of the plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.automatic.selection import disjoint, suppressed, tidied
from napari_sam.masks.patch import (
    Patch,
    labels_from_patches,
    mask_to_box,
    stability,
    window_at,
)

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from napari_sam.automatic.crops import Crop
    from napari_sam.prediction.plane_transform import Frame

# Pixels around a mask that bringing it to the plane looks at.
_MARGIN = 2
# Logits by which the threshold moves for the stability.
_OFFSET = 1.0
# Low-resolution stability of a mask of so many pixels is this much off at most: further
# below the threshold, no mask is brought to the plane.
_SLACK, _ENOUGH = 0.15, 64
# What stands for the logits that were cut off.
_OUTSIDE = -10.0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Which masks are objects.

    Parameters
    ----------
    score : float
        Least estimate of the mask's IoU with an object, by the model.
    stability : float
        Least share of the mask that stays when its threshold moves.
    trust : float
        Least product of both and, in a search over boxes, of the IoU of the box
        that was asked with that of its mask.
    overlap : float
        Of two masks whose boxes have a larger IoU the better one remains.
    min_size, max_size : int
        Pixels of the plane; no limit above when None.

    Raises
    ------
    ValueError
        When a number is out of range.
    """

    score: float = 0.5
    stability: float = 0.6
    trust: float = 0.7
    overlap: float = 0.6
    min_size: int = 0
    max_size: int | None = None

    @classmethod
    def published(cls) -> Self:
        """Those of the published generator for SAM (Kirillov et al. 2023, appendix B).

        `Candidates.masks` gives the same masks by them, before overlaps are settled.
        """
        return cls(score=0.88, stability=0.95, trust=0.0, overlap=0.7)

    def __post_init__(self) -> None:
        for name in ("score", "stability", "trust", "overlap"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(
                    f"The threshold {name}={value} is no share: give 0 to 1."
                )
        largest = self.max_size
        if self.min_size < 0 or (largest is not None and largest < self.min_size):
            raise ValueError(
                f"Sizes from {self.min_size} to {largest} pixels hold no object: give "
                "a smallest size of 0 or more and a largest one above it."
            )


@dataclass(frozen=True, eq=False)
class Candidate:
    """A mask that may be an object.

    Parameters
    ----------
    crop : Crop
        The part of the plane that the model saw.
    frame : Frame
        How that lies in the model's input.
    origin : tuple of int
        (row, col) of the first pixel of `logits` in the low-resolution mask.
    logits : ndarray
        (h, w) float16, the mask and a margin around it.
    area : float
        Pixels of the plane, by the low-resolution mask.
    score, stability : float
        See `Thresholds`.
    agreement : float
        IoU of the box that was asked with the one that the mask suggests; None for
        points.
    """

    crop: Crop
    frame: Frame
    origin: tuple[int, int]
    logits: NDArray[np.float16]
    area: float
    score: float
    stability: float
    agreement: float | None = None

    @classmethod
    def of(
        cls, logits: NDArray[np.float32], score: float, crop: Crop, frame: Frame
    ) -> Self | None:
        """Keep the (m, m) logits and the score of the model; None for empty masks."""
        height, width = frame.mask_shape
        seen = logits[:height, :width]
        if not (seen > 0).any():
            return None
        # The first pixels of the padding take part in the last ones of the plane, and
        # stability looks at what is nearly inside.
        box = mask_to_box(logits[: height + 1, : width + 1] > -_OFFSET)
        assert box is not None
        row, col = (max(int(side) - _MARGIN, 0) for side in box[:2])
        last_row, last_col = (int(side) + _MARGIN + 1 for side in box[2:])
        per_pixel = np.prod(frame.plane_shape) / (height * width)
        return cls(
            crop,
            frame,
            (row, col),
            logits[row:last_row, col:last_col].astype(np.float16),
            float(np.count_nonzero(seen > 0) * per_pixel),
            float(score),
            float(stability(seen)),
        )

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The low-resolution mask from `origin` on, cut to the plane, (h, w) bool."""
        rows, cols = np.subtract(self.frame.mask_shape, self.origin).tolist()
        inside: NDArray[np.bool_] = self.logits[:rows, :cols] > 0
        return inside

    @property
    def trust(self) -> float:
        """How far the mask is to be trusted, 0 to 1."""
        agreement = 1.0 if self.agreement is None else self.agreement
        return self.score * self.stability * agreement

    @property
    def rank(self) -> float:
        """Which of two masks with like boxes remains: the one with more.

        By the score alone for points, as published. Boxes drift to loose masks with
        good scores, so for them all counts.
        """
        return self.score if self.agreement is None else self.trust

    @property
    def low_box(self) -> NDArray[np.float64]:
        """(4,) tight box of the low-resolution mask, in its pixels."""
        box = mask_to_box(self.mask)
        assert box is not None
        box += np.tile(self.origin, 2)
        return box

    @cached_property
    def plane_stability(self) -> float:
        """Stability of the mask on the plane, as published, for masks of points.

        Those of boxes, whose thresholds are our own, and those of MedSAM, which
        interpolates probabilities, keep that of the low-resolution mask.
        """
        if self.agreement is not None or self.frame.family != "sam":
            return self.stability
        logits = self._whole()
        window = self.frame.window(logits + np.float32(_OFFSET))
        if window is None:
            return 0.0
        return float(stability(self.frame.plane_logits(logits, window), _OFFSET))

    def may_be_stable(self, least: float) -> bool:
        """Tell by the low-resolution mask alone whether `is_stable` can be true."""
        if self.agreement is not None:
            return self.stability >= least
        few = bool(np.count_nonzero(self.logits > -_OFFSET) < _ENOUGH)
        return few or self.stability >= least - _SLACK

    def is_stable(self, least: float) -> bool:
        """Whether stability reaches a threshold, on the plane where that counts."""
        return self.may_be_stable(least) and self.plane_stability >= least

    @cached_property
    def box(self) -> NDArray[np.float64]:
        """(4,) tight box of the mask on the plane; NaN where nothing is left of it.

        It is kept, as the mask on the plane is not: thresholds are changed often.
        """
        patch = self.patch()
        if not patch.logits.size:
            return np.full(4, np.nan)
        low = np.array(patch.origin, float)
        return np.concatenate([low, low + patch.logits.shape - 1])

    def patch(self) -> Patch:
        """The mask on the plane."""
        patch = self.frame.patch(self._whole())
        row, col = np.add(patch.origin, self.crop.origin).tolist()
        return Patch((row, col), patch.logits)

    def _whole(self) -> NDArray[np.float32]:
        """(m, m) logits as the model gave them, but for what is surely outside."""
        logits = np.full((self.frame.mask_size,) * 2, _OUTSIDE, np.float32)
        logits[window_at(self.origin, self.logits.shape)] = self.logits
        return logits

    def share(self, other: Candidate) -> float:
        """Share of the smaller of two masks that lies in the other."""
        if self.crop == other.crop:
            pairs = [(c.origin, c.mask) for c in (self, other)]
        else:
            patches = self.patch(), other.patch()
            pairs = [(p.origin, p.mask) for p in patches]
        (first, one), (second, two) = pairs
        low = np.maximum(first, second)
        high = np.minimum(np.add(first, one.shape), np.add(second, two.shape))
        size = tuple(np.maximum(high - low, 0).tolist())
        smaller = min(np.count_nonzero(one), np.count_nonzero(two))
        if not (all(size) and smaller):
            return 0.0
        shared = (
            one[window_at(tuple(low - first), size)]
            & two[window_at(tuple(low - second), size)]
        )
        return float(np.count_nonzero(shared) / smaller)


@dataclass(frozen=True, slots=True, eq=False)
class PlaneObjects:
    """Objects of one plane, the most trusted first.

    Parameters
    ----------
    patches : tuple of Patch
        Their masks.
    scores : tuple of float
        How far each is to be trusted, 0 to 1.
    shape : tuple of int
        (H, W) of the plane.
    """

    patches: tuple[Patch, ...]
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
                c.score >= thresholds.score
                and c.is_stable(thresholds.stability)
                and c.trust >= thresholds.trust
                and thresholds.min_size <= c.area <= largest
                and not np.isnan(c.box[0])
                and not c.crop.cuts(c.box, self.shape)
            ):
                by_crop.setdefault(c.crop, []).append(c)
        kept = [
            suppressed(group, [c.rank for c in group], thresholds.overlap)
            for group in by_crop.values()
        ]
        left = [candidate for group in kept for candidate in group]
        if len(kept) < 2:
            return left
        order = [-float(np.prod(c.crop.shape)) for c in left]
        return suppressed(left, order, thresholds.overlap)

    def objects(self, thresholds: Thresholds) -> PlaneObjects:
        """The objects by other thresholds, at once: no mask is decoded again.

        Of masks that contain one another those are chosen that explain most of the
        plane by trusted masks; see `disjoint`.
        """
        patches, scores = [], []
        for candidate in disjoint(self.masks(thresholds)):
            patch = tidied(candidate.patch())
            size = int(np.count_nonzero(patch.mask))
            if size >= max(thresholds.min_size, 1) and self._inside(patch, size):
                patches.append(patch)
                scores.append(candidate.trust)
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        return PlaneObjects(
            tuple(patches[i] for i in order),
            tuple(scores[i] for i in order),
            self.shape,
        )

    def _inside(self, patch: Patch, size: int) -> bool:
        if self.region is None:
            return True
        inside = int(np.count_nonzero(self.region[patch.region] & patch.mask))
        return 2 * inside > size
