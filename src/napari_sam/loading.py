"""A registry name, a checkpoint file or a folder becomes a predictor."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import torch

from napari_sam.models import MODELS, Family, get_model_spec
from napari_sam.nets.checkpoint import load_model_file
from napari_sam.predictor import Predictor
from napari_sam.weights import fetch

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.models import ModelSpec
    from napari_sam.nets.config import SamConfig
    from napari_sam.nets.sam import SamModel

_BOX_ONLY = frozenset({"box"})
_ALL_PROMPTS = frozenset({"point", "box", "mask"})


def load_model(
    model: str | Path,
    *,
    device: str | torch.device | None = None,
    config: SamConfig | None = None,
    family: Family | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Predictor:
    """Load a model for prediction.

    Parameters
    ----------
    model : str or Path
        A name of the registry (see `list_models`), a checkpoint file (``.pth``,
        ``.pt``, ``.safetensors``), or a folder in Hugging Face layout.
    device : str or torch.device, optional
        Where to compute; CUDA, then Apple's MPS, then the CPU when None.
    config : SamConfig, optional
        For files: the sizes that shapes do not tell (heads of the mask decoder).
    family : {"sam", "medsam", "lite_medsam"}, optional
        How planes are prepared for the model. Needed for files that the
        registry does not know; their keys cannot tell.
    progress : callable, optional
        Called with (bytes done, bytes in all or None) while weights arrive.

    Raises
    ------
    ValueError
        When the name or family is unknown or the file is no SAM checkpoint.
    OSError
        When the file cannot be read.
    WeightsError
        When the weights of a named model cannot be had; it says where to put them.
    """
    if str(model) in MODELS:
        spec = get_model_spec(str(model))
        if family not in (None, spec.family):
            raise ValueError(
                f"The model {spec.name!r} was trained as {spec.family!r}, not "
                f"{family!r}: leave family out, or give the weights as a file."
            )
        path = fetch(spec, progress=progress)
        return _predictor(path, spec, device, config)
    path = Path(model).expanduser()
    if not path.exists():
        raise ValueError(
            f"{str(model)!r} is neither a known model ({', '.join(MODELS)}) nor a "
            "file or folder that exists."
        )
    return _load_file(path, device, config, family)


def _load_file(
    path: Path,
    device: str | torch.device | None,
    config: SamConfig | None,
    family: Family | None,
) -> Predictor:
    """Load weights that are named by their place, not by a registry name."""
    known = _find_spec(path) if path.is_file() else None
    if known is not None and family in (None, known.family):
        return _predictor(path, known, device, config)
    if family is None or family not in get_args(Family):
        raise ValueError(
            f"The registry does not know {path}, and weights do not tell how images "
            f"must be prepared: give family= one of {', '.join(get_args(Family))}."
        )
    return Predictor(
        _on_device(path, device, config),
        name=path.name,
        family=family,
        prompts=_ALL_PROMPTS if family == "sam" else _BOX_ONLY,
        key=_sha256(_weights_file(path)),
    )


def _predictor(
    path: Path,
    spec: ModelSpec,
    device: str | torch.device | None,
    config: SamConfig | None,
) -> Predictor:
    return Predictor(
        _on_device(path, device, config),
        name=spec.name,
        family=spec.family,
        prompts=frozenset(spec.prompts),
        key=spec.hash,
    )


def _on_device(
    path: Path, device: str | torch.device | None, config: SamConfig | None
) -> SamModel:
    model = load_model_file(path, config, official_layer_norm=True)
    return model.to(device or best_device())


def best_device() -> torch.device:
    """CUDA, Apple's MPS or the CPU, the first that is there."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def _find_spec(path: Path) -> ModelSpec | None:
    """Recognise a registry model under another name by size and hash."""
    size = path.stat().st_size
    candidates = [s for s in MODELS.values() if s.sha256 and s.size_bytes == size]
    if not candidates:
        return None
    digest = _sha256(path)
    return next((s for s in candidates if s.sha256 == digest), None)


def _weights_file(path: Path) -> Path:
    return path / "model.safetensors" if path.is_dir() else path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
