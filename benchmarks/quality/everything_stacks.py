"""Automatic segmentation of stacks in 3D: recall, precision and cost.

Run ``python -m benchmarks.quality.everything_stacks [NAME] [--before]``, on the stacks
of `stacks.suite` with several objects. An object is found when a label has an IoU above
0.5 with its voxels. ``--before`` measures the search by prompts.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import napari_sam as ns
from benchmarks.quality import stacks
from benchmarks.quality.everything import compare
from napari_sam.automatic.search import SearchOptions

# Stacks with several objects that are separate on most planes.
NAMES = ("touching", "cups", "drifting", "leaning", "twenty", "sixty", "hundred")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="?", default="")
    parser.add_argument("--before", action="store_true", help="search by prompts")
    arguments = parser.parse_args()
    model = ns.load_model("lite_medsam")
    options = SearchOptions(method="prompts" if arguments.before else "auto")
    print("| stack | objects | labels | recall, precision, IoU | s |")
    print("|---|---|---|---|---|")
    for stack in stacks.suite(only=arguments.name):
        if not stack.name.startswith(NAMES):
            continue
        started = time.perf_counter()
        labels = ns.segment_everything_volume(stack.image, model, options=options)
        seconds = time.perf_counter() - started
        objects, count = len(stack.objects), len(np.unique(labels)) - 1
        found, iou = compare(labels, stack.truth)
        print(
            f"| {stack.name} | {objects} | {count} | {found / objects:.2f}, "
            f"{found / max(count, 1):.2f}, {iou:.2f} | {seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
