"""Where the files of a model are, and which model of the registry a file is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam.checkpoints.download import WeightsError, fetch, hash_file
from napari_sam.checkpoints.registry import MODELS, get_model_spec

if TYPE_CHECKING:
    from napari_sam.checkpoints.download import Progress
    from napari_sam.checkpoints.model_spec import ModelSpec

# owner/name, as the hub spells it.
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SMALL_FILES = ["config.json", "preprocessor_config.json", "processor_config.json"]
_SAFE_WEIGHTS = ["model.safetensors", "model.safetensors.index.json"]
_SHARDS = "model-*-of-*.safetensors"
_OLD_WEIGHTS = "pytorch_model.bin"


def find_model(
    model: str | Path,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    weights: bool = True,
    progress: Progress | None = None,
) -> Path:
    """Find the file or folder of a model, and bring it here where needed.

    Parameters
    ----------
    model : str or Path
        A file, a folder, a name of the registry, or a name of the hub.
    revision, cache_dir, local_files_only, token : optional
        For names of the hub: handed to `huggingface_hub.snapshot_download`, whose
        cache and environment variables are honoured.
    weights : bool
        Of a model of the hub, whether the weights are wanted, or the small files
        beside them only.
    progress : callable, optional
        For names of the registry: see `napari_sam.checkpoints.download.fetch`.

    Raises
    ------
    ValueError
        When it is none of these.
    WeightsError
        When the model cannot be had; the sentence says what to do.
    """
    if str(model) in MODELS:
        return fetch(get_model_spec(str(model)), progress=progress)
    path = Path(model).expanduser()
    if path.exists():
        return path
    if not is_hub_name(model):
        raise ValueError(
            f"{str(model)!r} is neither a known model ({', '.join(MODELS)}), nor a "
            "file or folder that exists, nor a name of the Hugging Face hub "
            "(owner/name)."
        )
    options = {
        "revision": revision,
        "cache_dir": cache_dir,
        "local_files_only": local_files_only,
        "token": token,
    }
    wanted = [*_SAFE_WEIGHTS, _SHARDS] if weights else []
    folder = _download(str(model), [*_SMALL_FILES, *wanted], options)
    if weights and not any((folder / name).is_file() for name in _SAFE_WEIGHTS):
        # Folders of before safetensors; most have both, and then one is enough.
        folder = _download(str(model), [*_SMALL_FILES, _OLD_WEIGHTS], options)
    return folder


def is_hub_name(model: str | Path) -> bool:
    """Tell whether this could be a name of the hub, rather than a path."""
    return isinstance(model, str) and _HUB_NAME.fullmatch(model) is not None


def find_spec(model: str | Path) -> ModelSpec | None:
    """Recognise a model of the registry.

    Parameters
    ----------
    model : str or Path
        A name of the registry, a name of the hub, or a file, which is known by its
        hash whatever it is called.
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
    kinds = {s.hash.partition(":")[0] for s in candidates}
    digests = {hash_file(path, kind) for kind in kinds}
    return next((s for s in candidates if s.hash in digests), None)


def _download(name: str, patterns: list[str], options: dict[str, Any]) -> Path:
    try:
        import huggingface_hub
    except ImportError as error:
        raise WeightsError(
            f"There is no file or folder {name}; to bring it from the Hugging Face hub "
            "install huggingface_hub (pip install 'napari-sam[hub]'), or give the "
            "folder of a copy."
        ) from error
    try:
        folder = huggingface_hub.snapshot_download(
            name, allow_patterns=patterns, **options
        )
    except Exception as error:
        # Its errors come from three HTTP libraries and change with its version.
        raise WeightsError(
            f"The model {name} could not be had from the Hugging Face hub "
            f"({_first_line(error)}): check the name and the network, or give the "
            "folder of a copy."
        ) from error
    return Path(folder)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return lines[0].rstrip(" .")[:200] or type(error).__name__
