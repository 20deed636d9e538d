"""Session snapshots, and segmentation requests with the layers they came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import ref

from napari_sam.plugin.layers.image_source import is_view_of
from napari_sam.plugin.layers.prompt_reader import drawing_key
from napari_sam.prediction.zoom.options import ZoomHints

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Labels

    from napari_sam.masks.cleanup import CleanUp
    from napari_sam.masks.label_tiles import Region
    from napari_sam.plugin.layers.label_prompt import LabelPrompt
    from napari_sam.plugin.layers.prompt_reader import LayerPrompt
    from napari_sam.plugin.layers.transforms import DisplayedPlane, Sliders
    from napari_sam.prediction.click_sequence import Size
    from napari_sam.prediction.zoom.options import Zoom
    from napari_sam.requests.base import SegmentationRequest
    from napari_sam.requests.view import ImageView


@dataclass(frozen=True, slots=True, eq=False)
class Replacement:
    """Objects of a Labels layer that a correction replaces.

    Parameters
    ----------
    labels : Labels
        The layer.
    label_ids : tuple of int
        Their labels, in the order of the objects of the result.
    regions : mapping
        {label: bounding box of its pixels}, as an index of the layer's data.
    """

    labels: Labels
    label_ids: tuple[int, ...]
    regions: Mapping[int, Region]


@dataclass(frozen=True, slots=True, eq=False)
class SessionSnapshot:
    """Layers, prompts and options of a session at one moment.

    Parameters
    ----------
    image : Image
        Layer to segment.
    view : ImageView
        The image as the model reads it.
    plane : DisplayedPlane
        Plane of the image that the viewer displays.
    sliders : Sliders
        Slider positions of the viewer.
    prompts : sequence of LayerPrompt
        Prompts on any slice. Of a request: those that it uses.
    each_prompt_an_object : bool
        Whether each box and each positive point is an object.
    model : object
        Name, path or predictor.
    size : {"small", "medium", "large"} or None
        Which of the model's alternatives to take; the best scored when None.
    cleanup : CleanUp
        Post-processing of the objects.
    axis : int or None
        Axis of the image to propagate along; the last one with a slider when None.
    label_prompt : LabelPrompt, optional
        An object of a Labels layer that is refined.
    replacement : Replacement, optional
        Objects that the result replaces.
    zoom : "auto", "off" or float
        How windows of the plane are chosen.
    hints : ZoomHints
        What is known about objects of clicks.
    """

    image: Image
    view: ImageView
    plane: DisplayedPlane
    sliders: Sliders
    prompts: Sequence[LayerPrompt]
    each_prompt_an_object: bool
    model: Any
    size: Size | None
    cleanup: CleanUp
    axis: int | None
    label_prompt: LabelPrompt | None = None
    replacement: Replacement | None = None
    zoom: Zoom = "auto"
    hints: ZoomHints = field(default_factory=ZoomHints)

    @property
    def displayed_label_prompt(self) -> LabelPrompt | None:
        """The label prompt, if it lies on the displayed plane."""
        prompt = self.label_prompt
        if prompt is None or prompt.image is not self.image:
            return None
        return prompt if prompt.plane_index == self.plane.plane_index() else None

    def prompts_at(self, index: Mapping[int, int]) -> list[LayerPrompt]:
        """Return the prompts at {axis: index}; channel axes do not count."""
        channels = self.view.reader.channel_axes
        wanted = [(a, i) for a, i in index.items() if a not in channels]
        return [p for p in self.prompts if all(p.slices[a] == i for a, i in wanted)]


@dataclass(frozen=True, slots=True, eq=False)
class LayerRequest:
    """A segmentation request and the session snapshot that it was built from.

    Parameters
    ----------
    request : SegmentationRequest
        Plain data without layers; may run on any thread.
    snapshot : SessionSnapshot
        With the prompts that the request uses.
    objects : tuple of int
        Object id of each prompt; empty for a single plane.
    """

    request: SegmentationRequest
    snapshot: SessionSnapshot
    objects: tuple[int, ...] = ()

    @property
    def image(self) -> Image:
        """The image layer to segment."""
        return self.snapshot.image

    @property
    def prompts(self) -> Sequence[LayerPrompt]:
        """The prompts that the request uses."""
        return self.snapshot.prompts

    def same_request(self, other: LayerRequest) -> bool:
        """Tell whether another request for a plane would give the same result."""
        mine = self._plane_inputs()
        return mine is not None and mine == other._plane_inputs()

    def _plane_inputs(self) -> tuple[Any, ...] | None:
        """Return all that decides about the result for a plane; None for others.

        The hints for the zoom do not count: a view that moves, or an accepted object,
        must not change an outline that is there.
        """
        request, snapshot = self.request, self.snapshot
        if not request.can_change_size:
            return None
        return (
            snapshot.image,
            snapshot.each_prompt_an_object,
            snapshot.replacement,
            snapshot.model,
            snapshot.zoom,
            request.plane_index,
            request.size,
            request.cleanup,
            request.view,
            [prompt_key(prompt) for prompt in snapshot.prompts],
        )

    def is_current(self, viewer: ViewerModel) -> bool:
        """Tell whether the image is in the viewer and its data was not replaced."""
        return self.image in viewer.layers and is_view_of(
            self.request.view.reader, self.image
        )

    def check_current(self, viewer: ViewerModel, model: object) -> None:
        """Refuse a result that is out of date.

        Raises
        ------
        ValueError
            When the image was removed or replaced, or another model is chosen.
        """
        if self.image not in viewer.layers:
            raise ValueError("The image was removed: its result was dropped.")
        if not self.is_current(viewer):
            raise ValueError("The image was replaced: its result was dropped.")
        if self.snapshot.model != model:
            raise ValueError("The model was changed: its result was dropped.")


def prompt_key(prompt: LayerPrompt) -> tuple[Any, ...]:
    """Return a dictionary key that is equal for the same prompt read again.

    It holds the layer, the drawn vertices, their slice and the point labels.
    """
    labels = () if prompt.prompt.labels is None else tuple(prompt.prompt.labels)
    slices = tuple(sorted(prompt.slices.items()))
    return ref(prompt.layer), prompt.kind, slices, labels, *drawing_key(prompt.drawn)
