"""A corrected object keeps its label, which is looked for where it was written."""

import numpy as np
import pytest

from napari_sam.plugin.session import SamSession
from tests.helpers.sessions import FIRST, SECOND, corners, draw, written


def commit_first(session: SamSession) -> int:
    draw(session, FIRST)
    session.preview()
    return session.commit()


def correct(session: SamSession, box: tuple[int, int, int, int]) -> int:
    """Bring the last object back, change its box and commit it again."""
    session.previous_object()
    assert session.shapes_layer is not None
    session.shapes_layer.data = [corners(box, 4)]
    session.preview()
    return session.commit()


def region_of_last(session: SamSession, label: int) -> np.ndarray:
    """Return where the last object is expected, as a mask of the labels."""
    session.previous_object()
    assert session.history.replacement is not None
    mask = np.zeros(written(session).shape, bool)
    mask[session.history.replacement.regions[label]] = True
    session.discard()
    return mask


def test_region_of_a_commit_is_its_bounding_box(session: SamSession) -> None:
    label = commit_first(session)
    pixels = np.nonzero(written(session) == label)
    box = tuple(slice(axis.min(), axis.max() + 1) for axis in pixels)
    expected = np.zeros(written(session).shape, bool)
    expected[box] = True
    np.testing.assert_array_equal(region_of_last(session, label), expected)


def test_region_of_a_corrected_object_has_all_its_pixels(session: SamSession) -> None:
    label = commit_first(session)
    smaller = (7, 12, 15, 28)
    assert correct(session, smaller) == label
    assert correct(session, FIRST) == label
    region = region_of_last(session, label)
    assert (written(session) == label).any()
    assert region[written(session) == label].all()


def test_object_painted_elsewhere_keeps_its_label(session: SamSession) -> None:
    label = commit_first(session)
    labels = session.labels_layer
    assert labels is not None
    labels.data_setitem(np.nonzero(labels.data == label), 0)
    labels.data_setitem((np.array([0]), np.array([1]), np.array([2])), label)
    other = int(labels.data.max()) + 5
    labels.data_setitem((np.array([8]), np.array([1]), np.array([2])), other)
    assert correct(session, FIRST) == label


def test_undone_object_gets_the_next_free_label(session: SamSession) -> None:
    commit_first(session)
    draw(session, SECOND)
    session.preview()
    label = session.commit()
    assert session.labels_layer is not None
    session.labels_layer.undo()
    other = (np.array([0]), np.array([1]), np.array([2]))
    session.labels_layer.data_setitem(other, 9)
    assert correct(session, SECOND) == 10
    assert label == 2


def test_refined_label_is_looked_for_on_its_plane(session: SamSession) -> None:
    label = commit_first(session)
    session.refine(label)
    assert session.history.replacement is not None
    plane = session.history.replacement.regions[label]
    assert plane == (4, slice(None), slice(None))
    assert session.preview() is not None
    assert session.commit() == label


def test_commit_never_adds_to_a_label_written_directly(
    session: SamSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if scanning the layer at every stroke took too long.
    monkeypatch.setattr("napari_sam.plugin.layers.label_ids._FAST_SCAN_SIZE", 100)
    label = commit_first(session)
    written(session)[0, 0, 0] = label + 1
    draw(session, SECOND)
    session.preview()
    assert session.commit() == label + 2
