"""State of a training run, saved to a file so that the run can be resumed.

The file is safetensors, which cannot contain code, unlike a pickle.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_sam.checks.schema import misfit
from napari_sam.training.saving import write_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from napari_sam.nets.adamw import AdamW

_STATE_KEY = "napari_sam_training"
_ENTRIES = ("step", "exp_avg", "exp_avg_sq")
_GENERATOR = "PCG64"
_OPTIMISER = "optimiser."


def _is_number(value: Any) -> bool:
    """Whether it is a number; the loss of a run that went wrong may be NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _is_wide(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 2**128


def _is_narrow(value: Any) -> bool:
    return _is_count(value) and value < 2**32


def _is_flag(value: Any) -> bool:
    return _is_count(value) and value < 2


def _is_generator(value: Any) -> bool:
    return bool(value == _GENERATOR)


def _is_seconds(value: Any) -> bool:
    return _is_number(value) and 0 <= value < float("inf")


_SCORES = {str: _is_number}
_STATE = {
    "step": _is_count,
    "validated_at": int,
    "scores": _SCORES,
    "start_scores": _SCORES,
    "best": _is_number,
    "best_step": _is_count,
    "seconds": _is_seconds,
    "losses": [_is_number],
    "history": [[_is_count, _SCORES]],
}
_SCHEMA = {
    "key": str,
    "state": _STATE,
    "generator": {
        "bit_generator": _is_generator,
        "state": {"state": _is_wide, "inc": _is_wide},
        "has_uint32": _is_flag,
        "uinteger": _is_narrow,
    },
}


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
    """Read the tensors and values of a run, written by `write_state`.

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
    except (SafetensorError, KeyError, RecursionError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged or not a training run: start training again."
        ) from error
    place = misfit(values, _SCHEMA)
    if place is not None:
        raise _damaged(path, place)
    return tensors, values


def run_state(values: Mapping[str, Any]) -> RunState:
    """Make the state of a run from the values of `read_state`."""
    state = RunState(**{name: values["state"][name] for name in _STATE})
    state.history = [(step, scores) for step, scores in state.history]
    return state


def check_tensors(
    path: Path, tensors: Mapping[str, Tensor], weights: Mapping[str, Tensor]
) -> None:
    """Refuse a run whose tensors do not fit the weights that are trained.

    Parameters
    ----------
    path : Path
        The file, for messages.
    tensors : mapping of Tensor
        From `read_state`.
    weights : mapping of Tensor
        The trained weights by name.

    Raises
    ------
    ValueError
        When one is missing, or has another shape, or is not finite.
    """
    shapes = {
        f"{part}.{name}": tuple(weight.shape)
        for part in ("weights", "best")
        for name, weight in weights.items()
    }
    for number, weight in enumerate(weights.values()):
        # Weights that got no gradient have no state.
        names = {entry: f"{_OPTIMISER}{number}.{entry}" for entry in _ENTRIES}
        if not tensors.keys().isdisjoint(names.values()):
            shapes |= {
                name: () if entry == "step" else tuple(weight.shape)
                for entry, name in names.items()
            }
    if tensors.keys() != shapes.keys():
        raise _damaged(path, min(tensors.keys() ^ shapes.keys()))
    for key, tensor in tensors.items():
        is_right = tuple(tensor.shape) == tuple(shapes[key])
        if not (is_right and tensor.is_floating_point() and tensor.isfinite().all()):
            raise _damaged(path, key)


def _damaged(path: Path, place: str) -> ValueError:
    return ValueError(f"{path} is damaged at {place}: start training again.")


def optimiser_tensors(optimiser: AdamW) -> dict[str, Tensor]:
    """Name the state of an optimiser for a file."""
    return {f"{_OPTIMISER}{name}": t for name, t in optimiser.tensors().items()}


def restore_optimiser(optimiser: AdamW, tensors: Mapping[str, Tensor]) -> None:
    """Restore the state of an optimiser from `optimiser_tensors`."""
    own = [name for name in tensors if name.startswith(_OPTIMISER)]
    optimiser.restore({name.removeprefix(_OPTIMISER): tensors[name] for name in own})
