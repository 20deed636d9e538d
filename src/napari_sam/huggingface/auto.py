"""Classes of transformers that choose by the model; here it is always SAM."""

from __future__ import annotations

from napari_sam.huggingface.configuration import SamConfig
from napari_sam.huggingface.image_processor import SamImageProcessor
from napari_sam.huggingface.model import SamModel
from napari_sam.huggingface.processor import SamProcessor

AutoConfig = SamConfig
AutoImageProcessor = SamImageProcessor
AutoModel = SamModel
AutoModelForMaskGeneration = SamModel
AutoProcessor = SamProcessor
SamImageProcessorFast = SamImageProcessor
