"""What tasks compute, as arrays of a file: maps, candidates and masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.automatic.instances.objects import PlaneParts
from napari_sam.images.window import Window
from napari_sam.masks.painting import ObjectPlaneMask
from napari_sam.masks.patch import MaskPatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.automatic.instances.stack_search import PlaneMaps
    from napari_sam.images.axes import PlaneIndex

    Arrays = dict[str, NDArray[Any]]


def maps_to_arrays(maps: PlaneMaps) -> Arrays:
    """Store the maps of the windows of a plane; none when the plane is empty."""
    windows = [(w.row, w.col, w.height, w.width) for w in maps]
    found: Arrays = {"windows": np.array(windows, np.int64).reshape(-1, 4)}
    return found | {f"maps{i}": values for i, values in enumerate(maps.values())}


def maps_from_arrays(stored: Mapping[str, NDArray[Any]]) -> PlaneMaps:
    """Read the result of `maps_to_arrays`."""
    return {
        Window(*window): stored[f"maps{i}"]
        for i, window in enumerate(stored["windows"].tolist())
    }


SECTIONS = ("sections", "diameters", "qualities", "section counts")
"""Arrays of `parts_to_arrays` that are needed of all planes."""


def parts_to_arrays(parts: Sequence[PlaneParts]) -> Arrays:
    """Store the parts of objects on some planes."""
    patches = [patch for plane in parts for patch in plane.patches]
    numbers = [number for plane in parts for number in plane.numbers]
    return {
        "numbers": np.array(numbers, np.int64),
        "counts": np.array([len(plane.numbers) for plane in parts], np.int64),
        **pack([p.origin for p in patches], [p.logits for p in patches]),
        **{
            name: np.concatenate([getattr(plane, name) for plane in parts])
            for name in SECTIONS[:-1]
        },
        SECTIONS[-1]: np.array([len(plane.sections) for plane in parts], np.int64),
    }


def parts_from_arrays(stored: Mapping[str, NDArray[Any]]) -> list[PlaneParts]:
    """Read the result of `parts_to_arrays`."""
    numbers = _split(stored["numbers"].tolist(), stored["counts"])
    patches = [MaskPatch(origin, logits) for origin, logits in unpack(stored)]
    return [
        PlaneParts(tuple(own), tuple(shown), *sections)
        for own, shown, sections in zip(
            numbers,
            _split(patches, stored["counts"]),
            _sections(stored),
            strict=True,
        )
    ]


def sections_from_arrays(stored: Mapping[str, NDArray[Any]]) -> list[PlaneParts]:
    """Read the measurements of `parts_to_arrays` without the masks."""
    return [PlaneParts((), (), *sections) for sections in _sections(stored)]


def _sections(
    stored: Mapping[str, NDArray[Any]],
) -> Iterator[tuple[NDArray[Any], NDArray[Any], NDArray[Any]]]:
    counts = stored[SECTIONS[-1]]
    columns = (_split(stored[name], counts) for name in SECTIONS[:-1])
    yield from zip(*columns, strict=True)


def _split(values: Any, counts: NDArray[Any]) -> list[Any]:
    """Cut a list or an array into runs."""
    stops = np.cumsum(counts).tolist()
    return [values[a:b] for a, b in zip([0, *stops[:-1]], stops, strict=True)]


def pieces_to_arrays(
    pieces: Sequence[ObjectPlaneMask], slice_of: Callable[[PlaneIndex], int]
) -> Arrays:
    """Store masks of objects on planes."""
    packed = pack([p.origin for p in pieces], [p.mask for p in pieces])
    return {
        **packed,
        "values": np.packbits(packed["values"].astype(bool)),
        "planes": np.array([slice_of(p.plane_index) for p in pieces], np.int64),
        "ids": np.array([p.object_id for p in pieces], np.int64),
    }


def pieces_from_arrays(
    stored: Mapping[str, NDArray[Any]],
    index_of: Callable[[int], PlaneIndex],
    planes: slice,
) -> Iterator[ObjectPlaneMask]:
    """Read those pieces of `pieces_to_arrays` that lie on some of the planes."""
    count = int(stored["shapes"].prod(axis=1).sum())
    bits = np.unpackbits(stored["values"], count=count).astype(bool)
    masks = unpack({**stored, "values": bits})
    ids, slices = stored["ids"].tolist(), stored["planes"].tolist()
    for object_id, plane, (origin, mask) in zip(ids, slices, masks, strict=True):
        if planes.start <= plane < planes.stop:
            yield ObjectPlaneMask(object_id, index_of(plane), origin, mask)


def pack(origins: Iterable[tuple[int, int]], values: Sequence[NDArray[Any]]) -> Arrays:
    """Put crops of any shape into one array."""
    empty = np.empty(0, values[0].dtype if values else np.float32)
    return {
        "origins": np.array(list(origins), np.int64).reshape(-1, 2),
        "shapes": np.array([v.shape for v in values], np.int64).reshape(-1, 2),
        "values": np.concatenate([v.ravel() for v in values] or [empty]),
    }


def unpack(
    stored: Mapping[str, NDArray[Any]],
) -> list[tuple[tuple[int, int], NDArray[Any]]]:
    """Return origin and values of each crop."""
    shapes = stored["shapes"]
    stops = np.cumsum(shapes.prod(axis=1))
    parts = np.split(stored["values"], stops[:-1]) if len(shapes) else []
    return [
        ((row, col), part.reshape(shape))
        for (row, col), shape, part in zip(
            stored["origins"].tolist(), shapes.tolist(), parts, strict=True
        )
    ]
