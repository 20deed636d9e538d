"""From arrays and prompts to the requests that the viewer makes, all of it checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.intensity import IntensityMapping
from napari_sam.images.planes import PlaneReader
from napari_sam.images.stack import Stack
from napari_sam.images.uint8 import data_limits, to_uint8
from napari_sam.prompts.prompt import Prompt
from napari_sam.requests.plane import PlaneRequest
from napari_sam.requests.stack import StackRequest
from napari_sam.requests.view import ImageView
from napari_sam.volume.results import PropagationOptions
from napari_sam.volume.stack_prompts import check_masks, check_prompts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.volume.results import VolumeResult


def plane_request(
    plane: ArrayLike,
    prompts: Sequence[Prompt],
    intensity: IntensityMapping | ArrayLike | None = None,
) -> PlaneRequest:
    """Ask for objects on one plane, as the viewer's widget asks for them.

    Parameters
    ----------
    plane : array-like
        (H, W) or (H, W, 3), any real dtype.
    prompts : sequence of Prompt
        One an object; they are numbered from 1.
    brightness : IntensityMapping or array-like, optional
        A rule for contrast limits, or the limits; `image.data_limits` of the
        plane when None.

    Raises
    ------
    ValueError
        When the plane or a prompt cannot be used.
    """
    pixels = np.asarray(plane)
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    rgb = pixels.ndim == 3 and pixels.shape[-1] in (3, 4)
    fits = pixels.size > 0 and (rgb or pixels.ndim == 2)
    corner = pixels[:1, :1] if fits else pixels
    to_uint8(corner)  # refuses what is no image plane
    if intensity is None:
        intensity = data_limits(pixels[..., :3] if rgb else pixels)
    view = _view(PlaneReader((pixels,), rgb), intensity)
    plane_index = (slice(None), slice(None))
    to_uint8(corner, view.contrast_limits(plane_index))  # refuses what are no limits
    shape = view.reader.plane_shape(plane_index)
    numbered = {n: prompt.within(shape) for n, prompt in enumerate(prompts, start=1)}
    return PlaneRequest(view, plane_index, numbered)


def stack_request(
    volume: Any,
    prompts: Mapping[int, Mapping[int, Prompt]],
    axis: int = 0,
    intensity: IntensityMapping | ArrayLike | None = None,
    *,
    rgb: bool | None = None,
    fixed: Mapping[int, int] | None = None,
    masks: Mapping[int, Mapping[int, ArrayLike]] | None = None,
    spacing: Sequence[float] | None = None,
    previous: VolumeResult | None = None,
    options: PropagationOptions | None = None,
) -> StackRequest:
    """Ask for objects through a stack, as the viewer's widget asks for them.

    Parameters
    ----------
    volume : array-like
        See `segment_volume`.
    prompts : mapping
        {object id: {slice: Prompt}}.
    axis : int
        The axis that is walked along.
    brightness : IntensityMapping or array-like, optional
        A rule for contrast limits, or the limits; `IntensityMapping.data` when None.
    rgb : bool, optional
        The last axis is colour; when None, of 3 or 4 as the fourth axis beside the
        fixed ones it is.
    fixed, masks, spacing, previous, options
        See `segment_volume`.

    Raises
    ------
    ValueError
        When the volume or a prompt cannot be used.
    """
    view, stack = view_of_stack(volume, axis, intensity, rgb, spacing, fixed)
    painted = check_masks(masks, stack)
    plan = check_prompts(prompts, stack, painted)
    options = options or PropagationOptions()
    return StackRequest(view, stack, plan, options, painted, previous)


def view_of_stack(
    volume: Any,
    axis: int,
    intensity: IntensityMapping | ArrayLike | None,
    rgb: bool | None,
    spacing: Sequence[float] | None = None,
    fixed: Mapping[int, int] | None = None,
) -> tuple[ImageView, Stack]:
    """A volume as slices and how bright they are; see `stack_request`."""
    data = volume if hasattr(volume, "shape") else np.asarray(volume)
    if rgb is None:
        free = len(data.shape) - len(fixed or {})
        rgb = free == 4 and data.shape[-1] in (3, 4)
    sizes = None if spacing is None else tuple(spacing)
    stack = Stack(data, axis, rgb=rgb, fixed=fixed or {}, spacing=sizes)
    if intensity is None:
        intensity = IntensityMapping.data()
    return _view(stack.reader, intensity), stack


def _view(reader: PlaneReader, intensity: IntensityMapping | ArrayLike) -> ImageView:
    if isinstance(intensity, IntensityMapping):
        return ImageView(reader, intensity)
    contrast_limits: Any = intensity  # checked where the planes are mapped
    return ImageView(reader, IntensityMapping.display(), contrast_limits)


def by_object(prompts: Mapping[int, Any]) -> dict[int, Mapping[int, Prompt]]:
    """Bring both forms of volume prompts to {object id: {slice: Prompt}}."""
    for key, value in prompts.items():
        if not isinstance(value, Prompt | Mapping):
            raise ValueError(
                f"The prompt of {key} is a {type(value).__name__}: give {{slice: "
                "Prompt} or {object: {slice: Prompt}}."
            )
    single = {k: v for k, v in prompts.items() if isinstance(v, Prompt)}
    if not single:
        return dict(prompts)
    if len(single) != len(prompts):
        raise ValueError(
            "The prompts mix {slice: Prompt} and {object: {slice: Prompt}}: use one."
        )
    return {1: single}


def make_prompts(
    points: ArrayLike | None, labels: ArrayLike | None, boxes: ArrayLike | None
) -> list[Prompt]:
    """Sort points, labels and boxes into one prompt an object; see `segment`."""
    clicks = None if points is None or not np.size(points) else _floats(points)
    signs = None if labels is None else np.asarray(labels)
    if signs is not None and clicks is None:
        if signs.size:
            raise ValueError("Point labels are given without points: give both.")
        signs = None
    frames: list[Any] = []
    if boxes is not None and np.size(boxes):
        frames = list(np.atleast_2d(_floats(boxes)))
    elif clicks is None:
        raise ValueError("There are no prompts: give points, boxes or both.")
    if clicks is None:
        return [Prompt(box=box) for box in frames]
    if clicks.ndim == 2:
        one_each = signs is None and not frames
        clicks = clicks[:, None] if one_each else clicks[None]
    signs = None if signs is None else np.atleast_2d(signs)
    frames = frames or [None] * len(clicks)
    if len(frames) != len(clicks) or (signs is not None and len(signs) != len(clicks)):
        raise ValueError(
            f"There are points for {len(clicks)} objects and {len(frames)} boxes"
            f"{'' if signs is None else f' and {len(signs)} rows of labels'}: "
            "give points as (objects, points, 2) with one box and one row of labels "
            "an object."
        )
    rows: Sequence[Any] = [None] * len(clicks) if signs is None else list(signs)
    return [
        Prompt(points=p, labels=s, box=b)
        for p, s, b in zip(clicks, rows, frames, strict=True)
    ]


def _floats(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=float)
