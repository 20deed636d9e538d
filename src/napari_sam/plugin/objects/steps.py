"""Steps of the user that can be undone, in the order in which they were made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_sam.plugin.layers.prompt_layers import is_plugin_layer
from napari_sam.plugin.state.followed_changes import MAX_STEPS
from napari_sam.plugin.state.layer_request import prompt_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari_sam.plugin.layers.labels_writer import LabelChange
    from napari_sam.plugin.layers.prompt_reader import LayerPrompt
    from napari_sam.plugin.state.commit_history import CommittedObjects, Correction
    from napari_sam.plugin.state.layer_request import LayerRequest
    from napari_sam.plugin.state.pending_result import PendingResult


@dataclass(frozen=True, slots=True, eq=False)
class DrawnStep:
    """A prompt that was drawn.

    Parameters
    ----------
    key : tuple
        See `prompt_key`.
    """

    key: tuple[Any, ...]


@dataclass(slots=True, eq=False)
class AcceptStep:
    """Objects that were accepted.

    Parameters
    ----------
    request : LayerRequest
        Their request.
    correction : Correction
        The objects that were corrected.
    commit : CommittedObjects or None
        What was written; None while the objects wait for their result.
    pending : PendingResult or None
        The result, of the latest step only.
    """

    request: LayerRequest
    correction: Correction
    commit: CommittedObjects | None = None
    pending: PendingResult | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DiscardStep:
    """Prompts that were discarded.

    Parameters
    ----------
    prompts : sequence of LayerPrompt
        The prompts.
    correction : Correction
        The objects that were corrected.
    """

    prompts: Sequence[LayerPrompt]
    correction: Correction


@dataclass(frozen=True, slots=True, eq=False)
class EditStep:
    """A correction of labels.

    Parameters
    ----------
    change : LabelChange
        The pixels.
    prompts : sequence of LayerPrompt
        The points that told which labels.
    correction : Correction
        The objects that were corrected with prompts.
    """

    change: LabelChange
    prompts: Sequence[LayerPrompt]
    correction: Correction


Step = DrawnStep | AcceptStep | DiscardStep | EditStep


class Steps:
    """A list of steps, the latest last.

    Open prompts do not count against its limit: as many as there are can be drawn.
    """

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def note_prompts(self, prompts: Iterable[LayerPrompt]) -> None:
        """Add the prompts that were drawn since the last call.

        Only those in layers of the plugin, as no others are ever removed.
        """
        known = {step.key for step in self._steps if isinstance(step, DrawnStep)}
        for prompt in prompts:
            key = prompt_key(prompt)
            if key not in known and is_plugin_layer(prompt.layer):
                self._steps.append(DrawnStep(key))

    def add(self, step: AcceptStep | DiscardStep | EditStep) -> None:
        """Add a step; earlier results are not kept in memory."""
        for earlier in self._steps:
            if isinstance(earlier, AcceptStep):
                earlier.pending = None
        self._steps.append(step)
        kept = [i for i, s in enumerate(self._steps) if not isinstance(s, DrawnStep)]
        if len(kept) > MAX_STEPS:
            # With the first one go the prompts that were drawn for it.
            del self._steps[: kept[0] + 1]

    def remove(self, step: Step) -> None:
        """Forget a step."""
        if step in self._steps:
            self._steps.remove(step)

    def last(
        self, prompts: Sequence[LayerPrompt]
    ) -> AcceptStep | DiscardStep | EditStep | LayerPrompt | None:
        """Return what is to be undone next; forget prompts that are gone.

        Parameters
        ----------
        prompts : sequence of LayerPrompt
            The prompts of the next object.

        Returns
        -------
        LayerPrompt
            The prompt that was drawn last, if that was the last step.
        AcceptStep, DiscardStep or EditStep
            Else the last step. None without any.
        """
        drawn = {prompt_key(prompt): prompt for prompt in prompts}
        while self._steps:
            step = self._steps[-1]
            if not isinstance(step, DrawnStep):
                return step
            if step.key in drawn:
                return drawn[step.key]
            self._steps.pop()
        return None
