"""Command-line options made from the fields of dataclasses.

A field gives its option the type and the default, so that both are written once. The
help texts are in the tables below: a field without a text gets no option.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    Parser = argparse.ArgumentParser | argparse._ArgumentGroup

T = TypeVar("T")
_TYPES: dict[str, tuple[type, str]] = {"int": (int, "N"), "float": (float, "X")}

SEARCH = {
    "object_diameter": "usual diameter of the objects in pixels, for models with an "
    "instance head (default: found out)",
    "points_per_side": "points along each side of the grid; for models trained on "
    "points, other models search with boxes",
    "crop_n_layers": "layers of enlarged crops, to find small objects: the first layer "
    "has 4 crops, the second 16",
}
THRESHOLDS = {
    "pred_iou_thresh": "minimum predicted IoU, 0 to 1",
    "stability_score_thresh": "minimum stability score, 0 to 1",
    "quality_thresh": "minimum quality, 0 to 1: of an instance head the probability "
    "that it is an object, else the product of both (default: 0.4, else 0.7)",
    "box_nms_thresh": "box NMS threshold: of two masks whose boxes have a higher IoU, "
    "the better one is kept",
    "min_size": "minimum size on a plane, in pixels",
    "max_size": "maximum size on a plane, in pixels (default: no limit)",
}
LINKING = {
    "min_slices": "minimum number of slices",
    "gap": "maximum number of missing slices to interpolate",
}
CLEANUP = {
    "keep_prompted": "remove the parts of an object without a prompt",
    "fill_holes": "fill holes on every slice",
    "smooth": "smooth outlines across slices: standard deviation of a Gaussian, in "
    "slices, or in the unit of --spacing if given",
    "min_size": "remove the parts of an object with fewer than N voxels",
}
TRAINING = {
    "steps": "maximum number of steps",
    "objects": "objects of an image in each step",
    "learning_rate": "highest learning rate",
    "augmentations": "flips and quarter turns to train on, 1 to 8",
    "encoder_blocks": "last blocks of the image encoder to train; slow",
    "held_out": "fraction of the images held out for validation",
    "validate_every": "steps between validations",
    "seed": "random seed",
    "head_steps": "maximum number of steps of the instance head",
    "all_labelled": "all objects of the images have labels, not only some: teaches the "
    "instance head the background, too",
}


def add_options(
    parser: Parser,
    cls: type,
    texts: Mapping[str, str],
    flags: Mapping[str, str] | None = None,
) -> None:
    """Add an option for each field of a dataclass that has a help text.

    Parameters
    ----------
    parser : ArgumentParser or argument group
        Gets the options.
    cls : type
        A dataclass; `read_options` makes an instance of it.
    texts : mapping
        {field name: help text}.
    flags : mapping, optional
        {field name: flag} of options that are not named like their field.
    """
    by_name = {field.name: field for field in fields(cls)}
    for name, text in texts.items():
        field = by_name[name]
        flag = (flags or {}).get(name, f"--{name.replace('_', '-')}")
        settings: dict[str, Any] = {"dest": f"{cls.__name__}.{name}", "help": text}
        if field.type == "bool":
            settings["action"] = "store_true"
        else:
            kind, metavar = _TYPES[str(field.type).removesuffix(" | None")]
            settings |= {"type": kind, "metavar": metavar, "default": field.default}
            if field.default is not None:
                settings["help"] = f"{text} (default: {field.default:g})"
        parser.add_argument(flag, **settings)


def read_options(cls: type[T], options: argparse.Namespace, **values: Any) -> T:
    """Make an instance of a dataclass from the options of `add_options`.

    Parameters
    ----------
    cls : type
        The dataclass.
    options : argparse.Namespace
        The parsed command line.
    **values
        Further fields.

    Raises
    ------
    ValueError
        When a value is out of range.
    """
    prefix = f"{cls.__name__}."
    for name, value in vars(options).items():
        if name.startswith(prefix):
            values[name.removeprefix(prefix)] = value
    return cls(**values)
