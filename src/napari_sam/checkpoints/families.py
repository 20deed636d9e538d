"""How each family of models sees an image: part of a checkpoint, but not in it."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Family = Literal["sam", "medsam", "lite_medsam"]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How a family turns a plane into model input, and its answer into a mask.

    A box or a point is scaled exactly as the plane is: by one factor per axis,
    new size over old size.

    Attributes
    ----------
    resize : {"longest_side", "square"}
        Whether the longest side is brought to the model's input size with the
        aspect kept, or both sides are, with the aspect lost.
    interpolation : {"bilinear", "bicubic"}
        The filter of that resize, with antialiasing where it is bilinear.
    intensity : {"mean_std", "min_max"}
        Whether values on the 0-255 scale are standardised with `mean` and `std`,
        or each image is stretched from its minimum and maximum to [0, 1].
    mean : tuple of float
        What is subtracted from each channel (R, G, B); zero for "min_max".
    std : tuple of float
        What each channel is divided by afterwards; one for "min_max".
    pad : bool
        Whether zeros are added on the right and at the bottom, after the
        intensities were scaled, until the input is square.
    multimask_output : bool
        Whether the decoder's three alternatives mean something; a family
        fine-tuned on its single mask has only that one to offer.
    upsampled : {"logits", "probabilities"}
        What is brought back to the plane's size before it is cut in two: logits
        at 0, or probabilities (their sigmoid) at 0.5.
    """

    resize: Literal["longest_side", "square"]
    interpolation: Literal["bilinear", "bicubic"]
    intensity: Literal["mean_std", "min_max"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pad: bool
    multimask_output: bool = True
    upsampled: Literal["logits", "probabilities"] = "logits"

    def describe(self, size: int) -> str:
        """One line for the interface; `size` is the side of the input, in pixels."""
        way = "longest side to" if self.resize == "longest_side" else "stretched to"
        side = f"{size} px" if self.resize == "longest_side" else f"{size} x {size} px"
        scale = "mean and deviation of SAM"
        if self.intensity == "min_max":
            scale = "minimum to maximum as 0 to 1"
        return f"{way} {side}, {scale}, {'zero' if self.pad else 'no'} padding"


PREPROCESSING: Mapping[Family, Preprocessing] = MappingProxyType(
    {
        "sam": Preprocessing(
            resize="longest_side",
            interpolation="bilinear",
            intensity="mean_std",
            mean=(123.675, 116.28, 103.53),
            std=(58.395, 57.12, 57.375),
            pad=True,
        ),
        "medsam": Preprocessing(
            resize="square",
            interpolation="bicubic",
            intensity="min_max",
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            pad=False,
            multimask_output=False,
            upsampled="probabilities",
        ),
        "lite_medsam": Preprocessing(
            resize="longest_side",
            interpolation="bilinear",
            intensity="min_max",
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            pad=True,
            multimask_output=False,
        ),
    }
)
"""How each family preprocesses, by family."""
