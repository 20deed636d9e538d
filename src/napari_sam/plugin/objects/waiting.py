"""Objects that were accepted before their result was there."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_sam.plugin.objects.steps import AcceptStep
    from napari_sam.plugin.state.labels_target import Destination
    from napari_sam.plugin.state.layer_request import LayerRequest


@dataclass(slots=True, eq=False)
class WaitingObject:
    """An accepted request for a plane, whose result is written when it is there.

    Parameters
    ----------
    step : AcceptStep
        The step that undo takes back.
    request : LayerRequest
        The request to run.
    destination : Destination
        Where its objects are written.
    skipped : int
        Number of alternatives to go on to.
    """

    step: AcceptStep
    request: LayerRequest
    destination: Destination
    skipped: int


class WaitingObjects:
    """A queue of waiting objects: they are written in the order of their accepts."""

    def __init__(self) -> None:
        self._objects: deque[WaitingObject] = deque()

    def __len__(self) -> int:
        return len(self._objects)

    @property
    def first(self) -> WaitingObject | None:
        """The object whose result is needed next."""
        return self._objects[0] if self._objects else None

    def add(self, waiting: WaitingObject) -> None:
        """Add an object to the end."""
        self._objects.append(waiting)

    def remove(self, step: AcceptStep) -> WaitingObject:
        """Remove the object of a step, and return it."""
        (waiting,) = (w for w in self._objects if w.step is step)
        self._objects.remove(waiting)
        return waiting

    def clear(self) -> list[WaitingObject]:
        """Remove and return all objects."""
        waiting = list(self._objects)
        self._objects.clear()
        return waiting
