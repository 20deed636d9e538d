"""Folders of images with label images: cellpose, StarDist and nnU-Net."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from napari_sam.exchange.label_classes import UNNAMED
from napari_sam.files import atomic_write, read_json, write_json
from napari_sam.images.reading.read import read_image
from napari_sam.images.writing import write_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam.images.reading.image_file import ImageFile

FolderFormat = Literal["cellpose", "stardist", "nnunet"]
FOLDER_FORMATS: tuple[FolderFormat, ...] = get_args(FolderFormat)

_DATASET = "dataset.json"
_IMAGES, _MASKS, _LABELS = "images", "masks", "labels"
_IMAGES_TR, _LABELS_TR = "imagesTr", "labelsTr"
_ENDINGS = (".tif", ".tiff", ".png", ".ome.tif")
_CELLPOSE = ("_masks", "_cp_masks")
_NO_NAME = re.compile(r"[^A-Za-z0-9.-]+")


def flat_names(names: Iterable[str]) -> dict[str, str]:
    """Return {name of an image: name for a file}, without folders and ending.

    Images whose names would be the same keep their endings.
    """
    stems = {name: _flat(str(PurePosixPath(name).with_suffix(""))) for name in names}
    counts = Counter(stem.casefold() for stem in stems.values())
    return {
        name: stem if counts[stem.casefold()] == 1 else _flat(name.replace(".", "_"))
        for name, stem in stems.items()
    }


def _flat(name: str) -> str:
    return _NO_NAME.sub("_", name.removesuffix(".ome"))


@dataclass(slots=True, eq=False)
class FolderWriter:
    """Writes images and labels as another program takes them for training.

    - "cellpose": NAME.tif and NAME_masks.tif side by side.
    - "stardist": folders "images" and "masks", with files of the same names. Other
      programs take folders like these, also the training of this one.
    - "nnunet": imagesTr, labelsTr and dataset.json. Its labels are classes: objects of
      one class that touch become one.

    Parameters
    ----------
    path : Path
        The folder, which is made.
    format : str
        One of these.
    classes : sequence of str
        Classes in the order of their numbers, for nnU-Net.

    Attributes
    ----------
    merged : int
        Number of objects that touch others of their class, in a nnU-Net folder.
    """

    path: Path
    format: FolderFormat
    classes: Sequence[str] = ()
    merged: int = 0
    _count: int = 0
    _channels: int = 1
    _with_unnamed: bool = field(default=False)

    def add(
        self,
        name: str,
        image: ImageFile,
        labels: NDArray[Any],
        classes: Mapping[int, str],
    ) -> None:
        """Write an image with its labels, {label: class}.

        Parameters
        ----------
        name : str
            See `flat_names`.
        image : ImageFile
            The image.
        labels : ndarray
            Integers, of its shape.
        classes : mapping
            {label: name of its class}.
        """
        if self.format == "cellpose":
            self._write(self.path, name, image, labels, f"{name}_masks")
        elif self.format == "stardist":
            write_pixels(self._file(_IMAGES, name), image)
            write_labels(self._file(_MASKS, name), labels, image)
        else:
            self._add_classes(name, image, labels, classes)
        self._count += 1

    def finish(self) -> None:
        """Write what belongs to the whole folder."""
        if self.format != "nnunet":
            return
        names = [*self.classes, *([UNNAMED] if self._with_unnamed else [])]
        content = {
            "channel_names": {str(n): f"channel {n}" for n in range(self._channels)},
            "labels": {"background": 0, **{n: i for i, n in enumerate(names, 1)}},
            "numTraining": self._count,
            "description": f"{self.merged} objects touch others of their class, and "
            "are one with them here.",
            "file_ending": ".tif",
        }
        write_json(self.path / _DATASET, content)

    def _file(self, folder: str, name: str) -> Path:
        (self.path / folder).mkdir(parents=True, exist_ok=True)
        return self.path / folder / f"{name}.tif"

    def _write(
        self,
        folder: Path,
        name: str,
        image: ImageFile,
        labels: NDArray[Any],
        labels_name: str,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_pixels(folder / f"{name}.tif", image)
        write_labels(folder / f"{labels_name}.tif", labels, image)

    def _add_classes(
        self,
        name: str,
        image: ImageFile,
        labels: NDArray[Any],
        classes: Mapping[int, str],
    ) -> None:
        present, inverse = np.unique(labels, return_inverse=True)
        numbers = {name: number for number, name in enumerate(self.classes, 1)}
        unnamed = len(self.classes) + 1
        of_label = [
            numbers.get(classes.get(label, ""), unnamed) if label else 0
            for label in present.tolist()
        ]
        self._with_unnamed |= unnamed in of_label
        semantic = np.array(of_label, np.int32)[inverse].reshape(labels.shape)
        objects = len(np.setdiff1d(present, 0))
        self.merged += max(objects - _count_pieces(semantic), 0)
        channels = image.channels()
        self._channels = max(self._channels, len(channels))
        for number, channel in enumerate(channels):
            path = self._file(_IMAGES_TR, f"{name}_{number:04d}")
            _write_tiff(path, np.asarray(channel))
        write_labels(self._file(_LABELS_TR, name), semantic, image)
        if semantic.ndim == 3:
            spacing = image.voxel_size[0] or [1.0] * 3
            for folder in (_IMAGES_TR, _LABELS_TR):
                write_json(self.path / folder / f"{name}.json", {"spacing": spacing})


def write_pixels(path: Path, image: ImageFile) -> None:
    """Write the pixels of an image as TIFF, with its axes in the order of its file."""
    _write_tiff(path, image.as_stored(np.asarray(image.data)), rgb=image.rgb)


def _write_tiff(path: Path, pixels: NDArray[Any], rgb: bool = False) -> None:
    import tifffile

    photometric = "rgb" if rgb else "minisblack"
    pixels = pixels.astype(np.uint8) if pixels.dtype == bool else pixels
    with atomic_write(path, ".tif") as part:
        tifffile.imwrite(
            part, np.ascontiguousarray(pixels), photometric=photometric, metadata=None
        )


@dataclass(frozen=True, slots=True, eq=False)
class FolderLabels:
    """Labels of one image, from the folder of another program.

    Parameters
    ----------
    labels : ndarray
        Integers, with the axes of the file.
    classes : dict
        {label: name of its class}; empty where the format has none.
    """

    labels: NDArray[Any]
    classes: dict[int, str]


class FolderReader:
    """Finds and reads the labels in a folder of cellpose, StarDist or nnU-Net.

    Parameters
    ----------
    path : Path
        The folder.

    Raises
    ------
    ValueError
        When it is none of these.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._names = path, {}
        self.format: FolderFormat
        if (path / _LABELS_TR).is_dir():
            self.format, self._folder = "nnunet", path / _LABELS_TR
            self._names = _class_names(path / _DATASET)
            return
        for name in (_MASKS, _LABELS):
            if (path / name).is_dir():
                self.format, self._folder = "stardist", path / name
                return
        files = [p for end in _CELLPOSE for p in path.glob(f"*{end}.*")]
        if not files and not list(path.glob("*_seg.npy")):
            raise ValueError(
                f"{path} has no labels: choose a folder with NAME_masks.tif, with a "
                "folder 'masks' or 'labels', or with labelsTr."
            )
        self.format, self._folder = "cellpose", path

    def read(self, name: str) -> FolderLabels | None:
        """Read the labels of an image; None when the folder has none.

        Parameters
        ----------
        name : str
            Its name without folders and ending.

        Raises
        ------
        ValueError, OSError
            When they cannot be read, or are kept as cellpose's _seg.npy.
        """
        ends = _CELLPOSE if self.format == "cellpose" else ("",)
        for end in ends:
            for ending in _ENDINGS:
                file = self._folder / f"{name}{end}{ending}"
                if file.is_file():
                    return self._read(file)
        if (self._folder / f"{name}_seg.npy").is_file():
            raise ValueError(
                f"{name}_seg.npy can run programs when it is read: save the masks as "
                "TIFF in cellpose (File > Save masks as TIF)."
            )
        return None

    def _read(self, file: Path) -> FolderLabels:
        labels = np.asarray(read_image(file, labels=True).data)
        if self.format != "nnunet":
            return FolderLabels(labels, {})
        found = np.zeros(labels.shape, np.int32)
        classes: dict[int, str] = {}
        for number in np.setdiff1d(labels, 0).tolist():
            pieces, count = _pieces(labels == number)
            first = len(classes)
            found[pieces > 0] = pieces[pieces > 0] + first
            name = self._names.get(number, f"class {number}")
            classes |= dict.fromkeys(range(first + 1, first + count + 1), name)
        return FolderLabels(found, classes)


def _class_names(path: Path) -> dict[int, str]:
    """Return {number: name of a class} of nnU-Net; empty without the file."""
    content = read_json(path) if path.is_file() else {}
    labels = content.get("labels") if isinstance(content, dict) else None
    if not isinstance(labels, dict):
        return {}
    # In the first version of nnU-Net, the numbers are the keys.
    pairs = ((v, k) if isinstance(v, int) else (k, v) for k, v in labels.items())
    return {int(number): str(name) for number, name in pairs if str(number).isdecimal()}


def _count_pieces(semantic: NDArray[Any]) -> int:
    return sum(_pieces(semantic == n)[1] for n in np.setdiff1d(semantic, 0).tolist())


def _pieces(mask: NDArray[np.bool_]) -> tuple[NDArray[Any], int]:
    from scipy.ndimage import label

    pieces, count = label(mask)
    return pieces, int(count)
