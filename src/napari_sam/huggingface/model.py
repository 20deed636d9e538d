"""SAM network with the interface of transformers' ``SamModel``."""

from __future__ import annotations

import copy
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from napari_sam.huggingface.configuration import SamConfig
from napari_sam.huggingface.modeling.outputs import SamImageSegmentationOutput, select
from napari_sam.huggingface.modeling.parts import (
    SamMaskDecoder,
    SamPositionalEmbedding,
    SamPromptEncoder,
    SamVisionEncoder,
    asks,
)
from napari_sam.huggingface.modeling.pretrained import PretrainedModel
from napari_sam.huggingface.modeling.prompted_network import PromptedNetwork
from napari_sam.nets.sam import SamNetwork

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam.huggingface.modeling.prompt_batches import Prompts
    from napari_sam.nets import config as nets_config


class SamModel(PretrainedModel):
    """A SAM network with the interface of transformers.

    Modules and parameters have the names of transformers, and ``load_state_dict`` takes
    the state dict of a ``transformers.SamModel`` and the other way round.

    Parameters
    ----------
    config : SamConfig
        Sizes; the default is SAM ViT-B.

    Raises
    ------
    ValueError
        When an activation is not known, or attention heads do not divide a width.
    """

    config_class = SamConfig

    def __init__(self, config: nets_config.SamConfig | None = None) -> None:
        super().__init__()
        described = SamConfig.of(config)
        self._adopt(SamNetwork(described), described)

    @classmethod
    def of(cls, network: SamNetwork, config: SamConfig | None = None) -> Self:
        """Wrap a network, such as that of a predictor, in this interface.

        The weights are shared, and the training mode is kept.

        Parameters
        ----------
        network : SamNetwork
            Not changed.
        config : SamConfig, optional
            Describes the network with more keys than its own.
        """
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        model._adopt(network, config or SamConfig.of(network.config))
        model.training = network.training  # of the whole; parts keep their modes
        return model

    def _adopt(self, network: SamNetwork, config: SamConfig) -> None:
        """Register the modules of a network under the names of transformers."""
        self.config = config
        trainable = network.prompt_encoder.no_mask_embed.weight.requires_grad
        positions = SamPositionalEmbedding(network.prompt_encoder.pe_layer, trainable)
        # A copy of the container only, so that the network is not changed.
        encoder = copy.copy(network.prompt_encoder)
        encoder._modules = {**encoder._modules, "pe_layer": positions}
        prompted = PromptedNetwork.of(network, encoder)
        # In a tuple, so that the official names are not registered as well.
        self._network = (prompted,)
        self.shared_image_embedding = positions
        self.vision_encoder = SamVisionEncoder(network, config.vision_config)
        self.prompt_encoder = SamPromptEncoder(prompted, positions)
        self.mask_decoder = SamMaskDecoder(prompted, config.mask_decoder_config)
        if getattr(config, "gradient_checkpointing", False):
            self.gradient_checkpointing_enable()

    @property
    def network(self) -> PromptedNetwork:
        """The same weights under their official names."""
        return self._network[0]

    @torch.no_grad()
    def get_image_embeddings(self, pixel_values: Tensor, **options: Any) -> Any:
        """Encode (B, 3, S, S) images to (B, C, s, s) embeddings, without gradients."""
        options.pop("return_dict", None)
        return self.vision_encoder(pixel_values, **options).last_hidden_state

    @torch.no_grad()
    def get_image_wide_positional_embeddings(self) -> Tensor:
        """Return the positional encoding of the embedding grid, (1, C, s, s)."""
        return self.network.prompt_encoder.image_positions()

    @torch.no_grad()
    def get_prompt_embeddings(
        self,
        input_points: Tensor | None = None,
        input_labels: Tensor | None = None,
        input_boxes: Tensor | None = None,
        input_masks: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor]:
        """Encode prompts without an image.

        Parameters
        ----------
        input_points : Tensor, optional
            (B, objects, points, 2) as (x, y) in pixels of the model's input.
        input_labels : Tensor, optional
            (B, objects, points): 1 on the object, 0 on the background.
        input_boxes : Tensor, optional
            (B, objects, 4) as (x_min, y_min, x_max, y_max).
        input_masks : Tensor, optional
            (B, 1, h, w) low-resolution logits.

        Returns
        -------
        sparse : Tensor or None
            (B, objects, tokens, C) of points and boxes; None without these.
        dense : Tensor
            (B, C, s, s) of the masks, or the embedding of "no mask".
        """
        return self.network.prompt_embeddings(
            input_points, input_labels, input_boxes, input_masks
        )

    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_points: Prompts | None = None,
        input_labels: Prompts | None = None,
        input_boxes: Prompts | None = None,
        input_masks: Prompts | None = None,
        image_embeddings: Tensor | None = None,
        multimask_output: bool | None = True,
        attention_similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> Any:
        """Predict masks; gradients are computed.

        Where images have different numbers of objects, or objects different prompts,
        prompts are nested lists of images and objects, with None for a prompt that an
        object lacks. Such objects are decoded in batches with equal token counts,
        never padded.

        Parameters
        ----------
        pixel_values : Tensor, optional
            (B, 3, S, S) preprocessed images; either these or `image_embeddings`.
        input_points : Tensor or nested list, optional
            (B, objects, points, 2) as (x, y) pixels of the model input.
        input_labels : Tensor or nested list, optional
            (B, objects, points): 1 positive, 0 negative, -1 not a point, -10
            padding as transformers does it; all positive when None.
        input_boxes : Tensor or nested list, optional
            (B, objects, 4) as (x_min, y_min, x_max, y_max).
        input_masks : Tensor or nested list, optional
            Low-resolution logits: (B, 1, h, w) or (B, h, w) for all objects of an
            image, or (B, objects, h, w) with one for each object.
        image_embeddings : Tensor, optional
            (B, C, s, s) from `get_image_embeddings`.
        multimask_output : bool or None
            Three masks for each object instead of one; with None all four, the single
            mask first.
        attention_similarity : Tensor, optional
            Added to the attention of tokens to the image, broadcast to (B *
            objects, heads, tokens, s * s) (Zhang et al. 2023, "PerSAM").
        target_embedding : Tensor, optional
            Added to the tokens, broadcast to (B * objects, tokens, C) (PerSAM).
        output_attentions, output_hidden_states : bool, optional
            Also return these; as the configuration says when None.
        return_dict : bool, optional
            A `SamImageSegmentationOutput`, or a tuple of its values.
        **_
            Ignored, such as ``original_sizes`` and ``labels``, so that
            ``model(**inputs)`` accepts the output of a processor.

        Raises
        ------
        ValueError
            When the image is missing or prompts do not fit together.

        Warns
        -----
        UserWarning
            When points are given to weights that were not trained on them.
        """
        self._warn_of_points(input_points)
        hidden, attentions = None, None
        if pixel_values is not None and image_embeddings is None:
            encoded = self.vision_encoder(
                pixel_values,
                asks(self.config, "output_attentions", output_attentions),
                asks(self.config, "output_hidden_states", output_hidden_states),
                return_dict=True,
            )
            pixel_values, image_embeddings = None, encoded.last_hidden_state
            hidden, attentions = encoded.hidden_states, encoded.attentions
        with self._decoder_attentions(
            asks(self.config, "output_attentions", output_attentions)
        ) as decoder_attentions:
            scores, masks = self.network(
                pixel_values,
                input_points,
                input_labels,
                input_boxes,
                input_masks,
                image_embeddings,
                multimask_output,
                attention_similarity,
                target_embedding,
            )
        output = SamImageSegmentationOutput(
            iou_scores=scores,
            pred_masks=masks,
            vision_hidden_states=hidden,
            vision_attentions=attentions,
            mask_decoder_attentions=_by_image(decoder_attentions, scores),
        )
        return select(output, asks(self.config, "return_dict", return_dict, True))

    def _warn_of_points(self, input_points: Any) -> None:
        trained = self.trained_prompts
        if input_points is None or trained is None or "point" in trained:
            return
        warnings.warn(
            f"These weights were trained on prompts by {' and '.join(sorted(trained))} "
            "only, so masks of points are poor: give input_boxes, or use "
            "napari_sam.load_model, whose predictor answers points.",
            stacklevel=5,  # the line that calls the model
        )

    @contextmanager
    def _decoder_attentions(self, wanted: bool) -> Iterator[list[Tensor]]:
        """Collect the attention of the image to the tokens while the decoder runs."""
        found: list[Tensor] = []
        layers = self.network.mask_decoder.transformer.layers if wanted else ()
        handles = [
            layer.get_submodule("cross_attn_image_to_token").register_forward_hook(
                lambda _module, _inputs, output: found.append(output)
            )
            for layer in layers
        ]
        try:
            yield found
        finally:
            for handle in handles:
                handle.remove()
        if len(found) > len(handles):
            raise ValueError(
                "output_attentions needs objects with the same prompts: give tensors, "
                "not lists."
            )


def _by_image(attentions: list[Tensor], scores: Any) -> tuple[Tensor, ...] | None:
    """Split (B * objects, ...) attentions into (B, objects, ...)."""
    if not attentions:
        return None
    return tuple(
        values.reshape(*scores.shape[:2], *values.shape[1:]) for values in attentions
    )
