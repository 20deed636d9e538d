"""Checkpoint files to models: safe reading and key layouts."""

from __future__ import annotations

import json
import pickle
import re
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_sam.nets.config import SamConfig, SamMaskDecoderConfig
from napari_sam.nets.sam import SamModel
from napari_sam.nets.sizes import infer_config
from napari_sam.nets.tiny_vit import TinyViT

OFFICIAL_LAYER_NORM_EPS = 1e-5

# Files of training runs wrap the weights, and MobileSAM's carries the head of
# the classifier it was distilled from.
_WRAPPERS = ("model_state", "model", "state_dict")
_PREFIXES = ("module.", "sam.")
_UNUSED = re.compile(
    r"image_encoder\.(norm_head|head)\.|\.attention_bias_idxs$|\.num_batches_tracked$"
)

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

_POSITIONS = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
_HUGGING_FACE_MLP = re.compile(
    r"(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))"
    r"\.(proj_in|proj_out|layers\.\d+)\.(weight|bias)$"
)
_HUGGING_FACE_KEYS = (
    (r"^shared_image_embedding\.positional_embedding", _POSITIONS),
    (r"^prompt_encoder\.shared_embedding\.positional_embedding", _POSITIONS),
    (r"^prompt_encoder\.point_embed\.", "prompt_encoder.point_embeddings."),
    (r"^prompt_encoder\.mask_embed\.conv1\.", "prompt_encoder.mask_downscaling.0."),
    (r"\.mask_embed\.layer_norm1\.", ".mask_downscaling.1."),
    (r"\.mask_embed\.conv2\.", ".mask_downscaling.3."),
    (r"\.mask_embed\.layer_norm2\.", ".mask_downscaling.4."),
    (r"\.mask_embed\.conv3\.", ".mask_downscaling.6."),
    (r"^vision_encoder\.", "image_encoder."),
    (r"^image_encoder\.layers\.", "image_encoder.blocks."),
    (r"\.patch_embed\.projection\.", ".patch_embed.proj."),
    (r"\.neck\.conv1\.", ".neck.0."),
    (r"\.neck\.layer_norm1\.", ".neck.1."),
    (r"\.neck\.conv2\.", ".neck.2."),
    (r"\.neck\.layer_norm2\.", ".neck.3."),
    (r"\.layer_norm_final_attn\.", ".norm_final_attn."),
    (r"\.layer_norm(\d)\.", r".norm\1."),
    (r"^mask_decoder\.upscale_conv1\.", "mask_decoder.output_upscaling.0."),
    (r"^mask_decoder\.upscale_layer_norm\.", "mask_decoder.output_upscaling.1."),
    (r"^mask_decoder\.upscale_conv2\.", "mask_decoder.output_upscaling.3."),
)


def load_model_file(
    path: str | Path,
    config: SamConfig | None = None,
    *,
    official_layer_norm: bool = False,
) -> SamModel:
    """Load a checkpoint file, or a folder in Hugging Face layout, for inference.

    Parameters
    ----------
    path : str or Path
        A ``.pth``, ``.pt`` or ``.safetensors`` file with official key names, or
        a folder with ``config.json`` and ``model.safetensors``.
    config : SamConfig, optional
        Tells what shapes cannot: the number of heads of the mask decoder.
    official_layer_norm : bool
        Use the official epsilon in the decoder for folders too.

    Raises
    ------
    OSError
        When the path does not exist or cannot be read.
    ValueError
        When it is not a SAM checkpoint; the sentence names what is missing.
    """
    path = Path(path)
    folder = path.is_dir()
    if folder:
        config = read_folder_config(path)
        path = path / "model.safetensors"
    state = to_official_keys(read_state_dict(path))
    decoder = config.mask_decoder_config if config else SamMaskDecoderConfig()
    if official_layer_norm or not folder:
        decoder = replace(decoder, layer_norm_eps=OFFICIAL_LAYER_NORM_EPS)
    sizes = infer_config(state, decoder, source=str(path))
    return build_model(sizes, state, source=str(path))


