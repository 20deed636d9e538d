"""Modules of a network under the names that transformers gives them.

The leaves of both trees are the same modules: weights that are loaded, moved or trained
in one are those of the other.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from torch import nn

from napari_sam.checkpoints.hugging_face import hugging_face_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

# Modules that take an input in both trees: the name in transformers, and ours.
_CALLABLE = (
    (re.compile(r"vision_encoder\.layers\.(\d+)$"), r"image_encoder.blocks.\1"),
    (re.compile(r"vision_encoder\.(patch_embed|neck)$"), r"image_encoder.\1"),
    (re.compile(r"prompt_encoder\.mask_embed$"), "prompt_encoder.mask_downscaling"),
)


class Renamed(nn.Module):
    """A module whose children have other names.

    Parameters
    ----------
    module : Module, optional
        Computes the output, with the same children; nothing is computed without.
    """

    def __init__(self, module: nn.Module | None = None) -> None:
        super().__init__()
        # In a tuple, so that its names are not registered as well.
        self._inner = (module,)

    @property
    def inner(self) -> Any:
        """The module that computes the output."""
        return self._inner[0]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module with the other names."""
        return self.inner(*args, **kwargs)


def add_renamed(part: nn.Module, name: str, network: nn.Module) -> None:
    """Add the modules and parameters of one part of a network under other names.

    Parameters
    ----------
    part : Module
        Gets the modules.
    name : str
        Its name in transformers, such as "vision_encoder".
    network : Module
        With official names.
    """
    for theirs, ours in _names(network):
        if not theirs.startswith(f"{name}."):
            continue
        path, _, leaf = theirs.removeprefix(f"{name}.").rpartition(".")
        module = network.get_submodule(ours.rpartition(".")[0])
        if path:
            _add(part, name, path.split("."), module, network)
        else:
            part.register_parameter(leaf, module.get_parameter(leaf))


def _names(network: nn.Module) -> Iterator[tuple[str, str]]:
    """Pair the names of weights in transformers with ours."""
    # The frequencies are a parameter of their own in transformers.
    ours: Any = {key: key for key in network.state_dict() if ".pe_layer." not in key}
    yield from hugging_face_keys(ours).items()  # type: ignore[misc]


def _add(
    part: nn.Module, name: str, path: list[str], module: nn.Module, network: nn.Module
) -> None:
    parent = part
    for depth, (step, following) in enumerate(pairwise(path)):
        if step not in parent._modules:
            full = ".".join([name, *path[: depth + 1]])
            listed = following.isdigit()
            parent.add_module(
                step, nn.ModuleList() if listed else _container(full, network)
            )
        parent = parent.get_submodule(step)
    if path[-1] not in parent._modules:
        parent.add_module(path[-1], module)


def _container(name: str, network: nn.Module) -> Renamed:
    for pattern, ours in _CALLABLE:
        if pattern.match(name):
            return Renamed(network.get_submodule(pattern.sub(ours, name)))
    return Renamed()
