"""Arrays in, label arrays out: the whole job in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.linking import Linking, link_planes
from napari_sam.automatic.search import SearchOptions, check_region
from napari_sam.checkpoints.registry import DEFAULT_MODEL
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.loading import load_model
from napari_sam.prediction.predictor import Predictor
from napari_sam.requests.automatic_plane import AutomaticPlaneRequest
from napari_sam.requests.base import run_to_end
from napari_sam.requests.from_arrays import (
    by_object,
    make_prompts,
    plane_request,
    stack_request,
    view_of_stack,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from napari_sam.automatic.candidates import PlaneObjects
    from napari_sam.automatic.search import SearchStep
    from napari_sam.images.intensity import IntensityMapping
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.volume.results import PropagationOptions, VolumeResult


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
    return result.paint(request.view.reader.plane_shape(request.plane_index))


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
    shape = asked.view.reader.plane_shape(asked.plane_index)
    inside = None if region is None else check_region(region, shape)
    request = AutomaticPlaneRequest(
        asked.view, asked.plane_index, options or SearchOptions(), region=inside
    )
    known = EmbeddingCache() if cache is None else cache
    yield from request.iter_search(as_predictor(model), known)


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
    view, stack = view_of_stack(volume, axis, contrast_limits, rgb)
    predictor, wanted = as_predictor(model), thresholds or Thresholds()
    known = EmbeddingCache() if cache is None else cache
    for index in range(len(stack)):
        request = AutomaticPlaneRequest(
            view, stack.plane_index(index), options or SearchOptions()
        )
        *_, last = request.iter_search(predictor, known)
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
    slices = request.iter_slices(as_predictor(model), known)
    return slices.result(list(slices))


def as_predictor(model: str | Path | Predictor) -> Predictor:
    """Load a model unless it is loaded already."""
    return model if isinstance(model, Predictor) else load_model(model)
