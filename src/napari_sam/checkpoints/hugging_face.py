"""Folders in the layout of Hugging Face transformers: key names, reading, writing.

A folder contains ``config.json`` and ``model.safetensors``. Its keys differ from those
of the official checkpoints, which the networks of this package use.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam.files import atomic_write, first_line, read_json, write_json
from napari_sam.nets.config import SamConfig, TinyViTConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from napari_sam.checkpoints.families import Family
    from napari_sam.nets.config import SamVisionConfig
    from napari_sam.nets.sam import SamNetwork

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
_WEIGHTS_STEM, _OLD_WEIGHTS_STEM = "model", "pytorch_model"
PREPROCESSOR_FILE = "preprocessor_config.json"
PROCESSOR_FILE = "processor_config.json"
FAMILY_KEY = "napari_sam_family"
"""Key of the family among the settings of the preprocessor; only ours has it."""

_POSITIONS = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
# Prefixes of keys, official and of Hugging Face; the first match is replaced.
_PREFIXES = (
    ("image_encoder.blocks.", "vision_encoder.layers."),
    ("image_encoder.patch_embed.proj.", "vision_encoder.patch_embed.projection."),
    ("image_encoder.neck.0.", "vision_encoder.neck.conv1."),
    ("image_encoder.neck.1.", "vision_encoder.neck.layer_norm1."),
    ("image_encoder.neck.2.", "vision_encoder.neck.conv2."),
    ("image_encoder.neck.3.", "vision_encoder.neck.layer_norm2."),
    ("image_encoder.", "vision_encoder."),
    (_POSITIONS, "shared_image_embedding.positional_embedding"),
    (_POSITIONS, "prompt_encoder.shared_embedding.positional_embedding"),
    ("prompt_encoder.point_embeddings.", "prompt_encoder.point_embed."),
    ("prompt_encoder.mask_downscaling.0.", "prompt_encoder.mask_embed.conv1."),
    ("prompt_encoder.mask_downscaling.1.", "prompt_encoder.mask_embed.layer_norm1."),
    ("prompt_encoder.mask_downscaling.3.", "prompt_encoder.mask_embed.conv2."),
    ("prompt_encoder.mask_downscaling.4.", "prompt_encoder.mask_embed.layer_norm2."),
    ("prompt_encoder.mask_downscaling.6.", "prompt_encoder.mask_embed.conv3."),
    ("mask_decoder.output_upscaling.0.", "mask_decoder.upscale_conv1."),
    ("mask_decoder.output_upscaling.1.", "mask_decoder.upscale_layer_norm."),
    ("mask_decoder.output_upscaling.3.", "mask_decoder.upscale_conv2."),
)
_TINY_VIT = "vision_encoder.patch_embed.seq."
_INNER = (
    *((f".norm{i}.", f".layer_norm{i}.") for i in range(1, 5)),
    (".norm_final_attn.", ".layer_norm_final_attn."),
)
# The heads of the decoder, whose first and last layer are named proj_in and proj_out.
_HEAD = re.compile(
    r"(mask_decoder\.(?:output_hypernetworks_mlps\.\d+|iou_prediction_head))\."
    r"(proj_in|proj_out|layers\.\d+)\.(weight|bias)$"
)


def is_hugging_face(keys: Mapping[str, Any]) -> bool:
    """Tell whether a state dict has the keys of Hugging Face."""
    return any(key.startswith("vision_encoder.") for key in keys)


def official_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of Hugging Face to the official ones."""
    prefixes = [(theirs, ours) for ours, theirs in _PREFIXES]
    if any(key.startswith(_TINY_VIT) for key in state):
        # Its modules have the same names in both layouts.
        prefixes.insert(0, ("vision_encoder.", "image_encoder."))
    inner = [(theirs, ours) for ours, theirs in _INNER]

    def layer_name(layer: str, inner_layers: int) -> str:
        ends = {"proj_in": 0, "proj_out": inner_layers + 1}
        index = ends[layer] if layer in ends else 1 + _number(layer)
        return f"layers.{index}"

    return _rename_keys(state, prefixes, inner, layer_name)


def hugging_face_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename official keys to those that transformers' ``save_pretrained`` writes."""

    def layer_name(layer: str, count: int) -> str:
        index = _number(layer)
        names = {0: "proj_in", count - 1: "proj_out"}
        return names.get(index, f"layers.{index - 1}")

    return _rename_keys(state, _PREFIXES, _INNER, layer_name)


def _rename_keys(
    state: Mapping[str, Tensor],
    prefixes: Sequence[tuple[str, str]],
    inner: Sequence[tuple[str, str]],
    layer_name: Callable[[str, int], str],
) -> dict[str, Tensor]:
    """Rename all keys; `layer_name` gets a layer of a head and the count of layers."""
    renamed = {}
    for key, value in state.items():
        head = _HEAD.match(key)
        if head is None:
            renamed[_rename_key(key, prefixes, inner)] = value
        else:
            part, layer, kind = head.groups()
            name = layer_name(layer, _count_layers(state, part))
            renamed[f"{part}.{name}.{kind}"] = value
    return renamed


def _rename_key(
    key: str, prefixes: Sequence[tuple[str, str]], inner: Sequence[tuple[str, str]]
) -> str:
    for old, new in prefixes:
        if key.startswith(old):
            key = new + key.removeprefix(old)
            break
    for old, new in inner:
        key = key.replace(old, new)
    return key


def _number(layer: str) -> int:
    return int(layer.removeprefix("layers."))


