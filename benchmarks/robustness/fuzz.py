"""Damage files of every kind at random, and read them.

`python -m benchmarks.robustness.fuzz --examples 5000`

Each reader may raise one sentence of this package and nothing else, take 500 MB and two
seconds of processor time. The readers run in processes of their own, so that one which
ends its process is found, too. Faults are printed with their seed;
`--reader NAME --first SEED --examples 1` repeats one.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.robustness.fuzzing.limits import complaint, limit_memory
from benchmarks.robustness.fuzzing.mutations import damage
from benchmarks.robustness.fuzzing.readers import Reader, files_of, readers

_SHOWN = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--reader", action="append", choices=list(readers()))
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        return work(options.reader[0], options.first, options.examples)
    failed = 0
    for name in options.reader or readers():
        start = time.perf_counter()
        faults, told = drive(name, options.first, options.examples)
        failed += sum(faults.values())
        print(
            f"{name}: {options.examples} files from seed {options.first}, "
            f"{sum(faults.values())} faults of {len(faults)} kinds, {told}, "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
        for fault, count in faults.most_common():
            print(f"    {count} x {fault}", flush=True)
    return 1 if failed else 0


def drive(name: str, first: int, count: int) -> tuple[Counter[str], str]:
    """Run the examples of a reader in processes; go on after one that ended."""
    faults: Counter[str] = Counter()
    end, told = first + count, "not read"
    while first < end:
        command = [sys.executable, "-m", "benchmarks.robustness.fuzz", "--worker"]
        command += ["--reader", name, "--first", str(first)]
        command += ["--examples", str(end - first)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line]
        seeds: dict[str, list[int]] = {}
        for line in lines:
            if "fault" in line:
                seeds.setdefault(line["fault"], []).append(line["seed"])
        for fault, which in seeds.items():
            faults[f"{fault} (seeds {which[:_SHOWN]})"] += len(which)
        last = lines[-1] if lines else {}
        if done.returncode == 0:
            return faults, last["told"]
        started = last.get("started", first)
        faults[f"the process ended by {done.returncode} (seed {started})"] += 1
        first = started + 1
    return faults, told


def work(name: str, first: int, count: int) -> int:
    """Read damaged files; print a line of JSON before each example and a fault."""
    import resource

    reader = readers()[name]
    with tempfile.TemporaryDirectory() as folder:
        valid = Path(folder) / "valid"
        valid.mkdir()
        reader.build(valid)
        undamaged = complaint(lambda: reader.read(valid))
        if undamaged:
            print(json.dumps({"seed": -1, "fault": f"undamaged: {undamaged}"}))
        limit_memory()
        slowest = 0.0
        for seed in range(first, first + count):
            print(json.dumps({"started": seed}), flush=True)
            start = time.process_time()
            fault = example(reader, valid, Path(folder) / "damaged", seed)
            slowest = max(slowest, time.process_time() - start)
            if fault:
                print(json.dumps({"seed": seed, "fault": fault}), flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print(json.dumps({"told": f"slowest {slowest:.2f} s, peak {peak:.0f} MB"}))
    return 0


def example(reader: Reader, valid: Path, damaged: Path, seed: int) -> str:
    """Read a folder with one damaged file; return what is wrong, or nothing."""
    rng = np.random.default_rng(seed)
    files = list(files_of(valid))
    chosen = files[int(rng.integers(len(files)))]
    shutil.rmtree(damaged, ignore_errors=True)
    shutil.copytree(valid, damaged)
    content = damage(rng, chosen.name, chosen.read_bytes())
    (damaged / chosen.relative_to(valid)).write_bytes(content)
    return complaint(lambda: reader.read(damaged))


if __name__ == "__main__":
    raise SystemExit(main())
