"""A training run in a file, so that it can go on where it was left.

safetensors throughout: a file of somebody else's run can hold no code.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_sam.training.saving import write_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor
    from torch.optim import Optimizer

_STATE_KEY = "napari_sam_training"


@dataclass(slots=True)
class RunState:
    """Where a training run is, apart from weights and optimiser.

    Parameters
    ----------
    step : int
        Steps done.
    validated_at : int
        Step of the last validation; -1 before the first.
    scores : dict
        Held-back IoU by kind of prompt, of the last validation.
    start_scores : dict
        The same before the first step.
    best : float
        Highest mean of the held-back scores; -1 before the first validation.
    best_step : int
        Where it was reached.
    seconds : float
        Spent on steps and measurements, which is no part of what is the same.
    losses : list of float
        One a step.
    history : list
        [step, scores] of each validation.
    """

    step: int = 0
    validated_at: int = -1
    scores: dict[str, float] = field(default_factory=dict)
    start_scores: dict[str, float] = field(default_factory=dict)
    best: float = -1.0
    best_step: int = 0
    seconds: float = field(default=0.0, compare=False)
    losses: list[float] = field(default_factory=list)
    history: list[tuple[int, dict[str, float]]] = field(default_factory=list)


def write_state(
    path: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    """Write tensors and plain values into one safetensors file.

    Parameters
    ----------
    path : Path
        Replaced whole.
    tensors : mapping of Tensor
        By name.
    values : mapping
        For JSON; floats come back to the last bit.
    """
    stored = {
        name: value.detach().cpu().contiguous() for name, value in tensors.items()
    }
    write_tensors(path, stored, {_STATE_KEY: json.dumps(values)})


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_state` wrote.

    Raises
    ------
    OSError
        When there is no such file.
    ValueError
        When it is damaged or another kind of file.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"There is no training run in {path}.")
    try:
        with safe_open(path, framework="pt") as file:
            values = json.loads((file.metadata() or {})[_STATE_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged or no training run: start again without it."
        ) from error
    return tensors, values


def optimiser_tensors(optimiser: Optimizer) -> dict[str, Tensor]:
    """Flatten what an optimiser remembers of each parameter, by number and name."""
    state = optimiser.state_dict()["state"]
    return {
        f"optimiser.{number}.{name}": value
        for number, entries in state.items()
        for name, value in entries.items()
    }


def restore_optimiser(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser back what `optimiser_tensors` took from it."""
    remembered: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, _, rest = key.partition(".")
        if kind == "optimiser":
            number, _, name = rest.partition(".")
            remembered.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": remembered})
