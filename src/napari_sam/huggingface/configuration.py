"""Sizes of SAM with the interface of transformers' ``SamConfig``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from napari_sam.checkpoints.hugging_face import read_folder_config, write_config
from napari_sam.checkpoints.resolve import find_model
from napari_sam.nets import config as nets_config


class SamConfig(nets_config.SamConfig):
    """Sizes of a SAM model that can be read from and written to folders.

    Parameters are those of `napari_sam.nets.config.SamConfig`.
    """

    @classmethod
    def of(cls, config: nets_config.SamConfig) -> Self:
        """Wrap the sizes of a network in this interface; the parts are shared."""
        if isinstance(config, cls):
            return config
        return cls(
            config.vision_config,
            config.prompt_encoder_config,
            config.mask_decoder_config,
            config.initializer_range,
        )

    @classmethod
    def from_pretrained(cls, path: str | Path, **hub: Any) -> Self:
        """Read the ``config.json`` of a folder or of a hub repository.

        Parameters
        ----------
        path : str or Path
            A folder, or a repository of the Hugging Face hub.
        **hub
            ``revision``, ``cache_dir``, ``local_files_only``, ``token``: see
            `napari_sam.checkpoints.resolve.find_model`.
        """
        return cls.of(read_folder_config(find_model(path, weights=False, **hub)))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json`` into a folder."""
        write_config(self, Path(folder))
