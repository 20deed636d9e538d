"""What a batch does with each image: prompts or everything, planes or stacks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.linking import Linking
from napari_sam.automatic.search import SearchOptions
from napari_sam.masks.cleanup import CleanUp
from napari_sam.prediction.zoom.options import check_zoom
from napari_sam.prompts.selection import ImageSelection
from napari_sam.requests.from_arrays import (
    automatic_plane_request,
    automatic_stack_request,
    by_object,
    plane_request,
    stack_request,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from napari_sam.images.intensity import IntensityMapping
    from napari_sam.prediction.zoom.options import Zoom
    from napari_sam.prompts.prompt import ObjectPrompts
    from napari_sam.requests.base import SegmentationRequest
    from napari_sam.series.item import OpenImage, SeriesItem
    from napari_sam.series.prompt_files import PromptSource


@dataclass(frozen=True, slots=True, eq=False)
class ImageJob:
    """How every image of a batch is segmented.

    Parameters
    ----------
    prompts : PromptSource, optional
        Prompts of the images; without them, everything is segmented.
    intensity : IntensityMapping or array-like, optional
        Rule for the contrast limits, or the limits.
    zoom : "auto", "off" or float
        See `segment`.
    axis : str, optional
        Axis of the slices of stacks; the first one of space or time when None.
    search, thresholds, linking : SearchOptions, Thresholds, Linking
        Of everything.
    cleanup : CleanUp
        Post-processing of the masks, smoothing in slices.
    """

    prompts: PromptSource | None = None
    intensity: IntensityMapping | ArrayLike | None = None
    zoom: Zoom = "auto"
    axis: str | None = None
    search: SearchOptions = field(default_factory=SearchOptions)
    thresholds: Thresholds = field(default_factory=Thresholds)
    linking: Linking = field(default_factory=Linking)
    cleanup: CleanUp = field(default_factory=CleanUp)

    def __post_init__(self) -> None:
        search = replace(self.search, zoom=check_zoom(self.zoom))
        object.__setattr__(self, "search", search)

    def request(
        self, item: SeriesItem, image: OpenImage
    ) -> tuple[SegmentationRequest, tuple[str, ...]]:
        """Build the request of an image.

        Returns
        -------
        tuple
            The request, and sentences on what was ignored of its prompts.

        Raises
        ------
        ValueError, OSError
            When the image or its prompts cannot be used.
        """
        is_plane = len(image.used.order) == 2
        cleanup = self.cleanup
        if is_plane and cleanup.smooth:
            cleanup = replace(cleanup, smooth=0)  # there are no other slices
        if self.prompts is None:
            return self._automatic(image, is_plane, cleanup), ()
        along = None
        axis = 0
        if not is_plane:
            volume, axis = image.used.volume(), image.used.axis(self.axis)
            along = image.used.axes[axis]
        selection = ImageSelection(
            image.file.order, image.file.stored_shape, item.choice.index, along
        )
        prompts, ignored = self.prompts.read(item, selection)
        request: Any
        if is_plane:
            request = plane_request(
                image.used.plane(), _of_plane(prompts), self.intensity, self.zoom
            )
        else:
            request = stack_request(
                volume,
                by_object(prompts),
                axis,
                self.intensity,
                rgb=image.used.rgb,
                zoom=self.zoom,
            )
        return replace(request, cleanup=cleanup), ignored

    def _automatic(
        self, image: OpenImage, is_plane: bool, cleanup: CleanUp
    ) -> SegmentationRequest:
        if is_plane:
            return automatic_plane_request(
                image.used.plane(),
                self.intensity,
                options=self.search,
                thresholds=self.thresholds,
                cleanup=cleanup,
            )
        return automatic_stack_request(
            image.used.volume(),
            image.used.axis(self.axis),
            self.intensity,
            rgb=image.used.rgb,
            options=self.search,
            thresholds=self.thresholds,
            linking=self.linking,
            cleanup=cleanup,
        )


def _of_plane(prompts: ObjectPrompts) -> list[Any]:
    """Return the prompts of a plane, one for each object.

    Raises
    ------
    ValueError
        When they name other slices.
    """
    if any(list(slices) != [0] for slices in prompts.values()):
        raise ValueError(
            "The prompts are of slices, and the image is one plane: give a list of "
            "prompts."
        )
    return [slices[0] for slices in prompts.values()]
