"""Clicks by kind of object and by its size in the network, and what corrections do.

Run ``python -m benchmarks.quality.clicks``; it takes a quarter of an hour on two CPU
cores. The images are those of `everything_kinds`, resized so that the objects have the
wanted size when the whole plane is seen; other seeds than there. Nothing was chosen on
them.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from skimage.transform import resize

from benchmarks.quality.everything_kinds import KINDS
from napari_sam.images.intensity import IntensityMapping
from napari_sam.images.planes import PlaneReader
from napari_sam.masks.morphology import innermost, largest_component
from napari_sam.masks.patch import mask_iou
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.loading import load_model
from napari_sam.prediction.steps import run_to_end
from napari_sam.prompts.prompt import Prompt
from napari_sam.requests.plane import PlaneRequest
from napari_sam.requests.view import ImageView
from napari_sam.training.prompts import add_click

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from napari_sam.prediction.prediction import Prediction
    from napari_sam.prediction.predictor import Predictor

SEED = 61
SIDE, INPUT = 512, 256
SIZES = (5, 8, 12, 18, 30, 60)
# Median diameter of the objects of a kind as drawn.
NAMES = {
    "fluorescence nuclei": 22,
    "dark nuclei": 24,
    "spots of 8 px": 7.5,
    "RGB tissue": 28,
    "rods": 17,
    "epithelium": 40,
    "rings": 31,
    "phase contrast": 52,
    "colonies": 28,
}
CORRECTIONS = 3
# A correction is worse when it loses more than this.
WORSE = 0.01
FULL = (slice(None), slice(None))

Mask = "NDArray[np.bool_]"


@dataclass(frozen=True, eq=False)
class ClickPlane:
    """A plane and some of its objects.

    Parameters
    ----------
    image : ndarray
        (H, W) or (H, W, 3) uint8.
    labels : ndarray
        (H, W) int32.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]

    def chosen(self, count: int, rng: np.random.Generator) -> list[NDArray[np.bool_]]:
        """Choose masks of objects away from the edges."""
        edges = np.ones(self.labels.shape, bool)
        edges[2:-2, 2:-2] = False
        at_edge = np.unique(self.labels[edges])
        sizes = np.bincount(self.labels.ravel())
        usual = sizes >= 0.4 * np.median(sizes[1:][sizes[1:] > 0])
        inside = [i for i in np.flatnonzero(usual) if i and i not in at_edge]
        return [self.labels == i for i in rng.permutation(inside)[:count]]


def sized(name: str, size: float, seed: int) -> ClickPlane:
    """Draw a kind with objects of a size in the network, when all of it is seen."""
    kind = next(kind for kind in KINDS if kind.name == name)
    factor = size * SIDE / INPUT / NAMES[name]
    side = int(np.ceil(SIDE / factor))
    rng = np.random.default_rng([seed, int(size), *name.encode()])
    drawn, labels = kind.draw(rng, (side, side))
    target = (SIDE, SIDE, *drawn.shape[2:])
    image = resize(
        drawn, target, order=1, anti_aliasing=factor < 1, preserve_range=True
    )
    place = ((np.arange(SIDE) + 0.5) * side / SIDE).astype(int)
    # Nearest neighbours of enlarged labels have steps: their outlines are smoothed.
    resized = labels[np.ix_(place, place)]
    if factor > 1:
        resized = _smooth(resized, factor)
    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return ClickPlane(pixels, resized)


def _smooth(labels: NDArray[np.int32], factor: float) -> NDArray[np.int32]:
    """Smooth the outlines of objects whose pixels were repeated."""
    found = np.zeros_like(labels)
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is not None:
            around = tuple(slice(max(w.start - 4, 0), w.stop + 4) for w in window)
            mask = (labels[around] == number).astype(float)
            found[around][ndimage.gaussian_filter(mask, factor / 2) > 0.5] = number
    return found


