"""Requests built from arrays, with all input checked before a model is loaded."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.linking import Linking
from napari_sam.automatic.search import SearchOptions, check_region
from napari_sam.checks.arrays import as_axis, as_fixed, as_image, axis_names
from napari_sam.checks.values import check_type, flag, index_keys, or_default
from napari_sam.images.axes import check_spacing
from napari_sam.images.intensity import IntensityMapping
from napari_sam.images.planes import PlaneReader
from napari_sam.images.reading.read import open_zarr
from napari_sam.images.stack import Stack
from napari_sam.images.uint8 import check_limits, data_limits, to_uint8
from napari_sam.masks.cleanup import CleanUp
from napari_sam.prediction.zoom.options import check_zoom
from napari_sam.prompts.coordinates import as_boxes, as_labels, as_points
from napari_sam.prompts.prompt import Prompt
from napari_sam.requests.automatic_plane import AutomaticPlaneRequest
from napari_sam.requests.automatic_stack import AutomaticStackRequest
from napari_sam.requests.plane import PlaneRequest
from napari_sam.requests.stack import StackRequest
from napari_sam.requests.view import ImageView
from napari_sam.volume.results import PropagationOptions, VolumeResult
from napari_sam.volume.stack_prompts import check_masks, check_prompts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_sam.images.axes import PlaneIndex
    from napari_sam.prediction.zoom.options import Zoom

_FULL_PLANE: PlaneIndex = (slice(None), slice(None))


# -- planes ----------------------------------------------------------------------------


def plane_request(
    plane: ArrayLike,
    prompts: Sequence[Prompt],
    intensity: IntensityMapping | ArrayLike | None = None,
    zoom: Zoom = "auto",
) -> PlaneRequest:
    """Build a request for objects on one plane.

    Parameters
    ----------
    plane : array-like, or sequence of them
        (H, W) or (H, W, 3), any real dtype; or the levels of a pyramid.
    prompts : sequence of Prompt
        One for each object; objects are numbered from 1.
    intensity : IntensityMapping or array-like, optional
        A rule for the contrast limits, or the limits themselves; `data_limits` of the
        plane when None.
    zoom : "auto", "off" or float
        See `segment`.

    Raises
    ------
    ValueError
        When the plane, a prompt, the contrast limits or the zoom cannot be used.
    """
    zoom = check_zoom(zoom)
    view = view_of_plane(plane, intensity)
    plane_shape = view.reader.plane_shape(_FULL_PLANE)
    numbered = {i: prompt.within(plane_shape) for i, prompt in enumerate(prompts, 1)}
    return PlaneRequest(view, _FULL_PLANE, numbered, zoom=zoom)


def automatic_plane_request(
    plane: ArrayLike,
    intensity: IntensityMapping | ArrayLike | None = None,
    *,
    options: SearchOptions | None = None,
    thresholds: Thresholds | None = None,
    region: ArrayLike | None = None,
    cleanup: CleanUp | None = None,
) -> AutomaticPlaneRequest:
    """Build a request for the automatic segmentation of a plane.

    Parameters
    ----------
    plane, intensity
        See `plane_request`.
    options, thresholds, region, cleanup
        See `AutomaticPlaneRequest`.

    Raises
    ------
    ValueError
        When the plane, the region or the contrast limits cannot be used.
    """
    view = view_of_plane(plane, intensity)
    plane_shape = view.reader.plane_shape(_FULL_PLANE)
    return AutomaticPlaneRequest(
        view,
        _FULL_PLANE,
        or_default(options, "options", SearchOptions),
        or_default(thresholds, "thresholds", Thresholds),
        None if region is None else check_region(region, plane_shape),
        or_default(cleanup, "cleanup", CleanUp),
    )


def with_zoom(
    options: SearchOptions | None, zoom: Zoom, object_diameter: float | None
) -> SearchOptions:
    """Return options of a search with a zoom and a diameter, where they are given."""
    found = or_default(options, "options", SearchOptions)
    zoom = check_zoom(zoom)
    if zoom != "auto":
        found = replace(found, zoom=zoom)
    if object_diameter is not None:
        found = replace(found, object_diameter=object_diameter)
    return found


def view_of_plane(
    plane: Any, intensity: IntensityMapping | ArrayLike | None
) -> ImageView:
    """Check a plane, or the levels of a pyramid, and the contrast limits.

    Arrays that are not in memory, such as dask and zarr, are not read here unless the
    limits need it.
    """
    levels = _levels(open_zarr(plane))
    pixels = levels[0]
    ndim = len(pixels.shape)
    if ndim == 3 and pixels.shape[-1] == 1 and isinstance(pixels, np.ndarray):
        levels = tuple(level[..., 0] for level in levels)
        pixels, ndim = levels[0], 2
    rgb = ndim == 3 and pixels.shape[-1] in (3, 4)
    is_plane = min(pixels.shape, default=0) > 0 and (rgb or ndim == 2)
    corner = pixels[:1, :1] if is_plane else pixels
    to_uint8(corner)  # raises for anything but a plane of real numbers
    if intensity is None and len(levels) == 1 and isinstance(pixels, np.ndarray):
        intensity = data_limits(pixels[..., :3] if rgb else pixels)
    elif intensity is None:
        intensity = IntensityMapping.data()
    view = _view(PlaneReader(levels, rgb), intensity)
    to_uint8(corner, view.contrast_limits(_FULL_PLANE))  # raises for invalid limits
    return view


def _levels(plane: Any) -> tuple[Any, ...]:
    """Return the levels of a pyramid, or the one array of a plane."""
    # The data of a multiscale layer have a shape as well.
    if isinstance(plane, Sequence) and all(hasattr(p, "shape") for p in plane):
        shapes = [tuple(level.shape) for level in plane]
        if plane and len(shapes[0]) > 1:
            if any(a[:2] <= b[:2] for a, b in itertools.pairwise(shapes)):
                raise ValueError(
                    f"The levels have the shapes {shapes}: give those of a pyramid, "
                    "the largest first, or one array."
                )
            return tuple(as_image(level, "plane") for level in plane)
    return (as_image(plane, "plane"),)


# -- stacks ----------------------------------------------------------------------------


def stack_request(
    volume: Any,
    prompts: Mapping[int, Mapping[int, Prompt]],
    axis: int | str = 0,
    intensity: IntensityMapping | ArrayLike | None = None,
    *,
    rgb: bool | None = None,
    fixed: Mapping[int | str, int] | None = None,
    masks: Mapping[int, Mapping[int, ArrayLike]] | None = None,
    spacing: float | Sequence[float] | None = None,
    previous: VolumeResult | None = None,
    options: PropagationOptions | None = None,
    zoom: Zoom = "auto",
) -> StackRequest:
    """Build a request for objects through a stack.

    Parameters
    ----------
    volume : array-like
        See `segment_volume`.
    prompts : mapping
        {object id: {slice: Prompt}}.
    axis : int
        Axis of propagation.
    intensity : IntensityMapping or array-like, optional
        A rule for the contrast limits, or the limits themselves;
        `IntensityMapping.data()` when None.
    rgb : bool, optional
        Whether the last axis is colour. When None, it is if the volume has a fourth
        axis, besides the fixed ones, of length 3 or 4.
    fixed, masks, spacing, previous, options, zoom
        See `segment_volume`.

    Raises
    ------
    ValueError
        When the volume, a prompt, a mask or the zoom cannot be used.
    """
    zoom = check_zoom(zoom)
    if previous is not None:
        check_type(previous, "previous", VolumeResult, "an earlier VolumeResult")
    view, stack = _view_of_stack(volume, axis, intensity, rgb, spacing, fixed)
    checked_masks = check_masks(masks, stack)
    return StackRequest(
        view,
        stack,
        check_prompts(prompts, stack, checked_masks),
        or_default(options, "options", PropagationOptions),
        checked_masks,
        previous,
        zoom=zoom,
    )


def automatic_stack_request(
    volume: Any,
    axis: int | str = 0,
    intensity: IntensityMapping | ArrayLike | None = None,
    *,
    rgb: bool | None = None,
    spacing: float | Sequence[float] | None = None,
    options: SearchOptions | None = None,
    thresholds: Thresholds | None = None,
    region: ArrayLike | None = None,
    linking: Linking | None = None,
    cleanup: CleanUp | None = None,
) -> AutomaticStackRequest:
    """Build a request for the automatic segmentation of a stack.

    Its result keeps the selected candidates only, so that large stacks need little
    memory.

    Parameters
    ----------
    volume, axis, intensity, rgb, spacing
        See `stack_request`.
    options, thresholds, region, linking, cleanup
        See `AutomaticStackRequest`.

    Raises
    ------
    ValueError
        When the volume, the axis, the region or the contrast limits cannot be used.
    """
    view, stack = _view_of_stack(volume, axis, intensity, rgb, spacing)
    return AutomaticStackRequest(
        view,
        stack,
        or_default(options, "options", SearchOptions),
        or_default(thresholds, "thresholds", Thresholds),
        None if region is None else check_region(region, stack.plane_shape),
        linking=or_default(linking, "linking", Linking),
        cleanup=or_default(cleanup, "cleanup", CleanUp),
        keep_candidates=False,
    )


def _view_of_stack(
    volume: Any,
    axis: int | str,
    intensity: IntensityMapping | ArrayLike | None,
    rgb: bool | None,
    spacing: float | Sequence[float] | None = None,
    fixed: Mapping[int | str, int] | None = None,
) -> tuple[ImageView, Stack]:
    volume = open_zarr(volume)
    data = as_image(volume, "volume")
    if fixed is not None:
        check_type(fixed, "fixed", Mapping, "{axis: index}")
    if rgb is None:
        free_axes = len(data.shape) - len(fixed or {})
        rgb = free_axes == 4 and data.shape[-1] in (3, 4)
    ndim = len(data.shape) - flag(rgb, "rgb")
    names = axis_names(volume, ndim)
    voxel = None if spacing is None else tuple(check_spacing(spacing, ndim).tolist())
    stack = Stack(
        data,
        as_axis(axis, names),
        rgb=rgb,
        fixed=as_fixed(fixed, names),
        spacing=voxel,
    )
    if intensity is None:
        intensity = IntensityMapping.data()
    return _view(stack.reader, intensity), stack


def _view(reader: PlaneReader, intensity: IntensityMapping | ArrayLike) -> ImageView:
    if isinstance(intensity, IntensityMapping):
        return ImageView(reader, intensity)
    shape = (1, 1, 3) if reader.rgb else (1, 1)
    limits = check_limits(intensity, shape).tolist()
    contrast_limits: Any = tuple(
        tuple(pair) if isinstance(pair, list) else pair for pair in limits
    )
    return ImageView(reader, IntensityMapping.display(), contrast_limits)


# -- prompts ---------------------------------------------------------------------------


def by_object(prompts: Mapping[Any, Any]) -> dict[int, Mapping[Any, Prompt]]:
    """Convert both forms of volume prompts to {object id: {slice: Prompt}}.

    Raises
    ------
    TypeError, ValueError
        When they have another form, or the forms are mixed.
    """
    what = "{slice: Prompt} or {object id: {slice: Prompt}}"
    check_type(prompts, "prompts", Mapping, what)
    for key, value in prompts.items():
        if not isinstance(value, Prompt | Mapping):
            raise ValueError(
                f"The prompt of {key} is a {type(value).__name__}: give {what}."
            )
    of_one_object = {k: v for k, v in prompts.items() if isinstance(v, Prompt)}
    if not of_one_object:
        return index_keys(prompts, "prompts", "object id", what)
    if len(of_one_object) != len(prompts):
        raise ValueError(
            "The prompts mix {slice: Prompt} and {object: {slice: Prompt}}: use one."
        )
    return {1: of_one_object}


def make_prompts(
    points: ArrayLike | None, labels: ArrayLike | None, boxes: Any
) -> list[Prompt]:
    """Group points, labels and boxes into one prompt per object; see `segment`.

    Raises
    ------
    TypeError, ValueError
        When there are no prompts, their numbers do not match, or they are no numbers.
    """
    box_list: list[Any] = [] if boxes is None else as_boxes(boxes)
    coordinates = np.empty(0) if points is None else as_points(points)
    if not coordinates.size:
        if labels is not None and as_labels(labels).size:
            raise ValueError("Point labels are given without points: give both.")
        if not box_list:
            raise ValueError("There are no prompts: give points, boxes or both.")
        return [Prompt(box=box) for box in box_list]
    is_one_each = labels is None and not box_list
    groups = _group_points(coordinates, is_one_each)
    box_list = box_list or [None] * len(groups)
    label_list: list[Any] = [None] * len(groups)
    if labels is not None:
        label_list = list(np.atleast_2d(as_labels(labels)))
    if not len(groups) == len(box_list) == len(label_list):
        rows = "" if labels is None else f" and {len(label_list)} rows of labels"
        raise ValueError(
            f"There are points for {len(groups)} objects and {len(box_list)} "
            f"boxes{rows}: give points as (objects, points, 2) with one box and one "
            "row of labels an object."
        )
    return [
        Prompt(points=group, labels=row, box=box)
        for group, row, box in zip(groups, label_list, box_list, strict=True)
    ]


def _group_points(
    points: NDArray[np.float64], is_one_each: bool
) -> NDArray[np.float64]:
    """Group (N, 2) points into one object each, or all into one; keep (K, N, 2)."""
    if points.ndim != 2:
        return points
    return points[:, None] if is_one_each else points[None]
