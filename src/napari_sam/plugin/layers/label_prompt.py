"""An object of a labels layer as a prompt, to be refined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.painting import ObjectPlaneMask
from napari_sam.masks.patch import mask_to_box, mask_to_window
from napari_sam.plugin.layers.transforms import Sliders, displayed_plane, grid_between
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from napari.components import Dims
    from napari.layers import Image, Labels

    from napari_sam.images.axes import PlaneIndex
    from napari_sam.plugin.layers.transforms import DisplayedPlane


@dataclass(frozen=True, slots=True, eq=False)
class LabelPrompt:
    """An object on one plane of the image.

    Parameters
    ----------
    image : Image
        On which it lies.
    at : tuple
        Index of the plane of the image.
    prompt : Prompt
        Its mask and its box.
    """

    image: Image
    plane_index: PlaneIndex
    prompt: Prompt


def pick_object(
    labels: Labels, label: int, image: Image, plane: DisplayedPlane, dims: Dims
) -> LabelPrompt:
    """Take a label on the displayed plane as a prompt for the image.

    Raises
    ------
    ValueError
        When there is no such label on the plane.
    """
    missing = (
        f"The labels {labels.name!r} hold no label {label} on the displayed slice: "
        "pick one with napari's colour picker."
    )
    if labels.multiscale:
        raise ValueError(f"The labels {labels.name!r} are multiscale: choose others.")
    there = displayed_plane(labels, dims)
    whole = np.asarray(labels.data[there.plane_index()]) == label
    window = mask_to_window(whole)
    if label == 0 or window is None:
        raise ValueError(missing)
    rows, cols = window
    piece = ObjectPlaneMask(
        1, there.plane_index(), (rows.start, cols.start), whole[window]
    )
    # The image takes the place of labels here: the mask comes to its pixels.
    grid = grid_between(image, labels, Sliders.of(dims))
    if not grid.is_aligned(there.plane_index()):
        raise ValueError(
            f"The labels {labels.name!r} do not lie along the displayed plane of the "
            f"image {image.name!r}: choose labels that do."
        )
    for placed in grid.place(piece):
        if placed.index == plane.plane_index():
            box = mask_to_box(placed.mask)
            assert box is not None
            shifted = box + np.tile(placed.origin, 2)
            prompt = Prompt(box=shifted, mask=placed.mask, mask_origin=placed.origin)
            return LabelPrompt(image, plane.plane_index(), prompt)
    raise ValueError(missing)
