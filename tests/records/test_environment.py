"""What a report of a problem needs is said."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

from napari_sam.records.environment import describe_environment

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_versions_folders_and_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_SAM_CACHE", str(tmp_path))
    with (tmp_path / "lite_medsam.pth").open("wb") as file:
        file.truncate(39_370_479)
    (tmp_path / ".mobile_sam.pt.x.part").mkdir()
    text = describe_environment()
    assert f"napari-sam {version('napari-sam')}\n" in text
    for name in ("napari", "torch", "numpy", "PyQt6"):
        assert f"{name} {version(name)}" in text
    assert "\ndevice: " in text
    assert f"folder of weights: {tmp_path} (named by NAPARI_SAM_CACHE)" in text
    assert "models in it: lite_medsam\n" in text
    assert str(tmp_path / ".mobile_sam.pt.x.part") in text
    assert text.endswith("napari-sam info --clear-leftovers")


def test_torch_is_not_loaded_for_it_in_a_window() -> None:
    script = (
        "import sys\n"
        "from napari_sam.records.environment import describe_environment\n"
        "print(describe_environment(load_torch=False))\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "device: not known before a model is loaded" in done.stdout
