"""Where labels go: into the OME-Zarr of their image, or into a store of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from napari_sam.images.reading.axis_names import PLANE
from napari_sam.images.reading.ome_zarr import open_image, refusing_damaged_zarr
from napari_sam.images.zarr_labels.layout import (
    LabelLayout,
    chunk_shape,
    halved,
    part_depth,
)
from napari_sam.optional import import_optional

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_sam.images.reading.image_file import ImageFile
    from napari_sam.images.reading.ome_zarr import OpenZarr

EXTRA = "zarr"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LENGTH_UNITS = {"µm": "micrometer", "nm": "nanometer", "mm": "millimeter"}
_SPACE = "ZYX"


def place_labels(
    output: Path,
    name: str,
    file: ImageFile,
    used: ImageFile,
    axis: int,
    *,
    source: Path | None = None,
    series: str | None = None,
    index: Mapping[str, int] | None = None,
    overwrite: bool = False,
) -> LabelLayout:
    """Lay out labels of an image in an OME-Zarr; nothing is written.

    Parameters
    ----------
    output : Path
        The store of the image, or a new one, named ``.zarr``.
    name : str
        Name of the labels in the store of the image.
    file, used : ImageFile
        The whole image, and what is segmented of it.
    axis : int
        Axis of `used` along which parts are written.
    source : Path, optional
        The OME-Zarr of the image, if it comes from one.
    series : str, optional
        See `read_zarr`.
    index : mapping, optional
        {axis: index} that was selected of `file`.
    overwrite : bool
        Whether labels that exist are replaced once the new ones are complete.

    Raises
    ------
    ValueError
        When the name cannot be used, or the labels exist.
    ModuleNotFoundError
        When the extra ``zarr`` is not installed.
    """
    for module in ("zarr", "yaozarrs"):
        import_optional(module, EXTRA)
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot name labels: give letters, digits, '_', '-' and '.'."
        )
    zarr = None if source is None else open_image(source, series)
    is_inside = source is not None and _is_same(output, source)
    order = [n for n in file.order if n != "C"]
    plane_axes = _plane_axes(order)
    along = order.index(used.axes[axis])
    if source is None or zarr is None or not zarr.scales:
        if is_inside:
            raise ValueError(
                f"{output} is not OME-Zarr, which labels need to be written into it: "
                "name another store as output."
            )
        sizes = dict(zip(file.order, file.stored_shape, strict=True))
        shapes = halved([sizes[n] for n in order], plane_axes)
        axes, transforms = _own_metadata(file, order, shapes)
        version = "0.5"
    else:
        version = zarr.version
        kept = [i for i, n in enumerate(file.order) if n != "C"]
        with refusing_damaged_zarr(source):
            shapes, axes, transforms = _as_image(zarr, kept)
    chunks = chunk_shape(shapes[0], plane_axes, along)
    index = index or {}
    layout = LabelLayout(
        str(output.resolve()),
        zarr.image.name if zarr is not None and is_inside else "",
        name if is_inside else "",
        version,
        axes,
        shapes,
        transforms,
        chunks,
        tuple(used.axes.index(n) if n in used.axes else None for n in order),
        tuple(int(index.get(n, 0)) for n in order),
        along,
        tuple(part_depth(shape, chunks, along) for shape in shapes),
    )
    if layout.path.exists() and not overwrite:
        raise ValueError(
            f"{layout.path} exists: choose another name, or allow to overwrite it."
        )
    return layout


def _plane_axes(order: Sequence[str]) -> list[int]:
    """Return which axes are rows and columns."""
    if not {*PLANE} <= {*order}:
        raise ValueError(
            f"The image has the axes {''.join(order)}, and labels need "
            f"{' and '.join(PLANE)}: name the axes as they are stored."
        )
    return [order.index(n) for n in PLANE]


def _is_same(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve()


def _as_image(zarr: OpenZarr, kept: Sequence[int]) -> tuple[Any, Any, Any]:
    """Return shapes, axes and transformations of the levels of an image."""
    shapes, transforms = [], []
    common = zarr.scales.get("coordinateTransformations", ())
    ndim = len(zarr.image.shape)
    for dataset in zarr.scales["datasets"]:
        shape = zarr.level(dataset["path"]).shape
        shapes.append(tuple(int(shape[i]) for i in kept))
        scale, translation = [1.0] * ndim, [0.0] * ndim
        for one in (*dataset.get("coordinateTransformations", ()), *common):
            if one.get("type") == "scale":
                scale = [a * b for a, b in zip(scale, one["scale"], strict=True)]
                translation = [
                    a * b for a, b in zip(translation, one["scale"], strict=True)
                ]
            elif one.get("type") == "translation":
                translation = [
                    a + b for a, b in zip(translation, one["translation"], strict=True)
                ]
        level: list[dict[str, Any]] = [
            {"type": "scale", "scale": [float(scale[i]) for i in kept]}
        ]
        if any(translation):
            moved = [float(translation[i]) for i in kept]
            level.append({"type": "translation", "translation": moved})
        transforms.append(level)
    entries = [zarr.axes[i] for i in kept]
    return tuple(shapes), tuple(entries), tuple(transforms)


def _own_metadata(
    file: ImageFile, order: Sequence[str], shapes: Sequence[Sequence[int]]
) -> tuple[Any, Any]:
    """Return axes and transformations of an image that has no metadata of OME-Zarr."""
    axes: list[dict[str, Any]] = []
    for letter in order:
        entry = {"name": letter.lower()}
        if letter in _SPACE:
            entry["type"] = "space"
        elif letter == "T":
            entry["type"] = "time"
        unit = file.units.get(letter)
        if unit in _LENGTH_UNITS and letter in _SPACE:
            entry["unit"] = _LENGTH_UNITS[unit]
        axes.append(entry)
    transforms = []
    for shape in shapes:
        scale, translation = [], []
        for letter, full, size in zip(order, shapes[0], shape, strict=True):
            spacing = float(file.spacing.get(letter, 1.0))
            scale.append(spacing * full / size)
            translation.append(spacing * (full / size - 1) / 2)
        level: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
        if any(translation):
            level.append({"type": "translation", "translation": translation})
        transforms.append(level)
    return tuple(axes), tuple(transforms)
