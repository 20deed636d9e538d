"""Jobs with stand-in models, also in other processes."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.prediction.processes import ModelSource
from napari_sam.scale_out.jobs import schedulers
from napari_sam.scale_out.stacks import model_job
from napari_sam.scale_out.stacks.model import load_from_json
from tests.helpers.discs import DiscPredictor
from tests.helpers.instances import InstancePredictor, disc_plane

if TYPE_CHECKING:
    import psutil

SECONDS, ENDS = "seconds=", "ends="
_start_worker = schedulers._start_worker


def stand_in(model: str) -> Any:
    """The model of a name: "boxes", "points" or "instances".

    Followed by the seconds that an embedding takes, or the value of the first pixel of
    a plane that ends the process.
    """
    kind, _, seconds = model.partition(SECONDS)
    kind, _, deadly = kind.partition(ENDS)
    predictor: Any = {
        "boxes": lambda: DiscPredictor("box"),
        "points": lambda: DiscPredictor("point"),
        "instances": InstancePredictor,
    }[kind]()
    predictor.input_size = 128
    embed = predictor.embed

    def slow_or_deadly(plane: Any, *arguments: Any, **further: Any) -> Any:
        time.sleep(float(seconds or 0))
        if deadly and plane[0, 0] == int(deadly):
            os._exit(1)
        return embed(plane, *arguments, **further)

    if seconds or deadly:
        predictor.embed = slow_or_deadly
    predictor.source = ModelSource(model, predictor.key)
    return predictor


def install_stand_ins() -> None:
    """Let jobs of this process load stand-ins by their name."""
    models: dict[str, Any] = {}

    def load(entry: Any) -> Any:
        name = entry["source"]["model"]
        if "/" in name:
            return load_from_json(entry)
        return models.setdefault(name, stand_in(name))

    model_job.load_from_json = load  # type: ignore[assignment]


def start_worker(threads: int) -> None:
    """Start a process of a pool that knows the stand-ins."""
    install_stand_ins()
    _start_worker(threads)


def disc_stack(
    planes: int = 8, shape: tuple[int, int] = (90, 110), seed: int = 4
) -> np.ndarray:
    """Bright discs that move, are missing on some planes, and end; uint8."""
    rng = np.random.default_rng(seed)
    first = disc_plane(shape, 9, (5, 11), seed)
    stack = np.full((planes, *shape), 20, np.uint8)
    shift = np.zeros(2, int)
    for z in range(planes):
        shift += rng.integers(-1, 2, 2)
        moved = np.roll(first, tuple(shift), (0, 1))
        for number in range(1, first.max() + 1):
            if rng.random() < 0.8:
                stack[z][moved == number] = 150 + 9 * number
    return stack


def pool_processes(driver: psutil.Process) -> list[psutil.Process]:
    """Find the processes that run tasks for a driver."""
    found = []
    for child in driver.children(recursive=True):
        line = " ".join(child.cmdline())
        is_forked = child.ppid() != driver.pid and "forkserver" in line
        if is_forked or "spawn_main" in line:
            found.append(child)
    return found
