"""A waiting stack shows where to doubt it, is corrected there, and gone on with."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_sam.images.stack import Stack
from napari_sam.plugin.panels.slice_strip import SliceStrip
from napari_sam.volume.results import (
    SliceResult,
    VolumeResult,
    next_doubtful,
    slice_states,
)
from tests.helpers.sessions import FIRST, draw

if TYPE_CHECKING:
    from napari_sam.plugin.session import SamSession


def of(*entries: tuple[int, int, str]) -> VolumeResult:
    logits = np.ones((1, 1), np.float16)
    slices = [
        SliceResult(n, i, 0.5, status, (0, 0), logits) for n, i, status in entries
    ]
    return VolumeResult(Stack(np.zeros((9, 4, 4))), tuple(slices))


def test_the_most_doubtful_object_decides_about_a_slice() -> None:
    volume = of(
        (1, 2, "stopped"),
        (1, 3, "propagated"),
        (2, 3, "doubtful"),
        (1, 4, "anchor"),
        (2, 4, "propagated"),
        (2, 5, "interpolated"),
        (1, 6, "stopped"),
    )
    assert slice_states(volume) == {3: "doubtful", 4: "anchor", 5: "interpolated"}


@pytest.mark.parametrize(
    ("here", "expected"), [(-1, 3), (3, 5), (4, 5), (5, 3), (8, 3)]
)
def test_the_next_doubtful_slice_comes_round(here: int, expected: int) -> None:
    states = slice_states(of((1, 3, "doubtful"), (1, 4, "anchor"), (1, 5, "doubtful")))
    assert next_doubtful(states, here) == expected


def test_without_doubt_there_is_nowhere_to_go(session: SamSession) -> None:
    assert next_doubtful({4: "anchor"}, 0) is None
    with pytest.raises(ValueError, match="No slice of a stack is doubtful"):
        session.next_doubtful()


def doubtful_session(session: SamSession) -> SamSession:
    """The last slices of the ball are hardly there."""
    image = session.viewer.layers["balls"]
    data = image.data.copy()
    data[6, :, :24] = 20
    image.data = data
    draw(session, FIRST)
    session.propagate()
    return session


def test_one_call_leads_to_the_doubtful_slice(session: SamSession) -> None:
    doubtful_session(session)
    pending, dims = session.pending, session.viewer.dims
    (first, *_) = pending.doubtful
    assert pending.displayed_slice(dims) == 4
    seen = {session.next_doubtful() for _ in pending.doubtful}
    assert seen == set(pending.doubtful)
    assert pending.displayed_slice(dims) in pending.doubtful
    assert dims.point[0] == 2 * pending.displayed_slice(dims)
    assert first in seen


def test_a_corrected_slice_is_an_anchor_and_the_rest_stays(session: SamSession) -> None:
    draw(session, FIRST)
    before = session.propagate()
    session.viewer.dims.set_current_step(0, 6)
    draw(session, (12, 17, 19, 24), 6)
    after = session.propagate()
    assert after.of_object(1)[6].status == "anchor"
    below = [s for s in before.slices if s.index < 4]
    assert below
    assert set(below) <= set(after.slices)  # the very same results
    assert after.recomputed < before.recomputed


def test_a_stack_that_was_broken_off_is_gone_on_with(session: SamSession) -> None:
    draw(session, FIRST)
    list(islice(session.iter_propagate(), 3))
    part = session.result.volume
    assert not part.complete
    whole = session.propagate()
    assert whole.complete
    assert set(part.slices) <= set(whole.slices)
    assert whole.recomputed < len(whole.slices)


def test_a_negative_point_alone_ends_the_object(session: SamSession) -> None:
    draw(session, FIRST)
    session.set_polarity(False)
    session.points_layer.add([[5, 15, 20]])
    session.propagate()
    session.commit()
    assert not session.labels_layer.data[5:].any()
    assert session.labels_layer.data[4].any()


def test_the_strip_is_drawn(qtbot: Any) -> None:
    strip = SliceStrip(lambda _: None)
    qtbot.addWidget(strip)
    strip.show_states({2: "anchor", 3: "doubtful"}, 4, 3)
    strip.resize(80, 18)
    image = strip.grab().toImage()

    def colour(x: int, y: int) -> np.ndarray:
        return np.array(image.pixelColor(x, y).getRgb()[:3])

    # Screens of 16 bits round colours.
    np.testing.assert_allclose(colour(45, 10), (0, 0x72, 0xB2), atol=8)
    np.testing.assert_allclose(colour(65, 4), (0xE6, 0x9F, 0), atol=8)
    assert abs(colour(45, 4) - (0, 0x72, 0xB2)).max() > 8  # lower


def test_the_sentence_tells_what_to_look_at(session: SamSession) -> None:
    from napari_sam.plugin.panels.status_text import status_text

    doubtful_session(session)
    sentence = status_text(session)
    assert "doubtful" in sentence
    assert "Segment stack" in sentence
