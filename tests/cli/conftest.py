"""Images and the model of the command-line tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.helpers.command_line import load_always, write_plane, write_stack
from tests.helpers.models import World
from tests.helpers.scenes import BALL, SMALL, lit

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """The model that all verbs load; the cache of weights is empty."""
    monkeypatch.setenv("NAPARI_SAM_CACHE", str(tmp_path / "cache"))
    world = World()
    load_always(monkeypatch, world)
    return world


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """A stack of a large and a small ball."""
    return write_stack(tmp_path, lit(BALL | SMALL))


@pytest.fixture
def plane(tmp_path: Path) -> Path:
    """A plane of that stack."""
    return write_plane(tmp_path, lit(BALL | SMALL)[7])
