"""Points and Shapes layers for prompts: creation, appearance and polarity."""

from __future__ import annotations

from collections import defaultdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.plugin import colors
from napari_sam.plugin.layers.prompt_reader import drawing_key, point_labels
from napari_sam.plugin.layers.transforms import spatial_shape, transform_kwargs
from napari_sam.prompts.prompt import (
    NEGATIVE,
    NEGATIVE_NAME,
    POLARITY,
    POSITIVE,
    POSITIVE_NAME,
    label_from_polarity,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.components import ViewerModel
    from napari.layers import Image, Layer, Points, Shapes

    from napari_sam.plugin.layers.prompt_reader import LayerPrompt

_METADATA_KEY = "napari_sam_prompts"
# As the plugin set them last.
_WIDTH_KEY, _SIZE_KEY = "napari_sam_edge_width", "napari_sam_point_size"
# Symbols tell positive and negative points apart without colours.
_COLORS = {POSITIVE_NAME: colors.GREEN, NEGATIVE_NAME: colors.VERMILION}
_SYMBOLS = {POSITIVE_NAME: "disc", NEGATIVE_NAME: "x"}

# In pixels of the screen, so that markers never hide small objects.
_POINT_PIXELS, _LINE_PIXELS = 10, 2
# Without a canvas: relative to the shorter side of the image.
_POINT_FRACTION, _LINE_FRACTION = 1 / 60, 1 / 250
# A mouse that moves this far, in pixels of the screen, drags; napari adds no point.
_DRAG_PIXELS = 5


def is_plugin_layer(layer: Layer) -> bool:
    """Whether the plugin made the layer, and so may clear its prompts."""
    return bool(layer.metadata.get(_METADATA_KEY))


def box_layer_kwargs(side: int) -> dict[str, Any]:
    """Return the keyword arguments of a Shapes layer for boxes.

    Parameters
    ----------
    side : int
        Shorter side of the image, in pixels.
    """
    width = side * _LINE_FRACTION
    return {
        "name": "SAM boxes",
        "edge_color": colors.YELLOW,
        "face_color": "transparent",
        "edge_width": width,
        "metadata": {_METADATA_KEY: True, _WIDTH_KEY: width},
    }


def fit_edges(layer: Shapes, screen_pixel: float) -> None:
    """Make edges as wide as the zoom asks for, unless the user chose a width.

    Parameters
    ----------
    layer : Shapes
        Layers of the user stay as they are.
    screen_pixel : float
        Side of a pixel of the screen, in pixels of the layer.
    """
    width = _LINE_PIXELS * screen_pixel
    if _is_to_fit(layer, _WIDTH_KEY, layer.current_edge_width, width):
        layer.metadata[_WIDTH_KEY] = layer.current_edge_width = width
        if len(layer.data):
            layer.edge_width = [width] * len(layer.data)


def fit_points(layer: Points, screen_pixel: float) -> None:
    """Make points as large as the zoom asks for, unless the user chose a size.

    napari draws them at a fixed size, but finds the point under the mouse by this one.
    """
    size = _POINT_PIXELS * screen_pixel
    if _is_to_fit(layer, _SIZE_KEY, layer.current_size, size):
        layer.metadata[_SIZE_KEY] = layer.current_size = size
        if len(layer.data):
            layer.size = size


def _is_to_fit(layer: Layer, key: str, now: float, wanted: float) -> bool:
    """Whether a layer has the size that the plugin set last, and needs another."""
    last = layer.metadata.get(key)
    return last is not None and now == last and not np.isclose(wanted, last, atol=0)


def add_prompt_layers(viewer: ViewerModel, image: Image) -> tuple[Points, Shapes]:
    """Add a Points and a Shapes layer with the transform of an image."""
    side = min(spatial_shape(image)[-2:])
    transform, size = transform_kwargs(image), side * _POINT_FRACTION
    shapes = viewer.add_shapes(ndim=image.ndim, **box_layer_kwargs(side), **transform)
    points = viewer.add_points(
        ndim=image.ndim,
        name="SAM points",
        features={POLARITY: np.array([], dtype=object)},
        feature_defaults={POLARITY: POSITIVE_NAME},
        face_color=POLARITY,
        face_color_cycle=dict(_COLORS),
        border_color="white",
        size=size,
        canvas_size_limits=(_POINT_PIXELS, _POINT_PIXELS),
        metadata={_METADATA_KEY: True, _SIZE_KEY: size},
        **transform,
    )
    points.events.data.connect(_on_data)
    alt_click = _AltClick()
    points.mouse_drag_callbacks.append(alt_click.on_drag)
    # Without a second reference, as napari keeps methods weakly.
    points.events.features.connect(lambda event: alt_click.on_features(event))
    return points, shapes


def set_polarity(layer: Points, positive: bool) -> None:
    """Set the polarity of the next points and of those chosen with the select tool."""
    name = POSITIVE_NAME if positive else NEGATIVE_NAME
    features = _named_features(layer)
    # In add mode napari selects the latest point: do not change that one.
    if layer.mode == "select":
        features.loc[sorted(layer.selected_data), POLARITY] = name
    layer.features = features  # which resets the defaults
    _set_default(layer, name)
    if is_plugin_layer(layer):
        layer.refresh_colors()
        _set_symbols(layer)


def next_is_positive(layer: Points) -> bool:
    """Whether the next point will be positive."""
    defaults = layer.feature_defaults
    if POLARITY not in defaults or not len(defaults):
        return True
    return label_from_polarity(defaults[POLARITY].iloc[0]) != NEGATIVE


def set_next_polarity(layer: Points, positive: bool) -> None:
    """Set the polarity of the next points only."""
    if next_is_positive(layer) != positive:
        _set_default(layer, POSITIVE_NAME if positive else NEGATIVE_NAME)


def remove_prompts(layer: Points | Shapes, prompts: Sequence[LayerPrompt]) -> None:
    """Remove prompts from a layer of the plugin, each once.

    Those that were moved since they were read stay.
    """
    places: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for index, item in enumerate(layer.data):
        places[drawing_key(item)].append(index)
    found = set()
    for prompt in prompts:
        same = places.get(drawing_key(prompt.drawn))
        if same:
            found.add(same.pop(0))
    if found:
        layer.selected_data = found
        layer.remove_selected()


def restore_prompts(layer: Points | Shapes, prompts: Sequence[LayerPrompt]) -> None:
    """Add prompts again that were removed from a layer of the plugin."""
    present = {drawing_key(item) for item in layer.data}
    absent = [p for p in prompts if drawing_key(p.drawn) not in present]
    if absent and not (layer.visible and layer.loaded):
        # napari adds shapes as the layer was seen last, which may have been in 3D.
        layer.set_view_slice()
    # All of a kind at once: each addition lets napari measure the layer anew.
    for (is_point, is_positive), group in groupby(absent, _kind):
        members = list(group)
        drawn = [prompt.drawn for prompt in members]
        if not is_point:
            layer.add(drawn, shape_type=[prompt.kind for prompt in members])
            continue
        before = next_is_positive(layer)
        set_next_polarity(layer, is_positive)
        layer.add(np.concatenate([np.atleast_2d(point) for point in drawn]))
        set_next_polarity(layer, before)
    layer.selected_data = set()


def _kind(prompt: LayerPrompt) -> tuple[bool, bool]:
    """Return whether a prompt is a point, and whether a positive one."""
    is_point = prompt.kind == "point"
    return is_point, is_point and len(prompt.prompt.positives) > 0


def _named_features(layer: Points) -> Any:
    """Return the features with the polarity as names, whatever it was before."""
    features = layer.features.copy()
    if POLARITY not in features or features[POLARITY].dtype != object:
        features[POLARITY] = np.where(point_labels(layer), POSITIVE_NAME, NEGATIVE_NAME)
        features[POLARITY] = features[POLARITY].astype(object)
    return features


def _set_default(layer: Points, polarity: str) -> None:
    """Set the default of the polarity feature; the others keep theirs."""
    if POLARITY not in layer.features or layer.features[POLARITY].dtype != object:
        layer.features = _named_features(layer)
    defaults = layer.feature_defaults.copy()
    defaults[POLARITY] = np.array([polarity], object)
    layer.feature_defaults = defaults


class _AltClick:
    """Makes the point of a click with Alt a background point."""

    def __init__(self) -> None:
        self._before: bool | None = None

    def on_drag(self, layer: Points, event: Any) -> Iterator[None]:
        """Choose the background for the point that napari adds at release."""
        if layer.mode != "add" or "Alt" not in event.modifiers:
            return
        before = next_is_positive(layer)
        set_next_polarity(layer, False)
        self._before = before
        start = np.array(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        if np.linalg.norm(start - event.pos) >= _DRAG_PIXELS:
            self._end(layer)

    def on_features(self, event: Any) -> None:
        """Go back to the polarity before: napari has added and selected the point."""
        self._end(event.source)

    def _end(self, layer: Points) -> None:
        before, self._before = self._before, None
        if before is not None:
            set_next_polarity(layer, before)


def _on_data(event: Any) -> None:
    # napari also emits before the change, when the features do not fit the data yet.
    if event.action in ("added", "changed", "removed"):
        _set_symbols(event.source)


def _set_symbols(layer: Points) -> None:
    names = {POSITIVE: POSITIVE_NAME, NEGATIVE: NEGATIVE_NAME}
    wanted = [_SYMBOLS[names[label]] for label in point_labels(layer)]
    if [symbol.value for symbol in layer.symbol] != wanted:
        layer.symbol = wanted
