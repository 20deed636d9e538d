"""A commit is one step of napari's undo history, in any state of the layers."""

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Labels

from napari_sam.masks.painting import POLICIES
from napari_sam.plugin.session import SamSession
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import FIRST, SECOND, corners, draw

SHAPE = (9, 40, 50)
thorough = settings(
    max_examples=settings.default.max_examples // 5,  # of whatever profile
    suppress_health_check=[HealthCheck.too_slow],
)


def two_balls() -> np.ndarray:
    """(9, 40, 50), bright around (4, 15, 20) and (4, 28, 38), as the fixture."""
    z, y, x = np.indices(SHAPE)
    first = (2 * (z - 4)) ** 2 + (y - 15) ** 2 + (x - 20) ** 2 < 49
    second = (2 * (z - 4)) ** 2 + (y - 28) ** 2 + (x - 38) ** 2 < 25
    return np.where(first | second, 200, 20).astype(np.uint8)


class CountingPredictor(BrightPredictor):
    """Counts its calls."""

    calls = 0

    def embed(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return super().embed(*args, **kwargs)

    def predict_batch(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return super().predict_batch(*args, **kwargs)


def session_on(labels: np.ndarray | None = None) -> SamSession:
    """On the middle slice of the balls, with labels where they are given."""
    viewer = ViewerModel()
    viewer.add_image(two_balls(), name="balls", contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 4)
    session = SamSession(viewer, CountingPredictor())
    session.new_prompt_layers()
    if labels is not None:
        session.labels_layer = viewer.add_labels(labels.copy(), name="mine")
    return session


def target_of(session: SamSession) -> Labels:
    assert session.labels_layer is not None
    return session.labels_layer


def segment(session: SamSession, stack: bool = False) -> None:
    if stack:
        session.propagate()
    else:
        session.preview()


def pieces_of(session: SamSession) -> np.ndarray:
    """Paint the pending objects: their ids, 0 elsewhere."""
    result = session.result
    assert result is not None
    numbers = np.zeros(SHAPE, int)
    for piece in result.pieces:
        numbers[piece.plane_index][piece.region][piece.mask] = piece.object_id
    return numbers


@st.composite
def existing(draw: Any) -> np.ndarray:
    """Labels of others: blocks over and beside the balls."""
    labels = np.zeros(SHAPE, np.int32)
    for label in range(1, draw(st.integers(0, 4)) + 1):
        corner = [draw(st.integers(0, size - 1)) for size in SHAPE]
        sides = [draw(st.integers(1, size)) for size in SHAPE]
        box = tuple(slice(c, c + s) for c, s in zip(corner, sides, strict=True))
        labels[box] = label * 3
    return labels


def wander(viewer: ViewerModel, draw: Any) -> None:
    """Look around: other slices, other axes."""
    if draw(st.booleans()):
        viewer.dims.order = tuple(draw(st.permutations(range(3))))
    for axis in range(3):
        viewer.dims.set_current_step(axis, draw(st.integers(0, SHAPE[axis] - 1)))


def paint(labels: Labels, draw: Any) -> bool:
    """A stroke of the user on the displayed slice; whether it changed a pixel."""
    before = labels.data.copy()
    labels.selected_label = draw(st.integers(0, 9))
    labels.brush_size = draw(st.integers(1, 5))
    pixel = [draw(st.integers(0, size - 1)) for size in SHAPE]
    labels.paint(tuple(pixel), labels.selected_label)
    return bool((labels.data != before).any())


ways = st.tuples(st.sampled_from(POLICIES), st.booleans(), st.booleans())


@thorough
@given(existing(), ways, st.booleans(), st.data())
def test_undo_and_redo_restore_every_state_exactly(
    before: np.ndarray, way: Any, each: bool, data: Any
) -> None:
    policy, selected, stack = way
    session = session_on(before)
    labels, viewer = target_of(session), session.viewer
    array = labels.data
    session.target.policy = policy
    session.target.use_selected_label = selected
    session.each_prompt_an_object = each
    labels.preserve_labels = data.draw(st.booleans())
    states = [labels.data.copy()]
    draw(session, FIRST)
    if each:
        draw(session, SECOND)
    labels.selected_label = data.draw(st.integers(1, 12))
    segment(session, stack)
    session.commit()
    if (labels.data != states[-1]).any():
        states.append(labels.data.copy())
    wander(viewer, data.draw)
    if data.draw(st.booleans()) and paint(labels, data.draw):
        states.append(labels.data.copy())
        wander(viewer, data.draw)
    if data.draw(st.booleans()):
        viewer.dims.order = (0, 1, 2)
        viewer.dims.set_current_step(0, 4)
        labels.selected_label = data.draw(st.integers(1, 12))
        draw(session, SECOND)
        segment(session, stack)
        session.commit()
        if (labels.data != states[-1]).any():
            states.append(labels.data.copy())
        wander(viewer, data.draw)
    for state in states[-2::-1]:
        labels.undo()
        np.testing.assert_array_equal(labels.data, state)
        wander(viewer, data.draw)
    for state in states[1:]:
        labels.redo()
        np.testing.assert_array_equal(labels.data, state)
        wander(viewer, data.draw)
    labels.redo()  # there is nothing more
    np.testing.assert_array_equal(labels.data, states[-1])
    assert labels.data is array


@thorough
@given(existing(), ways, st.booleans(), st.booleans())
def test_each_policy_changes_the_pixels_it_allows(
    before: np.ndarray, way: Any, each: bool, preserve: bool
) -> None:
    policy, selected, stack = way
    session = session_on(before)
    labels = target_of(session)
    session.target.policy = policy
    session.target.use_selected_label = selected
    session.each_prompt_an_object = each
    labels.preserve_labels = preserve
    labels.selected_label = 6
    draw(session, FIRST)
    if each:
        draw(session, SECOND)
    segment(session, stack)
    numbers = pieces_of(session)
    last = session.commit()
    done = session.target.last_written
    assert done is not None
    count = len(np.unique(numbers[numbers > 0]))
    first = before.max() + 1
    ids = (6,) * count if selected else tuple(range(first, first + count))
    assert done.label_ids == ids
    assert last == ids[-1]

    wanted = np.array([0, *ids])[numbers]
    others = (wanted > 0) & (before > 0) & (before != wanted)
    taken = (wanted > 0) if policy == "overwrite" and not preserve else wanted * ~others
    expected = np.where(taken > 0, wanted, before)
    np.testing.assert_array_equal(labels.data, expected)
    assert done.pixels == np.count_nonzero(expected != before)
    kept = 0 if policy == "overwrite" and not preserve else np.count_nonzero(others)
    assert done.kept == kept
    assert done.outside == 0


@pytest.mark.parametrize("stack", [False, True])
def test_pixels_outside_smaller_labels_are_counted(stack: bool) -> None:
    session = session_on(np.zeros((9, 15, 50), np.int32))
    labels = target_of(session)
    draw(session, FIRST)
    segment(session, stack)
    numbers = pieces_of(session)
    session.commit()
    np.testing.assert_array_equal(labels.data > 0, numbers[:, :15] > 0)
    done = session.target.last_written
    assert done is not None
    assert done.outside == np.count_nonzero(numbers[:, 15:])
    assert done.pixels == np.count_nonzero(numbers[:, :15])
    assert done.outside > 0
    labels.undo()
    assert not labels.data.any()


@thorough
@given(existing(), st.booleans(), st.booleans(), st.booleans())
def test_policy_keep_never_changes_other_labels(
    before: np.ndarray, stack: bool, selected: bool, overwrite: bool
) -> None:
    session = session_on(before)
    labels = target_of(session)
    session.target.use_selected_label = selected
    labels.selected_label = 6
    if overwrite:  # preserve_labels makes it what napari's brush would do
        session.target.policy = "overwrite"
        labels.preserve_labels = True
    for box in (FIRST, SECOND, FIRST):
        earlier = labels.data.copy()
        draw(session, box)
        segment(session, stack)
        label = session.commit()
        theirs = (earlier > 0) & (earlier != label)
        np.testing.assert_array_equal(labels.data[theirs], earlier[theirs])


# -- labels that cannot take the result ----------------------------------------


def read_only() -> np.ndarray:
    data = np.zeros(SHAPE, np.int32)
    data.flags.writeable = False
    return data


def of_dask(_: Path) -> Any:
    import dask.array as da

    return da.zeros(SHAPE, dtype=np.int32)


def of_zarr(folder: Path) -> Any:
    zarr = pytest.importorskip("zarr")
    zarr.create_array(folder / "labels.zarr", shape=SHAPE, dtype="int32")
    return zarr.open_array(folder / "labels.zarr", mode="r")


def full(label: int) -> np.ndarray:
    data = np.zeros(SHAPE, np.uint8)
    data[0, 0, 0] = label
    return data


PLAIN = np.zeros(SHAPE, np.int32)
REFUSED: dict[str, tuple[Callable[[Path], Any], dict[str, Any], str]] = {
    "hidden": (lambda _: PLAIN.copy(), {"visible": False}, "hidden"),
    "locked": (lambda _: PLAIN.copy(), {"editable": False}, "locked"),
    "read-only": (lambda _: read_only(), {}, "read-only"),
    "dask": (of_dask, {}, "not in memory"),
    "zarr": (of_zarr, {}, "read-only"),
    "multiscale": (lambda _: [PLAIN, PLAIN[:, ::2, ::2]], {}, "multiscale"),
    "full": (lambda _: full(255), {}, "cannot hold label 256"),
    "background": (lambda _: full(0), {"selected_label": 0}, "is background"),
}


@pytest.mark.parametrize("stack", [False, True], ids=["slice", "stack"])
@pytest.mark.parametrize("kind", REFUSED)
def test_unusable_labels_are_refused_before_the_model_runs(
    kind: str, stack: bool, tmp_path: Path
) -> None:
    make, attributes, sentence = REFUSED[kind]
    session = session_on()
    viewer = session.viewer
    labels = viewer.add_labels(make(tmp_path), name="mine")
    for name, value in attributes.items():
        setattr(labels, name, value)
    session.labels_layer = labels
    session.target.use_selected_label = "selected_label" in attributes
    draw(session, FIRST)
    before = np.array(labels.data[0] if labels.multiscale else labels.data)
    action = session.propagate if stack else session.preview
    asks = session.build_stack_request if stack else session.build_plane_request
    for refused in (action, asks):
        with pytest.raises(ValueError, match=sentence):
            refused()
    assert session.model.calls == 0
    after = np.array(labels.data[0] if labels.multiscale else labels.data)
    np.testing.assert_array_equal(after, before)
    assert session.shapes_layer is not None
    assert len(session.shapes_layer.data) == 1  # nothing was lost


@pytest.mark.parametrize("stack", [False, True], ids=["slice", "stack"])
def test_largest_label_of_the_data_type_is_written(stack: bool) -> None:
    session = session_on(full(254))
    draw(session, FIRST)
    segment(session, stack)
    assert session.commit() == 255
    assert (target_of(session).data == 255).any()


def test_labels_hidden_after_the_preview_are_not_written() -> None:
    session = session_on(PLAIN)
    labels = target_of(session)
    draw(session, FIRST)
    session.preview()
    labels.visible = False
    with pytest.raises(ValueError, match="hidden"):
        session.commit()
    assert not labels.data.any()
    labels.visible = True
    session.commit()  # the object is still pending
    assert labels.data.any()


# -- correcting ----------------------------------------------------------------


@thorough
@given(existing(), st.booleans(), st.sampled_from(POLICIES), st.booleans())
def test_refining_replaces_only_the_picked_object(
    before: np.ndarray, selected: bool, policy: Any, box: bool
) -> None:
    # The picked object: a block in the first ball, on two slices.
    before[4:6, 12:17, 17:22] = 40
    session = session_on(before)
    labels = target_of(session)
    session.target.policy = policy
    session.target.use_selected_label = selected
    labels.selected_label = 40 if not selected else 9
    session.refine(40)
    if box:
        draw(session, FIRST)
    session.preview()
    found = pieces_of(session) > 0
    assert session.commit() == 40

    # Its pixels on this slice give way, those on other slices stay.
    np.testing.assert_array_equal(labels.data[5], before[5])
    others = (before > 0) & (before != 40)
    wanted = found if policy == "overwrite" else found & ~others
    if policy == "background":
        wanted = wanted | (before == 40)
    np.testing.assert_array_equal(labels.data[4] == 40, wanted[4])
    rest = ~wanted & (before != 40)
    np.testing.assert_array_equal(labels.data[rest], before[rest])
    assert set(np.unique(labels.data)) <= set(np.unique(before))
    changed = (labels.data != before).any()
    labels.undo()
    np.testing.assert_array_equal(labels.data, before)
    labels.redo()
    assert (labels.data != before).any() == changed


@pytest.mark.parametrize("stack", [False, True])
def test_discarding_a_refinement_keeps_the_object(stack: bool) -> None:
    before = PLAIN.copy()
    before[4, 12:17, 17:22] = 7
    session = session_on(before)
    session.refine(7)
    segment(session, stack)
    session.discard()
    np.testing.assert_array_equal(target_of(session).data, before)
    draw(session, SECOND)
    session.preview()
    assert session.commit() == 8  # the next object is a new one
    np.testing.assert_array_equal(target_of(session).data == 7, before == 7)


# -- the previous object -------------------------------------------------------

OUTLINE = corners(FIRST, 4)
DRAWN = {
    "point": [[4, 15, 20]],
    "points": [[4, 15, 20], [4, 12, 22]],
    "rectangle": OUTLINE,
    "ellipse": OUTLINE,
    "polygon": np.array([(4, 6, 20), (4, 15, 30), (4, 25, 20), (4, 15, 10)]),
    "line": np.array([(4, 15, 18), (4, 15, 22)]),
}


def prompt(session: SamSession, kind: str, own: bool) -> Any:
    """Draw in the session's own layers or in layers of the user; the layer."""
    data = np.array(DRAWN[kind], float)
    points = kind in ("point", "points")
    if own:
        layer = session.points_layer if points else session.shapes_layer
    elif points:
        layer = session.viewer.add_points(
            ndim=3, features={"polarity": np.array([], int)}
        )
        session.points_layer = layer
    else:
        layer = session.viewer.add_shapes(ndim=3)
        session.shapes_layer = layer
    assert layer is not None
    if not points:
        layer.add(data, shape_type=kind)
        return layer
    for point, positive in zip(data, (True, False), strict=False):
        session.set_polarity(positive)
        layer.add(point)
    return layer


def content(layer: Any) -> tuple[Any, ...]:
    kinds = list(map(str, getattr(layer, "shape_type", [])))
    data = [np.asarray(item).tolist() for item in layer.data]
    polarity = list(layer.features.get("polarity", []))
    return data, kinds, polarity


@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.parametrize("own", [True, False], ids=["own", "theirs"])
@pytest.mark.parametrize("undone", [True, False], ids=["undone", "there"])
@pytest.mark.parametrize("stack", [False, True], ids=["slice", "stack"])
def test_previous_object_brings_back_prompts_and_label(
    kind: str, own: bool, undone: bool, stack: bool
) -> None:
    before = PLAIN.copy()
    before[0, 0, 0] = 4
    session = session_on(before)
    labels, viewer = target_of(session), session.viewer
    layer = prompt(session, kind, own)
    drawn = content(layer)
    segment(session, stack)
    assert session.commit() == 5
    after = labels.data.copy()
    assert content(layer) == (([], [], []) if own else drawn)
    assert session.preview() is None
    if undone:
        labels.undo()
        np.testing.assert_array_equal(labels.data, before)
    viewer.dims.set_current_step(0, 1)
    session.previous_object()
    assert content(layer) == drawn
    assert viewer.dims.current_step[0] == 4
    segment(session, stack)
    assert session.commit() == 5
    np.testing.assert_array_equal(labels.data, after)


def test_corrected_object_replaces_the_committed_one() -> None:
    session = session_on(PLAIN)
    labels = target_of(session)
    draw(session, FIRST)
    draw_other = (6, 11, 24, 29)
    session.preview()
    session.commit()
    first = labels.data.copy()
    session.previous_object()
    assert session.shapes_layer is not None
    assert session.points_layer is not None
    session.shapes_layer.data = [corners(draw_other, 4)]
    session.set_polarity(False)
    session.points_layer.add([4, 15, 20])
    session.preview()
    found = pieces_of(session) > 0
    assert session.commit() == 1
    np.testing.assert_array_equal(labels.data == 1, found)
    assert labels.data[4, 15, 20] == 0
    labels.undo()
    np.testing.assert_array_equal(labels.data, first)
    labels.undo()
    assert not labels.data.any()


@pytest.mark.parametrize(
    ("undone", "stack"), list(product([False, True], repeat=2)), ids=str
)
def test_several_objects_come_back_together(undone: bool, stack: bool) -> None:
    session = session_on(PLAIN)
    labels = target_of(session)
    session.each_prompt_an_object = True
    draw(session, FIRST)
    draw(session, SECOND)
    segment(session, stack)
    assert session.commit() == 2
    after = labels.data.copy()
    if undone:
        labels.undo()
    session.each_prompt_an_object = False
    session.previous_object()
    assert session.each_prompt_an_object
    segment(session, stack)
    assert session.commit() == 2
    np.testing.assert_array_equal(labels.data, after)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1)], ids=str)
