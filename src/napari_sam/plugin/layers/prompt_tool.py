"""The tool that draws prompts: boxes, or points on the object or the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from napari_sam.plugin.layers.prompt_layers import next_is_positive, set_polarity

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Points, Shapes

    Tool = Literal["box", "object", "background"]


def active_tool(
    viewer: ViewerModel, points: Points | None, shapes: Shapes | None
) -> Tool | None:
    """Return what the next gesture on the canvas draws; None if it draws no prompt."""
    active: Any = viewer.layers.selection.active
    if active is None or not str(active.mode).startswith("add"):
        return None
    # A plugin may see a layer through a proxy, which is equal to it and not the same.
    if shapes is not None and active == shapes:
        return "box"
    if points is not None and active == points:
        return "object" if next_is_positive(active) else "background"
    return None


def choose_tool(
    viewer: ViewerModel, points: Points | None, shapes: Shapes | None, tool: Tool
) -> None:
    """Choose layer, drawing tool and polarity for the next prompt.

    A drawing tool for other shapes stays. The polarity also applies to points that
    were chosen with the select tool.

    Raises
    ------
    ValueError
        When there is no layer for it, or the layer cannot be drawn on.
    """
    layer: Any = shapes if tool == "box" else points
    if layer is None:
        kind = "boxes" if tool == "box" else "points"
        raise ValueError(f"There is no layer for {kind}: press 'Start' or choose one.")
    if tool != "box":
        set_polarity(layer, tool == "object")
    viewer.layers.selection.active = layer
    if not str(layer.mode).startswith("add"):
        layer.mode = "add_rectangle" if tool == "box" else "add"
    if not layer.visible or active_tool(viewer, points, shapes) != tool:
        raise ValueError(
            f"The layer {layer.name!r} cannot be drawn on: show it in a 2D view, and "
            "unlock it."
        )
