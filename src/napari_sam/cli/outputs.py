"""Output files of the command line, checked before the work starts."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from napari_sam.images.reading.read import ENDINGS, is_zarr

if TYPE_CHECKING:
    import argparse

# Option: (its name in messages, sentence about the file name, endings).
_KINDS = {
    "output": ("file of labels", "labels are TIFF, name it .tif", (".tif", ".tiff")),
    "record": ("record", "records are JSON, name it .json", (".json",)),
    "table": ("table", "tables are CSV, name it .csv", (".csv",)),
    "annotations": (
        "file of annotations",
        "annotations are JSON, GeoJSON, ZIP or text; name it .json, .geojson, .zip or "
        ".txt",
        (".json", ".geojson", ".zip", ".txt"),
    ),
}

# Endings of annotations that a default name of labels leaves out.
_ANNOTATIONS = (".json", ".geojson", ".zip", ".roi", ".txt")

_Inputs = list[tuple[str, str | None]]


class Outputs(NamedTuple):
    """Files to write; None for those that are not wanted."""

    labels: Path
    record: Path | None
    table: Path | None


def read_outputs(options: argparse.Namespace) -> Outputs:
    """Read and check --output, --record and --table.

    Raises
    ------
    ValueError
        When a file cannot be written, or is an input or another output.
    """
    inputs: _Inputs = [("image", options.image), ("model", options.model)]
    inputs += [("file of prompts", path) for path in getattr(options, "prompts", ())]
    labels = _labels_path(options, options.image, inputs)
    inputs.append((_KINDS["output"][0], str(labels)))
    files: dict[str, Path | None] = {}
    for option in ("record", "table"):
        text = getattr(options, option, None)
        files[option] = None if text is None else Path(text)
        if text is not None:
            _check_output(option, Path(text), inputs, options.overwrite)
            inputs.append((_KINDS[option][0], text))
    return Outputs(labels, **files)


def read_replay_output(options: argparse.Namespace, image: Path) -> Path:
    """Read and check --output of `replay`; see `read_outputs`."""
    inputs = {"image": str(image), "record": options.record, "model": options.model}
    return _labels_path(options, options.record, [*inputs.items()])


def read_annotations_output(options: argparse.Namespace) -> Path:
    """Read and check --output of `export-labels`; see `read_outputs`."""
    path = Path(options.output)
    inputs: _Inputs = [("file of labels", options.labels)]
    _check_output("annotations", path, inputs, options.overwrite, "--output")
    return path


def read_import_output(options: argparse.Namespace) -> Path:
    """Read and check --output of `import-labels`; see `read_outputs`."""
    inputs = {"file of annotations": options.annotations, "image": options.image}
    return _labels_path(options, options.annotations, [*inputs.items()])


def read_export_output(options: argparse.Namespace) -> Path:
    """Read and check --output of `export`, a folder.

    Raises
    ------
    ValueError
        When it has files that would be replaced, or options do not fit the layout.
    """
    from napari_sam.onnx.decoder import LAYOUTS

    folder = Path(options.output)
    for name in LAYOUTS[options.layout]:
        if (folder / name).exists() and not options.overwrite:
            raise ValueError(
                f"{folder / name} exists: name another folder, or give --overwrite."
            )
    if options.return_single_mask and options.layout != "official":
        raise ValueError("--return-single-mask needs --layout official: give both.")
    return folder


def _labels_path(options: argparse.Namespace, source: str, inputs: _Inputs) -> Path:
    """Return --output, or the default beside the source file, after checking it."""
    path = Path(source)
    while is_zarr(path.parent):  # a group in a store
        path = path.parent
    # Only a known ending goes: cells.t1.tif and cells.t2.tif stay different.
    endings = "|".join(map(re.escape, (*ENDINGS, *_ANNOTATIONS)))
    stem = re.sub(rf"(\.ome)?({endings})$", "", path.name, flags=re.IGNORECASE)
    default = path.with_name(f"{stem}_labels.tif")
    output = Path(options.output) if options.output else default
    _check_output("output", output, inputs, options.overwrite)
    return output


def _check_output(
    option: str,
    path: Path,
    inputs: _Inputs,
    overwrite: bool,
    flag: str | None = None,
) -> None:
    _, sentence, endings = _KINDS[option]
    flag = flag or f"--{option}"
    for role, other in inputs:
        if other and _is_same(path, Path(other)):
            raise ValueError(f"{flag} {path} is the {role} itself: name another file.")
    if is_zarr(path.resolve().parent):
        raise ValueError(f"{flag} {path} is inside a zarr store: name another file.")
    if path.is_dir():
        raise ValueError(f"{flag} {path} is a folder: name a file in it.")
    check_output_file(flag, path, overwrite)
    if path.suffix.lower() not in ("", *endings):
        raise ValueError(f"{flag} {path}: {sentence}.")


def check_output_file(flag: str, path: Path, overwrite: bool) -> None:
    """Check that a file can be written.

    Raises
    ------
    ValueError
        When its folder is missing or cannot be written to, or something is there that
        may not be replaced.
    """
    if not path.parent.is_dir():
        raise ValueError(f"The folder {path.parent} does not exist: make it first.")
    if path.exists() and not overwrite:
        raise ValueError(
            f"{path} exists: name another file with {flag}, or give --overwrite."
        )
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise ValueError(f"{flag} {path} is not a regular file: name another file.")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(
            f"The folder {path.parent} is not writable: name a file in another one."
        )


def _is_same(path: Path, other: Path) -> bool:
    if path.exists() and other.exists():
        return path.samefile(other)
    return path.resolve() == other.resolve()
