"""Planning of jobs on stacks: all that the labels depend on, before any work."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam.checkpoints.registry import DEFAULT_MODEL
from napari_sam.checks.arrays import as_axis, as_image, axis_names
from napari_sam.checks.values import or_default
from napari_sam.images.zarr_labels.placing import place_labels
from napari_sam.masks.cleanup import CleanUp
from napari_sam.requests.from_arrays import (
    automatic_stack_request,
    by_object,
    stack_request,
    with_zoom,
)
from napari_sam.scale_out.jobs.folder import JobFolder
from napari_sam.scale_out.jobs.job import Job
from napari_sam.scale_out.stacks.previous import EarlierFile
from napari_sam.scale_out.stacks.source import Source, check_result_memory
from napari_sam.scale_out.stacks.stack_job import stack_plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

    from napari_sam.automatic.candidates import Thresholds
    from napari_sam.automatic.linking import Linking
    from napari_sam.automatic.search import SearchOptions
    from napari_sam.images.intensity import IntensityMapping
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.prediction.zoom.options import Zoom
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.volume.results import PropagationOptions, VolumeResult


DEFAULT_NAME = "napari-sam"
_ENDING = ".napari-sam"


def plan_everything_volume(
    volume: Any,
    output: str | Path | None = None,
    model: str | Path | Predictor = DEFAULT_MODEL,
    axis: int | str = 0,
    *,
    name: str = DEFAULT_NAME,
    workdir: str | Path | None = None,
    overwrite: bool = False,
    index: Mapping[str, int] | None = None,
    series: str | None = None,
    axes: str | None = None,
    thresholds: Thresholds | None = None,
    options: SearchOptions | None = None,
    linking: Linking | None = None,
    cleanup: CleanUp | None = None,
    contrast_limits: IntensityMapping | ArrayLike | None = None,
    region: ArrayLike | None = None,
    spacing: float | Sequence[float] | None = None,
    zoom: Zoom = "auto",
    object_diameter: float | None = None,
) -> Job:
    """Plan the segmentation of all objects of a stack, without doing it.

    Contrast limits are measured, and the model is loaded for its hash. The same plan
    in the same folder is the same job: it goes on where it was.

    Parameters
    ----------
    volume : array-like, str or Path
        A stack, see `segment_everything_volume`, or the path of an image file or
        OME-Zarr. An array is copied into the folder of the job: of a large store, give
        the path.
    output : str or Path, optional
        The OME-Zarr of the image, or a new store, for the labels; None to get them as
        an array.
    model : str, Path or Predictor
        Model name, path or repository, see `load_model`, or a loaded model.
    axis : int or str
        The axis along which objects are linked, by number or name.
    name : str
        Name of the labels in the OME-Zarr of the image.
    workdir : str or Path, optional
        Folder of the job; beside the output when None.
    overwrite : bool
        Whether labels of this name are replaced once the new ones are complete.
    index : mapping, optional
        {axis: index} of further axes of an image file, such as {"T": 0, "C": 1}.
    series, axes : str, optional
        Which image of a file, and names of its axes as stored.
    thresholds : Thresholds, optional
        Selection of objects among the candidate masks.
    options : SearchOptions, optional
        Settings of the search for candidate masks.
    linking : Linking, optional
        Settings for linking objects of neighbouring planes, or across gaps.
    cleanup : CleanUp, optional
        Post-processing of the masks.
    contrast_limits : IntensityMapping, tuple of float or array-like, optional
        As for `segment_everything_volume`, or a rule.
    region : array-like, optional
        (H, W) bool, where to search in every plane.
    spacing : float or sequence of float, optional
        Physical size of a voxel, for the clean-up.
    zoom : "auto", "off" or float
        As for `segment_everything_volume`.
    object_diameter : float, optional
        For models with an instance head: usual diameter of the objects in pixels.

    Returns
    -------
    Job
        The job; `run` runs it.

    Raises
    ------
    TypeError, ValueError
        When something cannot be used, or the folder has another job.
    OSError
        When a file cannot be read or written.
    """
    source, axis = open_source(volume, axis, index, series, axes)
    request = automatic_stack_request(
        source.used.volume(),
        axis,
        contrast_limits,
        rgb=source.used.rgb,
        spacing=spacing,
        thresholds=thresholds,
        options=with_zoom(options, zoom, object_diameter),
        region=region,
        linking=linking,
        cleanup=or_default(cleanup, "cleanup", CleanUp),
    )
    stack = request.stack
    entry = place_output(source, output, name, stack.axis, overwrite)
    predictor = _load(model)
    plan = stack_plan(
        "everything",
        source,
        request.view,
        stack,
        request.settings_to_json(len(stack)),
        request.cleanup,
        predictor,
        entry,
    )
    return make_job(source, plan, workdir, output, name, predictor)


def plan_volume(
    volume: Any,
    prompts: Mapping[int, Prompt] | Mapping[int, Mapping[int, Prompt]],
    output: str | Path | None = None,
    model: str | Path | Predictor = DEFAULT_MODEL,
    axis: int | str = 0,
    *,
    name: str = DEFAULT_NAME,
    workdir: str | Path | None = None,
    embeddings: str | Path | None = None,
    overwrite: bool = False,
    index: Mapping[str, int] | None = None,
    series: str | None = None,
    axes: str | None = None,
    fixed: Mapping[int | str, int] | None = None,
    masks: Mapping[int, Mapping[int, ArrayLike]] | None = None,
    previous: VolumeResult | None = None,
    spacing: float | Sequence[float] | None = None,
    cleanup: CleanUp | None = None,
    contrast_limits: IntensityMapping | ArrayLike | None = None,
    options: PropagationOptions | None = None,
    zoom: Zoom = "auto",
) -> Job:
    """Plan the segmentation of objects through a stack, without doing it.

    Parameters
    ----------
    volume : array-like, str or Path
        A stack, see `segment_volume`, or the path of an image file or OME-Zarr. An
        array is copied into the folder of the job: of a large store, give the path.
    prompts : mapping
        {slice: Prompt} for one object, or {object id: {slice: Prompt}}, see
        `segment_volume`.
    output : str or Path, optional
        The OME-Zarr of the image, or a new store, for the labels; None to get them as
        an array.
    model : str, Path or Predictor
        Model name, path or repository, see `load_model`, or a loaded model.
    axis : int or str
        Axis of propagation, by number or name.
    name : str
        Name of the labels in the OME-Zarr of the image.
    workdir : str or Path, optional
        Folder of the job; beside the output when None.
    embeddings : str or Path, optional
        A folder for the embeddings of all planes, which is kept, and which a
        `DiskCache` of a viewer or script can use. They are rounded to half precision:
        the labels are those of `segment_volume` with such a cache.
    overwrite : bool
        Whether labels of this name are replaced once the new ones are complete.
    index : mapping, optional
        {axis: index} of further axes of an image file, such as {"T": 0, "C": 1}.
    series, axes : str, optional
        Which image of a file, and names of its axes as stored.
    fixed : mapping, optional
        {axis: index} of further axes of an array, which stay at that index.
    masks : mapping, optional
        {object id: {slice: (H, W) bool}}, painted or corrected by hand.
    previous : VolumeResult, optional
        An earlier result, which is copied into the folder: parts whose prompts and
        pixels have not changed are reused.
    spacing : float or sequence of float, optional
        Physical size of a voxel along each axis without colour, or one for all axes.
    cleanup : CleanUp, optional
        Post-processing of the masks.
    contrast_limits : IntensityMapping, tuple of float or array-like, optional
        As for `segment_volume`, or a rule.
    options : PropagationOptions, optional
        Settings of the propagation.
    zoom : "auto", "off" or float
        As for `segment_volume`.

    Returns
    -------
    Job
        Its result is a `VolumeResult`.

    Raises
    ------
    TypeError, ValueError, OSError
        See `plan_everything_volume`.
    """
    source, axis = open_source(volume, axis, index, series, axes, len(fixed or ()))
    data = source.used.data if fixed else source.used.volume()
    request = stack_request(
        data,
        by_object(prompts),
        axis,
        contrast_limits,
        rgb=source.used.rgb,
        fixed=fixed,
        masks=masks,
        spacing=spacing,
        options=options,
        zoom=zoom,
    )
    request = replace(request, cleanup=or_default(cleanup, "cleanup", CleanUp))
    objects = sorted({*request.prompts, *request.masks})
    if not objects:
        raise ValueError("There are no prompts: give some, or masks.")
    entries = [request.settings_to_json(i) | {"object": i} for i in objects]
    entry = place_output(source, output, name, request.stack.axis, overwrite)
    predictor = _load(model)
    plan = stack_plan(
        "volume",
        source,
        request.view,
        request.stack,
        {"objects": entries},
        request.cleanup,
        predictor,
        entry,
    )
    earlier = previous and EarlierFile(previous)
    plan |= {"embeddings": _absolute(embeddings), "previous": earlier and earlier.key}
    job = make_job(source, plan, workdir, output, name, predictor)
    if earlier:
        earlier.keep(job.path)
    return job


def _absolute(path: str | Path | None) -> str | None:
    return None if path is None else str(Path(path).expanduser().resolve())


def open_source(
    volume: Any,
    axis: int | str,
    index: Mapping[str, int] | None,
    series: str | None,
    axes: str | None,
    fixed: int = 0,
) -> tuple[Source, int]:
    """Open the image of a job; return it and the number of the axis.

    Parameters
    ----------
    volume, axis, index, series, axes
        See `plan_everything_volume`.
    fixed : int
        Number of further axes that stay at an index.

    Raises
    ------
    ValueError, OSError
        When it cannot be read, or has no such axis.
    """
    if isinstance(volume, str | os.PathLike):
        if fixed:
            raise ValueError("fixed is for arrays: give index for a file.")
        source = Source.of_path(Path(volume), index, series, axes)
        if isinstance(axis, str):
            return source, source.used.axis(axis)
        return source, axis
    if index or series or axes:
        raise ValueError("index, series and axes are for files: select from the array.")
    data = as_image(volume, "volume")
    rgb = len(data.shape) - fixed == 4 and data.shape[-1] in (3, 4)
    names = axis_names(volume, len(data.shape) - rgb)
    return Source.of_array(data, rgb), as_axis(axis, names)


def place_output(
    source: Source, output: str | Path | None, name: str, axis: int, overwrite: bool
) -> dict[str, Any] | None:
    """Lay out the labels of a job; None to return them as an array.

    Raises
    ------
    ValueError
        When the output cannot be used, or an array does not fit into memory.
    """
    if output is None:
        check_result_memory(source.used.shape)
        return None
    path = Path(output).expanduser()
    if not path.name.lower().endswith(".zarr"):
        raise ValueError(f"The output {path} is no zarr store: name one, *.zarr.")
    is_store = source.path is not None and source.path.is_dir()
    layout = place_labels(
        path,
        name,
        source.file,
        source.used,
        axis,
        source=source.path if is_store else None,
        series=source.entry.get("series"),
        index=source.entry.get("index"),
        overwrite=overwrite,
    )
    return {"layout": layout.to_json(), "overwrite": overwrite}


def make_job(
    source: Source,
    plan: Mapping[str, Any],
    workdir: str | Path | None,
    output: str | Path | None,
    name: str,
    predictor: Predictor,
) -> Job:
    """Write the folder of a job, or find the same job there.

    Raises
    ------
    ValueError
        When there is no folder to write to, or it has another job.
    """
    if workdir is None:
        if output is None:
            raise ValueError("A job without an output needs a folder: give workdir.")
        path = Path(output).expanduser()
        workdir = path.with_name(f"{path.name}.{name}{_ENDING}")
    folder = JobFolder.create(workdir, plan)
    source.keep(folder.path)
    return Job(folder.path, predictor)


def _load(model: str | Path | Predictor) -> Predictor:
    from napari_sam.prediction.loading import as_predictor

    return as_predictor(model)
