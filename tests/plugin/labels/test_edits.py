"""Corrections of labels: whole, one undo step each, and nothing else changes."""

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.components import ViewerModel
from napari.layers import Labels

from napari_sam.plugin.session import SamSession
from tests.helpers.models import BrightPredictor

SHAPE = (5, 40, 60)


def disc(col: int, radius: int) -> np.ndarray:
    rows, cols = np.indices(SHAPE[1:])
    return (rows - 20) ** 2 + (cols - col) ** 2 <= radius**2


def painted() -> np.ndarray:
    """Label 3: two touching discs on slices 1 to 3; 5 and 9: blocks."""
    labels = np.zeros(SHAPE, np.int32)
    labels[1:4, disc(15, 10) | disc(34, 9)] = 3
    labels[1, :6, :6] = 5
    labels[2:, 34:, 50:] = 9
    return labels


@pytest.fixture
def session(bright: BrightPredictor) -> SamSession:
    viewer = ViewerModel()
    viewer.add_image(np.zeros(SHAPE, np.uint8), name="image")
    session = SamSession(viewer, bright)
    session.labels_layer = viewer.add_labels(painted(), name="nuclei")
    session.new_prompt_layers()
    viewer.dims.set_current_step(0, 2)
    return session


def layer(session: SamSession) -> Labels:
    assert session.labels_layer is not None
    return session.labels_layer


def click(session: SamSession, *pixels: tuple[int, int, int]) -> None:
    assert session.points_layer is not None
    session.points_layer.add(pixels)


def merge(session: SamSession) -> np.ndarray:
    session.labels.merge([3, 9])
    wanted = painted()
    wanted[wanted == 9] = 3
    return wanted


def delete(session: SamSession) -> np.ndarray:
    session.labels.delete(3)
    return np.where(painted() == 3, 0, painted())


def rename(session: SamSession) -> np.ndarray:
    assert session.labels.rename(40, 5) == 40
    return np.where(painted() == 5, 40, painted())


def relabel(session: SamSession) -> np.ndarray:
    session.labels.relabel()
    return np.select([painted() == i for i in (3, 5, 9)], [1, 2, 3], 0)


def split(session: SamSession) -> np.ndarray:
    points = [(2, 20, 12), (2, 18, 37)]
    assert session.labels.split(3, points) == (3, 10)
    wanted = painted()
    wanted[1:4, disc(34, 9) & ~disc(15, 10)] = 10
    return wanted


EDITS = [merge, delete, rename, relabel, split]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_one_undo_step(
    session: SamSession, edit: Callable[[SamSession], np.ndarray]
) -> None:
    labels = layer(session)
    wanted = edit(session)
    # A split may differ by some pixels where the discs touch.
    assert np.count_nonzero(labels.data != wanted) <= (20 if edit is split else 0)
    np.testing.assert_array_equal(labels.data == 0, wanted == 0)
    found = labels.data.copy()
    labels.undo()
    np.testing.assert_array_equal(labels.data, painted())
    labels.redo()
    np.testing.assert_array_equal(labels.data, found)
    session.undo()
    np.testing.assert_array_equal(labels.data, painted())
    with pytest.raises(ValueError, match="nothing to undo"):
        session.undo()


@pytest.mark.parametrize("edit", EDITS)
def test_a_lazy_layer_is_refused(
    session: SamSession, edit: Callable[[SamSession], np.ndarray]
) -> None:
    session.labels_layer = session.viewer.add_labels(da.from_array(painted()))
    with pytest.raises(ValueError, match="is not in memory"):
        edit(session)


@pytest.mark.parametrize("edit", EDITS)
def test_zarr_labels_are_edited(
    session: SamSession, edit: Callable[[SamSession], np.ndarray]
) -> None:
    numbers = zarr.create_array({}, shape=SHAPE, chunks=(1, 16, 16), dtype="uint16")
    numbers[...] = painted()
    session.labels_layer = session.viewer.add_labels(numbers)
    wanted = edit(session)
    found = np.asarray(layer(session).data[...])
    assert np.count_nonzero(found != wanted) <= 20
    layer(session).undo()
    np.testing.assert_array_equal(layer(session).data[...], painted())


@pytest.mark.parametrize("edit", EDITS)
def test_a_locked_layer_is_refused_and_stays(
    session: SamSession, edit: Callable[[SamSession], np.ndarray]
) -> None:
    layer(session).editable = False
    with pytest.raises(ValueError, match="is locked"):
        edit(session)
    np.testing.assert_array_equal(layer(session).data, painted())


def test_clicks_tell_what_to_merge_and_are_used_up(session: SamSession) -> None:
    click(session, (2, 20, 15), (2, 38, 55), (1, 2, 2))
    assert session.labels.merge() == 3
    assert set(np.unique(layer(session).data)) == {0, 3}
    assert layer(session).selected_label == 3
    assert session.points_layer is not None
    assert len(session.points_layer.data) == 0
    session.undo()
    np.testing.assert_array_equal(layer(session).data, painted())
    assert len(session.points_layer.data) == 3


