"""What an open panel leaves behind: widgets, threads, timers, keys and callbacks."""

from __future__ import annotations

import gc
import threading
from functools import cache
from typing import TYPE_CHECKING

from napari.components import ViewerModel
from qtpy.QtCore import QCoreApplication, QEvent, QTimer
from qtpy.QtWidgets import QApplication

from napari_sam.plugin.background.worker import Worker
from napari_sam.plugin.layers.label_ids import LabelIds
from napari_sam.plugin.state.followed_changes import FollowedChanges
from napari_sam.plugin.training.panel import TrainingPanel
from napari_sam.plugin.widget import SamWidget

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_END_S = 5
OURS, THREAD = "napari_sam.", "napari-sam"


def leftovers() -> list[str]:
    """Describe what is left, once all that nobody holds any more is gone."""
    for _ in range(2):
        gc.collect()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
        QCoreApplication.processEvents()
    objects = {kind for item in gc.get_objects() if (kind := _kind(type(item)))}
    return sorted({*active(), *objects & {"widget", "worker"}})


def active(known: Collection[int] = ()) -> list[str]:
    """Describe what still acts: of a widget that was closed, nothing does.

    Tests still hold their widgets when this is asked. `known` windows do not count.
    """
    found = set()
    for thread in threading.enumerate():
        if thread.name == THREAD:
            thread.join(_END_S)  # it was told to end after this step
            found |= {"thread"} if thread.is_alive() else set()
    if windows() - set(known):
        found.add("window")
    for item in gc.get_objects():
        kind = _kind(type(item))
        if kind == "timer":
            found.update(_of_timer(item))
        elif kind == "viewer":
            found.update(_of_viewer(item))
    return sorted(found)


def windows() -> set[int]:
    """Return the identities of visible windows of controls, outside napari's."""
    return {
        id(window)
        for window in QApplication.topLevelWidgets()
        if window.isVisible() and hasattr(window, "_magic_widget")
    }


@cache
def _kind(of: type) -> str:
    """Name the kind of a type; asking an object itself might warn."""
    kinds = {
        "widget": (SamWidget, TrainingPanel),
        "worker": (Worker,),
        "timer": (QTimer,),
        "viewer": (ViewerModel,),
    }
    return next((name for name, types in kinds.items() if issubclass(of, types)), "")


def _of_timer(timer: QTimer) -> Iterator[str]:
    try:
        owner = timer.parent()
        if timer.isActive() and type(owner).__module__.startswith(("superqt", OURS)):
            yield "timer"
    except RuntimeError:  # deleted with its owner
        return


def _of_viewer(viewer: ViewerModel) -> Iterator[str]:
    owners = [viewer, *viewer.layers]
    for owner in owners:
        if any(_is_ours(action) for action in owner.keymap.values()):
            yield "key"
    if any(_is_ours(callback) for callback in viewer.mouse_drag_callbacks):
        yield "callback on the mouse"
    groups = [viewer.dims.events, viewer.layers.events, viewer.layers.selection.events]
    for group in (*groups, *(layer.events for layer in viewer.layers)):
        for name, emitter in group.emitters.items():
            for callback in emitter.callbacks:
                # napari keeps methods as a weak reference to the owner and a name.
                owner = callback[0]() if isinstance(callback, tuple) else None
                # Labels in use belong to the session, which may outlive the panel.
                ours = type(owner).__module__.startswith(OURS)
                if ours and not isinstance(owner, LabelIds | FollowedChanges):
                    yield f"callback of {type(owner).__name__} on {name}"


def _is_ours(function: object) -> bool:
    return str(getattr(function, "__module__", "")).startswith(OURS)
