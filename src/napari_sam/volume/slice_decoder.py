"""Decoding of the prompts of a slice, in batches, with boxes that follow objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from napari_sam.prompts.prompt import Prompt
from napari_sam.volume.tracking.box_motion import refit_box

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from napari_sam.prediction.embedding import Embedding
    from napari_sam.prediction.prediction import Prediction
    from napari_sam.prediction.protocol import PredictorLike
    from napari_sam.volume.plane_encoder import EncodedWindow

# Prompts per decoder batch; larger batches only take more memory.
_BATCH_SIZE = 64
# A box follows an object that grows or moves out of it this many times.
_MAX_REFITS = 2


@dataclass(frozen=True, eq=False)
class SliceDecoder:
    """Decoder of the prompts of a slice.

    Parameters
    ----------
    predictor : PredictorLike
        The model.
    margin : float
        Margin of boxes around objects, as a fraction of their sides.
    """

    predictor: PredictorLike
    margin: float

    def decode(
        self, embedding: Embedding, prompts: Sequence[Prompt]
    ) -> list[Prediction]:
        """Decode prompts in batches."""
        predictions: list[Prediction] = []
        for first in range(0, len(prompts), _BATCH_SIZE):
            batch = prompts[first : first + _BATCH_SIZE]
            predictions += self.predictor.predict_batch(embedding, batch)
        return predictions

    def decode_refitted(
        self,
        encoded: EncodedWindow,
        prompts: Sequence[Prompt],
        have_full_size: Sequence[bool],
    ) -> list[tuple[Prediction, NDArray[np.float64]]]:
        """Decode, and again where an object has grown or moved out of its box.

        Parameters
        ----------
        encoded : EncodedWindow
            The window.
        prompts : sequence of Prompt
            With boxes.
        have_full_size : sequence of bool
            Whether each box is as large as its object must be, see `refit_box`.

        Returns
        -------
        list of (Prediction, ndarray)
            Each answer with its (4,) box.
        """
        embedding = encoded.embedding
        predictions = self.decode(embedding, prompts)
        boxes = {i: prompt.box for i, prompt in enumerate(prompts)}
        last = dict(boxes)
        for _ in range(_MAX_REFITS):
            refitted = {}
            for i, box in boxes.items():
                patch = predictions[i].patch
                if patch.logits.size:
                    moved = refit_box(
                        box,
                        patch.box,
                        embedding.shape,
                        self.margin,
                        has_full_size=have_full_size[i],
                    )
                    if moved is not None and encoded.shows(moved):
                        refitted[i] = moved
            if not refitted:
                break
            again = [Prompt(box=box) for box in refitted.values()]
            for i, prediction in zip(
                refitted, self.decode(embedding, again), strict=True
            ):
                predictions[i] = prediction
            boxes = refitted
            last |= refitted
        return [(prediction, last[i]) for i, prediction in enumerate(predictions)]
