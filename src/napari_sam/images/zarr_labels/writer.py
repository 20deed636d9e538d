"""Writing of labels into an OME-Zarr: part by part, level by level, visible at last."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.axes import sample_centres
from napari_sam.images.reading.ome_zarr import refusing_damaged_zarr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_sam.images.zarr_labels.layout import LabelLayout

RECORD = "napari_sam"
_METADATA = ("zarr.json", ".zgroup", ".zattrs")  # of a group


class LabelWriter:
    """Writer of labels; several processes may write different parts.

    The labels are written in a hidden folder, and get their name when they are
    complete, so that no reader ever sees a part of them.

    Parameters
    ----------
    layout : LabelLayout
        Where and how.
    """

    def __init__(self, layout: LabelLayout) -> None:
        self.layout = layout
        self._arrays: dict[int, Any] = {}

    def create(self) -> None:
        """Make the empty levels; those of an earlier attempt are dropped.

        Raises
        ------
        ValueError
            When metadata of the image are damaged, or its list of labels, which is read
            before the work, and written after it.
        """
        layout = self.layout
        self._attributes()
        labels = Path(layout.store, layout.group, "labels")
        if layout.name and any((labels / file).exists() for file in _METADATA):
            self._read_list("r+")
        shutil.rmtree(layout.unfinished, ignore_errors=True)
        layout.unfinished.parent.mkdir(parents=True, exist_ok=True)
        root = _open_group(layout, layout.unfinished, "w")
        is_old = layout.zarr_format == 2
        separator = {"name": "v2", "separator": "/"}
        names = [str(axis["name"]) for axis in layout.axes]
        for level, shape in enumerate(layout.shapes):
            root.create_array(
                str(level),
                shape=shape,
                chunks=layout.chunks,
                shards=layout.shards(level),
                dtype="uint32",
                fill_value=0,
                chunk_key_encoding=separator if is_old else None,
                dimension_names=None if is_old else names,
            )

    def write(self, index: int, labels: NDArray[np.integer]) -> int:
        """Write a part of the full resolution; return the number of bytes.

        Parameters
        ----------
        index : int
            The part.
        labels : ndarray
            Labels of its planes, with the axes of the labels in memory.
        """
        layout = self.layout
        kept = [axis for axis in layout.arranged if axis is not None]
        return self._put(0, index, labels.transpose(kept).astype(np.uint32))

    def write_level(self, level: int, index: int) -> int:
        """Write a part of a reduced level, by the nearest voxel of the one above."""
        layout = self.layout
        planes, shape = layout.part(level, index), layout.shapes[level]
        places = [
            sample_centres(full, size)
            for full, size in zip(layout.shapes[level - 1], shape, strict=True)
        ]
        along = places[layout.along][planes]
        read = slice(int(along[0]), int(along[-1]) + 1)
        data = np.asarray(self._array(level - 1)[layout.region(level - 1, read)])
        places[layout.along] = along - read.start
        kept = zip(places, layout.arranged, strict=True)
        index_of = np.ix_(*(place for place, axis in kept if axis is not None))
        return self._put(level, index, data[index_of])

    def finish(self, record: Mapping[str, Any], *, overwrite: bool = False) -> None:
        """Write the metadata, and give the labels their name.

        Parameters
        ----------
        record : mapping
            How they were made, kept in the attributes of the labels.
        overwrite : bool
            Whether to replace labels of this name.

        Raises
        ------
        FileExistsError
            When there are labels of this name, which may not be replaced.
        """
        layout = self.layout
        if layout.unfinished.exists():
            if layout.path.exists() and not overwrite:
                raise FileExistsError(
                    f"{layout.path} exists since these labels were begun: move it away."
                )
            self._write_metadata(record)
            shutil.rmtree(layout.path, ignore_errors=True)
            layout.unfinished.rename(layout.path)
        if layout.name:
            self._list_name()

    def _put(self, level: int, index: int, data: NDArray[np.uint32]) -> int:
        layout, array = self.layout, self._array(level)
        planes = layout.part(level, index)
        assert planes.start % layout.depths[level] == 0, "parts fill whole shards"
        for file in layout.files(level, planes):
            file.unlink()
        array[layout.region(level, planes)] = data
        return int(data.nbytes)

    def _array(self, level: int) -> Any:
        import zarr

        if level not in self._arrays:
            path = self.layout.unfinished / str(level)
            self._arrays[level] = zarr.open_array(str(path), mode="r+")
        return self._arrays[level]

    def _write_metadata(self, record: Mapping[str, Any]) -> None:
        """Write what describes the levels."""
        layout = self.layout
        group = _open_group(layout, layout.unfinished, "r+")
        attributes = {**self._attributes(), RECORD: dict(record)}
        # Through JSON, so that what cannot be written fails here.
        group.attrs.update(json.loads(json.dumps(attributes)))

    def _attributes(self) -> dict[str, Any]:
        """Return what describes the levels, after checking it."""
        import yaozarrs

        layout = self.layout
        scales = {
            "axes": list(layout.axes),
            "datasets": [
                {"path": str(level), "coordinateTransformations": list(transforms)}
                for level, transforms in enumerate(layout.transforms)
            ],
        }
        label: dict[str, Any] = {}
        if layout.name:
            label["source"] = {"image": "../../"}
        attributes: dict[str, Any]
        # Axes and units are those of the image.
        with refusing_damaged_zarr(Path(layout.store)):
            if layout.zarr_format == 2:
                entry = {"version": "0.4", "name": layout.path.name, **scales}
                labels = {"version": "0.4", **label}
                attributes = {"multiscales": [entry], "image-label": labels}
                yaozarrs.v04.LabelImage.model_validate(attributes)
                return attributes
            entry = {"name": layout.path.name, **scales}
            ome = {"version": "0.5", "multiscales": [entry], "image-label": label}
            yaozarrs.v05.LabelImage.model_validate(ome)
            return {"ome": ome}

    def _list_name(self) -> None:
        """Enter the name into the list of the labels of the image."""
        layout = self.layout
        group, entry = self._read_list("a")
        if layout.name not in entry["labels"]:
            entry["labels"].append(layout.name)
            is_old = layout.zarr_format == 2
            group.attrs.update(entry if is_old else {"ome": entry})

    def _read_list(self, mode: str) -> tuple[Any, dict[str, Any]]:
        """Return the group of the labels of the image, and its attributes."""
        layout = self.layout
        path = Path(layout.store, layout.group, "labels")
        with refusing_damaged_zarr(path):
            group = _open_group(layout, path, mode)
            is_old = layout.zarr_format == 2
            entry = dict(group.attrs) if is_old else group.attrs.get("ome")
            entry = {"version": layout.version, "labels": [], **(entry or {})}
            entry["labels"] = [str(name) for name in entry["labels"]]
            return group, entry


def _open_group(layout: LabelLayout, path: Path, mode: Any) -> Any:
    """Open a group of the layout's version of zarr."""
    import zarr

    version: Any = layout.zarr_format
    return zarr.open_group(str(path), mode=mode, zarr_format=version)
