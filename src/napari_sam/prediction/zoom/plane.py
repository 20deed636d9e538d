"""Windows of a plane in memory, for predictors that are called directly."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_sam.prediction.embedding import Embedding
from napari_sam.prediction.steps import run_to_end
from napari_sam.prediction.zoom.answers import ZoomedPlane
from napari_sam.prediction.zoom.grid import WindowGrid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.images.window import Window
    from napari_sam.prediction.prediction import Prediction
    from napari_sam.prediction.protocol import PredictorLike
    from napari_sam.prediction.zoom.options import Zoom
    from napari_sam.prompts.prompt import Prompt

_MAX_WINDOWS, _MAX_LOGITS = 16, 64


@dataclass(eq=False)
class PlaneWindows:
    """The pixels of an embedded plane, and the windows that were encoded since.

    Parameters
    ----------
    pixels : ndarray
        (H, W) or (H, W, 3) uint8.
    zoom : "auto" or float
        How windows are chosen, see `choose_windows`.
    """

    pixels: NDArray[np.uint8]
    zoom: Zoom
    _encoded: OrderedDict[Window, Embedding] = field(default_factory=OrderedDict)
    # Where logits came from, which may return as mask prompts.
    _window_of_logits: OrderedDict[bytes, Window | None] = field(
        default_factory=OrderedDict
    )

    def predict(
        self,
        predictor: PredictorLike,
        plane: Embedding,
        prompts: Sequence[Prompt],
        multimask_output: bool | None,
    ) -> list[Prediction]:
        """Predict one mask for each prompt, in the windows that fit the objects.

        Parameters
        ----------
        predictor : PredictorLike
            The model.
        plane : Embedding
            Of the whole plane.
        prompts, multimask_output
            See `Predictor.predict_batch`.
        """
        whole = Embedding(*_parts(plane))

        def embed(window: Window | None) -> Embedding:
            return whole if window is None else self._embed(predictor, window)

        def decode(embedding: Embedding, members: Sequence[Prompt]) -> list[Prediction]:
            return predictor.predict_batch(
                embedding, members, multimask_output=multimask_output
            )

        shape: tuple[int, int] = (self.pixels.shape[0], self.pixels.shape[1])
        grid = WindowGrid.of(predictor, shape)
        start = {
            i: (self._window_of_logits.get(_digest(prompt.mask)),)
            for i, prompt in enumerate(prompts)
            if prompt.mask is not None and prompt.mask.dtype != bool
        }
        zoomed = ZoomedPlane(
            grid,
            embed,
            decode,
            self.zoom,
            corrects=predictor.prompt_support.corrects_clicks,
        )
        answers = run_to_end(zoomed.answer(prompts, start))
        for answer in answers:
            for prediction in (answer.prediction, *answer.prediction.candidates):
                key = _digest(prediction.logits)
                _keep(self._window_of_logits, key, prediction.window, _MAX_LOGITS)
        return [answer.prediction for answer in answers]

    def _embed(self, predictor: PredictorLike, window: Window) -> Embedding:
        embedding = self._encoded.get(window)
        if embedding is None:
            shape = (self.pixels.shape[0], self.pixels.shape[1])
            embedding = predictor.embed(
                self.pixels[window.slices], plane_shape=shape, window=window
            )
        _keep(self._encoded, window, embedding, _MAX_WINDOWS)
        return embedding


@dataclass(frozen=True, slots=True, eq=False)
class ZoomableEmbedding(Embedding):
    """Embedding of a whole plane, with its pixels to encode windows from.

    Parameters
    ----------
    windows : PlaneWindows
        The pixels, and the windows that were encoded since.
    """

    windows: PlaneWindows = field(kw_only=True)

    @classmethod
    def of(cls, embedding: Embedding, windows: PlaneWindows) -> Self:
        """Add its pixels to the embedding of a plane."""
        return cls(*_parts(embedding), windows=windows)


def _parts(embedding: Embedding) -> tuple[Any, ...]:
    return tuple(getattr(embedding, field.name) for field in fields(Embedding))


def _keep(store: OrderedDict[Any, Any], key: Any, value: Any, count: int) -> None:
    """Store a value as the latest one, and drop the oldest beyond a number."""
    store[key] = value
    store.move_to_end(key)
    while len(store) > count:
        store.popitem(last=False)


def _digest(logits: NDArray[np.float32]) -> bytes:
    return blake2b(np.ascontiguousarray(logits).tobytes(), digest_size=16).digest()
