"""Training images: check, read, augment and split images with labels."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.checks.arrays import as_image
from napari_sam.checks.values import as_path
from napari_sam.images.reading.read import ENDINGS, is_zarr, read_image
from napari_sam.images.uint8 import data_limits, plane_key, to_uint8

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.images.reading.image_file import ImageFile

AUGMENTATIONS = 8
"""Number of flips and quarter turns of a plane, including the plane itself."""

# Label files may have the names of their images with one of these suffixes.
_LABEL_SUFFIXES = ("", "_labels", "_label", "_masks", "_mask")


@dataclass(frozen=True, eq=False)
class TrainingImage:
    """One plane and the labels of its objects.

    Parameters
    ----------
    name : str
        Name for messages.
    source : str
        Name of the image; planes of one stack have the same source.
    plane : ndarray
        (H, W) or (H, W, 3) uint8, the input of the model.
    labels : ndarray
        (H, W) integers, 0 for background, one label for each object.
    """

    name: str
    source: str
    plane: NDArray[np.uint8]
    labels: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the plane."""
        height, width = self.labels.shape
        return height, width

    def objects(self, min_size: float = 0) -> list[int]:
        """Return the labels of all objects with at least `min_size` pixels."""
        labels, sizes = np.unique(self.labels, return_counts=True)
        kept = (labels > 0) & (sizes >= min_size)
        return [int(label) for label in labels[kept]]

    @cached_property
    def plane_key(self) -> str:
        """Hash of the plane; several label images can share it."""
        return plane_key(self.plane)

    @property
    def key(self) -> str:
        """Hash of plane and labels."""
        digest = hashlib.blake2b(self.plane_key.encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()


def augment(array: NDArray[Any], number: int) -> NDArray[Any]:
    """Rotate and flip a plane.

    Parameters
    ----------
    array : ndarray
        (H, W) or (H, W, C).
    number : int
        0 to 3: number of quarter turns; 4 to 7: quarter turns of the transposed
        plane.
    """
    if number >= AUGMENTATIONS // 2:
        array = array.swapaxes(0, 1)
    return np.ascontiguousarray(np.rot90(array, number % (AUGMENTATIONS // 2)))


def training_images(
    image: Any,
    labels: Any,
    name: str = "image",
    *,
    contrast_limits: ArrayLike | None = None,
) -> list[TrainingImage]:
    """Make training images of an image and its labels.

    Parameters
    ----------
    image : array-like
        Plane (H, W) or (H, W, 3), or stack (Z, H, W) or (Z, H, W, 3), any real dtype.
    labels : array-like
        (H, W) or (Z, H, W), bool or integers: 0 for background, one label for each
        object. Slices without objects are left out. Not all objects need a label.
    name : str
        Name for messages.
    contrast_limits : tuple of float or array-like, optional
        See `images.uint8.to_uint8`; from the whole image or stack when None.

    Returns
    -------
    list of TrainingImage
        One for each plane with objects.

    Raises
    ------
    ValueError
        When the labels have another shape, are not integers, or are empty.
    """
    pixels = np.asarray(as_image(image, "image"))
    numbers = _check_labels(np.asarray(as_image(labels, "labels")), name)
    colour = pixels.ndim == numbers.ndim + 1 and pixels.shape[-1] in (3, 4)
    spatial = pixels.shape[:-1] if colour else pixels.shape
    if spatial != numbers.shape or numbers.ndim not in (2, 3):
        raise ValueError(
            f"The labels of {name} have shape {numbers.shape}, the image "
            f"{pixels.shape}: give labels of the same plane or stack."
        )
    if not numbers.any():
        raise ValueError(
            f"The labels of {name} are empty: label at least one object, or leave out "
            "the image."
        )
    if numbers.ndim == 2:
        plane = to_uint8(pixels, contrast_limits)
        return [TrainingImage(name, name, plane, numbers)]
    if contrast_limits is None and pixels.dtype != np.uint8:
        contrast_limits = data_limits(pixels)
    return [
        TrainingImage(
            f"{name}, slice {z}", name, to_uint8(pixels[z], contrast_limits), numbers[z]
        )
        for z in range(len(numbers))
        if numbers[z].any()
    ]


def _check_labels(labels: NDArray[Any], name: str) -> NDArray[np.int64]:
    if labels.dtype.kind not in "bui":
        raise ValueError(
            f"The labels of {name} have dtype {labels.dtype}: give integers, 0 for "
            "background and one label for each object (labels.astype(int) converts)."
        )
    if labels.size and labels.min() < 0:
        raise ValueError(
            f"The labels of {name} have a minimum of {labels.min()}: number objects "
            "from 1."
        )
    return labels.astype(np.int64)


def read_training_images(
    images: str | Path,
    labels: str | Path,
    index: Mapping[str, int] | None = None,
    *,
    axis: str | None = None,
    series: str | None = None,
    axes: str | None = None,
    on_notes: Callable[[Sequence[str]], object] | None = None,
) -> list[TrainingImage]:
    """Read training images from two files, or from two folders of files.

    Parameters
    ----------
    images, labels : str or Path
        Two files, planes or stacks; or two folders, where the labels of `cell.tif`
        have the same name, or `cell_label.tif`, `cell_labels.tif`, `cell_mask.tif` or
        `cell_masks.tif`. Both can be the same folder. TIFF, PNG and other formats of
        `napari_sam.images.reading.read`.
    index : mapping, optional
        {axis: index} to select from images with more axes, for instance {"C": 1}.
    axis : str, optional
        Name or number of the axis of the slices of stacks; the first one when None,
        which must be one of space or time.
    series, axes : str, optional
        Which image of a file with several, and the names of the axes of images; see
        `napari_sam.images.reading.read.read_image`.
    on_notes : callable, optional
        Gets sentences about what files hold beyond what is used; they are warnings
        when None.

    Returns
    -------
    list of TrainingImage
        See `training_images`.

    Raises
    ------
    OSError
        When a file or folder does not exist.
    ValueError
        When image and label files do not match or cannot be read.
    """
    found = []
    pairs = _pairs(as_path(images, "images"), as_path(labels, "labels"))
    for path, label_path in pairs:
        image = read_image(path, series, axes)
        (on_notes or _warn)(image.notes)
        image = image.select(**(index or {}))
        numbers = read_image(label_path, labels=True)
        (on_notes or _warn)(numbers.notes)
        pixels, matching = _matching(image, numbers.select(), axis)
        found += training_images(pixels, matching, path.name)
    return found


def _matching(
    image: ImageFile, labels: ImageFile, name: str | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return pixels and labels with the same axes, those of slices first."""
    is_plane = len(image.order) == 2
    pixels = np.asarray(image.plane() if is_plane else image.volume())
    numbers = np.asarray(labels.data)
    if not labels.named and labels.in_order().shape == image.in_order().shape:
        numbers = np.asarray(labels.in_order().data).transpose(
            [image.order.index(letter) for letter in image.axes.removesuffix("S")]
        )
    axis = 0 if is_plane else image.axis(name)
    if axis and numbers.ndim == len(image.order):
        return np.moveaxis(pixels, axis, 0), np.moveaxis(numbers, axis, 0)
    return pixels, numbers


def _warn(notes: Sequence[str]) -> None:
    for note in notes:
        warnings.warn(note, UserWarning, stacklevel=3)


def _pairs(images: Path, labels: Path) -> list[tuple[Path, Path]]:
    if _is_folder(images) != _is_folder(labels):
        raise ValueError(
            f"{images} and {labels} are a folder and a file: give two files or two "
            "folders."
        )
    if not _is_folder(images):
        return [(images, labels)]
    label_files = _image_files(labels)
    pairs = []
    for stem, path in _image_files(images).items():
        names = [f"{stem}{suffix}" for suffix in _LABEL_SUFFIXES]
        matches = [label_files[name] for name in names if name in label_files]
        pairs += [(path, match) for match in matches if match != path][:1]
    if not pairs:
        raise ValueError(
            f"No image in {labels} is named like one in {images}: name the labels "
            "of cell.tif cell.tif or cell_labels.tif."
        )
    return pairs


def _is_folder(path: Path) -> bool:
    """Tell a folder of images from a file; a zarr store is one, too."""
    return path.is_dir() and not is_zarr(path)


def _image_files(folder: Path) -> dict[str, Path]:
    """Return {name without ending: file} of the images in a folder.

    Hidden files are none: they are parts of files, or notes of other systems.
    """
    files: dict[str, Path] = {}
    listed = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    for path in (p for p in listed if p.suffix.lower() in ENDINGS):
        other = files.setdefault(_stem(path), path)
        if other != path:
            raise ValueError(
                f"{other} and {path.name} have the same name but for their endings: "
                "keep only one of them in the folder."
            )
    return files


def _stem(path: Path) -> str:
    return path.name.removesuffix(path.suffix).removesuffix(".ome")


def split(
    images: Sequence[TrainingImage], fraction: float, rng: np.random.Generator
) -> tuple[list[TrainingImage], list[TrainingImage]]:
    """Split images into training images and held-out images.

    Several images are split by their source. Of a single stack the last slices are
    held out, as neighbouring slices are similar.

    Parameters
    ----------
    images : sequence of TrainingImage
        At least two.
    fraction : float
        Fraction to hold out, at least one image and never all.
    rng : Generator
        Random numbers.

    Returns
    -------
    train, held_out : list of TrainingImage
        The two parts.

    Raises
    ------
    ValueError
        When there are fewer than two.
    """
    if len(images) < 2:
        raise ValueError(
            "Training needs at least two labelled images, as one is held out for "
            f"validation, and there is {len(images)}: label another one, or split it."
        )
    sources = sorted({image.source for image in images})
    if len(sources) == 1:
        count = min(max(1, round(fraction * len(images))), len(images) - 1)
        return list(images[:-count]), list(images[-count:])
    count = min(max(1, round(fraction * len(sources))), len(sources) - 1)
    held_out = {sources[i] for i in rng.permutation(len(sources))[:count]}
    return (
        [image for image in images if image.source not in held_out],
        [image for image in images if image.source in held_out],
    )


def split_plane(image: TrainingImage) -> list[TrainingImage]:
    """Split one plane across its longer side, so that one half can be held out.

    The cut is where it crosses the fewest pixels of objects, within the middle third;
    objects that it crosses become part of both halves.

    Parameters
    ----------
    image : TrainingImage
        A plane with objects in both halves.

    Returns
    -------
    list of TrainingImage
        The two halves.

    Raises
    ------
    ValueError
        When all objects are in one half.
    """
    axis = int(np.argmax(image.shape))
    covered = np.count_nonzero(image.labels, axis=1 - axis)
    length = len(covered)
    middle = np.arange(length // 3, max(length - length // 3, length // 3 + 1))
    # Of the cuts through the fewest pixels the one closest to the middle.
    cut = int(min(middle, key=lambda i: (covered[i], abs(i - length // 2))))
    parts = []
    for number, part in enumerate((slice(None, cut), slice(cut, None)), start=1):
        window = (part, slice(None)) if axis == 0 else (slice(None), part)
        name, labels = f"{image.name}, half {number}", image.labels[window]
        if labels.any():
            plane = np.ascontiguousarray(image.plane[window])
            parts.append(TrainingImage(name, name, plane, np.ascontiguousarray(labels)))
    if len(parts) < 2:
        raise ValueError(
            f"All objects of {image.name} are in one half of the image: label objects "
            "in both halves, as one is held out for validation."
        )
    return parts


def summarise(images: Sequence[TrainingImage]) -> dict[str, Any]:
    """Count images and objects, for the model card."""
    return {
        "images": len({image.source for image in images}),
        "planes": len(images),
        "objects": sum(len(image.objects()) for image in images),
        "smallest_plane": list(min(image.shape for image in images)),
        "largest_plane": list(max(image.shape for image in images)),
        "key": data_key(images),
    }


def data_key(images: Sequence[TrainingImage]) -> str:
    """Hash all planes and labels, in their order."""
    keys = "".join(image.key for image in images)
    return hashlib.blake2b(keys.encode(), digest_size=16).hexdigest()
