"""Decode prompts with an exported network: numpy and onnxruntime, without torch."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.checkpoints.families import PREPROCESSING
from napari_sam.masks.patch import stability
from napari_sam.prediction.plane_transform import PlaneTransform
from napari_sam.prediction.prediction import Prediction

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from napari_sam.prompts.prompt import Prompt

ENCODER_FILE = "encoder.onnx"
DECODER_FILE = "decoder.onnx"
SETTINGS_FILE = "napari_sam.json"

_NOT_A_POINT = -1
_CORNERS = (2, 3)


class OnnxDecoder:
    """Predict masks from an image embedding with an exported decoder.

    Parameters
    ----------
    folder : str or Path
        What ``napari-sam export`` wrote.

    Raises
    ------
    OSError, ValueError
        When the folder holds no exported model.
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
        runtime: Any = import_runtime("onnxruntime")
        try:
            values = json.loads(settings.read_text(encoding="utf-8"))
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
            (1, C, s, s), as ``encoder.onnx`` or `Embedding.image_embedding` give it.
        prompt : Prompt
            Of the kinds that the model was trained on; a mask as low-resolution
            logits.
        plane_shape : tuple of int
            (H, W) of the plane that was encoded.
        multimask_output : bool, optional
            As for `Predictor.predict`.

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
        coordinates, labels = _points(prompt, transform)
        mask, given = self._mask(prompt)
        logits, scores = self._session.run(
            None,
            {
                "image_embeddings": np.asarray(image_embedding, np.float32),
                "point_coords": coordinates[None],
                "point_labels": labels[None],
                "mask_input": mask[None, None],
                "has_mask_input": np.array([given], np.float32),
            },
        )
        alone = prompt.kinds == {"point"} and len(labels) == 2
        several = alone if multimask_output is None else multimask_output
        several = several and self.preprocessing.multimask_output
        answers = slice(1, None) if several else slice(0, 1)
        return self._sorted(logits[0, answers], scores[0, answers], transform)

    def _mask(self, prompt: Prompt) -> tuple[NDArray[np.float32], bool]:
        if prompt.mask is None:
            return np.zeros((self.mask_size,) * 2, np.float32), False
        if prompt.mask.dtype == bool or prompt.mask.shape != (self.mask_size,) * 2:
            raise ValueError(
                f"The exported decoder takes a mask as its own logits of "
                f"{self.mask_size} x {self.mask_size}: give those of a prediction, or "
                "what Frame.mask_logits makes of a mask."
            )
        return np.asarray(prompt.mask, np.float32), True

    def _sorted(
        self,
        logits: NDArray[np.float32],
        scores: NDArray[np.float32],
        transform: PlaneTransform,
    ) -> Prediction:
        if self.family == "medsam":
            # MedSAM did not train the decoder's own estimate.
            scores = stability(logits[None])[0]
        found = tuple(
            Prediction(logits=logits[i], score=float(scores[i]), transform=transform)
            for i in np.argsort(-scores, kind="stable")
        )
        return replace(found[0], candidates=found)


def import_runtime(name: str) -> Any:
    """Import a module of the extra, or say how to get it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{name} is not installed: pip install 'napari-sam[onnx]'."
        ) from error


def _points(
    prompt: Prompt, transform: PlaneTransform
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(N, 2) as (x, y) pixels of the model input, and (N,) labels."""
    places = [np.zeros((0, 2))]
    labels: list[float] = []
    if prompt.points is not None:
        places.append(prompt.points * transform.scale)
        labels += prompt.labels.tolist()
    if prompt.box is not None:
        places.append(prompt.box.reshape(2, 2) * transform.scale)
        labels += _CORNERS
    elif labels:
        # As in training: points without a box end with one that is none.
        places.append(np.zeros((1, 2)))
        labels.append(_NOT_A_POINT)
    rows_cols = np.concatenate(places)
    return rows_cols[:, ::-1].astype(np.float32), np.asarray(labels, np.float32)
