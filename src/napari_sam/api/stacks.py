"""Functions for scripts on stacks: arrays in, label arrays out."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_sam.checkpoints.registry import DEFAULT_MODEL
from napari_sam.checks.values import or_default
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.loading import as_predictor
from napari_sam.prediction.steps import run_to_end
from napari_sam.requests.from_arrays import (
    automatic_stack_request,
    by_object,
    stack_request,
    with_zoom,
)
from napari_sam.requests.small_objects import SmallObjectWarning
from napari_sam.scale_out.jobs.calls import run_call
from napari_sam.scale_out.stacks.planning import (
    DEFAULT_NAME,
    plan_everything_volume,
    plan_volume,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from napari_sam.automatic.candidates import PlaneObjects, Thresholds
    from napari_sam.automatic.linking import Linking
    from napari_sam.automatic.search import SearchOptions
    from napari_sam.images.intensity import IntensityMapping
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.prediction.zoom.options import Zoom
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.scale_out.jobs.schedulers import Scheduler
    from napari_sam.volume.results import PropagationOptions, VolumeResult


def segment_everything_volume(
    volume: Any,
    model: str | Path | Predictor = DEFAULT_MODEL,
    axis: int | str = 0,
    *,
    thresholds: Thresholds | None = None,
    options: SearchOptions | None = None,
    linking: Linking | None = None,
    contrast_limits: ArrayLike | None = None,
    zoom: Zoom = "auto",
    object_diameter: float | None = None,
    scheduler: Scheduler = None,
    output: str | Path | None = None,
    name: str = DEFAULT_NAME,
    workdir: str | Path | None = None,
    overwrite: bool = False,
) -> NDArray[np.int32]:
    """Segment all objects of a stack.

    With an instance head, objects are found in 3D, see `AutomaticStackRequest`;
    otherwise on every plane, and linked.

    Parameters
    ----------
    volume : array-like, str or Path
        Three axes, and perhaps colour as the last one; any real dtype. Dask and zarr
        arrays are read one plane at a time. Or the path of an OME-Zarr; with
        `scheduler` or `output` that of any image file.
    model : str, Path or Predictor
        Model name, path or repository, see `load_model`, or a loaded model.
    axis : int or str
        The axis along which objects are linked.
    thresholds : Thresholds, optional
        Selection of objects among the candidate masks.
    options : SearchOptions, optional
        Settings of the search for candidate masks.
    linking : Linking, optional
        Settings for linking objects of neighbouring planes, or across gaps.
    contrast_limits : tuple of float or array-like, optional
        Grey values shown to the model as black and white, of all planes; measured on
        a sample of planes when None.
    zoom : "auto", "off" or float
        As for `segment_everything`; the windows of all planes have the same size.
    object_diameter : float, optional
        For models with an instance head: usual diameter of the objects in pixels.
    scheduler : object, optional
        What runs the work as small tasks, see `Job.run`: None for this process, a
        number of processes or ``"local:4"``, a dask Client or the address of its
        scheduler, or any `concurrent.futures.Executor`. The labels are the same.
    output : str or Path, optional
        The OME-Zarr of the image, or a new store, into which the labels are written.
    name : str, optional
        Name of the labels in the OME-Zarr, see `plan_everything_volume`.
    workdir : str or Path, optional
        Folder of the tasks, which all workers see; it is kept. When None, a folder
        beside the output, or a temporary one, that is removed at the end.
    overwrite : bool
        Replace labels of that name, see `plan_everything_volume`.

    Returns
    -------
    ndarray
        int32 labels of the volume's shape without colour; the background is 0. With
        `output`, the zarr array there, which is read when it is indexed.

    Raises
    ------
    ValueError
        When the volume, the axis or the contrast limits cannot be used.
    JobFailedError
        When tasks failed; the same call tries them again, and only them.

    See Also
    --------
    everything_volume : Plane by plane, for `link_planes`.
    plan_everything_volume : The same as a job, with progress.
    """
    if scheduler is not None or output is not None or workdir is not None:
        plan = partial(
            plan_everything_volume,
            volume,
            output,
            model,
            axis,
            name=name,
            overwrite=overwrite,
            thresholds=thresholds,
            options=options,
            linking=linking,
            contrast_limits=contrast_limits,
            zoom=zoom,
            object_diameter=object_diameter,
        )
        labels: NDArray[np.int32] = run_call(plan, scheduler, workdir, output)
        return labels
    request = automatic_stack_request(
        volume,
        axis,
        contrast_limits,
        thresholds=thresholds,
        options=with_zoom(options, zoom, object_diameter),
        linking=linking,
    )
    result = run_to_end(request.run(as_predictor(model), EmbeddingCache()))
    return result.paint(request.stack.shape)


def everything_volume(
    volume: Any,
    model: str | Path | Predictor = DEFAULT_MODEL,
    axis: int | str = 0,
    *,
    thresholds: Thresholds | None = None,
    options: SearchOptions | None = None,
    contrast_limits: IntensityMapping | ArrayLike | None = None,
    rgb: bool | None = None,
    cache: EmbeddingCache | None = None,
) -> Iterator[PlaneObjects]:
    """Segment all objects of a stack, one plane after the other.

    Parameters
    ----------
    volume : array-like
        Three axes, and perhaps colour as the last one; any real dtype. Dask and zarr
        arrays are read one plane at a time.
    model : str, Path or Predictor
        Model name, path or repository, see `load_model`, or a loaded model.
    axis : int or str
        The axis along which objects are linked.
    thresholds : Thresholds, optional
        Selection of objects among the candidate masks.
    options : SearchOptions, optional
        Settings of the search for candidate masks.
    contrast_limits : IntensityMapping, tuple of float or array-like, optional
        As for `segment_everything_volume`, or a rule.
    rgb : bool, optional
        Whether the last axis is colour; when None, it is if it is a fourth axis of
        length 3 or 4.
    cache : EmbeddingCache, optional
        Keeps embeddings of planes between calls.

    Yields
    ------
    PlaneObjects
        Objects of each plane, from the first to the last. `link_planes` links them,
        also when the iteration was stopped early.

    Raises
    ------
    ValueError
        When the volume, the axis or the contrast limits cannot be used.
    """
    request = automatic_stack_request(
        volume, axis, contrast_limits, rgb=rgb, options=options, thresholds=thresholds
    )
    predictor = as_predictor(model)
    cache = or_default(cache, "cache", EmbeddingCache)
    for plane in request.plane_requests(predictor, cache):
        *_, last = request.search_plane(plane, predictor, cache)
        yield last.candidates.objects(request.thresholds)


def segment_volume(
    volume: Any,
    prompts: Mapping[int, Prompt] | Mapping[int, Mapping[int, Prompt]],
    model: str | Path | Predictor = DEFAULT_MODEL,
    axis: int | str = 0,
    *,
    fixed: Mapping[int | str, int] | None = None,
    masks: Mapping[int, Mapping[int, ArrayLike]] | None = None,
    spacing: float | Sequence[float] | None = None,
    previous: VolumeResult | None = None,
    contrast_limits: ArrayLike | None = None,
    options: PropagationOptions | None = None,
    cache: EmbeddingCache | None = None,
    zoom: Zoom = "auto",
    scheduler: Scheduler = None,
    output: str | Path | None = None,
    name: str = DEFAULT_NAME,
    workdir: str | Path | None = None,
    overwrite: bool = False,
) -> VolumeResult:
    """Segment objects through a stack from prompts on some of its slices.

    Parameters
    ----------
    volume : array-like, str or Path
        Three axes besides those of `fixed`, and perhaps colour as the last one; any
        real dtype. Dask and zarr arrays are read one plane at a time. Or a path, see
        `segment_everything_volume`.
    prompts : mapping
        {slice: Prompt} for one object, or {object id: {slice: Prompt}}; keys may be
        strings of whole numbers, as in JSON. Coordinates
        are (row, col) on the planes across `axis`. Negative points alone end the
        object on that slice.
    model : str, Path or Predictor
        Model name, path or repository, see `load_model`, or a loaded model.
    axis : int or str
        Axis of propagation, by number or name; it may also be time. The names are those
        of an xarray, else "z", "y" and "x" for the last three axes.
    fixed : mapping, optional
        {axis: index} of further axes (time, channel), which stay at that index.
    masks : mapping, optional
        {object id: {slice: (H, W) bool}}, painted or corrected by hand. They are kept
        as they are, and the object is propagated from them.
    spacing : float or sequence of float, optional
        Physical size of a voxel along each axis without colour, in any unit, or one
        for all axes; isotropic when None.
    previous : VolumeResult, optional
        An earlier result to correct or to resume: slices between unchanged prompts
        are taken from it, if model and options are the same and the model would see
        the same pixels.
    contrast_limits : tuple of float, optional
        Grey values shown to the model as black and white, of all planes; measured on
        a sample of planes when None.
    options : PropagationOptions, optional
        Settings of the propagation.
    cache : EmbeddingCache, optional
        Keeps embeddings of planes between calls.
    zoom : "auto", "off" or float
        As for `segment`. With "auto", small objects are followed in windows of the
        planes, and only these windows are read.
    scheduler : object, optional
        What runs the work as small tasks, see `segment_everything_volume`. With a cache
        on disk, planes are encoded by as many tasks; groups of objects that do not
        meet are followed by a task each.
    output : str or Path, optional
        The OME-Zarr of the image, or a new store, into which the labels are written.
    name : str, optional
        Name of the labels in the OME-Zarr, see `plan_volume`.
    workdir : str or Path, optional
        Folder of the tasks, see `segment_everything_volume`.
    overwrite : bool
        Replace labels of that name, see `plan_volume`.

    Returns
    -------
    VolumeResult
        `labels`, int32 of the volume's shape without colour, and `slices` with score,
        confidence and status of every object on every slice.

    Raises
    ------
    TypeError, ValueError
        When the volume, a prompt, a mask or an option cannot be used.

    Warns
    -----
    SmallObjectWarning
        When the model sees an object with fewer than 8 pixels on a prompted slice.

    Examples
    --------
    >>> import napari_sam as ns
    >>> prompts = {12: ns.Prompt(box=(40, 52, 70, 75))}
    >>> result = ns.segment_volume(volume, prompts, spacing=(5, 1, 1))
    >>> doubtful = [s.index for s in result.slices if s.status == "doubtful"]
    """
    cache = or_default(cache, "cache", EmbeddingCache)
    settings: dict[str, Any] = {
        "fixed": fixed,
        "masks": masks,
        "spacing": spacing,
        "options": options,
        "zoom": zoom,
    }
    if scheduler is not None or output is not None or workdir is not None:
        plan = partial(
            plan_volume,
            volume,
            prompts,
            output,
            model,
            axis,
            name=name,
            overwrite=overwrite,
            embeddings=None if cache.disk is None else cache.disk.folder,
            contrast_limits=contrast_limits,
            previous=previous,
            **settings,
        )
        found: VolumeResult = run_call(plan, scheduler, workdir, output)
        return found
    request = stack_request(
        volume, by_object(prompts), axis, contrast_limits, previous=previous, **settings
    )
    predictor = as_predictor(model)
    slices = request.iter_slices(predictor, cache)
    result = slices.result(list(slices))
    for sentence in request.small_object_warnings(predictor, result):
        warnings.warn(sentence, SmallObjectWarning, stacklevel=2)
    return result
