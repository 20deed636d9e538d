"""Instance heads in the files of fine-tuned models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.checkpoints.state_dict import key_differences, read_state_dict
from napari_sam.nets.instance_head import InstanceHead

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from napari_sam.nets.sam import SamNetwork

_PREFIX = "instance_head."
# Pixels of the input over those of the embedding that a head is made for.
_STRIDE = 4


def head_tensors(head: InstanceHead) -> dict[str, Tensor]:
    """Return the weights as they are stored: float16, named ``instance_head.*``."""
    return {
        f"{_PREFIX}{name}": value.detach().cpu().half().contiguous()
        for name, value in head.state_dict().items()
    }


def read_instance_head(path: Path, model: SamNetwork) -> InstanceHead:
    """Read the instance head in the file of a fine-tuned model.

    Parameters
    ----------
    path : Path
        A ``.safetensors`` file.
    model : SamNetwork
        The model in this file.

    Returns
    -------
    InstanceHead
        In evaluation mode, without gradients, on the CPU.

    Raises
    ------
    OSError
        When the file cannot be read.
    ValueError
        When there is no head that fits the image encoder; the message names missing
        and unexpected keys.
    """
    sizes = model.prompt_encoder
    if sizes.image_size != _STRIDE * sizes.embedding_size:
        raise ValueError(
            f"{path} has an instance head, which does not fit its image encoder: get "
            "the file again."
        )
    state = {
        key.removeprefix(_PREFIX): value
        for key, value in read_state_dict(path).items()
        if key.startswith(_PREFIX)
    }
    head = InstanceHead(model.config.vision_config.output_channels)
    expected = {key: value.shape for key, value in head.state_dict().items()}
    problems = key_differences(expected, state)
    if not problems and not all(value.isfinite().all() for value in state.values()):
        problems = "weights that are no numbers"
    if problems:
        raise ValueError(f"The instance head of {path} is damaged: {problems}.")
    head.load_state_dict({key: value.float() for key, value in state.items()})
    return head.eval().requires_grad_(False)
