"""From prompts on an image to a question: on one plane, or through a stack."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.automatic.search import region_from_prompt
from napari_sam.masks.cleanup import CleanUp
from napari_sam.plugin.layers.displayed_stack import displayed_stack
from napari_sam.plugin.layers.prompt_reader import collect_prompts
from napari_sam.plugin.layers.transforms import Sliders, displayed_plane
from napari_sam.plugin.state.layer_request import LayerRequest
from napari_sam.plugin.state.prompt_objects import (
    assign_prompts,
    check_boxes,
    objects_in_stack,
    objects_on_plane,
)
from napari_sam.prompts.grouping import join_prompts
from napari_sam.requests.automatic_plane import AutomaticPlaneRequest
from napari_sam.requests.automatic_stack import AutomaticStackRequest
from napari_sam.requests.plane import PlaneRequest
from napari_sam.requests.stack import StackRequest
from napari_sam.volume.stack_prompts import check_prompts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.layers import Image, Points, Shapes

    from napari_sam.automatic.candidates import Thresholds
    from napari_sam.automatic.linking import Linking
    from napari_sam.automatic.search import SearchOptions
    from napari_sam.images.stack import Stack
    from napari_sam.plugin.layers.label_prompt import LabelPrompt
    from napari_sam.plugin.layers.prompt_reader import LayerPrompt
    from napari_sam.plugin.layers.transforms import DisplayedPlane
    from napari_sam.plugin.state.commit_history import CommitHistory
    from napari_sam.plugin.state.layer_request import ConsumedPrompts, Replacement
    from napari_sam.plugin.state.pending_result import PendingResult
    from napari_sam.plugin.state.settings import SessionSettings
    from napari_sam.prediction.click_sequence import Size
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.requests.base import SegmentationRequest, SegmentationResult
    from napari_sam.requests.view import ImageView
    from napari_sam.volume.results import PropagationOptions

_NO_CLEANUP = CleanUp()


@dataclass(frozen=True, slots=True, eq=False)
class SessionSnapshot:
    """All that a question is made of, read from layers and viewer at one moment.

    Parameters
    ----------
    image : Image
        To be segmented.
    view : ImageView
        What the model sees of it.
    plane : DisplayedPlane
        Of the image.
    sliders : Sliders
        Of the viewer.
    prompts : sequence of LayerPrompt
        That are not done with, on whatever slice.
    each : bool
        Each prompt is an object of its own.
    model : object
        What is to answer.
    size : {"small", "medium", "large"} or None
        Which of several candidates is meant.
    picked : LabelPrompt, optional
        An object of a labels layer that is refined.
    revision : Replacement, optional
        Objects that the answer replaces.
    cleanup : CleanUp
        What is done with the objects once they are found.
    axis : int, optional
        Of the image, to follow objects along; the last one with a slider when None.
    """

    image: Image
    view: ImageView
    plane: DisplayedPlane
    sliders: Sliders
    prompts: Sequence[LayerPrompt]
    each: bool
    model: Any
    size: Size | None = None
    picked: LabelPrompt | None = None
    revision: Replacement | None = None
    cleanup: CleanUp = _NO_CLEANUP
    axis: int | None = None

    @property
    def picked_here(self) -> LabelPrompt | None:
        """The picked object, when it lies on the displayed plane."""
        picked = self.picked
        if picked is None or picked.image is not self.image:
            return None
        return picked if picked.plane_index == self.plane.plane_index() else None

    def prompts_at(self, index: Mapping[int, int]) -> list[LayerPrompt]:
        """The prompts that lie at {axis: index}, on whatever channel."""
        channels = self.view.reader.channel_axes
        wanted = [(a, i) for a, i in index.items() if a not in channels]
        return [p for p in self.prompts if all(p.slices[a] == i for a, i in wanted)]

    def no_prompts_message(self, where: str, layers: Sequence[Points | Shapes]) -> str:
        """Why no prompt of the layers can be asked about, in a sentence."""
        if self.prompts:
            count = len(self.prompts)
            return f"All {count} prompts lie on other {where}s: go to one of those."
        hidden = [la for la in layers if not la.visible and len(la.data)]
        if hidden:
            return f"The prompts {hidden[0].name!r} are hidden: show the layer."
        return (
            f"There are no new prompts on this {where}: click a point or draw a box on "
            "an object."
        )

    def question(
        self,
        request: SegmentationRequest,
        prompts: Sequence[LayerPrompt],
        objects: tuple[int, ...] = (),
    ) -> LayerRequest:
        """A question about some of the prompts, which belong to objects."""
        return LayerRequest(
            request,
            self.image,
            self.plane.plane_index(),
            self.sliders,
            tuple(prompts),
            self.each,
            self.model,
            objects,
            self.revision,
        )


class RequestBuilder:
    """Reads layers and viewer, on the main thread, and makes questions of them.

    Parameters
    ----------
    choices : SessionSettings
        Layers, model and options.
    used : ConsumedPrompts
        Prompts that are done with.
    corrections : CommitHistory
        Objects that are corrected.
    """

    def __init__(
        self,
        choices: SessionSettings,
        used: ConsumedPrompts,
        corrections: CommitHistory,
    ) -> None:
        self._choices, self._used, self._corrections = choices, used, corrections

    def slice(self) -> LayerRequest:
        """What the prompts on the displayed plane ask.

        Raises
        ------
        ValueError
            When image, prompts or target cannot be used, or there are no prompts.
        """
        asked = self.read()
        question = self.on_slice(asked)
        if question is None:
            raise ValueError(
                asked.no_prompts_message("slice", self._choices.prompt_layers)
            )
        return question

    def on_slice(self, asked: SessionSnapshot) -> LayerRequest | None:
        """What is asked about the displayed plane, fit for the target, if anything."""
        question = slice_question(asked)
        if question is not None:
            self._choices.target.check(question)
        return question

    def stack(self, waiting: PendingResult) -> LayerRequest:
        """What the prompts of the displayed stack ask; a waiting one is gone on with.

        Raises
        ------
        ValueError
            When image, prompts or target cannot be used, or there are no prompts.
        """
        asked = self.read()
        question = stack_question(asked, self._choices.propagation, waiting)
        if question is None:
            raise ValueError(
                asked.no_prompts_message("stack", self._choices.prompt_layers)
            )
        question = resume_from_pending(question, waiting.question, waiting.result)
        self._choices.target.check(question)
        return question

    def everything(self) -> LayerRequest:
        """What is asked about all of the displayed plane or stack, or marks in it.

        Raises
        ------
        ValueError
            When image, shapes or target cannot be used.
        """
        choices = self._choices
        question = everything_question(
            self.read(),
            choices.search,
            choices.thresholds,
            choices.linking if choices.everything_in_stack else None,
        )
        self._choices.target.check(question)
        return question

    def read(self) -> SessionSnapshot:
        """Read all that a question is made of."""
        choices, dims = self._choices, self._choices.viewer.dims
        image = choices.require_image()
        plane = displayed_plane(image, dims)
        prompts = collect_prompts(choices.prompt_layers, image, plane, dims)
        return SessionSnapshot(
            image,
            choices.view.of(image),
            plane,
            Sliders.of(dims),
            [p for p in prompts if p not in self._used],
            choices.each_prompt_an_object,
            choices.model,
            choices.size,
            self._corrections.picked,
            self._corrections.revision,
            choices.cleanup,
            choices.axis,
        )


def slice_question(asked: SessionSnapshot) -> LayerRequest | None:
    """The question that the prompts on the displayed plane ask, if there are any.

    Raises
    ------
    ValueError
        When the prompts cannot be used.
    """
    here = asked.prompts_at(asked.plane.index)
    picked = asked.picked_here
    if picked is not None:
        objects = [_refined(picked, [p.prompt for p in here])]
    elif here:
        objects = objects_on_plane(here, asked.each)
    else:
        return None
    prompts = {
        number: prompt.within(asked.plane.shape)
        for number, prompt in enumerate(objects, start=1)
    }
    plane_index = asked.plane.plane_index()
    request = PlaneRequest(asked.view, plane_index, prompts, asked.size, asked.cleanup)
    return asked.question(request, here)


def everything_question(
    asked: SessionSnapshot,
    search: SearchOptions,
    thresholds: Thresholds,
    linking: Linking | None,
) -> LayerRequest:
    """The question for everything in the displayed plane, or linked in its stack.

    Boxes, ellipses and polygons that lie on the plane are no prompts here: where one is
    drawn, only what lies inside of one of them is searched.

    Raises
    ------
    ValueError
        When a shape lies outside the plane.
    """
    marks = [
        prompt
        for prompt in asked.prompts_at(asked.plane.index)
        if prompt.prompt.box is not None
    ]
    region = None
    if marks:
        region = np.zeros(asked.plane.shape, bool)
        for mark in marks:
            region |= region_from_prompt(
                mark.prompt.within(asked.plane.shape), region.shape
            )
    view, plane, name = asked.view, asked.plane, asked.image.name
    request: SegmentationRequest
    if linking is not None:
        stack = displayed_stack(view, name, plane, asked.axis, asked.image)
        request = AutomaticStackRequest(
            view, stack, search, thresholds, region, linking, asked.cleanup
        )
    else:
        request = AutomaticPlaneRequest(
            view, plane.plane_index(), search, thresholds, region, asked.cleanup
        )
    # An object that is corrected has nothing to do with it.
    return replace(asked, revision=None).question(request, marks)


def stack_question(
    asked: SessionSnapshot, options: PropagationOptions, waiting: PendingResult
) -> LayerRequest | None:
    """The question that the prompts of the displayed stack ask, if there are any.

    Raises
    ------
    ValueError
        When image or prompts cannot be used.
    """
    image = asked.image
    stack = displayed_stack(asked.view, image.name, asked.plane, asked.axis, image)
    here = asked.prompts_at(stack.fixed)
    picked = asked.picked_here
    if not here and picked is None:
        return None
    each = asked.each and picked is None
    known = _known_objects(here, stack, image, waiting) if each else None
    plan, objects = objects_in_stack(here, stack.axis, each, known)
    if picked is not None:
        plane_index = asked.plane.index[stack.axis]
        drawn = [p.prompt for p in here if p.slices[stack.axis] == plane_index]
        plan = {1: {**plan.get(1, {}), plane_index: _refined(picked, drawn)}}
    prompts = check_prompts(plan, stack)
    request = StackRequest(asked.view, stack, prompts, options, cleanup=asked.cleanup)
    return asked.question(request, here, objects)


def _known_objects(
    prompts: Sequence[LayerPrompt], stack: Stack, image: Image, waiting: PendingResult
) -> list[int | None] | None:
    """The waiting objects that prompts correct, when the same stack is asked about."""
    before, result = waiting.question, waiting.result
    if before is None or result is None or result.volume is None:
        return None
    if not isinstance(before.request, StackRequest):
        return None
    earlier = result.volume.stack
    same = (stack.axis, stack.fixed) == (earlier.axis, earlier.fixed)
    if not (same and before.each and before.image is image):
        return None
    return assign_prompts(prompts, stack.axis, before, result.volume)


def resume_from_pending(
    question: LayerRequest,
    before: LayerRequest | None,
    result: SegmentationResult | None,
) -> LayerRequest:
    """The question, with the waiting stack as what is corrected or gone on with."""
    request = question.request
    if before is None or result is None or not isinstance(request, StackRequest):
        return question
    if question.image is not before.image or question.model != before.model:
        return question
    return replace(question, request=request.resume(before.request, result))


def _refined(picked: LabelPrompt, drawn: Sequence[Prompt]) -> Prompt:
    """The picked object with the prompts drawn on it; a drawn box replaces its own."""
    boxes = sum(prompt.box is not None for prompt in drawn)
    check_boxes(boxes)
    return join_prompts(drawn if boxes else [picked.prompt, *drawn])
