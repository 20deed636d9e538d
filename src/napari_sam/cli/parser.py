"""Argument parser of the command line, with one function for each verb."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, get_args

from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.linking import Linking
from napari_sam.automatic.search import SearchMethod, SearchOptions
from napari_sam.checkpoints.registry import DEFAULT_MODEL
from napari_sam.cli.options import (
    LINKING,
    SEARCH,
    THRESHOLDS,
    TRAINING,
    add_options,
)
from napari_sam.cli.postprocessing import add_postprocessing_options
from napari_sam.exchange.formats import Format
from napari_sam.training.options import TrainingOptions

if TYPE_CHECKING:
    from collections.abc import Callable


_FIRST_AXIS = (
    " (default: the first axis that is left after --index, if it is of space or time)"
)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser; `verb` of the parsed options is the verb."""
    parser = argparse.ArgumentParser(
        prog="napari-sam",
        description="Segment images and stacks with Segment Anything models, without "
        "a display.",
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
    _add_image(parser)
    _add_axis(
        parser,
        "axis that the plane lies across, if it is not one of rows and columns; "
        "--index chooses the plane",
        "",
    )
    _add_prompts(
        parser,
        point="ROW,COL",
        box="R0,C0,R1,C1",
        files="points or shapes as napari saves them (CSV), ImageJ ROIs, GeoJSON, "
        "COCO, labelme, YOLO, or a JSON list of objects: "
        '[{"points": [[r, c]], "labels": [1], "box": [..]}]',
    )
    _add_zoom(parser)


def _add_volume(parser: argparse.ArgumentParser) -> None:
    _add_image(parser)
    _add_prompts(
        parser,
        point="SLICE:ROW,COL",
        box="SLICE:R0,C0,R1,C1",
        files="points or shapes as napari saves them (CSV; rows with the same number "
        "in a column 'object' belong to one object), ImageJ ROIs, GeoJSON, COCO, "
        "labelme, YOLO, or JSON: "
        '[{"object": 1, "slice": 12, "box": [..], "points": [[r, c]], "labels": [1]}] '
        'or {"1": {"12": {"box": [..]}}}, that is object, slice, prompt',
    )
    _add_axis(parser, "axis of propagation", _FIRST_AXIS)
    _add_zoom(parser)
    add_postprocessing_options(parser)


def _add_everything(parser: argparse.ArgumentParser) -> None:
    _add_image(parser)
    _add_axis(parser, "axis of the slices of a stack", _FIRST_AXIS)
    _add_zoom(parser)
    search = parser.add_argument_group("search")
    search.add_argument(
        "--region",
        metavar="R0,C0,R1,C1",
        help="search only in this box of the plane, or of every slice",
    )
    search.add_argument(
        "--method",
        dest="SearchOptions.method",
        choices=get_args(SearchMethod),
        default="auto",
        help="prompts: search by prompts even if the model has an instance head "
        "(default: auto)",
    )
    add_options(search, SearchOptions, SEARCH)
    thresholds = parser.add_argument_group("thresholds", "which masks become objects")
    add_options(thresholds, Thresholds, THRESHOLDS)
    linking = parser.add_argument_group("linking", "objects of a stack across slices")
    add_options(linking, Linking, LINKING)
    add_postprocessing_options(parser, automatic=True)


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "record", help="JSON from --record, or from 'Save record' in the viewer"
    )
    parser.add_argument(
        "--image", help="the segmented image file (default: as recorded)"
    )
    _add_selection(parser)
    _add_output(parser, "RECORD_labels.tif beside the record")
    parser.add_argument(
        "--model", help="the same weights, if they do not load by their recorded name"
    )


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="name, file or folder of a model")
    parser.add_argument("--output", required=True, help="folder to write to")
    _add_family(parser)
    _add_overwrite(parser)


def _add_export_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("labels", help="a label TIFF")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        help="file to write: .json (COCO), .geojson (QuPath), .zip (ImageJ ROIs) or "
        ".txt (YOLO)",
    )
    parser.add_argument(
        "--format",
        choices=get_args(Format),
        help="the format, where the ending does not tell: labelme is .json, too",
    )
    _add_index(parser)
    _add_overwrite(parser)


