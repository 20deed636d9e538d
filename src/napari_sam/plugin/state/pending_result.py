"""The objects that wait to be accepted, and what there is to see of them."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from napari_sam.plugin.layers.displayed_stack import go_to_slice
from napari_sam.plugin.layers.transforms import displayed_plane
from napari_sam.prediction.click_sequence import SIZES, Size, alternative_size
from napari_sam.requests.plane import PlaneRequest
from napari_sam.requests.stack import StackRequest
from napari_sam.volume.results import DOUBTFUL, next_doubtful, slice_states

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari.components import ViewerModel
    from napari.layers import Image

    from napari_sam.images.stack import Stack
    from napari_sam.plugin.state.layer_request import LayerRequest
    from napari_sam.requests.base import SegmentationResult
    from napari_sam.volume.results import Status


class PendingResult:
    """A question with its answer, until that is accepted or discarded.

    Parameters
    ----------
    viewer : ViewerModel
        That shows the image.

    Attributes
    ----------
    question : LayerRequest or None
        What was asked; also when its image has changed since.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.question: LayerRequest | None = None
        self._result: SegmentationResult | None = None
        self._states: dict[int, Status] = {}

    @property
    def result(self) -> SegmentationResult | None:
        """Objects that wait to be accepted, as long as their image is as it was."""
        question = self.question
        if question is None or not question.is_current(self._viewer):
            return None
        return self._result

    @property
    def image(self) -> Image | None:
        """The image that the objects belong to."""
        return None if self.question is None else self.question.image

    @property
    def is_stack(self) -> bool:
        """Whether the objects were followed through a stack."""
        question = self.question if self.result is not None else None
        return question is not None and isinstance(question.request, StackRequest)

    @property
    def is_everything(self) -> bool:
        """Whether the objects are all that were found in a plane or a stack."""
        return self.result is not None and bool(self.result.candidates)

    def take(
        self, question: LayerRequest, result: SegmentationResult, model: object
    ) -> None:
        """Keep an answer in place of the one before.

        Raises
        ------
        ValueError
            When the image has changed meanwhile, or another model is chosen.
        """
        if question.image not in self._viewer.layers:
            raise ValueError("The image was removed: its result was dropped.")
        if not question.is_current(self._viewer):
            raise ValueError("The image was replaced: its result was dropped.")
        if question.model != model:
            raise ValueError("The model was changed: its result was dropped.")
        self.question, self._result = question, result
        self._states = {} if result.volume is None else slice_states(result.volume)

    def forget(self) -> None:
        """Let the objects go."""
        self.question = self._result = None
        self._states = {}

    # -- candidates ------------------------------------------------------------

    @property
    def has_candidates(self) -> bool:
        """Whether `take_next_size` has something to show."""
        return self.result is not None and has_choice(self.result)

    def take_next_size(self) -> None:
        """Take the next larger of the candidates, or the smallest after the largest.

        Raises
        ------
        ValueError
            When no object waits that has several candidates.
        """
        question, result = self.question, self.result
        if question is None or result is None or not has_choice(result):
            raise ValueError("There are no other candidates for this object.")
        self.question, self._result = with_next_size(question, result)

    def chosen(
        self, choices: Mapping[str, Any]
    ) -> (
        tuple[Callable[[], SegmentationResult], Callable[[SegmentationResult], None]]
        | None
    ):
        """The same after other choices; None when they are so already.

        Parameters
        ----------
        choices : mapping
            Fields of requests; those that this one does not have do not matter.

        Returns
        -------
        tuple
            What makes the result, on any thread, and what takes it in the place of
            the one before, unless that has gone.
        """
        before, result = self.question, self.result
        if before is None or result is None:
            return None
        known = {f.name for f in fields(before.request)}
        wanted: dict[str, Any] = {k: v for k, v in choices.items() if k in known}
        if all(getattr(before.request, k) == value for k, value in wanted.items()):
            return None
        request = replace(before.request, **wanted)

        def take(cleaned: SegmentationResult) -> None:
            if self.question is before:
                self.question = replace(before, request=request)
                self._result = cleaned

        return lambda: request.refinish(result), take

    # -- slices of a stack -----------------------------------------------------

    @property
    def stack(self) -> Stack | None:
        """The stack that the objects were followed through."""
        result = self.result
        return None if result is None or result.volume is None else result.volume.stack

    @property
    def states(self) -> Mapping[int, Status]:
        """{slice: its state} of the stack, the most doubtful object's."""
        return self._states if self.stack is not None else {}

    @property
    def doubtful(self) -> list[int]:
        """The slices of the stack that are to be looked at."""
        return sorted(i for i, state in self.states.items() if state in DOUBTFUL)

    @property
    def displayed_slice(self) -> int | None:
        """Which slice of the stack is displayed."""
        stack, image = self.stack, self.image
        if stack is None or image is None:
            return None
        try:
            return displayed_plane(image, self._viewer.dims).index.get(stack.axis)
        except ValueError:  # a 3D view, or a slider outside the image
            return None

    def go_to(self, index: int) -> None:
        """Display a slice of the stack."""
        stack, image = self.stack, self.image
        if stack is not None and image is not None:
            go_to_slice(self._viewer.dims, image, stack.axis, index)

    def next_doubtful(self) -> int:
        """Go to the next doubtful slice of the stack, which is returned.

        Raises
        ------
        ValueError
            When no stack waits, or none of its slices is doubtful.
        """
        current = self.displayed_slice
        found = next_doubtful(self.states, -1 if current is None else current)
        if found is None:
            raise ValueError("No slice of a stack is doubtful.")
        self.go_to(found)
        return found


def has_choice(result: SegmentationResult) -> bool:
    """Whether there are several candidates for any of the objects."""
    return any(len(p.candidates) > 1 for p in result.predictions)


def shown_candidate(result: SegmentationResult) -> tuple[Size, int] | None:
    """Size of the shown candidates, and how many there are; None without a choice."""
    for prediction in result.predictions:
        size = alternative_size(prediction)
        if size is not None:
            return size, len(prediction.candidates)
    return None


def with_next_size(
    question: LayerRequest, result: SegmentationResult
) -> tuple[LayerRequest, SegmentationResult]:
    """The candidates of the next size, and the question that they answer."""
    request = question.request
    shown = shown_candidate(result)
    assert isinstance(request, PlaneRequest)
    assert shown is not None
    size, count = shown
    offered = SIZES if count > 2 else ("small", "large")
    plane_index = offered.index(size) if size in offered else -1
    wanted = offered[(plane_index + 1) % len(offered)]
    changed = replace(request, size=wanted)
    return replace(question, request=changed), changed.refinish(result)
