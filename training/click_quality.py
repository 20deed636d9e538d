"""Fit the estimated IoU of masks that answer clicks.

``python training/click_quality.py --folder click_quality`` clicks on objects of new
scenes of `object_looks`, in all windows that the zoom may ask, and keeps features and
IoU of every candidate in the folder; run it again to resume. ``--fit`` prints the
weights of `napari_sam.prediction.clicks.quality`, a logistic regression of the IoU in
which each click has the same weight, and how good the best-ranked masks are on scenes
left out.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from object_looks import make_plane
from scipy import ndimage
from scipy.optimize import minimize

from napari_sam.prediction.clicks.candidates import lowered_logits
from napari_sam.prediction.clicks.quality import FEATURES, click_features
from napari_sam.prediction.loading import load_model
from napari_sam.prediction.prediction import Prediction
from napari_sam.prediction.prompt_decoder import click_offset, low_resolution
from napari_sam.prediction.zoom.choice import click_windows
from napari_sam.prediction.zoom.grid import WindowGrid
from napari_sam.prediction.zoom.options import ZoomHints
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_sam.images.window import Window
    from napari_sam.prediction.embedding import Embedding
    from napari_sam.prediction.predictor import Predictor

    Rng = np.random.Generator

SEED, SIDE, OBJECTS = 3_000_000, 512, 2
DIAMETERS = (9.0, 150.0)
PENALTY, FOLDS = 0.003, 5
_MAX_WINDOWS = 4
VISIBLE = 0.5


@dataclass(frozen=True, eq=False)
class Clicks:
    """Answers to one click, or to several.

    Parameters
    ----------
    scene : int
        Seed of the plane.
    several : bool
        Whether there was more than one point.
    diameter : float
        Of the object, in pixels of the plane.
    features, ious, cut : ndarray
        (N, F), (N,) and (N,): of all candidates in all windows, and whether the window
        cuts them.
    """

    scene: int
    several: bool
    diameter: float
    features: NDArray[np.float64]
    ious: NDArray[np.float64]
    cut: NDArray[np.bool_]


class Scene:
    """A plane whose objects are clicked.

    Parameters
    ----------
    predictor : Predictor
        The model.
    seed : int
        Of the plane.
    """

    def __init__(self, predictor: Predictor, seed: int) -> None:
        self.predictor, self.seed = predictor, seed
        self.pixels, self.labels = make_plane(seed, SIDE, DIAMETERS)
        self.grid = WindowGrid.of(predictor, self.labels.shape)
        self._embedded: dict[Window | None, Embedding] = {}

    def embed(self, window: Window | None) -> Embedding:
        """Return the embedding of a window."""
        if window not in self._embedded:
            part = self.pixels if window is None else self.pixels[window.slices]
            self._embedded[window] = self.predictor.embed(
                part, plane_shape=self.labels.shape, window=window, zoom="off"
            )
        return self._embedded[window]

    def clicks(self) -> Iterator[Clicks]:
        """Click on some objects."""
        rng = np.random.default_rng([22, self.seed])
        sizes = np.bincount(self.labels.ravel())
        edges = np.ones(self.labels.shape, bool)
        edges[2:-2, 2:-2] = False
        at_edge = set(np.unique(self.labels[edges]).tolist())
        inside = [i for i in np.flatnonzero(sizes > 30) if i and i not in at_edge]
        if not inside:
            return
        # Neighbours share windows.
        centres = np.array(ndimage.center_of_mass(self.labels > 0, self.labels, inside))
        away = np.linalg.norm(centres - centres[rng.integers(len(inside))], axis=1)
        for label in np.array(inside)[np.argsort(away)[:OBJECTS]]:
            truth = self.labels == label
            for prompt in _prompts(truth, rng):
                yield self._ask(prompt, truth)

    def _ask(self, prompt: Prompt, truth: NDArray[np.bool_]) -> Clicks:
        low, high = (f(prompt.positives, axis=0) for f in (np.min, np.max))
        windows = dict.fromkeys(click_windows(low, high, self.grid, ZoomHints()))
        found: list[list[Any]] = []
        asked: set[Window | None] = set()
        while set(windows) - asked:
            for window in set(windows) - asked:
                asked.add(window)
                for row in self._candidates(window, prompt, truth):
                    found.append(row[:3])
                    box = row[3]
                    # The window that fits an instance is asked, too.
                    if box is not None and row[4] and len(windows) < _MAX_WINDOWS:
                        side = self.grid.side_for_click((box[2:] - box[:2]).max() + 1)
                        corners = np.minimum(low, box[:2]), np.maximum(high, box[2:])
                        windows[self.grid.around_object(*corners, side)] = None
        features, ious, cut = (np.array(part) for part in zip(*found, strict=True))
        diameter = 2 * float(np.sqrt(truth.sum() / np.pi))
        several = len(prompt.positives) + len(prompt.negatives) > 1
        return Clicks(self.seed, several, diameter, features, ious, cut)

    def _candidates(
        self, window: Window | None, prompt: Prompt, truth: NDArray[np.bool_]
    ) -> Iterator[tuple[Any, ...]]:
        """Yield features, IoU, whether cut, box, and whether it is an instance."""
        assert prompt.points is not None
        if window is not None and not window.holds(prompt.points).all():
            return
        embedding = self.embed(window)
        transform, decoder = embedding.transform, self.predictor.point_decoder
        assert decoder is not None
        inner = prompt if window is None else prompt.in_window(window)
        proposals = decoder.propose(embedding, [inner], len(prompt.points) == 1)[0]
        found = decoder.click_candidates(embedding, inner, proposals)
        low = low_resolution(inner, transform)
        scale = float(transform.scale.max())
        rows = click_features(found, low, transform.mask_shape, scale)
        offset = click_offset(transform)
        for candidate, row in zip(found, rows, strict=True):
            one = Prediction(lowered_logits(candidate, offset), 0.0, transform)
            patch, box = one.patch, one.coarse_box
            shared = np.count_nonzero(truth[patch.region] & patch.mask)
            union = truth.sum() + np.count_nonzero(patch.mask) - shared
            is_cut = box is not None and window is not None
            is_cut = is_cut and window.cuts(box, self.labels.shape)
            yield row, shared / union, is_cut, box, candidate.source == "instance"


def _prompts(truth: NDArray[np.bool_], rng: Rng) -> Iterator[Prompt]:
    """Yield a click inside an object, and the same with corrections around it."""
    depth = ndimage.distance_transform_edt(truth)
    inside = np.argwhere(depth >= 0.4 * depth.max())
    points = [inside[rng.integers(len(inside))]]
    yield Prompt(points=points)
    width = max(2, int(0.8 * depth.max()))
    around = np.argwhere(ndimage.binary_dilation(truth, iterations=width))
    chosen = around[rng.integers(len(around), size=rng.integers(1, 4))]
    labels = [1, *truth[tuple(chosen.T)].astype(int)]
    yield Prompt(points=[*points, *chosen], labels=labels)


def fit(found: list[Clicks]) -> tuple[NDArray[np.float64], float]:
    """Fit a logistic regression of the IoU with a small penalty."""
    rows = np.concatenate([c.features[~c.cut] for c in found])
    ious = np.concatenate([c.ious[~c.cut] for c in found])
    weights = np.concatenate(
        [np.full((~c.cut).sum(), 1 / max((~c.cut).sum(), 1)) for c in found]
    )
    weights /= weights.sum()
    scale = rows.std(axis=0) + 1e-9
    scaled = rows / scale

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = scaled @ values[:-1] + values[-1]
        probability = 1 / (1 + np.exp(-logits))
        cost = weights @ (np.logaddexp(0, logits) - ious * logits)
        error = weights * (probability - ious)
        gradient = np.append(error @ scaled, error.sum())
        gradient[:-1] += 2 * PENALTY * values[:-1]
        return float(cost + PENALTY * (values[:-1] ** 2).sum()), gradient

    start = np.zeros(rows.shape[1] + 1)
    values = minimize(loss, start, jac=True, method="L-BFGS-B").x
    return values[:-1] / scale, float(values[-1])


def best(
    clicks: Clicks, weights: NDArray[np.float64], bias: float
) -> tuple[float, float]:
    """Return estimated and true IoU of the candidate that is ranked first."""
    estimated = 1 / (1 + np.exp(-(clicks.features @ weights + bias)))
    violations = clicks.features[:, FEATURES.index("violations")]
    order = np.lexsort((-estimated, violations, clicks.cut))
    return float(estimated[order[0]]), float(clicks.ious[order[0]])


def report(found: list[Clicks]) -> None:
    """Print how good the best-ranked masks are, each ranked without its scene."""
    scenes = np.array([c.scene for c in found]) % FOLDS
    ranked = np.zeros((len(found), 2))
    for fold in range(FOLDS):
        fitted = fit([c for c, f in zip(found, scenes, strict=True) if f != fold])
        for i in np.flatnonzero(scenes == fold):
            ranked[i] = best(found[i], *fitted)
    diameters = np.array([c.diameter for c in found])
    several = np.array([c.several for c in found])
    for name, kind in (("one click", ~several), ("several", several)):
        for low, high in ((0, 999), (0, 14), (14, 30), (30, 60), (60, 999)):
            chosen = kind & (diameters >= low) & (diameters < high)
            estimated, ious = ranked[chosen].T
            ideal = np.mean([found[i].ious.max() for i in np.flatnonzero(chosen)])
            print(
                f"{name}, {low} to {high} px: {chosen.sum()}, IoU {ious.mean():.3f}, "
                f"above 0.7 {np.mean(ious > 0.7):.2f}, best possible {ideal:.3f}, "
                f"off by {np.abs(estimated - ious).mean():.3f}"
            )


def main() -> None:
    """Collect answers, or fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("click_quality"))
    parser.add_argument("--scenes", type=int, default=160)
    parser.add_argument("--fit", action="store_true", help="fit what is there")
    options = parser.parse_args()
    options.folder.mkdir(exist_ok=True)
    predictor = None if options.fit else load_model("lite_medsam", device="cpu")
    for seed in range(SEED, SEED + options.scenes):
        file = options.folder / f"{seed}.npz"
        if predictor is not None and not file.is_file():
            found = list(Scene(predictor, seed).clicks())
            np.savez(file, clicks=np.array([vars(c) for c in found], object))
            print(f"scene {seed - SEED + 1} of {options.scenes}", flush=True)
    answers = [
        Clicks(**row)
        for file in sorted(options.folder.glob("*.npz"))
        for row in np.load(file, allow_pickle=True)["clicks"]
    ]
    # Objects that no candidate finds cannot be seen: they say nothing about others.
    everything = [clicks for clicks in answers if clicks.ious.max() >= VISIBLE]
    report(everything)
    weights, bias = fit(everything)
    print(dict(zip(FEATURES, np.round(weights, 2).tolist(), strict=True)))
    print(round(bias, 2))


if __name__ == "__main__":
    main()
