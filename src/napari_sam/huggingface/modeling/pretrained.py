"""What all models of transformers have besides their forward pass."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from torch import Tensor, nn

from napari_sam.checkpoints.hugging_face import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    read_config_values,
    write_config,
    write_weights,
)
from napari_sam.checkpoints.resolve import find_model, find_spec
from napari_sam.checkpoints.state_dict import load_model_file
from napari_sam.huggingface.configuration import SamConfig, choose_attention
from napari_sam.huggingface.hub_options import split_hub_options
from napari_sam.nets.tiny_vit import TinyViT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from napari_sam.huggingface.configuration import PretrainedConfig
    from napari_sam.nets.sam import SamNetwork

# The frequencies are stored once and used twice.
_TIED = "prompt_encoder.shared_embedding.positional_embedding"


class PretrainedModel(nn.Module):
    """Model that is read from and written to folders."""

    config_class: ClassVar[type[PretrainedConfig]]
    main_input_name = "pixel_values"
    base_model_prefix = "sam"
    supports_gradient_checkpointing = True

    config: Any
    vision_encoder: Any
    _input_hook: Any = None
    # The kinds of prompt that the weights were trained on, where that is known.
    trained_prompts: Collection[str] | None = None

    @classmethod
    def of(cls, network: SamNetwork, config: SamConfig | None = None) -> Self:
        """Wrap a network with official names; `config` describes it with more keys."""
        raise NotImplementedError

    @classmethod
    def from_config(
        cls,
        config: Any,
        *,
        dtype: torch.dtype | str | None = None,
        attn_implementation: str | None = None,
        **_: Any,
    ) -> Self:
        """Create a model with random weights.

        Parameters
        ----------
        config : SamConfig
            Sizes.
        dtype : torch.dtype or str, optional
            Type of the weights; float32 when None.
        attn_implementation : str, optional
            See `set_attn_implementation`.
        **_
            Accepted as in transformers, without effect.
        """
        model = cls(config)
        if attn_implementation is not None:
            model.set_attn_implementation(attn_implementation)
        return model.to(_parse_dtype(dtype) or torch.float32)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return next(self.parameters()).dtype

    @property
    def base_model(self) -> Self:
        """The model itself: SAM has no head on another model."""
        return self

    def _write_config(self, folder: Path) -> None:
        """Write the configuration beside the weights."""
        dtype = str(self.dtype).removeprefix("torch.")
        write_config(self.config, folder, dtype=dtype)

    def get_input_embeddings(self) -> nn.Module:
        """Return the patch embedding of the image encoder."""
        patch_embed: nn.Module = self.vision_encoder.get_input_embeddings()
        return patch_embed

    def get_output_embeddings(self) -> None:
        """Return None: SAM has none."""

    @classmethod
    def can_generate(cls) -> bool:
        """Return False: SAM generates no text."""
        return False

    def init_weights(self) -> None:
        """Draw new random weights, as for a new model."""
        fresh = type(self)(self.config)
        self.load_state_dict(fresh.state_dict())

    def tie_weights(self, *_: Any, **__: Any) -> None:
        """Do nothing: the shared weights are one parameter."""

    def set_attn_implementation(
        self, attn_implementation: str | dict[str, str]
    ) -> None:
        """Keep the kind of attention in the configuration; all give the same here.

        Parameters
        ----------
        attn_implementation : str or dict
            "eager" or "sdpa", or one for each part of the configuration, with "" for
            the configuration itself.

        Raises
        ------
        ValueError
            When the kind is unknown.
        """
        choose_attention(self.config, attn_implementation)

    def enable_input_require_grads(self) -> None:
        """Let the patches have gradients, as training of adapters needs."""
        self.disable_input_require_grads()
        self._input_hook = self.get_input_embeddings().register_forward_hook(
            lambda _module, _inputs, output: output.requires_grad_(True)
        )

    def disable_input_require_grads(self) -> None:
        """Take `enable_input_require_grads` back."""
        if self._input_hook is not None:
            self._input_hook.remove()
            self._input_hook = None

    def num_parameters(
        self, only_trainable: bool = False, exclude_embeddings: bool = False
    ) -> int:
        """Count the parameters."""
        left_out: set[int] = set()
        if exclude_embeddings:
            tables = (m for m in self.modules() if isinstance(m, nn.Embedding))
            left_out = {id(table.weight) for table in tables}
        return sum(
            p.numel()
            for p in self.parameters()
            if id(p) not in left_out and (p.requires_grad or not only_trainable)
        )

    # -- gradient checkpointing ------------------------------------------------

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether blocks are computed again for their gradients."""
        return bool(self.vision_encoder.gradient_checkpointing)

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None
    ) -> None:
        """Compute the blocks of the image encoder again instead of keeping them.

        Training takes less memory and more time.

        Parameters
        ----------
        gradient_checkpointing_kwargs : dict, optional
            Accepted as in transformers; checkpoints are never reentrant.

        Raises
        ------
        ValueError
            When the image encoder is TinyViT.
        """
        if any(isinstance(e, TinyViT) for e in self.vision_encoder._encoder):
            raise ValueError(
                "TinyViT has no gradient checkpointing: leave it out, the encoder is "
                "small."
            )
        self.vision_encoder.gradient_checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """Keep the blocks of the image encoder for their gradients."""
        self.vision_encoder.gradient_checkpointing = False

    # -- files -----------------------------------------------------------------

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path | None,
        *,
        config: Any = None,
        state_dict: Mapping[str, Tensor] | None = None,
        dtype: torch.dtype | str | None = "auto",
        torch_dtype: torch.dtype | str | None = None,
        device_map: Any = None,
        variant: str | None = None,
        output_loading_info: bool = False,
        ignore_mismatched_sizes: bool = False,
        **options: Any,
    ) -> Any:
        """Load a model, in evaluation mode and trainable.

        Parameters
        ----------
        pretrained_model_name_or_path : str or Path or None
            A folder in Hugging Face layout, a checkpoint file with official keys, a
            name in the registry (`napari_sam.list_models`) or a repository of the
            Hugging Face hub, such as ``facebook/sam-vit-base``. None takes `config`
            and `state_dict`.
        config : SamConfig, optional
            For files: gives the number of decoder heads, which shapes do not tell.
        state_dict : dict, optional
            Weights that are used instead of those of the file.
        dtype : torch.dtype or str, optional
            Type of the weights; "auto" keeps that of the file.
        torch_dtype : torch.dtype or str, optional
            The older name of `dtype`.
        device_map : str, int, torch.device or dict, optional
            Where the model goes: a device, "auto" for the best one, or a dictionary
            with one device.
        variant : str, optional
            Part of the file names, as in ``model.fp16.safetensors``.
        output_loading_info : bool
            Also return sets of missing and unexpected keys, which are always empty: a
            model that does not fit is refused.
        ignore_mismatched_sizes : bool
            Accepted as in transformers; sizes must fit.
        **options
            ``revision``, ``cache_dir``, ``local_files_only``, ``token``,
            ``subfolder``: see `napari_sam.checkpoints.resolve.find_model`. Attributes
            of the configuration change it. Loader options of transformers that give
            the same model are accepted without effect.

        Raises
        ------
        ValueError, OSError
            When there is no such folder or file, or it is not a SAM model.
        RuntimeError
            On torch's meta device, which holds no weights.
        TypeError
            When an option is unknown.
        WeightsError
            When a model of the registry or the hub cannot be downloaded.
        """
        path = pretrained_model_name_or_path
        attention = options.pop("attn_implementation", None)
        if torch.get_default_device().type == "meta":
            raise RuntimeError(
                "You are using `from_pretrained` with a meta device context manager: "
                "leave it out, weights are read without initialising a model."
            )
        hub, changes = split_hub_options(options)
        parsed = _parse_dtype(torch_dtype if torch_dtype is not None else dtype)
        if path is None:
            if config is None or state_dict is None:
                raise ValueError("Without a path give config and state_dict.")
            model = cls.from_config(config, dtype=parsed).eval()
        else:
            file = find_model(path, variant=variant, **hub)
            model = cls._read(file, config, parsed, variant).requires_grad_(True)
            spec = find_spec(path)
            model.trained_prompts = None if spec is None else spec.prompts
        if state_dict is not None:
            model.load_state_dict(state_dict)
        if attention is not None:
            model.set_attn_implementation(attention)
        for name, value in changes.items():
            if not hasattr(model.config, name):
                raise TypeError(
                    f"from_pretrained has no option {name!r}, and the configuration no "
                    "such attribute."
                )
            setattr(model.config, name, value)
        if device_map is not None:
            model.to(_parse_device_map(device_map))
        if not output_loading_info:
            return model
        kinds = ("missing_keys", "unexpected_keys", "mismatched_keys")
        return model, {**{name: set() for name in kinds}, "error_msgs": []}

    @classmethod
    def _read(
        cls,
        file: Path,
        config: SamConfig | None,
        dtype: torch.dtype | None,
        variant: str | None,
    ) -> Self:
        """Read the model of a file or folder."""
        network: SamNetwork = load_model_file(
            file, config, dtype=dtype, variant=variant
        )
        described = SamConfig(**read_config_values(file)) if file.is_dir() else None
        return cls.of(network, described)

    def save_pretrained(
        self,
        save_directory: str | Path,
        is_main_process: bool = True,
        state_dict: dict[str, Tensor] | None = None,
        **_: Any,
    ) -> list[str]:
        """Write ``config.json`` and ``model.safetensors`` for transformers.

        Parameters
        ----------
        save_directory : str or Path
            Created if needed.
        is_main_process : bool
            Whether this process writes.
        state_dict : dict, optional
            Written instead of the model's own weights.
        **_
            Accepted as in transformers: weights are one ``.safetensors`` file.

        Returns
        -------
        list of str
            The files.

        Raises
        ------
        ValueError
            When the image encoder is TinyViT, which transformers does not have.
        OSError
            When the folder cannot be written to.
        """
        folder = Path(save_directory)
        if is_main_process:
            self._write_config(folder)
            state = dict(self.state_dict() if state_dict is None else state_dict)
            state.pop(_TIED, None)
            write_weights(state, folder)
        return [str(folder / CONFIG_FILE), str(folder / WEIGHTS_FILE)]


def _parse_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """Read a dtype as transformers does; None keeps that of the file."""
    if dtype is None or dtype == "auto":
        return None
    parsed = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(parsed, torch.dtype) or not parsed.is_floating_point:
        raise ValueError(
            f"dtype {dtype!r} is not a type of weights: give torch.float32, float16 or "
            "bfloat16."
        )
    return parsed


def _parse_device_map(device_map: Any) -> torch.device:
    """Read where a model goes."""
    from napari_sam.nets.devices import best_device

    if isinstance(device_map, dict):
        devices = set(map(str, device_map.values()))
        if len(devices) != 1:
            raise ValueError(
                f"device_map={device_map} names several devices: give one, SAM is not "
                "split."
            )
        (device_map,) = device_map.values()
    if device_map in ("auto", "balanced", "balanced_low_0", "sequential"):
        device_map = best_device()
    if isinstance(device_map, int):
        return torch.device("cuda", device_map)
    return torch.device(device_map)
