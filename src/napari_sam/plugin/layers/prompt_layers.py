"""Points and Shapes layers made for prompting, and how they look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.plugin.layers.prompt_reader import (
    NEGATIVE_NAME,
    POLARITY,
    POSITIVE_NAME,
    point_label,
)
from napari_sam.plugin.layers.transforms import spatial_shape, transform_kwargs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Layer, Points, Shapes

    from napari_sam.plugin.layers.prompt_reader import LayerPrompt

_MARK = "napari_sam_prompts"
# Colours of Okabe and Ito's palette, and symbols for those who see no colours.
_COLOURS = {POSITIVE_NAME: "#009E73", NEGATIVE_NAME: "#D55E00"}
_SYMBOLS = {POSITIVE_NAME: "disc", NEGATIVE_NAME: "x"}
_BOX_COLOUR = "#F0E442"

# Sizes that show on any image: shares of its shorter side.
_POINT_SHARE, _LINE_SHARE = 1 / 60, 1 / 250
_SMALLEST_POINT, _THINNEST_LINE = 2.0, 0.5


def is_plugin_layer(layer: Layer) -> bool:
    """Whether the layer was made here, so that its prompts may be cleared."""
    return bool(layer.metadata.get(_MARK))


def boxes_look(side: int) -> dict[str, Any]:
    """Keyword arguments of a layer of boxes made here.

    Parameters
    ----------
    side : int
        Shorter side of the image, in pixels.
    """
    return {
        "name": "SAM boxes",
        "edge_color": _BOX_COLOUR,
        "face_color": "transparent",
        "edge_width": max(side * _LINE_SHARE, _THINNEST_LINE),
        "metadata": {_MARK: True},
    }


def add_prompt_layers(viewer: ViewerModel, image: Image) -> tuple[Points, Shapes]:
    """Add a Points and a Shapes layer that lie exactly over an image."""
    side = min(spatial_shape(image)[-2:])
    place = transform_kwargs(image)
    shapes = viewer.add_shapes(ndim=image.ndim, **boxes_look(side), **place)
    points = viewer.add_points(
        ndim=image.ndim,
        name="SAM points",
        features={POLARITY: np.array([], dtype=object)},
        feature_defaults={POLARITY: POSITIVE_NAME},
        face_color=POLARITY,
        face_color_cycle=dict(_COLOURS),
        border_color="white",
        size=max(side * _POINT_SHARE, _SMALLEST_POINT),
        metadata={_MARK: True},
        **place,
    )
    points.events.data.connect(_show_symbols)
    return points, shapes


def set_polarity(layer: Points, positive: bool) -> None:
    """Make the next points, and those picked with the select tool, lie on or off it."""
    name = POSITIVE_NAME if positive else NEGATIVE_NAME
    features = layer.features.copy()
    if POLARITY not in features or features[POLARITY].dtype != object:
        # Numbers, say, with a meaning of their own: names take their place.
        labels = [point_label(layer, number) for number in range(len(layer.data))]
        features[POLARITY] = np.where(labels, POSITIVE_NAME, NEGATIVE_NAME)
        features[POLARITY] = features[POLARITY].astype(object)
    # While points are added the latest one is selected too: it keeps its meaning.
    if layer.mode == "select":
        features.loc[sorted(layer.selected_data), POLARITY] = name
    layer.features = features
    _set_default(layer, name)
    if is_plugin_layer(layer):
        layer.refresh_colors()
        _set_symbols(layer)


def next_is_positive(layer: Points) -> bool:
    """Whether the next point lies on the object."""
    defaults = layer.feature_defaults
    if POLARITY not in defaults:
        return True
    return bool(defaults[POLARITY].iloc[0] != NEGATIVE_NAME)


def restore_prompts(layer: Points | Shapes, prompts: Sequence[LayerPrompt]) -> None:
    """Draw prompts again that were removed from a layer made here."""
    there = [np.atleast_2d(item) for item in layer.data]
    gone = [p for p in prompts if not any(np.array_equal(p.drawn, t) for t in there)]
    for prompt in gone:
        if prompt.kind != "point":
            layer.add(prompt.drawn, shape_type=prompt.kind)
            continue
        before = layer.feature_defaults[POLARITY].iloc[0]
        positive = len(prompt.prompt.positives) > 0
        _set_default(layer, POSITIVE_NAME if positive else NEGATIVE_NAME)
        layer.add(prompt.drawn)
        _set_default(layer, before)
    layer.selected_data = set()


def _set_default(layer: Points, polarity: str) -> None:
    defaults = layer.feature_defaults
    layer.feature_defaults = {
        **{c: defaults[c].iloc[0] for c in defaults},
        POLARITY: polarity,
    }


def _show_symbols(event: Any) -> None:
    # Points change their data twice; only afterwards do features fit to it.
    if event.action in ("added", "changed", "removed"):
        _set_symbols(event.source)


def _set_symbols(layer: Points) -> None:
    wanted = [_SYMBOLS[name] for name in layer.features[POLARITY]]
    if [symbol.value for symbol in layer.symbol] != wanted:
        layer.symbol = wanted
