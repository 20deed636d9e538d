"""Simulated interactive segmentation for training and validation.

As in SAM (Kirillov et al. 2023, appendix A): a first prompt, then corrective clicks
where the mask is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_sam.training.close_ups import CloseUps
from napari_sam.training.loss import best_outputs, mask_ious, prompt_loss
from napari_sam.training.prompts import (
    add_click,
    sample_error_click,
    sample_first_prompt,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_sam.huggingface.modeling.prompted_network import PromptedNetwork
    from napari_sam.prediction.plane_transform import PlaneTransform
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.training.options import Start, TrainingOptions

    Truths = Sequence[NDArray[np.bool_]]

# A step on a whole plane costs as much as several close-ups: it uses this many times
# fewer objects.
_WHOLE_PLANE_FACTOR = 3


class InteractiveTrainer:
    """Prompts a model for objects, computes losses, and adds corrective clicks.

    Parameters
    ----------
    predictor : Predictor
        Converts planes and prompts to the input of the model.
    options : TrainingOptions
        Prompt types, number of corrections and jitter.
    """

    def __init__(self, predictor: Predictor, options: TrainingOptions) -> None:
        self._predictor, self._options = predictor, options

    def train_step(
        self,
        model: PromptedNetwork,
        embedding: Tensor,
        truths: Truths,
        rng: np.random.Generator,
    ) -> float:
        """Compute gradients for a first prompt and a random number of corrections.

        Parameters
        ----------
        model : PromptedNetwork
            Gradients are added to its trainable weights, and to `embedding`.
        embedding : Tensor
            (1, C, s, s) embedding of the plane.
        truths : sequence of ndarray
            (H, W) bool, one mask for each object.
        rng : Generator
            Random numbers.

        Returns
        -------
        float
            Mean loss of the rounds.
        """
        options, transform = self._options, self._transform(truths)
        target = self.target(transform, truths)
        crops = self._close_ups(model, target, rng)
        if crops is None and options.close_ups:
            count = max(1, len(truths) // _WHOLE_PLANE_FACTOR)
            truths, target = truths[:count], target[:count]
        start = options.starts[rng.integers(len(options.starts))]
        prompts = self._first_prompts(truths, start, rng)
        rounds = 1 + int(rng.integers(options.corrections + 1))
        feeds_back = "mask" in options.prompts and rng.random() < 0.5
        if crops is not None:
            target = crops.crop_masks(target[:, None])[:, 0]
        total, masks = 0.0, None
        for remaining in reversed(range(rounds)):
            logits, pred_ious = self.decode(
                model, embedding, transform, prompts, masks, crops
            )
            unpadded = _unpadded(logits, transform) if crops is None else logits
            loss = prompt_loss(unpadded, pred_ious, target) / rounds
            torch.autograd.backward(loss)
            total += float(loss.detach())
            if remaining:
                best = best_outputs(logits, pred_ious)
                outputs = logits.detach()[torch.arange(len(best)), best][:, None]
                if crops is not None:
                    outputs = crops.paste_masks(outputs, transform.mask_size)
                masks = outputs if feeds_back else None
                prompts = [
                    add_click(p, *sample_error_click(t, _mask(transform, o[0]), rng))
                    for p, t, o in zip(prompts, truths, outputs, strict=True)
                ]
        return total

    @torch.no_grad()
    def validate(
        self,
        model: PromptedNetwork,
        embedding: Tensor,
        truths: Truths,
        rng: np.random.Generator,
    ) -> dict[str, list[float]]:
        """Compute the low-resolution IoU of each object, by kind of first prompt."""
        transform = self._transform(truths)
        target, scores = self.target(transform, truths), {}
        for start in dict.fromkeys(self._options.starts):
            prompts = self._first_prompts(truths, start, rng)
            logits, pred_ious = self.decode(model, embedding, transform, prompts)
            ious = mask_ious(_unpadded(logits, transform), target)
            best = best_outputs(logits, pred_ious)
            scores[str(start)] = ious[torch.arange(len(best)), best].tolist()
        return scores

    @torch.no_grad()
    def loss(
        self,
        model: PromptedNetwork,
        embedding: Tensor,
        truths: Truths,
        prompts: Sequence[Prompt],
    ) -> float:
        """Compute the loss for given prompts."""
        transform = self._transform(truths)
        logits, pred_ious = self.decode(model, embedding, transform, prompts)
        target = self.target(transform, truths)
        return float(prompt_loss(_unpadded(logits, transform), pred_ious, target))

    def decode(
        self,
        model: PromptedNetwork,
        embedding: Tensor,
        transform: PlaneTransform,
        prompts: Sequence[Prompt],
        masks: Tensor | None = None,
        crops: CloseUps | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode prompts of one kind with the differentiable forward pass.

        Parameters
        ----------
        model : PromptedNetwork
            The model.
        embedding : Tensor
            (1, C, s, s).
        transform : PlaneTransform
            Transform of the plane.
        prompts : sequence of Prompt
            K prompts.
        masks : Tensor, optional
            (K, 1, m, m) logits of earlier masks as mask prompts.
        crops : CloseUps, optional
            Crops of the embedding to decode; the whole embedding when None.

        Returns
        -------
        logits : Tensor
            (K, M, m, m), or those of the crops: the single-mask output, followed by
            the three multimask outputs for prompts of one click.
        pred_ious : Tensor
            (K, M) predicted IoU.
        """
        points, labels, boxes = self._predictor.prompt_tensors(transform, prompts)
        ambiguous = boxes is None and points is not None and points.shape[1] == 1
        multimask = None if ambiguous else False
        if crops is not None:
            tokens = model.prompt_encoder.tokens(points, labels, boxes)
            return _decode_crops(model, crops, embedding, tokens, masks, multimask)
        scores, logits = model(
            image_embeddings=embedding,
            input_points=None if points is None else points[None],
            input_labels=None if labels is None else labels[None],
            input_boxes=None if boxes is None else boxes[None],
            input_masks=None if masks is None else masks.transpose(0, 1),
            multimask_output=multimask,
        )
        return logits[0], scores[0]

    def target(self, transform: PlaneTransform, truths: Truths) -> Tensor:
        """Compute the fraction of each low-resolution pixel that an object covers.

        Returns
        -------
        Tensor
            (K, h, w) in 0 to 1.
        """
        logits = np.stack([transform.mask_logits(truth) for truth in truths])
        fractions = torch.from_numpy(logits).to(self._predictor.device).sigmoid()
        return _unpadded(fractions, transform)

    def _close_ups(
        self, model: PromptedNetwork, target: Tensor, rng: np.random.Generator
    ) -> CloseUps | None:
        """Draw the crops of a step; None for a step on the whole plane."""
        fraction = self._options.close_ups
        if not fraction or rng.random() >= fraction:
            return None
        return CloseUps.around(target, model.prompt_encoder.embedding_size, rng)

    def _first_prompts(
        self, truths: Truths, start: Start, rng: np.random.Generator
    ) -> list[Prompt]:
        jitter = self._options.box_jitter
        return [
            sample_first_prompt(truth, start, rng, box_jitter=jitter)
            for truth in truths
        ]

    def _transform(self, truths: Truths) -> PlaneTransform:
        height, width = truths[0].shape
        return self._predictor.transform((height, width))


