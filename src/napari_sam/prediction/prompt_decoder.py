"""Decoder of prompts on an embedding: tensors in, numpy masks out.

This is the only module that turns napari's (row, col) into the models' (x, y).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_sam.masks.patch import mask_to_box, stability
from napari_sam.nets.devices import own_precision
from napari_sam.prediction.clicks.candidates import click_candidates, rank_candidates
from napari_sam.prediction.clicks.point_search import search_boxes_for_points
from napari_sam.prediction.clicks.prompted_mask import PointAnswer
from napari_sam.prediction.prediction import best_first
from napari_sam.prediction.processes import check_not_forked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_sam.checkpoints.families import Preprocessing
    from napari_sam.nets.prompt_encoder import PromptEncoder
    from napari_sam.nets.sam import SamNetwork
    from napari_sam.prediction.clicks.point_search import Decode
    from napari_sam.prediction.clicks.quality import ClickCandidate
    from napari_sam.prediction.embedding import Embedding
    from napari_sam.prediction.model_runner import ModelRunner
    from napari_sam.prediction.plane_transform import PlaneTransform
    from napari_sam.prediction.prediction import Method, Prediction
    from napari_sam.prompts.prompt import Prompt

# The outlines of the decoders are a third of a pixel too wide where pixels are
# enlarged, which they were not trained on. Logits that answer clicks are lowered by
# this: the IoU of objects of 8 and 11 pixels rises by 0.01 and 0.02, that of larger
# ones stays.
_ENLARGED_CLICK_LOGIT = 1.0


class PromptDecoder:
    """Decodes prompts by one prompt encoder and mask decoder.

    A predictor has one for its weights and, if it has a click decoder, one for that.
    The masks of a click decoder are joined by other sources, see `click_candidates`.

    Parameters
    ----------
    runner : ModelRunner
        Runs the mask decoder.
    prompt_encoder : PromptEncoder
        Of the weights or of the click decoder.
    preprocessing : Preprocessing
        Rules of the model's family.
    box_decoder : PromptDecoder, optional
        For the runner's click decoder: the decoder of the weights, which were trained
        on boxes.
    """

    def __init__(
        self,
        runner: ModelRunner,
        prompt_encoder: PromptEncoder,
        preprocessing: Preprocessing,
        *,
        box_decoder: PromptDecoder | None = None,
    ) -> None:
        self._runner, self._prompt_encoder = runner, prompt_encoder
        self._preprocessing = preprocessing
        self._published = box_decoder
        self._is_click_decoder = box_decoder is not None

    def for_clicks(self, click_decoder: SamNetwork | None) -> PromptDecoder | None:
        """Return a decoder of points that asks this one about boxes."""
        if click_decoder is None:
            return None
        encoder, rules = click_decoder.prompt_encoder, self._preprocessing
        return PromptDecoder(self._runner, encoder, rules, box_decoder=self)

    def predict(
        self,
        embedding: Embedding,
        prompts: Sequence[Prompt],
        methods: Sequence[Method],
        multimask_output: bool,
    ) -> list[Prediction]:
        """Predict masks for K prompts of the same `batch_signature`."""
        if self._is_click_decoder and embedding.instances is not None:
            proposed = self.propose(embedding, prompts, multimask_output)
            return [
                self._answer_clicks(embedding, prompt, proposals)
                for prompt, proposals in zip(prompts, proposed, strict=True)
            ]
        logits, scores = self._decode(embedding, prompts, multimask_output)
        if self._is_click_decoder and multimask_output:
            return [
                self.search_boxes(embedding, prompt, list(map(PointAnswer, *answer)))
                for prompt, *answer in zip(prompts, logits, scores, strict=True)
            ]
        return [
            best_first(embedding.transform, *answer)
            for answer in zip(logits, scores, methods, strict=True)
        ]

    def propose(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask_output: bool
    ) -> list[list[PointAnswer]]:
        """Return the decoder's own masks for K prompts, in pixels of a window."""
        logits, scores = self._decode(embedding, prompts, multimask_output)
        return [
            list(map(PointAnswer, *answer))
            for answer in zip(logits, scores, strict=True)
        ]

    def search_boxes(
        self,
        embedding: Embedding,
        prompt: Prompt,
        proposals: Sequence[PointAnswer] = (),
    ) -> Prediction:
        """Answer points by decoding boxes only; see `search_boxes_for_points`.

        Parameters
        ----------
        prompt : Prompt
            Points, with or without a box, in pixels of the plane.
        proposals : sequence of PointAnswer
            Alternatives of the click decoder.
        """
        transform = embedding.transform
        answers = search_boxes_for_points(
            self.box_decoder_of(embedding),
            low_resolution(prompt, transform),
            transform.mask_shape,
            proposals,
        )
        if not proposals:
            return _prediction(transform, answers, "box search")
        offset = np.float32(click_offset(transform))
        lowered = [PointAnswer(a.logits - offset, a.score) for a in answers]
        return _prediction(transform, lowered, "click decoder")

    def click_candidates(
        self, embedding: Embedding, prompt: Prompt, proposals: Sequence[PointAnswer]
    ) -> list[ClickCandidate]:
        """Collect masks for points, given those of the click decoder.

        See `napari_sam.prediction.clicks.candidates.click_candidates`.
        """
        assert self._published is not None
        return click_candidates(
            self._published.box_decoder_of(embedding),
            low_resolution(prompt, embedding.transform),
            embedding.transform.mask_shape,
            proposals,
            embedding.instances,
        )

    def _answer_clicks(
        self, embedding: Embedding, prompt: Prompt, proposals: Sequence[PointAnswer]
    ) -> Prediction:
        """Answer points, given the masks of the click decoder."""
        transform = embedding.transform
        answers = rank_candidates(
            self.click_candidates(embedding, prompt, proposals),
            low_resolution(prompt, transform),
            transform.mask_shape,
            enlargement=float(transform.scale.max()),
            offset=click_offset(transform),
        )
        found = _prediction(transform, answers, "click decoder")
        candidates = tuple(replace(c, is_calibrated=True) for c in found.candidates)
        return replace(candidates[0], candidates=candidates)

    def box_decoder_of(self, embedding: Embedding) -> Decode:
        """Return a function that decodes boxes in low-resolution mask pixels."""
        transform = embedding.transform
        step = transform.input_size / transform.mask_size

        @torch.inference_mode()
        def decode(
            boxes: NDArray[np.float64],
        ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            corners = self._to_xy(boxes.reshape(-1, 2, 2) * step).flatten(1)
            with own_precision(self._runner.device):
                tokens = self._prompt_encoder.tokens(boxes=corners)
            logits, scores = self._decode_tokens(embedding, tokens, None, False)
            return logits[:, 0], scores[:, 0].astype(np.float32)

        return decode

    def tensors(
        self, transform: PlaneTransform, prompts: Sequence[Prompt]
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Convert points and boxes; see `Predictor.prompt_tensors`."""
        points = labels = boxes = None
        if prompts[0].points is not None:
            points = self._to_xy(
                transform.to_input(np.stack([p.points for p in prompts]))
            )
            labels = torch.from_numpy(np.stack([p.labels for p in prompts]))
            labels = labels.to(self._runner.device)
        if prompts[0].box is not None:
            corners = np.stack([p.box.reshape(2, 2) for p in prompts])
            boxes = self._to_xy(transform.corners_to_input(corners)).flatten(1)
        return points, labels, boxes

    def mask_input(self, transform: PlaneTransform, prompt: Prompt) -> Tensor:
        """Return low-resolution logits (1, m, m) of the mask of a prompt.

        Raises
        ------
        ValueError
            When the mask holds logits of another shape.
        """
        logits = prompt.mask
        if logits.dtype == bool:
            logits = transform.mask_logits(logits, prompt.mask_origin)
        if logits.shape != (transform.mask_size, transform.mask_size):
            raise ValueError(
                f"The mask prompt has shape {logits.shape}: this model takes its own "
                f"logits of {transform.mask_size} x {transform.mask_size}, or a "
                "boolean mask of the plane."
            )
        return torch.from_numpy(logits)[None].to(self._runner.device)

    def box_of_mask(
        self, transform: PlaneTransform, prompt: Prompt
    ) -> NDArray[np.float64]:
        """Return the (4,) tight box of the mask of a prompt, in pixels of the window.

        Raises
        ------
        ValueError
            When the mask is empty.
        """
        origin, mask = prompt.mask_origin, prompt.mask
        if mask.dtype != bool:
            patch = transform.patch(self.mask_input(transform, prompt)[0])
            row, col = np.subtract(patch.origin, transform.origin).tolist()
            origin, mask = (row, col), patch.mask
        box = mask_to_box(mask)
        if box is None:
            raise ValueError("The mask prompt is empty: mark at least one pixel.")
        box += np.tile(origin, 2)
        return box

    @torch.inference_mode()
    def _decode(
        self, embedding: Embedding, prompts: Sequence[Prompt], multimask_output: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.floating]]:
        """Return logits (K, M, m, m) and scores (K, M)."""
        check_not_forked()  # before a mask is encoded
        transform, dense_embeddings = embedding.transform, None
        with own_precision(self._runner.device):
            if prompts[0].mask is not None:
                masks = [self.mask_input(transform, prompt) for prompt in prompts]
                dense_embeddings = self._prompt_encoder.dense(torch.stack(masks))
            tokens = self._prompt_encoder.tokens(*self.tensors(transform, prompts))
        return self._decode_tokens(
            embedding,
            tokens.expand(len(prompts), -1, -1),
            dense_embeddings,
            multimask_output
            and (self._is_click_decoder or self._preprocessing.multimask_output),
        )

    def _decode_tokens(
        self,
        embedding: Embedding,
        tokens: Tensor,
        dense_embeddings: Tensor | None,
        multimask_output: bool,
    ) -> tuple[NDArray[np.float32], NDArray[np.floating]]:
        """Return logits (K, M, m, m) and scores (K, M) by the family's rule."""
        masks, iou_scores = self._runner.decode(
            embedding.context,
            tokens,
            dense_embeddings,
            multimask_output,
            use_click_decoder=self._is_click_decoder,
        )
        logits = masks.cpu().numpy()
        if self._preprocessing.score == "stability":
            return logits, stability(logits)
        return logits, iou_scores.cpu().numpy()

    def _to_xy(self, rows_cols: NDArray[np.float64]) -> Tensor:
        """Convert (..., 2) rows and columns to float32 x and y on the device."""
        xy = np.ascontiguousarray(rows_cols[..., ::-1], dtype=np.float32)
        return torch.from_numpy(xy).to(self._runner.device)


def click_offset(transform: PlaneTransform) -> float:
    """Return what is subtracted from the logits that answer clicks in a window."""
    return _ENLARGED_CLICK_LOGIT if transform.is_enlarged else 0.0


def low_resolution(prompt: Prompt, transform: PlaneTransform) -> Prompt:
    """Return points and box in low-resolution mask pixels.

    Points are looked up in masks, at pixel centres. Boxes are scaled as the published
    scripts do, like every box of a prompt.
    """
    scaled = prompt.scaled(transform.mask_scale)
    return replace(scaled, points=transform.to_mask(prompt.points))


def _prediction(
    transform: PlaneTransform, answers: Sequence[PointAnswer], method: Method
) -> Prediction:
    return best_first(
        transform,
        np.stack([answer.logits for answer in answers]),
        np.array([answer.score for answer in answers]),
        method,
    )
