"""Image encoder, prompt encoder and mask decoder with the calls of transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from napari_sam.huggingface.modeling.outputs import SamVisionEncoderOutput, select
from napari_sam.huggingface.modeling.renamed import Renamed, add_renamed
from napari_sam.nets.prompt_encoder import RandomPositions
from napari_sam.nets.tiny_vit import TinyViT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam.huggingface.modeling.prompted_network import PromptedNetwork
    from napari_sam.nets.sam import SamNetwork


class SamPositionalEmbedding(RandomPositions):
    """Positional encoding whose frequencies are a parameter, as in transformers.

    Parameters
    ----------
    positions : RandomPositions
        Gives the frequencies, which are shared, not copied.
    trainable : bool
        Whether the parameter has gradients.
    """

    def __init__(self, positions: RandomPositions, trainable: bool) -> None:
        nn.Module.__init__(self)
        matrix = positions.positional_encoding_gaussian_matrix
        self.positional_embedding = nn.Parameter(matrix, requires_grad=trainable)

    @property
    def positional_encoding_gaussian_matrix(self) -> Tensor:  # type: ignore[override]
        """The frequencies under their official name."""
        return self.positional_embedding

    def forward(
        self, input_coords: Tensor, input_shape: tuple[int, int] | None = None
    ) -> Tensor:
        """Encode (..., 2) points, (x, y) in [0, 1] or pixels of `input_shape`."""
        if input_shape is not None:
            height, width = input_shape
            input_coords = input_coords / input_coords.new_tensor([width, height])
        return super().forward(input_coords)


class SamVisionEncoder(nn.Module):
    """Image encoder; its modules have the names of transformers.

    Parameters
    ----------
    network : SamNetwork
        The modules are those of its image encoder.
    """

    main_input_name = "pixel_values"

    def __init__(self, network: SamNetwork, config: Any) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = getattr(config, "gradient_checkpointing", False)
        encoder = network.image_encoder
        self.image_size = encoder.image_size
        # In a tuple, so that its names are not registered as well.
        self._encoder = (encoder,)
        if isinstance(encoder, TinyViT):  # which transformers does not have
            for name, child in encoder.named_children():
                self.add_module(name, child)
        else:
            add_renamed(self, "vision_encoder", network)

    def get_input_embeddings(self) -> nn.Module:
        """Return the patch embedding."""
        return self.get_submodule("patch_embed")

    def forward(
        self,
        pixel_values: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> Any:
        """Encode images.

        Parameters
        ----------
        pixel_values : Tensor
            (B, C, S, S) preprocessed images of the model's channels, usually three.
        output_attentions, output_hidden_states : bool, optional
            Also return these; as the configuration says when None.
        return_dict : bool, optional
            A `SamVisionEncoderOutput`, or a tuple of its values.

        Raises
        ------
        ValueError
            When there are no images, or they do not fit the model.
        """
        if pixel_values is None:
            raise ValueError("There are no pixel_values: give (B, 3, S, S) images.")
        self._check(pixel_values)
        attentions = asks(self.config, "output_attentions", output_attentions)
        hidden = asks(self.config, "output_hidden_states", output_hidden_states)
        output = self._encode(pixel_values, attentions, hidden)
        return select(output, asks(self.config, "return_dict", return_dict, True))

    def _check(self, pixel_values: Tensor) -> None:
        channels = getattr(self.config, "num_channels", 3)
        shape = (channels, self.image_size, self.image_size)
        if pixel_values.ndim != 4 or pixel_values.shape[1:] != shape:
            raise ValueError(
                f"pixel_values have the shape {tuple(pixel_values.shape)}: give "
                f"(images, {', '.join(map(str, shape))}), as the processor makes them."
            )

    def _encode(
        self, pixel_values: Tensor, attentions: bool, hidden: bool
    ) -> SamVisionEncoderOutput:
        (encoder,) = self._encoder
        pixels = pixel_values.to(next(encoder.parameters()).dtype)
        if isinstance(encoder, TinyViT):
            if attentions or hidden:
                raise ValueError(
                    "TinyViT gives no attentions and hidden states: leave "
                    "output_attentions and output_hidden_states out."
                )
            return SamVisionEncoderOutput(last_hidden_state=encoder(pixels))
        x = self.get_submodule("patch_embed")(pixels)
        if encoder.pos_embed is not None:
            x = x + self.get_parameter("pos_embed")
        states, weights = [x], []
        for layer in self._layers():
            if attentions:
                x, attention = layer.inner.with_attention(x)
                weights.append(attention)
            elif self.gradient_checkpointing and self.training:
                x = checkpoint(layer, x, use_reentrant=False)
            else:
                x = layer(x)
            states.append(x)
        return SamVisionEncoderOutput(
            last_hidden_state=self.get_submodule("neck")(x.permute(0, 3, 1, 2)),
            hidden_states=tuple(states) if hidden else None,
            attentions=tuple(weights) if attentions else None,
        )

    def _layers(self) -> Iterator[Any]:
        yield from self.get_submodule("layers").children()


class SamPromptEncoder(nn.Module):
    """Prompt encoder; its modules have the names of transformers.

    Parameters
    ----------
    network : PromptedNetwork
        The modules are those of its prompt encoder.
    positions : SamPositionalEmbedding
        Shared with the image.
    """

    def __init__(
        self, network: PromptedNetwork, positions: SamPositionalEmbedding
    ) -> None:
        super().__init__()
        self._network = (network,)
        self.shared_embedding = positions
        add_renamed(self, "prompt_encoder", network)

    def forward(
        self,
        input_points: Tensor | None = None,
        input_labels: Tensor | None = None,
        input_boxes: Tensor | None = None,
        input_masks: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor]:
        """Encode prompts; see `PromptedNetwork.prompt_embeddings`."""
        return self._network[0].prompt_embeddings(
            input_points, input_labels, input_boxes, input_masks
        )


class SamMaskDecoder(Renamed):
    """Mask decoder; its modules have the names of transformers.

    Parameters
    ----------
    network : PromptedNetwork
        The modules are those of its mask decoder.
    config : SamMaskDecoderConfig
        Its sizes.
    """

    def __init__(self, network: PromptedNetwork, config: Any) -> None:
        super().__init__(network.mask_decoder)
        self.config = config
        add_renamed(self, "mask_decoder", network)

    def forward(
        self,
        image_embeddings: Tensor,
        image_positional_embeddings: Tensor,
        sparse_prompt_embeddings: Tensor | None,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool | None,
        attention_similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode the embeddings of prompts.

        Parameters
        ----------
        image_embeddings : Tensor
            (B, C, s, s).
        image_positional_embeddings : Tensor
            (B or 1, C, s, s).
        sparse_prompt_embeddings : Tensor or None
            (B, objects, tokens, C).
        dense_prompt_embeddings : Tensor
            (B, C, s, s).
        multimask_output : bool or None
            See `SamModel.forward`, also for the other parameters.

        Returns
        -------
        masks : Tensor
            (B, objects, masks, h, w) low-resolution logits.
        iou_scores : Tensor
            (B, objects, masks).
        """
        images = image_embeddings.shape[0]
        if sparse_prompt_embeddings is None:
            width = image_embeddings.shape[1]
            sparse_prompt_embeddings = image_embeddings.new_empty(images, 1, 0, width)
        objects = sparse_prompt_embeddings.shape[1]
        dense = (image_embeddings + dense_prompt_embeddings).repeat_interleave(
            objects, 0
        )
        masks, scores = self.inner(
            dense,
            image_positional_embeddings[:1],
            sparse_prompt_embeddings.flatten(0, 1),
            torch.zeros_like(dense[:1, :, :1, :1]),
            multimask_output,
            attention_similarity,
            target_embedding,
        )
        return masks.unflatten(0, (images, objects)), scores.unflatten(
            0, (images, objects)
        )


def asks(config: Any, name: str, value: bool | None, default: bool = False) -> bool:
    """Return an option of a call, or of the configuration when it is None."""
    return bool(getattr(config, name, default) if value is None else value)
