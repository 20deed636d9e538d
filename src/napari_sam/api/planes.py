"""Functions for scripts on planes: arrays in, label arrays out."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from napari_sam.checkpoints.registry import DEFAULT_MODEL
from napari_sam.checks.values import or_default
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.loading import as_predictor
from napari_sam.prediction.steps import run_to_end
from napari_sam.requests.from_arrays import (
    automatic_plane_request,
    make_prompts,
    plane_request,
    with_zoom,
)
from napari_sam.requests.small_objects import SmallObjectWarning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from napari_sam.automatic.candidates import Thresholds
    from napari_sam.automatic.search import SearchOptions, SearchStep
    from napari_sam.images.intensity import IntensityMapping
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.prediction.zoom.options import Zoom


def segment(
    plane: ArrayLike,
    points: ArrayLike | None = None,
    labels: ArrayLike | None = None,
    boxes: ArrayLike | None = None,
    model: str | Path | Predictor = DEFAULT_MODEL,
    *,
    contrast_limits: ArrayLike | None = None,
    zoom: Zoom = "auto",
) -> NDArray[np.int32]:
    """Segment objects on one plane from points and boxes.

    Parameters
    ----------
    plane : array-like, or sequence of array-like
        (H, W) or (H, W, 3), any real dtype; or the levels of a pyramid, the largest
        first. Of dask and zarr arrays only the windows that the prompts need are read.
    points : array-like, optional
        (row, col) of points, in pixels. (N, 2) without `labels` and boxes: each point
        is an object. (N, 2) with `labels` or one box: all points belong to one
        object. (K, N, 2): N points for each of K objects. A bare (row, col) is one
        point.
    labels : array-like, optional
        (N,) or (K, N): 1 for a point on the object, 0 for a point on the background.
    boxes : array-like, optional
        (K, 4) as (row_min, col_min, row_max, col_max), in pixels, one box for each
        object; (4,) for a single object; or the vertices of shapes, such as the `data`
        of a Shapes layer. Together with (K, N, 2) points, each object
        has a box and points.
    model : str, Path or Predictor
        Model name, path or repository, see `load_model`. Pass a loaded model to
        segment many planes.
    contrast_limits : tuple of float or array-like, optional
        Grey values shown to the model as black and white, one pair, or (3, 2) for
        colours; the range of the plane when None.
    zoom : "auto", "off" or float
        The model sees a fixed number of pixels a side. With "auto", a small object is
        segmented in a window of the plane of about seven times its size; a click, which
        says nothing about size, in windows of several sizes, of which the best answer
        counts. "off" shows the whole plane; a factor of at least 1 a window of the side
        of the plane divided by it.

    Returns
    -------
    ndarray
        (H, W) int32: object i has label i + 1, the background is 0. Where objects
        overlap, the larger logit decides.

    Raises
    ------
    TypeError, ValueError
        When the plane, the prompts, the contrast limits or the zoom cannot be used.

    Warns
    -----
    SmallObjectWarning
        When the model sees an object with fewer than 8 pixels.

    See Also
    --------
    segment_volume : Segment objects through a stack.
    segment_everything : Segment all objects without prompts.

    Examples
    --------
    >>> import napari_sam as ns
    >>> from skimage.data import coins
    >>> labels = ns.segment(coins(), boxes=[(28, 127, 73, 178), (30, 192, 72, 242)])
    >>> labels.max()
    2
    """
    prompts = make_prompts(points, labels, boxes)
    # Checked before the model is loaded, which may download weights.
    request = plane_request(plane, prompts, contrast_limits, zoom)
    result = run_to_end(request.run(as_predictor(model), EmbeddingCache()))
    for sentence in result.warnings:
        warnings.warn(sentence, SmallObjectWarning, stacklevel=2)
    return result.paint(request.view.reader.plane_shape(request.plane_index))


def segment_everything(
    plane: ArrayLike,
    model: str | Path | Predictor = DEFAULT_MODEL,
    *,
    thresholds: Thresholds | None = None,
    options: SearchOptions | None = None,
    region: ArrayLike | None = None,
    contrast_limits: ArrayLike | None = None,
    zoom: Zoom = "auto",
    object_diameter: float | None = None,
) -> NDArray[np.int32]:
    """Segment all objects on a plane, without prompts.

    The default model has an instance head, which sees all objects of a window at once
    (`napari_sam.nets.instance_head`). Other models trained on points use a grid of
    points (Kirillov et al. 2023, "Segment Anything"), models trained on boxes only a
    search over boxes.

    Parameters
    ----------
    plane : array-like
        (H, W) or (H, W, 3), any real dtype.
    model : str, Path or Predictor
        Model name, path or repository, see `load_model`, or a loaded model.
    thresholds : Thresholds, optional
        Selection of objects among the candidate masks.
    options : SearchOptions, optional
        Settings of the search for candidate masks.
    region : array-like, optional
        (H, W) bool: where to search; the whole plane when None.
    contrast_limits : tuple of float or array-like, optional
        Grey values shown to the model as black and white; the range of the plane when
        None.
    zoom : "auto", "off" or float
        For models with an instance head: with "auto" it sees the plane in overlapping
        windows that fit the size of the objects; "off" shows it the whole plane; a
        factor of at least 1 windows of the side of the plane divided by it.
    object_diameter : float, optional
        For models with an instance head: usual diameter of the objects in pixels, in
        place of a look at the plane.

    Returns
    -------
    ndarray
        (H, W) int32: the object of the highest quality has label 1, the background
        is 0.

    Raises
    ------
    ValueError
        When the plane, the region or the contrast limits cannot be used.

    See Also
    --------
    everything : The same step by step, with all candidate masks.

    Examples
    --------
    >>> import napari_sam as ns
    >>> from skimage.data import coins
    >>> labels = ns.segment_everything(coins(), thresholds=ns.Thresholds(min_size=500))
    """
    request = automatic_plane_request(
        plane,
        contrast_limits,
        options=with_zoom(options, zoom, object_diameter),
        thresholds=thresholds,
        region=region,
    )
    result = run_to_end(request.run(as_predictor(model), EmbeddingCache()))
    return result.paint(request.view.reader.plane_shape(request.plane_index))


def everything(
    plane: ArrayLike,
    model: str | Path | Predictor = DEFAULT_MODEL,
    *,
    options: SearchOptions | None = None,
    region: ArrayLike | None = None,
    contrast_limits: IntensityMapping | ArrayLike | None = None,
    cache: EmbeddingCache | None = None,
) -> Iterator[SearchStep]:
    """Search a plane for candidate masks, step by step.

    Parameters
    ----------
    plane : array-like
        (H, W) or (H, W, 3), any real dtype.
    model : str, Path or Predictor
        Model name, path or repository, see `load_model`, or a loaded model.
    options : SearchOptions, optional
        Settings of the search for candidate masks.
    region : array-like, optional
        (H, W) bool: where to search; the whole plane when None.
    contrast_limits : IntensityMapping, tuple of float or array-like, optional
        As for `segment_everything`, or a rule.
    cache : EmbeddingCache, optional
        Keeps embeddings of planes between calls.

    Yields
    ------
    SearchStep
        All candidates so far. `step.candidates.objects(thresholds)` gives labels and
        scores for any thresholds, without another run of the model. Stop iterating to
        cancel.

    Raises
    ------
    ValueError
        When the plane, the region or the contrast limits cannot be used.

    Examples
    --------
    >>> import napari_sam as ns
    >>> for step in ns.everything(image):
    ...     print(f"{step.done} of {step.total}")
    >>> labels = step.candidates.objects(ns.Thresholds(quality_thresh=0.8)).labels
    """
    # Checked before the model is loaded, which may download weights.
    request = automatic_plane_request(
        plane, contrast_limits, options=options, region=region
    )
    cache = or_default(cache, "cache", EmbeddingCache)
    yield from request.iter_search(as_predictor(model), cache)
