"""Small objects in a large stack on disk: quality, encodings, memory and cancelling.

Run ``python -m benchmarks.quality.zoom_stack``. The stack has 512 slices of 2,048 x
2,048 pixels (2 GB of 8 bits), with 20 bumpy ellipsoids of 20 to 60 pixels along all
three axes in a textured background, blurred and noisy. Every object gets a tight box on
its middle slice. Dice is over the voxels of an object. ``--off`` also follows them on
whole planes, as before there was a zoom; it encodes every slice with an object.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

import napari_sam as ns
from benchmarks.speed.timing import Watch, clock
from napari_sam.masks.patch import mask_to_box
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.requests.from_arrays import stack_request

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.prediction.predictor import Predictor
    from napari_sam.volume.results import VolumeResult

SHAPE = (512, 2048, 2048)
COUNT = 20
SIZES = (20.0, 60.0)
MIN_DICE, MAX_GIGABYTES = 0.85, 2.0
# Slice results after which the user cancels.
CANCELLED = 60
# Grey values: background, its texture, objects and noise.
GROUND, TEXTURE, BRIGHTNESS, NOISE = 70.0, 9.0, (115.0, 170.0), 9.0
BLUR = 1.0


@dataclass(frozen=True, eq=False)
class Blob:
    """An object: its voxels, cropped.

    Parameters
    ----------
    origin : tuple of int
        (slice, row, col) of the first voxel on the stack.
    mask : ndarray
        (z, y, x) bool.
    level : float
        Brightness.
    """

    origin: tuple[int, int, int]
    mask: NDArray[np.bool_]
    level: float

    def on(self, index: int) -> NDArray[np.bool_] | None:
        """Return the mask on a slice of the stack; None where there is none."""
        z = index - self.origin[0]
        return self.mask[z] if 0 <= z < len(self.mask) else None

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns on the planes."""
        _, row, col = self.origin
        return (
            slice(row, row + self.mask.shape[1]),
            slice(col, col + self.mask.shape[2]),
        )


def blob(rng: np.random.Generator) -> NDArray[np.bool_]:
    """Make an ellipsoid with a bumpy surface, cropped tight."""
    axes = rng.uniform(*SIZES, 3) / 2
    half = int(axes.max() * 1.3) + 2
    grid = np.mgrid[-half : half + 1, -half : half + 1, -half : half + 1]
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turned = np.einsum("ij,jzyx->izyx", turn, grid) / axes[:, None, None, None]
    bumps = ndimage.gaussian_filter(rng.normal(size=grid.shape[1:]), axes.min() / 2)
    inside = np.sqrt((turned**2).sum(0)) < 1 + 0.12 * bumps / bumps.std()
    pieces, _ = ndimage.label(inside)
    inside = pieces == np.bincount(pieces[pieces > 0]).argmax()
    crop = tuple(
        slice(int(where.min()), int(where.max()) + 1) for where in np.nonzero(inside)
    )
    cut: NDArray[np.bool_] = inside[crop]
    return cut


def make_blobs(shape: tuple[int, int, int], seed: int) -> list[Blob]:
    """Place the objects in three groups of neighbours, without overlaps."""
    rng = np.random.default_rng(seed)
    blobs: list[Blob] = []
    centres = [rng.uniform(0.2, 0.8, 3) * shape for _ in range(3)]
    while len(blobs) < COUNT:
        mask = blob(rng)
        near = rng.normal(centres[len(blobs) % 3], (60, 180, 180))
        low = np.round(near - np.array(mask.shape) / 2).astype(int)
        high = low + mask.shape
        is_inside = (low >= 2).all() and (high <= np.array(shape) - 2).all()
        is_free = all(
            (low >= np.add(b.origin, b.mask.shape) + 3).any()
            or (high <= np.array(b.origin) - 3).any()
            for b in blobs
        )
        if is_inside and is_free:
            z, row, col = low.tolist()
            blobs.append(Blob((z, row, col), mask, rng.uniform(*BRIGHTNESS)))
    return blobs


def write(path: Path, shape: tuple[int, int, int], seed: int) -> None:
    """Write the stack, slice by slice."""
    volume = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    rng = np.random.default_rng(seed)
    blobs = make_blobs(shape, seed)
    grains = [
        ndimage.gaussian_filter(rng.normal(size=shape[1:]).astype(np.float32), width)
        for width in (1.5, 5.0, 20.0)
    ]
    texture = np.sum([grain / grain.std() for grain in grains], axis=0, dtype="f4")
    noise = rng.normal(0, NOISE, (4, *shape[1:])).astype(np.float32)
    for index in range(shape[0]):
        # Texture that drifts from slice to slice, and noise that does not repeat.
        moved = np.roll(texture, (index, 2 * index), axis=(0, 1))
        plane = GROUND + TEXTURE / np.sqrt(len(grains)) * moved
        here = [(b, mask) for b in blobs if (mask := b.on(index)) is not None]
        for member, mask in here:
            region = plane[member.window]
            region[mask] = member.level + (region[mask] - GROUND) * 0.6
        for member, _ in here:
            _blur(plane, member.window)
        plane += np.roll(noise[index % 4], (7 * index, 13 * index), axis=(0, 1))
        volume[index] = np.clip(plane, 0, 255)
    volume.flush()


