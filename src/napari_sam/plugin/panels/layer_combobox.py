"""Pieces of the widget: layer choices, rows of buttons, sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container
from napari.utils.notifications import show_error
from psygnal import Signal

from napari_sam.checkpoints.download import is_cached
from napari_sam.checkpoints.registry import PREPROCESSING
from napari_sam.plugin.layers.preview_layer import is_preview
from napari_sam.plugin.layers.prompt_layers import is_own
from napari_sam.plugin.panels.key_bindings import ACCEPT, DISCARD, DOUBT
from napari_sam.plugin.state.candidates import shown_candidate
from napari_sam.requests.base import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from magicgui.widgets.bases import Widget
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_sam.checkpoints.registry import ModelSpec
    from napari_sam.plugin.layers.labels_writer import Written
    from napari_sam.plugin.session import SamSession
    from napari_sam.plugin.state.pending_result import Waiting
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.requests.base import Result
    from napari_sam.volume.results import VolumeResult

_MEGABYTE = 1e6
_NO_VALUE = object()
OWN_MODEL = (
    "Your own weights. Where the file does not say how they were trained, choose it: "
    "images are prepared for it."
)
_FIRST_STEPS = (
    "1. Draw a box around an object, or click on it with the points layer.\n"
    "2. Look at the blue outline. Not right? Move the box, or add points.\n"
    f"3. Press {ACCEPT} to keep it, {DISCARD} to drop it. Then draw the next one."
)


class LayerChoice:
    """A combo box of the viewer's layers of one type.

    It holds layers, not names, and follows layers that are added, removed,
    renamed and moved.

    Parameters
    ----------
    viewer : ViewerModel
        Whose layers are offered.
    kind : type
        Of the layers.
    label : str
        Beside the box.
    nothing : callable
        Says what the entry for no layer is called.
    """

    changed = Signal(object)

    def __init__(
        self,
        viewer: ViewerModel,
        kind: type[Layer],
        label: str,
        nothing: Callable[[], str],
    ) -> None:
        self._viewer, self._kind, self._nothing = viewer, kind, nothing
        self.combo = ComboBox(label=label, choices=self._choices)
        # No layer is a choice too, which magicgui would take for no value and not tell.
        self.combo.null_value = _NO_VALUE
        self.combo.changed.connect(self._emit)
        self._last: Layer | None = None
        self._offered = self._choices()
        self._events = viewer.layers.events
        for event in ("inserted", "removed", "reordered"):
            getattr(self._events, event).connect(self.update)
        # `layers.events.renamed` is younger than napari 0.6.6.
        self._events.inserted.connect(self._follow_name)
        self._events.removed.connect(self._forget_name)
        for layer in viewer.layers:
            layer.events.name.connect(self.update)

    @property
    def layer(self) -> Layer | None:
        """The chosen layer."""
        return self.combo.value

    def select(self, layer: Layer | None) -> None:
        """Choose a layer of the viewer."""
        self.update()
        self.combo.value = layer

    def adopt_own(self, layer: Layer) -> None:
        """Choose prompts that came with a sample, when nothing is chosen."""
        if self._last is not None or not isinstance(layer, self._kind):
            return
        # Empty ones belong to the widget that makes them.
        if is_own(layer) and len(layer.data):
            self.select(layer)

    def disconnect_viewer(self) -> None:
        """Stop following the viewer."""
        for callback in (self.update, self._follow_name, self._forget_name):
            self._events.disconnect(callback)
        for layer in self._viewer.layers:
            layer.events.name.disconnect(self.update)

    def _follow_name(self, event: Any) -> None:
        event.value.events.name.connect(self.update)

    def _forget_name(self, event: Any) -> None:
        event.value.events.name.disconnect(self.update)

    def _choices(self, _: Any = None) -> list[tuple[str, Layer | None]]:
        layers = [
            layer
            for layer in self._viewer.layers
            if isinstance(layer, self._kind) and not is_preview(layer)
        ]
        return [(self._nothing(), None), *((la.name, la) for la in layers)]

    def update(self, _: Any = None) -> None:
        """Offer the layers and names of this moment; the choice stays."""
        choices = self._choices()
        if choices == self._offered:
            return
        self._offered = choices
        # A combo box keeps names: without this a renamed layer would be unchosen,
        # and one that was renamed would move to the end.
        chosen = self._last
        with self.combo.changed.blocked():
            self.combo.choices = ()
            self.combo.choices = self._choices
            if chosen is not None and chosen in self._viewer.layers:
                self.combo.value = chosen
        self._emit(self.combo.value)

    def _emit(self, layer: Layer | None) -> None:
        if layer is not self._last:
            self._last = layer
            self.changed.emit(layer)


def button_row(*widgets: Widget) -> Container[Any]:
    """Widgets side by side, without labels."""
    row = Container(widgets=list(widgets), layout="horizontal", labels=False)
    row.margins = (0, 0, 0, 0)
    return row


def describe_model(spec: ModelSpec | None, loaded: Predictor | None) -> tuple[str, str]:
    """What the model is for and where it runs, and how it sees images.

    Parameters
    ----------
    spec : ModelSpec or None
        None for a file of the user's own.
    loaded : Predictor or None
        The model, once it is loaded.

    Returns
    -------
    note, seen : str
        Two lines for the panel, and one for whoever points at them; empty where
        nothing is known before a file is loaded.
    """
    known = spec or loaded
    if known is None:
        return OWN_MODEL, ""
    kinds = "boxes (points: a search over boxes)"
    if "point" in known.prompts or known.clicks is not None:
        kinds = "points, boxes"
    state = "not downloaded"
    if loaded is not None:
        state = f"loaded, runs on {loaded.device}"
    elif spec is not None and is_cached(spec):
        state = "ready"
    if spec is not None:
        seen = PREPROCESSING[spec.family].describe(spec.image_size)
        note = f"{spec.title}; {kinds}; {state}; licence {spec.licence}"
    else:
        assert loaded is not None
        seen = loaded.preprocessing.describe(loaded.input_size)
        note = f"{loaded.name}, trained as {loaded.family}; {kinds}; {state}"
    return note, f"Sees images so: {seen}"


def download_text(spec: ModelSpec) -> str:
    """What the button brings: size and licence."""
    size = f"{spec.size_bytes / _MEGABYTE:.0f} MB, " if spec.size_bytes else ""
    return f"Download the model ({size}{spec.licence})"


def weights_step(done: int, total: int | None) -> Progress:
    """Progress of a download, in whole megabytes."""
    megabytes = int(done / _MEGABYTE)
    if not total:
        return Progress(f"Downloading weights, {megabytes} MB", 0, 0)
    whole = int(total / _MEGABYTE)
    what = f"Downloading weights, {megabytes} of {whole} MB"
    return Progress(what, megabytes, whole)


def state_sentence(session: SamSession) -> str:
    """Where the user is, and what to do next, in one line."""
    if session.image_layer is None:
        return "Open an image, or a sample: File > Open Sample > napari-sam."
    if session.result is not None:
        return _waiting_sentence(session, session.result)
    revision = session.corrections.revision
    if revision is not None:
        which = _labels(revision.ids)
        return (
            f"Correcting {which}: add points or a box, segment, and accept to replace "
            "it; Discard leaves it as it is."
        )
    written = session.target.last_written
    if written is not None:
        if not written.pixels:
            return "Nothing was written: every pixel belongs to other objects."
        return (
            f"Wrote {_labels(written.label_ids)} (undo: Ctrl+Z on the labels layer). "
            "Draw the next one."
        )
    if session.points_layer is None and session.shapes_layer is None:
        return "Press 'Start' to draw on the image."
    return _FIRST_STEPS


def _waiting_sentence(session: SamSession, result: Result) -> str:
    """What waits, and what can be done with it."""
    found = len({piece.number for piece in result.pieces})
    if not found:
        if result.everything:
            return "Nothing passes: lower the thresholds, or try crops or a shape."
        return "Nothing was found: change the prompts and segment again."
    what = "1 object" if found == 1 else f"{found} objects"
    if result.volume is not None:
        return f"{what} in the preview{_of_stack(session.waiting, result.volume)}"
    if result.everything:
        return (
            f"{what} in the preview. Change the thresholds until they are right, "
            f"then Accept ({ACCEPT})."
        )
    shown = shown_candidate(result)
    which = "" if shown is None else f" ({shown[0]} of {shown[1]} candidates)"
    return (
        f"{what} in the preview{which}, score {result.lowest_score:.2f}. Accept "
        f"({ACCEPT}), or change the prompts."
    )


def _of_stack(waiting: Waiting, volume: VolumeResult) -> str:
    """The rest of the sentence about objects that were followed through a stack."""
    states = waiting.states
    if not volume.complete:
        return (
            f", slices {min(states)} to {max(states)} so far: 'Segment stack' goes on, "
            f"Accept ({ACCEPT}) takes what is there."
        )
    doubtful = len(waiting.doubtful)
    if doubtful:
        slices = "1 slice is" if doubtful == 1 else f"{doubtful} slices are"
        return (
            f"; {slices} doubtful. Look at the next one ({DOUBT}), draw on it and "
            f"press 'Segment stack' again, or Accept ({ACCEPT})."
        )
    return (
        f", slices {min(states)} to {max(states)}. Accept ({ACCEPT}), or change the "
        "prompts and press 'Segment stack' again."
    )


def kept_sentence(written: Written) -> str:
    """What of the last object was not written, in a sentence; empty when all was."""
    parts = []
    if written.kept:
        parts.append(f"{written.kept} pixels were kept for other objects")
    if written.outside:
        parts.append(f"{written.outside} pixels lie outside the labels")
    return f"{' and '.join(parts)}." if parts else ""


def _labels(ids: tuple[int, ...]) -> str:
    different = sorted(set(ids))
    if len(different) == 1:
        return f"label {different[0]}"
    return f"labels {different[0]} to {different[-1]}"


def setter(owner: Any, name: str) -> Callable[[Any], None]:
    """Set an attribute, as a function."""

    def set_value(value: Any) -> None:
        setattr(owner, name, value)

    return set_value


def told(action: Callable[[], Any]) -> Callable[[], None]:
    """Show the sentence of a refused action as a notification."""

    def run() -> None:
        try:
            action()
        except (ValueError, OSError) as error:
            show_error(str(error))

    return run
