"""Preprocessing and postprocessing rules of each model family.

A checkpoint file does not contain these rules, although its weights depend on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_sam.checkpoints.prompt_support import PromptKind

Family = Literal["sam", "medsam", "lite_medsam"]


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Rules by which a family turns a plane into model input and logits into a mask.

    Attributes
    ----------
    resize : {"longest_side", "square"}
        Resize the longest side to the model's input size and keep the aspect ratio,
        or resize both sides to it.
    interpolation : {"bilinear_uint8", "bilinear", "bicubic"}
        Filter of the resize: bilinear with antialiasing and rounding to 8 bits,
        bilinear with antialiasing, or bicubic with truncation to 8 bits.
    intensity : {"mean_std", "min_max"}
        Standardise values of 0 to 255 with `mean` and `std`, or stretch each image
        from its minimum and maximum to [0, 1].
    mean : tuple of float
        Subtracted from each channel (R, G, B); zero for "min_max".
    std : tuple of float
        Divisor of each channel; one for "min_max".
    pad : bool
        Whether zeros are added at the right and the bottom, after normalisation, to
        make the input square.
    default_size : int
        Side of the model input in pixels, for settings without a size.
    default_prompts : frozenset of {"point", "box", "mask"}
        Prompts that weights of the family were trained on, for files without a model
        card.
    isotropic_prompt_scale : bool
        Whether prompts are scaled by one factor, input size over longest side. In
        other families they are scaled as the plane, new size over old size of each
        axis.
    multimask_output : bool
        Whether the decoder's three alternatives were trained. Families fine-tuned on
        the single mask have only that one.
    upsampled : {"logits", "probabilities"}
        What is interpolated to the size of the plane before the threshold: logits
        (at 0), or their sigmoid (at 0.5).
    score : {"iou", "stability"}
        Score of a mask: the decoder's predicted IoU, or the stability of the mask
        where that output was not trained.
    transformers_settings : bool
        Whether the settings of transformers' ``SamImageProcessor`` describe the
        preprocessing; other families have fixed rules.
    zoom_floor : float
        Side of the smallest window that objects are segmented in, as a fraction of
        the input size: below 1 pixels are enlarged. 1 where it was not measured.
    click_zoom_floor : float
        The same for clicks on objects that are tiny in that window.
    stability_on_plane : bool
        Whether automatic segmentation with points computes the stability score at the
        size of the plane, as SAM does, and not at that of the low-resolution mask.
    """

    resize: Literal["longest_side", "square"]
    interpolation: Literal["bilinear_uint8", "bilinear", "bicubic"]
    intensity: Literal["mean_std", "min_max"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    pad: bool
    default_size: int
    default_prompts: frozenset[PromptKind]
    isotropic_prompt_scale: bool = False
    multimask_output: bool = False
    upsampled: Literal["logits", "probabilities"] = "logits"
    score: Literal["iou", "stability"] = "iou"
    transformers_settings: bool = False
    zoom_floor: float = 1.0
    click_zoom_floor: float = 1.0
    stability_on_plane: bool = False

    def describe(self, size: int) -> str:
        """Describe the rules in one line; `size` is the side of the input in pixels."""
        if self.resize == "longest_side":
            resize = f"longest side to {size} px"
        else:
            resize = f"stretched to {size} x {size} px"
        scale = "mean and deviation of SAM"
        if self.intensity == "min_max":
            scale = "minimum to maximum as 0 to 1"
        return f"{resize}, {scale}, {'zero' if self.pad else 'no'} padding"


PREPROCESSING: Mapping[Family, Preprocessing] = MappingProxyType(
    {
        "sam": Preprocessing(
            resize="longest_side",
            interpolation="bilinear_uint8",
            intensity="mean_std",
            mean=(123.675, 116.28, 103.53),
            std=(58.395, 57.12, 57.375),
            pad=True,
            default_size=1024,
            default_prompts=frozenset({"point", "box", "mask"}),
            multimask_output=True,
            transformers_settings=True,
            stability_on_plane=True,
        ),
        "medsam": Preprocessing(
            resize="square",
            interpolation="bicubic",
            intensity="min_max",
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            pad=False,
            default_size=1024,
            default_prompts=frozenset({"box"}),
            upsampled="probabilities",
            # MedSAM did not train the predicted IoU.
            score="stability",
        ),
        "lite_medsam": Preprocessing(
            resize="longest_side",
            interpolation="bilinear",
            intensity="min_max",
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            pad=True,
            default_size=256,
            default_prompts=frozenset({"box"}),
            # As in the published script of LiteMedSAM.
            isotropic_prompt_scale=True,
            # Measured, see docs/zoom.md.
            zoom_floor=0.5,
            click_zoom_floor=0.25,
        ),
    }
)
"""The rules of each family."""
