"""Segmentation requests, built from layers, prompts and options of a session.

Requests are imported when they are first built: a third of the package is behind them,
and the panel opens without it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from napari_sam.plugin.layers.displayed_stack import displayed_stack
from napari_sam.plugin.layers.prompt_reader import PromptReader
from napari_sam.plugin.layers.transforms import Sliders, displayed_plane
from napari_sam.plugin.layers.visible_region import visible_window
from napari_sam.plugin.state.layer_request import LayerRequest, SessionSnapshot
from napari_sam.plugin.state.prompt_objects import (
    assign_prompts,
    check_boxes,
    objects_in_stack,
    objects_on_plane,
)
from napari_sam.plugin.state.zoom_hints import windows_to_keep
from napari_sam.prediction.zoom.options import ZoomHints
from napari_sam.prompts.grouping import join_prompts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Image

    from napari_sam.automatic.candidates import Thresholds
    from napari_sam.automatic.linking import Linking
    from napari_sam.automatic.search import SearchOptions
    from napari_sam.images.stack import Stack
    from napari_sam.plugin.layers.label_prompt import LabelPrompt
    from napari_sam.plugin.layers.prompt_reader import LayerPrompt
    from napari_sam.plugin.layers.transforms import DisplayedPlane
    from napari_sam.plugin.state.commit_history import CommitHistory
    from napari_sam.plugin.state.pending_result import PendingResult
    from napari_sam.plugin.state.settings import SessionSettings
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.requests.base import SegmentationRequest
    from napari_sam.requests.plane import PlaneRequest
    from napari_sam.volume.results import PropagationOptions


class RequestBuilder:
    """Reads layers and viewer on the main thread, and builds requests.

    Every request is checked against the target Labels layer, so that what cannot be
    written is refused before any work starts. All methods raise ValueError when
    image, prompts or target cannot be used.

    Parameters
    ----------
    settings : SessionSettings
        Layers, model and options.
    history : CommitHistory
        Prompts that were used before, and objects that are corrected.
    """

    def __init__(self, settings: SessionSettings, history: CommitHistory) -> None:
        self._settings, self._history = settings, history
        self._reader = PromptReader()

    def snapshot(self) -> SessionSnapshot:
        """Read layers, prompts and options."""
        settings, history = self._settings, self._history
        dims = settings.viewer.dims
        image = settings.require_image()
        plane = displayed_plane(image, dims)
        return SessionSnapshot(
            image=image,
            view=settings.view.of(image),
            plane=plane,
            sliders=Sliders.of(dims),
            prompts=self._open_prompts(image, plane),
            each_prompt_an_object=settings.each_prompt_an_object,
            model=settings.model,
            size=settings.size,
            cleanup=settings.cleanup,
            axis=settings.axis,
            label_prompt=history.label_prompt,
            replacement=history.replacement,
            zoom=settings.zoom,
            hints=zoom_hints(settings, history, image, plane),
        )

    def open_prompts(self) -> tuple[list[LayerPrompt], bool]:
        """Read the prompts of the next object.

        Returns
        -------
        list of LayerPrompt
            Those that belong to no accepted or discarded object.
        bool
            Whether any of them lies on the displayed plane.
        """
        image = self._settings.require_image()
        plane = displayed_plane(image, self._settings.viewer.dims)
        prompts = self._open_prompts(image, plane)
        channels = self._settings.view.of(image).reader.channel_axes
        here = {a: i for a, i in plane.index.items() if a not in channels}
        return prompts, any(
            all(prompt.slices[axis] == index for axis, index in here.items())
            for prompt in prompts
        )

    def _open_prompts(self, image: Image, plane: DisplayedPlane) -> list[LayerPrompt]:
        settings, consumed = self._settings, self._history.consumed
        dims = settings.viewer.dims
        read = self._reader.read(settings.prompt_layers, image, plane, dims)
        prompts = (settings.drawn_clicks.read(prompt) for prompt in read)
        return [
            prompt
            for prompt in prompts
            if prompt not in consumed and not settings.leftovers.holds(image, prompt)
        ]

    def renewed(self, request: LayerRequest) -> LayerRequest:
        """Return the request for a plane with what earlier objects taught since.

        These are the size of the alternatives, and how large the objects are.
        """
        settings, snapshot = self._settings, request.snapshot
        hints = snapshot.hints
        if snapshot.replacement is None:
            labels = settings.target.present_layer
            size = self._history.sizes.typical(snapshot.image, labels)
            hints = replace(hints, object_size=size)
        model, wanted = settings.model, settings.size
        plane = cast("PlaneRequest", request.request)
        return replace(
            request,
            request=replace(plane, size=wanted, hints=hints),
            snapshot=replace(snapshot, size=wanted, hints=hints, model=model),
        )

    def plane(
        self, snapshot: SessionSnapshot, pending: PendingResult | None
    ) -> LayerRequest | None:
        """Build the request for the displayed plane; None without prompts on it.

        Objects of the pending result, and those that were brought back, keep their
        windows.
        """
        request = plane_request(snapshot, pending, self._history.restored)
        if request is not None:
            self._settings.target.check(request)
        return request

    def plane_with_prompts(self, pending: PendingResult | None) -> LayerRequest:
        """Build the request for the displayed plane; raise without prompts on it."""
        snapshot = self.snapshot()
        request = self.plane(snapshot, pending)
        if request is None:
            raise ValueError(self._no_prompts_message(snapshot, "slice"))
        return request

    def stack(self, pending: PendingResult | None) -> LayerRequest:
        """Build the request for the displayed stack.

        It resumes the pending result if that is of the same stack.
        """
        snapshot = self.snapshot()
        request = stack_request(snapshot, self._settings.propagation, pending)
        if request is None:
            raise ValueError(self._no_prompts_message(snapshot, "stack"))
        self._settings.target.check(request)
        return request

    def automatic(self) -> LayerRequest:
        """Build the request for all objects of the displayed plane or stack."""
        settings = self._settings
        # What was picked and dropped belongs to an earlier result.
        settings.thresholds = replace(settings.thresholds, picked=(), dropped=())
        request = automatic_request(
            self.snapshot(),
            settings.search,
            settings.thresholds,
            settings.linking if settings.everything_in_stack else None,
        )
        settings.target.check(request)
        return request

    def _no_prompts_message(self, snapshot: SessionSnapshot, where: str) -> str:
        """Say why a slice or stack has no prompts to use."""
        if snapshot.prompts:
            count = len(snapshot.prompts)
            return f"All {count} prompts lie on other {where}s: go to one of those."
        layers = self._settings.prompt_layers
        hidden = [la for la in layers if not la.visible and len(la.data)]
        if hidden:
            return f"The prompts {hidden[0].name!r} are hidden: show the layer."
        return (
            f"There are no new prompts on this {where}: click a point or draw a box on "
            "an object."
        )


def zoom_hints(
    settings: SessionSettings,
    history: CommitHistory,
    image: Image,
    plane: DisplayedPlane,
) -> ZoomHints:
    """Read what is known about the next object: its size, and what is in view.

    For an object that was brought back, what was known when it was segmented.
    """
    restored = history.restored
    if restored is not None and restored.image is image:
        return restored.snapshot.hints
    size = history.sizes.typical(image, settings.target.present_layer)
    return ZoomHints(size, visible_window(settings.viewer, image, plane))


def plane_request(
    snapshot: SessionSnapshot,
    pending: PendingResult | None,
    restored: LayerRequest | None = None,
) -> LayerRequest | None:
    """Build the request for the displayed plane; None without prompts on it.

    Raises
    ------
    ValueError
        When the prompts cannot be used.
    """
    plane = snapshot.plane
    used = snapshot.prompts_at(plane.index)
    label_prompt = snapshot.displayed_label_prompt
    if label_prompt is not None:
        objects = [_refined_prompt(label_prompt, [p.prompt for p in used])]
    elif used:
        objects = objects_on_plane(used, snapshot.each_prompt_an_object)
    else:
        return None
    from napari_sam.requests.plane import PlaneRequest

    prompts = {
        object_id: prompt.within(plane.shape)
        for object_id, prompt in enumerate(objects, start=1)
    }
    request = PlaneRequest(
        snapshot.view,
        plane.plane_index(),
        prompts,
        snapshot.size,
        snapshot.cleanup,
        snapshot.zoom,
        snapshot.hints,
    )
    built = LayerRequest(request, replace(snapshot, prompts=used))
    windows = windows_to_keep(built, pending, restored)
    return replace(built, request=replace(request, windows=windows))


def automatic_request(
    snapshot: SessionSnapshot,
    search: SearchOptions,
    thresholds: Thresholds,
    linking: Linking | None,
) -> LayerRequest:
    """Build the request for all objects of the displayed plane or of its stack.

    Boxes, ellipses and polygons on the plane limit the search to what they enclose.

    Parameters
    ----------
    linking : Linking or None
        How to link the objects of the slices; None segments the plane alone.

    Raises
    ------
    ValueError
        When a shape lies outside the plane.
    """
    from napari_sam.automatic.search import region_from_prompt
    from napari_sam.requests.automatic_plane import AutomaticPlaneRequest
    from napari_sam.requests.automatic_stack import AutomaticStackRequest

    view, plane = snapshot.view, snapshot.plane
    search = replace(search, zoom=snapshot.zoom)
    shapes = [
        prompt
        for prompt in snapshot.prompts_at(plane.index)
        if prompt.prompt.box is not None
    ]
    region = None
    if shapes:
        region = np.zeros(plane.shape, bool)
        for shape in shapes:
            region |= region_from_prompt(shape.prompt.within(plane.shape), region.shape)
    request: SegmentationRequest
    if linking is not None:
        request = AutomaticStackRequest(
            view,
            _displayed_stack(snapshot),
            search,
            thresholds,
            region,
            linking,
            snapshot.cleanup,
        )
    else:
        request = AutomaticPlaneRequest(
            view, plane.plane_index(), search, thresholds, region, snapshot.cleanup
        )
    # It never replaces an object that is corrected.
    return LayerRequest(request, replace(snapshot, prompts=shapes, replacement=None))


def stack_request(
    snapshot: SessionSnapshot,
    options: PropagationOptions,
    pending: PendingResult | None,
) -> LayerRequest | None:
    """Build the request for the displayed stack; None without prompts in it.

    It reuses the pending result where image, model and settings agree.

    Raises
    ------
    ValueError
        When image or prompts cannot be used.
    """
    from napari_sam.requests.stack import StackRequest
    from napari_sam.volume.stack_prompts import check_prompts

    stack = _displayed_stack(snapshot)
    used = snapshot.prompts_at(stack.fixed)
    label_prompt = snapshot.displayed_label_prompt
    if not used and label_prompt is None:
        return None
    each = snapshot.each_prompt_an_object and label_prompt is None
    known = _pending_objects(used, stack, snapshot, pending) if each else None
    prompts, objects = objects_in_stack(used, stack.axis, each, known)
    if label_prompt is not None:
        index = snapshot.plane.index[stack.axis]
        drawn = [p.prompt for p in used if p.slices[stack.axis] == index]
        refined = _refined_prompt(label_prompt, drawn)
        prompts = {1: {**prompts.get(1, {}), index: refined}}
    request = StackRequest(
        snapshot.view,
        stack,
        check_prompts(prompts, stack),
        options,
        cleanup=snapshot.cleanup,
        zoom=snapshot.zoom,
    )
    if pending is not None:
        before = pending.request.snapshot
        if before.image is snapshot.image and before.model == snapshot.model:
            request = request.resume(pending.request.request, pending.result)
    return LayerRequest(request, replace(snapshot, prompts=used), objects)


def _displayed_stack(snapshot: SessionSnapshot) -> Stack:
    image = snapshot.image
    return displayed_stack(
        snapshot.view, image.name, snapshot.plane, snapshot.axis, image
    )


def _pending_objects(
    prompts: Sequence[LayerPrompt],
    stack: Stack,
    snapshot: SessionSnapshot,
    pending: PendingResult | None,
) -> list[int | None] | None:
    """Return the pending object that each prompt corrects; None for another stack."""
    if pending is None or pending.result.volume is None:
        return None
    volume, before = pending.result.volume, pending.request.snapshot
    same = (stack.axis, stack.fixed) == (volume.stack.axis, volume.stack.fixed)
    if not (same and before.each_prompt_an_object and before.image is snapshot.image):
        return None
    return assign_prompts(prompts, stack.axis, pending.request, volume)


def _refined_prompt(label_prompt: LabelPrompt, drawn: Sequence[Prompt]) -> Prompt:
    """Join the label with the prompts drawn on it; a drawn box replaces its own."""
    boxes = sum(prompt.box is not None for prompt in drawn)
    check_boxes(boxes)
    return join_prompts(drawn if boxes else [label_prompt.prompt, *drawn])
