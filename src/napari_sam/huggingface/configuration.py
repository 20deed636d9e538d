"""Sizes of SAM with the interface of transformers' configurations."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, fields
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch

from napari_sam.checkpoints.hugging_face import (
    CONFIG_FILE,
    check_encoder,
    read_config_values,
)
from napari_sam.checkpoints.resolve import find_model
from napari_sam.files import write_json
from napari_sam.huggingface.hub_options import split_hub_options
from napari_sam.nets import config as nets_config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class PretrainedConfig:
    """Configuration that reads and writes dictionaries and files.

    A subclass has the fields of a configuration of `napari_sam.nets.config`. Other
    keywords become attributes, as in transformers, and are written again.
    """

    model_type: ClassVar[str]
    base_config_key: ClassVar[str] = ""
    sub_configs: ClassVar[dict[str, type[PretrainedConfig]]] = {}
    has_no_defaults_at_init: ClassVar[bool] = False

    return_dict = True
    output_attentions = False
    output_hidden_states = False
    is_encoder_decoder = False
    problem_type = None
    id2label: Mapping[int, str] = MappingProxyType({0: "LABEL_0", 1: "LABEL_1"})
    label2id: Mapping[str, int] = MappingProxyType({"LABEL_0": 0, "LABEL_1": 1})
    base_model_tp_plan = None

    def __init__(self, *values: Any, **named: Any) -> None:
        names = self._field_names()
        known = dict(zip(names, values, strict=False))
        known |= {name: named.pop(name) for name in names if name in named}
        super().__init__(**known)
        named.pop("model_type", None)
        attention = named.pop("attn_implementation", None)
        if isinstance(named.get("dtype"), str):
            named["dtype"] = getattr(torch, named["dtype"])
        if "num_labels" in named:
            self.num_labels = named.pop("num_labels")
        for name, value in named.items():
            # Computed here, such as `image_embedding_size`.
            if not isinstance(getattr(type(self), name, None), property):
                setattr(self, name, value)
        if attention is not None:
            self._attn_implementation = attention

    def __iter__(self) -> Iterator[str]:
        yield from (*self._field_names(), *vars(self))

    @property
    def _attn_implementation(self) -> str:
        """Kind of attention that was asked for; all kinds give the same here."""
        kind: str = vars(self).get("_attention", "sdpa")
        return kind

    @_attn_implementation.setter
    def _attn_implementation(self, kind: str | dict[str, str] | None) -> None:
        kinds = kind if isinstance(kind, dict) else {"": kind}
        vars(self)["_attention"] = kinds.get("", self._attn_implementation)
        for name in self.sub_configs:
            part = getattr(self, name)
            if isinstance(part, PretrainedConfig) and (name in kinds or "" in kinds):
                part._attn_implementation = kinds.get(name, kinds.get(""))

    @property
    def num_labels(self) -> int:
        """Number of classes that `id2label` names; SAM does not use them."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, count: int) -> None:
        self.id2label = {number: f"LABEL_{number}" for number in range(count)}
        self.label2id = {name: number for number, name in self.id2label.items()}

    @property
    def use_return_dict(self) -> bool:
        """Whether models return mappings."""
        return self.return_dict

    def get_text_config(self, *_: Any, **__: Any) -> Self:
        """Return the configuration itself: SAM has no part for text."""
        return self

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
        values |= {k: v for k, v in vars(self).items() if not k.startswith("_")}
        if isinstance(values.get("dtype"), torch.dtype):
            values["dtype"] = str(values["dtype"]).removeprefix("torch.")
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
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | Path, **options: Any
    ) -> Any:
        """Read the ``config.json`` of a folder or of a hub repository.

        Parameters
        ----------
        pretrained_model_name_or_path : str or Path
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
        found = find_model(pretrained_model_name_or_path, weights=False, **hub)
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

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__(*values, **named)
        # Deviation of the random frequencies of a new model.
        vars(self).setdefault("scale", self.hidden_size // 2)


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
    sub_configs: ClassVar[dict[str, type[PretrainedConfig]]] = {
        "vision_config": SamVisionConfig,
        "prompt_encoder_config": SamPromptEncoderConfig,
        "mask_decoder_config": SamMaskDecoderConfig,
    }

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
        check_encoder(self.vision_config)
        return super().save_pretrained(save_directory)


def choose_attention(config: Any, chosen: str | dict[str, str]) -> None:
    """Keep the kind of attention; see `SamModel.set_attn_implementation`."""
    for kind in chosen.values() if isinstance(chosen, dict) else [chosen]:
        if kind not in ("eager", "sdpa"):
            raise ValueError(
                f'Specified `attn_implementation="{kind}"` is not supported: give '
                '"eager" or "sdpa".'
            )
    if isinstance(chosen, str):
        config._attn_implementation = chosen
        return
    for name, kind in chosen.items():
        vars(getattr(config, name) if name else config)["_attention"] = kind
