"""Work for other processes; they import this module only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.nets.config import SamConfig, SamMaskDecoderConfig
from napari_sam.prediction.loading import load_model
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from napari_sam.prediction.predictor import Predictor

SMALL = SamConfig(mask_decoder_config=SamMaskDecoderConfig(num_attention_heads=4))
FILE = Path(__file__).parent.parent / "data" / "sam_small.pth"


def load_small(path: Path | str = FILE) -> Predictor:
    return load_model(path, config=SMALL, family="sam", device="cpu")


def segment(predictor: Predictor, seed: int) -> tuple[int, np.ndarray]:
    """The predictor's identity in this process, and the logits of a box."""
    plane = np.random.default_rng(seed).integers(0, 255, (20, 30), np.uint8)
    found = predictor.predict(predictor.embed(plane), Prompt(box=[2, 3, 15, 20]))
    return id(predictor), found.logits
