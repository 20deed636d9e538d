"""Jobs on the command line: `plan`, `work`, `job`, and --scheduler of other verbs."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.linking import Linking
from napari_sam.automatic.search import SearchOptions
from napari_sam.cli.options import read_options
from napari_sam.cli.outputs import read_outputs
from napari_sam.cli.postprocessing import PostprocessingOptions
from napari_sam.cli.values import (
    read_index,
    read_intensity,
    read_region,
    volume_prompts,
)
from napari_sam.images.reading.read import ZARR_ENDING, read_image
from napari_sam.prediction.zoom.options import check_zoom
from napari_sam.prompts.selection import ImageSelection

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

    from napari_sam.scale_out.jobs.job import Job

    # Prints a line; shows progress.
    Say = Callable[[str], None]

COMPLETE, SOME_FAILED, NOT_COMPLETE = 0, 3, 4
_MAX_FAILURES = 10
_SHARD = re.compile(r"([0-9]+)/([0-9]+)")


def add_job_options(parser: argparse.ArgumentParser, *, run: bool = True) -> None:
    """Add the options of verbs that can segment by a job.

    Parameters
    ----------
    parser : ArgumentParser
        Gets the options.
    run : bool
        Whether the verb runs the job.
    """
    job = parser.add_argument_group(
        "job", "of small tasks, for large stacks; labels may go to OME-Zarr, *.zarr"
    )
    job.add_argument(
        "--name",
        default="napari-sam",
        help="name of the labels in the OME-Zarr of the image (default: napari-sam)",
    )
    job.add_argument(
        "--workdir",
        metavar="FOLDER",
        help="folder of the tasks, which all workers see (default: beside the output)",
    )
    if not run:
        return
    add_scheduler(job, "run the tasks by")
    job.add_argument(
        "--dry-run",
        action="store_true",
        help="print what the job costs, from one plane, and do nothing else",
    )


def add_scheduler(parser: argparse._ActionsContainer, what: str) -> None:
    """Add --scheduler; `what` says what it does here."""
    parser.add_argument(
        "--scheduler",
        metavar="local:N|ADDRESS",
        help=f"{what} N processes, or a cluster of dask (tcp://...)",
    )


def add_status_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb that says how far a job is."""
    parser.add_argument("job", help="folder of the job, from `plan`")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--stop",
        action="store_true",
        help="ask all who work on it to stop after their tasks; run it to go on",
    )


def is_job(options: argparse.Namespace) -> bool:
    """Tell whether the options ask for a job."""
    return bool(
        options.scheduler or options.workdir or options.dry_run or _is_zarr(options)
    )


def run_stack(
    options: argparse.Namespace,
    load_model: Callable[[], Any],
    say: Say,
    show: Say,
) -> int:
    """Plan a job on a stack and run it to its end; return the exit code.

    Parameters
    ----------
    options : argparse.Namespace
        The parsed command line.
    load_model : callable
        Loads the model.
    say, show : callable
        Print a line; show a line of progress in place of the one before.

    Raises
    ------
    ValueError, OSError
        When the image, the options or the output cannot be used.
    """
    job = plan_stack(options, load_model)
    if options.dry_run:
        say(job.cost().text)
        return COMPLETE
    _show(job.run(read_scheduler(options.scheduler)), say, show)
    code = _report(job, say)
    if code == COMPLETE:
        _write(options, job, say)
        if options.workdir is None:
            job.remove()
    return code


def plan_stack(options: argparse.Namespace, load_model: Callable[[], Any]) -> Job:
    """Plan the job that the options of `everything`, `volume` or `plan` describe."""
    from napari_sam.scale_out.stacks.planning import plan_everything_volume, plan_volume

    for option in ("record", "table"):
        if getattr(options, option) is not None:
            raise ValueError(f"--{option} is not written by a job: leave it out.")
    intensity, postprocessing = (
        read_intensity(options),
        PostprocessingOptions.read(options),
    )
    index, zoom = read_index(options.index), check_zoom(options.zoom)
    file = read_image(options.image, options.series, options.axes)
    image = file.select(**index)
    image.volume()  # raises for a plane
    axis = image.axis(options.axis)
    output, workdir = _places(options)
    where: dict[str, Any] = {
        "name": options.name,
        "workdir": workdir,
        "overwrite": options.overwrite,
        "index": index,
        "series": options.series,
        "axes": options.axes,
        "spacing": postprocessing.spacing,
        "cleanup": postprocessing.cleanup_in_slices(axis),
        "contrast_limits": intensity,
        "zoom": zoom,
    }
    if _has_prompts(options):
        selection = ImageSelection(
            file.order, file.stored_shape, index, image.axes[axis]
        )
        prompts, _ = volume_prompts(options, selection)
        return plan_volume(options.image, prompts, output, load_model(), axis, **where)
    plane_shape = tuple(n for i, n in enumerate(image.shape) if i != axis)
    return plan_everything_volume(
        options.image,
        output,
        load_model(),
        axis,
        options=read_options(SearchOptions, options, zoom=zoom),
        thresholds=read_options(Thresholds, options),
        linking=read_options(Linking, options),
        region=read_region(getattr(options, "region", None), plane_shape),
        **where,
    )


