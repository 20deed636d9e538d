"""The model of a job: named in its plan, loaded once in each process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam.nets.config import SamConfig
from napari_sam.prediction.processes import ModelSource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_sam.prediction.predictor import Predictor


def model_to_json(predictor: Predictor) -> dict[str, Any]:
    """Describe a model for a plan: its name, its hash, and where it comes from."""
    entry: dict[str, Any] = {"name": predictor.name, "key": predictor.key}
    source = predictor.source
    if source is not None:
        config = None if source.config is None else source.config.to_dict()
        entry["source"] = {
            "model": source.model,
            "device": source.device,
            "config": config,
            "family": source.family,
        }
    return entry


def check_loadable(entry: Mapping[str, Any]) -> None:
    """Refuse a model that other processes cannot load.

    Raises
    ------
    TypeError
        When it was built in memory.
    """
    if "source" not in entry:
        raise TypeError(
            f"The model {entry['name']!r} was built in memory, and other processes "
            "cannot load it: save it to a file, and load it by load_model."
        )


def load_from_json(entry: Mapping[str, Any]) -> Predictor:
    """Load the model of a plan, unless this process has it.

    Raises
    ------
    TypeError
        See `check_loadable`.
    ValueError
        When its weights are others than those of the plan.
    """
    from napari_sam.prediction.loading import load_again

    check_loadable(entry)
    source = entry["source"]
    config = source["config"] and SamConfig.from_dict(source["config"])
    return load_again(
        ModelSource(
            source["model"], entry["key"], source["device"], config, source["family"]
        )
    )
