"""Decoder of prompts with an exported network, which needs no torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.checkpoints.families import PREPROCESSING
from napari_sam.files import read_json
from napari_sam.masks.patch import stability
from napari_sam.optional import import_optional
from napari_sam.prediction.plane_transform import PlaneTransform
from napari_sam.prediction.prediction import best_first
from napari_sam.prompts.prompt import batch_signature

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_sam.prediction.prediction import Prediction
    from napari_sam.prompts.prompt import Prompt

ENCODER_FILE = "encoder.onnx"
DECODER_FILE = "decoder.onnx"
SETTINGS_FILE = "napari_sam.json"
LAYOUTS = {
    "napari-sam": (ENCODER_FILE, DECODER_FILE, SETTINGS_FILE),
    "official": (ENCODER_FILE, DECODER_FILE),
}
"""Files of each layout of an exported model."""

# Labels of SAM's prompt encoder.
_NOT_A_POINT = -1
_BOX_CORNERS = (2, 3)


class OnnxDecoder:
    """Mask decoder that runs an exported network on image embeddings.

    Parameters
    ----------
    folder : str or Path
        Output folder of ``napari-sam export``.

    Raises
    ------
    OSError, ValueError
        When the folder contains no exported model.
    ModuleNotFoundError
        When onnxruntime is not installed.
    """

    def __init__(self, folder: str | Path) -> None:
        settings = Path(folder) / SETTINGS_FILE
        network = Path(folder) / DECODER_FILE
        for file in (settings, network):
            if not file.is_file():
                raise FileNotFoundError(
                    f"There is no {file}: write it with napari-sam export."
                )
        runtime: Any = import_optional("onnxruntime", "onnx")
        try:
            values = read_json(settings)
            self.family = values["family"]
            self.prompts = frozenset(values["prompts"])
            self.input_size = int(values["input_size"])
            self.mask_size = int(values["mask_size"])
            self.preprocessing = replace(
                PREPROCESSING[self.family],
                multimask_output=bool(values["multimask_output"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{settings} is damaged ({error!r}): export the model again."
            ) from error
        self._session = runtime.InferenceSession(
            str(network), providers=["CPUExecutionProvider"]
        )

    def predict(
        self,
        image_embedding: ArrayLike,
        prompt: Prompt,
        plane_shape: tuple[int, int],
        *,
        multimask_output: bool | None = None,
    ) -> Prediction:
        """Predict the mask of one object.

        Parameters
        ----------
        image_embedding : array-like
            (1, C, s, s), from ``encoder.onnx`` or `Embedding.image_embedding`.
        prompt : Prompt
            Of the kinds that the model was trained on; a mask prompt must be
            low-resolution logits.
        plane_shape : tuple of int
            (H, W) of the encoded plane.
        multimask_output : bool, optional
            As for `Predictor.predict`.

        Returns
        -------
        Prediction
            The best mask, with its alternatives.

        Raises
        ------
        ValueError
            When the prompt does not fit the plane or the model.
        """
        transform = PlaneTransform.fit(
            plane_shape, self.input_size, self.mask_size, self.family
        )
        prompt = prompt.within(plane_shape)
        unknown = prompt.kinds - self.prompts
        if unknown:
            raise ValueError(
                f"The model was trained on {', '.join(sorted(self.prompts))}, not on "
                f"{', '.join(sorted(unknown))}: give another prompt."
            )
        coordinates, labels = _point_inputs(prompt, transform)
        logits, iou_scores = self._session.run(
            None,
            {
                "image_embeddings": np.asarray(image_embedding, np.float32),
                "point_coords": coordinates[None],
                "point_labels": labels[None],
                "mask_input": self._mask_input(prompt)[None, None],
                "has_mask_input": np.array([prompt.mask is not None], np.float32),
            },
        )
        multimask = batch_signature(prompt, multimask_output)[-1]
        multimask = multimask and self.preprocessing.multimask_output
        # The first mask is the single one, the others are the alternatives.
        outputs = slice(1, None) if multimask else slice(0, 1)
        masks, scores = logits[0, outputs], iou_scores[0, outputs]
        if self.preprocessing.score == "stability":
            scores = stability(masks)
        return best_first(transform, masks, scores)

    def _mask_input(self, prompt: Prompt) -> NDArray[np.float32]:
        shape = (self.mask_size, self.mask_size)
        if prompt.mask is None:
            return np.zeros(shape, np.float32)
        if prompt.mask.dtype == bool or prompt.mask.shape != shape:
            raise ValueError(
                f"The exported decoder takes a mask as its own logits of "
                f"{self.mask_size} x {self.mask_size}: give those of a prediction, or "
                "the result of PlaneTransform.mask_logits."
            )
        return np.asarray(prompt.mask, np.float32)


def _point_inputs(
    prompt: Prompt, transform: PlaneTransform
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return (N, 2) points as (x, y) pixels of the model input, and (N,) labels."""
    parts = [np.zeros((0, 2))]
    labels: list[float] = []
    if prompt.points is not None:
        parts.append(prompt.points * transform.scale)
        labels += prompt.labels.tolist()
    if prompt.box is not None:
        parts.append(prompt.box.reshape(2, 2) * transform.scale)
        labels += _BOX_CORNERS
    elif labels:
        # As in training: points without a box are followed by "not a point".
        parts.append(np.zeros((1, 2)))
        labels.append(_NOT_A_POINT)
    rows_cols = np.concatenate(parts)
    return rows_cols[:, ::-1].astype(np.float32), np.asarray(labels, np.float32)
