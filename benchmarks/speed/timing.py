"""Time and memory of implementations that run alternately."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
import statistics
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil
import torch
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Rivals = Mapping[str, Callable[[], Any]]

# Seconds between two readings of the memory.
_LOOK = 0.005
# Side of the square matrices whose product gives the peak rate: 34 GFLOP.
_SGEMM = 2560
SGEMM = "sgemm"

clock = time.perf_counter


class Watch:
    """Seconds of a block, and its peak memory above that at its start."""

    def __enter__(self) -> Self:
        self._process, self._done = psutil.Process(), threading.Event()
        self._before = self._peak = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        self._started = clock()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = clock() - self._started
        self._done.set()
        self._thread.join()
        self.megabytes = (self._peak - self._before) / 1e6

    def _sample(self) -> None:
        while not self._done.wait(_LOOK):
            self._peak = max(self._peak, self._process.memory_info().rss)


@dataclass(frozen=True, eq=False)
class Cost:
    """Time and memory of one implementation.

    Parameters
    ----------
    seconds : list of float
        Of each round.
    megabytes : float
        Peak memory of its first run, above that before it.
    answer : object
        Return value of its first run.
    """

    seconds: list[float]
    megabytes: float
    answer: Any

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Effort:
    """Duration of a comparison: about `seconds`, within these rounds."""

    seconds: float
    least: int
    most: int

    def rounds(self, one: float) -> int:
        return min(max(int(self.seconds / one), self.least), self.most)


def in_turns(rivals: Rivals, effort: Effort) -> dict[str, Cost]:
    """Run each implementation once for its memory, then all alternately for time.

    A product of matrices runs among them, as `SGEMM`: its time is that of `2 * 2560**3`
    floating-point operations at the machine's best.
    """
    matrix = torch.rand(_SGEMM, _SGEMM)
    runs = {**rivals, SGEMM: lambda: matrix @ matrix}
    first = {}
    for name, run in runs.items():
        release_memory()
        with Watch() as watch:
            answer = run()
        first[name] = (watch, answer)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(effort.rounds(sum(watch.seconds for watch, _ in first.values()))):
        for name, run in runs.items():
            started = clock()
            run()
            seconds[name].append(clock() - started)
    return {
        name: Cost(seconds[name], watch.megabytes, answer)
        for name, (watch, answer) in first.items()
    }


def gflop_rate(costs: Mapping[str, Cost]) -> float:
    """Return the GFLOP per second of the matrix product that ran among them."""
    return 2 * _SGEMM**3 / costs[SGEMM].median / 1e9


def gflop(run: Callable[[], Any]) -> float:
    """Count the GFLOP of matrix products, convolutions and attention in a run.

    Counted by torch as it calls them: 2 for a multiplication with its addition.
    Norms, GELU and softmax are left out, as usual.
    """
    # Operators that torch does not count.
    more = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flop,
        torch.ops.aten.baddbmm_: _product_flop,
    }
    with FlopCounterMode(display=False, custom_mapping=more) as counter:
        run()
    return counter.get_total_flops() / 1e9


def _attention_flop(
    query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any
) -> int:
    """Count operations of queries (B, h, L, c), keys (B, h, S, c), values (..., d)."""
    batch, heads, length, channels = query
    return 2 * batch * heads * length * key[2] * (channels + value[3])


def _product_flop(
    _: Sequence[int], first: Sequence[int], second: Sequence[int], *__: Any, **___: Any
) -> int:
    """Count operations for (B, n, k) times (B, k, m)."""
    batch, rows, inner = first
    return 2 * batch * rows * inner * second[2]


def release_memory() -> None:
    """Return free memory to the system, where that is possible."""
    gc.collect()
    if platform.system() == "Linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def machine() -> str:
    """Return processor, memory and versions in one line."""
    name, info = platform.processor(), Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        name = next((x.split(":")[1] for x in lines if "model name" in x), name)
    widest = torch.backends.cpu.get_cpu_capability()
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{name.strip()}, {os.cpu_count()} cores ({widest}), {memory:.0f} GiB, "
        f"{platform.system()}, Python {platform.python_version()}, torch "
        f"{torch.__version__} with {torch.get_num_threads()} threads"
    )
