"""Embed a plane, predict masks for prompts: the model with numpy around it.

This is the only place where napari's (row, col) becomes the models' (x, y).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from napari_sam.checkpoints.families import PREPROCESSING
from napari_sam.images.uint8 import full_shape, plane_key, to_uint8
from napari_sam.masks.patch import mask_to_box, stability
from napari_sam.prediction.embedding import Embedding
from napari_sam.prediction.model_runner import ModelRunner
from napari_sam.prediction.plane_transform import PlaneTransform
from napari_sam.prediction.point_search import BoxAnswer, search_boxes_for_points
from napari_sam.prediction.prediction import Method, Prediction, best_first
from napari_sam.prompts.prompt import batch_signature

__all__ = ["Embedding", "Method", "Prediction", "Predictor"]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.checkpoints.families import Family, Preprocessing
    from napari_sam.nets.prompt_encoder import PromptEncoder
    from napari_sam.nets.sam import SamNetwork
    from napari_sam.prompts.prompt import Prompt


class Predictor:
    """A loaded model, ready to embed planes and answer prompts.

    Parameters
    ----------
    model : SamNetwork
        In evaluation mode, on the device to be used.
    name : str
        What the user calls the model.
    family : {"sam", "medsam", "lite_medsam"}
        Preprocessing, postprocessing and score.
    prompts : frozenset of str
        The kinds of prompt the weights were trained on.
    key : str
        Identifies the weights, for instance by their hash.
    multimask_output : bool, optional
        Whether the three alternatives of an ambiguous prompt mean something; what
        the family says when None.
    clicks : SamNetwork, optional
        For a model that knows boxes only: the same image encoder with a decoder that
        was trained for clicks. Boxes go to `model` as ever.
    """

    def __init__(
        self,
        model: SamNetwork,
        *,
        name: str,
        family: Family,
        prompts: frozenset[str],
        key: str,
        multimask_output: bool | None = None,
        click_decoder: SamNetwork | None = None,
    ) -> None:
        self.model, self.click_decoder = model, click_decoder
        self.name = name
        self.family: Family = family
        self.prompts = prompts
        self.key = f"{family}:{key}"
        self._rule = PREPROCESSING[family]
        if multimask_output is not None:
            self._rule = replace(self._rule, multimask_output=multimask_output)
        self._runner = ModelRunner(model, click_decoder)

    def __repr__(self) -> str:
        return f"Predictor({self.name!r}, family={self.family!r}, {self.device})"

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self._runner.device

    @property
    def preprocessing(self) -> Preprocessing:
        """How planes become input of the model, and masks come back."""
        return self._rule

    @property
    def input_size(self) -> int:
        """Side of the square that the model sees, in pixels; more is scaled down."""
        return self.model.prompt_encoder.image_size

    def embed(
        self,
        plane: Any,
        contrast_limits: ArrayLike | None = None,
        *,
        plane_shape: tuple[int, int] | None = None,
    ) -> Embedding:
        """Encode one plane; the slow step, done once for any number of prompts.

        Parameters
        ----------
        plane : array-like
            (H, W) or (H, W, 3), any real dtype.
        contrast_limits : tuple of float or array-like, optional
            Values shown to the model as black and white; taken from the data
            when None, see `napari_sam.images.uint8.to_uint8`.
        plane_shape : tuple of int, optional
            (H, W) of the full plane when `plane` is a smaller rendition of it, a
            level of a pyramid; prompts and masks are those of the full plane.

        Raises
        ------
        ValueError
            When the plane is no image plane, or larger than `plane_shape`.
        """
        return self._embed([plane], contrast_limits, plane_shape)[0]

    @property
    def planes_at_once(self) -> int:
        """How many planes are worth encoding together: 1 on a CPU."""
        return self._runner.planes_at_once

    def embed_batch(
        self,
        planes: Sequence[Any],
        contrast_limits: ArrayLike | None = None,
        *,
        plane_shape: tuple[int, int] | None = None,
    ) -> list[Embedding]:
        """Encode planes as `embed` does, several at once where that is faster."""
        if len(planes) > 1 and self.planes_at_once > 1:
            return self._embed(planes, contrast_limits, plane_shape)
        return [
            self.embed(plane, contrast_limits, plane_shape=plane_shape)
            for plane in planes
        ]

    def _embed(
        self,
        planes: Sequence[Any],
        contrast_limits: ArrayLike | None,
        plane_shape: tuple[int, int] | None,
    ) -> list[Embedding]:
        pixels = [to_uint8(plane, contrast_limits) for plane in planes]
        frames = [self.transform(full_shape(p, plane_shape)) for p in pixels]
        values = [f.pixel_values(p) for f, p in zip(frames, pixels, strict=True)]
        terms = self._runner.encode(torch.cat(values))
        return [
            Embedding(own, transform, self.key, plane_key(p))
            for own, transform, p in zip(terms, frames, pixels, strict=True)
        ]

    def restore(
        self, image_embedding: Any, shape: tuple[int, int], key: str
    ) -> Embedding:
        """Make an embedding of what the encoder gave for a plane before.

        Parameters
        ----------
        image_embedding : Tensor or ndarray
            (1, C, S, S), as `Embedding.image_embedding` or `Embedding.half`.
        shape : tuple of int
            (H, W) of the plane.
        key : str
            The embedding's `plane_key`.
        """
        terms = self._runner.prepare(torch.as_tensor(image_embedding))
        return Embedding(terms, self.transform(shape), self.key, key)

    def transform(self, shape: tuple[int, int]) -> PlaneTransform:
        """How a plane of (H, W) lies in the model's input."""
        encoder = self.model.prompt_encoder
        return PlaneTransform.fit(
            shape, encoder.image_size, encoder.mask_size, self.family
        )

    def predict(
        self,
        embedding: Embedding,
        prompt: Prompt,
        *,
        multimask_output: bool | None = None,
    ) -> Prediction:
        """Predict the mask of one object; see `predict_batch`."""
        return self.predict_batch(
            embedding, [prompt], multimask_output=multimask_output
        )[0]

    def predict_batch(
        self,
        embedding: Embedding,
        prompts: Sequence[Prompt],
        *,
        multimask_output: bool | None = None,
    ) -> list[Prediction]:
        """Predict one mask for each prompt, on one plane.

        Parameters
        ----------
        embedding : Embedding
            From this predictor's `embed`.
        prompts : sequence of Prompt
            One object each. Points on a model that knows boxes only are
            answered by its decoder for clicks if it has one, and otherwise by a search
            over boxes, see `napari_sam.prediction.point_search`.
        multimask_output : bool, optional
            Ask for the three alternatives of an ambiguous prompt or for one
            mask. When None, a single positive point alone is ambiguous and
            everything else is not. Models without alternatives ignore it.

        Raises
        ------
        ValueError
            When the embedding belongs to another model or a prompt does not fit
            the plane.
        """
        if embedding.model_key != self.key:
            raise ValueError(
                f"The embedding was made by {embedding.model_key}, not by {self.key}: "
                "embed the plane with this model."
            )
        answers: list[Prediction | None] = [None] * len(prompts)
        groups: dict[Any, list[tuple[int, Prompt, Method]]] = defaultdict(list)
        for index, prompt in enumerate(prompts):
            known, method = self._simplify(embedding.transform, prompt, embedding.shape)
            use_click_decoder = not known.kinds <= self.prompts
            if use_click_decoder and self.click_decoder is None:
                answers[index] = self._search(embedding, known)
                continue
            if use_click_decoder and method == "prompt":
                method = "click decoder"
            key = use_click_decoder, *batch_signature(known, multimask_output)
            groups[key].append((index, known, method))
        # Prompts with different token counts are never padded to one batch:
        # padded tokens take part in attention and change the masks.
        for (use_click_decoder, *_, several), members in groups.items():
            batch = [known for _, known, _ in members]
            decoded = self._decode(embedding, batch, several, use_click_decoder)
            masks, scores = (answer.cpu().numpy() for answer in decoded)
            for (i, known, method), mask, score in zip(
                members, masks, scores, strict=True
            ):
                if use_click_decoder and several:
                    proposals = list(map(BoxAnswer, mask, score))
                    answers[i] = self._search(embedding, known, proposals)
                else:
                    answers[i] = best_first(embedding.transform, mask, score, method)
        return [answer for answer in answers if answer is not None]

    def _simplify(
        self, transform: PlaneTransform, prompt: Prompt, shape: tuple[int, int]
    ) -> tuple[Prompt, Method]:
        """Check a prompt; put a box for a mask where the model knows no masks."""
        prompt = prompt.within(shape)
        if "mask" not in prompt.kinds - self.prompts:
            return prompt, "prompt"
        box = (
            prompt.box
            if prompt.box is not None
            else self._box_of_mask(transform, prompt)
        )
        return replace(prompt, box=box, mask=None), "box of the mask"

    def _box_of_mask(
        self, transform: PlaneTransform, prompt: Prompt
    ) -> NDArray[np.float64]:
        origin, mask = prompt.mask_origin, prompt.mask
        if mask.dtype != bool:
            patch = transform.patch(self._mask_input(transform, prompt)[0])
            origin, mask = patch.origin, patch.mask
        box = mask_to_box(mask)
        if box is None:
            raise ValueError("The mask prompt is empty: mark at least one pixel.")
        box += np.tile(origin, 2)
        return box

    def _decode(
        self,
        embedding: Embedding,
        prompts: Sequence[Prompt],
        multimask_output: bool,
        use_click_decoder: bool,
    ) -> tuple[Tensor, Tensor]:
        """Logits (K, M, m, m) and scores (K, M) for prompts of one signature."""
        transform, first, dense = embedding.transform, prompts[0], None
        points, labels, boxes = self.prompt_tensors(transform, prompts)
        with torch.inference_mode():
            if first.mask is not None:
                inputs = [self._mask_input(transform, p) for p in prompts]
                dense = self.model.prompt_encoder.dense(torch.stack(inputs))
            tokens = self._prompt_encoder(use_click_decoder).tokens(
                points, labels, boxes
            )
            tokens = tokens.expand(len(prompts), -1, -1)
        several = multimask_output and (
            use_click_decoder or self._rule.multimask_output
        )
        return self._decode_tokens(embedding, tokens, dense, several, use_click_decoder)

    def _prompt_encoder(self, use_click_decoder: bool) -> PromptEncoder:
        """Of the model, or of its decoder for clicks."""
        model = (
            self.click_decoder
            if use_click_decoder and self.click_decoder is not None
            else self.model
        )
        return model.prompt_encoder

    def prompt_tensors(
        self, transform: PlaneTransform, prompts: Sequence[Prompt]
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Points and boxes as the model's prompt encoder takes them.

        Parameters
        ----------
        frame : PlaneTransform
            How the plane of the prompts lies in the model's input.
        prompts : sequence of Prompt
            K of them, all with the same number of points and all or none with a box.

        Returns
        -------
        points : Tensor or None
            (K, N, 2) float32 as (x, y) pixels of the model's input.
        labels : Tensor or None
            (K, N) int64, 1 on the object and 0 off it.
        boxes : Tensor or None
            (K, 4) float32 as (x_min, y_min, x_max, y_max).
        """
        points = labels = boxes = None
        if prompts[0].points is not None:
            points = self._to_xy(
                np.stack([p.points for p in prompts]) * transform.scale
            )
            labels = torch.from_numpy(np.stack([p.labels for p in prompts]))
            labels = labels.to(self.device)
        if prompts[0].box is not None:
            corners = np.stack([p.box.reshape(2, 2) for p in prompts]) * transform.scale
            boxes = self._to_xy(corners).flatten(1)
        return points, labels, boxes

    @torch.inference_mode()
    def _decode_tokens(
        self,
        embedding: Embedding,
        tokens: Tensor,
        dense: Tensor | None,
        several: bool,
        use_click_decoder: bool,
    ) -> tuple[Tensor, Tensor]:
        """Logits (K, M, m, m) and the scores (K, M) that this family deserves."""
        logits, scores = self._runner.decode(
            embedding.terms, tokens, dense, several, use_click_decoder=use_click_decoder
        )
        if self.family == "medsam":
            # MedSAM did not train the decoder's own estimate.
            scores = torch.as_tensor(stability(logits.cpu().numpy()))
        return logits, scores

    def _to_xy(self, rc: NDArray[np.float64]) -> Tensor:
        """(..., 2) rows and columns to float32 x and y on the device."""
        xy = np.ascontiguousarray(rc[..., ::-1], dtype=np.float32)
        return torch.from_numpy(xy).to(self.device)

    def _mask_input(self, transform: PlaneTransform, prompt: Prompt) -> Tensor:
        """Low-resolution logits (1, m, m) of a prompt's mask."""
        logits = prompt.mask
        if logits.dtype == bool:
            logits = transform.mask_logits(logits, prompt.mask_origin)
        if logits.shape != (transform.mask_size, transform.mask_size):
            raise ValueError(
                f"The mask prompt has shape {logits.shape}: this model takes its own "
                f"logits of {transform.mask_size} x {transform.mask_size}, or a "
                "boolean mask of the plane."
            )
        return torch.from_numpy(logits)[None].to(self.device)

    def _search(
        self, embedding: Embedding, prompt: Prompt, proposals: Sequence[BoxAnswer] = ()
    ) -> Prediction:
        """Answer points by boxes; coordinates of the search are mask pixels.

        Proposals of the decoder for clicks are made sure of by its own boxes.
        """
        transform, use_click_decoder = embedding.transform, bool(proposals)
        step = transform.input_size / transform.mask_size
        factor = transform.scale / step
        # Centres of pixels: the search looks points up in masks. Boxes are scaled
        # as the published scripts do, like every box of a prompt.
        points = (prompt.points + 0.5) * factor - 0.5
        prompt = replace(prompt.scaled(factor), points=points)

        def decode(
            boxes: NDArray[np.float64],
        ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
            corners = self._to_xy(boxes.reshape(-1, 2, 2) * step).flatten(1)
            tokens = self._prompt_encoder(use_click_decoder).tokens(boxes=corners)
            logits, scores = self._decode_tokens(
                embedding, tokens, None, False, use_click_decoder
            )
            return logits[:, 0].cpu().numpy(), scores[:, 0].float().cpu().numpy()

        found = search_boxes_for_points(decode, prompt, transform.mask_shape, proposals)
        method: Method = "click decoder" if use_click_decoder else "box search"
        logits = np.stack([f.logits for f in found])
        return best_first(transform, logits, np.array([f.score for f in found]), method)
