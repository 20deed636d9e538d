"""Layout of labels in an OME-Zarr: axes, levels, chunks, and parts to write at once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A chunk in the plane; and of labels across another axis, planes of a chunk.
_CHUNK_SIDE, _CHUNK_DEPTH = 512, 32
# Bytes, and planes, of the part that one task writes.
_PART_BYTES, _MAX_PART_PLANES = 2**26, 64
_ITEM_BYTES = 4
# Of images without a pyramid, levels are made until the longer side is below this.
_SMALLEST_SIDE = 512


@dataclass(frozen=True, slots=True)
class LabelLayout:
    """How labels lie in an OME-Zarr.

    Every level is written in parts: whole planes along one axis, a number of them that
    fills whole shards, so that a shard has one writer.

    Parameters
    ----------
    store : str
        Path of the zarr store.
    group : str
        Group of the image in the store; empty for the store itself.
    name : str
        Name of the labels; empty when they are a store of their own.
    version : str
        Version of OME-Zarr, "0.4" or "0.5".
    axes : tuple of dict
        Axes as in the metadata, in the order of the store.
    shapes : tuple of tuple of int
        Shape of each level.
    transforms : tuple of list of dict
        Coordinate transformations of each level.
    chunks : tuple of int
        Of all levels.
    arranged : tuple of int or None
        For each axis of the store the axis of the labels in memory; None where the
        labels have one index.
    indices : tuple of int
        Index along the axes that are None in `arranged`; else 0.
    along : int
        The axis of the store along which parts follow each other.
    depths : tuple of int
        Planes of a part of each level.
    """

    store: str
    group: str
    name: str
    version: str
    axes: tuple[Mapping[str, Any], ...]
    shapes: tuple[tuple[int, ...], ...]
    transforms: tuple[Sequence[Mapping[str, Any]], ...]
    chunks: tuple[int, ...]
    arranged: tuple[int | None, ...]
    indices: tuple[int, ...]
    along: int
    depths: tuple[int, ...]

    @property
    def zarr_format(self) -> int:
        """Version of the zarr format."""
        return 2 if self.version == "0.4" else 3

    @property
    def path(self) -> Path:
        """The folder of the finished labels."""
        folder = Path(self.store, self.group)
        return folder / "labels" / self.name if self.name else Path(self.store)

    @property
    def unfinished(self) -> Path:
        """The hidden folder in which they are written."""
        return self.path.with_name(f".{self.path.name}.unfinished")

    def shards(self, level: int) -> tuple[int, ...] | None:
        """Return the shape of the shards of a level; None where there are none.

        A shard is as deep as a part, and no larger than the level needs.
        """
        if self.zarr_format == 2:
            return None
        sides = [
            self.depths[level] if axis == self.along else size
            for axis, size in enumerate(self.shapes[level])
        ]
        whole = [
            -(-side // chunk) * chunk
            for side, chunk in zip(sides, self.chunks, strict=True)
        ]
        return tuple(
            chunk if where is None else side
            for side, chunk, where in zip(
                whole, self.chunks, self.arranged, strict=True
            )
        )

    def parts(self, level: int) -> int:
        """Return the number of parts of a level."""
        return -(-self.shapes[level][self.along] // self.depths[level])

    def part(self, level: int, index: int) -> slice:
        """Return the planes of a part along the axis of the parts."""
        start = index * self.depths[level]
        size = self.shapes[level][self.along]
        return slice(start, min(start + self.depths[level], size))

    def region(self, level: int, planes: slice) -> tuple[slice | int, ...]:
        """Return the index of planes in the array of a level.

        Of axes with one index it is that one, on each level.
        """
        return tuple(
            planes if axis == self.along else index if where is None else slice(None)
            for axis, (where, index) in enumerate(
                zip(self.arranged, self.indices, strict=True)
            )
        )

    def files(self, level: int, planes: slice) -> list[Path]:
        """List the files of a part, left by an earlier attempt.

        A shard at the edge of an array is read before it is written, which fails when
        it is damaged.
        """
        step = (self.shards(level) or self.chunks)[self.along]
        pattern = ["*"] * len(self.chunks)
        folder = self.unfinished / str(level)
        found: list[Path] = []
        for number in range(planes.start // step, -(-planes.stop // step)):
            pattern[self.along] = str(number)
            prefix = [] if self.zarr_format == 2 else ["c"]
            found += folder.glob("/".join([*prefix, *pattern]))
        return found

    def to_json(self) -> dict[str, Any]:
        """Describe it in plain JSON types."""
        return asdict(self)

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Self:
        """Build it from `to_json`."""
        return cls(
            **{
                **entry,
                "axes": tuple(entry["axes"]),
                "shapes": tuple(tuple(shape) for shape in entry["shapes"]),
                "transforms": tuple(entry["transforms"]),
                **{
                    name: tuple(entry[name])
                    for name in ("chunks", "arranged", "indices", "depths")
                },
            }
        )


def chunk_shape(
    shape: Sequence[int], plane_axes: Sequence[int], along: int
) -> tuple[int, ...]:
    """Return the chunks of labels: planes, and several where parts cross the planes.

    Parameters
    ----------
    shape : sequence of int
        As stored.
    plane_axes : sequence of int
        The rows and columns.
    along : int
        Axis of the parts.
    """
    return tuple(
        min(size, _CHUNK_DEPTH if axis == along else _CHUNK_SIDE)
        if axis in plane_axes
        else 1
        for axis, size in enumerate(shape)
    )


def part_depth(shape: Sequence[int], chunks: Sequence[int], along: int) -> int:
    """Return how many planes a part has, a multiple of the chunks."""
    plane = prod(map(int, shape)) // max(shape[along], 1) * _ITEM_BYTES
    planes = min(max(_PART_BYTES // max(plane, 1), 1), _MAX_PART_PLANES, shape[along])
    chunk = chunks[along]
    return max(planes // chunk, 1) * chunk


def halved(
    shape: Sequence[int], plane_axes: Sequence[int]
) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of a pyramid whose planes halve from level to level."""
    shapes = [tuple(shape)]
    while max(shapes[-1][axis] for axis in plane_axes) >= 2 * _SMALLEST_SIDE:
        shapes.append(
            tuple(
                -(-size // 2) if axis in plane_axes else size
                for axis, size in enumerate(shapes[-1])
            )
        )
    return tuple(shapes)
