"""Who may import what: each module is imported alone in a fresh interpreter."""

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
NUMPY_ONLY = [
    *(
        "checkpoints.resolve",
        "prediction.prediction",
        "prediction.plane_transform",
        "onnx.decoder",
    ),
    *(
        "prompts.prompt",
        "images.uint8",
        "masks.patch",
        "checkpoints.registry",
        "checkpoints.download",
        "images.intensity",
        "images.planes",
        "images.stack",
    ),
    *(
        "masks.painting",
        "masks.label_grid",
        "records.record",
        "images.tiff",
        "cli.main",
        "cli.parser",
    ),
    *("cli.values", "cli.outputs", "requests.from_arrays"),
    *(
        "cli.records",
        "cli.postprocessing",
        "cli.train",
        "requests.base",
        "volume.results",
        "volume.stack_prompts",
        "volume.slice_ranges",
    ),
    *(
        "volume.confidence",
        "masks.interpolation",
        "volume.box_motion",
        "volume.mask_projection",
        "volume.propagation",
        "volume.object_tracker",
    ),
    *("volume.plane_encoder", "volume.slice_segmenter"),
    *(
        "automatic.search",
        "requests.automatic_plane",
        "automatic.box_proposals",
        "automatic.candidates",
        "automatic.crops",
    ),
    *(
        "automatic.linking",
        "automatic.selection",
        "masks.cleanup",
        "masks.morphology",
        "masks.measurements",
    ),
    *("prompts.files", "prompts.grouping"),
    *(
        "checkpoints.model_card",
        "training.data",
        "training.options",
        "training.prompts",
    ),
    "training.request",
]

PROBE = """
import importlib, json, sys
for name in {names!r}:
    importlib.import_module(name)
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""


# Loads a model and asks it, as the plugin does while a viewer is open.
ASKED = """
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


def imported_by(*names: str) -> set[str]:
    """Top-level packages that are loaded once the modules are."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(names=names)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def core_modules() -> list[str]:
    paths = (path.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*.py"))
    names = (".".join(path.with_suffix("").parts) for path in paths)
    return sorted(
        name.removesuffix(".__init__")
        for name in names
        if not name.startswith("napari_sam.plugin") and not name.endswith("__main__")
    )


def test_importing_the_package_is_cheap() -> None:
    assert not imported_by("napari_sam") & (FACES | HEAVY)


@pytest.mark.parametrize("name", NUMPY_ONLY)
def test_numpy_only_modules(name: str) -> None:
    assert not imported_by(f"napari_sam.{name}") & (FACES | HEAVY)


def test_the_core_is_found() -> None:
    names = core_modules()
    assert {f"napari_sam.{name}" for name in NUMPY_ONLY} < set(names)
    assert "napari_sam.nets.sam" in names
    assert not any("plugin" in name for name in names)


def test_the_core_never_meets_the_viewer() -> None:
    # All in one interpreter, as torch takes seconds; alone only to find the culprit.
    if imported_by(*core_modules()) & FACES:
        culprits = {name: imported_by(name) & FACES for name in core_modules()}
        pytest.fail(str({name: bad for name, bad in culprits.items() if bad}))


def test_a_model_is_used_without_the_compiler_of_torch(data_folder: Path) -> None:
    """It brings an LLVM, which crashes a viewer that is drawn by another one."""
    script = ASKED.format(path=str(data_folder / "sam_small.pth"))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there() -> None:
    for name in [*napari_sam.__all__, "__version__"]:
        assert getattr(napari_sam, name) is not None
    assert set(napari_sam.__all__) < set(dir(napari_sam))


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'segment_nothing'"):
        _ = napari_sam.segment_nothing