def _add_import_labels(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "annotations", help="ImageJ ROI or ROI set, GeoJSON, COCO, labelme or YOLO"
    )
    _add_output(parser, "ANNOTATIONS_labels.tif beside the annotations")
    parser.add_argument(
        "--image",
        help="TIFF file that was annotated: the labels get its axes and pixel size",
    )
    parser.add_argument(
        "--shape",
        metavar="H,W",
        help="size of the image instead, or Z,H,W of a stack (default: as in the file)",
    )
    _add_index(parser)


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
    _add_overwrite(parser)
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
    _add_selection(parser)
    _add_axis(parser, "axis of the slices of stacks", _FIRST_AXIS)
    _add_model(parser)
    _add_family(parser)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--output", default="napari-sam-demo", help="folder to write to"
    )
    _add_model(parser)


def _add_image(parser: argparse.ArgumentParser) -> None:
    """Add the options of all verbs that segment an image file."""
    parser.add_argument(
        "image", help="a file: TIFF, PNG, JPEG, or a folder of OME-Zarr named .zarr"
    )
    _add_output(parser, "IMAGE_labels.tif beside the image")
    parser.add_argument(
        "--record",
        metavar="FILE",
        help="also write a JSON record, from which `napari-sam replay` makes the "
        "labels again",
    )
    _add_selection(parser)
    _add_model(parser)
    _add_family(parser)
    contrast = parser.add_mutually_exclusive_group()
    contrast.add_argument(
        "--contrast",
        metavar="LOW,HIGH",
        help="contrast limits: grey values that the model receives as black and white "
        "(default: from the data)",
    )
    contrast.add_argument(
        "--window",
        metavar="CENTRE,WIDTH",
        help="contrast limits as a CT window, for instance 40,400",
    )
    contrast.add_argument(
        "--full-range",
        action="store_true",
        help="use the lowest and highest value as contrast limits",
    )


def _add_zoom(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--zoom",
        default="auto",
        metavar="auto|off|FACTOR",
        help="auto: segment small objects in enlarged windows that fit them; off: show "
        "the model whole planes; FACTOR: windows of the side of the plane divided by "
        "it (default: auto)",
    )


def _add_prompts(
    parser: argparse.ArgumentParser, *, point: str, box: str, files: str
) -> None:
    for flag, metavar, text in (
        ("--point", point, "a click; each is an object of its own; repeatable"),
        ("--box", box, "a box; each is an object of its own; repeatable"),
        ("--prompts", "FILE", f"{files}; repeatable"),
    ):
        parser.add_argument(
            flag, action="append", default=[], metavar=metavar, help=text
        )


def _add_axis(parser: argparse.ArgumentParser, meaning: str, default: str) -> None:
    parser.add_argument(
        "--axis",
        help=f"{meaning}; by name or by number, for instance T or 1{default}",
    )


def _add_family(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--family",
        choices=["sam", "medsam", "lite_medsam"],
        help="how the model was trained, for a file that is not in the list of models",
    )


def _add_output(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("-o", "--output", help=f"label TIFF (default: {default})")
    _add_overwrite(parser)


def _add_overwrite(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--overwrite", action="store_true", help="replace existing files"
    )


def _add_index(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--index",
        default="",
        metavar="AXIS=N,...",
        help="time point, channel or slice to use, for instance T=0,C=1",
    )


def _add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the options for what to use of an image file."""
    _add_index(parser)
    parser.add_argument(
        "--series",
        metavar="N|NAME",
        help="which image to use of a file with several, by number or name (default: "
        "the largest)",
    )
    parser.add_argument(
        "--axes",
        metavar="LETTERS",
        help="names of the axes as they are stored, instead of those in the file: T, "
        "C, Z, Y rows, X columns, S colour; for instance ZYX",
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        help=f"name, file or folder of a model (default: {DEFAULT_MODEL})",
    )


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
    "demo": (
        "segment sample images and write labels and pictures",
        "napari-sam demo --output napari-sam-demo",
        _add_demo,
    ),
}
