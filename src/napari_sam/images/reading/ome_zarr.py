"""Zarr arrays and groups, OME-Zarr among them, read one plane at a time."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.files import first_line
from napari_sam.images.reading.axis_names import check_axes, name_axes
from napari_sam.images.reading.choose import ChoiceError, choose
from napari_sam.images.reading.image_file import ImageFile
from napari_sam.images.reading.stored_array import StoredArray
from napari_sam.images.reading.units import PixelSize, known_sizes
from napari_sam.memory import NotEnoughMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_DEFAULT_UNIT = {"space": "micrometer", "time": "second"}
# The axes of OME-Zarr before they were named.
_OLD_AXES = "TCZYX"
# Groups of OME-Zarr that belong to an image.
_LABELS = "labels"


@dataclass(frozen=True, slots=True, eq=False)
class ZarrImage:
    """One image of a zarr store, at full resolution.

    Parameters
    ----------
    name : str
        Path of its group or array in the store; empty for the store itself.
    array : zarr.Array
        The pixels.
    axes : str
        One letter per axis; Q where the store does not tell.
    sizes : dict
        {axis: size and unit} as in the metadata.
    reduced : bool
        False: reduced levels of an image are no images of their own.
    """

    name: str
    array: Any
    axes: str
    sizes: dict[str, PixelSize] = field(default_factory=dict)
    reduced: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape as stored."""
        return tuple(int(size) for size in self.array.shape)

    @property
    def dtype(self) -> Any:
        """Type of the pixels."""
        return np.dtype(self.array.dtype)


@dataclass(frozen=True, slots=True, eq=False)
class OpenZarr:
    """A store, the image that was chosen in it, and the metadata of that.

    Parameters
    ----------
    store : zarr.Group or zarr.Array
        The store, open for reading.
    image : ZarrImage
        The image.
    note : str
        Sentence about other images; empty when there are none.
    scales : dict
        Its entry of the multiscales; empty when it is a mere array.
    version : str
        Version of OME-Zarr; empty when it is a mere array.
    """

    store: Any
    image: ZarrImage
    note: str = ""
    scales: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""

    @property
    def axes(self) -> list[dict[str, Any]]:
        """The axes as in the metadata, each a dict with a name."""
        return _axis_entries(self.scales, len(self.image.shape))

    def level(self, path: str) -> Any:
        """Return the array of a level."""
        return self.store[_joined(self.image.name, path)]


def open_image(path: Path, series: str | None = None) -> OpenZarr:
    """Open a zarr store, and choose an image in it.

    Raises
    ------
    OSError
        When there is no such folder.
    ValueError
        When it is no zarr store, or `series` does not fit.
    ModuleNotFoundError
        When zarr is not installed.
    """
    try:
        import zarr
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path} is read with zarr, which is not installed: pip install zarr."
        ) from error
    if not path.exists():
        raise FileNotFoundError(f"There is no folder {path}: check the path.")
    with refusing_damaged_zarr(path):
        store = zarr.open(str(path), mode="r")
        images = list(_images(store))
        image, note = choose(path, images, series)
        group = store if hasattr(store, "shape") else store.get(image.name or "/")
        metadata: Mapping[str, Any] = {}
        if group is not None and not hasattr(group, "shape"):
            metadata = _metadata(group)
        scales: Mapping[str, Any] = next(iter(metadata.get("multiscales", ())), {})
        version = str(metadata.get("version") or scales.get("version") or "0.4")
        return OpenZarr(store, image, note, scales, version if scales else "")


@contextmanager
def refusing_damaged_zarr(path: Path) -> Iterator[None]:
    """Turn whatever damaged metadata of a store raise into one sentence.

    Raises
    ------
    ValueError
        In place of all errors but those of the system, such as a lost connection.
    """
    try:
        yield
    except Exception as error:  # they fail anywhere
        # zarr's own errors of missing parts are OSErrors without a number.
        is_of_system = isinstance(error, OSError) and error.errno is not None
        if is_of_system or isinstance(
            error, ChoiceError | MemoryError | NotEnoughMemoryError
        ):
            raise
        raise ValueError(
            f"{path} cannot be read as zarr ({first_line(error)}): check that it is a "
            "zarr array or OME-Zarr."
        ) from error


