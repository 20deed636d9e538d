"""Checks of arrays: images, coordinates, axes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.checks.values import describe, index_key, whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

# Names of the last three axes of an array that does not name its own.
_SPACE = ("z", "y", "x")


def as_image(image: Any, name: str) -> Any:
    """Return an image or a volume as an array that is not read yet.

    Parameters
    ----------
    image : array-like
        numpy, dask or zarr array, nested lists, a torch tensor, or an xarray, whose
        own array is returned.
    name : str
        Its name in the error message.

    Raises
    ------
    TypeError
        When it is a path, or no array.
    ValueError
        When its rows have different lengths, or some of its pixels are masked.
    """
    if isinstance(image, str | os.PathLike):
        raise TypeError(
            f"{name} is the path {os.fspath(image)!r}: read it first, for instance by "
            "tifffile.imread or skimage.io.imread, and give the array."
        )
    if _is_xarray(image):
        image = image.data
    if hasattr(image, "detach") and hasattr(image, "numpy"):
        image = image.detach().cpu().numpy()
    if isinstance(image, np.ma.MaskedArray):
        _check_unmasked(image, name)
        image = image.data
    if hasattr(image, "shape") and hasattr(image, "dtype"):
        return image
    return _from_lists(image, name)


def as_numbers(values: Any, name: str, what: str) -> NDArray[np.float64]:
    """Return an array-like of real numbers as float64.

    Parameters
    ----------
    values : array-like
        The numbers.
    name : str
        Their name in the error message.
    what : str
        What to give, such as "(row, col) of each point".

    Raises
    ------
    TypeError
        When they are no numbers.
    ValueError
        When rows have different lengths, or values are masked.
    """
    if isinstance(values, np.ma.MaskedArray):
        _check_unmasked(values, name)
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(
            f"{name}={describe(values)} has entries of different lengths: give {what}."
        ) from None
    if array.dtype.kind not in "buif":
        raise TypeError(f"{name} is {describe(values)}: give {what}.")
    return array.astype(np.float64)


def positions(values: Any, name: str) -> tuple[tuple[float, ...], ...]:
    """Return finite positions on a plane as a tuple of (row, col).

    Raises
    ------
    TypeError, ValueError
        When they are no finite numbers, or not two for each.
    """
    array = as_numbers(values, name, "(row, col) of each position")
    if not array.size:
        return ()
    if array.ndim != 2 or array.shape[1] != 2:
        raise ValueError(
            f"{name}={describe(values)} has shape {array.shape}: give (N, 2)."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} is not finite: give rows and columns in pixels.")
    return tuple(map(tuple, array.tolist()))


def as_label_array(labels: Any, name: str, ndim: int) -> NDArray[Any]:
    """Return labels as an integer array of a number of axes.

    Raises
    ------
    TypeError, ValueError
        When it is no such array.
    """
    array = np.asarray(as_image(labels, name))
    if array.dtype.kind not in "bui" or array.ndim != ndim:
        raise ValueError(
            f"{name} is {array.dtype} of shape {array.shape}: give integers with "
            f"{ndim} axes, 0 for background."
        )
    return array


def as_plane_shape(shape: Any, name: str) -> tuple[int, int]:
    """Return the (H, W) of a plane.

    Raises
    ------
    TypeError, ValueError
        When it is not two whole numbers above 0.
    """
    sides = as_numbers(shape, name, "(height, width)")
    if sides.shape != (2,):
        raise ValueError(f"{name} is {describe(shape)}: give (height, width).")
    height, width = (whole_number(side, name, least=1) for side in sides.tolist())
    return height, width


def axis_names(volume: Any, ndim: int) -> tuple[str, ...]:
    """Return the names of the axes of a volume, in lower case.

    An xarray has its own; the last three axes of another array are z, y and x, and
    axes before them have no name.

    Parameters
    ----------
    volume : array-like
        As it was given.
    ndim : int
        Number of its axes without colour.
    """
    if _is_xarray(volume):
        return tuple(str(name).lower() for name in volume.dims)[:ndim]
    return (*("",) * (ndim - len(_SPACE)), *_SPACE[-ndim:])


def as_axis(axis: Any, names: Sequence[str], name: str = "axis") -> int:
    """Return an axis, given by number or name, as a number.

    Parameters
    ----------
    axis : int or str
        The axis.
    names : sequence of str
        From `axis_names`.
    name : str
        Its name in the error message.

    Raises
    ------
    TypeError
        When it is neither a number nor a name.
    ValueError
        When no axis has this name.
    """
    if not isinstance(axis, str):
        return whole_number(axis, name)
    if axis.lower() in names and axis:
        return names.index(axis.lower())
    try:
        return index_key(axis, name)
    except ValueError:
        known = ", ".join(n for n in names if n)
        raise ValueError(
            f"{name}={axis!r}: give {known}, or a number from 0 to {len(names) - 1}."
        ) from None


def as_fixed(fixed: Mapping[Any, Any] | None, names: Sequence[str]) -> dict[int, int]:
    """Return {axis: index} of fixed axes, which are given by number or name.

    Raises
    ------
    TypeError, ValueError
        When it is no mapping, names no axis, or an index is no whole number.
    """
    if fixed is None:
        return {}
    if not hasattr(fixed, "items"):
        raise TypeError(f"fixed is {describe(fixed)}: give {{axis: index}}.")
    return {
        as_axis(axis, names, "fixed axis"): index_key(index, f"fixed[{axis!r}]")
        for axis, index in fixed.items()
    }


def _is_xarray(value: Any) -> bool:
    """Tell whether this is an array with named axes, without importing xarray."""
    return all(hasattr(value, name) for name in ("dims", "coords", "data", "dtype"))


def _check_unmasked(array: np.ma.MaskedArray[Any, Any], name: str) -> None:
    if np.ma.getmaskarray(array).any():
        raise ValueError(
            f"{name} has masked values: fill them first, by {name}.filled(value)."
        )


def _from_lists(values: Any, name: str) -> NDArray[Any]:
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(
            f"{name} has rows of different lengths: give an array of pixels."
        ) from None
    if array.dtype.kind in "OUSV" or not array.ndim:
        hint = ", for instance its .data" if hasattr(values, "data") else ""
        raise TypeError(f"{name} is {describe(values)}: give an array of pixels{hint}.")
    return array
