"""How good a model is at one click, three clicks and a box, kind by kind."""

from __future__ import annotations

import time
from collections import defaultdict
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_sam.files import atomic_write
from napari_sam.masks.morphology import innermost
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
    """Centre of mass, or the innermost pixel if that lies outside, (row, col)."""
    middle = np.argwhere(mask).mean(0)
    if mask[tuple(np.rint(middle).astype(int))]:
        return np.asarray(middle)
    return innermost(mask)


def correct(prompt: Prompt, truth: NDArray, answer: NDArray) -> Prompt:
    """Click into the middle of the largest mistake."""
    wrong, _ = ndimage.label(truth ^ answer)
    if not wrong.any():
        return add_click(prompt, innermost(truth), 1)
    sizes = np.bincount(wrong.ravel())
    sizes[0] = 0
    point = innermost(wrong == sizes.argmax())
    return add_click(prompt, point, int(truth[tuple(point.astype(int))]))


def measure(
    predictor: Predictor, image: TrainingImage, most: int = 8
) -> NDArray[np.float64]:
    """IoU of the objects of an image, (objects, columns), and seconds a click."""
    rng = np.random.default_rng(SEED)
    embedding, rows = predictor.embed(image.plane), []
    for number in rng.permutation(image.objects(20))[:most]:
        truth = image.labels == number
        prompt = Prompt(points=[centre(truth)], labels=[1])
        started = time.perf_counter()
        answer = predictor.predict(embedding, prompt)
        seconds = time.perf_counter() - started
        row = [mask_iou(truth, answer.mask)]
        click = Prompt(points=[sample_inside_point(truth, rng)])
        row.append(mask_iou(truth, predictor.predict(embedding, click).mask))
        for _ in range(2):
            prompt = correct(prompt, truth, answer.mask)
            answer = predictor.predict(embedding, prompt)
        row.append(mask_iou(truth, answer.mask))
        box = predictor.predict(embedding, Prompt(box=mask_to_box(truth)))
        rows.append([*row, mask_iou(truth, box.mask), seconds])
    return np.array(rows).reshape(-1, len(COLUMNS))


def _kept(
    predictor: Predictor, image: TrainingImage, most: int, folder: Path | None
) -> NDArray[np.float64]:
    """`measure`, or what it found before with this model and image."""
    if folder is None:
        return measure(predictor, image, most)
    name = blake2b(f"{predictor.key} {image.key} {most}".encode(), digest_size=16)
    file = folder / f"{name.hexdigest()}.npy"
    if not file.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(file, ".npy") as part:
            np.save(part, measure(predictor, image, most))
    found: NDArray[np.float64] = np.load(file)
    return found


def table(
    models: dict[str, Predictor],
    images: Sequence[TrainingImage],
    most: int = 8,
    folder: Path | None = None,
) -> Iterator[str]:
    """Rows of a Markdown table: each kind of image, each model.

    Parameters
    ----------
    models : dict of Predictor
        By the name in the table.
    images : sequence of TrainingImage
        Their kind is the first word of their source.
    most : int
        Objects of an image that are measured, chosen by seed.
    folder : Path, optional
        Keeps what was measured, so that it can be gone on with.
    """
    kinds: dict[str, list[TrainingImage]] = defaultdict(list)
    for image in images:
        kinds[image.source.split(" ")[0]].append(image)
    yield "| images | objects | model | " + " | ".join(COLUMNS) + " |"
    yield "|---" * (3 + len(COLUMNS)) + "|"
    for kind, members in kinds.items():
        for name, predictor in models.items():
            found = np.concatenate(
                [_kept(predictor, image, most, folder) for image in members]
            )
            if not len(found):
                continue
            means = " | ".join(f"{value:.3f}" for value in found.mean(0))
            yield f"| {kind} | {len(found)} | {name} | {means} |"


def coin_images() -> list[TrainingImage]:
    """scikit-image's coins, which nothing is trained on; 22 objects or so."""
    return training_images(coins(), coin_labels(), "coins")