def test_clicks_split_a_label_in_the_stack(session: SamSession) -> None:
    click(session, (2, 20, 12), (1, 20, 40))
    assert session.labels.split() == (3, 10)
    data = layer(session).data
    assert (data[1:4, 20, 12] == 3).all()
    assert (data[1:4, 20, 40] == 10).all()


def test_a_label_in_time_is_split_on_the_displayed_plane(session: SamSession) -> None:
    layer(session).units = ("second", "um", "um")
    click(session, (2, 20, 12), (2, 20, 40))
    session.labels.split()
    data = layer(session).data
    assert data[2, 20, 40] == 10
    assert data[1, 20, 40] == data[3, 20, 40] == 3


def test_clicks_on_scaled_layers(bright: BrightPredictor) -> None:
    viewer = ViewerModel()
    transform = {"scale": (2, 0.5, 0.5), "translate": (10, 3, -4)}
    viewer.add_image(np.zeros(SHAPE, np.uint8), **transform)
    session = SamSession(viewer, bright)
    session.labels_layer = viewer.add_labels(painted(), **transform)
    session.new_prompt_layers()
    viewer.dims.set_current_step(0, 2)
    click(session, (2, 20, 12), (2, 20, 40))
    assert session.labels.split() == (3, 10)


@pytest.mark.parametrize(
    ("pixels", "hint"),
    [
        ([], ""),
        ([(2, 20, 15)], ""),
        ([(2, 20, 15), (2, 1, 40)], "on the background"),
    ],
)
def test_missing_clicks_are_asked_for(
    session: SamSession, pixels: list[tuple[int, int, int]], hint: str
) -> None:
    if pixels:
        click(session, *pixels)
    for edit in (session.labels.merge, session.labels.split):
        with pytest.raises(ValueError, match=f"Click o.*{hint}"):
            edit()


def test_points_on_two_labels_are_not_split(session: SamSession) -> None:
    click(session, (2, 20, 15), (2, 38, 55))
    with pytest.raises(ValueError, match="Click once on each part of one label"):
        session.labels.split()


def test_a_negative_point_does_not_count(session: SamSession) -> None:
    click(session, (2, 20, 12), (2, 20, 40))
    session.tool = "background"
    click(session, (2, 1, 40))
    assert session.labels.split() == (3, 10)


def test_numbers_in_use_and_impossible_numbers_are_refused(session: SamSession) -> None:
    with pytest.raises(ValueError, match="Label 9 is in use"):
        session.labels.rename(9, 5)
    with pytest.raises(ValueError, match="cannot be a label"):
        session.labels.rename(0, 5)
    with pytest.raises(ValueError, match="cannot hold label"):
        session.labels.rename(2**40, 5)
    with pytest.raises(ValueError, match="There is no label 77"):
        session.labels.delete(77)
    with pytest.raises(ValueError, match="There is no label 77"):
        session.labels.merge([77, 3])
    layer(session).selected_label = 0
    with pytest.raises(ValueError, match="background"):
        session.labels.delete()
    np.testing.assert_array_equal(layer(session).data, painted())


def test_labels_painted_meanwhile_are_not_overwritten(session: SamSession) -> None:
    labels = layer(session)
    job = session.labels.build_delete(5)
    found = job.compute()
    labels.paint((1, 0, 0), 7)
    before = labels.data.copy()
    with pytest.raises(ValueError, match="changed meanwhile"):
        job.apply(found)
    np.testing.assert_array_equal(labels.data, before)


def test_a_pending_result_stays_when_another_label_is_deleted(
    session: SamSession,
) -> None:
    image = session.viewer.layers["image"]
    image.data = np.where(painted() == 9, 200, 0).astype(np.uint8)
    click(session, (2, 36, 55))
    session.preview()
    session.labels.delete(3)
    assert session.pending is not None


def test_a_corrected_label_is_not_replaced_after_it_was_renumbered(
    session: SamSession,
) -> None:
    """Label 5 becomes 2: what was refined as 5 must not erase another label."""
    session.viewer.dims.set_current_step(0, 1)
    session.refine(5)
    session.labels.relabel()
    assert session.history.replacement is None


def test_nothing_is_said_to_be_undone_when_the_user_painted(
    session: SamSession,
) -> None:
    session.labels.delete(5)
    labels = layer(session)
    labels.paint((1, 0, 0), 7)
    before = labels.data.copy()
    with pytest.raises(ValueError, match="was changed since"):
        session.undo()
    np.testing.assert_array_equal(labels.data, before)


def test_edits_wait_for_accepted_objects(session: SamSession) -> None:
    click(session, (2, 36, 55))
    session.accept()
    with pytest.raises(ValueError, match="still being written"):
        session.labels.delete(3)


def test_values_of_all_shapes(session: SamSession) -> None:
    plane: Any = session.viewer.add_labels(painted()[2], name="plane")
    session.labels_layer = plane
    click(session, (2, 20, 12), (2, 20, 40))
    assert session.labels.split() == (3, 10)
    assert plane.data[20, 40] == 10
