"""`napari-sam batch`: all images of a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.linking import Linking
from napari_sam.automatic.search import SearchOptions
from napari_sam.cli.jobs import SOME_FAILED, read_scheduler, read_shard
from napari_sam.cli.options import read_options
from napari_sam.cli.outputs import check_output_file
from napari_sam.cli.values import read_index, read_intensity
from napari_sam.masks.cleanup import CleanUp

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

    from napari_sam.series.batch import Batch, BatchStep
    from napari_sam.series.image_series import ImageSeries

_MAX_NAMES = 5


def run_batch(
    options: argparse.Namespace,
    load_model: Callable[[], Any],
    say: Callable[[str], None],
    note: Callable[[Iterable[str]], None],
) -> int:
    """Segment all new images, and return the exit code.

    Parameters
    ----------
    options : argparse.Namespace
        The parsed command line.
    load_model : callable
        Loads the model; called when there is an image to segment.
    say, note : callable
        Print a line, and notes on what is not used.

    Raises
    ------
    ValueError, OSError
        When the folders or options cannot be used.
    """
    job_options = {
        "intensity": read_intensity(options),
        "zoom": options.zoom,
        "axis": options.axis,
        "search": read_options(SearchOptions, options),
        "thresholds": read_options(Thresholds, options),
        "linking": read_options(Linking, options),
        "cleanup": read_options(CleanUp, options),
    }
    if options.table is not None:
        check_output_file("--table", Path(options.table), overwrite=True)

    from napari_sam.series.batch import Batch, pending_items
    from napari_sam.series.jobs import ImageJob
    from napari_sam.series.opening import open_series
    from napari_sam.series.prompt_files import PromptSource

    series = open_series(
        options.images,
        options.output,
        pattern=options.pattern,
        index=read_index(options.index) or None,
        image=options.series,
        axes=options.axes,
    )
    if not len(series):
        raise ValueError(f"There is no image in {options.images}: check the folder.")
    prompts = None
    if options.prompts is not None:
        prompts = PromptSource(options.prompts, [item.name for item in series])
    job = ImageJob(prompts, **job_options)
    note(_ignored(series))
    number, count = read_shard(options.shard) or (1, 1)
    names = tuple(item.name for item in series)
    share = [item for i, item in enumerate(series) if i % count == number - 1]
    items = pending_items(share, options.again)
    say(f"{len(items)} of {len(share)} images to segment")
    batch = Batch(series.output, names, items, job, options.model, options.again)
    failures = _segment(batch, options.scheduler, load_model, say, note)
    failures += _write_table(series, options.table, say, note)
    say(", ".join(f"{count} {status}" for status, count in series.counts.items()))
    if failures:
        note([f"{failures} images failed; run the same command again to try them."])
    return SOME_FAILED if failures else 0


def _segment(
    batch: Batch,
    scheduler: str | None,
    load_model: Callable[[], Any],
    say: Callable[[str], None],
    note: Callable[[Iterable[str]], None],
) -> int:
    """Segment the images of a batch; return the number of those that failed."""
    from napari_sam.series.batch import iter_batch
    from napari_sam.series.batch_job import segment_batch

    if not batch.items:
        return 0
    predictor, failures = load_model(), 0
    if scheduler is not None:
        problems = segment_batch(batch, read_scheduler(scheduler), predictor)
        for name, problem in problems.items():
            say(f"{name}: failed: {problem}")
        return len(problems)
    for step in iter_batch(batch.items, batch.job, predictor, batch.model, batch.again):
        if step.is_finished:
            failures += bool(step.problem)
            note(f"{step.item.name}: {text}" for text in step.notes)
            say(_line(step))
    return failures


def _line(step: BatchStep) -> str:
    head = f"{step.done} of {step.total}: {step.item.name}: "
    if step.problem:
        return f"{head}failed: {step.problem}"
    return f"{head}{step.objects} objects, {step.seconds:.1f} s"


def _ignored(series: ImageSeries) -> list[str]:
    """Return a sentence about the files that are no images."""
    names = list(series.ignored)
    if not names:
        return []
    more = ", ..." if len(names) > _MAX_NAMES else ""
    listed = ", ".join(names[:_MAX_NAMES]) + more
    return [f"{len(names)} other files are no images: {listed}"]


def _write_table(
    series: ImageSeries,
    path: str | None,
    say: Callable[[str], None],
    note: Callable[[Iterable[str]], None],
) -> int:
    """Write the table, if it is wanted; return the number of images it lacks."""
    if path is None:
        return 0
    problems = series.write_table(path)
    note(f"{name} is not in the table: {text}" for name, text in problems.items())
    say(f"wrote {path}")
    return len(problems)