def test_undo_works_in_any_view(order: tuple[int, ...]) -> None:
    session = session_on(PLAIN)
    labels, viewer = target_of(session), session.viewer
    viewer.dims.order = order
    for axis, plane_index in enumerate((4, 15, 20)):
        viewer.dims.set_current_step(axis, plane_index)
    assert session.points_layer is not None
    session.points_layer.add([4, 15, 20])
    session.preview()
    session.commit()
    after = labels.data.copy()
    assert np.unique(np.nonzero(after)[order[0]]).tolist() == [(4, 15, 20)[order[0]]]
    viewer.dims.order = (0, 1, 2)
    viewer.dims.set_current_step(0, 0)
    labels.undo()
    assert not labels.data.any()
    labels.redo()
    np.testing.assert_array_equal(labels.data, after)


def test_previous_object_restores_sliders_after_axes_were_added() -> None:
    session = session_on(PLAIN)
    draw(session, FIRST)
    session.preview()
    session.commit()
    dims = session.viewer.dims
    session.viewer.add_image(np.zeros((3, *SHAPE)), contrast_limits=(0, 1))
    dims.set_current_step(0, 1)
    dims.set_current_step(1, 0)
    session.image_layer = session.viewer.layers["balls"]
    session.previous_object()
    # Fails: `CommitHistory.go_back` aligns the sliders on the left, not on the right.
    assert dims.current_step[:2] == (1, 4)
    assert session.preview() is not None


