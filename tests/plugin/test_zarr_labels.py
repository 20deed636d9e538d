"""Labels in zarr are written as labels in memory, and read only where needed."""

import tracemalloc
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Labels
from napari_builtins.io import napari_write_labels
from tifffile import imread

from napari_sam.masks.cleanup import CleanUp
from napari_sam.masks.painting import POLICIES
from napari_sam.plugin.layers.labels_array import empty_labels, is_zarr
from napari_sam.plugin.session import SamSession
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import FIRST, SECOND, draw

zarr = pytest.importorskip("zarr")
SHAPE = (9, 40, 50)
MIDDLE = (4, 30, 20)


def balls() -> np.ndarray:
    z, y, x = np.indices(SHAPE)
    first = (2 * (z - 4)) ** 2 + (y - 15) ** 2 + (x - 20) ** 2 < 49
    second = (2 * (z - 4)) ** 2 + (y - 28) ** 2 + (x - 38) ** 2 < 25
    return np.where(first | second, 200, 20).astype(np.uint8)


def others() -> np.ndarray:
    """Labels that were there before: over the first ball, and elsewhere."""
    labels = np.zeros(SHAPE, np.int32)
    labels[3:6, 5:14, 12:30] = 3
    labels[:, 35:, 5:9] = 5
    return labels


def in_zarr(array: np.ndarray) -> Any:
    stored = zarr.create_array(
        zarr.storage.MemoryStore(), shape=array.shape, chunks=(2, 16, 16), dtype="int32"
    )
    stored[...] = array
    return stored


def session_on(array: Any) -> tuple[SamSession, Labels]:
    viewer = ViewerModel()
    viewer.add_image(balls(), name="balls", contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 4)
    session = SamSession(viewer, BrightPredictor())
    session.new_prompt_layers()
    session.labels_layer = labels = viewer.add_labels(array, name="mine")
    return session, labels


Action = Callable[[SamSession, Labels], Any]


def segment(box: Any, stack: bool) -> Action:
    def act(session: SamSession, _: Labels) -> Any:
        draw(session, box)
        session.propagate() if stack else session.preview()
        return session.commit()

    return act


def correct(session: SamSession, _: Labels) -> Any:
    session.previous_object()
    remove_boxes(session)
    draw(session, SECOND)
    session.preview()
    return session.commit()


def remove_boxes(session: SamSession) -> None:
    shapes = session.shapes_layer
    assert shapes is not None
    shapes.selected_data = set(range(len(shapes.data)))
    shapes.remove_selected()


def refine(session: SamSession, labels: Labels) -> Any:
    session.refine(last_label(labels))
    session.preview()
    return session.commit()


def clean(session: SamSession, labels: Labels) -> Any:
    session.cleanup = CleanUp(fill_holes=True, smooth=1.0)
    return session.clean_label(last_label(labels))


def last_label(labels: Labels) -> int:
    return int(labels.data[...].max())


def policy(value: Any) -> Action:
    return lambda session, _: setattr(session.target, "policy", value)


def select(label: int) -> Action:
    def act(session: SamSession, labels: Labels) -> None:
        labels.selected_label = label
        session.target.use_selected_label = not session.target.use_selected_label

    return act


def paint(_: SamSession, labels: Labels) -> None:
    labels.brush_size = 7
    labels.paint(MIDDLE, labels.selected_label)


def fill(_: SamSession, labels: Labels) -> None:
    labels.fill((4, 15, 20), labels.selected_label)


ACTIONS: dict[str, Action] = {
    "plane": segment(FIRST, False),
    "stack": segment(FIRST, True),
    "other": segment(SECOND, True),
    "correct": correct,
    "refine": refine,
    "clean": clean,
    "paint": paint,
    "fill": fill,
    "undo": lambda _, labels: labels.undo(),
    "redo": lambda _, labels: labels.redo(),
    "select 1": select(1),
    "select 6": select(6),
    **{value: policy(value) for value in POLICIES},
}


def outcome(act: Action, session: SamSession, labels: Labels) -> Any:
    try:
        return act(session, labels)
    except ValueError as error:
        return str(error)


def assert_same_after(names: list[str], refused: bool = True) -> None:
    pair = [session_on(others()), session_on(in_zarr(others()))]
    for name in names:
        told = [outcome(ACTIONS[name], *each) for each in pair]
        assert told[0] == told[1], name
        assert refused or not isinstance(told[0], str), told
        np.testing.assert_array_equal(pair[1][1].data[...], pair[0][1].data)
        raw = [labels._slice.image.raw for _, labels in pair]
        np.testing.assert_array_equal(raw[1], raw[0])
        assert pair[0][0].measure() == pair[1][0].measure()
        records = [deepcopy(session.record()) for session, _ in pair]
        assert records[0]["objects"] == records[1]["objects"]
    assert is_zarr(pair[1][1].data)


