"""Scores of an instance head on labelled objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_sam.automatic.instances.candidate import InstanceCandidate
from napari_sam.masks.object_quality import quality_of
from napari_sam.masks.watershed import Maps, split_objects

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from napari_sam.nets.instance_head import InstanceHead
    from napari_sam.training.instances.windows import HeadWindow

# An object is found when a label has a higher IoU with it.
FOUND_IOU = 0.5


@dataclass(frozen=True, slots=True)
class HeadScore:
    """How well an instance head finds labelled objects.

    Parameters
    ----------
    f1 : float
        Found objects over the mean of the number of objects and of answers, 0 to 1.
    iou : float
        Mean IoU of the found objects; 0 when there are none.
    """

    f1: float
    iou: float

    @property
    def panoptic_quality(self) -> float:
        """Product of both (Kirillov et al. 2019, "Panoptic segmentation")."""
        return self.f1 * self.iou

    def is_better_than(self, other: HeadScore) -> bool:
        """Tell whether it finds no less, and altogether segments better."""
        return self.f1 >= other.f1 and self.panoptic_quality > other.panoptic_quality


@torch.inference_mode()
def score_head(
    head: InstanceHead, windows: Iterable[tuple[HeadWindow, list[int]]]
) -> HeadScore:
    """Find the objects of windows, and compare them with the labels.

    Answers above the usual quality count where pixels are known.

    Parameters
    ----------
    head : InstanceHead
        In evaluation mode.
    windows : iterable of tuple
        Windows, and the labels that count in each, see `WindowEncoder.covering`.
    """
    device = next(head.parameters()).device
    objects = answers = 0
    ious: list[float] = []
    for window, counted in windows:
        inputs = window.embedding, window.pixel_values
        maps = torch.stack(head(*(x[None].to(device).float() for x in inputs)))
        height, width = window.labels.shape
        found = _good_objects(maps[:, 0, :height, :width].cpu().numpy())
        matches, count = _compare(window, found, counted)
        objects, answers = objects + len(counted), answers + count
        ious += matches
    f1 = 2 * len(ious) / max(objects + answers, 1)
    return HeadScore(f1, float(np.mean(ious)) if ious else 0.0)


def _good_objects(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """Split maps into objects, and keep those of the usual quality."""
    maps = Maps(*values)
    labels = split_objects(maps)
    kept = np.zeros(labels.max() + 1, np.int32)
    is_good = quality_of(labels, maps) >= InstanceCandidate.usual_quality
    kept[1:] = is_good * np.arange(1, len(kept))
    return kept[labels]


def _compare(
    window: HeadWindow, found: NDArray[np.int32], counted: list[int]
) -> tuple[list[float], int]:
    """Return the IoUs of the objects that were found, and the number of answers.

    An answer belongs to the known object that most of its pixels are nearest to.
    """
    labels, owners = window.labels, window.owners
    areas = np.bincount(labels.ravel())
    sizes = np.bincount(found.ravel())
    ious, answers = [], 0
    for number in np.flatnonzero(sizes[1:]) + 1:
        inside = found == number
        shares = np.bincount(owners[inside])
        owner = int(shares.argmax())
        if owner not in counted:
            continue
        answers += 1
        both = np.count_nonzero(labels[inside] == owner)
        iou = both / (areas[owner] + sizes[number] - both)
        if iou > FOUND_IOU:
            ious.append(float(iou))
    return ious, answers
