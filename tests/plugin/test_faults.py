"""Random sequences of actions never fail, and never change layers of the user."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from napari.layers import Image, Layer
from napari.utils.notifications import notification_manager

from napari_sam.plugin.widget import SamWidget
from tests.helpers.random_user import CENTRES, MODELS, User, balls, is_sentence

ACTIONS = 15


@pytest.mark.parametrize("seed", range(0, 200, 50))
def test_random_actions_never_fail_or_change_other_layers(seed: int) -> None:
    succeeded: set[str] = set()
    for number in range(seed, seed + 50):
        user = User(np.random.default_rng(number))
        user.check()
        try:
            for _ in range(ACTIONS):
                user.act()
                user.check()
            user.finish()
        except Exception as error:
            error.add_note(f"seed {number}: {', '.join(user.done)}")
            raise
        succeeded.update(user.done)
    # Else nothing would have been tested; refusals are written down as such.
    assert {name for name in dir(User) if name.startswith("do_")} <= succeeded


# -- the widget ----------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_old_notifications() -> None:
    notification_manager.records.clear()


@dataclass
class Presser:
    """Somebody who presses buttons of a widget, and edits layers between."""

    rng: np.random.Generator
    viewer: Any
    widget: SamWidget
    qtbot: Any
    taken_out: list[Layer] = field(default_factory=list)

    def pick(self, items: Any) -> Any:
        items = list(items)
        return items[self.rng.integers(len(items))] if items else None

    def wait(self) -> None:
        self.qtbot.waitUntil(
            lambda: not self.widget.panel.cancel.enabled, timeout=20_000
        )

    def press(self, *names: str) -> None:
        button = self.widget.panel.buttons[self.pick(names)]
        if button.enabled:
            button.native.click()

    def draw(self) -> None:
        layer = self.widget.session.shapes_layer
        if layer is None or layer not in self.viewer.layers or layer.ndim != 3:
            return
        z, row, col = self.pick(CENTRES)
        z = int(np.round(layer.world_to_data(self.viewer.dims.point)[0]))
        box = [
            (row - 6, col - 6),
            (row - 6, col + 6),
            (row + 6, col + 6),
            (row + 6, col - 6),
        ]
        layer.add_rectangles(np.array([(z, *corner) for corner in box], float))

    def edit(self) -> None:
        layers, rng = self.viewer.layers, self.rng
        what = int(rng.integers(8))
        layer = self.pick(layers)
        if what == 0 and self.taken_out:
            layers.append(self.taken_out.pop())
        elif what == 1:
            self.viewer.add_image(balls(), contrast_limits=(0, 255), name="volume")
        elif layer is None:
            return
        elif what == 2:
            layers.remove(layer)
            self.taken_out.append(layer)
        elif what == 3:
            layer.name = self.pick(["volume", "SAM labels", "x"])
        elif what == 4:
            layers.move(0, len(layers))
        elif what == 5:
            layers.selection.active = layer
        elif what == 6 and type(layer) is Image:
            layer.data = layer.data.copy()
        elif what == 7:
            layer.visible = not layer.visible

    def look(self) -> None:
        dims = self.viewer.dims
        what = int(self.rng.integers(4))
        if what == 0:
            dims.ndisplay = self.pick([2, 3])
        elif what == 1:
            dims.order = tuple(int(a) for a in self.rng.permutation(dims.ndim))
        else:
            dims.ndisplay = 2
            dims.set_current_step(0, int(self.rng.integers(dims.nsteps[0])))

    def choose(self) -> None:
        widget = self.widget
        what = int(self.rng.integers(5))
        if what == 0:
            widget.session.model = self.pick(MODELS)
        elif what == 1:
            choice = self.pick(widget.panel.layer_choices)
            choice.combo.value = self.pick(choice.combo.choices)
        elif what == 2:
            combo = self.pick(
                [widget.panel.advanced.policy, widget.panel.advanced.label_choice]
            )
            combo.value = self.pick(combo.choices)
        elif what == 3:
            combo = self.pick(
                [widget.panel.advanced.intensity, *widget.panel.advanced.channels]
            )
            combo.value = self.pick(combo.choices)
        else:
            widget.panel.each_prompt.value = not widget.panel.each_prompt.value

    def act(self) -> None:
        share = self.rng.random()
        if share < 0.25:
            self.press("segment_slice", "segment_stack")
        elif share < 0.45:
            self.wait()
            self.press("accept", "accept", "discard")
        elif share < 0.6:
            self.press(
                "new_prompts", "positive", "negative", "refine", "previous", "cancel"
            )
        elif share < 0.75:
            self.draw()
        else:
            self.pick([self.edit, self.edit, self.look, self.choose])()
        if self.rng.random() < 0.4:
            self.wait()


def opened(viewer: Any, rng: np.random.Generator, qtbot: Any) -> Presser:
    widget = SamWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.session.model = MODELS[0]
    return Presser(rng, viewer, widget, qtbot)


# With one viewer both widgets share its layers.
@pytest.mark.parametrize(("viewers", "seed"), [(2, 0), (2, 1), (2, 2)])
def test_random_presses_in_two_widgets_never_fail(
    make_napari_viewer: Any, qtbot: Any, viewers: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    windows = [make_napari_viewer() for _ in range(viewers)]
    for viewer in windows:
        viewer.add_image(balls(), contrast_limits=(0, 255), name="volume")
        viewer.dims.set_current_step(0, 2)
    pressers = [opened(windows[i % viewers], rng, qtbot) for i in range(2)]
    with qtbot.capture_exceptions() as exceptions:
        for presser in pressers:
            presser.press("new_prompts")
            presser.draw()
        for _ in range(30):
            pressers[int(rng.integers(2))].act()
            qtbot.wait(1)
            assert not exceptions
        for presser in pressers:
            presser.wait()
            presser.widget.disconnect_viewer()
        for viewer in windows:
            viewer.layers.clear()
        qtbot.wait(20)
    assert not exceptions
    for record in notification_manager.records:
        assert is_sentence(record.message), record.message
