"""A pending stack leads to its doubtful slices, is corrected and resumed."""

from itertools import islice

import pytest

from napari_sam.plugin.panels.status_text import status_text
from napari_sam.plugin.session import SamSession
from tests.helpers.sessions import FIRST, draw


def test_next_doubtful_is_refused_without_a_pending_stack(session: SamSession) -> None:
    with pytest.raises(ValueError, match="No slice of a stack is doubtful"):
        session.next_doubtful()


def doubtful_session(session: SamSession) -> SamSession:
    """Propagate through a ball whose last slices are almost dark."""
    image = session.viewer.layers["balls"]
    data = image.data.copy()
    data[6, :, :24] = 20
    image.data = data
    draw(session, FIRST)
    session.propagate()
    return session


def test_next_doubtful_displays_each_doubtful_slice(session: SamSession) -> None:
    doubtful_session(session)
    pending, dims = session.pending, session.viewer.dims
    (first, *_) = pending.doubtful
    assert pending.displayed_slice(dims) == 4
    seen = {session.next_doubtful() for _ in pending.doubtful}
    assert seen == set(pending.doubtful)
    assert pending.displayed_slice(dims) in pending.doubtful
    assert dims.point[0] == 2 * pending.displayed_slice(dims)
    assert first in seen


def test_correcting_a_slice_keeps_the_unaffected_slices(session: SamSession) -> None:
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


def test_cancelled_stack_is_resumed(session: SamSession) -> None:
    draw(session, FIRST)
    list(islice(session.iter_propagate(), 3))
    part = session.result.volume
    assert not part.complete
    whole = session.propagate()
    assert whole.complete
    assert set(part.slices) <= set(whole.slices)
    assert whole.recomputed < len(whole.slices)


def test_negative_point_alone_ends_the_object(session: SamSession) -> None:
    draw(session, FIRST)
    session.set_polarity(False)
    session.points_layer.add([[5, 15, 20]])
    session.propagate()
    session.commit()
    assert not session.labels_layer.data[5:].any()
    assert session.labels_layer.data[4].any()


def test_status_text_reports_doubtful_slices(session: SamSession) -> None:
    doubtful_session(session)
    sentence = status_text(session)
    assert "doubtful" in sentence
    assert "Whole stack" in sentence
