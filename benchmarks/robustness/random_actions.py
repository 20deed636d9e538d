"""Random sequences of actions on a session: only sentences, and nothing else breaks.

`python -m benchmarks.robustness.random_actions --sequences 10000`

Each sequence has its own seed, which is printed when it fails; `--first SEED
--sequences 1` repeats it.
"""

from __future__ import annotations

import argparse
import time
import traceback
import warnings
from collections import Counter

import numpy as np
from tests.helpers.random_user import User


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=10_000)
    parser.add_argument("--actions", type=int, default=40)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    options = parser.parse_args()
    faults: Counter[str] = Counter()
    done: Counter[str] = Counter()
    start, last = time.perf_counter(), options.first + options.sequences
    for seed in range(options.first, last):
        fault = run(seed, options.actions, done)
        if fault:
            faults[fault.splitlines()[-1]] += 1
            print(f"seed {seed}: {fault}", flush=True)
        if seed % 500 == 499:
            seconds = time.perf_counter() - start
            print(f"{seed + 1} sequences, {seconds:.0f} s", flush=True)
    print(
        f"{options.sequences} sequences of {options.actions} actions from seed "
        f"{options.first}: {sum(faults.values())} failed, of {len(faults)} kinds; "
        f"{sum(done.values())} actions, of which "
        f"{sum(n for a, n in done.items() if 'refused' in a)} were refused"
    )
    return 1 if faults else 0


def run(seed: int, actions: int, done: Counter[str]) -> str:
    """Run one sequence; return its error with the actions before, or nothing."""
    user = User(np.random.default_rng(seed))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            user.check()
            for _ in range(actions):
                user.act()
                user.check()
            user.finish()
    except Exception as error:  # noqa: BLE001 - each is a fault
        where = traceback.format_exception(error)
        return f"{', '.join(user.done)}\n{''.join(where[-4:])}"
    finally:
        done.update(user.done)
    return ""


if __name__ == "__main__":
    raise SystemExit(main())
