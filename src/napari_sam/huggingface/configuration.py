"""Sizes of SAM with the interface of transformers' configurations."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Self

from napari_sam.checkpoints.hugging_face import (
    CONFIG_FILE,
    read_config_values,
    write_config,
)
from napari_sam.checkpoints.resolve import find_model
from napari_sam.files import write_json
from napari_sam.huggingface.hub_options import split_hub_options
from napari_sam.nets import config as nets_config


class PretrainedConfig:
    """Configuration that reads and writes dictionaries and files.

    A subclass has the fields of a configuration of `napari_sam.nets.config`. Other
    keywords become attributes, as in transformers, and are written again.
    """

    model_type: ClassVar[str]
    base_config_key: ClassVar[str] = ""

    return_dict = True
    output_attentions = False
    output_hidden_states = False

    def __init__(self, *values: Any, **named: Any) -> None:
        names = self._field_names()
        known = dict(zip(names, values, strict=False))
        known |= {name: named.pop(name) for name in names if name in named}
        super().__init__(**known)
        named.pop("model_type", None)
        for name, value in named.items():
            # Computed here, such as `image_embedding_size`.
            if not isinstance(getattr(type(self), name, None), property):
                setattr(self, name, value)

    @classmethod
    def _field_names(cls) -> list[str]:
        return [f.name for f in fields(cls)]  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PretrainedConfig):
            return self.to_dict() == other.to_dict()
        if any(isinstance(other, base) for base in type(self).__mro__[2:-1]):
            return bool(asdict(self) == asdict(other))  # type: ignore[call-overload]
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"

    # -- dictionaries ----------------------------------------------------------

    @classmethod
    def of(cls, values: Any) -> Self:
        """Take a configuration, its dictionary or None, which stands for defaults."""
        if isinstance(values, cls):
            return values
        if values is None:
            return cls()
        if isinstance(values, dict):
            return cls(**values)
        return cls(**{name: getattr(values, name) for name in cls._field_names()})

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, as in a ``config.json``."""
        values = {name: getattr(self, name) for name in self._field_names()}
        values |= vars(self)
        return {"model_type": self.model_type, **copy.deepcopy(values)}

    def to_diff_dict(self) -> dict[str, Any]:
        """Return only the values that are not the defaults."""
        usual = type(self)().to_dict()
        different = {
            k: v for k, v in self.to_dict().items() if k not in usual or usual[k] != v
        }
        return {"model_type": self.model_type, **different}

    def to_json_string(self, use_diff: bool = True) -> str:
        """Return the configuration as text; only what is not usual with `use_diff`."""
        values = self.to_diff_dict() if use_diff else self.to_dict()
        return json.dumps(values, indent=2, sort_keys=True) + "\n"

    def to_json_file(self, path: str | Path, use_diff: bool = True) -> None:
        """Write `to_json_string` to a file."""
        write_json(Path(path), self.to_diff_dict() if use_diff else self.to_dict())

    def update(self, values: dict[str, Any]) -> None:
        """Set several attributes."""
        for name, value in values.items():
            setattr(self, name, value)

    @classmethod
    def from_dict(cls, values: dict[str, Any], **changes: Any) -> Any:
        """Create a configuration from a dictionary.

        Parameters
        ----------
        values : dict
            As from `to_dict`.
        **changes
            Other values; those of no known attribute are left out. With
            ``return_unused_kwargs=True`` these are also returned.
        """
        return_unused = changes.pop("return_unused_kwargs", False)
        config = cls(**copy.deepcopy(values))
        unused = {}
        for name, value in changes.items():
            if hasattr(config, name):
                setattr(config, name, value)
            else:
                unused[name] = value
        return (config, unused) if return_unused else config

    # -- files -----------------------------------------------------------------

    @classmethod
    def from_json_file(cls, path: str | Path) -> Self:
        """Read a ``config.json``."""
        return cls(**json.loads(Path(path).read_text()))

    @classmethod
    def from_pretrained(cls, path: str | Path, **options: Any) -> Any:
        """Read the ``config.json`` of a folder or of a hub repository.

        Parameters
        ----------
        path : str or Path
            A folder, a ``config.json``, or a repository of the Hugging Face hub.
        **options
            ``revision``, ``cache_dir``, ``local_files_only``, ``token``,
            ``subfolder``: see `napari_sam.checkpoints.resolve.find_model`. Others
            change attributes, see `from_dict`.

        Raises
        ------
        ValueError, OSError
            When there is no such folder, or it is not that of a SAM model.
        """
        hub, changes = split_hub_options(options)
        found = find_model(path, weights=False, **hub)
        if found.name == CONFIG_FILE:
            found = found.parent
        return cls.from_dict(cls._part_of(found), **changes)

    @classmethod
    def _part_of(cls, folder: Path) -> dict[str, Any]:
        """Read the values of this kind of configuration from a folder."""
        file = folder / CONFIG_FILE
        if file.is_file():
            values = json.loads(file.read_text())
            if values.get("model_type") == cls.model_type:
                return dict(values)
        part = read_config_values(folder)
        return dict(part[cls.base_config_key] if cls.base_config_key else part)

    def save_pretrained(self, save_directory: str | Path, **_: Any) -> list[str]:
        """Write ``config.json`` into a folder; return the names of the files."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / CONFIG_FILE, self.to_dict())
        return [str(folder / CONFIG_FILE)]


class SamVisionConfig(PretrainedConfig, nets_config.SamVisionConfig):
    """Sizes of the ViT image encoder.

    Parameters
    ----------
    *values, **named
        ``hidden_size``, ``num_hidden_layers``, ``num_attention_heads``,
        ``output_channels``, ``image_size``, ``patch_size``, ``window_size``,
        ``global_attn_indexes``, ``mlp_dim`` and others of
        `napari_sam.nets.config.SamVisionConfig`. Other keywords
        become attributes, as in transformers.
    """

    model_type = "sam_vision_model"
    base_config_key = "vision_config"

    @property
    def scale(self) -> int:
        """Deviation of the random frequencies of a new model."""
        return self.hidden_size // 2


class SamPromptEncoderConfig(PretrainedConfig, nets_config.SamPromptEncoderConfig):
    """Sizes of the prompt encoder.

    Parameters
    ----------
    *values, **named
        ``hidden_size``, ``image_size``, ``patch_size``, ``mask_input_channels`` and
        others of `napari_sam.nets.config.SamPromptEncoderConfig`. Other keywords
        become attributes, as in transformers.
    """

    model_type = "sam_prompt_encoder"
    base_config_key = "prompt_encoder_config"


class SamMaskDecoderConfig(PretrainedConfig, nets_config.SamMaskDecoderConfig):
    """Sizes of the mask decoder.

    Parameters
    ----------
    *values, **named
        ``hidden_size``, ``num_hidden_layers``, ``num_attention_heads``, ``mlp_dim``
        and others of `napari_sam.nets.config.SamMaskDecoderConfig`. Other keywords
        become attributes, as in transformers.
    """

    model_type = "sam_mask_decoder"
    base_config_key = "mask_decoder_config"


class SamConfig(PretrainedConfig, nets_config.SamConfig):
    """Sizes of a SAM model.

    Parameters
    ----------
    *values, **named
        ``vision_config``, ``prompt_encoder_config``, ``mask_decoder_config``: a
        configuration or a dict each; SAM ViT-B when left out. Other keywords
        become attributes, as in transformers.
    """

    model_type = "sam"

    def __post_init__(self) -> None:
        if not isinstance(self.vision_config, nets_config.TinyViTConfig):
            self.vision_config = SamVisionConfig.of(self.vision_config)
        self.prompt_encoder_config = SamPromptEncoderConfig.of(
            self.prompt_encoder_config
        )
        self.mask_decoder_config = SamMaskDecoderConfig.of(self.mask_decoder_config)

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, as in a ``config.json``."""
        values = super().to_dict()
        for name in self._field_names()[:3]:
            part = getattr(self, name)
            is_ours = isinstance(part, PretrainedConfig)
            values[name] = part.to_dict() if is_ours else asdict(part)
        return values

    def save_pretrained(self, save_directory: str | Path, **_: Any) -> list[str]:
        """Write ``config.json`` into a folder; return the names of the files."""
        write_config(self, Path(save_directory))
        return [str(Path(save_directory) / CONFIG_FILE)]
