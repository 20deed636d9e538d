"""Parsing of command-line values: contrast, indices and prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.automatic.search import region_from_prompt
from napari_sam.images.intensity import IntensityMapping
from napari_sam.images.uint8 import to_uint8
from napari_sam.prompts.files import read_prompts
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    import argparse

    import numpy as np
    from numpy.typing import NDArray

    from napari_sam.images.reading.image_file import ImageFile


def read_intensity(
    options: argparse.Namespace,
) -> IntensityMapping | tuple[float, float] | None:
    """Read --contrast, --window or --full-range; None without any of them."""
    if options.window is not None:
        centre, width = _numbers(options.window, 2)
        mapping = IntensityMapping.window(centre, width)
        to_uint8([[0]], (mapping.low, mapping.high))  # raises if not finite
        return mapping
    if options.full_range:
        return IntensityMapping.full()
    if options.contrast is None:
        return None
    low, high = _numbers(options.contrast, 2)
    to_uint8([[0]], (low, high))  # raises if not increasing
    return low, high


def read_region(
    text: str | None, plane_shape: tuple[int, ...]
) -> NDArray[np.bool_] | None:
    """Read --region, R0,C0,R1,C1, as a boolean plane; None without it."""
    if text is None:
        return None
    height, width = plane_shape
    prompt = Prompt(box=_numbers(text, 4)).within((height, width))
    return region_from_prompt(prompt, (height, width))


def read_index(text: str) -> dict[str, int]:
    """Read --index, such as T=0,C=1, as {axis: index}."""
    indices = {}
    for part in filter(None, text.split(",")):
        axis, _, number = part.partition("=")
        if not (axis and number.isdecimal()):
            raise ValueError(f"--index {text!r} is not of the form T=0,C=1.")
        indices[axis.strip().upper()] = int(number)
    return indices


def plane_prompts(options: argparse.Namespace, image: ImageFile) -> list[Prompt]:
    """Read the prompts of `segment`, one for each object: points, boxes, files."""
    height, width = image.shape
    prompts = [Prompt(points=[_numbers(text, 2)]) for text in options.point]
    prompts += [Prompt(box=_numbers(text, 4)) for text in options.box]
    _check_tables(options.prompts, image, image.axes[:2])
    from_files = read_prompts(options.prompts, ndim=2, plane_shape=(height, width))
    prompts += [prompt for slices in from_files.values() for prompt in slices.values()]
    if not prompts:
        raise ValueError("There are no prompts: give --point, --box or --prompts.")
    return prompts


def volume_prompts(
    options: argparse.Namespace, axis: int, image: ImageFile
) -> dict[int, dict[int, Prompt]]:
    """Read the prompts of `volume`: files, points, boxes.

    Parameters
    ----------
    options : argparse.Namespace
        The parsed command line.
    axis : int
        Axis of propagation.
    image : ImageFile
        The stack.

    Returns
    -------
    dict
        {object id: {slice: Prompt}}.
    """
    rows, cols = (size for i, size in enumerate(image.shape) if i != axis)
    names = image.axes[:3]
    _check_tables(options.prompts, image, names.replace(names[axis], ""))
    # The columns of a table are in the order of the file.
    column = image.order.index(names[axis])
    prompts = read_prompts(options.prompts, column, plane_shape=(rows, cols))
    points = [(text, 2) for text in options.point]
    for text, count in (*points, *((text, 4) for text in options.box)):
        slice_text, colon, rest = text.partition(":")
        if not colon:
            raise ValueError(f"{text!r} names no slice: write 12:{text} for slice 12.")
        numbers = _numbers(rest, count)
        prompt = Prompt(points=[numbers]) if count == 2 else Prompt(box=numbers)
        prompts[max(prompts, default=0) + 1] = {_slice_index(slice_text): prompt}
    return prompts


def _check_tables(paths: list[str], image: ImageFile, plane: str) -> None:
    """Refuse tables of napari where the file has the columns before the rows."""
    rows, cols = (image.order.index(name) for name in plane)
    for path in paths:
        if rows > cols and path.lower().endswith(".csv"):
            raise ValueError(
                f"The axes of the image are {image.order}, so that rows and columns "
                f"of {path} are not those of the planes, {plane}: give the prompts "
                "with --box and --point, or as JSON."
            )


def _numbers(text: str, count: int) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count:
        raise ValueError(f"{text!r} is not {count} numbers separated by commas.")
    return values


def _slice_index(text: str) -> int:
    if not text.strip().isdecimal():
        raise ValueError(f"{text!r} is not a slice number.")
    return int(text)
