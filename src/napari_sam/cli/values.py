"""Parsing of command-line values: contrast, indices and prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.automatic.search import region_from_prompt
from napari_sam.exchange.prompts import read_prompts
from napari_sam.images.intensity import IntensityMapping
from napari_sam.images.uint8 import to_uint8
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    import argparse

    import numpy as np
    from numpy.typing import NDArray

    from napari_sam.prompts.prompt import ObjectPrompts
    from napari_sam.prompts.selection import ImageSelection


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


def read_shape(text: str | None) -> tuple[int, ...] | None:
    """Read --shape, H,W or Z,H,W; None without it."""
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) not in (2, 3) or not all(part.strip().isdecimal() for part in parts):
        raise ValueError(f"--shape {text!r} is not of the form 512,512.")
    return tuple(int(part) for part in parts)


def plane_prompts(
    options: argparse.Namespace, selection: ImageSelection
) -> tuple[list[Prompt], tuple[str, ...]]:
    """Read the prompts of `segment`, one for each object: points, boxes, files.

    Returns
    -------
    tuple
        The prompts, and sentences on what was ignored in files.
    """
    prompts = [Prompt(points=[_numbers(text, 2)]) for text in options.point]
    prompts += [Prompt(box=_numbers(text, 4)) for text in options.box]
    files = read_prompts(options.prompts, selection, options.image)
    prompts += [
        prompt for slices in files.objects.values() for prompt in slices.values()
    ]
    if not prompts:
        raise ValueError("There are no prompts: give --point, --box or --prompts.")
    return prompts, files.ignored


def volume_prompts(
    options: argparse.Namespace, selection: ImageSelection
) -> tuple[ObjectPrompts, tuple[str, ...]]:
    """Read the prompts of `volume`: files, points, boxes.

    Parameters
    ----------
    options : argparse.Namespace
        The parsed command line.
    selection : ImageSelection
        The stack, with its axis of propagation.

    Returns
    -------
    tuple
        {object id: {slice: Prompt}}, and sentences on what was ignored in files.
    """
    files = read_prompts(options.prompts, selection, options.image)
    prompts = files.objects
    points = [(text, 2) for text in options.point]
    for text, count in (*points, *((text, 4) for text in options.box)):
        slice_text, colon, rest = text.partition(":")
        if not colon:
            raise ValueError(f"{text!r} names no slice: write 12:{text} for slice 12.")
        numbers = _numbers(rest, count)
        prompt = Prompt(points=[numbers]) if count == 2 else Prompt(box=numbers)
        prompts[max(prompts, default=0) + 1] = {_slice_index(slice_text): prompt}
    return prompts, files.ignored


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
