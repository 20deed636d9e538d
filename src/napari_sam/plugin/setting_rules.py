"""Rules for what the settings of a session may be."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from napari.layers import Image, Labels, Points, Shapes

from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.linking import Linking
from napari_sam.automatic.search import SearchOptions
from napari_sam.checks.values import check_type, choice, flag, optional
from napari_sam.images.intensity import IntensityMapping
from napari_sam.masks.cleanup import CleanUp
from napari_sam.prediction.click_sequence import Size
from napari_sam.volume.results import PropagationOptions

if TYPE_CHECKING:
    from collections.abc import Callable


def _layer(kind: type) -> Callable[[Any, str], Any]:
    """Make the rule of a layer of a kind, or None."""

    def check(value: Any, name: str) -> Any:
        if value is not None:
            what = f"a layer of type {kind.__name__}, viewer.layers['name']"
            check_type(value, name, kind, what)
        return value

    return check


def _options(kind: type) -> Callable[[Any, str], Any]:
    """Make the rule of options of a type."""

    def check(value: Any, name: str) -> Any:
        check_type(value, name, kind, f"{kind.__name__}(...)")
        return value

    return check


# {setting: function of value and name}
RULES: dict[str, Callable[[Any, str], Any]] = {
    "image_layer": _layer(Image),
    "labels_layer": _layer(Labels),
    "points_layer": _layer(Points),
    "shapes_layer": _layer(Shapes),
    "propagation": _options(PropagationOptions),
    "cleanup": _options(CleanUp),
    "thresholds": _options(Thresholds),
    "search": _options(SearchOptions),
    "linking": _options(Linking),
    "intensity": _options(IntensityMapping),
    "each_prompt_an_object": flag,
    "everything_in_stack": flag,
    "size": optional(partial(choice, options=get_args(Size))),
}
