"""State of a training run, saved to a file so that the run can be resumed.

The file is safetensors, which cannot contain code, unlike a pickle.
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
    """State of a training run, apart from weights and optimiser.

    Parameters
    ----------
    step : int
        Number of completed steps.
    validated_at : int
        Step of the last validation; -1 before the first.
    scores : dict
        {kind of first prompt: IoU on the held-out images}, of the last validation.
    start_scores : dict
        The same before the first step.
    best : float
        Highest mean of the scores; -1 before the first validation.
    best_step : int
        Step of the best scores.
    seconds : float
        Time spent on steps and validations; ignored by comparisons.
    losses : list of float
        Loss of each step.
    history : list
        (step, scores) of each validation.
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
        The file, replaced atomically.
    tensors : mapping of Tensor
        Tensors by name.
    values : mapping
        Values that JSON can represent; floats are restored exactly.
    """
    stored = {
        name: value.detach().cpu().contiguous() for name, value in tensors.items()
    }
    write_tensors(path, stored, {_STATE_KEY: json.dumps(values)})


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors and values written by `write_state`.

    Raises
    ------
    OSError
        When the file does not exist.
    ValueError
        When it is damaged or of another kind.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise FileNotFoundError(f"There is no training run {path} to resume.")
    try:
        with safe_open(path, framework="pt") as file:
            values = json.loads((file.metadata() or {})[_STATE_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged or not a training run: start training again."
        ) from error
    return tensors, values


def optimiser_tensors(optimiser: Optimizer) -> dict[str, Tensor]:
    """Flatten the state of an optimiser into tensors named by parameter and entry."""
    state = optimiser.state_dict()["state"]
    return {
        f"optimiser.{number}.{name}": value
        for number, entries in state.items()
        for name, value in entries.items()
    }


def restore_optimiser(optimiser: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Restore the state of an optimiser from `optimiser_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, _, rest = key.partition(".")
        if kind == "optimiser":
            number, _, name = rest.partition(".")
            state.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
