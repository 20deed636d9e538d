"""Images with labels to learn from: checked, read, turned, and split."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.uint8 import data_limits, plane_key, to_uint8

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

AUGMENTATIONS = 8
"""The flips and quarter turns of a plane, itself included."""

_ENDINGS = (".tif", ".tiff")
# What the names of label files may have more than those of their images.
_LABEL_NAMES = ("", "_labels", "_label", "_masks", "_mask")


@dataclass(frozen=True, eq=False)
class TrainingImage:
    """One plane and the objects on it.

    Parameters
    ----------
    name : str
        What to call it.
    source : str
        The image that it is a plane of; planes of one stack are much alike.
    plane : ndarray
        (H, W) or (H, W, 3) uint8, as the model sees it.
    labels : ndarray
        (H, W) integers, 0 for background, a number for each object.
    """

    name: str
    source: str
    plane: NDArray[np.uint8]
    labels: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.labels.shape
        return height, width

    def objects(self, smallest: float = 0) -> list[int]:
        """Numbers of the objects with at least so many pixels."""
        numbers, sizes = np.unique(self.labels, return_counts=True)
        kept = (numbers > 0) & (sizes >= smallest)
        return [int(number) for number in numbers[kept]]

    @cached_property
    def plane_key(self) -> str:
        """Hash of the plane; several sets of labels may belong to one."""
        return plane_key(self.plane)

    @property
    def key(self) -> str:
        """Hash of plane and labels."""
        digest = hashlib.blake2b(self.plane_key.encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()


def augment(array: NDArray[Any], number: int) -> NDArray[Any]:
    """Turn and flip a plane.

    Parameters
    ----------
    array : ndarray
        (H, W) or (H, W, C).
    number : int
        0 to 7: quarter turns, and from 4 on those of the transposed plane. 0 is the
        plane itself.
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
    """Make a pair of image and labels into planes to learn from.

    Parameters
    ----------
    image : array-like
        (H, W) or (H, W, 3) of any real dtype, or a stack of such, (Z, H, W) or
        (Z, H, W, 3).
    labels : array-like
        (H, W) or (Z, H, W), bool or whole numbers: 0 for background, each other
        number an object. Slices without objects are left out; objects that have no
        label do no harm.
    name : str
        What to call the pair in messages.
    contrast_limits : tuple of float or array-like, optional
        As for `images.uint8.to_uint8`; of the whole stack when None, never of a slice.

    Raises
    ------
    ValueError
        When the labels are of another shape, are no whole numbers, or hold no object.
    """
    pixels, numbers = np.asarray(image), _check_labels(np.asarray(labels), name)
    colour = pixels.ndim == numbers.ndim + 1 and pixels.shape[-1] in (3, 4)
    spatial = pixels.shape[:-1] if colour else pixels.shape
    if spatial != numbers.shape or numbers.ndim not in (2, 3):
        raise ValueError(
            f"The labels of {name} have shape {numbers.shape}, the image "
            f"{pixels.shape}: give labels of the same plane or stack."
        )
    if not numbers.any():
        raise ValueError(
            f"The labels of {name} are empty: label at least one object, or leave the "
            "image out."
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
            f"The labels of {name} have type {labels.dtype}: give whole numbers, 0 for "
            "background and one number an object (labels.astype(int), if they are)."
        )
    if labels.size and labels.min() < 0:
        raise ValueError(
            f"The labels of {name} go down to {labels.min()}: number objects from 1."
        )
    return labels.astype(np.int64)


def read_training_images(
    images: str | Path, labels: str | Path, index: Mapping[str, int] | None = None
) -> list[TrainingImage]:
    """Read pairs from two TIFF files, or from two folders of TIFF files.

    Parameters
    ----------
    images, labels : str or Path
        Two files, planes or stacks; or two folders, where the labels of `cell.tif`
        are called the same, or `cell_labels.tif`, `cell_masks.tif` or the like. The
        folders may be one.
    index : mapping, optional
        {axis: number} to take of images with more axes, for instance {"C": 1}.

    Raises
    ------
    OSError
        When a file or folder does not exist.
    ValueError
        When files do not belong together or cannot be read.
    """
    found = []
    for image, label in _pairs(Path(images), Path(labels)):
        found += training_images(
            _read(image, dict(index or {})), _read(label, {}), image.name
        )
    return found


