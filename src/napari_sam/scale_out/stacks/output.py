"""Where the labels of a job go: parts in its folder, or an OME-Zarr."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_sam.files import first_line
from napari_sam.images.zarr_labels.layout import LabelLayout, part_depth
from napari_sam.images.zarr_labels.writer import LabelWriter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_sam.scale_out.jobs.folder import JobFolder

PAINT = "paint"


class LabelOutput(Protocol):
    """The labels of a stack, written in parts of whole planes."""

    @property
    def part_count(self) -> int:
        """Number of parts at full resolution."""

    @property
    def level_counts(self) -> tuple[int, ...]:
        """Number of parts of each reduced level."""

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each level, without axes that have one index."""

    @property
    def placement(self) -> Mapping[str, tuple[float, ...]]:
        """Scale and translation of the result; nothing when it is an array."""

    def planes(self, index: int) -> slice:
        """Return the planes of a part."""

    def create(self) -> None:
        """Make what the parts are written into."""

    def write(self, index: int, labels: NDArray[np.int32]) -> Mapping[str, Any]:
        """Write a part, with the axes of the volume; return what the task keeps."""

    def write_level(self, level: int, index: int) -> int:
        """Write a part of a reduced level, from 1 on; return the number of bytes."""

    def finish(self, record: Mapping[str, Any]) -> None:
        """Make the complete labels visible."""

    def result(self) -> Any:
        """Return the complete labels."""


class FolderOutput:
    """Labels kept in the folder of a job, to be returned as an array.

    Parameters
    ----------
    folder : JobFolder
        The folder.
    shape : tuple of int
        Shape of the labels.
    axis : int
        Axis of the planes.
    """

    def __init__(self, folder: JobFolder, shape: tuple[int, ...], axis: int) -> None:
        self.folder, self.shape, self.axis = folder, shape, axis
        self._depth = part_depth(shape, (1,) * len(shape), axis)

    level_counts: tuple[int, ...] = ()
    placement: Mapping[str, tuple[float, ...]] = MappingProxyType({})

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each level: there is one."""
        return (self.shape,)

    @property
    def part_count(self) -> int:
        """Number of parts."""
        return -(-self.shape[self.axis] // self._depth)

    def planes(self, index: int) -> slice:
        """Return the planes of a part."""
        start = index * self._depth
        return slice(start, min(start + self._depth, self.shape[self.axis]))

    def create(self) -> None:
        """Do nothing: the parts need no common file."""

    def write(self, index: int, labels: NDArray[np.int32]) -> Mapping[str, Any]:
        """Keep the part in the file of the task."""
        return {"labels": labels}

    def write_level(self, level: int, index: int) -> int:
        """Do nothing: there are no reduced levels."""
        return 0

    def finish(self, record: Mapping[str, Any]) -> None:
        """Do nothing: the caller gets the labels."""

    def result(self) -> NDArray[np.int32]:
        """Return the labels, int32 of the volume's shape."""
        labels = np.zeros(self.shape, np.int32)
        for index in range(self.part_count):
            part: list[slice] = [slice(None)] * len(self.shape)
            part[self.axis] = self.planes(index)
            labels[tuple(part)] = self.folder.load(PAINT, index)["labels"]
        return labels


class ZarrOutput:
    """Labels in an OME-Zarr.

    Parameters
    ----------
    layout : LabelLayout
        Where and how they are written.
    overwrite : bool
        Whether to replace labels of this name.
    """

    def __init__(self, layout: LabelLayout, overwrite: bool = False) -> None:
        self.layout, self.overwrite = layout, overwrite
        self._writer = LabelWriter(layout)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shape of each level, without axes that have one index."""
        arranged = self.layout.arranged
        return tuple(
            tuple(
                n for n, axis in zip(shape, arranged, strict=True) if axis is not None
            )
            for shape in self.layout.shapes
        )

    @property
    def level_counts(self) -> tuple[int, ...]:
        """Number of parts of each reduced level."""
        return tuple(self.layout.parts(i) for i in range(1, len(self.layout.shapes)))

    @property
    def part_count(self) -> int:
        """Number of parts at full resolution."""
        return self.layout.parts(0)

    @property
    def placement(self) -> Mapping[str, tuple[float, ...]]:
        """Scale and translation of the array at full resolution."""
        given = {entry["type"]: entry for entry in self.layout.transforms[0]}
        return {
            name: tuple(given[kind][kind])
            for name, kind in (("scale", "scale"), ("translate", "translation"))
            if kind in given
        }

    def planes(self, index: int) -> slice:
        """Return the planes of a part."""
        return self.layout.part(0, index)

    def create(self) -> None:
        """Make the empty levels."""
        self._writer.create()

    def write(self, index: int, labels: NDArray[np.int32]) -> Mapping[str, Any]:
        """Write a part."""
        return {"bytes": self._writer.write(index, labels)}

    def write_level(self, level: int, index: int) -> int:
        """Write a part of a reduced level; return the number of bytes."""
        return self._writer.write_level(level, index)

    def finish(self, record: Mapping[str, Any]) -> None:
        """Write the metadata, then give the labels their name."""
        self._writer.finish(record, overwrite=self.overwrite)

    def result(self) -> Any:
        """Return the labels at full resolution, a zarr array that is read at need."""
        import zarr

        path = self.layout.path
        try:
            return zarr.open_array(str(path / "0"), mode="r")
        except (
            LookupError,
            OSError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            raise ValueError(
                f"The labels {path} cannot be read ({first_line(error)}): run the job "
                "again in another folder."
            ) from error