def read_zarr(
    path: Path, series: str | None = None, axes: str | None = None
) -> ImageFile:
    """Read an image of a zarr store; see `napari_sam.images.reading.read`.

    The data are a `StoredArray`: planes are read when they are needed.

    Raises
    ------
    OSError, ValueError, ModuleNotFoundError
        See `open_image`; or when `axes` do not fit.
    """
    found = open_image(path, series)
    image, note = found.image, found.note
    notes = [note] if note else []
    if labels := _label_names(path, image.name):
        notes.append(f"{path} also holds labels, {', '.join(labels)}: not used.")
    names = name_axes(image.axes) if axes is None else check_axes(axes, image.shape)
    sizes = known_sizes(image.sizes, names)
    return ImageFile.arrange(
        StoredArray.whole(image.array),
        names,
        spacing=sizes.spacing,
        units=sizes.units,
        notes=(*notes, *sizes.notes),
        named=axes is not None or "Q" not in image.axes,
    )


def _images(store: Any, name: str = "") -> Iterator[ZarrImage]:
    """Yield the images of a store, also those of groups in it."""
    if hasattr(store, "shape"):
        yield ZarrImage(name, store, _array_axes(store))
        return
    multiscales = _metadata(store).get("multiscales")
    if multiscales:
        for scales in multiscales:
            yield _multiscale(store, name, scales)
        return
    arrays = [
        ZarrImage(_joined(name, key), array, _array_axes(array))
        for key, array in sorted(store.arrays())
        if len(array.shape) >= 2
    ]
    if arrays and _are_levels(arrays):
        arrays = [max(arrays, key=lambda image: image.array.size)]
    yield from arrays
    for key, group in sorted(store.groups()):
        if key != _LABELS:
            yield from _images(group, _joined(name, key))


def _multiscale(store: Any, name: str, scales: Mapping[str, Any]) -> ZarrImage:
    """Return the level of full resolution, the first one, with axes and sizes."""
    first = scales["datasets"][0]
    array = store[first["path"]]
    ndim = len(array.shape)
    entries = _axis_entries(scales, ndim)
    axes = "".join(_letter(str(entry["name"])) for entry in entries)
    scale = np.ones(ndim)
    # Of the level, and then of all levels.
    known = False
    for one in (first, scales):
        for transform in one.get("coordinateTransformations", ()):
            if transform.get("type") == "scale":
                scale, known = scale * transform["scale"], True
    sizes = {}
    for letter, entry, size in zip(axes, entries, scale.tolist(), strict=True):
        kind = str(entry.get("type", "time" if letter == "T" else "space"))
        # Without a unit, a size says nothing but how the axes compare.
        default = "reference frame" if kind == "space" else ""
        if known and (entry.get("unit") or kind == "space"):
            sizes[letter] = PixelSize(size, str(entry.get("unit") or default))
    if all("unit" not in entry for entry in entries) and len(set(scale)) == 1:
        sizes = {}
    return ZarrImage(name, array, axes, sizes)


def _axis_entries(scales: Mapping[str, Any], ndim: int) -> list[dict[str, Any]]:
    """Return the axes of an image, each a dict with a name."""
    entries = scales.get("axes") or list(_OLD_AXES[-ndim:].lower())
    # Version 0.3 names axes only.
    return [axis if isinstance(axis, dict) else {"name": axis} for axis in entries]


def _array_axes(array: Any) -> str:
    """Return the axes of an array, as zarr 3 or xarray name them."""
    metadata = getattr(array, "metadata", None)
    names = getattr(metadata, "dimension_names", None)
    names = names or dict(array.attrs).get("_ARRAY_DIMENSIONS")
    if not names or len(names) != len(array.shape):
        return "Q" * len(array.shape)
    return "".join(_letter(str(name or "")) for name in names)


def _letter(name: str) -> str:
    """Return the letter of an axis of any name, such as z, time or channel."""
    letter = name[:1].upper()
    return letter if letter.isascii() and letter.isalpha() and letter != "S" else "Q"


def _metadata(group: Any) -> Mapping[str, Any]:
    """Return the metadata of OME-Zarr, up to version 0.4 and from 0.5 on."""
    attributes: Mapping[str, Any] = dict(group.attrs)
    ome = attributes.get("ome")
    return ome if isinstance(ome, dict) else attributes


def _are_levels(images: list[ZarrImage]) -> bool:
    """Whether arrays are the same image, smaller and smaller."""
    shapes = sorted((image.shape for image in images), reverse=True)
    if len(shapes) < 2 or len({len(shape) for shape in shapes}) > 1:
        return False
    return (
        all(
            large != small and all(a >= b for a, b in zip(large, small, strict=True))
            for large, small in itertools.pairwise(shapes)
        )
        and len({image.dtype for image in images}) == 1
    )


def _label_names(path: Path, name: str) -> list[str]:
    """Name the label images beside an image of OME-Zarr, without opening them."""
    folder = path / name / _LABELS
    if not folder.is_dir():
        return []
    # Hidden ones are being written.
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    )


def _joined(name: str, key: str) -> str:
    return f"{name}/{key}" if name else key