def _count_layers(state: Mapping[str, Any], head: str) -> int:
    return sum(
        key.startswith(f"{head}.layers.") and key.endswith(".weight") for key in state
    )


def read_config_values(folder: Path) -> dict[str, Any]:
    """Read the values in the ``config.json`` of a folder.

    Raises
    ------
    OSError
        When there is none.
    ValueError
        When it is damaged or describes another kind of model.
    """
    file = folder / CONFIG_FILE
    if not file.is_file():
        raise FileNotFoundError(
            f"The folder {folder} has no config.json: give a folder in Hugging Face "
            "layout (config.json and model.safetensors) or a checkpoint file."
        )
    values = read_json(file)
    kind = values.get("model_type") if isinstance(values, dict) else None
    if kind != "sam":
        raise ValueError(
            f"{file} describes a {kind!r} model: only 'sam' models can be used."
        )
    described: dict[str, Any] = values
    return described


def read_folder_config(folder: Path) -> SamConfig:
    """Read the sizes in the ``config.json`` of a folder; see `read_config_values`."""
    values = read_config_values(folder)
    try:
        return SamConfig.from_dict(values)
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder / CONFIG_FILE} has values of the wrong kind "
            f"({first_line(error)}): get it again."
        ) from error


def weight_files(folder: Path, variant: str | None = None) -> list[Path]:
    """List the weight files of a folder: one, or the shards of a large model.

    Parameters
    ----------
    folder : Path
        In Hugging Face layout.
    variant : str, optional
        Part of the file names, as in ``model.fp16.safetensors``.

    Raises
    ------
    OSError
        When there are none.
    ValueError
        When the index of shards is damaged or names files outside the folder.
    """
    kind = "" if variant is None else f".{variant}"
    for stem, suffix in ((_WEIGHTS_STEM, ".safetensors"), (_OLD_WEIGHTS_STEM, ".bin")):
        file = folder / f"{stem}{kind}{suffix}"
        if file.is_file():
            return [file]
        index = folder / f"{stem}{suffix}.index{kind}.json"
        if index.is_file():
            return _shards(index)
    raise FileNotFoundError(
        f"The folder {folder} has no {_WEIGHTS_STEM}{kind}.safetensors: get the folder "
        "again."
    )


def _shards(file: Path) -> list[Path]:
    """List the files that an index names."""
    index = read_json(file)
    shards = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(shards, dict):
        raise ValueError(f"{file} lists no weights: get the folder again.")
    names = sorted({str(shard) for shard in shards.values()})
    # A downloaded index must not name files elsewhere.
    if any(shard != file.with_name(Path(shard).name).name for shard in names):
        raise ValueError(f"{file} names files outside the folder: not loaded.")
    return [file.with_name(shard) for shard in names]


def write_folder(
    model: SamNetwork, folder: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write ``config.json`` and ``model.safetensors`` as transformers reads them.

    Parameters
    ----------
    model : SamNetwork
        With a ViT image encoder.
    folder : Path
        Created if needed.
    metadata : mapping of str, optional
        Stored in the weights file.

    Raises
    ------
    ValueError
        When transformers does not support the image encoder.
    OSError
        When the folder cannot be written to.
    """
    write_config(model.config, folder, dtype=str(model.dtype).removeprefix("torch."))
    write_weights(hugging_face_keys(model.state_dict()), folder, metadata)


def write_weights(
    state: Mapping[str, Tensor],
    folder: Path,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write ``model.safetensors``; parameters as for `write_folder`."""
    from safetensors.torch import save_file

    with atomic_write(folder / WEIGHTS_FILE, ".safetensors") as part:
        # transformers refuses files without this format entry.
        save_file(
            {key: value.contiguous() for key, value in state.items()},
            part,
            metadata={"format": "pt", **(metadata or {})},
        )


def write_config(config: SamConfig, folder: Path, *, dtype: str = "float32") -> None:
    """Write the ``config.json`` of a ViT model as transformers needs it.

    Raises
    ------
    ValueError
        When transformers does not support the image encoder.
    """
    check_encoder(config.vision_config)
    values = config.to_dict()
    values |= {"architectures": ["SamModel"], "dtype": dtype}
    # Half the width in every SAM; transformers needs it in the file.
    width = config.prompt_encoder_config.hidden_size
    values["vision_config"]["num_pos_feats"] = width // 2
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG_FILE, values)


def check_encoder(config: SamVisionConfig | TinyViTConfig) -> None:
    """Refuse an image encoder that transformers does not support.

    Raises
    ------
    ValueError
        When it is TinyViT.
    """
    if isinstance(config, TinyViTConfig):
        raise ValueError(
            "Hugging Face's SAM has no TinyViT image encoder: keep the checkpoint "
            "file, or export the model to ONNX."
        )


def read_settings(folder: Path) -> dict[str, Any]:
    """Read the preprocessor settings of a folder; empty when it has none."""
    for name, part in ((PROCESSOR_FILE, "image_processor"), (PREPROCESSOR_FILE, None)):
        file = folder / name
        if not file.is_file():
            continue
        values = read_json(file)
        if part is not None and isinstance(values, dict):
            values = values.get(part, {})
        if not isinstance(values, dict):
            raise ValueError(f"{file} contains no settings: get it again.")
        if values:
            return values
    return {}


def read_family(path: Path) -> Family | None:
    """Read the family from a folder that this package wrote; None from others."""
    if not path.is_dir() or not (path / CONFIG_FILE).is_file():
        return None
    family: Family | None = read_settings(path).get(FAMILY_KEY)
    return family
