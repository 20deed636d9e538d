"""Small networks in every kind of file, and runs of their training."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from tests.helpers.training import QUICK, discs

import napari_sam as ns
from napari_sam.checkpoints.hugging_face import hugging_face_keys, write_folder
from napari_sam.nets.config import (
    SamConfig,
    SamMaskDecoderConfig,
    SamPromptEncoderConfig,
    SamVisionConfig,
)
from napari_sam.nets.sam import SamNetwork
from napari_sam.prediction.predictor import Predictor
from napari_sam.training.finetune import FineTuning

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = SamConfig(
    vision_config=SamVisionConfig(
        hidden_size=8,
        output_channels=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        window_size=2,
        global_attn_indexes=(0,),
    ),
    prompt_encoder_config=SamPromptEncoderConfig(
        hidden_size=8, image_size=32, patch_size=8, mask_input_channels=4
    ),
    mask_decoder_config=SamMaskDecoderConfig(
        hidden_size=8, mlp_dim=8, num_attention_heads=2, iou_head_hidden_dim=8
    ),
)


@cache
def network() -> SamNetwork:
    """Return a network with random weights."""
    torch.manual_seed(1)
    return SamNetwork(CONFIG).eval().requires_grad_(False)


def write_folder_of_a_model(folder: Path) -> None:
    """Write a model as transformers does, with settings of its processor."""
    write_folder(network(), folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"size": {"longest_edge": 32}, "napari_sam_family": "sam"})
    )


def read_folder(folder: Path) -> None:
    """Load it."""
    _use(ns.load_model(folder, device="cpu"))


def write_safetensors(folder: Path) -> None:
    """Write a file with official keys."""
    from safetensors.torch import save_file

    save_file(network().state_dict(), folder / "weights.safetensors", {"format": "pt"})


def write_checkpoint(folder: Path) -> None:
    """Write a file as `torch.save` does."""
    torch.save(network().state_dict(), folder / "weights.pth")


def read_file(folder: Path) -> None:
    """Load the only file."""
    path = next(iter(folder.iterdir()))
    _use(ns.load_model(path, config=CONFIG, family="sam", device="cpu"))


def write_shards(folder: Path) -> None:
    """Write a model in two files with an index."""
    from safetensors.torch import save_file

    write_folder(network(), folder)
    (folder / "model.safetensors").unlink()
    state = hugging_face_keys(network().state_dict())
    names = {}
    for number in range(2):
        part = {k: v.contiguous() for k, v in list(state.items())[number::2]}
        file = f"model-0000{number + 1}-of-00002.safetensors"
        save_file(part, folder / file, {"format": "pt"})
        names |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": 1}, "weight_map": names})
    )


@cache
def _training() -> FineTuning:
    predictor = Predictor(
        network(),
        name="small",
        family="sam",
        prompts=frozenset({"point", "box", "mask"}),
        key="small",
    )
    return FineTuning(predictor, discs(), QUICK)


def write_fine_tuned(folder: Path) -> None:
    """Write a fine-tuned model with its card."""
    _training().save(folder / "tuned.safetensors")


def write_run(folder: Path) -> None:
    """Write a training run after two steps."""
    training = _training()
    for count, _ in enumerate(training.run()):
        if count == 2:
            break
    training.write(folder / "run.safetensors")


def read_run(folder: Path) -> None:
    """Resume it, and train a step."""
    training = _training()
    training.resume(folder / "run.safetensors")
    for _ in training.run():
        break


def _use(predictor: Any) -> None:
    """Segment a plane: what was loaded must work."""
    import numpy as np

    plane = np.arange(32 * 40, dtype=np.float32).reshape(32, 40)
    embedding = predictor.embed(plane)
    predictor.predict(embedding, ns.Prompt(box=[4, 4, 20, 20]))
