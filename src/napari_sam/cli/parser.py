"""What the command line takes: the parser, a function for each verb."""

from __future__ import annotations

import argparse
from typing import Any

from napari_sam.automatic.candidates import Thresholds
from napari_sam.checkpoints.registry import DEFAULT_MODEL
from napari_sam.cli.postprocessing import add_result_options
from napari_sam.cli.train import EXAMPLE, add_train_options

_DEFAULTS = Thresholds()


def make_parser() -> argparse.ArgumentParser:
    """Make the parser; `verb` in what it parses says what to do."""
    parser = argparse.ArgumentParser(
        prog="napari-sam",
        description="Segment Anything on images and stacks, without a display.",
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB", dest="verb")
    _add(verbs, "models", "list the models", "napari-sam models")
    download = _add(
        verbs,
        "download",
        "bring the weights of a model",
        f"napari-sam download {DEFAULT_MODEL}",
    )
    download.add_argument("name", help="a name listed by: napari-sam models")
    _add_segment(verbs)
    _add_volume(verbs)
    _add_everything(verbs)
    _add_replay(verbs)
    _add_export(verbs)
    train = _add(verbs, "train", "fine-tune a model on labelled images", EXAMPLE)
    add_train_options(train)
    _add_index(train)
    _add_model(train)
    _add_family(train)
    demo = _add(
        verbs,
        "demo",
        "segment real sample images and write labels and pictures",
        "napari-sam demo --output napari-sam-demo",
    )
    demo.add_argument("--output", default="napari-sam-demo", help="folder to write to")
    _add_model(demo)
    return parser


def _add_export(verbs: Any) -> None:
    export = _add(
        verbs,
        "export",
        "write a model as ONNX: an image encoder and a decoder of prompts",
        f"napari-sam export {DEFAULT_MODEL} --output {DEFAULT_MODEL}_onnx",
    )
    export.add_argument("model", help="name, file or folder")
    export.add_argument("--output", required=True, help="folder to write to")
    _add_family(export)
    export.add_argument(
        "--overwrite", action="store_true", help="replace files that exist"
    )


def _add_segment(verbs: Any) -> None:
    segment = _add(
        verbs,
        "segment",
        "segment objects on one plane",
        "napari-sam segment cells.tif --box 20,30,80,90 --box 5,5,25,40",
    )
    _add_image(segment)
    segment.add_argument(
        "--point",
        action="append",
        default=[],
        metavar="ROW,COL",
        help="a click on an object, each an object of its own; repeatable",
    )
    segment.add_argument(
        "--box",
        action="append",
        default=[],
        metavar="R0,C0,R1,C1",
        help="a box around an object; repeatable",
    )
    segment.add_argument(
        "--prompts",
        action="append",
        default=[],
        metavar="FILE",
        help="points or shapes as napari saves them (CSV), or a JSON list of objects: "
        '[{"points": [[r, c]], "labels": [1], "box": [..]}]; repeatable',
    )


def _add_volume(verbs: Any) -> None:
    volume = _add(
        verbs,
        "volume",
        "segment objects through a stack",
        "napari-sam volume stack.tif --box 12:20,30,80,90 --prompts points.csv "
        "--fill-holes --table objects.csv",
    )
    _add_image(volume)
    volume.add_argument(
        "--point",
        action="append",
        default=[],
        metavar="SLICE:ROW,COL",
        help="a click on a slice, each an object of its own; repeatable",
    )
    volume.add_argument(
        "--box",
        action="append",
        default=[],
        metavar="SLICE:R0,C0,R1,C1",
        help="a box on a slice, each an object of its own; repeatable",
    )
    volume.add_argument(
        "--prompts",
        action="append",
        default=[],
        metavar="FILE",
        help="points or shapes as napari saves them (CSV; a column 'object' joins "
        "slices), or JSON: "
        '[{"object": 1, "slice": 12, "box": [..], "points": [[r, c]], "labels": [1]}] '
        'or {"1": {"12": {"box": [..]}}}, that is object, slice, prompt; repeatable',
    )
    volume.add_argument(
        "--axis",
        default="0",
        help="axis to walk along, by number or by name, for instance 1 or T "
        "(default: 0, the first that is left after --index)",
    )
    add_result_options(volume)


def _add_everything(verbs: Any) -> None:
    everything = _add(
        verbs,
        "everything",
        "segment everything in a plane or in a stack, without prompts",
        "napari-sam everything cells.tif --min-size 50",
    )
    _add_image(everything, record=False)
    everything.set_defaults(prompts=[], record=None)
    everything.add_argument(
        "--axis", type=int, default=0, help="axis of a stack (default: 0)"
    )
    everything.add_argument(
        "--points-per-side",
        type=int,
        default=32,
        metavar="N",
        help="grid for models that know points (default: 32); others search by boxes",
    )
    everything.add_argument(
        "--crop-n-layers",
        type=int,
        default=0,
        metavar="N",
        help="for small objects: level 1 adds 4 crops that are seen enlarged, level 2 "
        "16 more (default: 0)",
    )
    chosen = everything.add_argument_group("which masks are objects")
    for name, words in (
        ("pred-iou-thresh", "minimum IoU as the model predicts it"),
        ("stability-score-thresh", "minimum stability of the mask under its threshold"),
        ("quality-thresh", "minimum product of both"),
        ("box-nms-thresh", "maximum IoU of the boxes of two masks"),
    ):
        default = getattr(_DEFAULTS, name.replace("-", "_"))
        chosen.add_argument(
            f"--{name}",
            type=float,
            default=default,
            metavar="0..1",
            help=f"{words} (default: {default})",
        )
    chosen.add_argument("--min-size", type=int, default=0, metavar="PIXELS")
    chosen.add_argument("--max-size", type=int, metavar="PIXELS")
    linked = everything.add_argument_group("objects of a stack")
    linked.add_argument(
        "--min-slices", type=int, default=2, metavar="N", help="shortest (default: 2)"
    )
    linked.add_argument(
        "--gap",
        type=int,
        default=1,
        metavar="N",
        help="most slices without the object that are bridged (default: 1)",
    )


def _add_replay(verbs: Any) -> None:
    replay = _add(
        verbs,
        "replay",
        "make labels again from the record of how they were made",
        "napari-sam replay cells.json --image cells.tif",
    )
    replay.add_argument(
        "record", help="JSON from --record, or from 'Save record' in the widget"
    )
    replay.add_argument(
        "--image", help="the TIFF file that was segmented (default: as recorded)"
    )
    _add_index(replay)
    _add_output(replay, "RECORD_labels.tif beside it")
    replay.add_argument(
        "--model",
        help="the same weights, where they are not found under their recorded name",
    )


def _add(verbs: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=f"example: {example}",
    )
    return parser


def _add_image(parser: argparse.ArgumentParser, *, record: bool = True) -> None:
    parser.add_argument("image", help="a TIFF file")
    _add_output(parser, "IMAGE_labels.tif beside it")
    if record:
        parser.add_argument(
            "--record",
            metavar="FILE",
            help="also write down, as JSON, what made the labels: see napari-sam "
            "replay",
        )
    _add_index(parser)
    _add_model(parser)
    _add_family(parser)
    brightness = parser.add_mutually_exclusive_group()
    brightness.add_argument(
        "--contrast",
        metavar="LOW,HIGH",
        help="values shown to the model as black and white (default: from the data)",
    )
    brightness.add_argument(
        "--window",
        metavar="CENTRE,WIDTH",
        help="the same as a CT window, for instance 40,400",
    )
    brightness.add_argument(
        "--full-range",
        action="store_true",
        help="the lowest and highest value become black and white",
    )


def _add_family(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--family",
        choices=["sam", "medsam", "lite_medsam"],
        help="for a file that the registry does not know: how it was trained",
    )


def _add_output(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("-o", "--output", help=f"label TIFF (default: {default})")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files that exist"
    )


def _add_index(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--index",
        default="",
        metavar="AXIS=N,...",
        help="which time point, channel or slice to take, for instance T=0,C=1",
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=DEFAULT_MODEL, help="name, file or folder")
