"""The real viewer, the real weights: what a user presses equals what a script gives."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from npe2 import PluginManifest
from qtpy.QtCore import QThread

import napari_sam as ns
from napari_sam import samples
from napari_sam.api import paint
from napari_sam.plugin.widget import SamWidget
from napari_sam.plugin.worker import Cancelled, Worker
from tests.plugin.conftest import FIRST, corners

ROOT = Path(__file__).parents[2]


@pytest.fixture
def wait(qtbot: Any) -> Callable[[SamWidget], None]:
    def until_idle(widget: SamWidget) -> None:
        qtbot.waitUntil(lambda: not widget._worker.busy, timeout=120_000)

    return until_idle


def press(button: Any) -> None:
    button.changed.emit(True)


def test_the_manifest_is_valid_and_linked() -> None:
    manifest = PluginManifest.from_distribution("napari-sam")
    manifest.validate_imports()
    assert (ROOT / "napari.yaml").read_text() == (
        ROOT / "src" / "napari_sam" / "napari.yaml"
    ).read_text()


@pytest.mark.weights
@pytest.mark.canvas
def test_a_slice_in_the_viewer_equals_the_script(
    make_napari_viewer: Any, wait: Any, default_predictor: Any
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.open_sample("napari-sam", "coins")
    image = viewer.layers["coins"]
    widget = SamWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.session.model = default_predictor
    press(widget.new_prompts)
    box = samples.coin_boxes()[3]
    centre = samples.coin_centres()[5]
    widget.session.shapes_layer.add_rectangles(corners(box))
    widget.session.points_layer.add([centre])
    widget.each.value = True
    press(widget.segment_slice)
    wait(widget)
    assert "2 objects in the preview" in widget.status.value
    picture = viewer.screenshot(canvas_only=True, flash=False)
    assert picture[..., :3].std() > 10
    press(widget.accept)
    prompts = [ns.Prompt(box=box), ns.Prompt(points=[centre])]
    limits = tuple(image.contrast_limits)
    embedding = default_predictor.embed(samples.coins(), limits)
    answers = default_predictor.predict_batch(embedding, prompts)
    expected = paint(default_predictor, embedding, answers)
    np.testing.assert_array_equal(viewer.layers["SAM labels"].data, expected)
    boxed = ns.segment(
        samples.coins(), boxes=[box], model=default_predictor, contrast_limits=limits
    )
    np.testing.assert_array_equal(expected == 1, boxed == 1)
    widget.disconnect_viewer()


@pytest.mark.weights
@pytest.mark.canvas
def test_a_stack_in_the_viewer_equals_the_script(
    make_napari_viewer: Any, wait: Any, default_predictor: Any
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.open_sample("napari-sam", "head")
    sample = viewer.layers["head"]
    few = slice(17, 21)
    limits = tuple(sample.contrast_limits)
    image = viewer.add_image(
        sample.data[few], scale=sample.scale, units=sample.units, contrast_limits=limits
    )
    widget = SamWidget(viewer)
    viewer.window.add_dock_widget(widget)
    widget.session.model = default_predictor
    widget.image.select(image)
    press(widget.new_prompts)
    prompt = samples.head_prompts()[1][18]
    widget.session.shapes_layer.add_rectangles(corners(prompt.box, 1))
    viewer.dims.set_current_step(0, 1)
    press(widget.segment_stack)
    wait(widget)
    assert viewer.dims.nsteps[0] == len(sample.data)  # the preview adds no steps
    press(widget.accept)
    script = ns.segment_volume(
        image.data, {1: prompt}, model=default_predictor, contrast_limits=limits
    )
    np.testing.assert_array_equal(viewer.layers["SAM labels"].data, script.labels)
    assert script.labels.any(axis=(1, 2)).sum() >= 3
    widget.disconnect_viewer()


def test_refusals_are_notifications_and_change_nothing(
    make_napari_viewer: Any, wait: Any, bright: Any, stack: np.ndarray
) -> None:
    from napari.utils.notifications import notification_manager

    viewer = make_napari_viewer()
    widget = SamWidget(viewer)
    widget.session.model = bright
    assert not widget.segment_slice.enabled
    image = viewer.add_image(stack, contrast_limits=(0, 255))
    assert widget.segment_slice.enabled
    notification_manager.records.clear()
    press(widget.segment_slice)
    assert "no new prompts" in notification_manager.records[-1].message
    press(widget.new_prompts)
    widget.session.shapes_layer.add_rectangles(corners(FIRST, 4))
    viewer.dims.set_current_step(0, 4)
    press(widget.segment_slice)
    viewer.layers.remove(image)  # while it is under way
    wait(widget)
    assert "image was removed" in notification_manager.records[-1].message
    assert widget.session.result is None
    widget.disconnect_viewer()


def test_a_damaged_model_file_is_a_sentence(
    make_napari_viewer: Any, wait: Any, stack: np.ndarray, tmp_path: Path
) -> None:
    from napari.utils.notifications import notification_manager

    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"PK not really")
    viewer = make_napari_viewer()
    viewer.add_image(stack)
    widget = SamWidget(viewer)
    widget.model.value = "own file ..."
    widget.model_file.value = broken
    press(widget.new_prompts)
    widget.session.shapes_layer.add_rectangles(corners(FIRST, 4))
    viewer.dims.set_current_step(0, 4)
    notification_manager.records.clear()
    press(widget.segment_slice)
    wait(widget)
    assert "broken.pth" in notification_manager.records[-1].message
    assert widget.segment_slice.enabled
    widget.disconnect_viewer()


def test_choices_follow_the_layers(make_napari_viewer: Any, stack: np.ndarray) -> None:
    viewer = make_napari_viewer()
    widget = SamWidget(viewer)
    layer = viewer.add_image(stack, name="before")
    widget.image.select(layer)
    layer.name = "after"
    assert "after" in widget.image.combo.current_choice
    assert widget.session.image_layer is layer
    viewer.layers.remove(layer)
    assert widget.session.image_layer is None
    widget.disconnect_viewer()


def test_the_worker_delivers_on_the_main_thread_and_the_latest_wins(qtbot: Any) -> None:
    worker, log = Worker(), []
    main = QThread.currentThread()

    def job(name: str) -> Any:
        def steps(report: Any) -> Any:
            assert QThread.currentThread() is not main
            yield from range(3)
            report("inside")
            return name

        return steps

    def submit(task: Any, name: str) -> None:
        worker.submit(
            task,
            on_progress=lambda v: log.append(("progress", v)),
            on_result=lambda v: log.append((v, QThread.currentThread() is main)),
            on_error=lambda e: log.append(("error", str(e))),
            on_end=lambda: log.append(("end", name)),
        )

    submit(job("first"), "first")
    submit(job("second"), "second")
    qtbot.waitUntil(lambda: ("end", "second") in log, timeout=5000)
    assert ("second", True) in log
    assert all(entry[0] != "first" for entry in log)
    assert [v for k, v in log if k == "progress"] == [0, 1, 2, "inside"]

    def failing(report: Any) -> Any:
        yield 1
        raise ValueError("a sentence")

    submit(failing, "third")
    qtbot.waitUntil(lambda: ("end", "third") in log, timeout=5000)
    assert ("error", "a sentence") in log
    worker.close(5)


def test_cancel_reaches_into_a_long_call(qtbot: Any) -> None:
    worker, seen = Worker(), []

    def endless(report: Any) -> Any:
        yield "started"
        try:
            while True:
                report("still")
        except Cancelled:
            seen.append("cancelled")
            raise

    results: list[Any] = []
    worker.submit(
        endless,
        on_progress=lambda _: worker.cancel(),
        on_result=results.append,
        on_error=results.append,
        on_end=lambda: seen.append("end"),
    )
    qtbot.waitUntil(lambda: "cancelled" in seen and "end" in seen, timeout=5000)
    assert not results
    assert not worker.busy
    worker.close(5)
