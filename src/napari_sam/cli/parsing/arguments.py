"""Arguments that several verbs of the command line share."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.linking import Linking
from napari_sam.automatic.search import SearchMethod, SearchOptions
from napari_sam.checkpoints.registry import DEFAULT_MODEL
from napari_sam.cli.options import LINKING, SEARCH, THRESHOLDS, add_options

if TYPE_CHECKING:
    import argparse

FIRST_AXIS = (
    " (default: the first axis that is left after --index, if it is of space or time)"
)


def add_image(parser: argparse.ArgumentParser) -> None:
    """Add the options of all verbs that segment an image file."""
    parser.add_argument(
        "image", help="a file: TIFF, PNG, JPEG, or a folder of OME-Zarr named .zarr"
    )
    add_output(parser, "IMAGE_labels.tif beside the image")
    parser.add_argument(
        "--record",
        metavar="FILE",
        help="also write a JSON record, from which `napari-sam replay` makes the "
        "labels again",
    )
    add_selection(parser)
    add_model(parser)
    add_family(parser)
    add_contrast(parser)


def add_contrast(parser: argparse.ArgumentParser) -> None:
    """Add the options for the contrast limits."""
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


def add_zoom(parser: argparse.ArgumentParser) -> None:
    """Add --zoom."""
    parser.add_argument(
        "--zoom",
        default="auto",
        metavar="auto|off|FACTOR",
        help="auto: segment small objects in enlarged windows that fit them; off: show "
        "the model whole planes; FACTOR: windows of the side of the plane divided by "
        "it (default: auto)",
    )


def add_search(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the options of automatic segmentation; return their group."""
    search = parser.add_argument_group("search")
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
    return search


def add_prompts(
    parser: argparse.ArgumentParser, *, point: str, box: str, files: str
) -> None:
    """Add --point, --box and --prompts."""
    for flag, metavar, text in (
        ("--point", point, "a click; each is an object of its own; repeatable"),
        ("--box", box, "a box; each is an object of its own; repeatable"),
        ("--prompts", "FILE", f"{files}; repeatable"),
    ):
        parser.add_argument(
            flag, action="append", default=[], metavar=metavar, help=text
        )


def add_axis(parser: argparse.ArgumentParser, meaning: str, default: str) -> None:
    """Add --axis; `meaning` says what it is here."""
    parser.add_argument(
        "--axis",
        help=f"{meaning}; by name or by number, for instance T or 1{default}",
    )


def add_family(parser: argparse.ArgumentParser) -> None:
    """Add --family."""
    parser.add_argument(
        "--family",
        choices=["sam", "medsam", "lite_medsam"],
        help="how the model was trained, for a file that is not in the list of models",
    )


def add_output(parser: argparse.ArgumentParser, default: str) -> None:
    """Add --output for labels, and --overwrite."""
    parser.add_argument("-o", "--output", help=f"label TIFF (default: {default})")
    add_overwrite(parser)


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Add --overwrite."""
    parser.add_argument(
        "--overwrite", action="store_true", help="replace existing files"
    )


def add_index(parser: argparse.ArgumentParser) -> None:
    """Add --index."""
    parser.add_argument(
        "--index",
        default="",
        metavar="AXIS=N,...",
        help="time point, channel or slice to use, for instance T=0,C=1",
    )


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the options for what to use of an image file."""
    add_index(parser)
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


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add --model."""
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        help=f"name, file or folder of a model (default: {DEFAULT_MODEL})",
    )
