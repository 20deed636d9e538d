"""Segmentation of the images of a series, one after the other."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.records.image_record import make_record
from napari_sam.scale_out.jobs.failures import describe_failure
from napari_sam.series.editing import ItemEditor
from napari_sam.series.jobs import ImageJob
from napari_sam.series.prompt_files import PromptSource
from napari_sam.series.storage.lock import LockedError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from pathlib import Path

    from napari_sam.prediction.predictor import Predictor
    from napari_sam.requests.base import Progress, SegmentationResult
    from napari_sam.series.item import SeriesItem


@dataclass(frozen=True, slots=True)
class BatchStep:
    """Progress of a batch.

    Parameters
    ----------
    item : SeriesItem
        The image.
    done, total : int
        Number of images that are finished, this one included if it is; and of all.
    what : str
        The step inside the image, while it is not finished.
    is_finished : bool
        Whether the image is finished, written or failed.
    problem : str
        Why it failed; empty when it was written.
    objects : int
        Number of objects that were written.
    seconds : float
        Time that the image took.
    notes : tuple of str
        What was not used of the image or its prompts, and what is in doubt.
    """

    item: SeriesItem
    done: int
    total: int
    what: str = ""
    is_finished: bool = False
    problem: str = ""
    objects: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The images of a series to segment, and how.

    Parameters
    ----------
    output : Path
        Folder of the series.
    names : tuple of str
        Its images.
    items : list of SeriesItem
        Its `pending_items`.
    job : ImageJob
        How they are segmented.
    model : str, Path or Predictor
        The model as the user chose it.
    again : bool
        See `pending_items`.
    """

    output: Path
    names: tuple[str, ...]
    items: list[SeriesItem]
    job: ImageJob
    model: str | Path | Predictor
    again: bool

    @classmethod
    def of(
        cls,
        images: Iterable[SeriesItem],
        output: Path,
        model: str | Path | Predictor,
        prompts: str | Path | Mapping[str, Any] | None,
        again: bool,
        options: Mapping[str, Any],
    ) -> Batch:
        """Choose the images; see `ImageSeries.iter_segment`."""
        images = list(images)
        names = tuple(item.name for item in images)
        source = None if prompts is None else PromptSource(prompts, names)
        job = ImageJob(source, **options)
        items = pending_items(images, again)
        return cls(output, names, items, job, model, again)

    def run(
        self, stopped: Callable[[], bool] = lambda: False
    ) -> Generator[BatchStep, None, dict[str, str]]:
        """Segment one image after the other; see `ImageSeries.iter_segment`."""
        from napari_sam.prediction.loading import as_predictor

        if not self.items:
            return {}
        predictor = as_predictor(self.model)
        return (
            yield from iter_batch(
                self.items, self.job, predictor, self.model, self.again, stopped
            )
        )


def pending_items(items: Iterable[SeriesItem], again: bool) -> list[SeriesItem]:
    """Return the images to segment: new ones, or changed since, and reviewable ones.

    Images that a user started, finished or skipped are never segmented, unless they
    have changed, which is a problem to tell.

    Parameters
    ----------
    items : iterable of SeriesItem
        All images.
    again : bool
        Whether to segment images again that wait for review.
    """
    wanted = ("new", "needs review") if again else ("new",)
    return [
        item
        for item in items
        if item.status in wanted or (item.status != "skipped" and item.has_changed())
    ]


def iter_batch(
    items: list[SeriesItem],
    job: ImageJob,
    predictor: Any,
    model: object,
    again: bool,
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[BatchStep, None, dict[str, str]]:
    """Segment images; see `ImageSeries.iter_segment`.

    Parameters
    ----------
    items : list of SeriesItem
        See `pending_items`.
    job : ImageJob
        How they are segmented.
    predictor : Predictor
        The model.
    model : object
        The model as the user chose it, for records.
    again : bool
        See `pending_items`.
    stopped : callable
        When it returns True, the batch ends before the next image.

    Returns
    -------
    dict
        {name: why the image failed}.
    """
    failures: dict[str, str] = {}
    for done, item in enumerate(items, 1):
        if stopped():
            break
        start = time.perf_counter()
        notes: list[str] = []
        problem, objects = "", 0
        try:
            with ItemEditor(item) as editor:
                steps = _segment(editor, job, predictor, model, again, notes)
                try:
                    while True:
                        progress = next(steps)
                        yield BatchStep(item, done - 1, len(items), progress.what)
                except StopIteration as stop:
                    objects = stop.value
                # Decoders, drivers and full disks raise anything; the next image may
                # be well.
                except Exception as error:  # noqa: BLE001
                    problem = _note_failure(editor, error)
        except Exception as error:  # noqa: BLE001 - its files cannot be written at all
            problem = problem or describe_failure(error)
        if problem:
            failures[item.name] = problem
        seconds = time.perf_counter() - start
        yield BatchStep(
            item,
            done,
            len(items),
            "",
            is_finished=True,
            problem=problem,
            objects=objects,
            seconds=seconds,
            notes=tuple(notes),
        )
    return failures


def _segment(
    editor: ItemEditor,
    job: ImageJob,
    predictor: Any,
    model: object,
    again: bool,
    notes: list[str],
) -> Generator[Progress, None, int]:
    """Segment one image and write its files; return the number of objects."""
    item = editor.item
    if editor.read_only:
        raise LockedError(editor.read_only)
    item.check_state()
    item.check_unchanged()
    if item.status not in (("new", "needs review") if again else ("new",)):
        notes.append(f"Another process made it {item.status} meanwhile: it is left.")
        return item.state.objects or 0
    start = time.perf_counter()
    image = item.read()
    notes += image.file.notes
    request, ignored = job.request(item, image)
    notes += ignored
    result: SegmentationResult = yield from request.run(predictor, EmbeddingCache())
    notes += result.warnings
    shape: tuple[int, ...] = request.view.reader.plane_shape(request.plane_index)
    labels = result.paint(request.stack.shape if request.stack is not None else shape)
    source = item.choice.to_json(str(item.path), image.used)
    editor.save(
        labels,
        image.used,
        record=make_record(request, result, labels, source, model),
        status="needs review",
        seconds=item.state.seconds + time.perf_counter() - start,
    )
    return len(np.setdiff1d(labels, 0))


def _note_failure(editor: ItemEditor, error: Exception) -> str:
    """Keep the reason in the state of the image; return it."""
    problem = describe_failure(error)
    if not editor.read_only:
        try:
            editor.item.check_state()
            editor.update(problem=problem)
        except (ValueError, OSError):
            return problem  # the reason is told, if it cannot be kept
    return problem
