"""Reader of checkpoint files and folders, which runs no code in them."""

from __future__ import annotations

import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from napari_sam.checkpoints.hugging_face import (
    is_hugging_face,
    official_keys,
    read_folder_config,
    weight_files,
)
from napari_sam.checkpoints.infer_config import infer_config
from napari_sam.files import MEGABYTE, first_line
from napari_sam.nets.config import SamConfig, SamMaskDecoderConfig
from napari_sam.nets.config_limits import check_sizes
from napari_sam.nets.sam import SamNetwork

OFFICIAL_LAYER_NORM_EPS = 1e-5
# The alignment of torch's own memory on a CPU.
_ALIGNMENT_BYTES = 64
# Tensors that share memory are stored once; published files have two of them.
_MAX_EXPANSION = 4

# Training code wraps weights under these keys and prefixes.
_WRAPPERS = ("model_state", "model", "state_dict")
_PREFIXES = ("module.", "sam.")
# MobileSAM's file has the head of the classifier that it was distilled from. Instance
# heads are read by `checkpoints.instance_head`.
_UNUSED = re.compile(
    r"^instance_head\.|image_encoder\.(norm_head|head)\.|\.attention_bias_idxs$|\.num_batches_tracked$"
)

Network = TypeVar("Network", bound=SamNetwork)

# What torch raises on files that are cut off, scrambled or of another kind.
_DAMAGE = (
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
)


def load_model_file(
    path: str | Path,
    config: SamConfig | None = None,
    *,
    official_layer_norm: bool = False,
    dtype: torch.dtype | None = torch.float32,
    variant: str | None = None,
    # mypy knows no defaults of type variables.
    network: type[Network] = SamNetwork,  # type: ignore[assignment]
) -> Network:
    """Load a checkpoint file, or a folder in Hugging Face layout, for inference.

    Parameters
    ----------
    path : str or Path
        A ``.pth``, ``.pt`` or ``.safetensors`` file with official key names, or
        a folder with ``config.json`` and ``model.safetensors``.
    config : SamConfig, optional
        For files: gives the number of heads of the mask decoder, which shapes do not
        tell. A folder has its own.
    official_layer_norm : bool
        Use the epsilon of the official decoder for folders too.
    dtype : torch.dtype, optional
        Type of the weights; as stored when None.
    variant : str, optional
        For folders: see `napari_sam.checkpoints.hugging_face.weight_files`.
    network : type
        Class of the model: `SamNetwork` or a subclass.

    Returns
    -------
    SamNetwork
        In evaluation mode, without gradients, on the CPU.

    Raises
    ------
    OSError
        When the path does not exist or cannot be read.
    ValueError
        When it is not a SAM checkpoint; the message names what is missing.
    """
    path = Path(path)
    if path.is_dir():
        sizes = read_folder_config(path)
        state: dict[str, Tensor] = {}
        for file in weight_files(path, variant):
            state |= read_state_dict(file, dtype)
        state = to_official_keys(state)
        if official_layer_norm:
            sizes.mask_decoder_config = _official(sizes.mask_decoder_config)
    else:
        state = to_official_keys(read_state_dict(path, dtype))
        decoder = config.mask_decoder_config if config else SamMaskDecoderConfig()
        sizes = infer_config(state, _official(decoder), source=str(path))
    return build_model(sizes, state, source=str(path), network=network)


def _official(decoder: SamMaskDecoderConfig) -> SamMaskDecoderConfig:
    return replace(decoder, layer_norm_eps=OFFICIAL_LAYER_NORM_EPS)


