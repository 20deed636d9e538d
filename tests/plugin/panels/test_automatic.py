"""Automatic segmentation in the viewer: search, thresholds, commit and record."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.linking import Linking
from napari_sam.plugin.panels.status_text import committed_text
from napari_sam.plugin.session import SamSession
from napari_sam.plugin.widget import SamWidget
from napari_sam.prediction.steps import run_to_end
from napari_sam.records.replay import replay
from napari_sam.requests.automatic_stack import AutomaticStackRequest
from tests.helpers.discs import DISCS, PLANE, DiscPredictor, discs, same_objects
from tests.helpers.instances import InstancePredictor
from tests.helpers.sessions import corners, press, written

SIZES = sorted(np.bincount(discs().ravel())[1:].tolist())


@pytest.fixture
def session() -> SamSession:
    """A session on the second of three slices, which has discs."""
    viewer = ViewerModel()
    stack = np.stack([np.zeros_like(PLANE), PLANE, np.zeros_like(PLANE)])
    viewer.add_image(stack, name="discs", scale=(2, 1, 1), contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 1)
    return SamSession(viewer, DiscPredictor("box"))


def pending_objects(session: SamSession) -> int:
    assert session.result is not None
    return len({piece.object_id for piece in session.result.pieces})


def test_all_objects_are_one_undo_step(
    session: SamSession,
) -> None:
    session.segment_everything()
    assert pending_objects(session) == len(DISCS)
    assert session.labels_layer is None
    session.commit()
    labels = written(session)
    same_objects(labels[1], discs())
    assert not labels[[0, 2]].any()
    assert session.labels_layer is not None
    session.labels_layer.undo()
    assert not written(session).any()


def test_objects_that_are_there_already_are_not_written_again(
    session: SamSession,
) -> None:
    session.new_prompt_layers()
    assert session.shapes_layer is not None
    session.shapes_layer.add_rectangles(corners((2, 4, 40, 40), 1))
    session.preview()
    session.commit()
    before = written(session).copy()
    session.segment_everything()
    session.commit()
    labels = written(session)
    same_objects(labels[1], discs())
    assert labels.max() == len(DISCS)
    assert_array_equal(labels[before > 0], before[before > 0])
    done = session.target.last_written
    assert done is not None
    assert done.covered == 1
    assert committed_text(done).startswith("1 object was there already")
    again = replay(session.record(), session.viewer.layers["discs"].data, session.model)
    assert_array_equal(again, labels)


def test_nothing_is_written_when_all_objects_are_there(session: SamSession) -> None:
    session.segment_everything()
    session.commit()
    before = written(session).copy()
    session.segment_everything()
    with pytest.raises(ValueError, match=r"All 4 objects are in .* already"):
        session.commit()
    assert_array_equal(written(session), before)
    session.discard()
    session.target.policy = "overwrite"
    session.segment_everything()
    session.commit()
    same_objects(written(session)[1], discs())


def test_shape_on_the_slice_limits_the_search(session: SamSession) -> None:
    session.new_prompt_layers()
    assert session.shapes_layer is not None
    session.shapes_layer.add_rectangles(corners((2, 4, 40, 40), 1))
    session.shapes_layer.add_rectangles(corners((40, 40, 80, 80), 0))  # elsewhere
    session.segment_everything()
    session.commit()
    same_objects(written(session)[1], np.where(discs() == 1, 1, 0))
    assert len(session.shapes_layer.data) == 1  # the one that was used is gone


def test_live_preview_does_not_replace_the_result(session: SamSession) -> None:
    session.segment_everything()
    session.new_prompt_layers()
    assert session.shapes_layer is not None
    session.shapes_layer.add_rectangles(corners((5, 5, 30, 30), 1))
    assert session.live_request() is None
    assert pending_objects(session) == len(DISCS)


def test_replay_gives_the_same_labels(session: SamSession) -> None:
    session.new_prompt_layers()
    assert session.shapes_layer is not None
    session.shapes_layer.add_ellipses(corners((4, 4, 45, 90), 1))
    session.thresholds = Thresholds(min_size=SIZES[0])
    session.segment_everything()
    session.commit()
    assert written(session).any()
    (image,) = (la for la in session.viewer.layers if la.name == "discs")
    again = replay(session.record(), image.data, session.model)
    assert_array_equal(again, written(session))


@pytest.fixture
def stack_session() -> SamSession:
    """A session for all of three slices with the same discs."""
    viewer = ViewerModel()
    planes = [np.where(PLANE > 127, 255 - index, 0) for index in range(3)]
    viewer.add_image(
        np.stack(planes).astype(np.uint8), name="discs", contrast_limits=(0, 255)
    )
    session = SamSession(viewer, DiscPredictor("box"))
    session.everything_in_stack = True
    return session


def test_objects_of_all_slices_are_linked(stack_session: SamSession) -> None:
    result = stack_session.segment_everything()
    assert {s.index for s in result.scores[1]} == {0, 1, 2}
    stack_session.commit()
    labels = written(stack_session)
    for plane in labels:
        same_objects(plane, discs())
    assert labels.max() == len(DISCS)
    (image,) = (la for la in stack_session.viewer.layers if la.name == "discs")
    alone = ns.segment_everything_volume(
        image.data, stack_session.model, contrast_limits=(0, 255)
    )
    assert_array_equal(labels, alone)
    assert stack_session.labels_layer is not None
    stack_session.labels_layer.undo()
    assert not written(stack_session).any()


@pytest.mark.parametrize("kind", ["session", "stack_session"])
def test_thresholds_change_the_pending_result_without_the_model(
    kind: str, request: pytest.FixtureRequest
) -> None:
    session: SamSession = request.getfixturevalue(kind)
    session.segment_everything()
    model: Any = session.model
    count = len(model.received)
    session.thresholds = Thresholds(min_size=SIZES[1])
    session.refinish_pending()
    assert pending_objects(session) == len(DISCS) - 1
    session.thresholds = Thresholds()
    session.refinish_pending()
    assert pending_objects(session) == len(DISCS)
    assert len(model.received) == count


def test_linking_changes_the_pending_result_without_the_model() -> None:
    viewer = ViewerModel()
    planes = [PLANE, np.zeros_like(PLANE), np.where(PLANE > 127, 180, 0)]
    viewer.add_image(
        np.stack(planes).astype(np.uint8), name="discs", contrast_limits=(0, 255)
    )
    session = SamSession(viewer, DiscPredictor("box"))
    session.everything_in_stack = True
    result = session.segment_everything()
    model: Any = session.model
    count = len(model.received)
    assert pending_objects(session) == len(DISCS)
    statuses = [score.status for score in result.scores[1]]
    assert statuses == ["everything", "bridged", "everything"]
    for linking, expected in (
        (Linking(gap=0, min_slices=2), 0),
        (Linking(gap=0, min_slices=1), 2 * len(DISCS)),
        (Linking(gap=1, min_slices=4), 0),
        (Linking(gap=1, min_slices=3), len(DISCS)),
    ):
        session.linking = linking
        session.refinish_pending()
        assert pending_objects(session) == expected
    session.commit()
    same_objects(written(session)[1], discs())
    assert len(model.received) == count


def test_replay_of_a_stack_gives_the_same_labels(stack_session: SamSession) -> None:
    stack_session.thresholds = Thresholds(min_size=SIZES[1])
    stack_session.segment_everything()
    stack_session.commit()
    (image,) = (la for la in stack_session.viewer.layers if la.name == "discs")
    again = replay(stack_session.record(), image.data, stack_session.model)
    assert_array_equal(again, written(stack_session))


def test_stopped_stack_keeps_finished_slices(stack_session: SamSession) -> None:
    question = stack_session.build_automatic_request()
    assert isinstance(question.request, AutomaticStackRequest)
    model: Any = stack_session.model
    work = question.request.run(
        model, stack_session.cache, lambda: len(model.embedded) == 2
    )
    stack_session.accept_result(question, run_to_end(work))
    stack_session.commit()
    labels = written(stack_session)
    assert labels[:2].all(axis=0).sum() == (discs() > 0).sum()
    assert not labels[2].any()
    (image,) = (la for la in stack_session.viewer.layers if la.name == "discs")
    assert_array_equal(replay(stack_session.record(), image.data, model), labels)


@pytest.fixture
def widget(session: SamSession, qtbot: Any) -> Any:
    made = SamWidget(session.viewer)
    made.panel.live.value = False
    made.session.model = DiscPredictor("box")
    yield made
    made.disconnect_viewer()


def test_button_searches_and_sliders_select(widget: SamWidget, qtbot: Any) -> None:
    def idle() -> bool:
        return not widget.panel.cancel.enabled

    assert "search over boxes" in widget.panel.automatic.method.value
    press(widget.panel.segment_everything)
    qtbot.waitUntil(lambda: idle() and widget.session.result is not None)
    assert widget.panel.sections["everything"].isExpanded()  # its thresholds are there
    assert "4 objects" in widget.panel.status.value
    widget.panel.automatic.controls["min_size"].value = SIZES[1]
    qtbot.waitUntil(lambda: idle() and "3 objects" in widget.panel.status.value)
    widget.panel.automatic.controls["quality"].value = 1.0
    qtbot.waitUntil(lambda: idle() and "No object passes" in widget.panel.status.value)
    widget.panel.automatic.controls["quality"].value = 0.7
    widget.panel.automatic.controls["min_size"].value = 0
    qtbot.waitUntil(lambda: idle() and "4 objects" in widget.panel.status.value)
    press(widget.panel.accept)
    same_objects(written(widget.session)[1], discs())


def test_the_panel_shows_what_the_method_of_the_model_needs(widget: SamWidget) -> None:
    automatic, head = widget.panel.automatic, InstancePredictor()

    def is_shown(name: str) -> bool:
        return not automatic.controls[name].native.isHidden()

    assert is_shown("pred_iou")
    assert automatic.controls["quality"].value == 0.7
    widget.session.use_model(head)
    assert "all of them at once" in automatic.method.value
    assert not is_shown("pred_iou")
    assert automatic.controls["quality"].value == 0.4
    automatic.controls["diameter"].value = 12
    assert widget.session.search.object_diameter == 12
    widget.session.use_model(DiscPredictor("box"))
    assert is_shown("pred_iou")
    assert widget.session.search.object_diameter is None


def test_sizes_are_in_the_unit_of_the_image(widget: SamWidget) -> None:
    widget.session.use_model(InstancePredictor())
    automatic, image = widget.panel.automatic, widget.session.viewer.layers["discs"]
    controls = automatic.controls
    controls["min_size"].value, controls["diameter"].value = 30, 12
    image.scale, image.units = (1, 0.5, 0.5), ("pixel", "um", "um")
    widget.session.changed.emit()
    assert controls["min_size"].native.text() == "7.50 µm²"
    assert controls["diameter"].native.text() == "6.00 µm"
    assert widget.session.thresholds.min_size == 30
    assert widget.session.search.object_diameter == 12
    controls["max_size"].value, controls["diameter"].value = 100, 8
    assert widget.session.thresholds.max_size == 400
    assert widget.session.search.object_diameter == 16
    assert widget.session.thresholds.min_size == 30


def test_linking_is_shown_with_all_slices(widget: SamWidget, qtbot: Any) -> None:
    def idle() -> bool:
        return not widget.panel.cancel.enabled

    automatic = widget.panel.automatic
    assert automatic.linking.native.isHidden()
    automatic.controls["in_stack"].value = True
    assert not automatic.linking.native.isHidden()
    automatic.controls["min_slices"].value = 1
    press(widget.panel.segment_everything)
    qtbot.waitUntil(lambda: idle() and "4 objects" in widget.panel.status.value)
    automatic.controls["min_slices"].value = 2  # they are on one slice only
    qtbot.waitUntil(lambda: idle() and "No object passes" in widget.panel.status.value)
    automatic.controls["in_stack"].value = False
    assert automatic.linking.native.isHidden()


def test_cancelled_search_leaves_no_result(widget: SamWidget, qtbot: Any) -> None:
    press(widget.panel.segment_everything)
    press(widget.panel.cancel)
    qtbot.waitUntil(lambda: not widget.panel.cancel.enabled)
    assert widget.session.result is None
    assert widget.session.labels_layer is None
    assert widget.panel.segment_everything.enabled


# -- picking ----------------------------------------------------------------------


@pytest.fixture
def found(session: SamSession) -> SamSession:
    """A session in which an instance head found all discs."""
    session.use_model(InstancePredictor())
    session.segment_everything()
    assert pending_objects(session) == len(DISCS)
    return session


def test_an_object_is_left_out_and_added_again(found: SamSession) -> None:
    row, col = next(iter(DISCS))
    found.toggle_object((1, row + 3.4, col))
    assert pending_objects(found) == len(DISCS) - 1
    assert found.result is not None
    (offered,) = found.result.unlikely
    assert offered.mask[row - offered.origin[0], col - offered.origin[1]]
    found.toggle_object((1, row, col - 2))
    assert pending_objects(found) == len(DISCS)


def test_a_faint_object_is_added_and_recorded(found: SamSession) -> None:
    found.thresholds = Thresholds(quality_thresh=1.0)
    found.refinish_pending()
    assert found.result is not None and pending_objects(found) == 0
    assert len(found.result.unlikely) == len(DISCS)
    row, col = next(iter(DISCS))
    found.toggle_object((1, row, col))
    assert pending_objects(found) == 1
    found.commit()
    labels = written(found)
    assert (labels[1] > 0).sum() == (discs() == 1).sum()
    image = found.viewer.layers["discs"].data
    assert_array_equal(replay(found.record(), image, found.model), labels)
    # The next search starts without what was picked.
    found.segment_everything()
    assert pending_objects(found) == 0


@pytest.mark.parametrize("position", [(0, 20, 22), (1, 0, 0), (1, 500, -3)])
def test_a_click_elsewhere_changes_nothing(found: SamSession, position: Any) -> None:
    before = found.result
    found.toggle_object(position)
    assert found.result is before


def test_sliders_keep_what_was_picked(widget: SamWidget, qtbot: Any) -> None:
    widget.session.use_model(InstancePredictor())
    session, automatic = widget.session, widget.panel.automatic
    session.segment_everything()
    row, col = next(iter(DISCS))
    widget.preview_layer.clicked.emit((1, row, col))
    automatic.controls["min_size"].value = 1
    assert session.thresholds.dropped == ((row, col),)
    qtbot.waitUntil(lambda: pending_objects(session) == len(DISCS) - 1)
    assert "Click one to leave it out" in widget.panel.status.value


def test_the_preview_takes_clicks_until_it_is_gone(
    widget: SamWidget, qtbot: Any
) -> None:
    session, layers = widget.session, widget.session.viewer.layers
    session.use_model(InstancePredictor())
    session.new_prompt_layers()
    before = layers.selection.active
    session.segment_everything()
    preview = widget.preview_layer.layer
    assert preview is not None and layers.selection.active is preview
    layers.selection.active = layers["discs"]
    row, col = next(iter(DISCS))
    session.toggle_object((1, row, col))
    assert layers.selection.active is layers["discs"]  # the user went there
    layers.selection.active = preview
    session.discard()
    assert layers.selection.active is before
