"""What a model knows of one plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_sam.nets.fast.decoder import ImageContext
    from napari_sam.prediction.plane_transform import PlaneTransform


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """What a model knows of one plane; made by `Predictor.embed`.

    Parameters
    ----------
    terms : ImageContext
        Image embedding and all else the decoder needs of the image.
    frame : PlaneTransform
        How the plane lies in the model's input.
    model_key : str
        The weights and the family it was made with.
    plane_key : str
        Hash of the 8-bit plane that was encoded.
    """

    terms: ImageContext
    transform: PlaneTransform
    model_key: str
    plane_key: str

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the plane."""
        return self.transform.plane_shape

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return self.terms.tokens.nbytes

    @property
    def image_embedding(self) -> Tensor:
        """The encoder's output, (1, C, S, S)."""
        tokens = self.terms.tokens
        size = int(tokens.shape[0] ** 0.5)
        return tokens.T.reshape(1, -1, size, size)

    def half(self) -> NDArray[np.float16]:
        """The encoder's output in half precision, (1, C, S, S), to be kept."""
        return self.image_embedding.half().cpu().numpy()
