"""Sample data of the plugin, as napari layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_sam import samples
from napari_sam.plugin.layers.prompt_layers import boxes_look

LayerData = tuple[Any, dict[str, Any], str]


def coins() -> list[LayerData]:
    """Ancient coins on a dark ground: many objects on one plane."""
    return [(samples.coins(), {"name": "coins"}, "image")]


def head() -> list[LayerData]:
    """MR image of a head: the ventricles go through its middle slices."""
    volume, spacing = samples.head()
    layer = {
        "name": "head",
        "scale": spacing,
        "units": ("mm", "mm", "mm"),
        "axis_labels": ("z", "y", "x"),
    }
    return [(volume, layer, "image")]


def coins_with_box() -> list[LayerData]:
    """The coins, and a box around one of them."""
    r0, c0, r1, c1 = samples.coin_boxes()[5]
    box = np.array([(r0, c0), (r0, c1), (r1, c1), (r1, c0)])
    look = boxes_look(min(samples.coins().shape))
    return [*coins(), ([box], look, "shapes")]


def head_with_boxes() -> list[LayerData]:
    """The head, and boxes around the ventricles on two of its slices."""
    ((volume, place, kind),) = head()
    boxes = []
    for index, prompt in samples.head_prompts()[1].items():
        r0, c0, r1, c1 = prompt.box
        corners = ((r0, c0), (r0, c1), (r1, c1), (r1, c0))
        boxes.append(np.array([(index, *corner) for corner in corners]))
    lies = {name: place[name] for name in ("scale", "units", "axis_labels")}
    look = {**boxes_look(min(volume.shape[1:])), **lies}
    return [(volume, place, kind), (boxes, look, "shapes")]
