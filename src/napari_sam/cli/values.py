"""What the words of the command line mean: thresholds, brightness, prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.automatic.candidates import Thresholds
from napari_sam.images.intensity import IntensityMapping
from napari_sam.images.uint8 import to_uint8
from napari_sam.prompts.files import read_prompts
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    import argparse


def thresholds(options: argparse.Namespace) -> Thresholds:
    """Which masks `everything` takes for objects."""
    return Thresholds(
        options.pred_iou_thresh,
        options.stability_score_thresh,
        options.quality_thresh,
        options.box_nms_thresh,
        options.min_size,
        options.max_size,
    )


def intensity(
    options: argparse.Namespace,
) -> IntensityMapping | tuple[float, float] | None:
    """Which values become black and white; None for what the data suggest."""
    if options.window is not None:
        centre, width = _numbers(options.window, 2)
        mapping = IntensityMapping.window(centre, width)
        to_uint8([[0]], (mapping.low, mapping.high))  # refuses what is not finite
        return mapping
    if options.full_range:
        return IntensityMapping.full()
    if options.contrast is None:
        return None
    low, high = _numbers(options.contrast, 2)
    to_uint8([[0]], (low, high))
    return low, high


def index(text: str) -> dict[str, int]:
    """{axis: number} of words like T=0,C=1."""
    indices = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        if not (name and number.isdecimal()):
            raise ValueError(f"--index {text!r} is not of the form T=0,C=1.")
        indices[name.strip().upper()] = int(number)
    return indices


def plane_prompts(
    options: argparse.Namespace, plane_shape: tuple[int, int]
) -> list[Prompt]:
    """One prompt an object: points, then boxes, then those of the files."""
    prompts = [Prompt(points=[_numbers(text, 2)]) for text in options.point]
    prompts += [Prompt(box=_numbers(text, 4)) for text in options.box]
    listed = read_prompts(options.prompts, ndim=2, plane_shape=plane_shape)
    prompts += [prompt for slices in listed.values() for prompt in slices.values()]
    if not prompts:
        raise ValueError("There are no prompts: give --point, --box or --prompts.")
    return prompts


def volume_prompts(
    options: argparse.Namespace, shape: tuple[int, ...]
) -> dict[int, dict[int, Prompt]]:
    """{object: {slice: Prompt}}: those of the files, then points, then boxes.

    Parameters
    ----------
    options : argparse.Namespace
        What was parsed.
    shape : tuple of int
        Of the volume, without colour.
    """
    rows, cols = (size for i, size in enumerate(shape) if i != options.axis % 3)
    prompts = read_prompts(options.prompts, options.axis, plane_shape=(rows, cols))
    clicks = [(text, 2) for text in options.point]
    for text, count in (*clicks, *((text, 4) for text in options.box)):
        number, colon, rest = text.partition(":")
        if not colon:
            raise ValueError(f"{text!r} names no slice: write 12:{text} for slice 12.")
        numbers = _numbers(rest, count)
        prompt = Prompt(points=[numbers]) if count == 2 else Prompt(box=numbers)
        prompts[max(prompts, default=0) + 1] = {_whole(number): prompt}
    return prompts


def _numbers(text: str, count: int) -> list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count:
        raise ValueError(f"{text!r} is not {count} numbers separated by commas.")
    return values


def _whole(text: str) -> int:
    if not text.strip().isdecimal():
        raise ValueError(f"{text!r} is not a slice number.")
    return int(text)
