"""Plane indices and stacks as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam.images.stack import Stack

if TYPE_CHECKING:
    from napari_sam.images.axes import PlaneIndex
    from napari_sam.requests.view import ImageView


def index_to_json(plane_index: PlaneIndex) -> list[int | None]:
    """Convert the index of a plane; null stands for its rows and columns."""
    return [None if isinstance(entry, slice) else int(entry) for entry in plane_index]


def index_from_json(plane_index: list[int | None]) -> PlaneIndex:
    """Convert the result of `index_to_json` back."""
    return tuple(slice(None) if entry is None else entry for entry in plane_index)


def stack_to_json(stack: Stack) -> dict[str, Any]:
    """Describe a stack of an image: first plane, axis and voxel size."""
    return {
        "plane": index_to_json(stack.plane_index(0)),
        "axis": stack.axis,
        "spacing": stack.spacing,
    }


def stack_from_json(view: ImageView, entry: dict[str, Any]) -> Stack:
    """Build the stack that `stack_to_json` described, of the same image."""
    fixed = {
        axis: index
        for axis, index in enumerate(entry["plane"])
        if index is not None and axis != entry["axis"]
    }
    spacing = entry.get("spacing")
    voxel = None if spacing is None else tuple(spacing)
    return Stack(view.reader, entry["axis"], fixed=fixed, spacing=voxel)
