"""`napari-sam`: parse the command line, call the library, print."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.linking import Linking
from napari_sam.automatic.search import SearchOptions, search_method_text
from napari_sam.checkpoints.download import WeightsError, fetch
from napari_sam.checkpoints.leftovers import remove_leftovers
from napari_sam.checkpoints.registry import get_model_spec
from napari_sam.cli.jobs import is_job, run_plan, run_stack, run_status, run_work
from napari_sam.cli.object_lines import object_lines
from napari_sam.cli.options import read_options
from napari_sam.cli.outputs import read_export_output, read_outputs, read_replay_output
from napari_sam.cli.parsing.parser import make_parser
from napari_sam.cli.postprocessing import PostprocessingOptions, describe_changes
from napari_sam.cli.terminal import lenient_streams, termination_as_interrupt
from napari_sam.cli.values import (
    plane_prompts,
    read_index,
    read_intensity,
    read_region,
    volume_prompts,
)
from napari_sam.files import MEGABYTE
from napari_sam.masks.cleanup import CleanUp
from napari_sam.prediction.zoom.options import check_zoom
from napari_sam.prompts.selection import ImageSelection
from napari_sam.records.environment import describe_environment, describe_models

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence

    from napari_sam.cli.outputs import Outputs
    from napari_sam.images.reading.image_file import ImageFile
    from napari_sam.requests.automatic_plane import AutomaticPlaneRequest
    from napari_sam.requests.automatic_stack import AutomaticStackRequest
    from napari_sam.requests.base import SegmentationRequest, SegmentationResult


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `napari-sam` and return its exit code, 0 when all output was written."""
    with lenient_streams() as output:
        options = make_parser().parse_args(arguments)
        try:
            with termination_as_interrupt():
                code = _VERBS[options.verb](options) or 0
        except (ValueError, OSError, ModuleNotFoundError, WeightsError) as error:
            print(f"napari-sam: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("napari-sam: interrupted.", file=sys.stderr)
            return 130
        problem = output.problem()
        if problem is not None:
            print(f"napari-sam: {problem}", file=sys.stderr)
            return code or 1
        return code


def _models(_: argparse.Namespace) -> None:
    print(describe_models())


def _download(options: argparse.Namespace) -> None:
    spec = get_model_spec(options.name)
    print(f"{spec.title}: {spec.licence}, {spec.origin}")
    path = fetch(spec, progress=_show_bytes)
    print(f"{path} is complete and its hash is correct.")


def _segment(options: argparse.Namespace) -> None:
    files, intensity = read_outputs(options), read_intensity(options)
    zoom = check_zoom(options.zoom)

    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.steps import run_to_end
    from napari_sam.requests.from_arrays import plane_request

    image, selection = _read_image(options)
    plane = image.plane()
    prompts, ignored = plane_prompts(options, selection)
    for line in ignored:
        print(line)
    request = plane_request(plane, prompts, intensity, zoom)
    result = run_to_end(request.run(_load_model(options), EmbeddingCache()))
    _write(options, files, image, request, result)


def _volume(options: argparse.Namespace) -> int | None:
    if is_job(options):
        return _stack_job(options)
    files, intensity = read_outputs(options), read_intensity(options)
    postprocessing = PostprocessingOptions.read(options)
    zoom = check_zoom(options.zoom)

    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.requests.from_arrays import stack_request

    image, selection = _read_image(options)
    volume, axis = image.volume(), image.axis(options.axis)
    selection = replace(selection, along=image.axes[axis])
    prompts, ignored = volume_prompts(options, selection)
    for line in ignored:
        print(line)
    spacing = postprocessing.spacing
    request = stack_request(
        volume, prompts, axis, intensity, rgb=image.rgb, spacing=spacing, zoom=zoom
    )
    request = replace(request, cleanup=postprocessing.cleanup_in_slices(axis))
    predictor = _load_model(options)
    slices = request.iter_slices(predictor, EmbeddingCache())
    told = False
    for entry in slices:
        if slices.estimate is not None and not told:
            told = True
            print(slices.estimate.text, flush=True)
        print(
            f"object {entry.object_id}, slice {entry.index}: {entry.status}, "
            f"score {entry.score:.2f}"
        )
    result = request.finish(predictor, slices.result())
    _write(options, files, image, request, result, postprocessing)
    return None


def _everything(options: argparse.Namespace) -> int | None:
    if is_job(options):
        return _stack_job(options)
    files, intensity = read_outputs(options), read_intensity(options)
    postprocessing = PostprocessingOptions.read(options)
    search = read_options(SearchOptions, options, zoom=check_zoom(options.zoom))
    thresholds = read_options(Thresholds, options)
    linking = read_options(Linking, options)

    from napari_sam.requests.from_arrays import (
        automatic_plane_request,
        automatic_stack_request,
    )

    image, _ = _read_image(options)
    request: AutomaticPlaneRequest | AutomaticStackRequest
    if len(image.order) == 2:
        if postprocessing.cleanup.smooth:
            raise ValueError("--smooth is for stacks, and the image is one plane.")
        request = automatic_plane_request(
            image.plane(),
            intensity,
            options=search,
            thresholds=thresholds,
            region=read_region(options.region, image.shape),
            cleanup=postprocessing.cleanup,
        )
    else:
        volume, axis = image.volume(), image.axis(options.axis)
        request = automatic_stack_request(
            volume,
            axis,
            intensity,
            rgb=image.rgb,
            spacing=postprocessing.spacing,
            options=search,
            thresholds=thresholds,
            region=read_region(
                options.region,
                tuple(n for i, n in enumerate(image.shape) if i != axis),
            ),
            linking=linking,
            cleanup=postprocessing.cleanup_in_slices(axis),
        )
    predictor = _load_model(options)
    print(f"automatic segmentation by {search_method_text(predictor.prompt_support)}")
    result = _run_automatic(request, predictor)
    _write(options, files, image, request, result, postprocessing)
    return None


def _stack_job(options: argparse.Namespace) -> int:
    return run_stack(options, lambda: _load_model(options), _say, _show_line)


def _plan(options: argparse.Namespace) -> int:
    return run_plan(options, lambda: _load_model(options), _say)


def _run_automatic(
    request: AutomaticPlaneRequest | AutomaticStackRequest, predictor: Any
) -> SegmentationResult:
    """Run a request, and print a line for each slice of a stack."""
    from napari_sam.prediction.cache import EmbeddingCache

    steps, line = request.run(predictor, EmbeddingCache()), ""
    while True:
        try:
            progress = next(steps)
        except StopIteration as stop:
            result: SegmentationResult = stop.value
            break
        if request.stack is not None and progress.total:
            # "Slice 3, 17 ..." repeats with other numbers until the slice is done.
            if line and line.partition(",")[0] != progress.what.partition(",")[0]:
                print(line, flush=True)
            line = progress.what
    if line:
        print(line)
    return result


def _batch(options: argparse.Namespace) -> int:
    from napari_sam.cli.batch import run_batch

    return run_batch(options, lambda: _load_model(options), _say, _print_notes)


def _replay(options: argparse.Namespace) -> None:
    from napari_sam.cli.records import RecordFile
    from napari_sam.images.writing import check_writable, write_labels
    from napari_sam.records.image_record import Choice

    choice = Choice(read_index(options.index), options.series, options.axes)
    file = RecordFile.read(options.record, options.image, choice)
    output = read_replay_output(options, file.path)
    image = file.read_image()
    _print_notes(image.notes)
    check_writable(image)
    labels, like = file.replay(image, options.model)
    for label in sorted(int(name) for name in file.record["objects"]):
        comparison = "as" if file.is_as_recorded(label, labels) else "other than"
        size = int((labels == label).sum())
        print(f"object {label}: {size} pixels, {comparison} recorded")
    print(f"wrote {write_labels(output, labels, like)}")


def _export(options: argparse.Namespace) -> None:
    folder = read_export_output(options)

    from napari_sam.onnx.export import export_onnx
    from napari_sam.onnx.official import export_official

    predictor = _load_model(options, device="cpu")
    print(f"{predictor.name}: {predictor.preprocessing.describe(predictor.input_size)}")
    single, is_official = options.return_single_mask, options.layout == "official"
    write = partial(export_official, single_mask=single) if is_official else export_onnx
    for file in write(predictor, folder):
        print(f"wrote {file}")


def _train(options: argparse.Namespace) -> None:
    from napari_sam.cli.train import train

    for line in train(options, lambda: _load_model(options), _print_notes):
        print(line, flush=True)


def _export_labels(options: argparse.Namespace) -> None:
    from napari_sam.cli.annotations import export_annotations

    for line in export_annotations(options):
        print(line)


def _import_labels(options: argparse.Namespace) -> None:
    from napari_sam.cli.annotations import import_annotations

    for line in import_annotations(options):
        print(line)


def _info(options: argparse.Namespace) -> None:
    for gone in remove_leftovers() if options.clear_leftovers else ():
        print(f"deleted {gone.path}")
    print(describe_environment())


def _demo(options: argparse.Namespace) -> None:
    from napari_sam.cli.demo import run_demo

    for line in run_demo(_load_model(options), Path(options.output)):
        print(line, flush=True)


def _read_image(options: argparse.Namespace) -> tuple[ImageFile, ImageSelection]:
    """Read the part of the image that --index selects, and its place in the file.

    What is not used is said, and that labels can be written is checked.
    """
    from napari_sam.images.reading.read import read_image
    from napari_sam.images.writing import check_writable

    file = read_image(options.image, options.series, options.axes)
    _print_notes(file.notes)
    index = read_index(options.index)
    image = file.select(**index)
    if options.axis is not None and len(image.order) == 2:
        across = file.axes[file.axis(options.axis)]
        if across not in index:
            raise ValueError(
                f"--axis {options.axis}: choose one plane across this axis, for "
                f"instance with --index {across}=0."
            )
    check_writable(image)
    return image, ImageSelection(file.order, file.stored_shape, index)


def _print_notes(notes: Iterable[str]) -> None:
    """Print what a file holds beyond what is used, and what is in doubt."""
    for note in notes:
        print(f"napari-sam: {note}", file=sys.stderr)


def _say(line: str) -> None:
    print(line, flush=True)


def _show_line(line: str) -> None:
    """Show progress in place of the line before; only on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _write(
    options: argparse.Namespace,
    files: Outputs,
    image: ImageFile,
    request: SegmentationRequest,
    result: SegmentationResult,
    postprocessing: PostprocessingOptions | None = None,
) -> None:
    """Print what was found; write labels and, if wanted, record and table."""
    from napari_sam.images.writing import write_labels
    from napari_sam.records.image_record import Choice, make_record
    from napari_sam.records.record import write_record

    shape: tuple[int, ...] = request.view.reader.plane_shape(request.plane_index)
    if request.stack is not None:
        shape = request.stack.shape
    labels = result.paint(shape)
    for line in (*object_lines(request, result, labels), *result.warnings):
        print(line)
    if request.cleanup:
        uncleaned = replace(request, cleanup=CleanUp()).refinish(result)
        for line in describe_changes(uncleaned.paint(shape), labels):
            print(line)
    print(f"wrote {write_labels(files.labels, labels, image)}")
    if files.record is not None:
        choice = Choice(read_index(options.index), options.series, options.axes)
        source = choice.to_json(options.image, image)
        record = make_record(request, result, labels, source, options.model)
        print(f"wrote {write_record(files.record, record)}")
    if files.table is not None and postprocessing is not None:
        axis = 0 if request.stack is None else request.stack.axis
        table = postprocessing.write_table(files.table, labels, result, image, axis)
        print(f"wrote {table}")


def _load_model(options: argparse.Namespace, device: str | None = None) -> Any:
    from napari_sam.prediction.loading import load_model

    family = getattr(options, "family", None)
    return load_model(options.model, device=device, family=family, progress=_show_bytes)


def _show_bytes(done: int, total: int | None) -> None:
    """Show the progress of a download in one line; only on a terminal."""
    if not sys.stderr.isatty():
        return
    of_total = f" of {total / MEGABYTE:.1f}" if total else ""
    end = "\n" if total and done >= total else ""
    line = f"\rweights: {done / MEGABYTE:.1f}{of_total} MB "
    print(line, end=end, file=sys.stderr, flush=True)


_VERBS: dict[str, Callable[[argparse.Namespace], int | None]] = {
    "models": _models,
    "download": _download,
    "segment": _segment,
    "volume": _volume,
    "everything": _everything,
    "batch": _batch,
    "plan": _plan,
    "work": lambda options: run_work(options, _say, _show_line),
    "job": lambda options: run_status(options, _say),
    "replay": _replay,
    "export": _export,
    "export-labels": _export_labels,
    "import-labels": _import_labels,
    "train": _train,
    "info": _info,
    "demo": _demo,
}
