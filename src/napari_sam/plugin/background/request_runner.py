"""Answers questions on the worker thread: loads the model, reports, keeps it."""

from __future__ import annotations

from threading import Event
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from qtpy.QtCore import QTimer

from napari_sam.plugin.background.worker import Worker
from napari_sam.requests.base import Progress, download_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from qtpy.QtCore import QObject

    from napari_sam.images.axes import PlaneIndex
    from napari_sam.plugin.background.worker import Job, Report
    from napari_sam.plugin.session import SamSession
    from napari_sam.plugin.state.layer_request import LayerRequest
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.requests.base import SegmentationResult
    from napari_sam.requests.view import ImageView

    Kind = Literal["asked", "live", "ahead"]
    Answer = tuple[Any, Predictor, LayerRequest, SegmentationResult]

# Work that ends sooner is not announced: each change of a text redraws the window.
_BRIEF_MS = 150


class RequestRunner:
    """Runs one question of a session at a time; a new one takes the place of it.

    Parameters
    ----------
    session : SamSession
        Gets the loaded model and the answers.
    parent : QObject
        Owns the worker.
    on_progress : callable
        Takes a sentence, the steps done and their number.
    on_refused : callable
        Takes why an answer could not be taken.
    on_error : callable
        Takes what went wrong.
    on_end : callable
        Called last, whatever happened.
    """

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
        self._started = 0.0
        self._kind: Kind = "asked"
        self._halt: Event | None = None
        self._under_way = False
        self._progress = Progress("PendingResult", 0, 0)
        self._brief = QTimer(parent)
        self._brief.setSingleShot(True)
        self._brief.setInterval(_BRIEF_MS)
        self._brief.timeout.connect(self._tell)

    @property
    def busy(self) -> bool:
        """Whether a question is being answered; encoding ahead does not count."""
        return self._worker.busy and self._kind != "ahead"

    @property
    def busy_with_asked(self) -> bool:
        """Whether work is under way that a changed prompt must not stop."""
        return self._worker.busy and self._kind == "asked"

    def run(self, question: LayerRequest, live: bool = False) -> None:
        """Answer a question; `live` ones give way to any other."""
        choice, cache = self._session.model_choice, self._session.cache
        model, loaded, load = choice.chosen, choice.loaded, choice.loader()
        halt = Event()

        def job(report: Report) -> Generator[Progress, None, Answer]:
            predictor = loaded
            if predictor is None:
                yield Progress("Loading the model", 0, 0)
                predictor = load(
                    lambda done, total: report(download_progress(done, total))
                )
            result = yield from question.request.run(predictor, cache, halt.is_set)
            return model, predictor, question, result

        self._kind = "live" if live else "asked"
        self._submit(job, self._take)
        if question.request.stack is not None:
            self._halt = halt

    def load(self, on_loaded: Callable[[], None]) -> None:
        """Bring and load the chosen model, then tell."""
        choice = self._session.model_choice
        model, load = choice.chosen, choice.loader()

        def job(report: Report) -> Generator[Progress, None, Predictor]:
            yield Progress("Loading the model", 0, 0)
            return load(lambda done, total: report(download_progress(done, total)))

        self._kind = "asked"

        def take(predictor: Predictor) -> None:
            choice.keep(predictor, model)
            on_loaded()

        self._submit(job, take)

    def compute(
        self, what: str, work: Callable[[], Any], take: Callable[[Any], object]
    ) -> None:
        """Do something that asks no model on the worker thread, then take it."""

        def job(_: Report) -> Generator[Progress, None, Any]:
            yield Progress(what, 0, 0)
            return work()

        def taken(found: Any) -> None:
            try:
                take(found)
            except ValueError as error:
                self._on_refused(str(error))

        self._kind = "asked"
        self._submit(job, taken)

    def encode_ahead(self, view: ImageView, planes: Sequence[PlaneIndex]) -> None:
        """Encode planes that may be asked about next, unless there is work to do."""
        predictor, cache = self._session.model_choice.loaded, self._session.cache
        if self._worker.busy or predictor is None:
            return

        def job(_: Report) -> Generator[None, None, None]:
            for plane_index in planes:
                view.embed(predictor, cache, plane_index)
                yield

        self._kind = "ahead"
        self._worker.submit(
            job,
            on_progress=_nothing,
            on_result=_nothing,
            # Whoever asks about the plane hears what is wrong with it.
            on_error=_nothing,
            on_end=lambda: None,
        )

    def _submit(self, job: Job, on_result: Callable[[Any], None]) -> None:
        self._started = perf_counter()
        self._halt, self._under_way = None, False
        self._worker.submit(
            job,
            on_progress=self._show,
            on_result=on_result,
            on_error=self._on_error,
            on_end=self._ended,
        )
        if self._kind == "live":
            self._brief.start()
        self._show(Progress("PendingResult", 0, 0))

    def cancel(self) -> None:
        """Stop; of a stack what is done is delivered, of all else nothing any more."""
        if self.busy_with_asked and self._halt is not None and self._under_way:
            self._halt.set()
            self._halt = None  # a second time stops without a result
            self._on_progress("Stopping after this slice ...", 0, 0)
        else:
            self._worker.cancel()

    def close(self) -> None:
        """Stop silently and let the thread end."""
        self._brief.stop()
        self._worker.close()

    def _ended(self) -> None:
        self._brief.stop()
        self._on_end()

    def _show(self, progress: Progress) -> None:
        self._progress = progress
        self._under_way = bool(progress.done)
        if not self._brief.isActive():
            self._tell()

    def _tell(self) -> None:
        progress, seconds = self._progress, perf_counter() - self._started
        left = ""
        if progress.done and progress.total:
            remaining = seconds / progress.done * (progress.total - progress.done)
            left = f", at most {remaining:.0f} s left"
        self._on_progress(f"{progress.what}{left} ...", progress.done, progress.total)

    def _take(self, answer: Answer) -> None:
        model, predictor, question, result = answer
        self._session.model_choice.keep(predictor, model)
        try:
            self._session.accept_result(question, result)
        except ValueError as error:
            self._on_refused(str(error))


def _nothing(_: Any) -> None:
    """Encoding ahead is neither shown nor missed."""