def read_folder_config(folder: Path) -> SamConfig:
    """Read the ``config.json`` of a folder in Hugging Face layout."""
    file = folder / "config.json"
    if not file.is_file():
        raise FileNotFoundError(
            f"The folder {folder} has no config.json: give a folder in Hugging Face "
            "layout (config.json and model.safetensors) or a checkpoint file."
        )
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{file} is not valid JSON ({error}): get it again."
        ) from error
    kind = values.get("model_type") if isinstance(values, dict) else None
    if kind != "sam":
        raise ValueError(
            f"{file} describes a {kind!r} model: only 'sam' models can be used."
        )
    return SamConfig.from_dict(values)


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint without running any code in it.

    Returns float32 tensors; wrappers and prefixes of training code are removed.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint file at {path}.")
    try:
        state = _read_tensors(path)
    except _DAMAGE as error:
        raise ValueError(
            f"{path} cannot be read as a checkpoint ({_first_line(error)}): it is "
            "damaged, incomplete or another kind of file; get it again."
        ) from error
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} holds more than plain weights or is damaged, and is not loaded "
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
    return {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}


def _read_tensors(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(str(error)) from error
    return torch.load(path, map_location="cpu", weights_only=True)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:120] or type(error).__name__


def _strip_prefixes(key: str) -> str:
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    return key


def to_official_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename Hugging Face's keys to the official ones and drop unused entries."""
    hugging_face = any(key.startswith("vision_encoder.") for key in state)
    renamed = {}
    for key, value in state.items():
        name = _rename_hugging_face(key, state) if hugging_face else key
        if not _UNUSED.search(name):
            renamed[name] = value
    return renamed


def _rename_hugging_face(key: str, state: Mapping[str, Tensor]) -> str:
    mlp = _HUGGING_FACE_MLP.match(key)
    if mlp is not None:
        # There the first and last layer have names of their own.
        head, layer, kind = mlp.groups()
        middle = sum(k.startswith(f"{head}.layers.") for k in state) // 2
        if layer == "proj_in":
            index = 0
        elif layer == "proj_out":
            index = middle + 1
        else:
            index = int(layer.removeprefix("layers.")) + 1
        return f"{head}.layers.{index}.{kind}"
    for pattern, replacement in _HUGGING_FACE_KEYS:
        key = re.sub(pattern, replacement, key)
    return key


def build_model(
    config: SamConfig, state: Mapping[str, Tensor], *, source: str
) -> SamModel:
    """Make a frozen model from sizes and weights with official keys.

    Raises
    ------
    ValueError
        When keys are missing, left over or of the wrong shape; it names them.
    """
    with torch.device("meta"):
        model = SamModel(config)
    wanted = {
        key: value.shape
        for key, value in model.state_dict().items()
        if not _UNUSED.search(key)
    }
    problems = _differences(wanted, state)
    if problems:
        raise ValueError(f"{source} does not fit the SAM architecture: {problems}.")
    counters = {
        key: torch.zeros((), dtype=torch.long)
        for key in model.state_dict()
        if key.endswith("num_batches_tracked")
    }
    model.load_state_dict({**state, **counters}, strict=True, assign=True)
    model.eval().requires_grad_(False)
    if isinstance(model.image_encoder, TinyViT):
        model.image_encoder.fold_batch_norms()
    return model


def _differences(wanted: Mapping[str, torch.Size], state: Mapping[str, Tensor]) -> str:
    """Say in words how a state dict differs from what the model needs."""
    groups = {
        "missing": [k for k in wanted if k not in state],
        "not expected": [k for k in state if k not in wanted],
        "of another shape": [
            f"{k} {tuple(state[k].shape)} instead of {tuple(shape)}"
            for k, shape in wanted.items()
            if k in state and state[k].shape != shape
        ],
    }
    return "; ".join(
        f"{len(keys)} keys {what} ({', '.join(sorted(keys)[:3])}"
        f"{', ...' if len(keys) > 3 else ''})"
        for what, keys in groups.items()
        if keys
    )
