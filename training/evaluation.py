"""IoU of a model for one click, three clicks and a box, by kind of image."""

from __future__ import annotations

import time
from collections import defaultdict
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.files import atomic_write
from napari_sam.masks.morphology import innermost, largest_component
from napari_sam.masks.patch import mask_iou, mask_to_box
from napari_sam.prompts.prompt import Prompt
from napari_sam.samples import coin_labels, coins
from napari_sam.training.data import training_images
from napari_sam.training.prompts import add_click, sample_inside_point

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam.prediction.predictor import Predictor
    from napari_sam.training.data import TrainingImage

COLUMNS = ("centre click", "random click", "three clicks", "box", "s/click")
SEED = 77


def centre(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the centre of mass, or the innermost pixel if that is outside, (2,)."""
    middle = np.argwhere(mask).mean(0)
    if mask[tuple(np.rint(middle).astype(int))]:
        return np.asarray(middle)
    return innermost(mask)


def add_correction(prompt: Prompt, truth: NDArray, mask: NDArray) -> Prompt:
    """Add a click in the middle of the largest error."""
    error = largest_component(truth ^ mask, connectivity=1)
    if not error.any():
        return add_click(prompt, innermost(truth), 1)
    point = innermost(error)
    return add_click(prompt, point, int(truth[tuple(point.astype(int))]))


def measure(
    predictor: Predictor, image: TrainingImage, max_objects: int = 8
) -> NDArray[np.float64]:
    """Measure the IoU of objects of an image and the time of a click.

    Returns
    -------
    ndarray
        (objects, `COLUMNS`).
    """
    rng = np.random.default_rng(SEED)
    embedding, rows = predictor.embed(image.plane, zoom="off"), []
    for label in rng.permutation(image.objects(20))[:max_objects]:
        truth = image.labels == label
        prompt = Prompt(points=[centre(truth)], labels=[1])
        start = time.perf_counter()
        mask = predictor.predict(embedding, prompt).mask
        seconds = time.perf_counter() - start
        row = [mask_iou(truth, mask)]
        click = Prompt(points=[sample_inside_point(truth, rng)])
        row.append(mask_iou(truth, predictor.predict(embedding, click).mask))
        for _ in range(2):
            prompt = add_correction(prompt, truth, mask)
            mask = predictor.predict(embedding, prompt).mask
        row.append(mask_iou(truth, mask))
        box = predictor.predict(embedding, Prompt(box=mask_to_box(truth)))
        rows.append([*row, mask_iou(truth, box.mask), seconds])
    return np.array(rows).reshape(-1, len(COLUMNS))


def _measure_once(
    predictor: Predictor, image: TrainingImage, max_objects: int, folder: Path | None
) -> NDArray[np.float64]:
    """Call `measure`, or read its earlier result for this model and image."""
    if folder is None:
        return measure(predictor, image, max_objects)
    key = f"{predictor.key} {image.key} {max_objects}"
    name = blake2b(key.encode(), digest_size=16)
    file = folder / f"{name.hexdigest()}.npy"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(file, ".npy") as part:
            np.save(part, measure(predictor, image, max_objects))
    rows: NDArray[np.float64] = np.load(file)
    return rows


def table(
    models: dict[str, Predictor],
    images: Sequence[TrainingImage],
    max_objects: int = 8,
    folder: Path | None = None,
) -> Iterator[str]:
    """Make a Markdown table with a row for each kind of image and each model.

    Parameters
    ----------
    models : dict of Predictor
        Models by their name in the table.
    images : sequence of TrainingImage
        Images; the first word of their source is their kind.
    max_objects : int
        Maximum number of objects of an image, chosen by a fixed seed.
    folder : Path, optional
        Keeps the measurements, so that an interrupted table can be resumed.
    """
    kinds: dict[str, list[TrainingImage]] = defaultdict(list)
    for image in images:
        kinds[image.source.split(" ")[0]].append(image)
    yield "| images | objects | model | " + " | ".join(COLUMNS) + " |"
    yield "|---" * (3 + len(COLUMNS)) + "|"
    for kind, members in kinds.items():
        for name, predictor in models.items():
            rows = np.concatenate(
                [
                    _measure_once(predictor, image, max_objects, folder)
                    for image in members
                ]
            )
            if not len(rows):
                continue
            means = " | ".join(f"{value:.3f}" for value in rows.mean(0))
            yield f"| {kind} | {len(rows)} | {name} | {means} |"


def coin_images() -> list[TrainingImage]:
    """Return scikit-image's coins, 22 objects, which are not used for training."""
    return training_images(coins(), coin_labels(), "coins")
