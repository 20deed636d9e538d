"""Changes of Labels layers with what belongs to them, through undo and redo."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Labels

    from napari_sam.plugin.layers.labels_writer import LabelChange

    _Steps = WeakKeyDictionary[Labels, deque[tuple[LabelChange, "T"]]]

T = TypeVar("T")

MAX_STEPS = 1000
"""Changes that can be undone."""


class FollowedChanges(Generic[T]):
    """The last changes of Labels layers, whose undo and redo napari does not report.

    Parameters
    ----------
    on_undo, on_redo : callable
        Take a layer and what was added with a change of it, after the change was taken
        back, or done again.
    """

    def __init__(
        self, on_undo: Callable[[Labels, T], None], on_redo: Callable[[Labels, T], None]
    ) -> None:
        self._on_undo, self._on_redo = on_undo, on_redo
        self._done: _Steps[T] = WeakKeyDictionary()
        self._undone: _Steps[T] = WeakKeyDictionary()

    def add(self, change: LabelChange, step: T) -> None:
        """Follow a change from now on."""
        labels = change.labels
        if labels not in self._done:
            labels.events.set_data.connect(self._on_data)
            # With asynchronous slicing, the layer asks to be loaded first.
            labels.events.reload.connect(self._on_data)
            self._done[labels] = deque(maxlen=MAX_STEPS)
            self._undone[labels] = deque(maxlen=MAX_STEPS)
        self._done[labels].append((change, step))
        self._undone[labels].clear()

    def _on_data(self, event: Any) -> None:
        labels = event.source
        done, undone = self._done[labels], self._undone[labels]
        while done and done[-1][0].is_undone():
            undone.append(done.pop())
            self._on_undo(labels, undone[-1][1])
        while undone and undone[-1][0].is_done():
            done.append(undone.pop())
            self._on_redo(labels, done[-1][1])
