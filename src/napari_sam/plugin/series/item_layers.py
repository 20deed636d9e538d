"""The two layers of an open image of a series: the image and its labels."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.plugin.layers.prompt_layers import is_plugin_layer
from napari_sam.plugin.layers.visible_region import camera_of
from napari_sam.plugin.series.label_classes import classes_of, put_classes
from napari_sam.plugin.series.opened_image import Snapshot
from napari_sam.records.record import KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.components import ViewerModel
    from napari.layers import Image, Labels
    from numpy.typing import NDArray

    from napari_sam.plugin.series.opened_image import OpenedImage

# Of the last image, for the next one of the same shape.
_KEPT = ("contrast_limits", "gamma", "colormap", "opacity", "visible", "blending")
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
        self._view: dict[str, Any] = {}
        self._classes: dict[int, str] = {}

    @property
    def is_complete(self) -> bool:
        """Whether both layers are in the viewer."""
        layers = self._viewer.layers
        return self.image in layers and self.labels in layers

    def show(self, opened: OpenedImage) -> tuple[Image, Labels]:
        """Show an image in place of the one before, and empty the prompt layers."""
        from napari.layers import Image, Labels

        self.remove()
        used, name = opened.image.used, PurePosixPath(opened.item.name).name
        transform = _transform(opened)
        is_same = tuple(opened.data.shape) == self._shape
        limits = {} if opened.limits is None else {"contrast_limits": opened.limits}
        image = Image(opened.data, name=name, rgb=used.rgb, **limits, **transform)
        if is_same:
            for key, value in self._view.items():
                if not (key == "contrast_limits" and used.rgb):
                    setattr(image, key, value)
        labels = Labels(opened.labels, name=f"{name} labels", **transform)
        labels.editable = not opened.read_only
        if opened.record is not None:
            labels.metadata[KEY] = opened.record
        self._classes = dict(opened.item.classes)
        if self._classes:
            put_classes(labels, self._classes)
        dims, camera = self._viewer.dims, camera_of(self._viewer)
        before = dims.point, camera.center, camera.zoom
        active = self._viewer.layers.selection.active
        # Below what is drawn on them.
        self._viewer.layers.insert(0, image)
        self._viewer.layers.insert(1, labels)
        if is_same:
            dims.point, camera.center, camera.zoom = before
        else:
            self._viewer.reset_view()
        if active in self._viewer.layers:
            self._viewer.layers.selection.active = active  # the tool that was on
        self._shape = tuple(opened.data.shape)
        self.image, self.labels = image, labels
        return image, labels

    def limits_for(self, shape: tuple[int, ...], own: Any) -> Any:
        """Return the contrast limits that the next image is shown with.

        Parameters
        ----------
        shape : tuple of int
            Its shape.
        own : tuple of float or None
            Its own contrast limits; None for colour.
        """
        if own is None or self.image is None or shape != self._shape:
            return own
        return tuple(self.image.contrast_limits)

    def remove(self) -> None:
        """Remove both layers, and all prompts of the plugin."""
        layers = self._viewer.layers
        image = self.image
        if image is not None:
            self._view = {key: getattr(image, key) for key in _KEPT}
        for layer in (self.labels, self.image):
            if layer in layers:
                layers.remove(layer)
        self.image = self.labels = None
        for layer in list(layers):
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


def _transform(opened: OpenedImage) -> dict[str, Any]:
    """Return the scale and units of the layers, where the file gives them."""
    used = opened.image.used
    names = used.axes[: len(used.shape)]
    scale = [used.spacing.get(name, 1.0) for name in names]
    values: dict[str, Any] = {"axis_labels": [name.lower() for name in names]}
    if any(name in used.spacing for name in names):
        values["scale"] = scale
    if all(name in used.units for name in names if name in "XYZ"):
        values["units"] = [used.units.get(name, "pixel") for name in names]
    return values
