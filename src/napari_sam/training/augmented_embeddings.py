"""Image embeddings of flipped and rotated images, kept during training.

Each augmentation is encoded separately: an image encoder is not equivariant, so a
rotated embedding is not the embedding of the rotated image.
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
    """Image embeddings in half precision, by image and augmentation.

    Parameters
    ----------
    predictor : Predictor
        Preprocesses and encodes the planes.
    encoder : Module, optional
        An image encoder that is being trained: no embedding is kept then.
    disk : DiskCache, optional
        Keeps the embeddings; they are kept in memory when None.
    """

    def __init__(
        self,
        predictor: Predictor,
        encoder: nn.Module | None = None,
        disk: DiskCache | None = None,
    ) -> None:
        self._predictor, self._encoder, self._disk = predictor, encoder, disk
        self._memory: dict[tuple[str, int], NDArray[np.float16]] = {}

    def encode(
        self, pairs: Sequence[tuple[TrainingImage, int]]
    ) -> Iterator[tuple[int, int, float]]:
        """Encode all images that have no embedding yet.

        Parameters
        ----------
        pairs : sequence of tuple
            Images and numbers of augmentations, see `training.data.augment`.

        Yields
        ------
        done, total : int
            Number of encoded planes.
        seconds_left : float
            Estimated time left.
        """
        if self._encoder is not None:
            return
        # Several label images can share one plane: encode it once.
        unique = {(image.plane_key, number): (image, number) for image, number in pairs}
        missing = [pair for pair in unique.values() if self._get(*pair) is None]
        start = time.perf_counter()
        for done, (image, number) in enumerate(missing, start=1):
            self._encode(image, number)
            seconds_per_plane = (time.perf_counter() - start) / done
            yield done, len(missing), seconds_per_plane * (len(missing) - done)

    def embedding(self, image: TrainingImage, number: int) -> Tensor:
        """Return the embedding of an augmented image.

        Returns
        -------
        Tensor
            (1, C, s, s) float32, with a gradient if the image encoder is trained.
        """
        device = self._predictor.device
        if self._encoder is not None:
            plane = augment(image.plane, number)
            transform = self._predictor.transform((plane.shape[0], plane.shape[1]))
            encoded: Tensor = self._encoder(transform.pixel_values(plane).to(device))
            return encoded
        embedding = self._get(image, number)
        if embedding is None:  # evicted from a full disk cache
            embedding = self._encode(image, number)
        return torch.from_numpy(embedding).to(device, torch.float32)

    def _get(self, image: TrainingImage, number: int) -> NDArray[np.float16] | None:
        if self._disk is None:
            return self._memory.get((image.plane_key, number))
        return self._disk.get((self._predictor.key, image.plane_key, number))

    def _encode(self, image: TrainingImage, number: int) -> NDArray[np.float16]:
        embedding = self._predictor.embed(
            augment(image.plane, number), zoom="off"
        ).half()
        if self._disk is None:
            self._memory[image.plane_key, number] = embedding
        else:
            key = self._predictor.key, image.plane_key, number
            self._disk.put(key, embedding)
        return embedding
