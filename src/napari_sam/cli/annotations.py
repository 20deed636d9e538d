"""`napari-sam export-labels` and `import-labels`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam.cli.outputs import read_annotations_output, read_import_output
from napari_sam.cli.values import read_index, read_shape
from napari_sam.exchange.folders import FOLDER_FORMATS
from napari_sam.exchange.formats import format_of_name
from napari_sam.series.storage.listing import PROJECT_FILE

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator


def export_annotations(options: argparse.Namespace) -> Iterator[str]:
    """Write labels as annotations, and yield lines to print.

    Raises
    ------
    ValueError, OSError
        When the labels cannot be read or are no labels, or the file cannot be written.
    """
    if (Path(options.labels) / PROJECT_FILE).is_file():
        yield from _export_series(options)
        return
    if options.status is not None:
        raise ValueError("--status chooses images of a series: give its folder.")
    if options.format in FOLDER_FORMATS:
        raise ValueError(
            f"--format {options.format} is a folder of images with their labels: give "
            "the folder of a series."
        )
    output = read_annotations_output(options)
    kind = options.format or format_of_name(output)

    import numpy as np

    from napari_sam.exchange.labels import export_labels
    from napari_sam.images.reading.read import read_image

    file = read_image(options.labels, labels=True).select(**read_index(options.index))
    labels = np.asarray(file.data)
    count = len(np.setdiff1d(labels, 0))
    export_labels(labels, output, kind, axes=file.axes)
    yield f"wrote {output}: {count} objects"


def _export_series(options: argparse.Namespace) -> Iterator[str]:
    """Write the labels of all images of a series, and yield lines to print."""
    output = Path(options.output)
    kind = options.format or format_of_name(output)
    if kind == "coco":
        read_annotations_output(options)
    elif output.is_file():
        raise ValueError(f"{output} is a file: name a folder for {kind}.")
    elif output.is_dir() and any(output.iterdir()) and not options.overwrite:
        raise ValueError(
            f"{output} has files: name a new folder with --output, or give --overwrite."
        )
    if options.index:
        raise ValueError("--index is for one label file: leave it out for a series.")

    from napari_sam.series.opening import open_series

    series = open_series(options.labels)
    problems = series.export(output, kind, status=options.status)
    for name, problem in problems.items():
        yield f"{name}: failed: {problem}"
    found = [item for item in series.find(status=options.status) if item.has_labels]
    yield f"wrote {output}: {len(found) - len(problems)} images"
    if problems:
        raise ValueError(f"{len(problems)} images were not exported: see above.")


def import_annotations(options: argparse.Namespace) -> Iterator[str]:
    """Write annotations as a label TIFF, and yield lines to print.

    Raises
    ------
    ValueError, OSError
        When the files cannot be read, or do not fit each other.
    """
    output, index = read_import_output(options), read_index(options.index)
    shape = read_shape(options.shape)

    import numpy as np

    from napari_sam.exchange.labels import import_labels
    from napari_sam.images.reading.image_file import ImageFile
    from napari_sam.images.reading.read import read_image
    from napari_sam.images.writing import write_labels

    axes = None
    if options.image is not None:
        if shape is not None:
            raise ValueError(
                "--shape is the size of an image: give --image or --shape."
            )
        like = read_image(options.image).select(**index)
        axes, shape = like.axes.removesuffix("S"), like.shape
    found = import_labels(
        options.annotations, shape, axes=axes, index=index, image=options.image
    )
    if options.image is None:
        like = ImageFile(found.labels, "TZYX"[-found.labels.ndim :])
    yield from found.ignored
    yield f"{len(np.setdiff1d(found.labels, 0))} objects"
    yield f"wrote {write_labels(Path(output), found.labels, like)}"
