"""Sample data of the plugin, as napari layers."""

from __future__ import annotations

from typing import Any

from napari_sam import samples

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
