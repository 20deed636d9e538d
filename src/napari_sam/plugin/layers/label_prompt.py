"""A label as a prompt: refine an object of a Labels layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.label_tiles import label_box
from napari_sam.masks.painting import ObjectPlaneMask
from napari_sam.masks.patch import mask_to_box
from napari_sam.plugin.layers.transforms import Sliders, displayed_plane, label_grid
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image, Labels

    from napari_sam.images.axes import PlaneIndex
    from napari_sam.plugin.layers.transforms import DisplayedPlane


@dataclass(frozen=True, slots=True, eq=False)
class LabelPrompt:
    """A label on one plane of the image, as a prompt.

    Parameters
    ----------
    image : Image
        The image to segment.
    plane_index : tuple
        Index of the plane of the image.
    prompt : Prompt
        Mask and box of the label.
    """

    image: Image
    plane_index: PlaneIndex
    prompt: Prompt

    @property
    def piece(self) -> ObjectPlaneMask:
        """The label on the plane of the image."""
        mask, origin = self.prompt.mask, self.prompt.mask_origin
        assert mask is not None
        return ObjectPlaneMask(1, self.plane_index, origin, mask)


def pick_object(
    labels: Labels, label: int, image: Image, plane: DisplayedPlane, dims: Dims
) -> LabelPrompt:
    """Make a prompt from a label on the displayed plane.

    Raises
    ------
    ValueError
        When the plane does not contain the label, or the layer is multiscale or not
        parallel to the plane.
    """
    if labels.multiscale:
        raise ValueError(
            f"The labels layer {labels.name!r} is multiscale: choose another one."
        )
    labels_index = displayed_plane(labels, dims).plane_index()
    box = label_box(labels.data, label, labels_index) if label else None
    missing = (
        f"The labels layer {labels.name!r} has no label {label} on the displayed "
        "slice: select a label with napari's colour picker."
    )
    if box is None:
        raise ValueError(missing)
    part = tuple(
        side if isinstance(entry, slice) else entry
        for entry, side in zip(labels_index, box, strict=True)
    )
    row, col = (side.start for side in part if isinstance(side, slice))
    mask = np.asarray(labels.data[part]) == label
    piece = ObjectPlaneMask(1, labels_index, (row, col), mask)
    # The grid maps labels to an image; here it maps the image to the labels.
    grid = label_grid(image, labels, Sliders.of(dims))
    if not grid.is_aligned(labels_index):
        raise ValueError(
            f"The labels layer {labels.name!r} is not parallel to the displayed plane "
            f"of the image {image.name!r}: choose another labels layer."
        )
    for placed in grid.place(piece):
        if placed.plane_index == plane.plane_index():
            corners = mask_to_box(placed.mask)
            assert corners is not None
            shifted = corners + np.tile(placed.origin, 2)
            prompt = Prompt(box=shifted, mask=placed.mask, mask_origin=placed.origin)
            return LabelPrompt(image, plane.plane_index(), prompt)
    raise ValueError(missing)
