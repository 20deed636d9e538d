"""Preferences: napari's own, or a file for an older napari; both outlast a session."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel

from napari_sam.checkpoints.registry import DEFAULT_MODEL
from napari_sam.plugin import preferences as module
from napari_sam.plugin.panels.buttons import BUTTONS
from napari_sam.plugin.panels.preferred.new_session import disk_cache, new_session
from napari_sam.plugin.preferences import Preferences, preferences_file
from napari_sam.plugin.series.controls.panel import BUTTONS as SERIES_BUTTONS
from napari_sam.plugin.session import SamSession
from napari_sam.prediction.cache import DEFAULT_MAX_BYTES
from napari_sam.prediction.disk_cache import DEFAULT_MAX_BYTES as DISK_BYTES

SET = (
    "from napari_sam.plugin.preferences import Preferences\n"
    "Preferences().set('models', 'default_model', 'mobile_sam')\n"
    "Preferences().set('keys', 'accept', 'H')"
)
GET = (
    "from napari_sam.plugin.preferences import Preferences\n"
    "p = Preferences()\n"
    "print(p.get('models', 'default_model'), p.get('keys', 'accept'), "
    "p.get('keys', 'discard'))"
)
OLD_NAPARI = "import napari.settings as s\nvars(s).pop('get_plugin_settings', None)\n"


@pytest.fixture
def old(monkeypatch: Any, tmp_path: Path) -> Preferences:
    """Preferences with a napari before 0.9."""
    monkeypatch.setattr(module, "_napari_settings", lambda: None)
    monkeypatch.setenv("NAPARI_CONFIG", str(tmp_path / "settings.yaml"))
    return Preferences()


@pytest.mark.parametrize("before", ["", OLD_NAPARI])
def test_preferences_outlast_the_process(tmp_path: Path, before: str) -> None:
    env = {**os.environ, "NAPARI_CONFIG": str(tmp_path / "settings.yaml")}
    env.pop("NAPARI_SAM_CACHE", None)
    for code, said in ((SET, ""), (GET, "mobile_sam H Q")):
        done = subprocess.run(
            [sys.executable, "-c", before + code],
            env=env,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == said
    assert len(list(tmp_path.iterdir())) == 1


def test_a_damaged_file_is_named(old: Preferences) -> None:
    preferences_file().write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        old.get("models", "zoom")
    preferences_file().write_text("[]")
    with pytest.raises(ValueError, match="delete the file"):
        old.get("models", "zoom")


def test_values_of_another_type_are_the_default(old: Preferences) -> None:
    old.set("memory", "megabytes", "many")
    assert old.get("memory", "megabytes") == 512


def test_defaults_are_those_of_a_session(old: Preferences) -> None:
    session, plain = new_session(ViewerModel(), old), SamSession(ViewerModel())
    assert session.model == plain.model == DEFAULT_MODEL
    assert session.zoom == plain.zoom
    assert session.cache.max_bytes == DEFAULT_MAX_BYTES
    assert session.cache.disk is None
    assert abs(disk_cache(old).max_bytes / DISK_BYTES - 1) < 0.1


def test_a_new_session_follows_the_preferences(
    old: Preferences, tmp_path: Path, monkeypatch: Any
) -> None:
    old.set("models", "default_model", "mobile_sam")
    old.set("models", "device", "cpu")
    old.set("models", "zoom", "off")
    old.set("memory", "megabytes", 64)
    old.set("memory", "keep_on_disk", True)
    old.set("memory", "folder", str(tmp_path / "slices"))
    session = new_session(ViewerModel(), old)
    assert session.model == "mobile_sam"
    assert session.zoom == "off"
    assert session.cache.max_bytes == 64_000_000
    assert session.cache.disk is not None
    assert session.cache.disk.folder == tmp_path / "slices"
    asked = {}
    monkeypatch.setattr(
        "napari_sam.prediction.loading.load_model",
        lambda model, **options: asked.update(model=model, **options),
    )
    session.load()
    assert (asked["model"], asked["device"]) == ("mobile_sam", "cpu")


def test_every_key_has_a_preference(old: Preferences) -> None:
    for name, spec in {**BUTTONS, **SERIES_BUTTONS}.items():
        if spec.key:
            assert old.get("keys", name) == spec.key
