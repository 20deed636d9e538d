"""What `volume` does with its objects afterwards: clean-up, and the table of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.axes import check_spacing
from napari_sam.masks.cleanup import CleanUp
from napari_sam.masks.measurements import measure, write_csv

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam.images.tiff import TiffImage
    from napari_sam.volume.results import VolumeResult

# Of OME files that name none.
_DEFAULT_UNIT = "µm"


def add_result_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for clean-up and table."""
    cleanup = parser.add_argument_group(
        "clean-up", "of every object, in this order; other objects keep their voxels"
    )
    cleanup.add_argument(
        "--keep-prompted",
        action="store_true",
        help="drop the parts of an object that no prompt lies on",
    )
    cleanup.add_argument(
        "--fill-holes", action="store_true", help="fill holes on every slice"
    )
    cleanup.add_argument(
        "--smooth",
        type=float,
        default=0.0,
        metavar="S",
        help="smooth outlines across slices: standard deviation in slices, or in the "
        "unit of --spacing when that is given",
    )
    cleanup.add_argument(
        "--min-size",
        type=int,
        default=0,
        metavar="N",
        help="drop parts of fewer than N voxels",
    )
    table = parser.add_argument_group("table")
    table.add_argument(
        "--table",
        metavar="FILE",
        help="write size, extent, lowest score and place of every object as CSV",
    )
    table.add_argument(
        "--spacing",
        type=float,
        nargs=3,
        metavar=("Z", "Y", "X"),
        help="distance of voxels along the axes of the stack (default for the table: "
        "that of the file, or 1)",
    )
    table.add_argument(
        "--unit",
        help=f"of --spacing (default: that of the file, or {_DEFAULT_UNIT})",
    )


@dataclass(frozen=True, slots=True, eq=False)
class PostprocessingOptions:
    """What is done with objects once they are found.

    Parameters
    ----------
    cleanup : CleanUp
        What changes them.
    spacing : ndarray or None
        (3,) as the user gave it, along the axes of the stack.
    unit : str or None
        Of the spacing, as the user gave it.
    """

    cleanup: CleanUp
    spacing: NDArray[np.float64] | None
    unit: str | None

    @classmethod
    def read(cls, options: argparse.Namespace) -> PostprocessingOptions:
        """Take the options of `add_result_options`.

        Raises
        ------
        ValueError
            When an option cannot be used, or not together with another.
        """
        cleanup = CleanUp(
            options.keep_prompted, options.fill_holes, options.smooth, options.min_size
        )
        if options.spacing is None:
            if options.unit is not None:
                raise ValueError("--unit is that of --spacing: give both.")
            return cls(cleanup, None, None)
        if options.table is None and not cleanup.smooth:
            raise ValueError("--spacing is for --table and --smooth: give one of them.")
        return cls(cleanup, check_spacing(options.spacing, 3), options.unit)

    def cleanup_in_slices(self, axis: int) -> CleanUp:
        """The clean-up of a stack along an axis, smoothing by slices."""
        if self.spacing is None:
            return self.cleanup
        smooth = self.cleanup.smooth / float(self.spacing[axis])
        return replace(self.cleanup, smooth=smooth)

    def what_changed(
        self, result: VolumeResult, cleaned: NDArray[np.int32]
    ) -> list[str]:
        """A line for each object that the clean-up changed."""
        if not self.cleanup:
            return []
        labels = result.labels
        changed = labels != cleaned
        lost, gained = _count(labels[changed]), _count(cleaned[changed])
        return [
            f"object {label}: clean-up took {lost.get(label, 0)} voxels and added "
            f"{gained.get(label, 0)}"
            for label in sorted({*lost, *gained} - {0})
        ]

    def write_table(
        self,
        path: Path,
        labels: NDArray[np.int32],
        result: VolumeResult,
        image: TiffImage,
    ) -> Path:
        """Measure the labels and write the table."""
        scores: dict[int, list[tuple[int | None, float, str]]] = {}
        for entry in result.slices:
            known = scores.setdefault(entry.object_id, [])
            known.append((entry.index, entry.score, entry.status))
        spacing, unit = self._size(image)
        rows = measure(labels, spacing, unit, result.stack.axis, scores)
        return write_csv(rows, path)

    def _size(self, image: TiffImage) -> tuple[Any, str]:
        """Distance of voxels and its unit: as the user or the file says, or none."""
        unit = self.unit or image.unit or _DEFAULT_UNIT
        if self.spacing is not None:
            return self.spacing, unit
        known = dict(zip("ZYX", image.scale or (), strict=False))
        spacing = [known.get(axis) for axis in image.axes.removesuffix("S")]
        return (None, "pixel") if None in spacing else (spacing, unit)


def _count(labels: NDArray[np.int32]) -> dict[int, int]:
    found, counts = np.unique(labels, return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))
