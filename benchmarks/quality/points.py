"""Clicks answered by the default model: IoU with reference objects.

Run ``python -m benchmarks.quality.points``; it takes some minutes on two CPU cores.
The synthetic images are seeded, so two runs print the same numbers.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage
from skimage import data, draw, filters, measure, morphology, segmentation

from napari_sam.masks.patch import mask_iou, mask_to_box
from napari_sam.prediction.loading import load_model
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_sam.prediction.predictor import Embedding, Prediction, Predictor

SEED = 2024
# Distance of random clicks from the outline in pixels, where the object allows it.
MARGIN = 3
# Objects for each synthetic image, to limit the time of one kind.
MOST_OBJECTS = 10

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Case:
    """Image with its objects.

    Parameters
    ----------
    kind : str
        Row of the table.
    image : ndarray
        (H, W).
    objects : list of tuple of ndarray
        For each object the masks that are right answers; clicks and boxes are made from
        the first.
    """

    kind: str
    image: NDArray[np.floating]
    objects: list[tuple[NDArray[np.bool_], ...]]


# ------------------------------------------------------------------ images


def coins() -> Case:
    """Return the coins of scikit-image, by Otsu's threshold."""
    image = data.coins()
    mask = morphology.closing(image > filters.threshold_otsu(image), np.ones((3, 3)))
    labels = measure.label(segmentation.clear_border(mask))
    regions = [r for r in measure.regionprops(labels) if r.area > 100]
    objects = [(ndimage.binary_fill_holes(labels == r.label),) for r in regions]
    return Case("coins", image.astype(float), objects)


def _ellipse(
    shape: tuple[int, int], centre: NDArray, radii: tuple[float, float], turn: float
) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    mask[draw.ellipse(*centre, *radii, shape=shape, rotation=turn)] = True
    return mask


def _scatter(
    rng: Rng,
    shape: tuple[int, int],
    diameters: tuple[float, float],
    count: int,
    gap: int = 3,
) -> list[NDArray[np.bool_]]:
    """Draw ellipses that do not touch, completely inside the image."""
    taken, found = np.zeros(shape, bool), []
    for _ in range(count * 30):
        radius = np.exp(rng.uniform(*np.log(np.array(diameters) / 2)))
        radii = (radius, radius * rng.uniform(0.65, 1))
        centre = rng.uniform(radius + 2, np.array(shape) - radius - 2)
        mask = _ellipse(shape, centre, radii, rng.uniform(0, np.pi))
        if not (ndimage.binary_dilation(mask, iterations=gap) & taken).any():
            taken |= mask
            found.append(mask)
        if len(found) == count:
            break
    return found


def _finish(
    rng: Rng, image: NDArray[np.floating], blur: float, noise: float
) -> NDArray[np.floating]:
    return ndimage.gaussian_filter(image, blur) + rng.normal(0, noise, image.shape)


def _kind_of_ellipses(
    kind: str,
    side: int,
    diameters: tuple[float, float],
    *,
    count: int = MOST_OBJECTS,
    contrast: float = 1,
    blur: float = 1,
    noise: float = 0.15,
) -> Callable[[Rng], Case]:
    def make(rng: Rng) -> Case:
        masks = _scatter(rng, (side, side), diameters, count)
        image = sum(mask * contrast * rng.uniform(0.6, 1) for mask in masks)
        # Uneven illumination.
        slope = np.add.outer(np.linspace(0, 0.3, side), np.linspace(0, 0.2, side))
        image = _finish(rng, image + slope, blur, noise)
        return Case(kind, image, [(mask,) for mask in masks[:MOST_OBJECTS]])

    return make


def touching(rng: Rng) -> Case:
    """Draw discs of different brightness in a loose lattice; many touch."""
    rows, cols = np.mgrid[:256, :256]
    centres = np.stack(np.meshgrid(*[np.arange(30, 240, 36)] * 2), -1).reshape(-1, 2)
    centres = centres + rng.uniform(-3, 3, centres.shape)
    distance = np.hypot(rows - centres[:, :1, None], cols - centres[:, 1:, None])
    radii = rng.uniform(15, 20, len(centres))
    inside = distance < radii[:, None, None]
    labels = np.where(inside.any(0), (distance - radii[:, None, None]).argmin(0) + 1, 0)
    level = np.concatenate([[0.1], rng.uniform(0.6, 1, len(centres))])
    # Only a slightly darker seam separates two touching nuclei.
    seam = segmentation.find_boundaries(labels, mode="inner") & (labels > 0)
    image = _finish(rng, level[labels] - 0.25 * seam, 0.8, 0.06)
    chosen = rng.permutation(len(centres))[:MOST_OBJECTS] + 1
    return Case("touching discs", image, [(labels == i,) for i in chosen])


def _tissue(kind: str, side: int, cells: int, polarity: int) -> Callable[[Rng], Case]:
    """Draw adjacent cells with grey borders, like membranes."""

    def make(rng: Rng) -> Case:
        grid = round(cells**0.5)
        step = side / grid
        seeds = (np.stack(np.mgrid[:grid, :grid], -1).reshape(-1, 2) + 0.5) * step
        seeds = seeds + rng.uniform(-0.3, 0.3, seeds.shape) * step
        points = np.stack(np.mgrid[:side, :side], -1)
        points = points + rng.normal(0, 0.4, points.shape)
        distance = np.linalg.norm(points[..., None, :] - seeds, axis=-1)
        labels = ndimage.median_filter(distance.argmin(-1), 5) + 1
        border = segmentation.find_boundaries(labels, mode="thick")
        level = 0.5 + rng.uniform(-0.08, 0.08, len(seeds) + 1)
        image = level[labels] + polarity * 0.45 * border
        image = _finish(rng, image, 0.8, 0.05)
        complete = segmentation.clear_border(labels)
        names = rng.permutation(np.unique(complete[complete > 0]))[:MOST_OBJECTS]
        return Case(kind, image, [((complete == i) & ~border,) for i in names])

    return make


