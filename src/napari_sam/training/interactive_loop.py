"""Rounds of prompt, answer and correction on one embedding, to learn or to measure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_sam.training.close_ups import CloseUps
from napari_sam.training.loss import answer_loss, best_answers, mask_ious
from napari_sam.training.prompts import (
    add_click,
    sample_error_click,
    sample_first_prompt,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_sam.huggingface.model import SamModel
    from napari_sam.prediction.plane_transform import PlaneTransform
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.training.options import Start, TrainingOptions

    Truths = Sequence[NDArray[np.bool_]]

# So many fewer objects are practised on a whole plane, which costs as much as
# several close-ups.
_WHOLE = 3


class InteractiveTrainer:
    """Ask a model about objects as a user would, through its plain forward pass.

    Parameters
    ----------
    predictor : Predictor
        Knows how planes and prompts become the model's input.
    options : TrainingOptions
        Which prompts are practised, and how.
    """

    def __init__(self, predictor: Predictor, options: TrainingOptions) -> None:
        self._predictor, self._options = predictor, options

    def learn(
        self,
        model: SamModel,
        embedding: Tensor,
        truths: Truths,
        rng: np.random.Generator,
    ) -> float:
        """Ask, learn, click where the answer is wrong, and ask again.

        Parameters
        ----------
        model : SamModel
            Gradients are added to its trainable weights, and to `embedding`.
        embedding : Tensor
            (1, C, s, s) of the plane.
        truths : sequence of ndarray
            (H, W) bool, one an object.
        rng : Generator
            Source of all chance.

        Returns
        -------
        float
            The mean loss of the rounds.
        """
        options, transform = self._options, self._frame(truths)
        target = self.target(transform, truths)
        near = self._close_ups(model, target, rng)
        if near is None and options.close_ups:
            fewer = max(1, len(truths) // _WHOLE)
            truths, target = truths[:fewer], target[:fewer]
        start = options.starts[rng.integers(len(options.starts))]
        prompts = self._first(truths, start, rng)
        rounds = 1 + int(rng.integers(options.corrections + 1))
        feeds_back = "mask" in options.prompts and rng.random() < 0.5
        learned = target if near is None else near.cut_masks(target[:, None])[:, 0]
        total, masks = 0.0, None
        for left in reversed(range(rounds)):
            logits, scores = self.answer(
                model, embedding, transform, prompts, masks, near
            )
            seen = _covered(logits, transform) if near is None else logits
            loss = answer_loss(seen, scores, learned) / rounds
            torch.autograd.backward(loss)
            total += float(loss.detach())
            if left:
                best = best_answers(logits, scores)
                answers = logits.detach()[torch.arange(len(best)), best][:, None]
                if near is not None:
                    answers = near.paste(answers, transform.mask_size)
                masks = answers if feeds_back else None
                prompts = [
                    add_click(p, *sample_error_click(t, _mask(transform, a[0]), rng))
                    for p, t, a in zip(prompts, truths, answers, strict=True)
                ]
        return total

    def _close_ups(
        self, model: SamModel, target: Tensor, rng: np.random.Generator
    ) -> CloseUps | None:
        """What the decoder sees in this step; None for the whole plane."""
        share = self._options.close_ups
        if not share or rng.random() >= share:
            return None
        grid = model.prompt_encoder.embedding_size
        return CloseUps.around(target, grid, rng)

    @torch.no_grad()
    def measure(
        self,
        model: SamModel,
        embedding: Tensor,
        truths: Truths,
        rng: np.random.Generator,
    ) -> dict[str, list[float]]:
        """Low-resolution IoU of each object, by the kind of its only prompt."""
        transform = self._frame(truths)
        target, found = self.target(transform, truths), {}
        for start in dict.fromkeys(self._options.starts):
            prompts = self._first(truths, start, rng)
            logits, scores = self.answer(model, embedding, transform, prompts)
            ious = mask_ious(_covered(logits, transform), target)
            best = best_answers(logits, scores)
            found[str(start)] = ious[torch.arange(len(best)), best].tolist()
        return found

    @torch.no_grad()
    def loss(
        self,
        model: SamModel,
        embedding: Tensor,
        truths: Truths,
        prompts: Sequence[Prompt],
    ) -> float:
        """Loss of the answers to given prompts."""
        transform = self._frame(truths)
        logits, scores = self.answer(model, embedding, transform, prompts)
        target = self.target(transform, truths)
        return float(answer_loss(_covered(logits, transform), scores, target))

    def answer(
        self,
        model: SamModel,
        embedding: Tensor,
        transform: PlaneTransform,
        prompts: Sequence[Prompt],
        masks: Tensor | None = None,
        near: CloseUps | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode prompts of one kind.

        Parameters
        ----------
        model : SamModel
            Asked through its plain, differentiable forward pass.
        embedding : Tensor
            (1, C, s, s).
        frame : PlaneTransform
            Of the plane.
        prompts : sequence of Prompt
            K of them.
        masks : Tensor, optional
            (K, 1, m, m) logits of earlier answers, fed back.
        near : CloseUps, optional
            What the decoder sees of the embedding; all of it when None.

        Returns
        -------
        logits : Tensor
            (K, M, m, m), of the close-ups alone if there are any: the single mask,
            after which come the three alternatives where there is but one click.
        scores : Tensor
            (K, M) predicted IoU.
        """
        points, labels, boxes = self._predictor.prompt_tensors(transform, prompts)
        ambiguous = boxes is None and points is not None and points.shape[1] == 1
        several = None if ambiguous else False
        if near is not None:
            tokens = model.prompt_encoder.tokens(points, labels, boxes)
            return _decode_near(model, near, embedding, tokens, masks, several)
        output = model(
            image_embeddings=embedding,
            input_points=None if points is None else points[None],
            input_labels=None if labels is None else labels[None],
            input_boxes=None if boxes is None else boxes[None],
            input_masks=None if masks is None else masks.transpose(0, 1),
            multimask_output=several,
        )
        return output.pred_masks[0], output.iou_scores[0]

    def target(self, transform: PlaneTransform, truths: Truths) -> Tensor:
        """Covered shares (K, h, w) of the low-resolution pixels of the plane."""
        logits = np.stack([transform.mask_logits(truth) for truth in truths])
        shares = torch.from_numpy(logits).to(self._predictor.device).sigmoid()
        return _covered(shares, transform)

    def _first(
        self, truths: Truths, start: Start, rng: np.random.Generator
    ) -> list[Prompt]:
        jitter = self._options.box_jitter
        return [
            sample_first_prompt(truth, start, rng, box_jitter=jitter)
            for truth in truths
        ]

    def _frame(self, truths: Truths) -> PlaneTransform:
        height, width = truths[0].shape
        return self._predictor.transform((height, width))


def _decode_near(
    model: SamModel,
    near: CloseUps,
    embedding: Tensor,
    tokens: Tensor,
    masks: Tensor | None,
    several: bool | None,
) -> tuple[Tensor, Tensor]:
    """Decode K prompts, each on its close-up; as `InteractiveTrainer.answer`."""
    encoder, count = model.prompt_encoder, len(near.corners)
    dense = encoder.dense(masks)
    answer: tuple[Tensor, Tensor] = model.mask_decoder(
        near.cut(embedding),
        near.cut(encoder.image_positions()),
        tokens.expand(count, -1, -1),
        dense if masks is None else near.cut(dense),
        several,
    )
    return answer


def _covered(masks: Tensor, transform: PlaneTransform) -> Tensor:
    """Cut the padding off low-resolution masks, (..., m, m) to (..., h, w)."""
    height, width = transform.mask_shape
    return masks[..., :height, :width]


def _mask(transform: PlaneTransform, logits: Tensor) -> NDArray[np.bool_]:
    """Bring an answer (m, m) to the plane, (H, W) bool."""
    mask = np.zeros(transform.plane_shape, bool)
    patch = transform.patch(logits)
    mask[patch.region] = patch.mask
    return mask
