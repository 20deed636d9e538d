"""What the user chose: model, layers, and how prompts and objects are meant. No Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.linking import Linking
from napari_sam.automatic.search import SearchOptions
from napari_sam.masks.cleanup import CleanUp
from napari_sam.plugin.layers.displayed_stack import propagation_axes
from napari_sam.plugin.layers.image_source import ImageSource
from napari_sam.plugin.layers.prompt_layers import (
    add_prompt_layers,
    next_is_positive,
    set_polarity,
)
from napari_sam.plugin.layers.transforms import displayed_plane
from napari_sam.plugin.state.labels_target import LabelsTarget
from napari_sam.plugin.state.model_choice import ModelChoice
from napari_sam.volume.results import PropagationOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Points, Shapes

    from napari_sam.images.intensity import IntensityMapping
    from napari_sam.plugin.layers.image_source import ChannelChoice
    from napari_sam.plugin.state.model_choice import Report
    from napari_sam.prediction.click_sequence import Size
    from napari_sam.prediction.predictor import Predictor


class SessionSettings:
    """The choices of a session, with the names that scripts set them by.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers are chosen.
    model : str, Path or Predictor
        See `napari_sam.load_model`; loaded when it is first needed.

    Attributes
    ----------
    points_layer, shapes_layer : Points, Shapes or None
        Where prompts are read; any layers of the viewer.
    model_choice : ModelChoice
        The model and, for files that are not registered, its `family`.
    target : LabelsTarget
        Where results go: `target.policy` says what happens to pixels of other
        objects, `target.use_selected_label` which id objects get.
    view : ImageSource
        What of the image the model sees.
    each_prompt_an_object : bool
        Every box and positive point is an object of its own, instead of all
        prompts together describing one.
    propagation : PropagationOptions
        When an object ends on its way through a stack.
    size : {"small", "medium", "large"} or None
        Which of several candidates a prompt means; the best scored when None.
    cleanup : CleanUp
        What is done with objects once they are found; smoothing is in slices.
    thresholds, search : Thresholds, SearchOptions
        Which masks are objects, and how they are searched, when everything is asked.
    everything_in_stack : bool
        Everything is asked of all slices, and linked, rather than of the displayed one.
    linking : Linking
        How objects of slices become those of the stack, when everything is asked.
    axis : int or None
        Of the image, that objects are followed along, such as Z or T; the last one
        with a slider when None.
    """

    changed = Signal()
    image_chosen = Signal()

    def __init__(self, viewer: ViewerModel, model: str | Path | Predictor) -> None:
        self.viewer = viewer
        self.points_layer: Points | None = None
        self.shapes_layer: Shapes | None = None
        self.model_choice = ModelChoice(model)
        self.target = LabelsTarget(viewer)
        self.view = ImageSource(viewer)
        self.each_prompt_an_object = False
        self.propagation = PropagationOptions()
        self.size: Size | None = None
        self.cleanup = CleanUp()
        self.thresholds = Thresholds()
        self.search = SearchOptions()
        self.everything_in_stack = False
        self.linking = Linking()
        self.axis: int | None = None

    @property
    def model(self) -> Any:
        """Name, path or predictor that answers."""
        return self.model_choice.chosen

    @model.setter
    def model(self, model: str | Path | Predictor) -> None:
        self.model_choice.choose(model)

    def load(self, progress: Report | None = None) -> Predictor:
        """Load the model unless it is loaded; brings its weights where needed."""
        return self.model_choice.load(progress)

    @property
    def image_layer(self) -> Image | None:
        """The image that is segmented.

        The chosen, the active, the one under the new prompt layers or the topmost.
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
        """The image that is segmented.

        Raises
        ------
        ValueError
            When the viewer has none.
        """
        image = self.image_layer
        if image is None:
            raise ValueError("There is no image: open one, or choose its layer.")
        return image

    @property
    def labels_layer(self) -> Labels | None:
        """Where results go; made at the first commit when None."""
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
    def channels(self) -> tuple[ChannelChoice, ...]:
        """One to three channels that the model sees; none for what is displayed."""
        return self.view.channels

    @channels.setter
    def channels(self, channels: Sequence[ChannelChoice]) -> None:
        self.view.channels = tuple(channels)

    @property
    def propagation_axes(self) -> list[int]:
        """Axes of the image that objects can be followed along in this view."""
        image = self.image_layer
        if image is None:
            return []
        try:
            plane = displayed_plane(image, self.viewer.dims)
        except ValueError:  # a 3D view, or a slider outside the image
            return []
        return propagation_axes(self.view.of(image), plane)

    def axis_of(self, layer: Labels) -> int | None:
        """The chosen axis, as another layer counts it; axes are aligned on the right.

        None where nothing is chosen or the layer does not have it.
        """
        image = self.image_layer
        if image is None or self.axis is None:
            return None
        axis = self.axis + layer.ndim - image.ndim
        return axis if axis >= 0 else None

    @property
    def prompt_layers(self) -> list[Points | Shapes]:
        """The chosen layers of prompts that are in the viewer."""
        layers = self.present(self.points_layer), self.present(self.shapes_layer)
        return [layer for layer in layers if layer is not None]

    def new_prompt_layers(self) -> tuple[Points, Shapes]:
        """Add a Points and a Shapes layer that lie over the image, and use them.

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
        """Make the next and the selected points lie on the object, or off it.

        Raises
        ------
        ValueError
            When no points layer is chosen.
        """
        layer = self.present(self.points_layer)
        if layer is None:
            raise ValueError(
                "There is no points layer: press 'New prompt layers' or choose one."
            )
        set_polarity(layer, positive)

    def toggle_polarity(self) -> None:
        """Make the next points mean the opposite of what they would."""
        layer = self.present(self.points_layer)
        self.set_polarity(layer is not None and not next_is_positive(layer))

    def present(self, layer: Any) -> Any:
        """The layer, as long as it is in the viewer."""
        return layer if layer is not None and layer in self.viewer.layers else None
