"""Jobs of many tasks: overhead, restart, numbering, kills, bytes.

`python -m benchmarks.speed.scale_out --kills 20`
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from tests.helpers import jobs
from tests.helpers.jobs import disc_stack, stand_in
from tests.helpers.processes import load_small

import napari_sam as ns
from benchmarks.speed.kills import kills
from napari_sam.automatic.object_links import (
    PlaneCount,
    PlaneOverlaps,
    number_objects,
)
from napari_sam.images.reading.stored_array import StoredArray
from napari_sam.scale_out.jobs import schedulers
from napari_sam.scale_out.jobs.job import Job
from napari_sam.scale_out.stacks.planning import plan_everything_volume

_GIGABYTE = 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--planes", type=int, default=512)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=2_000_000)
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    use_stand_ins()
    for run, count in (
        (overhead, options.planes),
        (restart, options.tasks),
        (numbering, options.nodes),
        (driver_memory, options.tasks),
        (kills, options.kills),
        (sparse_store, 16),
    ):
        with tempfile.TemporaryDirectory() as folder:
            run(Path(folder), count)


def use_stand_ins() -> None:
    """Load stand-ins here and in the processes of pools."""
    schedulers._start_worker = jobs.start_worker
    jobs.install_stand_ins()


def overhead(folder: Path, planes: int) -> None:
    """Compare two processes with half of the time of one, 20 ms a plane."""
    plane = disc_stack(1, (256, 256))[0]
    stack = np.repeat(plane[None], planes, axis=0)
    # Every plane differs: equal ones would be encoded once by the plain call.
    stack[:, 0, :2] = np.column_stack(np.divmod(np.arange(planes), 200))
    few = ns.SearchOptions(points_per_side=2)
    for kind, options in (("points", few), ("instances", ns.SearchOptions())):
        _overhead_of(folder / kind, stack, f"{kind}seconds=0.02", options)


def _overhead_of(
    folder: Path, stack: np.ndarray, model: str, options: ns.SearchOptions
) -> None:
    """Compare the plain call of a model with that of two processes.

    Beside the wall time, which depends on what else runs, the time on two free cores
    is computed from the processor time of each stage.
    """
    schedulers.warm_up(2)
    before, started = time.process_time(), time.perf_counter()
    plain = ns.segment_everything_volume(stack, stand_in(model), options=options)
    serial = time.perf_counter() - started
    asleep = 0.02 * len(stack)
    serial_free = asleep + time.process_time() - before
    job = plan_everything_volume(
        stack, model=stand_in(model), workdir=folder / "two", options=options
    )
    started = time.perf_counter()
    for _ in job.run(2):
        pass
    total = time.perf_counter() - started
    assert np.array_equal(job.result(), plain)
    stages = _processor_time(folder / "one", stack, model, options)
    two = asleep / 2 + sum(
        seconds / min(tasks, 2) for seconds, tasks in stages.values()
    )
    text = ", ".join(f"{name} {seconds:.1f}" for name, (seconds, _) in stages.items())
    print(
        f"{len(stack)} planes, {model}: plain {serial:.1f} s, 2 processes {total:.1f}"
    )
    print(f"  ratio to half of it {2 * total / serial:.2f}")
    print(
        f"  on free cores {serial_free:.1f} and {two:.1f}: {2 * two / serial_free:.2f}"
    )
    print(f"  processor time by stage: {text}")


def _processor_time(
    folder: Path, stack: np.ndarray, model: str, options: ns.SearchOptions
) -> dict[str, tuple[float, int]]:
    """Return the processor time and the tasks of each stage, run in this process."""
    job = plan_everything_volume(
        stack, model=stand_in(model), workdir=folder, options=options
    )
    stages: dict[str, tuple[float, int]] = {}
    before = time.process_time()
    for step in job.run():
        now = time.process_time()
        earlier = stages.get(step.stage, (0.0, 0))[0]
        stages[step.stage] = earlier + now - before, step.total
        before = now
    return stages


def restart(folder: Path, tasks: int) -> None:
    """Time tasks that do nothing, and the restart of a finished job."""
    stack = np.zeros((tasks, 8, 8), np.uint8)
    stack[0, :4, :4] = 255  # the only plane that shows anything
    job = plan_everything_volume(
        stack,
        model=stand_in("boxes"),
        workdir=folder,
        linking=ns.Linking(gap=0, min_slices=1),
    )
    started = time.perf_counter()
    count = sum(1 for _ in job.run())
    seconds = time.perf_counter() - started
    print(f"{count} tasks: {1000 * seconds / count:.1f} ms for each")
    for what, run in (
        ("run again", lambda: list(Job(folder).run())),
        ("status", lambda: Job(folder).status()),
    ):
        started = time.perf_counter()
        run()
        print(f"  finished job, {what}: {time.perf_counter() - started:.2f} s")
    (folder / "finish" / "00000" / "00000000.arrays").unlink()
    started = time.perf_counter()
    assert len(list(Job(folder).run())) == 1
    print(f"  all but its last task: {time.perf_counter() - started:.2f} s")


def numbering(_: Path, nodes: int) -> None:
    """Link and number objects of 40 planes, and objects through all planes."""
    for depth in (40, nodes):
        _numbering(nodes, depth)


def _numbering(nodes: int, depth: int) -> None:
    """Link and number objects of some planes; the peak memory is of this process."""
    each = 200
    planes = nodes // each
    rng = np.random.default_rng(0)
    labels = np.arange(1, each + 1, dtype=np.int64)
    counts = [PlaneCount(labels, np.full(each, 100, np.int64)) for _ in range(planes)]
    overlaps, edges = [], 0
    # Objects touch others of their group of four.
    mates = (labels - 1) // 4 * 4
    for z in range(planes):
        for distance in (1, 2):
            if z + distance < planes and z // depth == (z + distance) // depth:
                more = rng.integers(0, each, each // 4)
                first = np.concatenate([labels, labels[more]])
                second = np.concatenate([labels, mates[more] + 1 + (labels[more] % 4)])
                shared = rng.integers(50, 100, len(first))
                pairs = np.column_stack([first, second, shared])
                overlaps.append(PlaneOverlaps(z, z + distance, pairs))
                edges += len(first)
    started = time.process_time()
    numbers = number_objects(
        counts, overlaps, min_overlap=0.5, min_slices=2, continued=False
    )
    seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"numbering {nodes:,} objects of planes, {edges:,} links, at most {depth:,} "
        f"planes each: {seconds:.0f} s of processor time, "
        f"{numbers.count:,} objects, peak of the process {peak / _GIGABYTE:.2f} GB"
    )


def driver_memory(folder: Path, planes: int) -> None:
    """Run what follows the search of planes with 200 objects each, by two processes.

    The objects go through all planes. The peak is of this process, with the program.
    """
    cells = np.arange(1, 201).reshape(10, 20)
    labels = np.kron(cells, np.pad(np.ones((2, 2), int), (0, 1))).astype(np.uint8)
    stack = np.broadcast_to(labels, (planes, *labels.shape))
    job = plan_everything_volume(stack, model=stand_in("points"), workdir=folder)
    for stage in ("output", "size"):
        for _ in job.work(stage=stage):
            pass
    for z in range(planes):
        found = {f"labels{z}": labels, f"is_empty{z}": False}
        job.folder.save("search", z, found)
    seconds: dict[str, float] = {}
    largest, started = 0, time.perf_counter()
    for step in job.run(2):
        now = time.perf_counter()
        seconds[step.stage] = seconds.get(step.stage, 0) + now - started
        started = now
        if step.done == step.total:
            pool = jobs.pool_processes(psutil.Process())
            largest = max(largest, *(p.memory_info().rss for p in pool))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    objects = job.folder.load("numbers", 0, ["count"])["count"]
    print(
        f"{planes:,} planes of {cells.size} objects, {int(objects):,} objects: peak of "
        f"the driver {peak / _GIGABYTE:.2f} GB, of a process {largest / _GIGABYTE:.2f}"
    )
    print("  " + ", ".join(f"{name} {spent:.0f} s" for name, spent in seconds.items()))


def sparse_store(folder: Path, planes: int) -> None:
    """Segment a time point of an OME-Zarr of 64 GB; compare bytes with the plan."""
    import zarr

    path = folder / "image.ome.zarr"
    shape, chunks = (128, planes, 4096, 4096), (1, 1, 1024, 1024)
    root = zarr.open_group(str(path), mode="w")
    array = root.create_array(
        "0",
        shape=shape,
        chunks=chunks,
        dtype="uint16",
        compressors=None,
        dimension_names=list("tzyx"),
    )
    kinds = {"t": "time"}
    root.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [
            {
                "axes": [{"name": a, "type": kinds.get(a, "space")} for a in "tzyx"],
                "datasets": [
                    {
                        "path": "0",
                        "coordinateTransformations": [
                            {"type": "scale", "scale": [1.0] * 4}
                        ],
                    }
                ],
            }
        ],
    }
    for z, plane in enumerate(disc_stack(planes, (256, 256))):
        array[3, z] = np.kron(plane, np.ones((16, 16), np.uint16)).astype(np.uint16)
    read = 0
    get = StoredArray.__getitem__

    def counted(self: StoredArray, key: Any) -> Any:
        nonlocal read
        found = get(self, key)
        read += found.nbytes
        return found

    StoredArray.__getitem__ = counted  # type: ignore[method-assign]
    try:
        job = plan_everything_volume(
            path,
            path,
            load_small(),
            workdir=folder / "job",
            index={"T": 3},
            contrast_limits=(0, 255),
            options=ns.SearchOptions(points_per_side=2),
        )
        cost = job.cost()
        read = 0
        started = time.perf_counter()
        stages = {step.stage: step.total for step in job.run()}
    finally:
        StoredArray.__getitem__ = get  # type: ignore[method-assign]
    written = sum(
        int(job.folder.load(stage, index)["bytes"])
        for stage, total in stages.items()
        for index in range(total)
        if stage == "paint" or stage.startswith("level")
    )
    size = int(np.prod(shape, dtype=np.int64)) * 2
    files = [f for f in path.rglob("*") if f.is_file()]
    print(
        f"{size / _GIGABYTE:.0f} GB store, one time point of {planes} planes: "
        f"{time.perf_counter() - started:.0f} s; read {read / _GIGABYTE:.2f} GB, plan "
        f"{cost.bytes_read / _GIGABYTE:.2f}; wrote {written / _GIGABYTE:.2f} GB, plan "
        f"{cost.bytes_written / _GIGABYTE:.2f}; {len(files)} files, "
        f"{sum(os.path.getsize(f) for f in files) / _GIGABYTE:.2f} GB on disk"
    )


if __name__ == "__main__":
    main()