def test_numeric_polarity_feature_keeps_its_meaning() -> None:
    session = session_on()
    points = session.viewer.add_points(
        [[4, 15, 20], [4, 12, 22]], features={"polarity": [1, 0]}
    )
    session.points_layer = points
    session.set_polarity(False)
    points.add([4, 18, 18])
    assert list(points.features["polarity"]) == ["positive", "negative", "negative"]


def test_labels_with_an_axis_added_later_are_refused() -> None:
    session = session_on()
    draw(session, FIRST)
    session.preview()
    later = session.viewer.add_labels(np.zeros((9, *SHAPE), np.int32))
    session.labels_layer = later
    with pytest.raises(ValueError, match="segment the object again"):
        session.commit()
    assert not later.data.any()


@pytest.mark.parametrize("kind", ["rectangle", "ellipse", "path"])
@pytest.mark.parametrize("first", ["hide", "turn"])
def test_undo_brings_shapes_back_into_a_layer_hidden_in_another_view(
    kind: str, first: str
) -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((6, 80, 80), np.uint8), contrast_limits=(0, 255))
    viewer.layers[0].data[:, 10:20, 10:20] = 200
    viewer.dims.set_current_step(0, 3)
    session = SamSession(viewer, BrightPredictor())
    session.new_prompt_layers()
    shapes = session.shapes_layer
    shapes.add(corners((9, 9, 20, 20), 3), shape_type=kind)
    session.preview()
    session.commit()
    shapes.add_rectangles(corners((30, 30, 40, 40), 2))
    for step in ("hide", "turn") if first == "hide" else ("turn", "hide", "back"):
        if step == "hide":
            shapes.visible = False
        else:
            viewer.dims.ndisplay = 3 if step == "turn" else 2
    session.undo()
    assert shapes.shape_type == ["rectangle", kind]
    # napari draws them in each view.
    shapes.visible = True
    for ndisplay in (2, 3, 2):
        viewer.dims.ndisplay = ndisplay
    session.preview()
    session.commit()
    assert (session.labels_layer.data == 1).any()


@pytest.mark.parametrize("kind", ["rectangle", "path", "line"])
@pytest.mark.parametrize("back", ["undo", "previous_object"])
def test_shapes_of_a_plane_come_back_in_a_3d_view(kind: str, back: str) -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((6, 80, 80), np.uint8), contrast_limits=(0, 255))
    pixels = np.zeros((80, 80), np.uint8)
    pixels[10:20, 10:20] = 200
    image = viewer.add_image(pixels, contrast_limits=(0, 255))
    session = SamSession(viewer, BrightPredictor())
    session.image_layer = image
    session.new_prompt_layers()
    shapes = session.shapes_layer
    assert shapes.ndim == 2
    outline = corners((9, 9, 20, 20))
    shapes.add(outline[::2] if kind == "line" else outline, shape_type=kind)
    session.preview()
    session.commit()
    viewer.dims.ndisplay = 3
    getattr(session, back)()
    assert shapes.shape_type == [kind]
    assert viewer.dims.ndisplay == 3
