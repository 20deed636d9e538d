"""Arrays in, label arrays out: the whole job in one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.anchors import check_masks, check_prompts
from napari_sam.automatic import SearchOptions, check_region
from napari_sam.automatic_request import EverythingRequest
from napari_sam.cache import EmbeddingCache
from napari_sam.candidates import Thresholds
from napari_sam.image import data_limits, to_uint8
from napari_sam.intensity import IntensityMapping
from napari_sam.linking import Linking, link_planes
from napari_sam.loading import load_model
from napari_sam.masks import labels_from_patches
from napari_sam.models import DEFAULT_MODEL
from napari_sam.planes import PlaneReader
from napari_sam.predictor import Predictor
from napari_sam.prompts import Prompt
from napari_sam.requests import SliceRequest, StackRequest, View, run_to_end
from napari_sam.stack import Stack
from napari_sam.volume import PropagationOptions, VolumeResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.automatic import SearchStep
    from napari_sam.candidates import PlaneObjects
    from napari_sam.predictor import Prediction


def segment(
    plane: ArrayLike,
    points: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    boxes: ArrayLike | None = None,
    model: str | Path | Predictor = DEFAULT_MODEL,
    *,
    contrast_limits: ArrayLike | None = None,
) -> NDArray[np.int32]:
    """Segment objects on one plane.

    Parameters
    ----------
    plane : array-like
        (H, W) or (H, W, 3), any real dtype.
    points : array-like, optional
        (row, col) of clicks. (N, 2) without `labels`: every point is an object
        of its own. (N, 2) with `labels`, or with one box: all points describe
        one object. (K, N, 2): N points for each of K objects.
    labels : array-like, optional
        (N,) or (K, N): 1 for a point on the object, 0 for the background.
    boxes : array-like, optional
        (K, 4) as (row_min, col_min, row_max, col_max), an object each; (4,) is
        one object. Together with points of K objects each box gets its points.
    model : str, Path or Predictor
        See `load_model`; pass a loaded predictor to segment many planes.
    contrast_limits : tuple of float or array-like, optional
        Values shown to the model as black and white, see `to_uint8`; from the
        data when None.

    Returns
    -------
    ndarray
        (H, W) int32, object i painted as i + 1; where objects overlap, the
        model's larger logit decides.

    Raises
    ------
    ValueError
        When image or prompts cannot be used; the sentence names which.
    """
    prompts = make_prompts(points, labels, boxes)
    # Before a model is loaded, perhaps downloaded, for nothing.
    request = plane_request(plane, prompts, contrast_limits)
    result = run_to_end(request.run(as_predictor(model), EmbeddingCache()))
    return paint(result.predictions, request.view.reader.plane_shape(request.at))


def segment_everything(
    plane: ArrayLike,
    model: str | Path | Predictor = DEFAULT_MODEL,
    *,
    thresholds: Thresholds | None = None,
    options: SearchOptions | None = None,
    region: ArrayLike | None = None,
    contrast_limits: ArrayLike | None = None,
) -> NDArray[np.int32]:
    """Segment everything in a plane, without prompts.

    Parameters
    ----------
    plane, model, contrast_limits
        See `segment`.
    thresholds : Thresholds, optional
        Which masks are objects.
    options : SearchOptions, optional
        How they are searched: models that know points are asked by a grid of
        them, models that know boxes only by a search over boxes.
    region : array-like, optional
        (H, W) bool: where objects are searched; everywhere when None.

    Returns
    -------
    ndarray
        (H, W) int32, the most trusted object painted as 1, 0 is background.

    Raises
    ------
    ValueError
        When image or region cannot be used.
    """
    *_, last = everything(
        plane, model, options=options, region=region, contrast_limits=contrast_limits
    )
    return last.candidates.objects(thresholds or Thresholds()).labels


def everything(
    plane: ArrayLike,
    model: str | Path | Predictor = DEFAULT_MODEL,
    *,
    options: SearchOptions | None = None,
    region: ArrayLike | None = None,
    contrast_limits: IntensityMapping | ArrayLike | None = None,
    cache: EmbeddingCache | None = None,
) -> Iterator[SearchStep]:
    """Search masks of everything in a plane, step by step.

    Parameters
    ----------
    plane, model, options, region, contrast_limits
        See `segment_everything`.
    cache : EmbeddingCache, optional
        Keeps planes encoded between calls.

    Yields
    ------
    SearchStep
        What was found so far. `step.candidates.objects(thresholds)` gives labels
        and scores by any thresholds, without asking the model again. To cancel,
        stop iterating.

    Raises
    ------
    ValueError
        When image or region cannot be used.
    """
    # Before a model is loaded, perhaps downloaded, for nothing.
    asked = plane_request(plane, (), contrast_limits)
    shape = asked.view.reader.plane_shape(asked.at)
    inside = None if region is None else check_region(region, shape)
    request = EverythingRequest(
        asked.view, asked.at, options or SearchOptions(), region=inside
    )
    known = EmbeddingCache() if cache is None else cache
    yield from request.steps(as_predictor(model), known)


def segment_everything_volume(
    volume: Any,
    model: str | Path | Predictor = DEFAULT_MODEL,
    axis: int = 0,
    *,
    thresholds: Thresholds | None = None,
    options: SearchOptions | None = None,
    linking: Linking | None = None,
    contrast_limits: ArrayLike | None = None,
) -> NDArray[np.int32]:
    """Segment everything in a stack: plane by plane, then linked into 3D objects.

    Parameters
    ----------
    volume, model, axis, contrast_limits
        See `segment_volume`.
    thresholds, options
        See `segment_everything`.
    linking : Linking, optional
        How objects of the planes become one through the stack.

    Returns
    -------
    ndarray
        Of the volume's shape without colour, int32, 0 is background.

    Raises
    ------
    ValueError
        When volume or axis cannot be used.
    """
    planes = everything_volume(
        volume,
        model,
        axis,
        thresholds=thresholds,
        options=options,
        contrast_limits=contrast_limits,
    )
    return link_planes(list(planes), linking, axis)


def everything_volume(
    volume: Any,
    model: str | Path | Predictor = DEFAULT_MODEL,
    axis: int = 0,
    *,
    thresholds: Thresholds | None = None,
    options: SearchOptions | None = None,
    contrast_limits: IntensityMapping | ArrayLike | None = None,
    rgb: bool | None = None,
    cache: EmbeddingCache | None = None,
) -> Iterator[PlaneObjects]:
    """Find the objects of each plane of a stack, one plane after the other.

    Parameters
    ----------
    volume, model, axis, thresholds, options, contrast_limits
        See `segment_everything_volume`; the limits may be a rule, too.
    rgb : bool, optional
        See `stack_request`.
    cache : EmbeddingCache, optional
        Keeps planes encoded between calls.

    Yields
    ------
    PlaneObjects
        Of the planes from the first to the last; `link_planes` joins them, also
        those that are there when the iteration was stopped.

    Raises
    ------
    ValueError
        When volume or axis cannot be used.
    """
    view, stack = _view_of_stack(volume, axis, contrast_limits, rgb)
    predictor, wanted = as_predictor(model), thresholds or Thresholds()
    known = EmbeddingCache() if cache is None else cache
    for index in range(len(stack)):
        request = EverythingRequest(view, stack.at(index), options or SearchOptions())
        *_, last = request.steps(predictor, known)
        yield last.candidates.objects(wanted)


def segment_volume(
    volume: Any,
    prompts: Mapping[int, Prompt] | Mapping[int, Mapping[int, Prompt]],
    model: str | Path | Predictor = DEFAULT_MODEL,
    axis: int = 0,
    *,
    fixed: Mapping[int, int] | None = None,
    masks: Mapping[int, Mapping[int, ArrayLike]] | None = None,
    spacing: Sequence[float] | None = None,
    previous: VolumeResult | None = None,
    contrast_limits: ArrayLike | None = None,
    options: PropagationOptions | None = None,
    cache: EmbeddingCache | None = None,
) -> VolumeResult:
    """Segment objects through a stack, from prompts on some of its slices.

    Parameters
    ----------
    volume : array-like
        Three axes of any real dtype besides those of `fixed`, and perhaps one
        more with colour last; numpy, dask or zarr, read one plane at a time.
    prompts : mapping
        {slice: Prompt} for one object, or {object id: {slice: Prompt}}. Slices
        and prompt coordinates are those of the planes across `axis`.
    model : str, Path or Predictor
        See `load_model`.
    axis : int
        The axis that is walked along, also time.
    fixed : mapping, optional
        {axis: index} of the axes of a larger image (time, channel) that stay where
        they are.
    masks : mapping, optional
        {object id: {slice: (H, W) bool}}, painted or corrected by hand: they are
        taken as they are, and the object is followed from them.
    spacing : sequence of float, optional
        Physical size of a voxel along each axis, without colour; all alike when
        None.
    previous : VolumeResult, optional
        An earlier result that is corrected, or was broken off: slices between
        anchors that are the same as then are taken from it.
    contrast_limits : tuple of float, optional
        Of the whole volume; a sample of it decides when None.
    options : PropagationOptions, optional
        How objects are followed.
    cache : EmbeddingCache, optional
        Keeps planes encoded between calls.

    Returns
    -------
    VolumeResult
        Labels of the volume's shape, and score, confidence and status for each
        object and slice.

    Raises
    ------
    ValueError
        When volume or prompts cannot be used; the sentence names which.
    """
    request = stack_request(
        volume,
        by_object(prompts),
        axis,
        contrast_limits,
        fixed=fixed,
        masks=masks,
        spacing=spacing,
        previous=previous,
        options=options,
    )
    known = EmbeddingCache() if cache is None else cache
    work = request.propagation()
    return work.finish(work.run(as_predictor(model), known, request.limits))


def plane_request(
    plane: ArrayLike,
    prompts: Sequence[Prompt],
    brightness: IntensityMapping | ArrayLike | None = None,
) -> SliceRequest:
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
    if brightness is None:
        brightness = data_limits(pixels[..., :3] if rgb else pixels)
    view = _view(PlaneReader((pixels,), rgb), brightness)
    at = (slice(None), slice(None))
    to_uint8(corner, view.limits(at))  # refuses what are no limits
    shape = view.reader.plane_shape(at)
    numbered = {n: prompt.within(shape) for n, prompt in enumerate(prompts, start=1)}
    return SliceRequest(view, at, numbered)


def stack_request(
    volume: Any,
    prompts: Mapping[int, Mapping[int, Prompt]],
    axis: int = 0,
    brightness: IntensityMapping | ArrayLike | None = None,
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
    view, stack = _view_of_stack(volume, axis, brightness, rgb, spacing, fixed)
    painted = check_masks(masks, stack)
    plan = check_prompts(prompts, stack, painted)
    options = options or PropagationOptions()
    return StackRequest(view, stack, plan, options, painted, previous)


def _view_of_stack(
    volume: Any,
    axis: int,
    brightness: IntensityMapping | ArrayLike | None,
    rgb: bool | None,
    spacing: Sequence[float] | None = None,
    fixed: Mapping[int, int] | None = None,
) -> tuple[View, Stack]:
    data = volume if hasattr(volume, "shape") else np.asarray(volume)
    if rgb is None:
        free = len(data.shape) - len(fixed or {})
        rgb = free == 4 and data.shape[-1] in (3, 4)
    sizes = None if spacing is None else tuple(spacing)
    stack = Stack(data, axis, rgb=rgb, fixed=fixed or {}, spacing=sizes)
    if brightness is None:
        brightness = IntensityMapping.data()
    return _view(stack.reader, brightness), stack


def _view(reader: PlaneReader, brightness: IntensityMapping | ArrayLike) -> View:
    if isinstance(brightness, IntensityMapping):
        return View(reader, brightness)
    limits: Any = brightness  # checked where the planes are mapped
    return View(reader, IntensityMapping.display(), limits)


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


def paint(answers: Sequence[Prediction], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Label image of several predictions on one plane of this shape, (H, W) int32."""
    return labels_from_patches([answer.patch for answer in answers], shape)


def as_predictor(model: str | Path | Predictor) -> Predictor:
    """Load a model unless it is loaded already."""
    return model if isinstance(model, Predictor) else load_model(model)


def _floats(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=float)
