"""Labels layers saved as the annotations of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.exchange.formats import format_of_name
from napari_sam.exchange.labels import export_labels

if TYPE_CHECKING:
    from collections.abc import Mapping


def write_labels(path: str, data: Any, meta: Mapping[str, Any]) -> list[str]:
    """Write a Labels layer; the writer of napari's *Save Selected Layers*.

    Parameters
    ----------
    path : str
        File; its ending tells the format.
    data : array-like
        Labels of a plane or a stack, or the levels of a pyramid.
    meta : mapping
        Metadata of the layer.

    Returns
    -------
    list of str
        The file.

    Raises
    ------
    RuntimeError
        When the format cannot hold the labels.
    """
    largest = data[0] if meta.get("multiscale") else data
    names = "".join(map(str, meta.get("axis_labels") or ())).upper()
    # Unless the user named them, napari numbers the axes.
    axes = names if names.endswith("YX") and len(names) == largest.ndim else None
    try:
        kind = format_of_name(Path(path))
        return [str(export_labels(np.asarray(largest), path, kind, axes=axes))]
    except ValueError as error:
        # napari takes a ValueError for a missing writer, and hides its sentence.
        raise RuntimeError(str(error)) from error