def nested(rng: Rng) -> Case:
    """Draw cells with a nucleus each: a click on the nucleus may mean either."""
    cells = _scatter(rng, (384, 384), (60, 110), MOST_OBJECTS)
    image, objects = np.full((384, 384), 0.1), []
    for cell in cells:
        (centre,) = np.argwhere(cell).mean(0, keepdims=True)
        radius = np.sqrt(cell.sum() / np.pi) * rng.uniform(0.35, 0.5)
        radii, turn = (radius, radius * 0.85), rng.uniform(0, np.pi)
        nucleus = _ellipse(cell.shape, centre, radii, turn)
        image[cell], image[nucleus] = rng.uniform(0.4, 0.55), rng.uniform(0.8, 1)
        objects.append((nucleus, cell))
    return Case("nucleus in a cell", _finish(rng, image, 1, 0.06), objects)


SYNTHETIC: list[Callable[[Rng], Case]] = [
    _kind_of_ellipses("bright ellipses, 512", 512, (20, 70)),
    _kind_of_ellipses("bright ellipses, noisy, 256", 256, (14, 50), noise=0.35),
    _kind_of_ellipses("small spots, 256", 256, (5, 10), noise=0.08),
    _kind_of_ellipses("dark nuclei, 256", 256, (12, 40), contrast=-0.8, count=25),
    _kind_of_ellipses("large, blurred, 256", 256, (60, 120), blur=3, count=4),
    _kind_of_ellipses("crop with few, 128", 128, (15, 60), count=6, noise=0.1),
    _kind_of_ellipses("dark crop, 128", 128, (10, 30), contrast=-0.7, noise=0.1),
    touching,
    _tissue("dark borders, 256", 256, 64, -1),
    _tissue("bright borders, 384", 384, 64, 1),
    nested,
]


def cases(seed: int) -> list[Case]:
    """Return all images of the benchmark."""
    rng = np.random.default_rng(seed)
    return [coins(), *(make(rng) for make in SYNTHETIC)]


# ------------------------------------------------------------------ clicks


def centre_click(mask: NDArray[np.bool_]) -> NDArray:
    """Return the centre of mass, or the innermost pixel if that lies outside."""
    centre = np.argwhere(mask).mean(0)
    if mask[tuple(np.rint(centre).astype(int))]:
        return centre
    depth = ndimage.distance_transform_edt(mask)
    return np.array(np.unravel_index(depth.argmax(), mask.shape), float)


def random_click(mask: NDArray[np.bool_], rng: Rng) -> NDArray:
    """Return a random pixel of the mask, away from the outline if possible."""
    core = ndimage.binary_erosion(mask, iterations=MARGIN)
    return rng.choice(np.argwhere(core if core.any() else mask)).astype(float)


def best_iou(prediction: Prediction, answers: tuple[NDArray[np.bool_], ...]) -> float:
    """Return the IoU with the nearest right answer."""
    return max(mask_iou(prediction.mask, answer) for answer in answers)


# ------------------------------------------------------------------- table

COLUMNS = ("centre", "random", "best centre", "best random", "box", "s/click")


def measure_case(predictor: Predictor, case: Case, rng: Rng) -> NDArray:
    """Return the columns of the table for one image."""
    embedding = predictor.embed(case.image, zoom="off")
    rows, started = [], time.perf_counter()
    for answers in case.objects:
        clicks = [centre_click(answers[0]), random_click(answers[0], rng)]
        found = [predictor.predict(embedding, Prompt(points=[c])) for c in clicks]
        best = [max(best_iou(c, answers) for c in f.candidates) for f in found]
        rows.append([*(best_iou(f, answers) for f in found), *best])
    seconds = (time.perf_counter() - started) / (2 * len(rows))
    return np.array([*np.mean(rows, 0), box_iou(predictor, embedding, case), seconds])


def box_iou(predictor: Predictor, embedding: Embedding, case: Case) -> float:
    """Return the IoU of perfect boxes: an upper limit for clicks."""
    prompts = [Prompt(box=mask_to_box(answers[0])) for answers in case.objects]
    found = predictor.predict_batch(embedding, prompts)
    pairs = zip(found, case.objects, strict=True)
    return float(np.mean([mask_iou(f.mask, answers[0]) for f, answers in pairs]))


def print_row(kind: str, count: object, values: NDArray) -> None:
    numbers = "".join(f"{value:>13.3f}" for value in values)
    print(f"{kind:<28}{count:>8}{numbers}", flush=True)


def main() -> None:
    predictor = load_model("lite_medsam")
    rng = np.random.default_rng(SEED)
    titles = "".join(f"{title:>13}" for title in COLUMNS)
    print(f"{'image':<28}{'objects':>8}{titles}")
    rows, counts = [], []
    for case in cases(SEED):
        rows.append(measure_case(predictor, case, rng))
        counts.append(len(case.objects))
        print_row(case.kind, counts[-1], rows[-1])
    print_row("mean of the images", len(rows), np.mean(rows, 0))
    print_row("mean of the objects", sum(counts), np.average(rows, 0, counts))


if __name__ == "__main__":
    main()
