"""Segment Anything in napari, in scripts and on the command line.

Importing the package is cheap: torch and napari are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam.api import everything, segment, segment_everything, segment_volume
    from napari_sam.cache import EmbeddingCache
    from napari_sam.candidates import Candidates, PlaneObjects, Thresholds
    from napari_sam.image_processor import SamImageProcessor
    from napari_sam.intensity import IntensityMapping
    from napari_sam.loading import load_model
    from napari_sam.models import ModelSpec, list_models
    from napari_sam.nets.config import (
        SamConfig,
        SamMaskDecoderConfig,
        SamPromptEncoderConfig,
        SamVisionConfig,
    )
    from napari_sam.nets.sam import SamModel
    from napari_sam.prediction import Prediction
    from napari_sam.predictor import Embedding, Predictor
    from napari_sam.processing import SamProcessor
    from napari_sam.prompts import Prompt
    from napari_sam.record import read_record, write_record
    from napari_sam.replaying import replay as replay
    from napari_sam.volume import PropagationOptions, VolumeResult
    from napari_sam.weights import WeightsError

_HOMES = {
    "Candidates": "candidates",
    "Embedding": "predictor",
    "EmbeddingCache": "cache",
    "IntensityMapping": "intensity",
    "ModelSpec": "models",
    "Prediction": "prediction",
    "PlaneObjects": "candidates",
    "Predictor": "predictor",
    "Prompt": "prompts",
    "PropagationOptions": "volume",
    "SamConfig": "nets.config",
    "SamImageProcessor": "image_processor",
    "SamMaskDecoderConfig": "nets.config",
    "SamModel": "nets.sam",
    "SamProcessor": "processing",
    "SamPromptEncoderConfig": "nets.config",
    "SamVisionConfig": "nets.config",
    "Thresholds": "candidates",
    "VolumeResult": "volume",
    "WeightsError": "weights",
    "everything": "api",
    "list_models": "models",
    "load_model": "loading",
    "read_record": "record",
    "replay": "replaying",
    "segment": "api",
    "segment_everything": "api",
    "segment_volume": "api",
    "write_record": "record",
}

__all__ = [
    "Candidates",
    "Embedding",
    "EmbeddingCache",
    "IntensityMapping",
    "ModelSpec",
    "PlaneObjects",
    "Prediction",
    "Predictor",
    "Prompt",
    "PropagationOptions",
    "SamConfig",
    "SamImageProcessor",
    "SamMaskDecoderConfig",
    "SamModel",
    "SamProcessor",
    "SamPromptEncoderConfig",
    "SamVisionConfig",
    "Thresholds",
    "VolumeResult",
    "WeightsError",
    "everything",
    "list_models",
    "load_model",
    "read_record",
    "replay",
    "segment",
    "segment_everything",
    "segment_volume",
    "write_record",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("napari-sam")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = import_module(f"{__name__}.{_HOMES[name]}")
    return getattr(home, name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
