"""Fit the quality of objects of an instance head: the chance that each is right.

``python training/instance_quality.py --folder instance_head`` splits new
scenes of `make_instance_head` with the trained head, with objects of the sizes that the
search shows to it. It prints recall and precision by
kind of scene, and the weights of `napari_sam.masks.object_quality`: a logistic
regression of whether an object has an IoU of at least 0.5 with a true one, each scene
with the same weight.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from make_instance_head import PARENT
from object_looks import Scene, make
from safetensors.torch import load_file
from scipy.optimize import minimize

from napari_sam.masks.object_quality import FEATURES, quality_features
from napari_sam.masks.watershed import Maps, split_objects
from napari_sam.nets.instance_head import InstanceHead
from napari_sam.prediction.loading import load_model
from napari_sam.prediction.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FOUND, PENALTY = 0.5, 0.02
SEED, SCENES = 2_000_000, 240
# Median diameter of the objects of a scene, in pixels.
DIAMETERS = (13.0, 60.0)


def best_ious(
    truth: NDArray[np.int32], found: NDArray[np.int32]
) -> NDArray[np.float64]:
    """Return the IoU of each found object with the true one that fits best."""
    count = int(found.max()) + 1
    pairs = truth.astype(np.int64) * count + found
    table = np.bincount(pairs.ravel(), minlength=(int(truth.max()) + 1) * count)
    table = table.reshape(-1, count)
    union = table.sum(1, keepdims=True) + table.sum(0, keepdims=True) - table
    ious: NDArray[np.float64] = (table / np.maximum(union, 1))[1:, 1:]
    return ious.max(axis=0) if ious.size else np.zeros(count - 1)


def with_head(path: Path) -> Predictor:
    """Load the published model with a head."""
    loaded = load_model(PARENT, device="cpu")
    head = InstanceHead().eval()
    head.load_state_dict({name: v.float() for name, v in load_file(path).items()})
    return Predictor(
        loaded.model,
        name=loaded.name,
        family=loaded.family,
        prompts=loaded.prompts,
        key=PARENT,
        instance_head=head,
    )


def usual_scenes() -> Iterator[Scene]:
    """Yield scenes with objects of usual sizes, and some without objects."""
    seed = SEED
    for _ in range(SCENES):
        while True:
            scene = make(seed)
            seed += 1
            sizes = np.bincount(scene.labels.ravel())[1:]
            diameter = (
                2 * np.sqrt(np.median(sizes[sizes > 0]) / np.pi) if sizes.any() else 0
            )
            if DIAMETERS[0] < diameter < DIAMETERS[1] or not diameter:
                break
        yield scene


def fit(
    features: NDArray[np.float64],
    is_right: NDArray[np.bool_],
    weights: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float]:
    """Fit a logistic regression with a small penalty; return weights and bias."""
    scale = features.std(axis=0) + 1e-9
    scaled = features / scale

    def loss(values: NDArray[np.float64]) -> float:
        logits = scaled @ values[:-1] + values[-1]
        costs = np.logaddexp(0, np.where(is_right, -logits, logits))
        return float(
            (weights * costs).sum() / weights.sum()
            + PENALTY * (values[:-1] ** 2).mean()
        )

    found = minimize(loss, np.zeros(features.shape[1] + 1), method="BFGS").x
    return found[:-1] / scale, float(found[-1])


def main() -> None:
    """Print the table and the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("instance_head"))
    parser.add_argument("--save", type=Path, help="keep features and IoUs here")
    options = parser.parse_args()
    predictor = with_head(options.folder / "instance_head.safetensors")
    features, ious, weights = [], [], []
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for scene in usual_scenes():
        embedding = predictor.embed(scene.pixels, zoom="off")
        values = predictor.instance_maps(embedding, scene.pixels)
        maps = Maps(*(values.astype(np.float32) / 255))
        labels = split_objects(maps)
        found = best_ious(scene.labels, labels)
        row = counts[scene.name.split()[0] + " " + scene.name.split()[-1]]
        row[0] += int(scene.labels.max())
        row[1] += len(found)
        row[2] += int((found > FOUND).sum())
        features.append(quality_features(labels, maps))
        ious.append(found)
        weights.append(np.full(len(found), 1 / max(len(found), 1)))
    for name, (objects, labels_count, right) in sorted(counts.items()):
        recall, precision = right / max(objects, 1), right / max(labels_count, 1)
        print(f"{name:24} {objects:5} objects: {recall:.2f}, {precision:.2f}")
    joined, values = np.concatenate(features), np.concatenate(ious)
    fitted, bias = fit(joined, values > FOUND, np.concatenate(weights))
    print(
        dict(zip(FEATURES, np.round(fitted, 2).tolist(), strict=True)), round(bias, 2)
    )
    if options.save is not None:
        np.savez(
            options.save, features=joined, ious=values, weights=np.concatenate(weights)
        )


if __name__ == "__main__":
    main()
