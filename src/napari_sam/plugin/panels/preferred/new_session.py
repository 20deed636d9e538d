"""A session that starts as the preferences say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam.checkpoints.download import cache_folder
from napari_sam.files import MEGABYTE
from napari_sam.plugin.session import SamSession
from napari_sam.prediction.disk_cache import DiskCache

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_sam.plugin.preferences import Preferences


def new_session(viewer: ViewerModel, preferences: Preferences) -> SamSession:
    """Make a session with the model, device, zoom and cache of the preferences."""
    session = SamSession(viewer, preferences.get("models", "default_model"))
    device = preferences.get("models", "device")
    session.model_choice.device = None if device == "auto" else device
    session.zoom = preferences.get("models", "zoom")
    session.cache.limit(preferences.get("memory", "megabytes") * MEGABYTE)
    if preferences.get("memory", "keep_on_disk"):
        session.cache.disk = disk_cache(preferences)
    return session


def disk_cache(preferences: Preferences) -> DiskCache:
    """Make the cache of encoded slices on disk, where the preferences say."""
    named = preferences.get("memory", "folder")
    folder = Path(named).expanduser() if named else cache_folder() / "embeddings"
    gigabytes = preferences.get("memory", "disk_gigabytes")
    return DiskCache(folder, round(gigabytes * 1000 * MEGABYTE))
