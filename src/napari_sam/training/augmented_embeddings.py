"""What the image encoder gives for the flips and turns of images, kept while training.

The eight views of an image are encoded each by itself: an encoder is not equivariant,
so turning its output would teach the decoder what it never meets.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from napari_sam.training.data import augment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from napari_sam.prediction.disk_cache import DiskCache
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.training.data import TrainingImage


class AugmentedEmbeddings:
    """Embeddings of views in half precision, or an encoder that is asked each time.

    Parameters
    ----------
    predictor : Predictor
        Prepares the planes by its family's rule, and encodes them.
    encoder : Module, optional
        An encoder that is being trained: nothing is kept then.
    disk : DiskCache, optional
        Where to keep embeddings; in memory when None.
    """

    def __init__(
        self,
        predictor: Predictor,
        encoder: nn.Module | None = None,
        disk: DiskCache | None = None,
    ) -> None:
        self._predictor, self._encoder, self._disk = predictor, encoder, disk
        self._kept: dict[tuple[str, int], NDArray[np.float16]] = {}

    def encode(
        self, wanted: Sequence[tuple[TrainingImage, int]]
    ) -> Iterator[tuple[int, int, float]]:
        """Encode what is not there yet.

        Parameters
        ----------
        wanted : sequence of tuple
            Images and the numbers of their views, see `training_data.augment`.

        Yields
        ------
        done, total : int
            Views.
        seconds_left : float
            By the time that it took until now.
        """
        if self._encoder is not None:
            return
        # Planes with several sets of labels are encoded once.
        augmentations = {
            (image.plane_key, number): (image, number) for image, number in wanted
        }
        missing = [pair for pair in augmentations.values() if self._find(*pair) is None]
        started = time.perf_counter()
        for done, (image, number) in enumerate(missing, start=1):
            self._keep(image, number)
            each = (time.perf_counter() - started) / done
            yield done, len(missing), each * (len(missing) - done)

    def embedding(self, image: TrainingImage, number: int) -> Tensor:
        """(1, C, s, s) float32 of a view, with a gradient if the encoder is trained."""
        device = self._predictor.device
        if self._encoder is not None:
            plane = augment(image.plane, number)
            transform = self._predictor.transform((plane.shape[0], plane.shape[1]))
            encoded: Tensor = self._encoder(transform.pixel_values(plane).to(device))
            return encoded
        stored = self._find(image, number)
        if stored is None:  # not asked for before, or dropped from a disk that is full
            stored = self._keep(image, number)
        return torch.from_numpy(stored).to(device, torch.float32)

    def _find(self, image: TrainingImage, number: int) -> NDArray[np.float16] | None:
        if self._disk is None:
            return self._kept.get((image.plane_key, number))
        return self._disk.get((self._predictor.key, image.plane_key, number))

    def _keep(self, image: TrainingImage, number: int) -> NDArray[np.float16]:
        encoded = self._predictor.embed(augment(image.plane, number)).half()
        if self._disk is None:
            self._kept[image.plane_key, number] = encoded
        else:
            self._disk.put((self._predictor.key, image.plane_key, number), encoded)
        return encoded
