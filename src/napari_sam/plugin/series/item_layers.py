"""The two layers of an open image of a series: the image and its labels."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from pandas import DataFrame

from napari_sam.plugin.layers.prompt_layers import is_plugin_layer
from napari_sam.plugin.series.label_classes import classes_of, put_classes
from napari_sam.plugin.series.opened_image import Snapshot
from napari_sam.records.record import KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.components import ViewerModel
    from napari.layers import Image, Labels
    from numpy.typing import NDArray

    from napari_sam.plugin.series.opened_image import OpenedImage

# Labels of at most this size are copied for a save: that takes some milliseconds.
_MAX_COPIED_BYTES = 2**26


class ItemLayers:
    """Shows an image of a series in a viewer; other layers of the user stay.

    Parameters
    ----------
    viewer : ViewerModel
        The viewer.

    Attributes
    ----------
    image, labels : Image, Labels or None
        The layers; None while no image is open.
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self.image: Image | None = None
        self.labels: Labels | None = None
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(np.uint8)

    @property
    def is_complete(self) -> bool:
        """Whether both layers are in the viewer."""
        layers = self._viewer.layers
        return self.image in layers and self.labels in layers

    def show(self, opened: OpenedImage) -> tuple[Image, Labels]:
        """Show an image in place of the one before, and empty the prompt layers.

        Layers stay where they fit: napari takes half a second to remove two and add
        others.
        """
        self._remove_prompts()
        shape = tuple(opened.data.shape)
        rgb, before = opened.image.used.rgb, self.image
        is_same_kind = len(shape) == len(self._shape) and self.is_complete
        if is_same_kind and before is not None and before.rgb == rgb:
            image, labels = self._replace(opened)
        else:
            self.remove()
            image, labels = self._add(opened)
        labels.metadata = {} if opened.record is None else {KEY: opened.record}
        labels.features = DataFrame()
        if opened.item.classes:
            put_classes(labels, opened.item.classes)
        if shape != self._shape:
            self._viewer.reset_view()
        self._shape, self._dtype = _kind(opened.data)
        self.image, self.labels = image, labels
        return image, labels

    def _replace(self, opened: OpenedImage) -> tuple[Image, Labels]:
        image, labels = self.image, self.labels
        assert image is not None
        assert labels is not None
        image.data = opened.data
        is_same = _kind(opened.data) == (self._shape, self._dtype)
        if not is_same and opened.limits is not None:
            image.contrast_limits_range = image.contrast_limits = opened.limits
        mode = labels.mode
        labels.editable = False  # napari forgets what it would undo
        labels.data = opened.labels
        labels.editable = not opened.read_only  # new data may always be edited
        if labels.editable:
            labels.mode = mode
        image.name, labels.name = _names(opened)
        for layer in (image, labels):
            for key, value in _transform(opened).items():
                # Each change moves the sliders and draws again.
                if list(map(str, getattr(layer, key))) != list(map(str, value)):
                    setattr(layer, key, value)
        return image, labels

    def _add(self, opened: OpenedImage) -> tuple[Image, Labels]:
        from napari.layers import Image, Labels

        transform, (name, labels_name) = _transform(opened), _names(opened)
        limits = {} if opened.limits is None else {"contrast_limits": opened.limits}
        rgb = opened.image.used.rgb
        image = Image(opened.data, name=name, rgb=rgb, **limits, **transform)
        labels = Labels(opened.labels, name=labels_name, **transform)
        labels.editable = not opened.read_only
        active = self._viewer.layers.selection.active
        # Below what is drawn on them.
        self._viewer.layers.insert(0, image)
        self._viewer.layers.insert(1, labels)
        if active in self._viewer.layers:
            self._viewer.layers.selection.active = active  # the tool that was on
        return image, labels

    def limits_for(self, data: Any, own: Any) -> Any:
        """Return the contrast limits that the next image is shown with.

        Parameters
        ----------
        data : array-like
            Its pixels.
        own : tuple of float or None
            Its own contrast limits; None for colour.
        """
        if own is None or self.image is None:
            return own
        if _kind(data) != (self._shape, self._dtype):
            return own
        return tuple(self.image.contrast_limits)

    def remove(self) -> None:
        """Remove both layers, and all prompts of the plugin."""
        layers = self._viewer.layers
        for layer in (self.labels, self.image):
            if layer in layers:
                layers.remove(layer)
        self.image = self.labels = None
        self._shape = ()
        self._remove_prompts()

    def _remove_prompts(self) -> None:
        for layer in list(self._viewer.layers):
            if is_plugin_layer(layer) and len(layer.data):
                layer.selected_data = set(range(len(layer.data)))
                layer.remove_selected()

    def snapshot(self, seconds: float = 0.0, *, copy: bool = True) -> Snapshot | None:
        """Return what there is to save; None while no image is open.

        Parameters
        ----------
        seconds : float
            Time spent on the image since the last save.
        copy : bool
            Whether the labels may change while they are written. Very large ones are
            not copied: a change meanwhile is saved again.
        """
        labels = self.labels
        if labels is None:
            return None
        data: NDArray[Any] = labels.data
        if copy and data.nbytes <= _MAX_COPIED_BYTES:
            data = np.array(data)
        record = labels.metadata.get(KEY)
        return Snapshot(data, record, classes_of(labels), seconds)

    def put_classes(self, classes: Mapping[int, str]) -> None:
        """Show other classes of the objects."""
        if self.labels is not None:
            put_classes(self.labels, classes)


def _kind(data: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type: images of one kind keep the contrast of the user."""
    return tuple(data.shape), np.dtype(data.dtype)


def _names(opened: OpenedImage) -> tuple[str, str]:
    name = PurePosixPath(opened.item.name).name
    return name, f"{name} labels"


def _transform(opened: OpenedImage) -> dict[str, Any]:
    """Return the scale and units of the layers, where the file gives them."""
    used = opened.image.used
    names = used.axes[: len(used.shape)]
    scale = [float(used.spacing.get(name, 1)) for name in names]
    values: dict[str, Any] = {"axis_labels": [name.lower() for name in names]}
    is_known = all(name in used.units for name in names if name in "XYZ")
    units = [used.units.get(name, "pixel") if is_known else "pixel" for name in names]
    return {**values, "scale": scale, "units": units}
