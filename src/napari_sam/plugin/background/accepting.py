"""Accepts objects of a session, and segments those that wait for their result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari.utils.notifications import show_error

from napari_sam.plugin.background.request_runner import TRAINING
from napari_sam.plugin.notifications import error_text
from napari_sam.plugin.objects.stack_correction import CorrectionRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.plugin.background.request_runner import RequestRunner
    from napari_sam.plugin.objects.waiting import WaitingObject
    from napari_sam.plugin.session import SamSession
    from napari_sam.plugin.state.layer_request import LayerRequest

CANCELLED = "Cancelled: nothing was written. Your boxes and points are where they were."
CANCELLED_SEARCH = (
    "Cancelled: the objects found so far are in the preview. Accept or discard them."
)
DOWNLOAD_FIRST = (
    "The model is not on this computer yet: press 'Download the model' under 'Image "
    "and model' first."
)


class Accepting:
    """Runs the requests of waiting objects, one after the other.

    Parameters
    ----------
    session : SamSession
        Its waiting objects are segmented and written.
    runner : RequestRunner
        Runs the requests.
    inform : callable
        Called with a sentence for the user.
    """

    def __init__(
        self,
        session: SamSession,
        runner: RequestRunner,
        inform: Callable[[str], None],
    ) -> None:
        self._session, self._runner, self._inform = session, runner, inform
        self._starting = self._had_waiting = False

    def accept(self) -> bool:
        """Accept the object of the open prompts; return whether it is written now.

        Raises
        ------
        ValueError
            When it cannot be segmented, or there is nothing to accept.
        """
        session, runner = self._session, self._runner
        request = session.live_request()
        self._check_corrections(request)
        if request is not None:
            if runner.training:
                raise ValueError(TRAINING)
            if not session.model_choice.is_at_hand:
                raise ValueError(DOWNLOAD_FIRST)
        label = session.accept(runner.running)
        self.run_next()
        return label is not None

    def _check_corrections(self, request: LayerRequest | None) -> None:
        """Refuse a stack with a correction, which would not be written."""
        pending, current = self._session.pending, self._session.current
        slices = [] if pending is None else current.corrections.slices(pending)
        if isinstance(request, CorrectionRequest):
            slices = [request.slice_index]
        if slices:
            raise ValueError(
                f"The correction on slice {slices[0]} is not in the stack yet: press "
                "'Whole stack', or remove its prompts."
            )

    def discard(self) -> None:
        """Discard the current object, and what is computed for it."""
        self._session.discard()
        self._stop_unwanted()

    def undo(self) -> None:
        """Take back the last step, and go on with the objects that wait."""
        self._session.undo()
        self._stop_unwanted()
        self.run_next()

    def cancel(self) -> str:
        """Stop the running job, and say what becomes of objects that wait.

        Returns
        -------
        str
            What is kept; empty where the result of the job tells it.
        """
        text, running = self.give_up(), self._runner.running
        goes_on = self._runner.cancel()
        self._inform(text)
        if not goes_on:
            return CANCELLED
        is_automatic = running is not None and running.request.is_automatic
        return CANCELLED_SEARCH if is_automatic else ""

    def give_up(self) -> str:
        """Write no waiting object; return what becomes of them."""
        current, layers = self._session.current, self._session.viewer.layers
        first = current.waiting.first
        there = first is not None and first.request.image in layers
        return not_written_text(current.give_up_waiting(), there)

    def fail(self, error: Exception) -> str:
        """Tell of a failed job, and give up waiting objects.

        A problem with what is being drawn is a hint: it is returned, not told.
        """
        given_up = self.give_up()
        if self._runner.is_live and isinstance(error, ValueError) and not given_up:
            return str(error)
        show_error(" ".join([error_text(error), given_up]).strip())
        return ""

    def run_next(self) -> bool:
        """Run the request of the first waiting object, unless it is running.

        Returns
        -------
        bool
            Whether the last waiting object was written since the last call.
        """
        first = self._session.current.waiting.first
        finished = self._had_waiting and first is None
        self._had_waiting = first is not None
        if first is not None:
            self._run(first)
        return finished

    def _run(self, first: WaitingObject) -> None:
        busy = self._runner.busy_with_request or self._runner.training
        # The end of the job before, which a new one cancels, comes here as well.
        if self._starting or busy or self._runner.running is first.request:
            return
        if not first.request.is_current(self._session.viewer):
            self._inform(self.give_up())  # the same is true of those behind it
            return
        request = self._session.current.next_waiting()
        assert request is not None
        self._starting = True
        try:
            self._runner.run(request, live=True)
        finally:
            self._starting = False

    def _stop_unwanted(self) -> None:
        """Stop what is computed for prompts that are gone."""
        first = self._session.current.waiting.first
        running, runner = self._runner.running, self._runner
        if running is None or runner.busy_with_request:
            return
        if first is None or running is not first.request:
            runner.cancel(discard=True)


def not_written_text(count: int, image_is_there: bool) -> str:
    """Say that accepted objects were not written; empty without any."""
    if not count:
        return ""
    which = "1 accepted object was" if count == 1 else f"{count} accepted objects were"
    if not image_is_there:
        return f"{which} not written: their prompts are in their layers again."
    return f"{which} not written: 'Previous object' brings back the prompts of each."
