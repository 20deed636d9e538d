"""Segment Anything in napari, in scripts and on the command line.

Importing the package is cheap: torch and napari are loaded on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam.api.planes import everything, segment, segment_everything
    from napari_sam.api.stacks import (
        everything_volume,
        segment_everything_volume,
        segment_volume,
    )
    from napari_sam.automatic.candidates import Candidates, PlaneObjects, Thresholds
    from napari_sam.automatic.linking import Linking, link_labels, link_planes
    from napari_sam.automatic.search import SearchOptions
    from napari_sam.checkpoints.download import WeightsError
    from napari_sam.checkpoints.model_spec import ModelSpec
    from napari_sam.checkpoints.registry import list_models
    from napari_sam.exchange.labels import export_labels, import_labels
    from napari_sam.huggingface.auto import (
        AutoConfig,
        AutoImageProcessor,
        AutoModel,
        AutoModelForMaskGeneration,
        AutoProcessor,
        SamImageProcessorFast,
    )
    from napari_sam.huggingface.configuration import (
        SamConfig,
        SamMaskDecoderConfig,
        SamPromptEncoderConfig,
        SamVisionConfig,
    )
    from napari_sam.huggingface.generation.pipeline import pipeline
    from napari_sam.huggingface.image_processor import SamImageProcessor
    from napari_sam.huggingface.model import SamModel
    from napari_sam.huggingface.processor import SamProcessor
    from napari_sam.huggingface.vision_model import SamVisionModel
    from napari_sam.images.intensity import IntensityMapping
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.loading import load_model
    from napari_sam.prediction.prediction import Prediction
    from napari_sam.prediction.predictor import Embedding, Predictor
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.records.record import read_record, write_record
    from napari_sam.records.replay import replay as replay
    from napari_sam.requests.small_objects import SmallObjectWarning
    from napari_sam.scale_out.jobs.job import Job, JobFailedError
    from napari_sam.scale_out.jobs.stopping import JobStoppedError
    from napari_sam.scale_out.stacks.planning import plan_everything_volume, plan_volume
    from napari_sam.series.image_series import ImageSeries
    from napari_sam.series.opening import open_series
    from napari_sam.training.data import read_training_images, training_images
    from napari_sam.training.finetune import FineTuning
    from napari_sam.training.options import TrainingOptions, TrainingProgress
    from napari_sam.volume.results import PropagationOptions, VolumeResult

_HOMES = {
    "AutoConfig": "huggingface.auto",
    "AutoImageProcessor": "huggingface.auto",
    "AutoModel": "huggingface.auto",
    "AutoModelForMaskGeneration": "huggingface.auto",
    "AutoProcessor": "huggingface.auto",
    "Candidates": "automatic.candidates",
    "Embedding": "prediction.predictor",
    "EmbeddingCache": "prediction.cache",
    "FineTuning": "training.finetune",
    "ImageSeries": "series.image_series",
    "IntensityMapping": "images.intensity",
    "Job": "scale_out.jobs.job",
    "JobFailedError": "scale_out.jobs.job",
    "JobStoppedError": "scale_out.jobs.stopping",
    "Linking": "automatic.linking",
    "ModelSpec": "checkpoints.model_spec",
    "PlaneObjects": "automatic.candidates",
    "Prediction": "prediction.prediction",
    "Predictor": "prediction.predictor",
    "Prompt": "prompts.prompt",
    "PropagationOptions": "volume.results",
    "SamConfig": "huggingface.configuration",
    "SamImageProcessor": "huggingface.image_processor",
    "SamImageProcessorFast": "huggingface.auto",
    "SamMaskDecoderConfig": "huggingface.configuration",
    "SamModel": "huggingface.model",
    "SamProcessor": "huggingface.processor",
    "SamPromptEncoderConfig": "huggingface.configuration",
    "SamVisionConfig": "huggingface.configuration",
    "SamVisionModel": "huggingface.vision_model",
    "SearchOptions": "automatic.search",
    "SmallObjectWarning": "requests.small_objects",
    "Thresholds": "automatic.candidates",
    "TrainingOptions": "training.options",
    "TrainingProgress": "training.options",
    "VolumeResult": "volume.results",
    "WeightsError": "checkpoints.download",
    "everything": "api.planes",
    "everything_volume": "api.stacks",
    "export_labels": "exchange.labels",
    "import_labels": "exchange.labels",
    "link_labels": "automatic.linking",
    "link_planes": "automatic.linking",
    "list_models": "checkpoints.registry",
    "load_model": "prediction.loading",
    "open_series": "series.opening",
    "pipeline": "huggingface.generation.pipeline",
    "plan_everything_volume": "scale_out.stacks.planning",
    "plan_volume": "scale_out.stacks.planning",
    "read_record": "records.record",
    "read_training_images": "training.data",
    "replay": "records.replay",
    "segment": "api.planes",
    "segment_everything": "api.planes",
    "segment_everything_volume": "api.stacks",
    "segment_volume": "api.stacks",
    "training_images": "training.data",
    "write_record": "records.record",
}

__all__ = [
    "AutoConfig",
    "AutoImageProcessor",
    "AutoModel",
    "AutoModelForMaskGeneration",
    "AutoProcessor",
    "Candidates",
    "Embedding",
    "EmbeddingCache",
    "FineTuning",
    "ImageSeries",
    "IntensityMapping",
    "Job",
    "JobFailedError",
    "JobStoppedError",
    "Linking",
    "ModelSpec",
    "PlaneObjects",
    "Prediction",
    "Predictor",
    "Prompt",
    "PropagationOptions",
    "SamConfig",
    "SamImageProcessor",
    "SamImageProcessorFast",
    "SamMaskDecoderConfig",
    "SamModel",
    "SamProcessor",
    "SamPromptEncoderConfig",
    "SamVisionConfig",
    "SamVisionModel",
    "SearchOptions",
    "SmallObjectWarning",
    "Thresholds",
    "TrainingOptions",
    "TrainingProgress",
    "VolumeResult",
    "WeightsError",
    "everything",
    "everything_volume",
    "export_labels",
    "import_labels",
    "link_labels",
    "link_planes",
    "list_models",
    "load_model",
    "open_series",
    "pipeline",
    "plan_everything_volume",
    "plan_volume",
    "read_record",
    "read_training_images",
    "replay",
    "segment",
    "segment_everything",
    "segment_everything_volume",
    "segment_volume",
    "training_images",
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
