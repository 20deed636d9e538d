"""Sample data of the plugin, as napari layer data tuples."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_sam import samples
from napari_sam.plugin.layers.prompt_layers import box_layer_kwargs

LayerData = tuple[Any, dict[str, Any], str]


def coins() -> list[LayerData]:
    """Return ancient coins on a dark background: one plane with many objects."""
    return [(samples.coins(), {"name": "coins"}, "image")]


def head() -> list[LayerData]:
    """Return an MR image of a head, with the ventricles in its middle slices."""
    volume, spacing = samples.head()
    return [(volume, {"name": "head", **_head_transform(spacing)}, "image")]


def nuclei() -> list[LayerData]:
    """Return a large drawn image of many small nuclei."""
    return [(samples.nuclei(), {"name": "nuclei"}, "image")]


def moving_cells() -> list[LayerData]:
    """Return a drawn movie of cells."""
    kwargs = {
        "name": "cells",
        "units": ("second", "pixel", "pixel"),
        "axis_labels": ("t", "y", "x"),
    }
    return [(samples.moving_cells(), kwargs, "image")]


def coins_with_box() -> list[LayerData]:
    """Return the coins, and a box around one of them."""
    box = _rectangle(samples.coin_boxes()[5])
    layer = box_layer_kwargs(min(samples.coins().shape))
    return [*coins(), ([box], layer, "shapes")]


def head_with_boxes() -> list[LayerData]:
    """Return the head, and boxes around the ventricles on two of its slices."""
    volume, spacing = samples.head()
    boxes = [
        np.insert(_rectangle(prompt.box), 0, index, axis=1)
        for index, prompt in samples.head_prompts()[1].items()
    ]
    layer = {**box_layer_kwargs(min(volume.shape[1:])), **_head_transform(spacing)}
    return [*head(), (boxes, layer, "shapes")]


def _head_transform(spacing: Any) -> dict[str, Any]:
    return {
        "scale": spacing,
        "units": ("mm", "mm", "mm"),
        "axis_labels": ("z", "y", "x"),
    }


def _rectangle(box: Any) -> np.ndarray:
    """Return the corners of a box, (4, 2)."""
    r0, c0, r1, c1 = box
    return np.array([(r0, c0), (r0, c1), (r1, c1), (r1, c0)])
