"""Image encoder alone, with the interface of transformers' ``SamVisionModel``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from napari_sam.checkpoints.hugging_face import (
    CONFIG_FILE,
    check_encoder,
    weight_files,
)
from napari_sam.checkpoints.state_dict import (
    build_model,
    read_state_dict,
    to_official_keys,
)
from napari_sam.files import read_json
from napari_sam.huggingface.configuration import SamConfig, SamVisionConfig
from napari_sam.huggingface.modeling.parts import SamVisionEncoder
from napari_sam.huggingface.modeling.pretrained import PretrainedModel
from napari_sam.nets.mask_decoder import MaskDecoder
from napari_sam.nets.prompt_encoder import PromptEncoder
from napari_sam.nets.sam import SamNetwork

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam.nets import config as nets_config


class SamVisionModel(PretrainedModel):
    """The image encoder of SAM with the interface of transformers.

    Parameters
    ----------
    config : SamVisionConfig
        Sizes; the default is SAM ViT-B.
    """

    config_class = SamVisionConfig

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
        self.vision_encoder = SamVisionEncoder(network, self.config)

    @classmethod
    def _read(
        cls,
        file: Path,
        config: SamConfig | None,
        dtype: torch.dtype | None,
        variant: str | None,
    ) -> Self:
        """Read the encoder of a whole model, or a folder with nothing but it."""
        described = file / CONFIG_FILE
        values = read_json(described) if described.is_file() else {}
        if values.get("model_type") != SamVisionConfig.model_type:
            return super()._read(file, config, dtype, variant)
        whole = _config_around(SamVisionConfig(**values))
        state: dict[str, Tensor] = {}
        for part in weight_files(file, variant):
            state |= read_state_dict(part, dtype)
        state = to_official_keys(state)
        # The rest of the network, which is not used.
        for name, module in (
            ("prompt_encoder", PromptEncoder(whole.prompt_encoder_config)),
            ("mask_decoder", MaskDecoder(whole.mask_decoder_config)),
        ):
            rest = module.state_dict().items()
            state |= {f"{name}.{key}": value.to(dtype) for key, value in rest}
        return cls.of(build_model(whole, state, source=str(file)), whole)

    def _write_config(self, folder: Path) -> None:
        check_encoder(self.config)
        self.config.save_pretrained(folder)

    def forward(
        self,
        pixel_values: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **_: Any,
    ) -> Any:
        """Encode images; see `SamVisionEncoder.forward`."""
        return self.vision_encoder(
            pixel_values, output_attentions, output_hidden_states, return_dict
        )


def _config_around(vision: SamVisionConfig) -> SamConfig:
    """Return a configuration of a whole model with this image encoder."""
    width = vision.output_channels
    prompts = {
        "hidden_size": width,
        "image_size": vision.image_size,
        "patch_size": vision.patch_size,
    }
    # One head, which divides any width.
    decoder = {"hidden_size": width, "num_attention_heads": 1}
    decoder["attention_downsample_rate"] = 1
    return SamConfig(
        vision_config=vision,
        prompt_encoder_config=prompts,
        mask_decoder_config=decoder,
    )
