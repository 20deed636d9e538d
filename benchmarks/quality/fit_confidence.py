"""Fit of the confidence of slices: logistic regression on the calibration half.

Run ``python -m benchmarks.quality.fit_confidence [--cache FOLDER]``. Every mask of a
propagation from one box is recorded with its features; it is good when its Dice with
the truth is above 0.7. The weights for `volume.tracking.confidence` are printed, and
how well each stack is judged by weights fitted on the others; this also after several
weights of the weakest mask on the way.
"""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
from scipy.optimize import minimize

import napari_sam as ns
from benchmarks.quality.scores import GOOD, auc
from benchmarks.quality.stacks import suite
from benchmarks.quality.volume_runs import ONE, Bench, prompts_of
from napari_sam.volume.tracking import object_tracker
from napari_sam.volume.tracking.confidence import ConfidenceFeatures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from benchmarks.quality.stacks import BenchStack

# Masks that would end an object are needed too: it goes on longer than usual.
LEAST_CONFIDENCE = 0.04
# Weight of the squared coefficients of standardized features.
RIDGE = 0.02
CAUGHT = 0.85
WAY_WEIGHTS = (0.0, 2.0, 4.0, 6.0)


@dataclass
class Recorder:
    """Features and Dice of all masks of the propagations through some stacks."""

    features: list[NDArray[np.float64]] = field(default_factory=list)
    dice: list[float] = field(default_factory=list)
    stacks: list[str] = field(default_factory=list)
    # Number of the tracker of each mask; its masks are in the order of its way.
    trackers: list[int] = field(default_factory=list)

    @contextmanager
    def recording(self, stack: BenchStack) -> Iterator[None]:
        """Record what trackers observe."""
        observe = object_tracker.ObjectTracker.observe
        measure = object_tracker.confidence_features
        last: list[ConfidenceFeatures] = []
        numbers: dict[object_tracker.ObjectTracker, int] = {}
        start = max(self.trackers, default=-1) + 1

        def measured(*args: Any, **kwargs: Any) -> ConfidenceFeatures:
            last.append(measure(*args, **kwargs))
            return last[-1]

        def observed(tracker: Any, index: int, mask: Any, expected: Any) -> Any:
            last.clear()
            observation = observe(tracker, index, mask, expected)
            if last:
                found = np.zeros(stack.truth.shape[1:], bool)
                found[mask.patch.region] = mask.patch.mask
                truth = stack.truth[index] == tracker.object_id
                both = 2 * np.count_nonzero(found & truth)
                self.features.append(last[0].clipped())
                self.dice.append(both / (found.sum() + truth.sum()))
                self.stacks.append(stack.name)
                self.trackers.append(numbers.setdefault(tracker, start + len(numbers)))
            return observation

        tracker = object_tracker.ObjectTracker
        with (
            mock.patch.object(object_tracker, "confidence_features", measured),
            mock.patch.object(tracker, "observe", observed),
        ):
            yield


def weights_of(
    stacks: NDArray[np.str_], good: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Weight good and bad masks equally, and stacks by the root of their masks."""
    _, which, counts = np.unique(stacks, return_inverse=True, return_counts=True)
    weights = 1 / np.sqrt(counts[which])
    for kind in (good, ~good):
        weights[kind] /= weights[kind].sum()
    return weights


def fit(
    features: NDArray[np.float64], good: NDArray[np.bool_], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Fit a logistic regression; return the weights of the features and the bias."""
    mean, spread = np.average(features, 0, weights), features.std(0) + 1e-9
    scaled = np.c_[(features - mean) / spread, np.ones(len(features))]

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        odds = scaled @ values
        error = weights * (1 / (1 + np.exp(-odds)) - good) / weights.sum()
        ridge = RIDGE * np.r_[values[:-1], 0]
        entropy = weights @ (np.logaddexp(0, odds) - good * odds) / weights.sum()
        return float(entropy + ridge @ values / 2), scaled.T @ error + ridge

    values = minimize(loss, np.zeros(scaled.shape[1]), jac=True, method="L-BFGS-B").x
    found = values[:-1] / spread
    return found, float(values[-1] - found @ mean)


def weakest_before(
    odds: NDArray[np.float64], trackers: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the lowest confidence of the masks before each, which did not end it."""
    confidence = 1 / (1 + np.exp(-odds))
    weakest = np.ones(len(odds))
    for number in np.unique(trackers):
        lowest = 1.0
        for i in np.flatnonzero(trackers == number).tolist():
            weakest[i] = lowest
            if confidence[i] >= LEAST_CONFIDENCE:
                lowest = min(lowest, confidence[i])
    return weakest


def main() -> None:
    """Record, fit and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="keep embeddings")
    bench = Bench(ns.load_model("lite_medsam"), parser.parse_args().cache)
    recorder = Recorder()
    options = ns.PropagationOptions(min_confidence=LEAST_CONFIDENCE)
    for stack in suite():
        if stack.half == "calibrate":
            with recorder.recording(stack):
                bench.ours(stack, prompts_of(stack, ONE), options=options)
            print(f"{stack.name}: {len(recorder.dice)} masks", flush=True)
    features, stacks = np.array(recorder.features), np.array(recorder.stacks)
    good = np.array(recorder.dice) > GOOD
    odds = np.zeros(len(good))
    for name in np.unique(stacks):
        others = stacks != name
        weights = weights_of(stacks[others], good[others])
        found, bias = fit(features[others], good[others], weights)
        odds[~others] = features[~others] @ found + bias
    weakest = weakest_before(odds, np.array(recorder.trackers))
    for weight in WAY_WEIGHTS:
        after = odds + weight * (weakest - 1)
        alarms = np.mean(after[good] < np.quantile(after[~good], CAUGHT))
        print(
            f"other stacks, weakest mask on the way times {weight:g}: "
            f"AUC {auc(after, good):.3f}, {alarms:.3f} of good ones flagged"
        )
    found, bias = fit(features, good, weights_of(stacks, good))
    for item, weight in zip(fields(ConfidenceFeatures), found, strict=True):
        print(f"{item.name:<18}{weight:>8.2f}")
    print(f"{'bias':<18}{bias:>8.2f}")


if __name__ == "__main__":
    main()
