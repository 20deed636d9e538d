"""The dock *Image series* on a folder of small images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.reading.read import read_image
from napari_sam.plugin.series.dock import SeriesWidget
from tests.helpers.series import write_images

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

LONG = 20_000


def open_dock(viewer: Any) -> SeriesWidget:
    """Open the dock as the menu does."""
    _, widget = viewer.window.add_plugin_dock_widget("napari-sam", "Image series")
    assert isinstance(widget, SeriesWidget)
    return widget


def open_folder(widget: SeriesWidget, folder: Path, qtbot: Any, *names: str) -> None:
    """Write images below a folder, choose it and press Open."""
    write_images(folder / "images", *names)
    widget.panel.images.line_edit.value = str(folder / "images")
    widget.panel.buttons["open"].native.click()
    qtbot.waitUntil(lambda: is_at_rest(widget), timeout=LONG)


def is_at_rest(widget: SeriesWidget) -> bool:
    """Whether an image is shown and nothing is to be read or written."""
    annotation = widget.annotation
    return (
        annotation is not None
        and not annotation.worker.busy
        and annotation.opened is not None
        and annotation.opened.item.name == annotation.wanted
    )


def press(widget: SeriesWidget, button: str, qtbot: Any) -> str:
    """Press a button; return the name of the image that is shown then."""
    assert widget.panel.buttons[button].enabled
    widget.panel.buttons[button].native.click()
    qtbot.waitUntil(lambda: is_at_rest(widget), timeout=LONG)
    return shown(widget)


def shown(widget: SeriesWidget) -> str:
    """Return the name of the image that is shown."""
    assert widget.annotation is not None
    assert widget.annotation.opened is not None
    return widget.annotation.opened.item.name


def labels_of(widget: SeriesWidget) -> Any:
    """Return the labels layer of the image that is shown."""
    assert widget.annotation is not None
    assert widget.annotation.layers.labels is not None
    return widget.annotation.layers.labels


def paint(widget: SeriesWidget, at: tuple[int, int], label: int) -> None:
    """Paint with the brush, as a user does."""
    layer = labels_of(widget)
    layer.selected_label = label
    layer.brush_size = 5
    layer.paint(at, label)


def saved(folder: Path, name: str) -> NDArray[Any] | None:
    """Read the labels that were written for an image; None without."""
    path = folder / "images-labels" / f"{name}.labels.tif"
    if not path.is_file():
        return None
    return np.asarray(read_image(path, labels=True).data)
