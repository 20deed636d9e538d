"""Clean-up and measurement of the objects that `volume` and `everything` segment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.cli.options import CLEANUP, add_options, read_options
from napari_sam.images.axes import check_spacing
from napari_sam.images.reading.image_file import DEFAULT_UNIT
from napari_sam.masks.cleanup import CleanUp
from napari_sam.masks.measurements import measure, write_csv

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam.images.reading.image_file import ImageFile
    from napari_sam.requests.base import SegmentationResult


def add_postprocessing_options(
    parser: argparse.ArgumentParser, *, automatic: bool = False
) -> None:
    """Add the options for clean-up and table.

    Parameters
    ----------
    parser : ArgumentParser
        Gets the options.
    automatic : bool
        Whether objects have no prompts, but thresholds for their size.
    """
    add_cleanup_options(parser, automatic=automatic)
    table = parser.add_argument_group("table")
    table.add_argument(
        "--table",
        metavar="FILE",
        help="write the size, extent, lowest score and centroid of each object as CSV",
    )
    table.add_argument(
        "--spacing",
        type=float,
        nargs=3,
        metavar=("Z", "Y", "X"),
        help="distance of voxels along the axes of the stack; of a plane, Z is not "
        "used (default for the table: as in the file, or 1)",
    )
    table.add_argument(
        "--unit",
        help=f"unit of --spacing (default: as in the file, or {DEFAULT_UNIT})",
    )


def add_cleanup_options(
    parser: argparse.ArgumentParser, *, automatic: bool = False
) -> None:
    """Add the options for clean-up; see `add_postprocessing_options`."""
    cleanup = parser.add_argument_group(
        "clean-up", "of each object, in this order; other objects keep their pixels"
    )
    texts, flags = CLEANUP, {}
    if automatic:
        flags = {"keep_prompted": "--keep-largest", "min_size": "--min-part-size"}
        text = "keep only the largest part of an object"
        texts = {**CLEANUP, "keep_prompted": text}
    add_options(cleanup, CleanUp, texts, flags)


@dataclass(frozen=True, slots=True, eq=False)
class PostprocessingOptions:
    """Options for clean-up and table.

    Parameters
    ----------
    cleanup : CleanUp
        Post-processing of the masks, smoothing in the unit of `spacing`.
    spacing : tuple of float or None
        Distance of voxels along the three axes of the stack, if given by the user.
    unit : str or None
        Unit of the spacing, if given by the user.
    """

    cleanup: CleanUp
    spacing: tuple[float, ...] | None
    unit: str | None

    @classmethod
    def read(cls, options: argparse.Namespace) -> PostprocessingOptions:
        """Read the options of `add_postprocessing_options`.

        Raises
        ------
        ValueError
            When a value is out of range, or an option needs another one.
        """
        cleanup = read_options(CleanUp, options)
        if options.spacing is None:
            if options.unit is not None:
                raise ValueError("--unit is the unit of --spacing: give both.")
            return cls(cleanup, None, None)
        if options.table is None and not cleanup.smooth:
            raise ValueError("--spacing is for --table and --smooth: give one of them.")
        check_spacing(options.spacing, 3)
        return cls(cleanup, tuple(options.spacing), options.unit)

    def cleanup_in_slices(self, axis: int) -> CleanUp:
        """Convert the smoothing along an axis of the stack to slices."""
        if self.spacing is None:
            return self.cleanup
        return replace(self.cleanup, smooth=self.cleanup.smooth / self.spacing[axis])

    def write_table(
        self,
        path: Path,
        labels: NDArray[np.int32],
        result: SegmentationResult,
        image: ImageFile,
        axis: int = 0,
    ) -> Path:
        """Measure the objects and write the table.

        Parameters
        ----------
        path : Path
            CSV file.
        labels : ndarray
            (Z, H, W) or (H, W) label image of the result.
        result : SegmentationResult
            Has the scores.
        image : ImageFile
            Has the pixel size, if the user gave none.
        axis : int
            Axis of the slices.
        """
        scores = {
            label: [(score.index, score.score, score.status) for score in group]
            for label, group in result.scores.items()
        }
        spacing: Any
        if self.spacing is not None:
            spacing = self.spacing[-labels.ndim :]
            unit = self.unit or image.unit or DEFAULT_UNIT
        else:
            spacing, unit = image.voxel_size
        return write_csv(measure(labels, spacing, unit, axis, scores), path)


def describe_changes(
    before: NDArray[np.int32], after: NDArray[np.int32]
) -> Iterator[str]:
    """Describe the clean-up of each object that it changed."""
    changed = before != after
    removed, added = _count(before[changed]), _count(after[changed])
    for label in sorted({*removed, *added} - {0}):
        yield (
            f"object {label}: clean-up removed {removed.get(label, 0)} voxels and "
            f"added {added.get(label, 0)}"
        )


def _count(labels: NDArray[np.int32]) -> dict[int, int]:
    """Count the pixels of each label."""
    numbers, counts = np.unique(labels, return_counts=True)
    return dict(zip(numbers.tolist(), counts.tolist(), strict=True))
