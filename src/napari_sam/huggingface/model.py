"""SAM network with the interface of transformers' ``SamModel``."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from napari_sam.checkpoints.hugging_face import write_folder
from napari_sam.checkpoints.resolve import find_model
from napari_sam.checkpoints.state_dict import load_model_file
from napari_sam.huggingface.configuration import SamConfig
from napari_sam.huggingface.prompt_batches import PromptBatch, Prompts, batch_prompts
from napari_sam.nets.sam import SamNetwork

if TYPE_CHECKING:
    from napari_sam.nets import config as nets_config

Output = Tensor | tuple[Tensor, ...]
"""One tensor, or one for each image where the numbers of objects differ."""


@dataclass(frozen=True, slots=True, eq=False)
class SamImageSegmentationOutput:
    """Masks and scores of a batch of images, also as ``output["pred_masks"]``.

    Parameters
    ----------
    iou_scores : Tensor or tuple of Tensor
        (B, objects, masks) predicted intersection over union.
    pred_masks : Tensor or tuple of Tensor
        (B, objects, masks, h, w) low-resolution logits. Both are tuples with one entry
        for each image where images have different numbers of objects.
    """

    iou_scores: Output
    pred_masks: Output

    def __getitem__(self, key: str | int) -> Output:
        names = [f.name for f in fields(self)]
        if isinstance(key, str) and key not in names:
            raise KeyError(key)
        value: Output = getattr(self, names[key] if isinstance(key, int) else key)
        return value


class SamModel(SamNetwork):
    """A SAM network with the interface of transformers.

    Parameters
    ----------
    config : SamConfig
        Sizes; the default is SAM ViT-B.

    Raises
    ------
    ValueError
        When the configuration has an option that no published SAM uses.
    """

    config: SamConfig

    def __init__(self, config: nets_config.SamConfig | None = None) -> None:
        super().__init__(SamConfig() if config is None else SamConfig.of(config))

    @classmethod
    def of(cls, network: SamNetwork) -> Self:
        """Wrap a network, such as that of a predictor, in this interface.

        The model shares the image encoder, prompt encoder and mask decoder of the
        network, and its training mode.
        """
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        model.config = SamConfig.of(network.config)
        model.image_encoder = network.image_encoder
        model.prompt_encoder = network.prompt_encoder
        model.mask_decoder = network.mask_decoder
        model.training = network.training  # of the whole; parts keep their modes
        return model

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        config: SamConfig | None = None,
        dtype: torch.dtype | str | None = "auto",
        torch_dtype: torch.dtype | str | None = None,
        **hub: Any,
    ) -> Self:
        """Load a model for inference; ``requires_grad_(True)`` makes it trainable.

        Parameters
        ----------
        path : str or Path
            A folder in Hugging Face layout, a checkpoint file with official keys, a
            name in the registry (`napari_sam.list_models`) or a repository of the
            Hugging Face hub, such as ``facebook/sam-vit-base``.
        config : SamConfig, optional
            For files: gives the number of decoder heads, which shapes do not tell.
        dtype : torch.dtype or str, optional
            Type of the weights; "auto" keeps that of the file.
        torch_dtype : torch.dtype or str, optional
            The older name of `dtype`.
        **hub
            ``revision``, ``cache_dir``, ``local_files_only``, ``token``: see
            `napari_sam.checkpoints.resolve.find_model`.

        Raises
        ------
        ValueError, OSError
            When there is no such folder or file, or it is not a SAM model.
        WeightsError
            When a model of the registry or the hub cannot be downloaded.
        """
        parsed = _parse_dtype(torch_dtype if torch_dtype is not None else dtype)
        file = find_model(path, **hub)
        return load_model_file(file, config, dtype=parsed, network=cls)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` for transformers.

        Raises
        ------
        ValueError
            When the image encoder is TinyViT, which transformers does not have.
        OSError
            When the folder cannot be written to.
        """
        write_folder(self, Path(folder))

    @torch.no_grad()
    def get_prompt_embeddings(
        self,
        input_points: Tensor | None = None,
        input_labels: Tensor | None = None,
        input_boxes: Tensor | None = None,
        input_masks: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor]:
        """Encode prompts without an image; parameters as for `forward`.

        Returns
        -------
        sparse : Tensor or None
            (B, objects, tokens, C) of points and boxes; None without these.
        dense : Tensor
            (B, C, s, s) of the masks, or the embedding of "no mask".
        """
        prompts = [p for p in (input_points, input_boxes, input_masks) if p is not None]
        images = len(prompts[0]) if prompts else 1
        counts, (batch,) = batch_prompts(
            images, input_points, input_labels, input_boxes, input_masks
        )
        tokens, size = self._tokens(batch), self.prompt_encoder.embedding_size
        sparse = tokens.reshape(images, counts[0], *tokens.shape[1:])
        dense = self.prompt_encoder.dense(batch.masks)
        shape = (-1 if input_masks is not None else images, -1, size, size)
        return sparse if tokens.shape[1] else None, dense.expand(shape)

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
        *,
        original_sizes: Any = None,
        reshaped_input_sizes: Any = None,
        labels: Any = None,
    ) -> SamImageSegmentationOutput:
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
        original_sizes, reshaped_input_sizes, labels : optional
            Ignored, so that ``model(**inputs)`` accepts the output of a processor.

        Raises
        ------
        ValueError
            When the image is missing or prompts do not fit together.
        """
        embeddings = self._embeddings(pixel_values, image_embeddings)
        counts, batches = batch_prompts(
            len(embeddings), input_points, input_labels, input_boxes, input_masks
        )
        personal = attention_similarity, target_embedding
        if len(batches) != 1 and personal != (None, None):
            raise ValueError(
                "attention_similarity and target_embedding need objects with the same "
                "prompts: give tensors, not lists."
            )
        outputs = [
            self._decode(batch, embeddings, multimask_output, *personal)
            for batch in batches
        ]
        order = torch.cat([batch.positions for batch in batches]).argsort()
        masks, scores = (
            _by_image(torch.cat(parts)[order], counts)
            for parts in zip(*outputs, strict=True)
        )
        return SamImageSegmentationOutput(scores, masks)

    def _embeddings(
        self, pixel_values: Tensor | None, image_embeddings: Tensor | None
    ) -> Tensor:
        """Return the (B, C, s, s) embeddings, computed from the images if needed."""
        if (pixel_values is None) == (image_embeddings is None):
            raise ValueError(
                "SamModel takes either pixel_values or image_embeddings: give one."
            )
        if pixel_values is not None:
            image_embeddings = self.image_encoder(pixel_values.to(self.dtype))
        assert image_embeddings is not None
        return image_embeddings.to(self.dtype)

    def _decode(
        self,
        batch: PromptBatch,
        image_embeddings: Tensor,
        multimask_output: bool | None,
        attention_similarity: Tensor | None,
        target_embedding: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Decode a batch to (K, masks, h, w) logits and (K, masks) scores."""
        output: tuple[Tensor, Tensor] = self.mask_decoder(
            image_embeddings[batch.images],
            self.prompt_encoder.image_positions(),
            self._tokens(batch),
            self._dense(batch),
            multimask_output,
            attention_similarity,
            target_embedding,
        )
        return output

    def _tokens(self, batch: PromptBatch) -> Tensor:
        """Encode points and boxes to (K, tokens, C)."""
        tokens = self.prompt_encoder.tokens(batch.points, batch.labels, batch.boxes)
        return tokens.expand(len(batch.images), -1, -1)

    def _dense(self, batch: PromptBatch) -> Tensor:
        """Encode masks to (K, C, s, s), or (1, C, 1, 1) without masks."""
        dense = self.prompt_encoder.dense(batch.masks)
        return dense if batch.masks is None else dense[batch.mask_indices]


def _by_image(values: Tensor, counts: list[int]) -> Output:
    if len(set(counts)) == 1:
        return values.reshape(len(counts), counts[0], *values.shape[1:])
    return torch.split(values, counts)


def _parse_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """Read a dtype as transformers does; None keeps that of the file."""
    if dtype is None or dtype == "auto":
        return None
    parsed = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(parsed, torch.dtype) or not parsed.is_floating_point:
        raise ValueError(
            f"dtype {dtype!r} is not a type of weights: give torch.float32, float16 or "
            "bfloat16."
        )
    return parsed
