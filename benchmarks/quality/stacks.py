"""Stacks with reference objects: seeded synthetic ones and real ones.

Every synthetic family occurs with several seeds, looks and spacings in both halves:
one half for calibration, one for the report. To see all of them, run
``python -m benchmarks.quality.stacks FOLDER``.

The real stacks have no manual labels. Their reference comes from classical methods
that use neither boxes nor slices, and was checked by eye: the head of `samples.head`
is what is brighter than Otsu's threshold, with holes filled; its ventricles are the
largest connected component, in 3D, of what is brighter than tissue deep inside.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from scipy import ndimage
from skimage import filters, io, measure, segmentation

from benchmarks.quality import stack_kinds
from benchmarks.quality.shapes import (
    Scene,
    branching,
    columns,
    cups,
    labelled,
    leaning,
    packed,
    scattered,
    single,
)
from napari_sam import samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from benchmarks.quality.shapes import Field

SEED = 2025
# Synthetic objects with fewer voxels are hidden by others: not in the truth.
FEWEST_VOXELS = 400
TWENTY = "twenty, bright"
# Head: lowest brightness of fluid, lowest depth of the ventricles in mm, and the slice
# below which the eyes and sinuses lie.
FLUID, DEEP, LOWEST = 575, 22.0, 6
# One stack of each difficulty, in both halves, for a quick run.
SMALL = ("touching, bright", "branching, dark", "cups, dim", "leaning, dim")

Half = Literal["calibrate", "report"]


@dataclass(frozen=True, eq=False)
class BenchStack:
    """Stack with its reference objects.

    Parameters
    ----------
    name : str
        Row of the table.
    image : ndarray
        (Z, H, W) uint8 or uint16.
    truth : ndarray
        (Z, H, W) int32, 0 is background.
    spacing : tuple of float
        Voxel size along each axis.
    half : {"calibrate", "report"}
        What the stack may be used for.
    """

    name: str
    image: NDArray[Any]
    truth: NDArray[np.int32]
    spacing: tuple[float, float, float]
    half: Half

    @property
    def objects(self) -> list[int]:
        """Object ids."""
        return [int(i) for i in np.unique(self.truth) if i]


# ------------------------------------------------------------------ imaging


@dataclass(frozen=True, slots=True)
class Look:
    """Simulated imaging of a stack.

    Parameters
    ----------
    background : float
        Brightness between the objects, as a fraction of the brightest.
    objects : tuple of float
        Range of the brightness of the objects.
    seam : float
        Added on the outline of every object.
    texture : float
        Contrast of structures a few pixels wide, everywhere.
    blur, noise : float
        Width of the optics in pixels, and the noise of the camera.
    fade : float
        Fraction of the light that is left in the last slice.
    depth : {8, 16}
        Bits.
    """

    background: float = 0.08
    objects: tuple[float, float] = (0.45, 0.95)
    seam: float = -0.2
    texture: float = 0.02
    blur: float = 1.0
    noise: float = 0.05
    fade: float = 0.75
    depth: Literal[8, 16] = 8


FLUORESCENT = Look()
DIM = Look(noise=0.09, fade=0.55, blur=1.6, depth=16)
ELECTRONS = Look(0.62, (0.3, 0.42), -0.14, 0.055, 0.7, 0.05, 0.95)
PALE = Look(0.68, (0.42, 0.5), -0.2, 0.045, 1.0, 0.06, 1.05)
MAGNETIC = Look(0.35, (0.6, 0.8), 0.0, 0.05, 1.2, 0.04, 0.9, 16)


def imaged(scene: Scene, labels: NDArray[np.int32], look: Look) -> NDArray[Any]:
    """Simulate light, optics and camera."""
    rng, (low, high) = scene.rng, look.objects
    levels = rng.uniform(low, high, labels.max() + 1)
    levels[0] = look.background
    light = levels[labels].astype(np.float32)
    light += np.float32(look.seam) * outlines(labels)
    for width in (1.5, 5.0):
        sigma = (width / scene.ratio, width, width)
        grain = ndimage.gaussian_filter(rng.normal(0, 1, labels.shape), sigma)
        light += look.texture * grain / grain.std()
    # Microscopes blur more along z than across.
    along = look.blur * 1.5 / scene.ratio
    light = ndimage.gaussian_filter(light, (along, look.blur, look.blur))
    fading = np.linspace(1, look.fade, len(labels))[:, None, None]
    shade = 1 - 0.25 * scene.axes[2] / scene.size[2]
    signal = light * fading * shade
    noise = look.noise * np.sqrt(np.clip(signal, 0.1, None))
    signal = signal + rng.normal(0, 1, signal.shape) * noise
    scale, kind = (255, np.uint8) if look.depth == 8 else (4000, np.uint16)
    image: NDArray[Any] = np.clip(signal * scale, 0, scale).astype(kind)
    return image


def outlines(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return the last pixels before another label, plane by plane."""
    outline = np.zeros(labels.shape, bool)
    for axis in (1, 2):
        outline |= np.diff(labels, axis=axis, append=labels.take([-1], axis)) != 0
    return outline