def run_plan(
    options: argparse.Namespace, load_model: Callable[[], Any], say: Say
) -> int:
    """Write the folder of a job, and say what it costs and how to run it."""
    if not _is_zarr(options):
        raise ValueError("A plan needs --output with the name of a zarr store, *.zarr.")
    job = plan_stack(options, load_model)
    say(job.cost().text)
    say(f"planned {job.path}")
    say(f"run it with: napari-sam work {job.path}")
    return COMPLETE


def run_work(options: argparse.Namespace, say: Say, show: Say) -> int:
    """Do a share of a job; return the exit code."""
    from napari_sam.scale_out.jobs.job import Job

    job = Job(options.job)
    if options.scheduler is not None:
        if options.shard or options.stage:
            raise ValueError("--shard and --stage are for work without a scheduler.")
        steps = job.run(read_scheduler(options.scheduler))
    else:
        steps = job.work(read_shard(options.shard), options.stage)
    _show(steps, say, show)
    code = _report(job, say)
    return COMPLETE if code == NOT_COMPLETE else code


def run_status(options: argparse.Namespace, say: Say) -> int:
    """Say how far a job is; return the exit code."""
    from napari_sam.scale_out.jobs.job import Job

    job = Job(options.job)
    if options.stop:
        job.stop()
    if options.json:
        content = {
            "complete": job.is_complete,
            "stages": [asdict(stage) for stage in job.status()],
            "failed": [
                {**asdict(failure), "details": str(failure.details)}
                for failure in job.failed
            ],
        }
        say(json.dumps(content, indent=2))
        return _code(job)
    for stage in job.status():
        total = "?" if stage.total is None else stage.total
        failed = f", {stage.failed} failed" if stage.failed else ""
        say(f"{stage.what}: {stage.done} of {total}{failed}")
    return _report(job, say)


def _code(job: Job) -> int:
    if job.failed:
        return SOME_FAILED
    return COMPLETE if job.is_complete else NOT_COMPLETE


def _report(job: Job, say: Say) -> int:
    """Say what failed, or what is left; return the exit code."""
    failed, code = job.failed, _code(job)
    for failure in failed[:_MAX_FAILURES]:
        say(f"{failure.stage} {failure.index} failed: {failure.sentence}")
    if failed:
        say(f"{len(failed)} tasks failed, see {failed[0].details.parent}; run it again")
    elif code == NOT_COMPLETE:
        say(f"{job.path} is not complete")
    return code


def _show(steps: Iterable[Any], say: Say, show: Say) -> None:
    """Show each step in place of the one before; say when a stage is complete."""
    from napari_sam.scale_out.jobs.estimate import duration_text

    for step in _until_stopped(steps):
        left = ""
        if step.seconds_left and step.done < step.total:
            left = f", {duration_text(step.seconds_left)} left"
        failed = f", {step.failed} failed" if step.failed else ""
        line = f"{step.what}: {step.done} of {step.total}{failed}"
        if step.done + step.failed < step.total:
            show(f"{line}{left}")
        else:
            show("")
            say(line)
    show("")


def _until_stopped(steps: Iterable[Any]) -> Iterator[Any]:
    """Yield steps; a job that was asked to stop ends as by Ctrl+C."""
    from napari_sam.scale_out.jobs.stopping import JobStoppedError

    try:
        yield from steps
    except JobStoppedError as error:
        raise KeyboardInterrupt from error


def _write(options: argparse.Namespace, job: Job, say: Say) -> None:
    """Write the labels of a complete job as TIFF, unless they are in a zarr store."""
    from napari_sam.images.writing import write_labels

    if _is_zarr(options):
        say(f"wrote {options.output}, labels {options.name}")
        return
    found = job.result()
    labels = getattr(found, "labels", found)  # of a propagation
    file = read_image(options.image, options.series, options.axes)
    image = file.select(**read_index(options.index))
    say(f"wrote {write_labels(read_outputs(options).labels, labels, image)}")


def _places(options: argparse.Namespace) -> tuple[Path | None, Path | None]:
    """Return the zarr store for the labels, if any, and the folder of the job."""
    workdir = None if options.workdir is None else Path(options.workdir)
    if _is_zarr(options):
        return Path(options.output), workdir
    labels = read_outputs(options).labels
    return None, workdir or labels.with_name(f"{labels.name}.napari-sam")


def _is_zarr(options: argparse.Namespace) -> bool:
    return bool(options.output) and options.output.lower().rstrip("/").endswith(
        ZARR_ENDING
    )


def _has_prompts(options: argparse.Namespace) -> bool:
    return any(getattr(options, name, None) for name in ("point", "box", "prompts"))


def read_scheduler(text: str | None) -> str | int | None:
    """Read --scheduler; a number is one of processes."""
    return int(text) if text is not None and text.isdecimal() else text


def read_shard(text: str | None) -> tuple[int, int] | None:
    """Read --shard, such as 3/20."""
    if text is None:
        return None
    match = _SHARD.fullmatch(text)
    if not match:
        raise ValueError(f"--shard {text!r} is not of the form 3/20.")
    number, count = int(match[1]), int(match[2])
    if not 1 <= number <= count:
        raise ValueError(f"There is no shard {text}: give one from 1/{count} on.")
    return number, count
