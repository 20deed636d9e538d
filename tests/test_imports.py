"""Packages that each folder imports, in one interpreter per folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import napari_sam

PACKAGE = Path(napari_sam.__file__).parent
FACES = {"napari", "qtpy", "magicgui", "superqt", "PyQt5", "PyQt6", "PySide6", "vispy"}
HEAVY = {"torch", "skimage", "scipy"}
# Modules and folders that hold tensors; all others of the core load without torch.
WITH_TORCH = {
    "api",
    "checkpoints.instance_head",
    "checkpoints.state_dict",
    "cli.demo",
    "huggingface",
    "nets",
    "onnx.export",
    "onnx.official",
    "prediction.model_runner",
    "prediction.loading",
    "prediction.predictor",
    "prediction.prompt_decoder",
    "records.replay",
    "segment_anything",
    "training.augmented_embeddings",
    "training.close_ups",
    "training.finetune",
    "training.instances",
    "training.loss",
    "training.interactive_loop",
    "training.saving",
    "training.state",
    "training.trainable",
}
# These share a folder with tensors and have none.
WITHOUT_TORCH = {"nets.config", "training.instances.targets"}

PROBE = """
import importlib, json, sys
loaded = {{}}
for name in {names!r}:
    importlib.import_module(name)
    loaded[name] = sorted({{module.partition(".")[0] for module in sys.modules}})
print(json.dumps(loaded))
"""

# Loads a model and predicts, as the plugin does while a viewer is open.
PREDICTION_SCRIPT = """
import sys
import numpy as np
import napari_sam as ns
model = ns.load_model({path!r}, family="sam", config=ns.SamConfig(
    mask_decoder_config=ns.SamMaskDecoderConfig(num_attention_heads=4)))
plane = np.arange(600, dtype=np.uint16).reshape(20, 30)
model.predict(model.embed(plane), ns.Prompt(points=[[9, 9]]))
assert "torch" in sys.modules
assert "torch._dynamo" not in sys.modules
"""


def modules_loading(names: list[str], unwanted: set[str]) -> dict[str, set[str]]:
    """Import modules in order; return the first that loads unwanted packages."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(names=names)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name, loaded in json.loads(done.stdout).items():
        if found := unwanted & set(loaded):
            return {name: found}
    return {}


def core_modules() -> list[str]:
    paths = (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
    names = (".".join(path.with_suffix("").parts) for path in paths)
    return sorted(
        name.removesuffix(".__init__")
        for name in names
        if not name.startswith("plugin")
        and name != "__init__"
        and "__main__" not in name
    )


def holds_tensors(name: str) -> bool:
    folders = {name.rpartition(".")[0], name.split(".")[0], name}
    return name not in WITHOUT_TORCH and bool(folders & WITH_TORCH)


LIGHT = [name for name in core_modules() if not holds_tensors(name)]
FOLDERS = sorted({name.split(".")[0] for name in LIGHT})


def test_importing_the_package_is_cheap() -> None:
    assert not modules_loading(["napari_sam"], FACES | HEAVY)


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_load_without_torch(folder: str) -> None:
    names = [f"napari_sam.{n}" for n in LIGHT if n.split(".")[0] == folder]
    assert not modules_loading(names, FACES | HEAVY)


def test_the_module_lists_are_up_to_date() -> None:
    known = {*core_modules(), *(name.split(".")[0] for name in core_modules())}
    assert known >= WITH_TORCH | WITHOUT_TORCH
    assert len(LIGHT) > 60
    assert not any("plugin" in name for name in known)


def test_the_core_loads_without_napari() -> None:
    assert not modules_loading([f"napari_sam.{name}" for name in core_modules()], FACES)


def test_a_model_is_used_without_the_compiler_of_torch(data_folder: Path) -> None:
    """Its LLVM crashes viewers that are rendered by another LLVM."""
    script = PREDICTION_SCRIPT.format(path=str(data_folder / "sam_small.pth"))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_public_name_exists() -> None:
    for name in [*napari_sam.__all__, "__version__"]:
        assert getattr(napari_sam, name) is not None
    assert set(napari_sam.__all__) < set(dir(napari_sam))


def test_unknown_names_raise_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'segment_nothing'"):
        _ = napari_sam.segment_nothing


def test_clusters_and_stores_are_loaded_when_they_are_used() -> None:
    names = ["napari_sam", "napari_sam.api.stacks", "napari_sam.cli.main"]
    names += ["napari_sam.scale_out.stacks.planning", "napari_sam.series.batch_job"]
    unwanted = {"dask", "distributed", "yaozarrs", "zarr"}
    assert modules_loading(names, unwanted) == {}


@pytest.mark.parametrize("name", ["napari_sam", "napari_sam.segment_anything"])
def test_no_module_hides_a_public_name(name: str) -> None:
    # A module that is loaded sets its own name on its package.
    script = (
        "import importlib, pkgutil, types\n"
        f"package = importlib.import_module({name!r})\n"
        "names = {m.name for m in pkgutil.iter_modules(package.__path__)}\n"
        "print(sorted(names.intersection(package.__all__)))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"
