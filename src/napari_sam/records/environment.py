"""What a report of a problem needs: versions, devices, folders, models."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from napari_sam.checkpoints.download import CACHE_VARIABLE, cache_folder, is_cached
from napari_sam.checkpoints.leftovers import find_leftovers
from napari_sam.checkpoints.registry import DEFAULT_MODEL, list_models
from napari_sam.files import MEGABYTE
from napari_sam.memory import free_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam.checkpoints.model_spec import ModelSpec

_LIBRARIES = ("napari", "torch", "numpy", "scipy", "scikit-image", "tifffile", "zarr")
_QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")
_EXTRAS = ("imagecodecs", "pycocotools", "roifile", "huggingface_hub", "onnxruntime")
_GIGABYTE = 1024 * MEGABYTE


def describe_environment(*, load_torch: bool = True) -> str:
    """Describe this installation and this computer, one fact a line.

    Nothing in it is secret, except names of folders.

    Parameters
    ----------
    load_torch : bool
        Whether to load torch, which takes seconds, to ask it for the device.

    Returns
    -------
    str
        Versions, devices, memory, cache folder, models and leftovers of downloads.
    """
    return "\n".join((*_versions(), *_computer(load_torch), *_weights()))


def describe_models() -> str:
    """Describe each model that can be loaded by name, in two lines.

    Returns
    -------
    str
        Name, purpose, size, whether it is on this computer, prompts and licence.
    """
    return "\n".join(line for spec in list_models() for line in _model(spec))


def _model(spec: ModelSpec) -> Iterator[str]:
    size = f"{spec.size_bytes / MEGABYTE:.0f} MB" if spec.size_bytes else "size ?"
    state = "downloaded" if is_cached(spec) else "not downloaded"
    default = " (default)" if spec.name == DEFAULT_MODEL else ""
    clicks = ", clicks by a decoder of this package" if spec.click_decoder else ""
    yield f"{spec.name}{default}: {spec.title}, for {spec.purpose}; {spec.speed}"
    trained = f"trained on {', '.join(sorted(spec.prompts))}{clicks}"
    yield f"    {size}, {state}; {trained}; {spec.licence}; {spec.origin}"


def _versions() -> Iterator[str]:
    yield f"napari-sam {version('napari-sam')}"
    yield f"Python {platform.python_version()}, {platform.platform()}"
    yield f"libraries: {_installed(_LIBRARIES)}"
    yield f"Qt: {_installed(_QT_BINDINGS) or 'none; napari needs one to open a window'}"
    yield f"optional: {_installed(_EXTRAS) or 'none'}"


def _computer(load_torch: bool) -> Iterator[str]:
    free = free_memory() / _GIGABYTE
    yield f"processor: {os.cpu_count()} cores, {free:.1f} GB of memory free"
    if not load_torch and "torch" not in sys.modules:
        yield "device: not known before a model is loaded"
        return
    import torch

    from napari_sam.nets.devices import best_device

    yield f"device: {_device_text(best_device())}, {torch.get_num_threads()} threads"


def _weights() -> Iterator[str]:
    source = f"named by {CACHE_VARIABLE}" if os.environ.get(CACHE_VARIABLE) else ""
    yield f"folder of weights: {cache_folder()}{source and f' ({source})'}"
    present = [spec.name for spec in list_models() if is_cached(spec)]
    yield f"models in it: {', '.join(present) or 'none'}"
    leftovers = find_leftovers()
    for leftover in leftovers:
        state = "may still run" if leftover.is_active else "ended"
        size = leftover.nbytes / MEGABYTE
        yield f"leftover of a download that {state}: {leftover.path}, {size:.0f} MB"
    if leftovers:
        yield "remove those that ended with: napari-sam info --clear-leftovers"


def _device_text(device: object) -> str:
    import torch

    if str(device) != "cuda":
        return str(device)
    return f"cuda ({torch.cuda.get_device_name()}, CUDA {torch.version.cuda})"


def _installed(names: tuple[str, ...]) -> str:
    return ", ".join(filter(None, map(_with_version, names)))


def _with_version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return ""
