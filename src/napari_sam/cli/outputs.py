"""Where the command line writes, refused before the work rather than after it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import argparse

_LABELS = "labels are TIFF, name it .tif"
_RECORD = "records are JSON, name it .json"
_TABLE = "tables are CSV, name it .csv"

_Inputs = list[tuple[str, str | None]]


class Outputs(NamedTuple):
    """Files to be written; None for those that were not asked for."""

    labels: Path
    record: Path | None
    table: Path | None


def outputs(options: argparse.Namespace) -> Outputs:
    """Where `segment` and `volume` write labels and, when asked for, more.

    Raises
    ------
    ValueError
        When a file could not be written after the work, or must not be.
    """
    inputs: _Inputs = [("image", options.image), ("model", options.model)]
    inputs += [("file of prompts", path) for path in options.prompts]
    labels = _labels_path(options, options.image, inputs)
    inputs.append(("file of labels", str(labels)))
    record = table = None
    if options.record is not None:
        record = Path(options.record)
        _check_output("--record", record, inputs, options.overwrite)
        if record.suffix.lower() not in ("", ".json"):
            raise ValueError(f"--record {record}: {_RECORD}.")
        inputs.append(("record", str(record)))
    if getattr(options, "table", None) is not None:
        table = Path(options.table)
        _check_output("--table", table, inputs, options.overwrite)
        if table.suffix.lower() not in ("", ".csv"):
            raise ValueError(f"--table {table}: {_TABLE}.")
    return Outputs(labels, record, table)


def replay_output(options: argparse.Namespace, image: Path) -> Path:
    """Where `replay` writes, refused as `outputs` does."""
    named = {"image": str(image), "record": options.record, "model": options.model}
    return _labels_path(options, options.record, [*named.items()])


def _labels_path(options: argparse.Namespace, source: str, inputs: _Inputs) -> Path:
    """The label file, by default named after its source and beside it."""
    beside = Path(source)
    # Of the name only the ending goes: cells.t1.tif and cells.t2.tif stay apart.
    ending = r"((\.ome)?\.tiff?|\.json)$"
    stem = re.sub(ending, "", beside.name, flags=re.IGNORECASE)
    default = beside.with_name(f"{stem}_labels.tif")
    path = Path(options.output) if options.output else default
    _check_output("--output", path, inputs, options.overwrite)
    if path.suffix.lower() not in ("", ".tif", ".tiff"):
        raise ValueError(f"--output {path}: {_LABELS}.")
    return path


def _check_output(flag: str, path: Path, inputs: _Inputs, overwrite: bool) -> None:
    """Refuse a file before the work rather than after it."""
    for role, given in inputs:
        if given and _is_same(path, Path(given)):
            raise ValueError(f"{flag} {path} is the {role} itself: name another file.")
    if path.is_dir():
        raise ValueError(f"{flag} {path} is a folder: name a file in it.")
    if not path.parent.is_dir():
        raise ValueError(f"The folder {path.parent} does not exist: make it first.")
    if path.exists() and not path.is_file():
        raise ValueError(f"{flag} {path} is no ordinary file: name another file.")
    if path.exists() and not overwrite:
        raise ValueError(
            f"{path} exists: name another file with {flag}, or give --overwrite."
        )
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"The folder {path.parent} cannot be written to.")


def _is_same(path: Path, other: Path) -> bool:
    if path.exists() and other.exists():
        return path.samefile(other)
    return path.resolve() == other.resolve()
