"""Saving of labels that were made elsewhere, such as in a viewer, in an OME-Zarr."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.reading.axis_names import PLANE
from napari_sam.images.reading.image_file import ImageFile
from napari_sam.images.reading.read import read_image
from napari_sam.images.zarr_labels.placing import place_labels
from napari_sam.images.zarr_labels.writer import RECORD, LabelWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

_LETTERS = "TZYX"


def save_labels(
    labels: Any,
    store: str | Path,
    name: str,
    spacing: Sequence[float] | None = None,
) -> Path:
    """Write labels with all levels into the OME-Zarr of their image, or a new one.

    Labels of this name that were saved so before are replaced, once the new ones are
    complete; those of other programs are not.

    Parameters
    ----------
    labels : array-like
        Integers of the shape of the image without channels and colour; axes of length 1
        may be missing.
    store : str or Path
        The OME-Zarr of the image; where there is none, one of labels alone is made.
    name : str
        Name of the labels in the store of the image.
    spacing : sequence of float, optional
        Distance of neighbouring pixels along each axis, for a new store.

    Returns
    -------
    Path
        The group of the labels.

    Raises
    ------
    TypeError, ValueError
        When the labels do not fit the image, or the name is taken or cannot be used.
    OSError
        When the store cannot be read or written.
    """
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"The labels are {labels.dtype}: give integers.")
    store, index, source = Path(store).expanduser(), {}, None
    if store.exists():
        source = store
        file = read_image(store)
        index = {"C": 0} if "C" in file.order else {}
        used = file.select(**index)
    else:
        file = used = _own_file(labels, spacing)
    shape = used.shape
    if _long(labels.shape) != _long(shape):
        raise ValueError(
            f"The labels have shape {tuple(labels.shape)}, the image {shape} without "
            "channels: save labels of the whole image."
        )
    axis = used.axes.index("Z") if "Z" in used.axes else 0
    layout = place_labels(
        store, name, file, used, axis, source=source, index=index, overwrite=True
    )
    if layout.path.exists() and not _is_ours(layout.path):
        raise ValueError(
            f"{layout.path} is of another program: choose another name for the labels."
        )
    writer = LabelWriter(layout)
    writer.create()
    whole = np.asarray(labels).reshape(shape)
    for part in range(layout.parts(0)):
        planes: list[slice] = [slice(None)] * len(shape)
        planes[axis] = layout.part(0, part)
        writer.write(part, whole[tuple(planes)])
    for level in range(1, len(layout.shapes)):
        for part in range(layout.parts(level)):
            writer.write_level(level, part)
    writer.finish({"kind": "saved"}, overwrite=True)
    return layout.path


def _own_file(labels: Any, spacing: Sequence[float] | None) -> ImageFile:
    """Describe labels that have no image."""
    if not len(PLANE) <= labels.ndim <= len(_LETTERS):
        raise ValueError(
            f"The labels have {labels.ndim} axes: without an image give 2 to 4."
        )
    axes = _LETTERS[-labels.ndim :]
    sizes = {} if spacing is None else dict(zip(axes, spacing, strict=True))
    return ImageFile(labels, axes, spacing=sizes)


def _long(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape without axes of length 1."""
    return tuple(int(n) for n in shape if n != 1)


def _is_ours(path: Path) -> bool:
    import zarr

    try:
        return RECORD in zarr.open_group(str(path), mode="r").attrs
    except (LookupError, OSError, RecursionError, TypeError, ValueError):
        return False  # damaged, or something else
