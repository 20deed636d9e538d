"""Models into files: official key names, or a folder in Hugging Face layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from napari_sam.checkpoints.hugging_face import write_folder
from napari_sam.files import atomic_write
from napari_sam.nets.tiny_vit import ConvNorm, TinyViT

if TYPE_CHECKING:
    from torch import Tensor

    from napari_sam.checkpoints.model_card import ModelCard
    from napari_sam.nets.sam import SamNetwork


def save_model(
    model: SamNetwork,
    path: str | Path,
    card: ModelCard,
    *,
    dtype: torch.dtype | None = None,
) -> Path:
    """Write a model so that `load_model` reads it back.

    Parameters
    ----------
    model : SamNetwork
        Any of the supported networks.
    path : str or Path
        ``.safetensors``: a file with official key names and the card.
        ``.pth`` or ``.pt``: a state dict with official key names, which carries no
        card, so that `load_model` must be told the family. No ending: a folder in
        Hugging Face layout, with the card.
    card : ModelCard
        What to know of the weights.
    dtype : torch.dtype, optional
        Of the weights in a file; as they are when None.

    Raises
    ------
    ValueError
        When the ending is another one, or a TinyViT model is to be a folder.
    OSError
        When it cannot be written.
    """
    path = Path(path)
    check_output(model, path)
    if path.suffix == "":
        _save_folder(model, path, card)
        return path
    state = official_state(model)
    if dtype is not None:
        state = {
            key: value.to(dtype) if value.is_floating_point() else value
            for key, value in state.items()
        }
    if path.suffix == ".safetensors":
        write_tensors(path, state, card.to_metadata())
    else:
        with atomic_write(path, path.suffix) as part:
            torch.save(state, part)
    return path


def check_output(model: SamNetwork, path: Path) -> None:
    """Refuse before the work what `save_model` could not write after it.

    Raises
    ------
    ValueError
        When the ending is none of weights, or a TinyViT model is to be a folder.
    """
    if path.suffix not in ("", ".safetensors", ".pth", ".pt"):
        raise ValueError(
            f"{path} has an ending that weights do not have: name it .safetensors, "
            ".pth, or without an ending for a folder."
        )
    if path.suffix == "" and isinstance(model.image_encoder, TinyViT):
        raise ValueError(
            "Hugging Face's SAM has no TinyViT image encoder: name a file, such as "
            f"{path}.safetensors."
        )


def official_state(model: SamNetwork) -> dict[str, Tensor]:
    """State dict with the official keys of published files, on the CPU.

    Batch norms that were merged into their convolutions for inference come back as
    norms that change nothing, so that folding them again gives the same bits.
    """
    state = {k: v.detach().cpu() for k, v in model.state_dict().items()}
    for name, module in model.named_modules():
        if isinstance(module, ConvNorm) and module.c.bias is not None:
            bias = state.pop(f"{name}.c.bias")
            one, nothing = torch.ones_like(bias), torch.zeros_like(bias)
            # Divided by the root of the same sum when folded: a gain of exactly 1.
            gain = torch.sqrt(one + torch.nn.BatchNorm2d(1).eps)
            state[f"{name}.bn.weight"] = gain
            state[f"{name}.bn.bias"] = bias
            state[f"{name}.bn.running_mean"] = nothing
            state[f"{name}.bn.running_var"] = one
    return {key: value.contiguous() for key, value in state.items()}


def write_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]
) -> None:
    """Write a safetensors file, whole or not at all."""
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
