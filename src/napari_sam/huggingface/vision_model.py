"""Image encoder alone, with the interface of transformers' ``SamVisionModel``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from torch import Tensor, nn

from napari_sam.huggingface.configuration import SamConfig, SamVisionConfig
from napari_sam.huggingface.modeling.parts import SamVisionEncoder
from napari_sam.huggingface.modeling.pretrained import PretrainedModel
from napari_sam.nets.sam import SamNetwork

if TYPE_CHECKING:
    from napari_sam.nets import config as nets_config


class SamVisionModel(PretrainedModel):
    """The image encoder of SAM with the interface of transformers.

    Parameters
    ----------
    config : SamVisionConfig
        Sizes; the default is SAM ViT-B.
    """

    def __init__(self, config: nets_config.SamVisionConfig | None = None) -> None:
        super().__init__()
        described = SamConfig(vision_config=SamVisionConfig.of(config))
        self._adopt(SamNetwork(described), described)

    @classmethod
    def of(cls, network: SamNetwork, config: SamConfig | None = None) -> Self:
        """Take the image encoder of a network; the weights are shared."""
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        model._adopt(network, config or SamConfig.of(network.config))
        model.training = network.training
        return model

    def _adopt(self, network: SamNetwork, config: SamConfig) -> None:
        self.config = config.vision_config
        # Written into folders, where the encoder is part of a whole model.
        self._whole_config = config
        self.vision_encoder = SamVisionEncoder(network, self.config)

    @property
    def _folder_config(self) -> SamConfig:
        return self._whole_config

    def forward(self, pixel_values: Tensor | None = None, **options: Any) -> Any:
        """Encode images; see `SamVisionEncoder.forward`."""
        return self.vision_encoder(pixel_values, **options)
