"""Windows around labelled objects, encoded to train an instance head on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_sam.automatic.instances.scale import IDEAL_DIAMETER
from napari_sam.training.data import AUGMENTATIONS, augment
from napari_sam.training.instances.targets import instance_targets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_sam.images.window import Window
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.training.labelled_plane import LabelledPlane

# Largest change of the scale, as a power of two, and of the brightness, as an exponent.
_SCALE_JITTER, _GAMMA_JITTER = 0.5, 0.35
# Standard deviations of added noise, in grey values.
_NOISE = (0.0, 0.0, 3.0, 8.0)
# How far around a labelled object pixels are known, over the usual diameter, and in
# pixels of the network at least: neighbours may have no label.
_MARGIN, _MIN_MARGIN = 0.25, 3.0


@dataclass(frozen=True, slots=True, eq=False)
class HeadWindow:
    """A window as an instance head sees it, and the labels in it.

    Parameters
    ----------
    embedding : Tensor
        (C, S / 4, S / 4) float16.
    pixel_values : Tensor
        (3, S, S) float16, input of the image encoder.
    labels : ndarray
        (h, w) int32, at the resolution of the input without its padding.
    owners : ndarray
        (h, w) int32, the nearest label of known pixels; 0 where nothing is known.
    """

    embedding: Tensor
    pixel_values: Tensor
    labels: NDArray[np.int32]
    owners: NDArray[np.int32]

    def targets(self) -> tuple[Tensor, Tensor]:
        """Return what the head should predict, and where that is known.

        Returns
        -------
        targets : Tensor
            (3, S, S) uint8, 255 is 1.
        known : Tensor
            (S, S) bool.
        """
        side, (height, width) = self.pixel_values.shape[-1], self.labels.shape
        targets = torch.zeros((3, side, side), dtype=torch.uint8)
        targets[:, :height, :width] = torch.from_numpy(instance_targets(self.labels))
        known = torch.zeros((side, side), dtype=torch.bool)
        known[:height, :width] = torch.from_numpy(self.owners > 0)
        return targets, known


@dataclass(frozen=True, slots=True, eq=False)
class WindowEncoder:
    """Chooses and encodes windows of the scale at which objects are found best.

    Parameters
    ----------
    predictor : Predictor
        Encodes the windows.
    all_labelled : bool
        Whether all objects of the planes have labels. Otherwise only objects and a
        margin around them are known.
    """

    predictor: Predictor
    all_labelled: bool = False

    def augmented(
        self, planes: Sequence[LabelledPlane], rng: np.random.Generator
    ) -> Iterator[HeadWindow]:
        """Yield windows around one object after the other, without end.

        Each is shifted, scaled, flipped, turned, brightened and made noisy at random:
        the image encoder is not equivariant, so each needs an encoding of its own.
        """
        objects = [(p, i) for p in planes for i in range(1, len(p.boxes) + 1)]
        while True:
            for index in rng.permutation(len(objects)):
                plane, number = objects[index]
                zoom = 2 ** rng.uniform(-_SCALE_JITTER, _SCALE_JITTER)
                row, col = rng.uniform(size=2)
                window = plane.window_around(
                    number, self._side(plane, zoom), (row, col)
                )
                turn = int(rng.integers(AUGMENTATIONS))
                pixels = augment(plane.pixels[window.slices], turn)
                labels = augment(plane.labels[window.slices], turn)
                yield self._encode(plane, window, _changed(pixels, rng), labels)

    def covering(
        self, planes: Sequence[LabelledPlane], rng: np.random.Generator
    ) -> Iterator[tuple[HeadWindow, list[int]]]:
        """Yield windows that show all objects once, and the objects of each.

        The planes take turns. An object belongs to the first window that shows all of
        it; windows have an object in their middle, which always belongs to them.
        """
        sources = [self._covering(planes[i], rng) for i in rng.permutation(len(planes))]
        while sources:
            for source in list(sources):
                pair = next(source, None)
                if pair is None:
                    sources.remove(source)
                else:
                    yield pair

    def _covering(
        self, plane: LabelledPlane, rng: np.random.Generator
    ) -> Iterator[tuple[HeadWindow, list[int]]]:
        side = self._side(plane)
        order = (1 + rng.permutation(len(plane.boxes))).tolist()
        for window, shown in plane.covering_windows(order, side):
            pixels, labels = plane.pixels[window.slices], plane.labels[window.slices]
            yield self._encode(plane, window, pixels, labels), shown

    def _side(self, plane: LabelledPlane, zoom: float = 1.0) -> int:
        """Return the side of windows in which objects have the best size."""
        ideal = plane.diameter * self.predictor.input_size / IDEAL_DIAMETER / zoom
        smallest, longest = self.predictor.smallest_window, max(plane.shape)
        return min(max(round(ideal), smallest), longest)

    def _encode(
        self,
        plane: LabelledPlane,
        window: Window,
        pixels: NDArray[np.uint8],
        labels: NDArray[np.int32],
    ) -> HeadWindow:
        """Encode the pixels of a window, perhaps turned; its place is unimportant."""
        pixels, (height, width) = np.ascontiguousarray(pixels), labels.shape
        if window.shape == plane.shape:
            embedding = self.predictor.embed(pixels, zoom="off")
        else:
            embedding = self.predictor.embed(
                pixels,
                plane_shape=(height + 1, width + 1),
                window=(0, 0, height, width),
            )
        resized = _resize(labels, embedding.transform.resized_shape)
        scale = self.predictor.input_size / window.side
        margin = max(_MARGIN * scale * plane.diameter, _MIN_MARGIN)
        return HeadWindow(
            embedding.image_embedding[0].half().cpu(),
            embedding.transform.pixel_values(pixels)[0].half(),
            resized,
            _owners(resized, np.inf if self.all_labelled else margin),
        )


def _changed(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Change the brightness, and add noise."""
    gamma = np.exp(rng.uniform(-_GAMMA_JITTER, _GAMMA_JITTER))
    changed = 255 * (pixels / 255) ** gamma
    changed += rng.choice(_NOISE) * rng.normal(size=pixels.shape)
    clipped: NDArray[np.uint8] = np.clip(np.rint(changed), 0, 255).astype(np.uint8)
    return clipped


def _resize(labels: NDArray[np.int32], shape: tuple[int, int]) -> NDArray[np.int32]:
    """Resize labels to the resolution of the network."""
    rows, cols = (
        ((np.arange(size) + 0.5) * source / size).astype(int)
        for size, source in zip(shape, labels.shape, strict=True)
    )
    return labels[np.ix_(rows, cols)]


def _owners(labels: NDArray[np.int32], margin: float) -> NDArray[np.int32]:
    """Return the nearest label up to a distance in pixels, and 0 beyond."""
    from scipy import ndimage

    if not labels.any():
        return np.zeros_like(labels)
    distance, nearest = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    owners: NDArray[np.int32] = np.where(distance <= margin, labels[tuple(nearest)], 0)
    return owners
