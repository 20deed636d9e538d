"""Live preview: drawing starts requests, keys accept and discard; prefetching."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils.notifications import notification_manager

from napari_sam import samples
from napari_sam.images.axes import nearest
from napari_sam.plugin import sample_data
from napari_sam.plugin.panels.buttons import BUTTONS
from napari_sam.plugin.panels.key_bindings import (
    ACCEPT,
    DISCARD,
    NEXT,
    POLARITY,
    PREVIOUS,
    KeyBindings,
)
from napari_sam.plugin.widget import SamWidget
from napari_sam.prompts.prompt import Prompt
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import FIRST, SECOND, corners, press
from tests.helpers.widgets import open_widget

LONG = 20_000
QUIET = 150  # longer than the widget waits for further changes


class Counting(BrightPredictor):
    """Records the size of each batch of prompts; `go` lets it answer."""

    def __init__(self) -> None:
        super().__init__("counting")
        self.batches: list[int] = []
        self.go = threading.Event()
        self.go.set()

    def predict_batch(self, embedding: Any, prompts: Any, **options: Any) -> Any:
        self.go.wait(20)
        self.batches.append(len(prompts))
        return super().predict_batch(embedding, prompts, **options)


class Ambiguous(BrightPredictor):
    """Sees a small, a medium and a large object, the medium one best."""

    def answer(self, pixels: np.ndarray, prompt: Prompt) -> Any:
        found = []
        for score, grow in ((0.7, -3), (0.9, 0), (0.8, 3)):
            sides = prompt.box + np.array([-grow, -grow, grow, grow])
            one = super().answer(np.full_like(pixels, 255), Prompt(box=sides))
            found.append(replace(one, score=score, candidates=()))
        best, *others = sorted(found, key=lambda p: -p.score)
        return replace(best, candidates=(best, *others))


@pytest.fixture
def model() -> Iterator[Counting]:
    model = Counting()
    yield model
    model.go.set()


@pytest.fixture
def make(stack: np.ndarray, qtbot: Any) -> Iterator[Callable[..., SamWidget]]:
    notification_manager.records.clear()
    made: list[SamWidget] = []

    def build(model: Any) -> SamWidget:
        widget = open_widget(stack, model, live=True)
        made.append(widget)
        return widget

    yield build
    for widget in made:
        widget.disconnect_viewer()


@pytest.fixture
def widget(make: Any, model: Counting) -> SamWidget:
    built: SamWidget = make(model)
    return built


def draw(widget: SamWidget, box: tuple[int, ...], z: int = 4) -> None:
    widget.session.shapes_layer.add_rectangles(corners(box, z))


def type_key(widget: SamWidget, key: str) -> None:
    """What napari does when a key is pressed that no layer wants."""
    viewer = widget.session.viewer
    found = [action for bound, action in viewer.keymap.items() if str(bound) == key]
    assert len(found) == 1
    found[0](viewer)


@pytest.fixture
def shown(qtbot: Any) -> Callable[[SamWidget], None]:
    def until(widget: SamWidget) -> None:
        qtbot.waitUntil(lambda: widget.session.result is not None, timeout=LONG)
        qtbot.waitUntil(lambda: not widget.panel.cancel.enabled, timeout=LONG)

    return until


def mask(widget: SamWidget) -> np.ndarray:
    result = widget.session.result
    assert result is not None
    whole = np.zeros((40, 50), bool)
    for piece in result.pieces:
        whole[piece.region] |= piece.mask
    return whole


def test_drawing_a_box_shows_a_preview(widget: SamWidget, shown: Any) -> None:
    draw(widget, FIRST)
    shown(widget)
    assert mask(widget)[15, 20]
    assert widget.preview_layer.layer in widget.session.viewer.layers
    assert widget.session.labels_layer is None  # nothing is written


def test_preview_follows_a_moved_box(widget: SamWidget, shown: Any, qtbot: Any) -> None:
    draw(widget, FIRST)
    shown(widget)
    widget.session.shapes_layer.data = [corners(SECOND, 4)]
    qtbot.waitUntil(lambda: bool(mask(widget)[28, 38]), timeout=LONG)
    assert not mask(widget)[15, 20]


def test_preview_disappears_with_its_prompts(
    widget: SamWidget, shown: Any, qtbot: Any
) -> None:
    draw(widget, FIRST)
    shown(widget)
    widget.session.shapes_layer.selected_data = {0}
    widget.session.shapes_layer.remove_selected()
    qtbot.waitUntil(lambda: widget.session.result is None, timeout=LONG)
    assert not widget.preview_layer.is_shown


def test_simultaneous_changes_make_one_request(
    widget: SamWidget, model: Counting, shown: Any
) -> None:
    widget.panel.each_prompt.value = True
    for box in (FIRST, SECOND):
        draw(widget, box)
    shown(widget)
    assert model.batches == [2]


def test_latest_change_wins(
    widget: SamWidget, model: Counting, shown: Any, qtbot: Any
) -> None:
    model.go.clear()
    draw(widget, FIRST)
    qtbot.waitUntil(lambda: widget.panel.cancel.enabled, timeout=LONG)
    widget.session.shapes_layer.data = [corners(SECOND, 4)]
    qtbot.wait(QUIET)
    model.go.set()
    shown(widget)
    assert mask(widget)[28, 38]
    assert not mask(widget)[15, 20]


def test_unchanged_prompts_make_no_second_request(
    widget: SamWidget, model: Counting, shown: Any, qtbot: Any
) -> None:
    draw(widget, FIRST)
    shown(widget)
    viewer = widget.session.viewer
    for step in (5, 4):
        viewer.dims.set_current_step(0, step)
        qtbot.wait(QUIET)
    viewer.layers["SAM points"].mode = "select"
    qtbot.wait(QUIET)
    assert model.batches == [1]
    viewer.layers["balls"].contrast_limits = (0, 210)  # the model sees something else
    qtbot.waitUntil(lambda: model.batches == [1, 1], timeout=LONG)


def test_accept_key_waits_for_the_running_preview(
    widget: SamWidget, model: Counting, qtbot: Any
) -> None:
    model.go.clear()
    draw(widget, FIRST)
    qtbot.waitUntil(lambda: widget.panel.accept.enabled, timeout=LONG)
    type_key(widget, ACCEPT)
    assert widget.session.labels_layer is None
    model.go.set()
    qtbot.waitUntil(lambda: widget.session.labels_layer is not None, timeout=LONG)
    assert widget.session.labels_layer.data[4, 15, 20] == 1


def test_each_object_needs_one_box_and_one_key(
    widget: SamWidget, shown: Any, qtbot: Any
) -> None:
    for box in (FIRST, SECOND):
        draw(widget, box)
        shown(widget)
        type_key(widget, ACCEPT)
        qtbot.wait(QUIET)
        assert widget.session.result is None
    labels = widget.session.labels_layer.data
    assert (labels[4, 15, 20], labels[4, 28, 38]) == (1, 2)
    type_key(widget, PREVIOUS)
    shown(widget)  # its prompts are back, and so is its mask
    widget.session.labels_layer.undo()
    assert widget.session.labels_layer.data[4, 28, 38] == 0


def test_discard_removes_the_prompts(widget: SamWidget, shown: Any, qtbot: Any) -> None:
    draw(widget, FIRST)
    shown(widget)
    type_key(widget, DISCARD)
    qtbot.wait(QUIET)
    assert widget.session.result is None
    assert len(widget.session.shapes_layer.data) == 0


def test_key_switches_the_polarity_of_the_next_points(
    widget: SamWidget, shown: Any
) -> None:
    draw(widget, FIRST)
    type_key(widget, POLARITY)
    widget.session.points_layer.add([4, 15, 20])
    shown(widget)
    assert not mask(widget)[15, 20]
    type_key(widget, POLARITY)
    widget.session.points_layer.add([4, 16, 25])
    assert list(widget.session.points_layer.features["polarity"]) == [
        "negative",
        "positive",
    ]


def test_problem_while_drawing_is_a_hint_only(widget: SamWidget, qtbot: Any) -> None:
    type_key(widget, POLARITY)
    widget.session.points_layer.add([4, 15, 20])
    qtbot.waitUntil(
        lambda: "only background" in widget.panel.status.value, timeout=LONG
    )
    assert not notification_manager.records


def test_failure_is_reported_once_and_not_repeated(make: Any, qtbot: Any) -> None:
    class Failing(Counting):
        def predict_batch(self, embedding: Any, prompts: Any, **_: Any) -> Any:
            self.batches.append(len(prompts))
            raise RuntimeError("out of memory")

    model = Failing()
    widget = make(model)
    draw(widget, FIRST)
    qtbot.waitUntil(lambda: bool(model.batches), timeout=LONG)
    qtbot.wait(4 * QUIET)
    assert model.batches == [1]
    messages = [record.message for record in notification_manager.records]
    assert messages == ["out of memory"]
    notification_manager.records.clear()


def test_drawing_does_not_cancel_a_stack(
    widget: SamWidget, model: Counting, shown: Any, qtbot: Any
) -> None:
    widget.panel.live.value = False
    draw(widget, FIRST)
    widget.panel.live.value = True
    model.go.clear()
    press(widget.panel.segment_stack)
    draw(widget, SECOND, 5)
    qtbot.wait(QUIET)
    model.go.set()
    shown(widget)
    assert widget.session.result.volume is not None


def test_pending_stack_stays_while_drawing(
    widget: SamWidget, shown: Any, qtbot: Any
) -> None:
    draw(widget, FIRST)
    shown(widget)
    press(widget.panel.segment_stack)
    qtbot.waitUntil(lambda: not widget.panel.cancel.enabled, timeout=LONG)
    followed = widget.session.result
    assert followed.volume is not None
    viewer = widget.session.viewer
    for step in (5, 4):  # there are prompts on 4
        viewer.dims.set_current_step(0, step)
        qtbot.wait(QUIET)
    draw(widget, SECOND)
    qtbot.wait(QUIET)
    assert widget.session.result is followed
    assert "Whole stack" in widget.panel.status.value
    type_key(widget, ACCEPT)
    assert len(np.unique(np.nonzero(widget.session.labels_layer.data)[0])) > 2
    shown(widget)  # now the second box


def test_drawing_does_not_download_a_model(
    make: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    widget = make("mobile_sam")
    monkeypatch.setattr(
        "napari_sam.plugin.state.model_choice.is_cached", lambda _: False
    )
    draw(widget, FIRST)
    qtbot.wait(QUIET)
    assert not widget.panel.cancel.enabled
    assert widget.panel.segment_slice.enabled  # which brings it


def test_next_alternative_sets_the_size_of_later_objects(
    make: Any, shown: Any, qtbot: Any
) -> None:
    widget = make(Ambiguous())
    draw(widget, (10, 10, 20, 20))
    shown(widget)
    areas = [np.count_nonzero(mask(widget))]
    assert "medium of 3 alternatives" in widget.panel.status.value
    for size in ("large", "small"):
        type_key(widget, NEXT)
        assert widget.session.size == size
        assert size in widget.panel.status.value
        areas.append(np.count_nonzero(mask(widget)))
    assert areas == [121, 17 * 17, 25]
    type_key(widget, ACCEPT)
    labels = widget.session.labels_layer.data
    assert np.count_nonzero(labels) == 25
    draw(widget, (25, 25, 35, 35))
    shown(widget)
    assert np.count_nonzero(mask(widget)) == 25  # small is what is meant now
    (entry,) = widget.session.record()["objects"]["1"]
    assert entry["size"] == "small"


def test_next_alternative_is_refused_without_alternatives(
    widget: SamWidget, shown: Any
) -> None:
    draw(widget, FIRST)
    shown(widget)
    assert not widget.panel.next_alternative.enabled
    with pytest.raises(ValueError, match="no alternative masks"):
        widget.session.next_alternative()


def test_closing_unbinds_only_the_own_keys() -> None:
    viewer = ViewerModel()
    mine: list[str] = []
    viewer.bind_key("W", lambda _: mine.append("mine"))
    keys = KeyBindings(
        viewer, {"a": lambda: None, "b": lambda: None}, {"a": "W", "b": "Q"}
    )
    assert keys.bound == {"Q"}
    keys.close()
    assert [str(key) for key in viewer.keymap] == ["W"]


def test_keys_are_free_in_all_layers() -> None:
    from napari.utils.shortcuts import default_shortcuts

    taken = {str(key) for keys in default_shortcuts.values() for key in keys}
    keys = [spec.key for spec in BUTTONS.values() if spec.key]
    assert taken.isdisjoint({*keys, POLARITY})
    assert len({*keys, POLARITY}) == len(keys) + 1


def test_closed_widget_runs_no_request(
    widget: SamWidget, model: Counting, qtbot: Any
) -> None:
    widget.disconnect_viewer()
    draw(widget, FIRST)
    widget.session.viewer.dims.set_current_step(0, 3)
    qtbot.wait(QUIET)
    assert model.batches == []
    assert not widget.session.viewer.keymap


# -- encoding ahead --------------------------------------------------------------


class Encoding(BrightPredictor):
    """Tells which planes it encoded, by their brightest column sums."""

    def __init__(self, stack: np.ndarray) -> None:
        super().__init__("encoding")
        self.stack = stack
        self.planes: list[int] = []

    def embed(self, plane: Any, contrast_limits: Any = None, **shape: Any) -> Any:
        same = [i for i, p in enumerate(self.stack) if np.array_equal(p, plane)]
        self.planes += same[:1]
        return super().embed(plane, contrast_limits, **shape)


@pytest.fixture
def different(stack: np.ndarray) -> np.ndarray:
    """The balls, with every slice a little different."""
    varied = stack.copy()
    varied[:, 0, 0] = np.arange(len(stack))
    return varied


@pytest.fixture
def scrolling(make: Any, different: np.ndarray, qtbot: Any, shown: Any) -> SamWidget:
    """After the first object was segmented on slice 4."""
    widget: SamWidget = make(Encoding(different))
    widget.session.viewer.layers["balls"].data = different
    draw(widget, FIRST)
    shown(widget)
    return widget


def test_displayed_and_next_slice_are_prefetched(
    scrolling: SamWidget, qtbot: Any
) -> None:
    planes = scrolling.session.load().planes
    assert planes == [4]
    scrolling.session.viewer.dims.set_current_step(0, 5)
    qtbot.waitUntil(lambda: planes == [4, 5, 6], timeout=LONG)
    scrolling.session.viewer.dims.set_current_step(0, 3)  # back: the one before
    qtbot.waitUntil(lambda: planes == [4, 5, 6, 3, 2], timeout=LONG)
    assert not scrolling.panel.cancel.enabled  # prefetching is not shown


@dataclass
class SlowLoading:
    """A widget whose model loads when it is let go, and what was loaded."""

    widget: SamWidget
    loaded: list[Encoding]
    go: threading.Event


@pytest.fixture
def loading(
    different: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SlowLoading]:
    loaded: list[Encoding] = []
    go = threading.Event()

    def load(*_: Any, **__: Any) -> Encoding:
        go.wait(LONG / 1000)
        loaded.append(Encoding(different))
        return loaded[-1]

    monkeypatch.setattr(
        "napari_sam.plugin.state.model_choice.is_cached", lambda _: True
    )
    monkeypatch.setattr("napari_sam.prediction.loading.load_model", load)
    viewer = ViewerModel()
    viewer.add_image(different, contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 4)
    loading = SlowLoading(SamWidget(viewer), loaded, go)
    yield loading
    loading.widget.disconnect_viewer()


def test_start_loads_the_model_and_encodes_what_is_displayed(
    loading: SlowLoading, qtbot: Any
) -> None:
    widget = loading.widget
    widget.session.viewer.dims.set_current_step(0, 5)
    qtbot.wait(700)
    assert widget.session.model_choice.loaded is None  # the user may only look
    press(widget.panel.new_prompts)
    assert "Loading the model" in widget.panel.status.value
    assert not widget.panel.cancel.enabled
    loading.go.set()
    qtbot.waitUntil(
        lambda: bool(loading.loaded and loading.loaded[0].planes), timeout=LONG
    )
    assert loading.loaded[0].planes[0] == 5
    assert "Loading" not in widget.panel.status.value


def test_a_prompt_drawn_while_the_model_loads_loads_it_once(
    loading: SlowLoading, qtbot: Any
) -> None:
    widget = loading.widget
    press(widget.panel.new_prompts)
    draw(widget, FIRST)
    qtbot.waitUntil(lambda: widget.connected._runner.busy, timeout=LONG)
    loading.go.set()
    qtbot.waitUntil(lambda: widget.session.result is not None, timeout=LONG)
    assert len(loading.loaded) == 1


def test_prompt_interrupts_prefetching(
    scrolling: SamWidget, shown: Any, qtbot: Any
) -> None:
    scrolling.connected._prefetcher.encode()
    scrolling.session.shapes_layer.data = [corners(SECOND, 4)]
    qtbot.waitUntil(lambda: bool(mask(scrolling)[28, 38]), timeout=LONG)


# -- the first minute --------------------------------------------------------------


def test_start_adds_layers_and_shows_three_steps(stack: np.ndarray, qtbot: Any) -> None:
    viewer = ViewerModel()
    widget = SamWidget(viewer)
    try:
        assert not widget.panel.new_prompts.enabled
        viewer.add_image(stack, contrast_limits=(0, 255))
        assert widget.panel.new_prompts.text == "Start"
        assert "Start" in widget.panel.status.value
        press(widget.panel.new_prompts)
        assert viewer.layers.selection.active is widget.session.shapes_layer
        assert widget.session.shapes_layer.mode == "add_rectangle"
        lines = widget.panel.status.value.splitlines()
        assert [line[:2] for line in lines[:3]] == ["1.", "2.", "3."]
        assert widget.panel.new_prompts.text == "New drawing layers"
    finally:
        widget.disconnect_viewer()


def test_download_button_downloads_the_weights(
    make: Any, shown: Any, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[bool] = []
    monkeypatch.setattr(
        "napari_sam.plugin.state.model_choice.is_cached", lambda _: bool(there)
    )

    def load(*_: Any, progress: Any = None, **__: Any) -> BrightPredictor:
        for done in (10**7, 2 * 10**7):
            progress(done, 4 * 10**7)
        there.append(True)
        return BrightPredictor("loaded")

    monkeypatch.setattr("napari_sam.prediction.loading.load_model", load)
    widget = make("mobile_sam")
    qtbot.addWidget(widget.native)
    widget.native.show()
    widget.panel.model.value = "mobile_sam"
    assert widget.panel.download.visible
    assert "41 MB, Apache-2.0" in widget.panel.download.text
    draw(widget, FIRST)
    qtbot.wait(QUIET)
    assert widget.session.result is None
    press(widget.panel.download)
    shown(widget)  # what was drawn before is answered now
    assert not widget.panel.download.visible
    assert mask(widget)[15, 20]


@pytest.mark.parametrize("order", ["widget first", "sample first"])
def test_sample_with_prompts_is_segmented_at_once(
    order: str, shown: Any, qtbot: Any
) -> None:
    viewer = ViewerModel()
    samples = [sample_data.coins_with_box()]
    if order == "sample first":
        add(viewer, samples.pop())
    widget = SamWidget(viewer)
    try:
        widget.session.model = BrightPredictor(threshold=100)
        for sample in samples:
            add(viewer, sample)
        assert widget.session.shapes_layer is viewer.layers["SAM boxes"]
        widget.connected._watcher.notice()
        shown(widget)
        assert len(widget.session.result.pieces) == 1
    finally:
        widget.disconnect_viewer()


def add(viewer: ViewerModel, sample: Any) -> None:
    for data, options, kind in sample:
        viewer.add_layer(Layer.create(data, options, kind))


def test_boxes_of_the_head_sample_lie_on_its_slices() -> None:
    viewer = ViewerModel()
    add(viewer, sample_data.head_with_boxes())
    image, boxes = viewer.layers
    plane = [
        nearest(image.world_to_data(boxes.data_to_world(b[0]))[0]) for b in boxes.data
    ]
    assert plane == list(samples.head_prompts()[1])
    assert (boxes.units, boxes.axis_labels) == (image.units, image.axis_labels)


def test_tooltip_of_a_disabled_button_gives_the_reason(
    widget: SamWidget, shown: Any
) -> None:
    assert "no preview" in widget.panel.accept.tooltip
    assert "labels layer" in widget.panel.refine.tooltip
    draw(widget, FIRST)
    shown(widget)
    assert widget.panel.accept.tooltip == BUTTONS["accept"].tooltip
    assert "no alternative" in widget.panel.next_alternative.tooltip
    for name, spec in BUTTONS.items():
        assert spec.tooltip, name