def read_state_dict(
    path: Path, dtype: torch.dtype | None = torch.float32
) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint file without running code in it.

    Wrappers and prefixes of training code are removed.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` file or one that `torch.save` wrote.
    dtype : torch.dtype, optional
        Type of the floating point tensors; as stored when None.

    Raises
    ------
    OSError
        When the file does not exist or cannot be read.
    ValueError
        When the file is damaged, holds more than weights or is of another kind.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint file at {path}.")
    try:
        state = _read_tensors(path)
    except _DAMAGE as error:
        raise ValueError(
            f"{path} cannot be read as a checkpoint ({first_line(error)}): it is "
            "damaged, incomplete or another kind of file; get it again."
        ) from error
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} contains more than plain weights or is damaged, and is not loaded "
            "for safety: save its state dict alone, or get it again."
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    if not isinstance(state, Mapping) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
    ):
        raise ValueError(f"{path} is not a state dict: give a file of SAM weights.")
    tensors = {_strip_prefixes(key): value for key, value in state.items()}
    _check_expansion(path, tensors)
    if dtype is None:
        return tensors
    return {k: v.to(dtype) if v.is_floating_point() else v for k, v in tensors.items()}


def _check_expansion(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a small file whose tensors would fill the memory.

    A tensor can be a view that repeats one stored value billions of times.
    """
    nbytes = sum(t.numel() * t.element_size() for t in tensors.values())
    if _is_far_larger(nbytes, path):
        raise ValueError(
            f"{path} expands to {nbytes / MEGABYTE:,.0f} MB, far more than its size, "
            "and is not loaded for safety: get it again."
        )


def _check_unpacked(path: Path) -> None:
    """Refuse an archive that unpacks to far more than its size."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        nbytes = sum(entry.file_size for entry in archive.infolist())
    if _is_far_larger(nbytes, path):
        raise ValueError(
            f"it unpacks to {nbytes / MEGABYTE:,.0f} MB, far more than its size"
        )


def _is_far_larger(nbytes: int, path: Path) -> bool:
    return nbytes > _MAX_EXPANSION * path.stat().st_size


def _read_tensors(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return _aligned(load_file(path))
        except SafetensorError as error:
            raise ValueError(str(error)) from error
    _check_unpacked(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _aligned(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors that are not aligned in memory as torch's own are.

    safetensors maps a file into memory, with tensors at any address. The last bits of a
    matrix product depend on the alignment, so that the same weights would give other
    masks when they come from another kind of file.
    """
    for key, tensor in state.items():
        if tensor.data_ptr() % _ALIGNMENT_BYTES:
            state[key] = tensor.clone()
    return state


def _strip_prefixes(key: str) -> str:
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    return key


def to_official_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of Hugging Face to the official ones; drop unused entries."""
    renamed = official_keys(state) if is_hugging_face(state) else state
    return {k: v for k, v in renamed.items() if not _UNUSED.search(k)}


def build_model(
    config: SamConfig,
    state: Mapping[str, Tensor],
    *,
    source: str,
    network: type[Network] = SamNetwork,  # type: ignore[assignment]
) -> Network:
    """Build a frozen network from its sizes and weights with official keys.

    Parameters
    ----------
    config : SamConfig
        Sizes of the network.
    state : Mapping
        Tensors by their official keys; they are used, not copied.
    source : str
        Name of the file in error messages.
    network : type
        Class of the model: `SamNetwork` or a subclass.

    Raises
    ------
    ValueError
        When keys are missing, unexpected or of the wrong shape; it names them.
    """
    check_sizes(config, source)
    model = _without_weights(config, network)
    expected = {
        key: value.shape
        for key, value in model.state_dict().items()
        if not _UNUSED.search(key)
    }
    problems = key_differences(expected, state)
    if problems:
        raise ValueError(f"{source} does not fit the SAM architecture: {problems}.")
    check_finite(state, source)
    counters = {
        key: torch.zeros((), dtype=torch.long)
        for key in model.state_dict()
        if key.endswith("num_batches_tracked")
    }
    model.load_state_dict({**state, **counters}, strict=True, assign=True)
    return model.eval().requires_grad_(False)


def check_finite(state: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights that are NaN or infinite, which give empty masks.

    Raises
    ------
    ValueError
        When there are any.
    """
    for key, value in state.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"{source} has weights that are no numbers, in {key}: it is damaged, "
                "or its training failed; give another file."
            )


def _without_weights(config: SamConfig, network: type[Network]) -> Network:
    """Build a network on the meta device, to which weights are assigned later."""
    with torch.device("meta"), _NoInitialisation():
        return network(config)


class _NoInitialisation(TorchFunctionMode):
    """Context in which `torch.nn.init` does nothing.

    Random initialisation on the meta device makes torch load its compiler and triton.
    Triton's LLVM crashes the process when a software renderer (Mesa's llvmpipe) has
    loaded another LLVM for the viewer.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def with_decoder(model: Network, path: Path) -> Network:
    """Combine a model's image encoder with the prompt encoder and decoder of a file.

    Parameters
    ----------
    model : SamNetwork
        Not changed; its image encoder is shared, not copied.
    path : Path
        A file with official keys, without those of an image encoder.

    Raises
    ------
    OSError
        When the file cannot be read.
    ValueError
        When it does not fit; the message names missing and unexpected keys.
    """
    state = to_official_keys(read_state_dict(path))
    other = _without_weights(model.config, type(model))
    other.image_encoder = model.image_encoder
    expected = {
        key: value.shape
        for key, value in other.state_dict().items()
        if not key.startswith("image_encoder.")
    }
    problems = key_differences(expected, state)
    if problems:
        raise ValueError(f"{path} does not fit the image encoder: {problems}.")
    check_finite(state, str(path))
    other.load_state_dict(state, strict=False, assign=True)
    return other.to(model.device).eval().requires_grad_(False)


def key_differences(
    expected: Mapping[str, torch.Size], state: Mapping[str, Tensor]
) -> str:
    """Describe how a state dict differs from what the model needs."""
    groups = {
        "missing": [k for k in expected if k not in state],
        "not expected": [k for k in state if k not in expected],
        "of another shape": [
            f"{k} {tuple(state[k].shape)} instead of {tuple(shape)}"
            for k, shape in expected.items()
            if k in state and state[k].shape != shape
        ],
    }
    return "; ".join(
        f"{len(keys)} keys {what} ({', '.join(sorted(keys)[:3])}"
        f"{', ...' if len(keys) > 3 else ''})"
        for what, keys in groups.items()
        if keys
    )