def _blur(plane: NDArray[np.float32], window: tuple[slice, slice]) -> None:
    """Blur around an object; the texture is smooth already."""
    around = tuple(slice(max(w.start - 8, 0), w.stop + 8) for w in window)
    inner = tuple(
        slice(w.start - a.start, w.stop - a.start)
        for w, a in zip(window, around, strict=True)
    )
    grown = tuple(slice(max(i.start - 4, 0), i.stop + 4) for i in inner)
    part = plane[around]
    part[grown] = ndimage.gaussian_filter(part, BLUR)[grown]


def prompts_of(blobs: list[Blob]) -> dict[int, dict[int, ns.Prompt]]:
    """Return a tight box for each object on its middle slice."""
    prompts = {}
    for number, member in enumerate(blobs, start=1):
        middle = len(member.mask) // 2
        box = mask_to_box(member.mask[middle])
        assert box is not None
        box += np.tile(member.origin[1:], 2)
        prompts[number] = {member.origin[0] + middle: ns.Prompt(box=box)}
    return prompts


def dice(result: VolumeResult, blobs: list[Blob]) -> NDArray[np.float64]:
    """Return the Dice of each object, without an image of the labels."""
    found: dict[int, int] = defaultdict(int)
    shared: dict[int, int] = defaultdict(int)
    for piece in result.pieces:
        found[piece.object_id] += int(piece.mask.sum())
        member = blobs[piece.object_id - 1]
        truth = member.on(piece.plane_index[0])
        if truth is not None:
            plane = np.zeros(SHAPE[1:], bool)
            plane[piece.region] = piece.mask
            shared[piece.object_id] += int((plane[member.window] & truth).sum())
    return np.array(
        [
            2 * shared[i] / (found[i] + int(member.mask.sum()))
            for i, member in enumerate(blobs, start=1)
        ]
    )


def follow(volume: Any, blobs: list[Blob], predictor: Predictor, zoom: Any) -> None:
    """Follow all objects, and print what it took."""
    request = stack_request(volume, prompts_of(blobs), zoom=zoom)
    cache = EmbeddingCache()
    slices, told = request.iter_slices(predictor, cache), False
    with Watch() as watch:
        for _ in slices:
            if slices.estimate is not None and not told:
                print(f"  {slices.estimate.text}", flush=True)
                told = True
    scores = dice(slices.result(), blobs)
    gigabytes = watch.megabytes / 1e3
    depth = {i for b in blobs for i in range(b.origin[0], b.origin[0] + len(b.mask))}
    print(
        f"zoom {zoom}: mean Dice {scores.mean():.3f}, lowest {scores.min():.3f}; "
        f"{cache.encoded_count} encodings ({len(depth)} slices with objects, "
        f"{sum(len(b.mask) for b in blobs)} slices of objects); "
        f"{watch.seconds:.0f} s; {gigabytes:.2f} GB above start"
    )
    print("  " + " ".join(f"{score:.2f}" for score in scores), flush=True)
    if zoom == "auto":
        for what, met in (
            (f"mean Dice at least {MIN_DICE}", scores.mean() >= MIN_DICE),
            (f"memory below {MAX_GIGABYTES} GB", gigabytes < MAX_GIGABYTES),
        ):
            print(f"  {what}: {'met' if met else 'missed'}")


def cancel(volume: Any, blobs: list[Blob], predictor: Predictor) -> None:
    """Cancel in the middle, and print how long one has to wait."""
    slices = stack_request(volume, prompts_of(blobs)).iter_slices(
        predictor, EmbeddingCache()
    )
    steps, waits = iter(slices), []
    for _ in range(CANCELLED):
        started = clock()
        next(steps)
        waits.append(clock() - started)
    started = clock()
    steps.close()
    print(
        f"cancel: at most {max(waits[COUNT:]):.2f} s until the slice is done, "
        f"{clock() - started:.3f} s to end"
    )


def measure(path: Path, seed: int, off: bool) -> None:
    """Run in a process of its own, so that writing the stack does not count."""
    predictor = ns.load_model("lite_medsam")
    predictor.embed(np.zeros((64, 64), np.uint8))
    volume = np.load(path, mmap_mode="r")
    blobs = make_blobs(SHAPE, seed)
    follow(volume, blobs, predictor, "auto")
    cancel(volume, blobs, predictor)
    if off:
        follow(volume, blobs, predictor, "off")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--off", action="store_true", help="also on whole planes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep the stack here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = args.keep or Path(folder) / "stack.npy"
        context = multiprocessing.get_context("spawn")
        with context.Pool(1, maxtasksperchild=1) as pool:
            if not path.exists():
                pool.apply(write, (path, SHAPE, args.seed))
            pool.apply(measure, (path, args.seed, args.off))


if __name__ == "__main__":
    main()
