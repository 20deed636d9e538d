"""The current object: from its prompts to its label, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_sam.plugin.layers.prompt_layers import remove_prompts
from napari_sam.plugin.objects.stack_correction import (
    CorrectionRequest,
    StackCorrection,
)
from napari_sam.plugin.objects.steps import AcceptStep, DiscardStep, EditStep, Steps
from napari_sam.plugin.objects.waiting import WaitingObject, WaitingObjects
from napari_sam.plugin.state.commit_history import CommittedObjects, Correction
from napari_sam.plugin.state.layer_request import prompt_key
from napari_sam.plugin.state.pending_result import PendingResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam.images.axes import PlaneIndex
    from napari_sam.plugin.layers.labels_writer import LabelChange
    from napari_sam.plugin.layers.prompt_reader import LayerPrompt
    from napari_sam.plugin.state.commit_history import CommitHistory
    from napari_sam.plugin.state.labels_target import Destination
    from napari_sam.plugin.state.layer_request import LayerRequest
    from napari_sam.plugin.state.request_builder import RequestBuilder
    from napari_sam.plugin.state.settings import SessionSettings
    from napari_sam.records.record import Record
    from napari_sam.requests.base import SegmentationResult

BRING_BACK = "'Previous object' brings its prompts back."
PROMPTS_BACK = "Its prompts are in their layers again."


class CurrentObject:
    """The object that the open prompts describe, and those that were accepted.

    An accept closes the set of open prompts. Until their result is there the object
    waits, and later prompts describe the next one; so all ends as if the user had
    waited, however slow the model is.

    Parameters
    ----------
    settings : SessionSettings
        Layers, model and options.
    history : CommitHistory
        Committed objects.
    builder : RequestBuilder
        Reads the prompts.

    Attributes
    ----------
    waiting : WaitingObjects
        Objects that were accepted before their result was there.
    corrections : StackCorrection
        Outlines of corrections that a pending stack does not have yet.
    has_prompts : bool
        Whether there are open prompts on the displayed plane, when they were noted
        last.
    """

    def __init__(
        self,
        settings: SessionSettings,
        history: CommitHistory,
        builder: RequestBuilder,
    ) -> None:
        self._settings, self._history, self._builder = settings, history, builder
        self._result: PendingResult | None = None
        self._skipped = 0  # alternatives to go on to, once the result is there
        self._steps = Steps()
        self.waiting = WaitingObjects()
        self.corrections = StackCorrection(settings, builder)
        self.has_prompts = False

    # -- the pending result ----------------------------------------------------

    @property
    def pending(self) -> PendingResult | None:
        """The objects to accept or discard, while their image is as it was."""
        pending, viewer = self._result, self._settings.viewer
        if pending is None or not pending.request.is_current(viewer):
            return None
        return pending

    def note_prompts(self) -> list[LayerPrompt]:
        """Read the open prompts, and note their order for undo."""
        try:
            prompts, self.has_prompts = self._builder.open_prompts()
        except ValueError:  # no image, a 3D view, or a slider outside the image
            prompts, self.has_prompts = [], False
        self._steps.note_prompts(prompts)
        return prompts

    def live_request(self) -> LayerRequest | None:
        """Build the request for the displayed plane; None when nothing is new."""
        pending = self.pending
        if pending is not None and not pending.is_plane:
            return self.corrections.request(pending)
        try:
            snapshot = self._builder.snapshot()
            if pending is not None and pending.image != snapshot.image:
                self.forget()  # its prompts stay with its image
                pending = None
            request = self._builder.plane(snapshot, pending)
        except ValueError:
            self._withdraw(None)
            raise
        if request is None or not request.prompts:  # a refined label is as it is
            self._withdraw(snapshot.plane.plane_index())
        elif pending is None or not pending.request.same_request(request):
            return request
        return None

    def take_result(self, request: LayerRequest, result: SegmentationResult) -> None:
        """Make a result the pending one, or write it if it was waited for.

        Raises
        ------
        ValueError
            When it is out of date, or cannot be written.
        """
        first = self.waiting.first
        if first is not None and first.request is request:
            self._take_waited_for(first, result)
        elif isinstance(request, CorrectionRequest):
            self.corrections.take(request, result)
        else:
            self._check_current(request)
            pending = PendingResult(request, result)
            self._result = self._go_on(pending, self._skipped)
            self._skipped = 0
        self._settings.changed.emit()

    def replace_result(self, before: PendingResult, after: PendingResult) -> None:
        """Replace the pending result by one with other options."""
        if self._result is before:
            self._result = after
        self._settings.changed.emit()

    def next_alternative(self) -> None:
        """Go on to the next alternative, now or when the result is there."""
        pending = self.pending
        is_new = pending is None or pending.is_plane
        if is_new and self.live_request() is not None:
            self._skipped += 1
            return
        pending = self.pending
        if pending is None:
            raise ValueError("There is no object: segment one first.")
        self._result, self._settings.size = pending.next_alternative()
        self._settings.changed.emit()

    # -- accept, discard, undo -------------------------------------------------

    def accept(self, running: LayerRequest | None = None) -> int | None:
        """Accept the object of the open prompts; return its label, if it is written.

        Otherwise the object waits.

        Parameters
        ----------
        running : LayerRequest, optional
            A request that is computed now. If it is that of the open prompts, the
            object waits for its result.
        """
        self.note_prompts()
        pending = self.pending
        is_plane = pending is None or pending.is_plane
        request = self.live_request() if is_plane else None
        if request is None:
            return self.commit()
        if running is not None and running.same_request(request):
            request = running
        step = AcceptStep(request, self._history.correction)
        destination = self._settings.target.destination()
        self.waiting.add(WaitingObject(step, request, destination, self._skipped))
        self._steps.add(step)
        self._end(request.prompts)
        return None

    def commit(self) -> int:
        """Write the pending result; return the label of the last object."""
        pending = self.pending
        if pending is None:
            raise ValueError("There is nothing to accept: segment an object first.")
        self.note_prompts()
        step = AcceptStep(pending.request, self._history.correction)
        label = self._write(pending, step, None)
        self._steps.add(step)
        step.pending = pending
        self._end(pending.request.prompts)
        return label

    def discard(self) -> None:
        """Drop the pending result and the prompts of the current object."""
        self.note_prompts()
        pending, correction = self.pending, self._history.correction
        prompts: list[LayerPrompt] = []
        if (pending is None or pending.is_plane) and self.has_prompts:
            snapshot = self._builder.snapshot()
            prompts += snapshot.prompts_at(snapshot.plane.index)
        known = {prompt_key(prompt) for prompt in prompts}
        used = () if pending is None else pending.request.prompts
        prompts += [prompt for prompt in used if prompt_key(prompt) not in known]
        self._history.cancel_correction()
        if prompts:
            self._steps.add(DiscardStep(prompts, correction))
        self._end(prompts)

    def add_edit(
        self, change: LabelChange, prompts: Sequence[LayerPrompt], record: Record | None
    ) -> None:
        """Note a correction, see `LabelsTarget.add_edit`; the points are used up."""
        history = self._history
        self._settings.target.add_edit(change, record)
        self._steps.add(EditStep(change, prompts, history.correction))
        touched = np.unique([change.before, change.after]).tolist()
        if history.forget_labels(change.labels, touched) or prompts:
            self._end(prompts)
        else:
            self._settings.changed.emit()

    def undo(self) -> None:
        """Take back the last prompt, accept, discard or correction of labels.

        Raises
        ------
        ValueError
            When there is none, or the labels were changed since.
        """
        step = self._steps.last(self.note_prompts())
        if step is None:
            raise ValueError("There is nothing to undo.")
        if isinstance(step, DiscardStep):
            self._reopen(step.prompts, step.correction)
        elif isinstance(step, AcceptStep):
            self._undo_accept(step)
        elif isinstance(step, EditStep):
            self._undo_change(step, step.change)
            if step.prompts:
                self._reopen(step.prompts, step.correction)
        else:
            remove_prompts(step.layer, [step])
        if isinstance(step, AcceptStep | DiscardStep | EditStep):
            self._steps.remove(step)
        self.note_prompts()
        self._settings.changed.emit()

    def forget(self) -> None:
        """Drop the pending result; its prompts stay."""
        self.drop()
        self._settings.changed.emit()

    def drop(self) -> None:
        """Drop the pending result without a signal."""
        if self._result is not None and self._result.is_of_several_scales:
            self._settings.size = None  # it means another size at another scale
        self._result = None

    def forget_all(self) -> None:
        """Forget all objects and steps, of another image in the same layers."""
        self._steps = Steps()
        self._history.forget()
        self.forget()

    def next_waiting(self) -> LayerRequest | None:
        """Return the request whose result is needed next."""
        first = self.waiting.first
        if first is None:
            return None
        first.request = self._builder.renewed(first.request)
        return first.request

    def give_up_waiting(self) -> int:
        """Write no waiting object; return how many there were.

        `previous_object` brings their prompts back, one object after the other.
        """
        given_up = self.waiting.clear()
        for waiting in given_up:
            self._keep_unwritten(waiting)
        if given_up:
            self._settings.changed.emit()
        return len(given_up)

    def reopen_waiting(self) -> None:
        """Bring the prompts of all waiting objects back into their layers."""
        for waiting in self.waiting.clear():
            self._steps.remove(waiting.step)
            self._history.consumed.restore(waiting.request.prompts)

    # -- details ---------------------------------------------------------------

    def _check_current(self, request: LayerRequest) -> None:
        request.check_current(self._settings.viewer, self._settings.model)

    def _take_waited_for(
        self, waiting: WaitingObject, result: SegmentationResult
    ) -> None:
        """Write the result of a waiting object; keep its prompts if that fails."""
        self.waiting.remove(waiting.step)
        try:
            self._check_current(waiting.request)
            pending = PendingResult(waiting.request, result)
            pending = self._go_on(pending, waiting.skipped)
            self._write(pending, waiting.step, waiting.destination)
        except ValueError as error:
            there = waiting.request.image in self._settings.viewer.layers
            prompts = BRING_BACK if there else PROMPTS_BACK
            problem = f"An accepted object was not written. {error} {prompts}"
            raise ValueError(problem) from error
        finally:
            if waiting.step.commit is None:
                self._keep_unwritten(waiting)
                self._settings.changed.emit()

    def _go_on(self, pending: PendingResult, skipped: int) -> PendingResult:
        """Go on to later alternatives, as far as there are any."""
        for _ in range(skipped):
            if pending.displayed_alternative is None:
                break
            pending, self._settings.size = pending.next_alternative()
        return pending

    def _write(
        self, pending: PendingResult, step: AcceptStep, destination: Destination | None
    ) -> int:
        """Write a result; return the label of the last object."""
        if not pending.result.pieces:
            raise ValueError("The mask is empty: change the prompts and try again.")
        target = self._settings.target
        commit = target.write(pending.request, pending.result, destination)
        assert commit.replacement is not None
        step.commit = commit
        self._history.sizes.add(pending, commit.replacement.labels)
        if not pending.is_automatic:  # hundreds of objects are not corrected together
            self._history.add(commit)
        if pending.is_of_several_scales:
            self._settings.size = None  # it means another size at another scale
        return commit.replacement.label_ids[-1]

    def _end(self, prompts: Sequence[LayerPrompt]) -> None:
        """Begin the next object."""
        self.drop()
        self._skipped = 0
        self._history.correction = Correction()
        self._history.consumed.consume(prompts)
        self._settings.reset_polarity()
        self.note_prompts()
        self._settings.changed.emit()

    def _keep_unwritten(self, waiting: WaitingObject) -> None:
        self._steps.remove(waiting.step)
        if waiting.request.image not in self._settings.viewer.layers:
            self._history.consumed.restore(waiting.request.prompts)
            return
        replacement = waiting.step.correction.replacement
        self._history.add(CommittedObjects(waiting.request, replacement))

    def _undo_accept(self, step: AcceptStep) -> None:
        request, skipped = step.request, 0
        if step.commit is None:
            waiting = self.waiting.remove(step)
            skipped = waiting.skipped
        else:
            self._undo_change(step, step.commit.change)
            self._history.remove(step.commit)
            request = step.commit.request
        self._reopen(request.prompts, step.correction)
        settings = self._settings
        settings.each_prompt_an_object = request.snapshot.each_prompt_an_object
        if step.commit is not None:
            settings.size = request.request.size
        request.snapshot.sliders.restore(settings.viewer.dims)
        self._skipped, self._result = skipped, step.pending

    def _undo_change(
        self, step: AcceptStep | EditStep, change: LabelChange | None
    ) -> None:
        if change is None or change.labels not in self._settings.viewer.layers:
            self._steps.remove(step)
            raise ValueError("The labels layer of the last object was removed.")
        change.undo()

    def _reopen(self, prompts: Sequence[LayerPrompt], correction: Correction) -> None:
        self.drop()
        self._history.consumed.restore(prompts)
        self._history.resume(correction)

    def _withdraw(self, plane_index: PlaneIndex | None) -> None:
        """Drop a result of a plane, or of any plane; its prompts stay."""
        pending = self._result
        if pending is None or not pending.is_plane:
            return  # it took long to compute
        if plane_index in (None, pending.request.snapshot.plane.plane_index()):
            self.forget()