def synthetic(
    name: str,
    half: Half,
    shape: tuple[int, int, int],
    ratio: float,
    family: Callable[[Scene], Iterator[Field]],
    look: Look,
) -> BenchStack:
    """Make one stack; its name seeds the random numbers."""
    rng = np.random.default_rng([SEED, *name.encode()])
    scene = Scene(rng, shape, ratio)
    labels = labelled(scene, family(scene))
    image = imaged(scene, labels, look)
    labels[(np.bincount(labels.ravel()) < FEWEST_VOXELS)[labels]] = 0
    return BenchStack(name, image, labels, (ratio, 1.0, 1.0), half)


def of_kind(
    name: str, half: Half, shape: tuple[int, int, int], ratio: float, *rest: Any
) -> BenchStack:
    """Make one stack of `stack_kinds`."""
    image, truth = stack_kinds.image_and_truth(name, shape, ratio, *rest)
    return BenchStack(name, image, truth, (ratio, 1.0, 1.0), half)


# --------------------------------------------------------------------- real


def head_whole() -> BenchStack:
    """Make the head itself: an easy object that fills the stack."""
    image, spacing = samples.head()
    smooth = ndimage.gaussian_filter(image.astype(float), (0, 1, 1))
    bright = smooth > filters.threshold_otsu(smooth)
    complete = np.stack([ndimage.binary_fill_holes(plane) for plane in bright])
    truth = largest(complete).astype(np.int32)
    return BenchStack("real: head", to_16_bits(image), truth, spacing, "calibrate")


def head_ventricles() -> BenchStack:
    """Make the ventricles of the head: one or several parts on each slice."""
    image, spacing = samples.head()
    # The first and the last slice are not a surface of the head.
    tissue = np.pad(head_whole().truth > 0, ((1, 1), (0, 0), (0, 0)), mode="edge")
    depth = ndimage.distance_transform_edt(tissue, sampling=spacing)[1:-1]
    smooth = ndimage.gaussian_filter(image.astype(float), (0, 0.5, 0.5))
    fluid = (smooth > FLUID) & (depth > DEEP)
    fluid[:LOWEST] = False
    found = largest(ndimage.binary_opening(fluid, np.ones((1, 2, 2))))
    truth = ndimage.binary_closing(found, np.ones((1, 3, 3))).astype(np.int32)
    return BenchStack("real: ventricles", to_16_bits(image), truth, spacing, "report")


def largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the largest connected component."""
    pieces = measure.label(mask)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    found: NDArray[np.bool_] = pieces == sizes.argmax()
    return found


def to_16_bits(image: NDArray[Any]) -> NDArray[np.uint16]:
    kept: NDArray[np.uint16] = np.clip(image, 0, None).astype(np.uint16)
    return kept


# -------------------------------------------------------------------- suite


def _rows() -> Iterator[tuple[Any, ...]]:
    """Return name, half, shape, ratio, family and look of the synthetic stacks."""
    calibrate, show = "calibrate", "report"
    one = partial(single, radius=42)
    yield "one, bright", calibrate, (24, 224, 224), 1.5, one, FLUORESCENT
    yield "one, dark", show, (20, 256, 256), 4, one, ELECTRONS
    touching = partial(packed, count=9, radii=(22, 40))
    yield "touching, bright", calibrate, (24, 256, 256), 3, touching, FLUORESCENT
    yield "touching, dark", show, (24, 256, 256), 5, touching, ELECTRONS
    yield "touching, dim", show, (30, 240, 240), 2, touching, DIM
    tubes = partial(branching, radius=12)
    yield "branching, bright", calibrate, (36, 256, 256), 3, tubes, FLUORESCENT
    yield "branching, dark", show, (40, 224, 224), 1, tubes, PALE
    yield "cups, dim", calibrate, (24, 256, 256), 3, partial(cups, count=4), DIM
    yield "cups, grey", show, (20, 288, 288), 5, partial(cups, count=5), MAGNETIC
    drifting = partial(leaning, count=5, radius=(18, 27), drift=0.25)
    yield "drifting, dark", calibrate, (20, 256, 256), 6, drifting, ELECTRONS
    yield "drifting, bright", show, (24, 256, 256), 4, drifting, FLUORESCENT
    tilted = partial(leaning, count=6, radius=(17, 30), drift=0.12)
    yield "leaning, grey", calibrate, (16, 256, 256), 8, tilted, MAGNETIC
    yield "leaning, dim", show, (16, 240, 240), 8, tilted, DIM
    twenty = partial(columns, grid=(4, 5), radius=20)
    yield "twenty, grey", calibrate, (16, 320, 320), 6, twenty, MAGNETIC
    yield TWENTY, show, (16, 320, 320), 4, twenty, FLUORESCENT
    many = partial(scattered, grid=(8, 8), radius=13)
    yield "sixty-four, dark", calibrate, (12, 288, 288), 6, many, PALE
    more = partial(scattered, grid=(10, 10), radius=12)
    yield "hundred, bright", show, (12, 320, 320), 5, more, FLUORESCENT


def suite(small: bool = False, only: str | None = None) -> Iterator[BenchStack]:
    """Yield the stacks one after the other.

    Parameters
    ----------
    small : bool
        Only a few of them.
    only : str, optional
        Part of the names of the wanted stacks.
    """
    makers: dict[str, Callable[[], BenchStack]] = {
        row[0]: partial(synthetic, *row) for row in _rows()
    }
    for row in stack_kinds.kinds():
        makers[row[0]] = partial(of_kind, *row)
    makers["real: head"] = head_whole
    makers["real: ventricles"] = head_ventricles
    for name, make in makers.items():
        if (only is None or only in name) and not (small and name not in SMALL):
            yield make()


# ----------------------------------------------------------------- pictures


def montage(stack: BenchStack, columns: int = 6) -> NDArray[np.uint8]:
    """Return slices with the outlines of the objects, from the first to the last."""
    chosen = np.linspace(0, len(stack.image) - 1, 2 * columns).round().astype(int)
    top = np.percentile(stack.image, 99.8)
    tiles = []
    for index in chosen:
        grey = np.clip(stack.image[index] / top, 0, 1)
        large = np.kron(stack.truth[index], np.ones((2, 2), int))
        picture = segmentation.mark_boundaries(
            np.kron(grey, np.ones((2, 2))), large, mode="inner", color=(1, 0.7, 0)
        )
        tiles.append(np.pad(picture, ((0, 2), (0, 2), (0, 0)), constant_values=1))
    rows = [np.concatenate(tiles[i : i + columns], 1) for i in (0, columns)]
    pixels: NDArray[np.uint8] = (np.concatenate(rows) * 255).astype(np.uint8)
    return pixels


def pictures(folder: Path, **which: Any) -> None:
    """Write a montage of each stack."""
    folder.mkdir(parents=True, exist_ok=True)
    for stack in suite(**which):
        name = stack.name.replace(", ", "-").replace(": ", "-")
        io.imsave(folder / f"{name}.png", montage(stack), check_contrast=False)
        print(f"{stack.name:<20}{len(stack.objects):>5} {stack.image.shape}")


if __name__ == "__main__":
    pictures(Path(sys.argv[1]))
