"""The whole model, with the calls and shapes of Hugging Face's ``SamModel``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from napari_sam.nets.config import SamConfig, TinyViTConfig
from napari_sam.nets.image_encoder import ImageEncoderViT
from napari_sam.nets.mask_decoder import MaskDecoder
from napari_sam.nets.prompt_encoder import PromptEncoder
from napari_sam.nets.tiny_vit import TinyViT

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, eq=False)
class SamOutput:
    """Masks of a batch of images.

    Parameters
    ----------
    pred_masks : Tensor
        (B, objects, masks, h, w) low-resolution logits.
    iou_scores : Tensor
        (B, objects, masks) predicted intersection over union.
    """

    pred_masks: Tensor
    iou_scores: Tensor


class SamModel(nn.Module):
    """Image encoder, prompt encoder and mask decoder under their official names.

    Parameters
    ----------
    config : SamConfig
        Sizes; the default is SAM ViT-B.
    """

    def __init__(self, config: SamConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SamConfig()
        vision = config.vision_config
        self.image_encoder: nn.Module = (
            TinyViT(vision)
            if isinstance(vision, TinyViTConfig)
            else ImageEncoderViT(vision)
        )
        self.prompt_encoder = PromptEncoder(config.prompt_encoder_config)
        self.mask_decoder = MaskDecoder(config.mask_decoder_config)

    @classmethod
    def from_pretrained(cls, path: str | Path) -> Self:
        """Load a folder in Hugging Face layout or an official checkpoint file.

        Raises
        ------
        ValueError, OSError
            When there is no such folder or file, or it is not a SAM model.
        """
        from napari_sam.nets.checkpoint import load_model_file

        model = load_model_file(path)
        assert isinstance(model, cls)
        return model

    @torch.inference_mode()
    def get_image_embeddings(self, pixel_values: Tensor) -> Tensor:
        """Encode (B, 3, S, S) images to (B, C, s, s) embeddings, without gradients."""
        return self.image_encoder(pixel_values)

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_points: Tensor | None = None,
        input_labels: Tensor | None = None,
        input_boxes: Tensor | None = None,
        input_masks: Tensor | None = None,
        image_embeddings: Tensor | None = None,
        multimask_output: bool = True,
    ) -> SamOutput:
        """Predict masks, differentiably.

        Parameters
        ----------
        pixel_values : Tensor, optional
            (B, 3, S, S) preprocessed images; either these or `image_embeddings`.
        input_points : Tensor, optional
            (B, objects, points, 2) as (x, y) pixels of the model input.
        input_labels : Tensor, optional
            (B, objects, points): 1 positive, 0 negative; all positive when None.
        input_boxes : Tensor, optional
            (B, objects, 4) as (x_min, y_min, x_max, y_max).
        input_masks : Tensor, optional
            (B, 1, h, w) low-resolution logits, shared by an image's objects.
        image_embeddings : Tensor, optional
            (B, C, s, s) from `get_image_embeddings`.
        multimask_output : bool
            Three masks an object instead of one.

        Raises
        ------
        ValueError
            When image or prompts are missing or do not fit together.
        """
        if (pixel_values is None) == (image_embeddings is None):
            raise ValueError(
                "SamModel takes either pixel_values or image_embeddings: give one."
            )
        if image_embeddings is None:
            image_embeddings = self.image_encoder(pixel_values)
        batch = image_embeddings.shape[0]
        objects = _count_objects(batch, input_points, input_labels, input_boxes)
        tokens = self.prompt_encoder.tokens(
            *_flatten_prompts(input_points, input_labels, input_boxes)
        )
        dense = self.prompt_encoder.dense(input_masks)
        if dense.shape[0] != 1:
            dense = dense.repeat_interleave(objects, 0)
        masks, scores = self.mask_decoder(
            image_embeddings.repeat_interleave(objects, 0),
            self.prompt_encoder.image_positions(),
            tokens,
            dense,
            multimask_output,
        )
        return SamOutput(
            masks.unflatten(0, (batch, objects)), scores.unflatten(0, (batch, objects))
        )


def _count_objects(
    batch: int, points: Tensor | None, labels: Tensor | None, boxes: Tensor | None
) -> int:
    counts = set()
    for name, prompt, dims in (
        ("input_points", points, 4),
        ("input_labels", labels, 3),
        ("input_boxes", boxes, 3),
    ):
        if prompt is None:
            continue
        if prompt.ndim != dims or prompt.shape[0] != batch:
            raise ValueError(
                f"{name} has shape {tuple(prompt.shape)}: give {dims} dimensions, "
                f"the first for the {batch} images."
            )
        counts.add(prompt.shape[1])
    if len(counts) > 1:
        raise ValueError(
            "Points, labels and boxes describe different numbers of objects "
            f"({sorted(counts)}): give each object all of its prompts."
        )
    return counts.pop() if counts else 1


def _flatten_prompts(
    points: Tensor | None, labels: Tensor | None, boxes: Tensor | None
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Join the image and object axes of each prompt."""
    if points is not None:
        if labels is None:
            labels = torch.ones(points.shape[:3], device=points.device)
        points, labels = points.flatten(0, 1), labels.flatten(0, 1)
    if boxes is not None:
        boxes = boxes.flatten(0, 1)
    return points, labels, boxes
