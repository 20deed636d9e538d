"""SAM networks and the registry that builds them by the name of their encoder."""

from __future__ import annotations

from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_sam.checkpoints.families import PREPROCESSING
from napari_sam.checkpoints.resolve import find_model
from napari_sam.checkpoints.state_dict import OFFICIAL_LAYER_NORM_EPS, load_model_file
from napari_sam.huggingface.post_processing import post_process_masks
from napari_sam.nets.config import SamConfig, SamMaskDecoderConfig, SamVisionConfig
from napari_sam.nets.sam import SamNetwork

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

# Width, depth, heads and blocks with global attention of the published encoders.
_ENCODERS = {
    "vit_h": (1280, 32, 16, (7, 15, 23, 31)),
    "vit_l": (1024, 24, 16, (5, 11, 17, 23)),
    "vit_b": (768, 12, 12, (2, 5, 8, 11)),
}


class Sam(SamNetwork):
    """A SAM network with what callers of segment-anything use of it.

    Parameters
    ----------
    config : SamConfig, optional
        Sizes; those of ViT-B when None.
    """

    mask_threshold = 0.0
    image_format = "RGB"

    def __init__(self, config: SamConfig | None = None) -> None:
        super().__init__(config)
        size = self.prompt_encoder.embedding_size
        for module, name, value in (
            (self.image_encoder, "img_size", self.image_size),
            (self.prompt_encoder, "embed_dim", self.prompt_encoder.width),
            (self.prompt_encoder, "image_embedding_size", (size, size)),
        ):
            setattr(module, name, value)

    @property
    def image_size(self) -> int:
        """Side of the square input in pixels."""
        return self.config.vision_config.image_size

    def preprocess(self, x: Tensor) -> Tensor:
        """Normalise (..., 3, h, w) values of 0 to 255, and pad them to the input."""
        rule, x = PREPROCESSING["sam"], x.to(self.dtype)
        mean, std = (x.new_tensor(v)[:, None, None] for v in (rule.mean, rule.std))
        bottom, right = (self.image_size - side for side in x.shape[-2:])
        return nn.functional.pad((x - mean) / std, (0, right, 0, bottom))

    def postprocess_masks(
        self, masks: Tensor, input_size: Sequence[int], original_size: Sequence[int]
    ) -> Tensor:
        """Resize (B, M, h, w) logits to the (H, W) of the image, without padding."""
        side = {"height": self.image_size, "width": self.image_size}
        (resized,) = post_process_masks(
            [masks], [original_size], [input_size], 0.0, False, side
        )
        return resized

    def decode(
        self,
        features: Tensor,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor]:
        """Decode prompts on one image.

        Parameters
        ----------
        features : Tensor
            (1, C, s, s) image embedding.
        points : tuple of Tensor, optional
            (B, N, 2) points (x, y) of the input, and (B, N) labels.
        boxes : Tensor, optional
            (B, 4) as (x_min, y_min, x_max, y_max).
        masks : Tensor, optional
            (B, 1, h, w) low-resolution logits.
        multimask_output : bool
            Three masks for each prompt instead of one.

        Returns
        -------
        masks : Tensor
            (B, 3 or 1, h, w) low-resolution logits.
        scores : Tensor
            (B, 3 or 1) predicted IoU.
        """
        encoder = self.prompt_encoder
        coords, labels = points or (None, None)
        tokens = encoder.tokens(coords, labels, boxes)
        if masks is not None and len(tokens) == 1:
            tokens = tokens.expand(len(masks), -1, -1)
        output: tuple[Tensor, Tensor] = self.mask_decoder(
            features,
            encoder.image_positions(),
            tokens.to(self.dtype),
            encoder.dense(masks),
            multimask_output,
        )
        return output

    @torch.no_grad()
    def forward(
        self, batched_input: list[dict[str, Any]], multimask_output: bool
    ) -> list[dict[str, Tensor]]:
        """Predict masks of several images.

        Parameters
        ----------
        batched_input : list of dict
            For each image ``image`` (3, h, w), resized with values of 0 to 255, its
            ``original_size`` (H, W), and prompts in pixels of the input:
            ``point_coords`` (B, N, 2) with ``point_labels`` (B, N), ``boxes`` (B, 4),
            ``mask_inputs`` (B, 1, h, w).
        multimask_output : bool
            Three masks for each prompt instead of one.

        Returns
        -------
        list of dict
            ``masks`` (B, M, H, W) bool, ``iou_predictions`` (B, M) and
            ``low_res_logits`` (B, M, h, w).
        """
        pixels = torch.stack([self.preprocess(x["image"]) for x in batched_input])
        outputs = []
        for given, features in zip(
            batched_input, self.image_encoder(pixels), strict=True
        ):
            points = None
            if "point_coords" in given:
                points = given["point_coords"], given["point_labels"]
            masks, scores = self.decode(
                features[None],
                points,
                given.get("boxes"),
                given.get("mask_inputs"),
                multimask_output,
            )
            resized = self.postprocess_masks(
                masks, given["image"].shape[-2:], given["original_size"]
            )
            outputs.append(
                {
                    "masks": resized > self.mask_threshold,
                    "iou_predictions": scores,
                    "low_res_logits": masks,
                }
            )
        return outputs


def _build(encoder: str, checkpoint: str | Path | None = None) -> Sam:
    """Build a SAM network.

    Parameters
    ----------
    encoder : {"vit_h", "vit_l", "vit_b"}
        Its image encoder.
    checkpoint : str or Path, optional
        A checkpoint file, a folder in Hugging Face layout or a name in the registry;
        random weights when None.

    Raises
    ------
    ValueError
        When the weights are those of another encoder.
    """
    width, depth, heads, global_blocks = _ENCODERS[encoder]
    if checkpoint is None:
        vision = SamVisionConfig(
            hidden_size=width,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            global_attn_indexes=global_blocks,
        )
        decoder = SamMaskDecoderConfig(layer_norm_eps=OFFICIAL_LAYER_NORM_EPS)
        return Sam(SamConfig(vision, mask_decoder_config=decoder)).eval()
    sam = load_model_file(
        find_model(checkpoint), official_layer_norm=True, network=Sam
    ).requires_grad_(True)
    found = getattr(sam.config.vision_config, "hidden_size", None)
    if found is None:
        raise ValueError(
            f"{checkpoint} has a TinyViT image encoder, which is not one of "
            "segment-anything: use napari_sam.load_model."
        )
    if found != width:
        raise ValueError(
            f"{checkpoint} has an image encoder of width {found}, {encoder} has "
            f"{width}: choose the entry of the registry that fits."
        )
    return sam


build_sam_vit_h = partial(_build, "vit_h")
build_sam_vit_l = partial(_build, "vit_l")
build_sam_vit_b = partial(_build, "vit_b")
build_sam = build_sam_vit_h

sam_model_registry: Mapping[str, Callable[..., Sam]] = MappingProxyType(
    {
        "default": build_sam_vit_h,
        "vit_h": build_sam_vit_h,
        "vit_l": build_sam_vit_l,
        "vit_b": build_sam_vit_b,
    }
)
"""Functions that build a network: ``sam_model_registry["vit_b"](checkpoint=...)``."""
