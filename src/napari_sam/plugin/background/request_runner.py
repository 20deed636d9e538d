"""Runs requests and other jobs of a session on the worker thread."""

from __future__ import annotations

from importlib import import_module
from threading import Event
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_sam.plugin.background.time_left import TimeLeft, time_left_text
from napari_sam.plugin.background.worker import Worker
from napari_sam.requests.base import Progress, download_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from qtpy.QtCore import QObject

    from napari_sam.checkpoints.families import Family
    from napari_sam.images.axes import PlaneIndex
    from napari_sam.images.window import Window
    from napari_sam.plugin.background.worker import Job, Report
    from napari_sam.plugin.session import SamSession
    from napari_sam.plugin.state.layer_request import LayerRequest
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.requests.base import SegmentationResult
    from napari_sam.requests.view import ImageView
    from napari_sam.training.options import TrainingProgress
    from napari_sam.training.request import TrainingRequest, TrainingResult

    Kind = Literal["request", "live", "prefetch", "train"]

# Live requests that end sooner show no progress: each change redraws the window.
_QUIET_MS = 150
TRAINING = "A model is training: wait, or stop it in the training panel."
STOPPING = "Stopping after this step ..."
_PROGRESS_STEPS = 1000
# Imported before they are needed, as that takes seconds.
_NEEDED_MODULES = (
    *(f"napari_sam.requests.{name}" for name in ("automatic_stack", "plane", "stack")),
    "skimage.color.colorconv",  # napari imports it for the first Labels layer
)
_PHASES = {
    "encode": "Encoding images",
    "validate": "Validating",
    "train": "Training",
    "everything": "Adapting Everything",
}
# Reported between loading the model and the job itself.
_MODEL_LOADED = Progress("Starting", 0, 0)


