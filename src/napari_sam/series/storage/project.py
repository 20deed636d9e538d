"""The file of a series: where its images are, what is used of them, their classes."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from napari_sam.files import read_json, write_json
from napari_sam.records.image_record import Choice

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT = 1
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
# For new classes: the colours of Okabe and Ito, which colour-blind people tell apart.
COLORS = (
    *("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"),
)


@dataclass(frozen=True, slots=True)
class Project:
    """Content of series.json.

    Parameters
    ----------
    root : str
        Folder of the images, relative to the file's folder where possible.
    images : tuple of str
        Names of the images, relative to the root, with slashes.
    choice : Choice
        What is used of each image file.
    classes : mapping
        {name of a class: its colour, "#rrggbb"}, in order.
    """

    root: str
    images: tuple[str, ...] = ()
    choice: Choice = field(default_factory=Choice)
    classes: Mapping[str, str] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        choice = {
            "index": dict(self.choice.index),
            "series": self.choice.series,
            "axes": self.choice.axes,
        }
        classes = [{"name": n, "color": color} for n, color in self.classes.items()]
        content = {
            "format": FORMAT,
            "root": self.root,
            "images": list(self.images),
            "choice": choice,
            "classes": classes,
        }
        write_json(path, content)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file.

        Raises
        ------
        ValueError
            When it is damaged or of a later version.
        OSError
            When it cannot be read.
        """
        content = read_json(path)
        if not isinstance(content, dict) or "images" not in content:
            raise ValueError(f"{path} is not the file of a series: choose another.")
        if content.get("format") != FORMAT:
            raise ValueError(
                f"{path} has format {content.get('format')!r}, this version reads "
                f"format {FORMAT}: install a newer napari-sam."
            )
        try:
            images = tuple(map(_check_name, content["images"]))
            classes = {
                check_class(entry["name"]): check_color(entry["color"])
                for entry in content.get("classes", [])
            }
            choice = Choice.from_json(content.get("choice", {}))
            return cls(str(content["root"]), images, choice, classes)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} is damaged ({error}): restore it.") from error

    def with_class(self, name: str, color: str | None = None) -> Self:
        """Return the project with a class, new or in another colour."""
        name = check_class(name)
        if color is None:
            color = self.classes.get(name) or self._free_color()
        return replace(self, classes={**self.classes, name: check_color(color)})

    def _free_color(self) -> str:
        used = set(self.classes.values())
        free = [color for color in COLORS if color not in used]
        return free[0] if free else COLORS[len(self.classes) % len(COLORS)]


def _check_name(name: Any) -> str:
    if not isinstance(name, str) or not name or ".." in name.split("/"):
        raise ValueError(f"{name!r} is no name of an image")
    if name.startswith("/") or os.path.isabs(name):
        raise ValueError(f"{name!r} is not relative to the root")
    return name


def check_class(name: Any) -> str:
    """Return the name of a class, without spaces around it.

    Raises
    ------
    ValueError
        When it is empty or no text.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"The class {name!r} has no name: give a text.")
    return name.strip()


def check_color(color: Any) -> str:
    """Return a colour, in lower case.

    Raises
    ------
    ValueError
        When it is not of the form #rrggbb.
    """
    if not isinstance(color, str) or not _COLOR.fullmatch(color):
        raise ValueError(f"The colour {color!r} is not of the form #1f77b4.")
    return color.lower()


def relative_root(root: Path, output: Path) -> str:
    """Return the root relative to the output folder, or absolute on another drive."""
    try:
        text = os.path.relpath(root, output)
    except ValueError:
        text = str(root)
    return Path(text).as_posix()
