"""Saving of models: a file with official key names, or a Hugging Face folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from napari_sam.checkpoints.hugging_face import write_folder
from napari_sam.checkpoints.instance_head import head_tensors
from napari_sam.files import atomic_write
from napari_sam.nets.tiny_vit import ConvNorm, TinyViT

if TYPE_CHECKING:
    from torch import Tensor

    from napari_sam.checkpoints.model_card import ModelCard
    from napari_sam.nets.instance_head import InstanceHead
    from napari_sam.nets.sam import SamNetwork


def save_model(
    model: SamNetwork,
    path: str | Path,
    card: ModelCard,
    *,
    dtype: torch.dtype | None = None,
    instance_head: InstanceHead | None = None,
) -> Path:
    """Write a model so that `load_model` reads it back.

    Parameters
    ----------
    model : SamNetwork
        Any of the supported networks.
    path : str or Path
        ``.safetensors``: a file with official key names and the card.
        ``.pth`` or ``.pt``: a state dict with official key names and no card, so that
        `load_model` needs the family. No suffix: a folder in Hugging Face layout, with
        the card.
    card : ModelCard
        Metadata of the weights.
    dtype : torch.dtype, optional
        Dtype of the weights in a file; unchanged when None.
    instance_head : InstanceHead, optional
        Goes into a ``.safetensors`` file, in float16; the other layouts have no place
        for it.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ValueError
        When the suffix is another one, or the path of a TinyViT model is a folder.
    OSError
        When the file cannot be written.
    """
    path = Path(path)
    check_output(model, path)
    head = instance_head if path.suffix == ".safetensors" else None
    card = replace(card, instance_head=head is not None)
    if path.suffix == "":
        _save_folder(model, path, card)
        return path
    state = official_state(model)
    if dtype is not None:
        state = {
            key: value.to(dtype) if value.is_floating_point() else value
            for key, value in state.items()
        }
    if head is not None:
        state |= head_tensors(head)
    if path.suffix == ".safetensors":
        write_tensors(path, state, card.to_metadata())
    else:
        with atomic_write(path, path.suffix) as part:
            torch.save(state, part)
    return path


def check_output(model: SamNetwork, path: Path) -> None:
    """Check that `save_model` can write to a path, before the work.

    Raises
    ------
    ValueError
        When the suffix is another one, or the path of a TinyViT model is a folder.
    """
    if path.suffix not in ("", ".safetensors", ".pth", ".pt"):
        raise ValueError(
            f"{path} has an unknown suffix for weights: use .safetensors, .pth, or no "
            "suffix for a folder."
        )
    if path.suffix == "" and isinstance(model.image_encoder, TinyViT):
        raise ValueError(
            "The Hugging Face layout has no TinyViT image encoder: name a file, for "
            f"instance {path}.safetensors."
        )


def official_state(model: SamNetwork) -> dict[str, Tensor]:
    """Return the state dict with the official keys of published files, on the CPU.

    Batch norms that were folded into their convolutions for inference are written as
    identity batch norms, so that folding them again gives exactly the same weights.
    """
    state = {k: v.detach().cpu() for k, v in model.state_dict().items()}
    for name, module in model.named_modules():
        if isinstance(module, ConvNorm) and module.c.bias is not None:
            bias = state.pop(f"{name}.c.bias")
            one, zero = torch.ones_like(bias), torch.zeros_like(bias)
            # Folding divides by the same square root: a gain of exactly 1.
            gain = torch.sqrt(one + torch.nn.BatchNorm2d(1).eps)
            state[f"{name}.bn.weight"] = gain
            state[f"{name}.bn.bias"] = bias
            state[f"{name}.bn.running_mean"] = zero
            state[f"{name}.bn.running_var"] = one
    return {key: value.contiguous() for key, value in state.items()}


def write_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]
) -> None:
    """Write a safetensors file atomically."""
    from safetensors.torch import save_file

    with atomic_write(path, ".safetensors") as part:
        save_file(tensors, part, metadata={"format": "pt", **metadata})


def _save_folder(model: SamNetwork, folder: Path, card: ModelCard) -> None:
    from napari_sam.huggingface.image_processor import SamImageProcessor
    from napari_sam.huggingface.processor import SamProcessor

    write_folder(model, folder, metadata=card.to_metadata())
    SamProcessor(
        SamImageProcessor.for_model(model.config, card.family)
    ).save_pretrained(folder)