def _decode_crops(
    model: PromptedNetwork,
    crops: CloseUps,
    embedding: Tensor,
    tokens: Tensor,
    masks: Tensor | None,
    multimask: bool | None,
) -> tuple[Tensor, Tensor]:
    """Decode K prompts, each on its crop; see `InteractiveTrainer.decode`."""
    encoder, count = model.prompt_encoder, len(crops.corners)
    dense = encoder.dense(masks)
    output: tuple[Tensor, Tensor] = model.mask_decoder(
        crops.crop_embedding(embedding),
        crops.crop_embedding(encoder.image_positions()),
        tokens.expand(count, -1, -1),
        dense if masks is None else crops.crop_embedding(dense),
        multimask,
    )
    return output


def _unpadded(masks: Tensor, transform: PlaneTransform) -> Tensor:
    """Crop the padding off low-resolution masks, (..., m, m) to (..., h, w)."""
    height, width = transform.mask_shape
    return masks[..., :height, :width]


def _mask(transform: PlaneTransform, logits: Tensor) -> NDArray[np.bool_]:
    """Resize logits (m, m) to the plane, (H, W) bool."""
    mask = np.zeros(transform.plane_shape, bool)
    patch = transform.patch(logits)
    mask[patch.region] = patch.mask
    return mask
