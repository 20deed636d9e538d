"""Checkpoint files to models: safe reading, key layouts, sizes from shapes."""

from __future__ import annotations

import json
import math
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

from napari_sam.nets.config import (
    SamConfig,
    SamMaskDecoderConfig,
    SamPromptEncoderConfig,
    SamVisionConfig,
    TinyViTConfig,
    downsampling_stride,
)
from napari_sam.nets.sam import SamModel
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


def infer_config(
    state: Mapping[str, Tensor], decoder: SamMaskDecoderConfig, *, source: str
) -> SamConfig:
    """Read all sizes from a state dict with official keys.

    Parameters
    ----------
    state : Mapping
        Official key names.
    decoder : SamMaskDecoderConfig
        Its heads and epsilon are kept; everything else comes from the shapes.
    source : str
        Names the file in errors.

    Raises
    ------
    ValueError
        When a tensor that tells a size is missing.
    """
    try:
        vision: SamVisionConfig | TinyViTConfig
        if "image_encoder.patch_embed.proj.weight" in state:
            vision = _infer_vit(state)
        else:
            vision = _infer_tiny_vit(state)
        return SamConfig(
            vision_config=vision,
            prompt_encoder_config=_infer_prompt_encoder(state, vision),
            mask_decoder_config=_infer_mask_decoder(state, decoder),
        )
    except (KeyError, IndexError, ZeroDivisionError) as error:
        missing = error.args[0] if isinstance(error, KeyError) else "sizes"
        raise ValueError(
            f"{source} is not a SAM checkpoint of a known architecture "
            f"(ViT or TinyViT): {missing} is missing."
        ) from error


def _infer_vit(state: Mapping[str, Tensor]) -> SamVisionConfig:
    prefix = "image_encoder."
    width, channels, patch, _ = state[f"{prefix}patch_embed.proj.weight"].shape
    grid = state[f"{prefix}pos_embed"].shape[1]
    depth = _count(state, prefix + r"blocks\.(\d+)\.")
    tables = [state[f"{prefix}blocks.{i}.attn.rel_pos_h"].shape for i in range(depth)]
    spans = [(rows + 1) // 2 for rows, _ in tables]
    windows = {span for span in spans if span != grid}
    return SamVisionConfig(
        hidden_size=width,
        output_channels=state[f"{prefix}neck.0.weight"].shape[0],
        num_hidden_layers=depth,
        num_attention_heads=width // tables[0][1],
        num_channels=channels,
        image_size=grid * patch,
        patch_size=patch,
        window_size=max(windows, default=0),
        global_attn_indexes=tuple(i for i, span in enumerate(spans) if span == grid),
        qkv_bias=f"{prefix}blocks.0.attn.qkv.bias" in state,
        mlp_dim=state[f"{prefix}blocks.0.mlp.lin1.weight"].shape[0],
        mlp_ratio=state[f"{prefix}blocks.0.mlp.lin1.weight"].shape[0] / width,
    )


def _infer_tiny_vit(state: Mapping[str, Tensor]) -> TinyViTConfig:
    prefix = "image_encoder."
    kernel = state[f"{prefix}patch_embed.seq.0.c.weight"].shape[-1]
    stages = _count(state, prefix + r"layers\.(\d+)\.")
    dims = [state[f"{prefix}patch_embed.seq.2.c.weight"].shape[0]]
    dims += [
        state[f"{prefix}layers.{i}.downsample.conv3.c.weight"].shape[0]
        for i in range(stages - 1)
    ]
    heads, windows = [1], [1]
    for i in range(1, stages):
        table = state[f"{prefix}layers.{i}.blocks.0.attn.attention_biases"]
        heads.append(table.shape[0])
        windows.append(math.isqrt(table.shape[1]))
    hidden = state[f"{prefix}layers.1.blocks.0.mlp.fc1.weight"].shape[0]
    # All published files end on a 64 x 64 grid, which fixes the input size.
    strides = math.prod(downsampling_stride(width) for width in dims[1:])
    return TinyViTConfig(
        image_size=64 * strides * (4 if kernel == 3 else 1),
        patch_kernel=kernel,
        embed_dims=tuple(dims),
        depths=tuple(
            _count(state, prefix + rf"layers\.{i}\.blocks\.(\d+)\.")
            for i in range(stages)
        ),
        num_heads=tuple(heads),
        window_sizes=tuple(windows),
        mlp_ratio=hidden // dims[1],
        output_channels=state[f"{prefix}neck.0.weight"].shape[0],
    )


def _infer_prompt_encoder(
    state: Mapping[str, Tensor], vision: SamVisionConfig | TinyViTConfig
) -> SamPromptEncoderConfig:
    prefix = "prompt_encoder."
    return SamPromptEncoderConfig(
        hidden_size=state[f"{prefix}no_mask_embed.weight"].shape[1],
        image_size=vision.image_size,
        patch_size=vision.image_size // vision.embedding_size,
        mask_input_channels=state[f"{prefix}mask_downscaling.3.weight"].shape[0],
        num_point_embeddings=_count(state, prefix + r"point_embeddings\.(\d+)\."),
    )


def _infer_mask_decoder(
    state: Mapping[str, Tensor], decoder: SamMaskDecoderConfig
) -> SamMaskDecoderConfig:
    prefix = "mask_decoder."
    width = state[f"{prefix}iou_token.weight"].shape[1]
    attention = f"{prefix}transformer.layers.0.cross_attn_token_to_image"
    return replace(
        decoder,
        hidden_size=width,
        mlp_dim=state[f"{prefix}transformer.layers.0.mlp.lin1.weight"].shape[0],
        num_hidden_layers=_count(state, prefix + r"transformer\.layers\.(\d+)\."),
        attention_downsample_rate=width // state[f"{attention}.q_proj.weight"].shape[0],
        num_multimask_outputs=state[f"{prefix}mask_tokens.weight"].shape[0] - 1,
        iou_head_depth=_count(state, prefix + r"iou_prediction_head\.layers\.(\d+)\."),
        iou_head_hidden_dim=state[f"{prefix}iou_prediction_head.layers.0.weight"].shape[
            0
        ],
    )


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    """Count numbered modules: one more than the largest number that occurs."""
    found = (re.match(pattern, key) for key in state)
    return 1 + max((int(match[1]) for match in found if match), default=-1)


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
