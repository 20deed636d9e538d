"""Object of the instance maps, as a candidate of the automatic search."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from napari_sam.masks.patch import MaskPatch, overlap_fraction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.automatic.candidate import AnyCandidate
    from napari_sam.automatic.crops import Crop


@dataclass(frozen=True, eq=False)
class InstanceCandidate:
    """An object of the instance maps.

    Parameters
    ----------
    crop : Crop
        The plane.
    mask_patch : MaskPatch
        Its mask on the plane.
    quality : float
        Estimated probability that it is an object, 0 to 1.
    number : int
        The object of the stack of which it is a part; 0 if that is not known.
    """

    crop: Crop
    mask_patch: MaskPatch
    quality: float
    number: int = 0

    pred_iou: ClassVar[float] = 1.0
    usual_quality: ClassVar[float] = 0.4

    @property
    def nms_score(self) -> float:
        """Score of non-maximum suppression."""
        return self.quality

    @cached_property
    def area(self) -> float:
        """Pixels of the plane."""
        return float(np.count_nonzero(self.mask_patch.mask))

    @cached_property
    def box(self) -> NDArray[np.float64]:
        """(4,) tight box of the mask on the plane."""
        return self.mask_patch.box

    def is_stable(self, threshold: float) -> bool:
        """Tell whether the stability passes: the quality alone counts here."""
        return True

    def patch(self) -> MaskPatch:
        """Return the mask on the plane."""
        return self.mask_patch

    def overlap_fraction(self, other: AnyCandidate) -> float:
        """Compute the fraction of the smaller of two masks that lies in the other."""
        one, two = self.mask_patch, other.patch()
        return overlap_fraction(one.origin, one.mask, two.origin, two.mask)
