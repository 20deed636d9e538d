"""What the controls for classes do: to a series, and to the open image."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from napari_sam.plugin.notifications import notify_errors
from napari_sam.plugin.series.controls.class_panel import NONE
from napari_sam.plugin.series.label_classes import classes_of, put_class

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari.layers import Labels

    from napari_sam.plugin.series.annotation import Annotation
    from napari_sam.plugin.series.controls.class_panel import ClassPanel
    from napari_sam.series.classes import ClassChange


class ClassActions:
    """Connects the controls for classes with the series that is open.

    Parameters
    ----------
    panel : ClassPanel
        The controls.
    annotation : Annotation
        The series and its open image.
    """

    def __init__(self, panel: ClassPanel, annotation: Annotation) -> None:
        self._panel, self._annotation = panel, annotation
        self._changes: list[ClassChange] = []
        self._labels: Labels | None = None
        self._colormap: Any = None
        self._connections: list[tuple[Any, Callable[..., object]]] = [
            (panel.of_new.changed, self._choose_new),
            (panel.chosen_changed, notify_errors_of(self._choose_selected)),
            (panel.add.changed, notify_errors_of(self._add)),
            (panel.rename.changed, notify_errors_of(self._rename)),
            (panel.undo.changed, notify_errors_of(self._undo)),
            (panel.colored.changed, self._color),
        ]
        for emitter, callback in self._connections:
            emitter.connect(callback)
        self._show()

    def follow(self, labels: Labels | None) -> None:
        """Follow the selected label of a layer, in place of the one before."""
        if labels is self._labels:
            self._on_features()
            return
        if self._labels is not None:
            self._labels.events.selected_label.disconnect(self._show_selected)
            self._labels.events.features.disconnect(self._on_features)
        self._labels, self._colormap = labels, None
        if labels is not None:
            labels.events.selected_label.connect(self._show_selected)
            labels.events.features.connect(self._on_features)
            self._color()
        self._show_selected()

    def close(self) -> None:
        """Let go of the controls and the layer."""
        self.follow(None)
        for emitter, callback in self._connections:
            emitter.disconnect(callback)

    # -- actions -----------------------------------------------------------------------

    def _choose_new(self, name: str | None) -> None:
        self._annotation.new_classes.name = "" if name in (None, NONE) else str(name)

    def _choose_selected(self, name: str) -> None:
        if self._labels is None or not self._labels.selected_label:
            raise ValueError("No label is selected: choose one of an open image.")
        put_class(self._labels, int(self._labels.selected_label), name)

    def _add(self, _: Any = None) -> None:
        series, name = self._annotation.series, self._panel.named.value.strip()
        if not name:
            raise ValueError("The class has no name: write one.")
        self._annotation.worker.submit(
            partial(series.add_class, name), partial(self._on_added, name)
        )

    def _on_added(self, name: str, _: Any) -> None:
        self._panel.named.value = ""
        self._show()
        self._panel.of_new.value = name

    def _rename(self, _: Any = None) -> None:
        old, new = self._annotation.new_classes.name, self._panel.named.value.strip()
        if not old:
            raise ValueError(
                "No class is chosen: choose it as the class of new objects."
            )
        if not new:
            raise ValueError(f"The class {old!r} has no new name: write one.")
        series = self._annotation.series

        def keep(change: ClassChange) -> None:
            self._changes.append(change)
            self._panel.named.value = ""
            self._show()
            self._panel.of_new.value = new

        self._annotation.with_all_images(
            partial(series.merge_classes, [old], new), keep
        )

    def _undo(self, _: Any = None) -> None:
        if not self._changes:
            raise ValueError("No change of a class can be taken back.")
        change = self._changes.pop()
        self._annotation.with_all_images(
            partial(self._annotation.series.undo_classes, change),
            lambda _: self._show(),
        )

    # -- display -----------------------------------------------------------------------

    def _show(self) -> None:
        self._panel.show_classes(self._annotation.series.classes)
        self._panel.undo.enabled = bool(self._changes)
        self._show_selected()
        self._color()

    def _on_features(self, _: Any = None) -> None:
        self._show_selected()
        self._color()

    def _show_selected(self, _: Any = None) -> None:
        labels = self._labels
        found = {} if labels is None else classes_of(labels)
        selected = 0 if labels is None else int(labels.selected_label)
        self._panel.show_selected(found.get(selected, ""))

    def _color(self, _: Any = None) -> None:
        """Show labels in the colours of their classes, or in their own."""
        labels = self._labels
        if labels is None:
            return
        if not self._panel.colored.value:
            if self._colormap is not None:
                labels.colormap, self._colormap = self._colormap, None
            return
        from napari.utils.colormaps import DirectLabelColormap

        if self._colormap is None:
            self._colormap = labels.colormap
        colors = self._annotation.series.classes
        shown: dict[int | None, str] = {
            label: colors[name]
            for label, name in classes_of(labels).items()
            if name in colors
        }
        labels.colormap = DirectLabelColormap(
            color_dict={None: "gray", 0: "transparent", **shown}
        )


def notify_errors_of(action: Callable[[Any], object]) -> Callable[[Any], None]:
    """Wrap an action of one argument, so that its errors become notifications."""

    def run(value: Any) -> None:
        notify_errors(lambda: action(value))()

    return run
