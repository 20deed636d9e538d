"""Labels layers that napari saves in OME-Zarr."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import show_info

from napari_sam.images.zarr_labels.save import save_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


def write_labels(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Save a Labels layer into ``labels/NAME`` of the OME-Zarr of its image.

    Where there is no image, a store of the labels alone is made.

    Parameters
    ----------
    path : str
        The store of the image, or a new one.
    data : array-like
        The labels, or the levels of a pyramid.
    attributes : mapping
        Name and scale of the layer.
    """
    labels = data[0] if attributes.get("multiscale") else data
    name = _NO_NAME.sub("-", str(attributes.get("name", ""))).strip("-.") or "labels"
    saved = save_labels(labels, path, name, attributes.get("scale"))
    show_info(f"Saved {saved}.")
    return [str(saved)]
