"""Argument parser of the command line, with one function for each verb."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, get_args

from napari_sam.checkpoints.registry import DEFAULT_MODEL
from napari_sam.cli.jobs import add_job_options, add_scheduler, add_status_options
from napari_sam.cli.options import TRAINING, add_options
from napari_sam.cli.parsing.arguments import (
    FIRST_AXIS,
    add_axis,
    add_contrast,
    add_family,
    add_image,
    add_index,
    add_model,
    add_output,
    add_overwrite,
    add_prompts,
    add_search,
    add_selection,
    add_zoom,
)
from napari_sam.cli.postprocessing import (
    add_cleanup_options,
    add_postprocessing_options,
)
from napari_sam.exchange.folders import FOLDER_FORMATS
from napari_sam.exchange.formats import Format
from napari_sam.series.storage.state import STATUSES
from napari_sam.training.options import TrainingOptions

if TYPE_CHECKING:
    from collections.abc import Callable


def make_parser() -> argparse.ArgumentParser:
    """Make the parser; `verb` of the parsed options is the verb."""
    parser = argparse.ArgumentParser(
        prog="napari-sam",
        description="Segment images and stacks with Segment Anything models.",
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB", dest="verb")
    for name, (summary, example, add_arguments) in _VERBS.items():
        verb = verbs.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"example: {example}",
        )
        add_arguments(verb)
    return parser


def _add_segment(parser: argparse.ArgumentParser) -> None:
    add_image(parser)
    add_axis(
        parser,
        "axis that the plane lies across, if it is not one of rows and columns; "
        "--index chooses the plane",
        "",
    )
    add_prompts(
        parser,
        point="ROW,COL",
        box="R0,C0,R1,C1",
        files="points or shapes as napari saves them (CSV), ImageJ ROIs, GeoJSON, "
        "COCO, labelme, YOLO, or a JSON list of objects: "
        '[{"points": [[r, c]], "labels": [1], "box": [..]}]',
    )
    add_zoom(parser)


def _add_volume(parser: argparse.ArgumentParser) -> None:
    add_image(parser)
    add_prompts(
        parser,
        point="SLICE:ROW,COL",
        box="SLICE:R0,C0,R1,C1",
        files="points or shapes as napari saves them (CSV; rows with the same number "
        "in a column 'object' belong to one object), ImageJ ROIs, GeoJSON, COCO, "
        "labelme, YOLO, or JSON: "
        '[{"object": 1, "slice": 12, "box": [..], "points": [[r, c]], "labels": [1]}] '
        'or {"1": {"12": {"box": [..]}}}, that is object, slice, prompt',
    )
    add_axis(parser, "axis of propagation", FIRST_AXIS)
    add_zoom(parser)
    add_postprocessing_options(parser)
    add_job_options(parser)


def _add_everything(parser: argparse.ArgumentParser, *, job: bool = True) -> None:
    add_image(parser)
    add_axis(parser, "axis of the slices of a stack", FIRST_AXIS)
    add_zoom(parser)
    add_search(parser).add_argument(
        "--region",
        metavar="R0,C0,R1,C1",
        help="search only in this box of the plane, or of every slice",
    )
    add_postprocessing_options(parser, automatic=True)
    if job:
        add_job_options(parser)


def _add_plan(parser: argparse.ArgumentParser) -> None:
    _add_everything(parser, job=False)
    add_prompts(
        parser,
        point="SLICE:ROW,COL",
        box="SLICE:R0,C0,R1,C1",
        files="prompts as for `volume`; without any, everything is segmented",
    )
    add_job_options(parser, run=False)


def _add_work(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", help="folder of the job, from `plan`")
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="of the stage that encodes, do this share only, for instance "
        "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT",
    )
    parser.add_argument("--stage", help="end after this stage, see `job`")
    add_scheduler(parser, "run the whole job by")


def _add_batch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images",
        help="a folder with its sub-folders, a CSV file with a column 'image', or the "
        "folder of a series",
    )
    parser.add_argument(
        "-o",
        "--output",
        help="folder of the series: series.json and, of each image, labels, record and "
        "state (default: IMAGES, if it is a series)",
    )
    parser.add_argument(
        "--pattern", metavar="GLOB", help="files to use, for instance '*.tif'"
    )
    parser.add_argument(
        "--prompts",
        metavar="PATH",
        help="folder with a file of prompts for each image, of the same stem and in "
        "the same sub-folder, as for `segment` and `volume`; or one file for all "
        "(default: segment everything)",
    )
    parser.add_argument(
        "--again",
        action="store_true",
        help="replace the labels of images that wait for review; those that were "
        "started, done or skipped are always left",
    )
    parser.add_argument(
        "--table",
        metavar="FILE",
        help="write a CSV table of the objects of all images; an existing one is "
        "replaced",
    )
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="segment this share of the images only, beside other processes",
    )
    add_scheduler(parser, "segment the images by")
    add_selection(parser)
    add_axis(parser, "axis of the slices of stacks", FIRST_AXIS)
    add_model(parser)
    add_family(parser)
    add_contrast(parser)
    add_zoom(parser)
    add_search(parser)
    add_cleanup_options(parser, automatic=True)


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "record", help="JSON from --record, or from 'Save record' in the viewer"
    )
    parser.add_argument(
        "--image", help="the segmented image file (default: as recorded)"
    )
    add_selection(parser)
    add_output(parser, "RECORD_labels.tif beside the record")
    parser.add_argument(
        "--model", help="the same weights, if they do not load by their recorded name"
    )


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="name, file or folder of a model")
    parser.add_argument("--output", required=True, help="folder to write to")
    parser.add_argument(
        "--layout",
        choices=("napari-sam", "official"),
        default="napari-sam",
        help="official: inputs and outputs of segment-anything's export, for other "
        "programs; the encoder as samexporter writes it (default: napari-sam)",
    )
    parser.add_argument(
        "--return-single-mask",
        action="store_true",
        help="with --layout official: one mask instead of four",
    )
    add_family(parser)
    add_overwrite(parser)


def _add_export_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "labels", help="a label TIFF, or the folder of a series (see `batch`)"
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        help="file to write: .json (COCO), .geojson (QuPath), .zip (ImageJ ROIs) or "
        ".txt (YOLO); of a series, one file for COCO, else a folder, with --format",
    )
    parser.add_argument(
        "--status",
        choices=STATUSES,
        help="images of a series to export (default: all with labels)",
    )
    parser.add_argument(
        "--format",
        choices=(*get_args(Format), *FOLDER_FORMATS),
        help="the format, where the ending does not tell: labelme is .json, too. Of a "
        f"series also {', '.join(FOLDER_FORMATS)}",
    )
    add_index(parser)
    add_overwrite(parser)


def _add_import_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "annotations", help="ImageJ ROI or ROI set, GeoJSON, COCO, labelme or YOLO"
    )
    add_output(parser, "ANNOTATIONS_labels.tif beside the annotations")
    parser.add_argument(
        "--image",
        help="TIFF file that was annotated: the labels get its axes and pixel size",
    )
    parser.add_argument(
        "--shape",
        metavar="H,W",
        help="size of the image instead, or Z,H,W of a stack (default: as in the file)",
    )
    add_index(parser)


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "images", help="an image file, plane or stack, or a folder of them"
    )
    parser.add_argument(
        "labels",
        help="labels of the same shape, or a folder with files of the same names, "
        "optionally followed by _labels or _masks",
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        help=".safetensors (loads without further options), .pth, or a folder in "
        "Hugging Face layout",
    )
    add_overwrite(parser)
    parser.add_argument(
        "--resume",
        action="store_true",
        help="resume the interrupted run saved next to OUTPUT",
    )
    prompts = ",".join(TrainingOptions().prompts)
    parser.add_argument(
        "--prompts",
        default=prompts,
        metavar="KIND,...",
        help=f"prompt types to train on: point, box, mask (default: {prompts})",
    )
    add_options(parser, TrainingOptions, TRAINING)
    parser.add_argument(
        "--licence", help="licence of the new weights (default: as the model's)"
    )
    add_selection(parser)
    add_axis(parser, "axis of the slices of stacks", FIRST_AXIS)
    add_model(parser)
    add_family(parser)


def _add_info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clear-leftovers",
        action="store_true",
        help="delete what interrupted downloads left in the folder of weights",
    )


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", default="napari-sam-demo", help="folder to write to"
    )
    add_model(parser)


# Verb: (what it does, an example, function that adds its arguments).
_VERBS: dict[str, tuple[str, str, Callable[[argparse.ArgumentParser], object]]] = {
    "models": ("list the models", "napari-sam models", lambda _: None),
    "download": (
        "download the weights of a model",
        f"napari-sam download {DEFAULT_MODEL}",
        lambda parser: parser.add_argument(
            "name", help="a name listed by: napari-sam models"
        ),
    ),
    "segment": (
        "segment objects on one plane from prompts",
        "napari-sam segment cells.tif --box 20,30,80,90 --box 5,5,25,40",
        _add_segment,
    ),
    "volume": (
        "propagate objects through a stack from prompts",
        "napari-sam volume stack.tif --box 12:20,30,80,90 --prompts points.csv "
        "--fill-holes --table objects.csv",
        _add_volume,
    ),
    "everything": (
        "segment all objects of a plane or a stack without prompts",
        "napari-sam everything cells.tif --min-size 50 --table objects.csv",
        _add_everything,
    ),
    "batch": (
        "segment all images of a folder; run it again to go on. The exit code is 0 "
        "when all were written, 3 when some failed",
        "napari-sam batch images/ --output annotations/ --table objects.csv",
        _add_batch,
    ),
    "plan": (
        "write the folder of a job on a stack: many small tasks, and what they cost",
        "napari-sam plan stack.ome.zarr --output stack.ome.zarr --name sam "
        "--workdir job",
        _add_plan,
    ),
    "work": (
        "do the tasks of a job that are left, alone or beside others that do the same. "
        "The exit code is 0, or 3 when tasks failed",
        "napari-sam work job --shard 3/20",
        _add_work,
    ),
    "job": (
        "say how far a job is: exit code 0 when complete, 3 failed tasks, 4 tasks left",
        "napari-sam job job --json",
        add_status_options,
    ),
    "replay": (
        "make labels again from their record",
        "napari-sam replay cells.json --image cells.tif",
        _add_replay,
    ),
    "export": (
        "write a model as ONNX: an image encoder and a prompt decoder",
        f"napari-sam export {DEFAULT_MODEL} --output {DEFAULT_MODEL}_onnx",
        _add_export,
    ),
    "export-labels": (
        "write labels as annotations for QuPath, ImageJ, COCO, labelme or YOLO",
        "napari-sam export-labels cells_labels.tif --output cells.geojson",
        _add_export_labels,
    ),
    "import-labels": (
        "write annotations of these programs as labels",
        "napari-sam import-labels RoiSet.zip --image cells.tif",
        _add_import_labels,
    ),
    "train": (
        "fine-tune a model on labelled images",
        "napari-sam train images/ labels/ --output cells.safetensors",
        _add_train,
    ),
    "info": (
        "print versions, devices, folders and models, for reports of problems",
        "napari-sam info",
        _add_info,
    ),
    "demo": (
        "segment sample images and write labels and pictures",
        "napari-sam demo --output napari-sam-demo",
        _add_demo,
    ),
}