class RequestRunner:
    """Runs one job of a session at a time; a new job cancels the one before.

    While a model trains, other jobs are refused with a ValueError.

    Parameters
    ----------
    session : SamSession
        Gets the loaded model and the results.
    parent : QObject
        Owner of the worker.
    on_progress : callable
        Called with a sentence, the steps done and their number.
    on_refused : callable
        Called with a sentence when a result could not be used.
    on_error : callable
        Called with the exception of a failed job.
    on_end : callable
        Called last, after every job.

    Attributes
    ----------
    is_preparing : bool
        Whether the model is loaded before anything needs it.
    """

    training_ended = Signal()

    def __init__(
        self,
        session: SamSession,
        parent: QObject,
        *,
        on_progress: Callable[[str, int, int], None],
        on_refused: Callable[[str], None],
        on_error: Callable[[Exception], None],
        on_end: Callable[[], None],
    ) -> None:
        self._session = session
        self._worker = Worker(parent)
        self._on_progress, self._on_refused = on_progress, on_refused
        self._on_error, self._on_end = on_error, on_end
        self._kind: Kind = "request"
        self._request: LayerRequest | None = None
        self._stop: Event | None = None
        self._model_loaded = self._partly_done = self.is_preparing = False
        self._time_left = TimeLeft()
        self._progress = Progress("Starting", 0, 0)
        self._quiet = QTimer(parent)
        self._quiet.setSingleShot(True)
        self._quiet.setInterval(_QUIET_MS)
        self._quiet.timeout.connect(self._tell)

    @property
    def busy(self) -> bool:
        """Whether a job is running; prefetching does not count."""
        return self._worker.busy and self._kind != "prefetch"

    @property
    def busy_with_request(self) -> bool:
        """Whether a job is running that a button started, other than a training."""
        return self._worker.busy and self._kind == "request"

    @property
    def is_live(self) -> bool:
        """Whether the last job was the live request for what is drawn."""
        return self._kind == "live"

    @property
    def busy_computing(self) -> bool:
        """Whether a job is running, other than a training."""
        return self.busy and not self.training

    @property
    def running(self) -> LayerRequest | None:
        """The segmentation request that is running."""
        return self._request if self.busy else None

    @property
    def training(self) -> bool:
        """Whether a model is training."""
        return self._worker.busy and self._kind == "train"

    def run(self, request: LayerRequest, live: bool = False) -> None:
        """Run a segmentation request; any other job cancels a `live` one."""
        model, load = self._session.model, self._loading()
        cache, stop = self._session.cache, Event()

        def job(report: Report) -> Generator[Progress, None, Any]:
            predictor = yield from load(report)
            result = yield from request.request.run(predictor, cache, stop.is_set)
            return predictor, result

        def accept(outcome: tuple[Predictor, SegmentationResult]) -> None:
            predictor, result = outcome
            self._session.model_choice.keep(predictor, model)
            self._session.accept_result(request, result)

        is_automatic = request.request.is_automatic
        stoppable = is_automatic or request.request.stack is not None
        self._submit(
            "live" if live else "request", job, accept, stop if stoppable else None
        )
        self._request = request

    def load(self, on_loaded: Callable[[], None]) -> None:
        """Download and load the chosen model."""
        model, load = self._session.model, self._loading()

        def keep(predictor: Predictor) -> None:
            self._session.model_choice.keep(predictor, model)
            on_loaded()

        self._submit("request", load, keep)

    def compute(
        self, what: str, compute: Callable[[], Any], apply: Callable[[Any], object]
    ) -> None:
        """Compute without a model on the worker thread, then apply the outcome."""

        def job(_: Report) -> Generator[Progress, None, Any]:
            yield Progress(what, 0, 0)
            return compute()

        self._submit("request", job, apply)

    def train(
        self,
        request: TrainingRequest,
        *,
        on_progress: Callable[[Progress | TrainingProgress], None],
        on_result: Callable[[TrainingResult, Family], None],
        on_end: Callable[[], None],
    ) -> Event:
        """Train the chosen model; set the returned event to stop with the best one."""
        model, load, stop = self._session.model, self._loading(), Event()

        def job(report: Report) -> Generator[Progress | TrainingProgress, None, Any]:
            predictor = yield from load(report)
            result = yield from request.run(predictor, stop.is_set)
            return predictor, result

        def show(progress: Progress | TrainingProgress) -> None:
            on_progress(progress)
            if isinstance(progress, Progress):
                self._show(progress)
                return
            self._partly_done = True
            if stop.is_set():
                self._on_progress(STOPPING, 0, 0)
            else:
                done = round(_PROGRESS_STEPS * progress.fraction)
                self._on_progress(training_text(progress), done, _PROGRESS_STEPS)

        def accept(outcome: tuple[Predictor, TrainingResult]) -> None:
            predictor, result = outcome
            self._session.model_choice.keep(predictor, model)
            on_result(result, predictor.family)

        def end() -> None:
            self._end()
            self.training_ended.emit()
            on_end()

        self._submit("train", job, accept, stop, on_progress=show, on_end=end)
        return stop

    def prepare(
        self, on_loaded: Callable[[], None], on_end: Callable[[], None]
    ) -> None:
        """Load the model, and import what the first object needs, unless a job runs.

        The next job does not wait for what was loaded already.
        """
        if self._worker.busy:
            return
        model, load = self._session.model, self._loading()

        def job(report: Report) -> Generator[Progress, None, Predictor]:
            for name in _NEEDED_MODULES:
                import_module(name)
            return (yield from load(report))

        def keep(predictor: Predictor) -> None:
            self._session.model_choice.keep(predictor, model)
            on_loaded()

        def end() -> None:
            self.is_preparing = False
            on_end()

        self._kind, self.is_preparing = "prefetch", True
        self._worker.submit(
            job, on_progress=_ignore, on_result=keep, on_error=_ignore, on_end=end
        )

    def prefetch(
        self,
        view: ImageView,
        parts: Sequence[tuple[PlaneIndex, Window | None]],
        on_encoded: Callable[[], None] = lambda: None,
    ) -> None:
        """Encode parts of planes that may be segmented next, while nothing else runs.

        Parameters
        ----------
        view : ImageView
            The image.
        parts : sequence of tuple
            Index of a plane and window on it; None for the whole plane.
        on_encoded : callable
            Called when all are encoded; not when another job came between.
        """
        predictor, cache = self._session.model_choice.loaded, self._session.cache
        if self._worker.busy or predictor is None:
            return

        def job(_: Report) -> Generator[None, None, None]:
            for plane_index, window in parts:
                view.embed(predictor, cache, plane_index, window)
                yield

        self._kind = "prefetch"
        self._worker.submit(
            job,
            on_progress=_ignore,
            on_result=lambda _: on_encoded(),
            on_error=_ignore,
            on_end=lambda: None,
        )

    def cancel(self, discard: bool = False) -> bool:
        """Stop the job; return whether it ends with what is done so far.

        A stack, an automatic segmentation or a training does, unless it is cancelled
        again or with `discard`.
        """
        stop = self._stop
        if stop is not None and self._partly_done and self.busy and not discard:
            stop.set()
            self._stop = None  # cancelled again, it ends without a result
            self._on_progress(STOPPING, 0, 0)
            return True
        self._worker.cancel()
        return False

    def close(self) -> None:
        """Cancel silently, and end the thread."""
        self.is_preparing = False
        self._quiet.stop()
        self._worker.close()

    def _loading(self) -> Callable[[Report], Generator[Progress, None, Predictor]]:
        """Return a job that loads the chosen model unless it is loaded."""
        choice = self._session.model_choice
        loaded, load = choice.loaded, choice.loader()

        def job(report: Report) -> Generator[Progress, None, Predictor]:
            predictor = loaded
            if predictor is None:
                yield Progress("Loading the model", 0, 0)
                predictor = load(
                    lambda done, total: report(download_progress(done, total))
                )
            yield _MODEL_LOADED
            return predictor

        return job

    def _submit(
        self,
        kind: Kind,
        job: Job,
        accept: Callable[[Any], object],
        stop: Event | None = None,
        *,
        on_progress: Callable[[Any], None] | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        def take(outcome: Any) -> None:
            try:
                accept(outcome)
            except ValueError as error:
                self._on_refused(str(error))

        if self.training:
            raise ValueError(TRAINING)
        self._kind, self._time_left, self._request = kind, TimeLeft(), None
        self._worker.submit(
            job,
            on_progress=on_progress or self._show,
            on_result=take,
            on_error=self._on_error,
            on_end=on_end or self._end,
        )
        self._stop = stop
        self._model_loaded = self._partly_done = False
        if kind == "live":
            self._quiet.start()
        self._show(Progress("Starting", 0, 0))

    def _end(self) -> None:
        self._quiet.stop()
        self._on_end()

    def _show(self, progress: Progress) -> None:
        self._progress = progress
        if progress.total:
            self._time_left.note(perf_counter(), progress.done)
        # Loading the model counts megabytes, which are no part of the result.
        self._model_loaded |= progress is _MODEL_LOADED
        self._partly_done |= self._model_loaded and progress.done > 0
        if not self._quiet.isActive():
            self._tell()

    def _tell(self) -> None:
        progress, now = self._progress, perf_counter()
        seconds = self._time_left.seconds(now, progress.total)
        left = time_left_text(seconds, at_most=progress.may_end_early)
        self._on_progress(f"{progress.what}{left} ...", progress.done, progress.total)


def _ignore(_: object) -> None:
    """Ignore progress, and errors: they surface with the first request."""


def training_text(progress: TrainingProgress) -> str:
    """Describe the phase of a training, and the time left in it."""
    left = time_left_text(progress.seconds_left)
    return f"{_PHASES[progress.phase]}{left} ..."
