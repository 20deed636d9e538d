"""Settings of a session: model, layers and options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from psygnal import Signal

from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.linking import Linking
from napari_sam.automatic.search import SearchOptions
from napari_sam.checks.arrays import as_axis
from napari_sam.masks.cleanup import CleanUp
from napari_sam.plugin.layers.displayed_stack import propagation_axes
from napari_sam.plugin.layers.image_source import ImageSource
from napari_sam.plugin.layers.leftovers import Leftovers
from napari_sam.plugin.layers.prompt_layers import (
    add_prompt_layers,
    set_next_polarity,
    set_polarity,
)
from napari_sam.plugin.layers.prompt_tool import active_tool, choose_tool
from napari_sam.plugin.layers.transforms import displayed_plane
from napari_sam.plugin.setting_rules import RULES
from napari_sam.plugin.state.drawn_clicks import DrawnClicks
from napari_sam.plugin.state.labels_target import LabelsTarget
from napari_sam.plugin.state.model_choice import ModelChoice
from napari_sam.prediction.zoom.options import check_zoom
from napari_sam.volume.results import PropagationOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Points, Shapes

    from napari_sam.checkpoints.families import Family
    from napari_sam.images.intensity import IntensityMapping
    from napari_sam.plugin.layers.image_source import ChannelChoice
    from napari_sam.plugin.layers.prompt_tool import Tool
    from napari_sam.prediction.click_sequence import Size
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.prediction.zoom.options import Zoom

T = TypeVar("T")


class SessionSettings:
    """Model, layers and options of a session.

    Parameters
    ----------
    viewer : ViewerModel
        Viewer with the layers.
    model : str, Path or Predictor
        See `napari_sam.load_model`; loaded when it is first needed.

    Attributes
    ----------
    points_layer, shapes_layer : Points, Shapes or None
        Layers of the viewer that prompts are read from.
    drawn_clicks : DrawnClicks
        Shapes that count as clicks.
    leftovers : Leftovers
        Prompts and labels that are older than an image.
    model_choice : ModelChoice
        The model and, for unregistered files, its `family`.
    target : LabelsTarget
        The Labels layer that results are written to: `target.policy` decides about
        pixels of other objects, `target.use_selected_label` about labels.
    view : ImageSource
        Which image, channels and intensities the model sees.
    each_prompt_an_object : bool
        Every box and positive point is an object of its own; otherwise all prompts
        together describe one object.
    propagation : PropagationOptions
        Options of the propagation through a stack.
    size : {"small", "medium", "large"} or None
        Which of the model's alternatives to take; the best scored when None.
    cleanup : CleanUp
        Post-processing of the objects.
    thresholds, search : Thresholds, SearchOptions
        Options of the automatic segmentation.
    everything_in_stack : bool
        Automatic segmentation of all slices of the stack, linked to objects;
        otherwise of the displayed plane.
    linking : Linking
        How automatic segmentation links the objects of the slices.
    axis : int or None
        Axis of the image to propagate along, such as Z or T, by number or by the name
        in the layer's `axis_labels`; the last one with a slider when None.
    changed, model_changed, image_chosen, zoom_changed : Signal
        Emitted after layers or objects, the model, the image, or the zoom were changed.
    """

    changed = Signal()
    model_changed = Signal()
    image_chosen = Signal()
    zoom_changed = Signal()

    def __init__(self, viewer: ViewerModel, model: str | Path | Predictor) -> None:
        self.viewer = viewer
        self.points_layer: Points | None = None
        self.shapes_layer: Shapes | None = None
        self.drawn_clicks = DrawnClicks(viewer)
        self.model_choice = ModelChoice(model)
        self.target = LabelsTarget(viewer)
        self.view = ImageSource(viewer)
        self.leftovers = Leftovers()
        self._followed: Image | None = None
        self.each_prompt_an_object = False
        self.propagation = PropagationOptions()
        self.axis: int | None = None
        self._zoom: Zoom = "auto"
        self.size: Size | None = None
        self.cleanup = CleanUp()
        self.thresholds = Thresholds()
        self.search = SearchOptions()
        self.everything_in_stack = False
        self.linking = Linking()

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a value, after a check of its type.

        Raises
        ------
        TypeError, ValueError
            When the setting cannot have this value.
        """
        if name == "axis" and value is not None:
            labels = [str(label).lower() for label in self._axis_labels()]
            value = as_axis(value, labels)
        elif name in RULES:
            value = RULES[name](value, name)
        object.__setattr__(self, name, value)

    def _axis_labels(self) -> Sequence[str]:
        image = self.image_layer
        return () if image is None else image.axis_labels

    @property
    def model(self) -> Any:
        """Name, path or predictor."""
        return self.model_choice.chosen

    @model.setter
    def model(self, model: str | Path | Predictor) -> None:
        self.use_model(model, self.model_choice.family)

    def use_model(
        self, model: str | Path | Predictor, family: Family | None = None
    ) -> None:
        """Choose a model, and the family of an unregistered file."""
        choice = self.model_choice
        if model is choice.chosen and family == choice.family:
            return
        choice.choose(model)
        choice.family = family
        self.model_changed.emit()

    @property
    def image_layer(self) -> Image | None:
        """The image to segment.

        The chosen one, else the active one, the one under the new prompt layers, or
        the topmost one.
        """
        return self.view.image

    @image_layer.setter
    def image_layer(self, layer: Image | None) -> None:
        if layer is not self.view.chosen:
            self.view.channels = ()
            self.axis = None
            self.image_chosen.emit()
        self.view.chosen = layer
        self.changed.emit()

    def require_image(self) -> Image:
        """Return the image to segment.

        Raises
        ------
        ValueError
            When the viewer has none.
        """
        image = self.image_layer
        if image is None:
            raise ValueError("There is no image: open one, or choose its layer.")
        return image

    def note_opened(self, image: Image) -> None:
        """Leave prompts and polarity that are there for the images before."""
        self.leftovers.note_opened(image, self.prompt_layers)
        self.reset_polarity()

    def follow_image(self) -> bool:
        """Choose the labels of the image, if it is another one than at the last call.

        Returns
        -------
        bool
            Whether it is.
        """
        image, before = self.image_layer, self._followed
        if image == before:  # a plugin may see a layer through a proxy
            return False
        self._followed = image
        if before is not None:
            labels = self.leftovers.change_labels(before, image, self.target.layer)
            self.target.layer = labels
        return True

    @property
    def labels_layer(self) -> Labels | None:
        """The layer that results are written to; None until the first commit."""
        return self.target.layer

    @labels_layer.setter
    def labels_layer(self, layer: Labels | None) -> None:
        self.target.layer = layer
        self.changed.emit()

    @property
    def intensity(self) -> IntensityMapping:
        """Which values the model sees as black and white; as displayed by default."""
        return self.view.intensity

    @intensity.setter
    def intensity(self, mapping: IntensityMapping) -> None:
        self.view.intensity = mapping

    @property
    def zoom(self) -> Zoom:
        """How the model sees objects of a large plane.

        "auto" shows it the part of the plane that fits the object, "off" the whole
        plane; a factor is the side of the plane over that of the part.
        """
        return self._zoom

    @zoom.setter
    def zoom(self, zoom: Zoom) -> None:
        checked = check_zoom(zoom)
        if checked != self._zoom:
            self._zoom = checked
            self.zoom_changed.emit()

    @property
    def channels(self) -> tuple[ChannelChoice, ...]:
        """One to three channels that the model sees; empty for what is displayed."""
        return self.view.channels

    @channels.setter
    def channels(self, channels: Sequence[ChannelChoice]) -> None:
        self.view.channels = tuple(channels)

    @property
    def propagation_axes(self) -> list[int]:
        """Axes of the image that objects can be propagated along in this view."""
        image = self.image_layer
        if image is None:
            return []
        try:
            plane = displayed_plane(image, self.viewer.dims)
        except ValueError:  # a 3D view, or a slider outside the image
            return []
        return propagation_axes(self.view.of(image), plane)

    def axis_of(self, layer: Labels) -> int | None:
        """Return the chosen axis as an axis of another layer.

        Axes are aligned on the right. None when no axis is chosen or the layer lacks
        it.

        Parameters
        ----------
        layer : Labels
            Layer with as many axes as the image, or fewer.
        """
        image = self.image_layer
        if image is None or self.axis is None:
            return None
        axis = self.axis + layer.ndim - image.ndim
        return axis if axis >= 0 else None

    @property
    def prompt_layers(self) -> list[Points | Shapes]:
        """The chosen prompt layers that are in the viewer."""
        layers = self.present(self.points_layer), self.present(self.shapes_layer)
        return [layer for layer in layers if layer is not None]

    def new_prompt_layers(self) -> tuple[Points, Shapes]:
        """Add a Points and a Shapes layer over the image, and choose them.

        Raises
        ------
        ValueError
            When the viewer has no image.
        """
        self.view.prompted = self.require_image()
        layers = add_prompt_layers(self.viewer, self.view.prompted)
        self.points_layer, self.shapes_layer = layers
        self.changed.emit()
        return layers

    def set_polarity(self, positive: bool) -> None:
        """Make the next and the selected points positive or negative.

        Parameters
        ----------
        positive : bool
            Whether they lie on the object; otherwise on the background.

        Raises
        ------
        ValueError
            When no Points layer is chosen.
        """
        layer = self.present(self.points_layer)
        if layer is None:
            raise ValueError("There is no points layer: press 'Start' or choose one.")
        set_polarity(layer, positive)

    def reset_polarity(self) -> None:
        """Put the next points on the object, after one was accepted or discarded."""
        layer = self.present(self.points_layer)
        if layer is not None:
            set_next_polarity(layer, True)

    @property
    def tool(self) -> Tool | None:
        """What the next gesture on the canvas draws; None if it draws no prompt."""
        points, shapes = (
            self.present(self.points_layer),
            self.present(self.shapes_layer),
        )
        return active_tool(self.viewer, points, shapes)

    @tool.setter
    def tool(self, tool: Tool) -> None:
        points, shapes = (
            self.present(self.points_layer),
            self.present(self.shapes_layer),
        )
        choose_tool(self.viewer, points, shapes, tool)

    def toggle_polarity(self) -> None:
        """Choose points on the background, or on the object if these are chosen."""
        self.tool = "object" if self.tool == "background" else "background"

    def present(self, layer: Any) -> Any:
        """Return the layer while it is in the viewer, else None."""
        return layer if layer is not None and layer in self.viewer.layers else None


class Setting(Generic[T]):
    """A descriptor that makes an attribute of `owner.settings` one of the owner."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, owner: Any, _: type | None = None) -> T:
        value: Any = self if owner is None else getattr(owner.settings, self._name)
        return cast("T", value)

    def __set__(self, owner: Any, value: T) -> None:
        setattr(owner.settings, self._name, value)
