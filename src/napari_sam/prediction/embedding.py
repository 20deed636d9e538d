"""Embedding of one plane: the output of the image encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_sam.checks.values import check_type

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from napari_sam.images.window import Window
    from napari_sam.nets.fast.decoder import ImageContext
    from napari_sam.prediction.clicks.instances import WindowInstances
    from napari_sam.prediction.plane_transform import PlaneTransform


def check_embedding(embedding: Any, model_key: str) -> None:
    """Refuse what is not an embedding made by a model.

    Raises
    ------
    TypeError
        When it is no embedding, such as the plane itself.
    ValueError
        When another model made it.
    """
    what = "the result of predictor.embed(plane)"
    check_type(embedding, "embedding", Embedding, what)
    if embedding.model_key != model_key:
        raise ValueError(
            f"The embedding was made by {embedding.model_key}, not by {model_key}: "
            "embed the plane with this model."
        )


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """One plane encoded by one model; made by `Predictor.embed`.

    Parameters
    ----------
    context : ImageContext
        The image embedding and what the mask decoder derives from it.
    transform : PlaneTransform
        Maps the plane to the model's input.
    model_key : str
        Identifies the weights and the family.
    plane_key : str
        Hash of the encoded 8-bit plane or window.
    instances : WindowInstances, optional
        Objects that the model's instance head finds, to answer clicks.
    """

    context: ImageContext
    transform: PlaneTransform
    model_key: str
    plane_key: str
    instances: WindowInstances | None = None

    @property
    def window(self) -> Window | None:
        """The part of the plane that was encoded; None for all of it."""
        return self.transform.window

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of the plane."""
        return self.transform.plane_shape

    @property
    def nbytes(self) -> int:
        """Memory used, in bytes."""
        held = 0 if self.instances is None else self.instances.nbytes
        return self.context.tokens.nbytes + held

    @property
    def image_embedding(self) -> Tensor:
        """Output of the image encoder, (1, C, S, S)."""
        return self.context.image_embedding

    def half(self) -> NDArray[np.float16]:
        """Return the image embedding in half precision, (1, C, S, S)."""
        return self.image_embedding.half().cpu().numpy()
