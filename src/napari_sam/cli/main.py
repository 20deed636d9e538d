"""The command line: parses, calls the library, prints."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam.automatic.linking import Linking, link_planes
from napari_sam.checkpoints.download import WeightsError, fetch, is_cached
from napari_sam.checkpoints.registry import DEFAULT_MODEL, get_model_spec, list_models
from napari_sam.cli.outputs import outputs, replay_output
from napari_sam.cli.parser import make_parser
from napari_sam.cli.postprocessing import PostprocessingOptions
from napari_sam.cli.values import (
    index,
    intensity,
    plane_prompts,
    thresholds,
    volume_prompts,
)
from napari_sam.files import MEGABYTE

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_sam.cli.outputs import Outputs
    from napari_sam.images.tiff import TiffImage
    from napari_sam.requests.base import SegmentationRequest, SegmentationResult


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `napari-sam`; returns the exit code, 0 only when the result was written."""
    options = make_parser().parse_args(arguments)
    try:
        _VERBS[options.verb](options)
    except (ValueError, OSError, ModuleNotFoundError, WeightsError) as error:
        print(f"napari-sam: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("napari-sam: stopped before the end.", file=sys.stderr)
        return 130
    return 0


def _models(_: argparse.Namespace) -> None:
    for spec in list_models():
        size = f"{spec.size_bytes / MEGABYTE:.0f} MB" if spec.size_bytes else "size ?"
        state = "downloaded" if is_cached(spec) else "not downloaded"
        default = " (default)" if spec.name == DEFAULT_MODEL else ""
        clicks = ", clicks by a decoder of this package" if spec.click_decoder else ""
        print(f"{spec.name}{default}: {spec.title}")
        prompts = ", ".join(sorted(spec.prompts)) + clicks
        print(
            f"    {size}, {state}; trained on {prompts}; {spec.licence}; {spec.origin}"
        )


def _download(options: argparse.Namespace) -> None:
    spec = get_model_spec(options.name)
    print(f"{spec.title}: {spec.licence}, {spec.origin}")
    path = fetch(spec, progress=_show_bytes)
    print(f"{path} is complete, its hash is right.")


def _segment(options: argparse.Namespace) -> None:
    files, seen = outputs(options), intensity(options)

    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.requests.base import run_to_end
    from napari_sam.requests.from_arrays import plane_request

    image = _read(options)
    plane = image.plane()
    prompts = plane_prompts(options, plane.shape[:2])
    request = plane_request(plane, prompts, seen)
    result = run_to_end(request.run(_load(options), EmbeddingCache()))
    labels = result.paint(request.view.reader.plane_shape(request.plane_index))
    for number, answer in enumerate(result.predictions, start=1):
        found = "" if answer.method == "prompt" else f", found by {answer.method}"
        size = int((labels == number).sum())
        print(f"object {number}: {size} pixels, score {answer.score:.2f}{found}")
    _write(options, files, image, labels, (request, result))


def _volume(options: argparse.Namespace) -> None:
    files, seen = outputs(options), intensity(options)
    finish = PostprocessingOptions.read(options)

    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.requests.from_arrays import stack_request

    image = _read(options)
    volume = image.volume()
    options.axis = image.axis(options.axis)
    prompts = volume_prompts(options, volume.shape[:3])
    spacing = None if finish.spacing is None else finish.spacing.tolist()
    request = stack_request(
        volume, prompts, options.axis, seen, rgb=image.rgb, spacing=spacing
    )
    request = replace(request, cleanup=finish.cleanup_in_slices(request.stack.axis))
    predictor = _load(options)
    slices = request.iter_slices(predictor, EmbeddingCache())
    for entry in slices:
        print(
            f"object {entry.object_id}, slice {entry.index}: {entry.status}, "
            f"score {entry.score:.2f}"
        )
    whole = slices.result()
    result = request.finish(predictor, whole)
    labels = result.paint(request.stack.shape)
    for line in finish.what_changed(whole, labels):
        print(line)
    _write(options, files, image, labels, (request, result))
    if files.table is not None:
        print(f"wrote {finish.write_table(files.table, labels, whole, image)}")


def _everything(options: argparse.Namespace) -> None:
    files, seen, wanted = outputs(options), intensity(options), thresholds(options)
    linking = Linking(options.gap, options.min_slices)

    from napari_sam.api import everything, everything_volume
    from napari_sam.automatic.search import SearchOptions, search_method_text
    from napari_sam.images.tiff import write_labels

    image = _read(options)
    spatial = image.axes.removesuffix("S")
    predictor = _load(options)
    print(f"everything is found by {search_method_text(predictor.prompts)}")
    search = SearchOptions(options.points_per_side, options.crop_n_layers)
    shared: Any = {"options": search, "contrast_limits": seen}
    if len(spatial) > 2:
        planes = []
        for plane in everything_volume(
            image.volume(),
            predictor,
            options.axis,
            thresholds=wanted,
            rgb=image.rgb,
            **shared,
        ):
            planes.append(plane)
            print(f"slice {len(planes) - 1}: {len(plane.scores)} objects", flush=True)
        labels = link_planes(planes, linking, options.axis)
        print(f"{int(labels.max())} objects")
    else:
        *_, last = everything(image.plane(), predictor, **shared)
        objects = last.candidates.objects(wanted)
        labels = objects.labels
        for number, score in enumerate(objects.scores, start=1):
            size = int((labels == number).sum())
            print(f"object {number}: {size} pixels, score {score:.2f}")
    print(f"wrote {write_labels(files.labels, labels, image)}")


def _replay(options: argparse.Namespace) -> None:
    from napari_sam.cli.records import RecordFile
    from napari_sam.images.tiff import write_labels

    recorded = RecordFile.read(options.record, options.image, index(options.index))
    output = replay_output(options, recorded.image)
    labels, image = recorded.replay(options.model)
    for label in sorted(int(name) for name in recorded.record["objects"]):
        same = recorded.is_as_recorded(label, labels)
        print(
            f"object {label}: {int((labels == label).sum())} pixels, "
            f"{'as' if same else 'other than'} recorded"
        )
    print(f"wrote {write_labels(output, labels, image)}")


def _export(options: argparse.Namespace) -> None:
    from napari_sam.onnx.decoder import DECODER_FILE, ENCODER_FILE, SETTINGS_FILE

    folder = Path(options.output)
    for name in (ENCODER_FILE, DECODER_FILE, SETTINGS_FILE):
        if (folder / name).exists() and not options.overwrite:
            raise ValueError(
                f"{folder / name} exists: name another folder, or give --overwrite."
            )

    from napari_sam.onnx.export import export_onnx

    predictor = _load(options, device="cpu")
    print(f"{predictor.name}: {predictor.preprocessing.describe(predictor.input_size)}")
    for file in export_onnx(predictor, folder):
        print(f"wrote {file}")


def _train(options: argparse.Namespace) -> None:
    from napari_sam.cli.train import train

    for line in train(options, index(options.index), lambda: _load(options)):
        print(line, flush=True)


def _demo(options: argparse.Namespace) -> None:
    from napari_sam.cli.demo import run_demo

    predictor = _load(options)
    for line in run_demo(predictor, Path(options.output)):
        print(line, flush=True)


def _read(options: argparse.Namespace) -> TiffImage:
    from napari_sam.images.tiff import read_tiff

    return read_tiff(options.image).select(**index(options.index))


def _write(
    options: argparse.Namespace,
    files: Outputs,
    image: TiffImage,
    labels: NDArray[np.int32],
    asked: tuple[SegmentationRequest, SegmentationResult],
) -> None:
    """Write the labels and, when asked for, how they were made."""
    from napari_sam.cli.records import make_record
    from napari_sam.images.tiff import write_labels
    from napari_sam.records.record import write_record

    print(f"wrote {write_labels(files.labels, labels, image)}")
    if files.record is not None:
        request, result = asked
        content = make_record(
            request,
            result,
            labels,
            options.image,
            index(options.index),
            options.model,
        )
        print(f"wrote {write_record(files.record, content)}")


def _load(options: argparse.Namespace, device: str | None = None) -> Any:
    from napari_sam.prediction.loading import load_model

    family = getattr(options, "family", None)
    return load_model(options.model, device=device, family=family, progress=_show_bytes)


def _show_bytes(done: int, total: int | None) -> None:
    """One line that rewrites itself on a terminal; silent in a log file."""
    if not sys.stderr.isatty():
        return
    whole = f" of {total / MEGABYTE:.1f}" if total else ""
    end = "\n" if total and done >= total else ""
    line = f"\rweights: {done / MEGABYTE:.1f}{whole} MB "
    print(line, end=end, file=sys.stderr, flush=True)


_VERBS: dict[str, Callable[[argparse.Namespace], None]] = {
    "models": _models,
    "download": _download,
    "segment": _segment,
    "volume": _volume,
    "everything": _everything,
    "replay": _replay,
    "export": _export,
    "train": _train,
    "demo": _demo,
}
