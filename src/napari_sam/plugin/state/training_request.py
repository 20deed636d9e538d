"""Training requests, built from an image layer and its labels."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.checkpoints.download import cache_folder
from napari_sam.plugin.layers.transforms import pyramid_levels, spatial_shape
from napari_sam.training.request import TrainingRequest

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Image, Labels


def training_request(
    image: Image | None, labels: Labels | None, minutes: float, all_labelled: bool
) -> TrainingRequest:
    """Build a request to train on the labels as they are now.

    Raises
    ------
    ValueError
        When a layer is missing, or the labels have another shape than the image.
    """
    if image is None or labels is None:
        raise ValueError("Choose an image and the labels that lie on it.")
    if spatial_shape(image) != spatial_shape(labels):
        raise ValueError(
            f"The labels {labels.name!r} have shape {spatial_shape(labels)}, the image "
            f"{image.name!r} {spatial_shape(image)}: choose labels that were drawn on "
            "this image."
        )
    return TrainingRequest(
        pyramid_levels(image)[0],
        np.array(pyramid_levels(labels)[0]),  # the user may go on painting
        labels.name,
        None if image.rgb else tuple(image.contrast_limits),
        minutes,
        _output_path(labels.name),
        all_labelled,
    )


def _output_path(name: str) -> Path:
    """Return a new path in the cache folder, named for labels and time."""
    plain = re.sub(r"[^\w-]+", "_", name).strip("_") or "labels"
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    return cache_folder() / "trained" / f"{plain}_{now}.safetensors"
