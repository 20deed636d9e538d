"""Resolution of a model's name, path or hub id to its files and registry entry."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam.checkpoints.download import WeightsError, fetch
from napari_sam.checkpoints.registry import MODELS, get_model_spec
from napari_sam.files import first_line, hash_file

if TYPE_CHECKING:
    from napari_sam.checkpoints.model_spec import ModelSpec
    from napari_sam.checkpoints.sources import ByteProgress

# Repository id of the hub: owner/name.
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SMALL_FILES = ["config.json", "preprocessor_config.json", "processor_config.json"]
_SAFE_WEIGHTS = ["model.safetensors", "model.safetensors.index.json"]
_SHARDS = "model-*-of-*.safetensors"
_OLD_WEIGHTS = [
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "pytorch_model-*-of-*.bin",
]


class UnknownModelError(FileNotFoundError, ValueError):
    """There is no model of this name and no such path.

    It is an `OSError` as in transformers, too.
    """


def find_model(
    model: str | Path,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    subfolder: str = "",
    variant: str | None = None,
    weights: bool = True,
    progress: ByteProgress | None = None,
) -> Path:
    """Find the file or folder of a model, and download it where needed.

    Parameters
    ----------
    model : str or Path
        A file, a folder, a name in the registry, or a repository of the Hugging Face
        hub.
    revision, cache_dir, local_files_only, token : optional
        For the hub: passed to `huggingface_hub.snapshot_download`, whose cache and
        environment variables apply.
    subfolder : str
        Folder of the model inside a folder or a repository.
    variant : str, optional
        For the hub: see `napari_sam.checkpoints.hugging_face.weight_files`.
    weights : bool
        For the hub: download the weights, or only the small files beside them.
    progress : callable, optional
        For the registry: see `napari_sam.checkpoints.download.fetch`.

    Raises
    ------
    ValueError
        When it is none of these.
    WeightsError
        When the download fails; the message says what to do.
    """
    if str(model) in MODELS:
        return fetch(get_model_spec(str(model)), progress=progress)
    path = Path(model).expanduser()
    if path.exists():
        return path / subfolder
    if not is_hub_name(model):
        raise UnknownModelError(
            f"{str(model)!r} is neither a known model ({', '.join(MODELS)}), nor an "
            "existing file or folder, nor a repository of the Hugging Face hub "
            "(owner/name)."
        )
    options = {
        "revision": revision,
        "cache_dir": cache_dir,
        "local_files_only": local_files_only,
        "token": token,
    }
    inside = f"{subfolder}/" if subfolder else ""

    def download(*names: str) -> Path:
        patterns = [inside + name for name in (*_SMALL_FILES, *names)]
        return _download(str(model), patterns, options) / subfolder

    if not weights:
        return download()
    if variant is not None:
        return download(f"*.{variant}*")
    folder = download(*_SAFE_WEIGHTS, _SHARDS)
    if not any((folder / name).is_file() for name in _SAFE_WEIGHTS):
        # Repositories older than safetensors; most have both, and one is enough.
        folder = download(*_OLD_WEIGHTS)
    return folder


def is_hub_name(model: str | Path) -> bool:
    """Tell whether this has the form of a hub repository, not that of a path."""
    return isinstance(model, str) and _HUB_NAME.fullmatch(model) is not None


def find_spec(model: str | Path) -> ModelSpec | None:
    """Find the registry entry of a model; None when it is unknown.

    Parameters
    ----------
    model : str or Path
        A name in the registry, a repository of the hub, or a file, which is identified
        by its hash under any file name.
    """
    name = str(model)
    if name in MODELS:
        return MODELS[name]
    if isinstance(model, str) and not Path(model).exists():
        return next((s for s in MODELS.values() if name in s.hub_names), None)
    path = Path(model).expanduser()
    if not path.is_file():
        return None
    size = path.stat().st_size
    candidates = [s for s in MODELS.values() if s.size_bytes in (size, None)]
    algorithms = {s.hash.partition(":")[0] for s in candidates}
    hashes = {hash_file(path, algorithm) for algorithm in algorithms}
    return next((s for s in candidates if s.hash in hashes), None)


def _download(name: str, patterns: list[str], options: dict[str, Any]) -> Path:
    try:
        import huggingface_hub
    except ImportError as error:
        raise WeightsError(
            f"There is no file or folder {name}; to download it from the Hugging Face "
            "hub, install huggingface_hub (pip install 'napari-sam[hub]'), or give the "
            "folder of a copy."
        ) from error
    try:
        folder = huggingface_hub.snapshot_download(
            name, allow_patterns=patterns, **options
        )
    except Exception as error:
        # The errors come from three HTTP libraries and differ between versions.
        raise WeightsError(
            f"The model {name} could not be downloaded from the Hugging Face hub "
            f"({first_line(error)}): check the name and the network, or give the "
            "folder of a copy."
        ) from error
    return Path(folder)
