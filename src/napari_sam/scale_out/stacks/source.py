"""Where the tasks of a job read the pixels: a file or store, or a copy of an array."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.files import atomic_write, first_line, hash_file
from napari_sam.images.reading.image_file import ImageFile
from napari_sam.images.reading.read import is_zarr, read_image
from napari_sam.memory import check_memory

if TYPE_CHECKING:
    from collections.abc import Mapping

_COPY = "pixels.npy"
SAMPLED_PLANES = 16
_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup")
_LETTERS = "ABCTZYX"


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """The image of a job.

    Parameters
    ----------
    entry : dict
        How to open it, in plain JSON types.
    file, used : ImageFile
        The whole image, and what is segmented of it.
    """

    entry: Mapping[str, Any]
    file: ImageFile
    used: ImageFile

    @property
    def path(self) -> Path | None:
        """The file or store; None of an array."""
        return Path(self.entry["path"]) if "path" in self.entry else None

    @classmethod
    def of_path(
        cls,
        path: str | Path,
        index: Mapping[str, int] | None = None,
        series: str | None = None,
        axes: str | None = None,
    ) -> Source:
        """Open an image file or an OME-Zarr; see `read_image`."""
        place = str(Path(path).expanduser().resolve())
        entry = {"path": place, "index": dict(index or {})}
        further = {"series": series, "axes": axes}
        return cls.open(entry | {k: v for k, v in further.items() if v}, Path())

    @classmethod
    def of_array(cls, array: Any, rgb: bool) -> Source:
        """Take an array, which `keep` copies where other processes can read it."""
        ndim = len(array.shape) - rgb
        if not 1 <= ndim <= len(_LETTERS):
            raise ValueError(
                f"The volume has shape {tuple(array.shape)}: give three axes."
            )
        letters = _LETTERS[-ndim:] + "S" * rgb
        file = ImageFile(array, letters, named=False)
        return cls({"copy": _COPY, "rgb": rgb}, file, file)

    @classmethod
    def open(cls, entry: Mapping[str, Any], folder: Path) -> Source:
        """Open the image of a plan in the folder of its job."""
        if "path" in entry:
            file = read_image(entry["path"], entry.get("series"), entry.get("axes"))
            return cls(entry, file, file.select(**entry["index"]))
        path = folder / _COPY
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # whatever NumPy raises on a damaged header
            raise ValueError(
                f"{path} is damaged ({first_line(error)}): plan the job again in "
                "another folder."
            ) from error
        return cls.of_array(array, bool(entry["rgb"]))

    def keep(self, folder: Path) -> None:
        """Copy an array to the folder of the job, one plane at a time."""
        if "copy" not in self.entry or (folder / _COPY).exists():
            return
        data = self.used.data
        header = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(data.dtype)),
            "fortran_order": False,
            "shape": tuple(map(int, data.shape)),
        }
        # Not mapped: writing to a map on a full disk ends the process.
        with atomic_write(folder / _COPY, ".npy") as part, part.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for index in range(data.shape[0]):
                file.write(np.ascontiguousarray(data[index]).tobytes())

    def fingerprint(self) -> dict[str, Any]:
        """Describe the image so that a change of it is noticed.

        Of a large image some planes are read.
        """
        data = self.used.data
        count = int(data.shape[0])
        sampled = np.linspace(0, count - 1, min(count, SAMPLED_PLANES)).round()
        found: dict[str, Any] = {
            "shape": [int(size) for size in data.shape],
            "dtype": str(np.dtype(data.dtype)),
            "planes": {
                str(index): _hash(np.asarray(data[index]))
                for index in sampled.astype(int).tolist()
            },
        }
        if self.path is not None and self.path.is_file():
            found["bytes"] = self.path.stat().st_size
        elif self.path is not None and is_zarr(self.path):
            found["metadata"] = _metadata_hashes(self.path)
        return found


def check_result_memory(shape: tuple[int, ...]) -> None:
    """Refuse to return labels as an array that does not fit into the memory."""
    check_memory(
        4 * float(np.prod(shape, dtype=np.float64)),
        "The label array",
        "name a zarr store as output",
    )


def _hash(array: Any) -> str:
    import xxhash

    return str(xxhash.xxh128_hexdigest(np.ascontiguousarray(array).tobytes()))


def _metadata_hashes(path: Path) -> dict[str, str]:
    """Hash the metadata of the first levels of a store, without that of its labels."""
    files = [path / name for name in _METADATA]
    files += [path / "0" / name for name in _METADATA[:2]]
    return {
        str(file.relative_to(path)): hash_file(file, "xxh128")
        for file in files
        if file.is_file() and file.name != ".zgroup"
    }
