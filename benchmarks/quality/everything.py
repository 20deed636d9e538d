"""Automatic segmentation with the default model: found, missed and extra objects.

Run ``python -m benchmarks.quality.everything [NAME] [--pictures FOLDER]``; NAME is
part of the name of an image. The reference for coins is Otsu's threshold, closed by
3 x 3, with objects over 100 pixels; it misses two of the 24 coins, which touch the
border of the image, so they count as extra here. The synthetic images are seeded and
contain only what they show.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from skimage import io, segmentation

from benchmarks.quality import points
from napari_sam.api.planes import everything
from napari_sam.automatic.candidates import Thresholds
from napari_sam.masks.patch import mask_iou
from napari_sam.prediction.loading import load_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 7
# Kinds of `points.cases` whose reference contains every object of the image.
COMPLETE = ("coins", "ellipses", "spots", "nuclei", "crop", "blurred")
FOUND = 0.5


def compared(
    labels: NDArray[np.int32], truth: list[NDArray[np.bool_]]
) -> tuple[int, float, int]:
    """Return found objects, their mean IoU and the number of extra labels."""
    masks = [labels == number for number in range(1, labels.max() + 1)]
    ious = np.array([[mask_iou(mask, one) for mask in masks] for one in truth])
    ious = ious.reshape(len(truth), len(masks))
    best = ious.max(axis=1, initial=0)
    hit = best > FOUND
    mean = float(best[hit].mean()) if hit.any() else 0.0
    return int(hit.sum()), mean, len(masks) - int((ious > FOUND).any(axis=0).sum())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    predictor = load_model("lite_medsam")
    print(f"{'image':<30}{'objects':>8}{'found':>7}{'IoU':>7}{'extra':>7}{'s':>7}")
    for case in points.cases(SEED):
        if options.name not in case.kind or not any(k in case.kind for k in COMPLETE):
            continue
        started = time.perf_counter()
        *_, last = everything(case.image, predictor)
        labels = last.candidates.objects(Thresholds()).labels
        seconds = time.perf_counter() - started
        found, iou, extra = compared(labels, [answers[0] for answers in case.objects])
        numbers = f"{len(case.objects):>8}{found:>7}{iou:>7.3f}{extra:>7}"
        print(f"{case.kind:<30}{numbers}{seconds:>7.0f}", flush=True)
        if options.pictures is not None:
            write_picture(options.pictures, case, labels)


def write_picture(folder: Path, case: points.Case, labels: NDArray[np.int32]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    low, high = np.percentile(case.image, (0.5, 99.5))
    grey = np.clip((case.image - low) / (high - low), 0, 1)
    picture = segmentation.mark_boundaries(grey, labels, color=(1, 0.7, 0))
    pixels = (picture * 255).astype(np.uint8)
    name = case.kind.replace(", ", "-").replace(" ", "-")
    io.imsave(folder / f"{name}.png", pixels, check_contrast=False)


if __name__ == "__main__":
    main()
