"""Decoder of prompts on an embedding: tensors in, numpy masks out.

This is the only module that turns napari's (row, col) into the models' (x, y).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_sam.masks.patch import mask_to_box, stability
from napari_sam.prediction.point_search import BoxAnswer, search_boxes_for_points
from napari_sam.prediction.prediction import best_first

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from napari_sam.checkpoints.families import Preprocessing
    from napari_sam.nets.prompt_encoder import PromptEncoder
    from napari_sam.prediction.embedding import Embedding
    from napari_sam.prediction.model_runner import ModelRunner
    from napari_sam.prediction.plane_transform import PlaneTransform
    from napari_sam.prediction.prediction import Method, Prediction
    from napari_sam.prompts.prompt import Prompt

# The outlines of a click decoder are a third of a pixel too wide where pixels are
# enlarged, which it was not trained on. Its logits are lowered by this: the IoU of
# objects of 8 and 11 pixels rises by 0.01 and 0.02, that of larger ones stays.
_ENLARGED_CLICK_LOGIT = 1.0


class PromptDecoder:
    """Decodes prompts by one prompt encoder and mask decoder.

    A predictor has one for its weights and, if it has a click decoder, one for that.
    The alternatives of a click decoder are refined by the boxes around them.

    Parameters
    ----------
    runner : ModelRunner
        Runs the mask decoder.
    prompt_encoder : PromptEncoder
        Of the weights or of the click decoder.
    preprocessing : Preprocessing
        Rules of the model's family.
    is_click_decoder : bool
        Whether the runner's click decoder is used.
    """

    def __init__(
        self,
        runner: ModelRunner,
        prompt_encoder: PromptEncoder,
        preprocessing: Preprocessing,
        *,
        is_click_decoder: bool = False,
    ) -> None:
        self._runner, self._prompt_encoder = runner, prompt_encoder
        self._preprocessing = preprocessing
        self._is_click_decoder = is_click_decoder

    def predict(
        self,
        embedding: Embedding,
        prompts: Sequence[Prompt],
        methods: Sequence[Method],
        multimask_output: bool,
    ) -> list[Prediction]:
        """Predict masks for K prompts of the same `batch_signature`."""
        logits, scores = self._decode(embedding, prompts, multimask_output)
        predictions = []
        for i, (prompt, method) in enumerate(zip(prompts, methods, strict=True)):
            if self._is_click_decoder and multimask_output:
                proposals = list(map(BoxAnswer, logits[i], scores[i]))
                prediction = self.search_boxes(embedding, prompt, proposals)
            else:
                prediction = best_first(
                    embedding.transform, logits[i], scores[i], method
                )
            predictions.append(prediction)
        return predictions

    def search_boxes(
        self, embedding: Embedding, prompt: Prompt, proposals: Sequence[BoxAnswer] = ()
    ) -> Prediction:
        """Answer points by decoding boxes only; see `search_boxes_for_points`.

        Parameters
        ----------
        prompt : Prompt
            Points, with or without a box, in pixels of the plane.
        proposals : sequence of BoxAnswer
            Alternatives of the click decoder.
        """
        transform = embedding.transform
        step = transform.input_size / transform.mask_size
        factor = transform.scale / step
        # The search looks points up in low-resolution masks, at pixel centres. Boxes
        # are scaled as the published scripts do, like every box of a prompt.
        points = (prompt.points + 0.5) * factor - 0.5
        low_res_prompt = replace(prompt.scaled(factor), points=points)

        @torch.inference_mode()
        def decode_boxes(
            boxes: NDArray[np.float64],
        ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            corners = self._to_xy(boxes.reshape(-1, 2, 2) * step).flatten(1)
            tokens = self._prompt_encoder.tokens(boxes=corners)
            logits, scores = self._decode_tokens(embedding, tokens, None, False)
            return logits[:, 0], scores[:, 0].astype(np.float32)

        answers = search_boxes_for_points(
            decode_boxes, low_res_prompt, transform.mask_shape, proposals
        )
        is_too_wide = proposals and transform.is_enlarged
        offset = np.float32(_ENLARGED_CLICK_LOGIT if is_too_wide else 0)
        return best_first(
            transform,
            np.stack([answer.logits for answer in answers]) - offset,
            np.array([answer.score for answer in answers]),
            "click decoder" if proposals else "box search",
        )

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
        transform, dense_embeddings = embedding.transform, None
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
