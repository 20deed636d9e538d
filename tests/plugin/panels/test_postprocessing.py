"""Clean-up of pending results and of labels: preview, undo and record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.masks.cleanup import CleanUp
from tests.helpers.cleanup import clean_up_labels
from tests.helpers.sessions import FIRST, SECOND, draw, press, written
from tests.helpers.widgets import open_widget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_sam.plugin.session import SamSession
    from napari_sam.plugin.widget import SamWidget
    from tests.helpers.models import BrightPredictor

FILL = CleanUp(fill_holes=True)
TIDY = CleanUp(keep_prompted=True, fill_holes=True, smooth=1.0, min_size=3)


@pytest.fixture
def holed(stack: np.ndarray) -> np.ndarray:
    """The balls, the first with a hole on two slices and a speck beside it."""
    data = stack.copy()
    data[4:6, 14:17, 19:22] = 20
    data[4, 9, 13] = 200
    return data


@pytest.fixture
def damaged(session: SamSession, holed: np.ndarray) -> SamSession:
    session.viewer.layers["balls"].data = holed
    return session


def pieces_of(session: SamSession) -> np.ndarray:
    result: np.ndarray = session.result.paint((9, 40, 50))
    return result


def test_pending_slice_is_cleaned_up(damaged: SamSession) -> None:
    draw(damaged, FIRST)
    damaged.preview()
    assert not pieces_of(damaged)[4, 15, 20]
    damaged.cleanup = FILL
    damaged.refinish_pending()
    assert pieces_of(damaged)[4, 15, 20]
    damaged.commit()
    assert written(damaged)[4, 15, 20] == 1
    damaged.labels_layer.undo()
    assert not written(damaged).any()


@pytest.mark.parametrize("cleanup", [FILL, TIDY], ids=["fill", "all"])
def test_pending_stack_is_cleaned_up_like_labels(
    damaged: SamSession, cleanup: CleanUp
) -> None:
    draw(damaged, FIRST)
    raw = damaged.propagate().labels
    damaged.cleanup = cleanup
    damaged.refinish_pending()
    seeds = {1: [(4, 20, 20)]}
    expected = clean_up_labels(raw, cleanup, seeds=seeds)
    assert (expected != raw).any()
    assert_array_equal(pieces_of(damaged), expected)
    damaged.cleanup = CleanUp()
    damaged.refinish_pending()
    assert_array_equal(pieces_of(damaged), raw)  # nothing was lost


@pytest.mark.parametrize("stack_mode", [False, True], ids=["slice", "stack"])
def test_replay_includes_the_clean_up(
    damaged: SamSession, holed: np.ndarray, bright: BrightPredictor, stack_mode: bool
) -> None:
    damaged.cleanup = TIDY
    damaged.each_prompt_an_object = True
    draw(damaged, FIRST)
    draw(damaged, SECOND)
    if stack_mode:
        damaged.propagate()
    else:
        damaged.preview()
    damaged.commit()
    again = ns.replay(damaged.record(), holed, bright)
    assert_array_equal(again, written(damaged))
    assert again[4, 15, 20]


def committed(session: SamSession) -> SamSession:
    """Commit both balls, and a third object in the hole of the first."""
    session.each_prompt_an_object = True
    draw(session, FIRST)
    draw(session, SECOND)
    session.propagate()
    session.commit()
    layer = session.labels_layer
    layer.data_setitem(tuple(np.array([[5], [15], [20]])), np.array([7]))
    layer.selected_label = 1
    return session


def test_label_clean_up_is_one_undo_step(damaged: SamSession) -> None:
    session = committed(damaged)
    before = written(session).copy()
    session.cleanup = FILL
    count = session.clean_label()
    after = written(session).copy()
    assert count == (after != before).sum() > 0
    assert_array_equal(after, clean_up_labels(before, FILL, [1]))
    assert after[5, 15, 20] == 7  # another object in the hole stays
    session.labels_layer.undo()
    assert_array_equal(written(session), before)
    session.labels_layer.redo()
    assert_array_equal(written(session), after)


def test_label_clean_up_is_replayed_unless_undone(
    damaged: SamSession, holed: np.ndarray, bright: BrightPredictor
) -> None:
    draw(damaged, FIRST)
    damaged.propagate()
    damaged.commit()
    before = written(damaged).copy()
    damaged.cleanup = TIDY
    damaged.clean_label(1)
    assert (written(damaged) != before).any()
    record = damaged.record()
    assert [len(entries) for entries in record["objects"].values()] == [2]
    assert_array_equal(ns.replay(record, holed, bright), written(damaged))
    damaged.labels_layer.undo()
    assert_array_equal(ns.replay(damaged.record(), holed, bright), before)


def test_clean_up_of_a_painted_label_has_no_record(session: SamSession) -> None:
    data = np.zeros((9, 40, 50), np.uint8)
    data[4, 5:12, 5:12] = 3
    data[4, 8, 8] = 0
    session.labels_layer = session.viewer.add_labels(data)
    session.cleanup = FILL
    assert session.clean_label(3) == 1
    assert data[4, 8, 8] == 3
    assert session.record()["objects"] == {}


def test_only_the_displayed_time_point_is_cleaned_up(
    bright: BrightPredictor,
) -> None:
    from napari_sam.plugin.session import SamSession

    viewer = ViewerModel()
    data = np.zeros((2, 3, 9, 9), np.int32)
    data[..., 2:7, 2:7] = 1
    data[..., 4, 4] = 0
    session = SamSession(viewer, bright)
    session.labels_layer = viewer.add_labels(data)
    viewer.dims.set_current_step(0, 1)
    session.cleanup = FILL
    assert session.clean_label(1) == 3
    assert not data[0, :, 4, 4].any()
    assert (data[1, :, 4, 4] == 1).all()


def test_clean_up_of_changed_labels_is_refused(damaged: SamSession) -> None:
    session = committed(damaged)
    session.cleanup = FILL
    job = session.build_label_cleanup(1)
    changes = job.compute()
    session.labels_layer.data_setitem(changes.indices, changes.values * 0 + 5)
    before = written(session).copy()
    with pytest.raises(ValueError, match="changed meanwhile: clean up again"):
        job.apply(changes)
    assert_array_equal(written(session), before)


def test_impossible_clean_up_is_refused(damaged: SamSession) -> None:
    damaged.cleanup = FILL
    with pytest.raises(ValueError, match="no labels yet"):
        damaged.clean_label()
    session = committed(damaged)
    with pytest.raises(ValueError, match="is background: select an object"):
        session.clean_label(0)
    with pytest.raises(ValueError, match="no label 44 here"):
        session.clean_label(44)
    session.labels_layer.visible = False
    with pytest.raises(ValueError, match="hidden"):
        session.clean_label(1)
    session.cleanup = CleanUp()
    with pytest.raises(ValueError, match="tick at least one"):
        session.clean_label(1)


@pytest.fixture
def widget(
    holed: np.ndarray, bright: BrightPredictor, qtbot: Any
) -> Iterator[SamWidget]:
    widget = open_widget(holed, bright)
    qtbot.addWidget(widget.native)
    yield widget
    widget.disconnect_viewer()


@pytest.fixture
def wait(qtbot: Any) -> Any:
    return lambda widget: qtbot.waitUntil(
        lambda: not widget.panel.cancel.enabled, timeout=20_000
    )


def test_clean_up_options_change_the_preview(widget: SamWidget, wait: Any) -> None:
    draw(widget.session, FIRST)
    press(widget.panel.segment_stack)
    wait(widget)
    raw = pieces_of(widget.session)
    widget.panel.postprocessing.fill_holes.value = True
    wait(widget)
    filled = pieces_of(widget.session)
    assert_array_equal(filled, clean_up_labels(raw, FILL))
    assert (filled != raw).any()
    widget.panel.postprocessing.fill_holes.value = False
    wait(widget)
    assert_array_equal(pieces_of(widget.session), raw)


def test_clean_up_chosen_during_propagation(widget: SamWidget, wait: Any) -> None:
    draw(widget.session, FIRST)
    press(widget.panel.segment_stack)
    widget.panel.postprocessing.fill_holes.value = True
    wait(widget)
    assert pieces_of(widget.session)[4, 15, 20]


def test_button_cleans_up_the_selected_label(widget: SamWidget, wait: Any) -> None:
    assert "Choose a labels layer" in widget.panel.clean_label.tooltip
    draw(widget.session, FIRST)
    press(widget.panel.segment_stack)
    wait(widget)
    press(widget.panel.accept)
    widget.session.labels_layer.selected_label = 1
    widget.panel.postprocessing.fill_holes.value = True
    press(widget.panel.clean_label)
    wait(widget)
    assert written(widget.session)[4, 15, 20] == 1
    widget.session.labels_layer.undo()
    assert written(widget.session)[4, 15, 20] == 0