def _pairs(images: Path, labels: Path) -> list[tuple[Path, Path]]:
    if images.is_dir() != labels.is_dir():
        raise ValueError(
            f"{images} and {labels} are a folder and a file: give two of one kind."
        )
    if not images.is_dir():
        return [(images, labels)]
    known = {_stem(path): path for path in _tiffs(labels)}
    pairs = []
    for path in _tiffs(images):
        names = [f"{_stem(path)}{more}" for more in _LABEL_NAMES]
        partner = next(
            (known[n] for n in names if n in known and known[n] != path), None
        )
        if partner is not None:
            pairs.append((path, partner))
    if not pairs:
        raise ValueError(
            f"No TIFF file in {labels} is named like one in {images}: name the labels "
            "of cell.tif cell.tif or cell_labels.tif."
        )
    return pairs


def _tiffs(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in _ENDINGS)


def _stem(path: Path) -> str:
    return path.name.removesuffix(path.suffix).removesuffix(".ome")


def _read(path: Path, index: dict[str, int]) -> NDArray[Any]:
    from napari_sam.images.tiff import read_tiff

    image = read_tiff(path).select(**index)
    return image.plane() if image.axes in ("YX", "YXS") else image.volume()


def split(
    images: Sequence[TrainingImage], share: float, rng: np.random.Generator
) -> tuple[list[TrainingImage], list[TrainingImage]]:
    """Hold images back, by source where there are several.

    Planes of one stack are split at one place instead, as neighbours are alike: the
    last slices are held back.

    Parameters
    ----------
    images : sequence of TrainingImage
        At least two.
    share : float
        Of all that is held back, at least one and never all.
    rng : Generator
        Source of chance.

    Returns
    -------
    trained, held_back : list of TrainingImage

    Raises
    ------
    ValueError
        When there are fewer than two.
    """
    if len(images) < 2:
        raise ValueError(
            f"Training needs two labelled images at least, as one is held back to see "
            f"what is gained, and there is {len(images)}: label another one, or cut "
            "this one in two."
        )
    sources = sorted({image.source for image in images})
    if len(sources) == 1:
        held = min(max(1, round(share * len(images))), len(images) - 1)
        return list(images[:-held]), list(images[-held:])
    held = min(max(1, round(share * len(sources))), len(sources) - 1)
    chosen = {sources[i] for i in rng.permutation(len(sources))[:held]}
    return (
        [image for image in images if image.source not in chosen],
        [image for image in images if image.source in chosen],
    )


def split_plane(image: TrainingImage) -> list[TrainingImage]:
    """Cut one plane across its longer side, so that half can be held back.

    The cut goes through as few pixels of objects as there are near the middle, and
    whatever it goes through becomes part of both halves.

    Parameters
    ----------
    image : TrainingImage
        With objects on both sides.

    Raises
    ------
    ValueError
        When all objects are in one half.
    """
    axis = int(np.argmax(image.shape))
    covered = np.count_nonzero(image.labels, axis=1 - axis)
    length = len(covered)
    middle = np.arange(length // 3, max(length - length // 3, length // 3 + 1))
    # The nearest to the middle of those through the fewest pixels.
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
            f"All objects of {image.name} are in one half of the image: one half is "
            "held back to see what is gained, so label objects in both."
        )
    return parts


def summarise(images: Sequence[TrainingImage]) -> dict[str, Any]:
    """Describe data in numbers, for the card of a model."""
    return {
        "images": len({image.source for image in images}),
        "planes": len(images),
        "objects": sum(len(image.objects()) for image in images),
        "smallest_plane": list(min(image.shape for image in images)),
        "largest_plane": list(max(image.shape for image in images)),
        "key": data_key(images),
    }


def data_key(images: Sequence[TrainingImage]) -> str:
    """Hash of all planes and labels, in their order."""
    keys = "".join(image.key for image in images)
    return hashlib.blake2b(keys.encode(), digest_size=16).hexdigest()
