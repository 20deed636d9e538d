"""A batch of images handed to a scheduler as a job."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.linking import Linking
from napari_sam.automatic.search import SearchOptions
from napari_sam.images.intensity import IntensityMapping
from napari_sam.masks.cleanup import CleanUp
from napari_sam.scale_out.jobs.folder import JobFolder
from napari_sam.scale_out.jobs.job import Job
from napari_sam.scale_out.stacks.model import model_to_json
from napari_sam.series.jobs import ImageJob
from napari_sam.series.prompt_files import PromptSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_sam.prediction.predictor import Predictor
    from napari_sam.scale_out.jobs.schedulers import Scheduler
    from napari_sam.series.batch import Batch

_OPTIONS = {
    "search": SearchOptions,
    "thresholds": Thresholds,
    "linking": Linking,
    "cleanup": CleanUp,
}
# Hidden, so that it is no image of the series.
_FOLDER = ".napari-sam-job"


class ImageFailedError(RuntimeError):
    """An image of a series could not be segmented."""


def segment_batch(
    batch: Batch, scheduler: Scheduler, predictor: Predictor | None = None
) -> dict[str, str]:
    """Segment the images of a batch; see `ImageSeries.segment`.

    Parameters
    ----------
    batch : Batch
        The images, and how they are segmented.
    scheduler : object
        See `Job.run`.
    predictor : Predictor, optional
        The model of the batch, where it is loaded already.

    Returns
    -------
    dict
        {name: why the image failed}.
    """
    from napari_sam.prediction.loading import as_predictor

    if not batch.items:
        return {}
    names, model = [item.name for item in batch.items], batch.model
    predictor = predictor or as_predictor(model)
    plan = {
        "kind": "series",
        "version": version("napari-sam"),
        "series": str(batch.output.resolve()),
        "items": names,
        "job": job_to_json(batch.job),
        "model": model_to_json(predictor),
        "chosen": str(model) if isinstance(model, str | Path) else None,
        "again": batch.again,
    }
    place = batch.output / _FOLDER
    # Of an earlier run that ended: its images are segmented, or among these.
    shutil.rmtree(place, ignore_errors=True)
    job = Job(JobFolder.create(place, plan).path, predictor)
    for _ in job.run(scheduler):
        pass
    for item in batch.items:
        item.refresh()
    kind = f"{ImageFailedError.__name__}: "
    failed = {names[f.index]: f.sentence.removeprefix(kind) for f in job.failed}
    job.remove()
    return failed


def job_to_json(job: ImageJob) -> dict[str, Any]:
    """Describe how images are segmented, in plain JSON types.

    Raises
    ------
    ValueError
        When the prompts are no files.
    """
    given = None if job.prompts is None else job.prompts.given
    if given is not None and not isinstance(given, str | Path):
        raise ValueError("Other processes need prompts as files: give their folder.")
    intensity: Any = job.intensity
    if isinstance(intensity, IntensityMapping):
        intensity = asdict(intensity)
    elif intensity is not None:
        intensity = np.asarray(intensity, float).tolist()
    return {
        "prompts": None if given is None else str(Path(given).resolve()),
        "intensity": intensity,
        "zoom": job.zoom,
        "axis": job.axis,
        **{name: asdict(getattr(job, name)) for name in _OPTIONS},
    }


def job_from_json(entry: Mapping[str, Any], names: Sequence[str]) -> ImageJob:
    """Read the result of `job_to_json`."""
    prompts = None
    if entry["prompts"] is not None:
        prompts = PromptSource(entry["prompts"], names)
    intensity = entry["intensity"]
    if isinstance(intensity, dict):
        intensity = IntensityMapping(**intensity)
    options: dict[str, Any] = {
        name: kind(**entry[name]) for name, kind in _OPTIONS.items()
    }
    return ImageJob(prompts, intensity, entry["zoom"], entry["axis"], **options)