@dataclass
class Answers:
    """Measurements of some objects.

    Parameters
    ----------
    centre, random, corrected : list of float
        IoU of the answers to a click in the centre, to one anywhere inside, and to
        the click in the centre after all corrections.
    gains : list of float
        Change of the IoU by each correction.
    differences : list of float
        Of the predicted and the true IoU, of all answers.
    """

    centre: list[float] = field(default_factory=list)
    random: list[float] = field(default_factory=list)
    corrected: list[float] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)
    differences: list[float] = field(default_factory=list)

    def add(self, other: Answers) -> None:
        """Append those of other objects."""
        for name in self.__dataclass_fields__:
            getattr(self, name).extend(getattr(other, name))

    def row(self) -> str:
        """Format them for a table."""
        means = [np.mean(v) for v in (self.centre, self.random, self.corrected)]
        found = np.mean(np.array(self.centre + self.random) > 0.7)
        worse = np.mean(np.array(self.gains) < -WORSE)
        difference = np.mean(np.abs(self.differences))
        cells = [f"{value:.2f}" for value in (*means, found, worse, difference)]
        return f"{len(self.centre)} | " + " | ".join(cells)


class Clicker:
    """Clicks on the objects of a plane.

    Parameters
    ----------
    predictor : Predictor
        The model.
    plane : ClickPlane
        The plane.
    """

    def __init__(self, predictor: Predictor, plane: ClickPlane) -> None:
        rgb = plane.image.ndim == 3
        reader = PlaneReader((plane.image,), rgb)
        limits = None if rgb else (0.0, 255.0)
        self._view = ImageView(reader, IntensityMapping.display(), limits)
        self._predictor, self._cache = predictor, EmbeddingCache()

    def ask(self, prompt: Prompt, windows: Any = None) -> tuple[Prediction, Any]:
        """Answer a prompt; also return the windows that were asked."""
        start = {} if windows is None else {1: windows}
        request = PlaneRequest(self._view, FULL, {1: prompt}, windows=start)
        result = run_to_end(request.run(self._predictor, self._cache))
        return result.predictions[0], result.windows[1]

    def measure(self, truth: NDArray[np.bool_], rng: np.random.Generator) -> Answers:
        """Click on one object, and correct the mask."""
        found = Answers()
        depth = ndimage.distance_transform_edt(np.pad(truth, 1))[1:-1, 1:-1]
        inside = np.argwhere(depth >= 0.4 * depth.max())
        click = Prompt(points=[inside[rng.integers(len(inside))]])
        prediction, _ = self.ask(click)
        found.random.append(mask_iou(prediction.mask, truth))
        found.differences.append(prediction.score - found.random[-1])
        prompt = Prompt(points=[innermost(truth)], labels=[1])
        prediction, windows = self.ask(prompt)
        ious = [mask_iou(prediction.mask, truth)]
        found.differences.append(prediction.score - ious[-1])
        for _ in range(CORRECTIONS):
            wrong = largest_component(truth ^ prediction.mask, connectivity=1)
            if not wrong.any():
                break
            point = innermost(wrong)
            prompt = add_click(prompt, point, int(truth[tuple(point.astype(int))]))
            prediction, windows = self.ask(prompt, windows)
            ious.append(mask_iou(prediction.mask, truth))
            found.differences.append(prediction.score - ious[-1])
        found.centre.append(ious[0])
        found.corrected.append(ious[-1])
        found.gains.extend(np.diff(ious).tolist())
        return found


def measure(
    predictor: Predictor, names: Iterable[str], count: int, seed: int = SEED
) -> Iterator[tuple[str, int, Answers]]:
    """Yield kind, size, and the measurements of some objects."""
    for name in names:
        for size in SIZES:
            plane = sized(name, size, seed)
            clicker, found = Clicker(predictor, plane), Answers()
            rng = np.random.default_rng([seed, size])
            for truth in plane.chosen(count, rng):
                found.add(clicker.measure(truth, rng))
            yield name, size, found


def main() -> None:
    """Print tables by kind and by size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", help="all when there are none")
    parser.add_argument("--count", type=int, default=3, help="objects of each plane")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    groups: dict[str, Answers] = defaultdict(Answers)
    model, kinds = load_model("lite_medsam"), options.kinds or NAMES
    for name, size, found in measure(model, kinds, options.count, options.seed):
        print(f"{name}, {size} px: {found.row()}", flush=True)
        for group in (name, f"{size} px", "all"):
            groups[group].add(found)
    print("| objects | number | centre | random | corrected | > 0.7 | worse | off by |")
    print("|---|---|---|---|---|---|---|---|")
    for group, found in groups.items():
        print(f"| {group} | {found.row()} |")


if __name__ == "__main__":
    main()
