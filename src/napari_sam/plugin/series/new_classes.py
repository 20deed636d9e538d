"""The class that new objects get."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam.plugin.series.label_classes import classes_of, put_classes

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_sam.plugin.series.item_layers import ItemLayers
    from napari_sam.plugin.session import SamSession


class NewClasses:
    """Gives objects a class when they are accepted, or painted.

    Parameters
    ----------
    layers : ItemLayers
        Those of the open image.

    Attributes
    ----------
    name : str
        The class of new objects; none when empty.
    """

    def __init__(self, layers: ItemLayers) -> None:
        self._layers = layers
        self.name = ""
        self._labels: Labels | None = None
        self._session: SamSession | None = None
        self._written: Any = None

    def follow(self, labels: Labels | None, session: SamSession | None) -> None:
        """Follow a layer and a session from now on, in place of those before."""
        if self._labels is not None:
            self._labels.events.paint.disconnect(self._on_paint)
        if self._session is not None:
            self._session.changed.disconnect(self._on_session)
        self._labels, self._session = labels, session
        if labels is not None:
            labels.events.paint.connect(self._on_paint)
        if session is not None:
            self._written = session.target.last_written
            session.changed.connect(self._on_session)

    def _on_session(self) -> None:
        assert self._session is not None
        target = self._session.target
        written, before = target.last_written, self._written
        self._written = written
        if written is None or written == before or target.layer != self._labels:
            return
        self._add(list(written.label_ids))

    def _on_paint(self, _: Any) -> None:
        assert self._labels is not None
        self._add([int(self._labels.selected_label)])

    def _add(self, found: list[int]) -> None:
        """Give a class to those labels that have none."""
        if not self.name or self._labels is None:
            return
        classes = classes_of(self._labels)
        new = [label for label in found if label and label not in classes]
        if new:
            put_classes(self._labels, {**classes, **dict.fromkeys(new, self.name)})
