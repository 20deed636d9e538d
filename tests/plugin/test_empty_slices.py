"""Slices that show nothing are told, live and on request; stacks go on over them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from napari_sam.plugin.panels.status_text import status_text
from napari_sam.plugin.session import SamSession
from napari_sam.plugin.widget import SamWidget
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import FIRST, draw, press, written
from tests.helpers.widgets import open_widget

LONG = 20_000
NOTHING = "The slice shows nothing between the contrast limits 0 and 255"


@pytest.fixture
def gaps(stack: np.ndarray) -> np.ndarray:
    """The two balls, with nothing on slices 0 and 5."""
    stack = stack.copy()
    stack[[0, 5]] = 0
    return stack


@pytest.fixture
def widget(gaps: np.ndarray, qtbot: Any) -> Iterator[SamWidget]:
    widget = open_widget(gaps, BrightPredictor(), live=True)
    notification_manager.records.clear()
    yield widget
    widget.disconnect_viewer()


def told() -> list[str]:
    return [record.message for record in notification_manager.records]


def test_while_drawing_it_is_a_hint(widget: SamWidget, qtbot: Any) -> None:
    widget.session.viewer.dims.set_current_step(0, 5)
    draw(widget.session, FIRST, 5)
    status = widget.panel.status
    qtbot.waitUntil(lambda: NOTHING in status.value, timeout=LONG)
    assert told() == []
    assert widget.session.pending is None
    # On another slice the outline comes as always.
    widget.session.viewer.dims.set_current_step(0, 4)
    draw(widget.session, FIRST, 4)
    qtbot.waitUntil(lambda: widget.session.pending is not None, timeout=LONG)
    assert NOTHING not in status.value


def test_a_button_tells_it(widget: SamWidget, qtbot: Any) -> None:
    widget.panel.live.value = False
    widget.session.viewer.dims.set_current_step(0, 5)
    press(widget.panel.segment_everything)
    qtbot.waitUntil(lambda: bool(told()), timeout=LONG)
    assert told()[0].startswith(NOTHING)


@pytest.fixture
def session(widget: SamWidget) -> SamSession:
    widget.panel.live.value = False
    return widget.session


def test_a_stack_goes_on_over_them(session: SamSession, gaps: np.ndarray) -> None:
    draw(session, FIRST, 4)
    volume = session.propagate()
    assert volume.empty == {0, 5}
    assert "2 slices (0, 5) show nothing" in status_text(session)
    session.commit()
    slices = np.unique(np.nonzero(written(session))[0])
    assert {4, 6} <= set(slices.tolist())


def test_everything_in_all_slices_leaves_them_out(session: SamSession) -> None:
    session.everything_in_stack = True
    result = session.segment_everything()
    assert "2 slices (0, 5) show nothing" in result.warnings[0]
    assert {piece.plane_index[0] for piece in result.pieces} >= {4, 6}
    session.refinish_pending()
    assert session.result is not None
    assert session.result.warnings == result.warnings