@settings(
    max_examples=settings.default.max_examples // 5,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(st.lists(st.sampled_from(list(ACTIONS)), min_size=1, max_size=10))
def test_any_actions_give_the_labels_of_an_array_in_memory(names: list[str]) -> None:
    assert_same_after(names)


@pytest.mark.parametrize("value", POLICIES)
def test_each_action_gives_the_labels_of_an_array_in_memory(value: str) -> None:
    for steps in (
        ["stack", "paint", *["undo"] * 2, *["redo"] * 2],
        ["stack", "paint", "correct", "undo", "redo", "refine"],
        ["select 6", "plane", "paint", "other", "correct", "clean", "undo"],
    ):
        assert_same_after([value, *steps], refused=False)


def test_undo_and_redo_are_one_step_between_brush_strokes() -> None:
    session, labels = session_on(in_zarr(others()))
    states = [others()]
    for act in (paint, ACTIONS["stack"], paint, ACTIONS["other"]):
        labels.selected_label += 1
        act(session, labels)
        states.append(labels.data[...])
    for state in states[-2::-1]:
        labels.undo()
        np.testing.assert_array_equal(labels.data[...], state)
    for state in states[1:]:
        labels.redo()
        np.testing.assert_array_equal(labels.data[...], state)


def test_labels_in_a_file_are_written(tmp_path: Path) -> None:
    stored = zarr.create_array(
        tmp_path / "labels.zarr", shape=SHAPE, chunks=(1, 40, 50), dtype="uint8"
    )
    session, _ = session_on(stored)
    segment(FIRST, True)(session, _)
    again = zarr.open_array(tmp_path / "labels.zarr", mode="r")
    assert np.count_nonzero(again[...] == 1) > 100


def test_a_copy_of_new_labels_is_independent() -> None:
    array = empty_labels((20, 8001, 8001), (1, 2))
    if not is_zarr(array):
        pytest.skip("labels are numpy arrays")
    array[3, 5:9, 5:9] = 7
    copy = deepcopy(array)  # as napari duplicates a layer
    array[3, 5:9, 5:9] = 0
    del array
    part = copy[3:5, :20, :20]
    assert np.count_nonzero(part == 7) == 16


def test_napari_saves_zarr_labels(tmp_path: Path) -> None:
    session, labels = session_on(in_zarr(others()))
    segment(FIRST, True)(session, labels)
    path = napari_write_labels(str(tmp_path / "labels.tif"), labels.data, {"name": "a"})
    np.testing.assert_array_equal(imread(path), labels.data[...])


def test_labels_that_did_not_take_an_object_are_as_before() -> None:
    class Lossy(zarr.Array):  # type: ignore[misc, name-defined]
        def __setitem__(self, index: Any, values: Any) -> None:
            super().__setitem__(index, np.minimum(values, 5))

    session, labels = session_on(Lossy(in_zarr(others())._async_array))
    with pytest.raises(ValueError, match="'mine' did not take the objects"):
        segment(FIRST, True)(session, labels)
    np.testing.assert_array_equal(labels.data[...], others())


# -- very large planes -----------------------------------------------------------------

LARGE = (8200, 8200)


def session_on_large_plane() -> SamSession:
    """Two bright bars across a plane of 67 megapixels, which takes no memory."""
    row = np.full(LARGE[1], 20, np.uint8)
    row[4000:4020] = row[8150:8170] = 200
    model = BrightPredictor()
    model.smallest_window = 64
    viewer = ViewerModel()
    pixels = np.broadcast_to(row, LARGE)
    viewer.add_image(pixels, name="bars", contrast_limits=(0, 255))
    session = SamSession(viewer, model)
    session.new_prompt_layers()
    return session


def accept(session: SamSession, box: tuple[int, int, int, int]) -> int:
    assert session.shapes_layer is not None
    x0, y0, x1, y1 = box
    session.shapes_layer.add_rectangles(
        np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)])
    )
    session.preview()
    return session.commit()


def test_an_object_in_a_very_large_plane_takes_little_memory() -> None:
    session = session_on_large_plane()
    assert accept(session, (3990, 3000, 4030, 3040)) == 1
    labels = session.labels_layer
    assert labels is not None
    if not is_zarr(labels.data):
        pytest.skip("labels are numpy arrays")
    tracemalloc.start()
    try:
        assert accept(session, (8140, 8100, 8180, 8140)) == 2
        session.previous_object()
        remove_boxes(session)
        assert accept(session, (8140, 8060, 8180, 8090)) == 2
        session.cleanup = CleanUp(min_size=5, smooth=1.0)
        session.clean_label(1)
        assert len(session.measure()) == 2
        assert len(session.record()["objects"]) == 2
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50e6
    assert labels.data[3020, 4010] == 1
    assert labels.data[8070, 8160] == 2
    assert labels.data[8120, 8160] == 0
