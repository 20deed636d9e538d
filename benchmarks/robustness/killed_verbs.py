"""Kill the command line at random moments, and check what it left.

`python -m benchmarks.robustness.killed_verbs --kills 200`

Every verb that writes is started, and ended by SIGKILL, SIGTERM or SIGINT. Afterwards
each output is either complete or not there, what was there before is as it was or
complete, and a further start ends well. Files of killed processes are gone after the
next start when they are older than a day. Moments are counted in processor time, so
that those on a busy machine are as on an idle one. `--trainings 3` kills longer runs of
training instead, and checks that at most a minute of each is lost.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tifffile
import torch
from tests.helpers.jobs import disc_stack

from benchmarks.robustness.fuzzing.models import write_folder_of_a_model
from napari_sam.checkpoints.state_dict import read_state_dict
from napari_sam.records.record import read_record
from napari_sam.scale_out.jobs.job import Job
from napari_sam.series.opening import open_series
from napari_sam.training.state import read_state

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_PART = ".napari-sam-"
_TWO_DAYS = 2 * 24 * 60 * 60
_MINUTE, _SLACK = 60.0, 20.0  # a state is written between two steps
_ENDLESS = ("--steps", "1000000", "--validate-every", "1000000")  # of training
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Verb:
    """A command and the check of what it writes.

    Parameters
    ----------
    arguments : tuple of str
        The command; files are in the working directory.
    check : callable
        Raises when a file in the folder is neither complete nor absent.
    """

    arguments: tuple[str, ...]
    check: Callable[[Path], None]


def labels_of(name: str, shape: tuple[int, ...]) -> Callable[[Path], None]:
    """Return a check that labels are complete, if they are there."""

    def check(folder: Path) -> None:
        path = folder / name
        if path.exists():
            labels = tifffile.imread(path)
            assert labels.shape == shape, (path, labels.shape)
        for record in folder.glob("*.record.json"):
            read_record(record)

    return check


def check_training(folder: Path) -> None:
    """Check weights and the state of a run, each if it is there."""
    for path in folder.glob("tuned*.safetensors"):
        try:
            read_state(path)
        except ValueError:
            assert read_state_dict(path), path


def check_export(folder: Path) -> None:
    """Check that each ONNX file is whole."""
    import onnx

    for path in (folder / "onnx").glob("[!.]*.onnx"):
        onnx.checker.check_model(onnx.load(path))


def check_series(folder: Path) -> None:
    """Check labels, states and records of a series."""
    if not (folder / "series" / "series.json").exists():
        return
    series = open_series(folder / "series")
    assert not series.problems, series.problems
    for item in series:
        item.check_state()
        item.read_labels()
        item.read_record()


def check_job(folder: Path) -> None:
    """Check the plan and the finished tasks of a job."""
    if not (folder / "job" / "plan.json").exists():
        return
    job = Job(folder / "job")
    for status in job.status():
        for index in job.folder.done(status.name):
            job.folder.load(status.name, index)


_MODEL = ("--model", "model")
_OVERWRITING = ("segment", "volume", "everything", "train", "export")
_PLANE, _STACK = (40, 50), (4, 40, 50)
VERBS = {
    "segment": Verb(
        ("segment", "plane.tif", "--box", "5,5,30,30", "--record", "a.record.json"),
        labels_of("plane_labels.tif", _PLANE),
    ),
    "volume": Verb(
        ("volume", "stack.tif", "--box", "1:5,5,30,30", "--record", "b.record.json"),
        labels_of("stack_labels.tif", _STACK),
    ),
    "everything": Verb(
        ("everything", "plane.tif", "--points-per-side", "6"),
        labels_of("plane_labels.tif", _PLANE),
    ),
    "train": Verb(
        (
            *("train", "images", "masks", "--output", "tuned.safetensors"),
            *("--steps", "20", "--validate-every", "10"),
        ),
        check_training,
    ),
    "export": Verb(("export", "model", "--output", "onnx"), check_export),
    "batch": Verb(
        ("batch", "images", "--output", "series", "--points-per-side", "6"),
        check_series,
    ),
    "plan": Verb(
        (
            *("plan", "stack.tif", "--workdir", "job"),
            *("--output", "l.zarr", "--points-per-side", "6"),
        ),
        check_job,
    ),
    "work": Verb(("work", "job"), check_job),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--verb", action="append", choices=list(VERBS))
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--trainings", type=int, default=0, help="of over a minute")
    options = parser.parse_args()
    # A shell that starts this in the background lets its children ignore Ctrl+C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    names, chance = options.verb or list(VERBS), random.Random(options.seed)
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        if options.trainings:
            return kill_trainings(folder, options.trainings, chance)
        lengths = {verb: length(folder, verb) for verb in names}
        print("processor time:", {v: round(s, 1) for v, s in lengths.items()})
        for kill in range(options.kills):
            verb, number = names[kill % len(names)], SIGNALS[kill // len(names) % 3]
            moment = chance.uniform(0.1, 1.05) * lengths[verb]
            outcome = one(folder, verb, number, moment)
            counts[f"{verb} {outcome}"] += 1
            print(f"{kill + 1}: {verb}, {number.name}: {outcome}", flush=True)
        left = sweep(folder)
    print(json.dumps(counts, indent=1, sort_keys=True))
    print(f"{options.kills} kills; files of killed processes left after a day: {left}")
    return 1 if left or any("fault" in name for name in counts) else 0


def prepare(folder: Path) -> None:
    """Write images, labels and a small model."""
    stack = disc_stack(*_STACK[:1], _STACK[1:])
    tifffile.imwrite(folder / "plane.tif", stack[1])
    tifffile.imwrite(folder / "stack.tif", stack)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for number, plane in enumerate(stack):
        tifffile.imwrite(folder / "images" / f"{number}.tif", plane)
        labels = (plane // 9).astype(np.uint16) * (plane > 100)
        tifffile.imwrite(folder / "masks" / f"{number}.tif", labels)
    torch.manual_seed(0)
    (folder / "model").mkdir()
    write_folder_of_a_model(folder / "model")


def one(folder: Path, verb: str, number: signal.Signals, seconds: float) -> str:
    """Start a verb, and kill it after processor time; return what came of it."""
    entry = VERBS[verb]
    if verb == "work" and not (folder / "job" / "plan.json").exists():
        run(folder, "plan").wait()
    if verb == "plan":
        shutil.rmtree(folder / "job", ignore_errors=True)
        shutil.rmtree(folder / "l.zarr", ignore_errors=True)
    process = run(folder, verb)
    used = 0.0
    while used < seconds and process.poll() is None:
        time.sleep(0.01)
        used = processor_seconds(process.pid)
    ended = "ended before"
    if process.poll() is None:
        process.send_signal(number)
        ended = "killed"
    told = process.communicate()[1].decode()
    if "Traceback" in told:
        return f"fault: {told.splitlines()[-1]}"
    if ended == "ended before" and process.returncode != 0:
        return f"fault: {told.splitlines()[-1:]}"
    try:
        entry.check(folder)
    except Exception as error:  # noqa: BLE001 - each is a fault
        return f"fault: {type(error).__name__} {error}"
    return ended


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process that was not waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def length(folder: Path, verb: str) -> float:
    """Run a verb to its end; return its processor time."""
    before = os.times()
    process = run(folder, verb)
    told = process.communicate()[1].decode()
    after = os.times()
    assert process.returncode == 0, told
    VERBS[verb].check(folder)
    return (
        after.children_user
        + after.children_system
        - before.children_user
        - before.children_system
    )


def kill_trainings(folder: Path, count: int, chance: random.Random) -> int:
    """Kill runs of training after more than a minute; return whether more is lost."""
    state, faults = folder / "tuned.safetensors.run.safetensors", 0
    for kill in range(count):
        state.unlink(missing_ok=True)
        start = time.time()
        process = run(folder, "train", *_ENDLESS)
        while not state.exists() and process.poll() is None:
            time.sleep(0.2)
        time.sleep(chance.uniform(0, _MINUTE))
        process.send_signal(SIGNALS[kill % len(SIGNALS)])
        process.communicate()
        end = time.time()
        lost = end - state.stat().st_mtime
        step = read_state(state)[1]["state"]["step"]
        faults += lost > _MINUTE + _SLACK
        print(
            f"{kill + 1}: {SIGNALS[kill % 3].name} after {end - start:.0f} s: "
            f"step {step}, {lost:.0f} s lost",
            flush=True,
        )
    print(f"{count} trainings killed, {faults} lost more than a minute")
    return 1 if faults else 0


def run(folder: Path, verb: str, *further: str) -> subprocess.Popen[bytes]:
    """Start a verb; `further` arguments count instead of those before."""
    command = [sys.executable, "-m", "napari_sam.cli", *VERBS[verb].arguments]
    command += [] if verb in ("work", "export") else _MODEL
    command += ["--overwrite"] if verb in _OVERWRITING else []
    command += further
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def sweep(folder: Path) -> int:
    """Make leftovers two days old, start the verbs again, and count what is left."""
    old = time.time() - _TWO_DAYS
    for path in folder.rglob(f"{_PART}*"):
        os.utime(path, (old, old))
    for verb in VERBS:
        run(folder, verb).wait()
    return sum(path.stat().st_mtime <= old for path in folder.rglob(f"{_PART}*"))


if __name__ == "__main__":
    raise SystemExit(main())
