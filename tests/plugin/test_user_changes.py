"""Whatever users do to layers is read with a default, or refused before writing."""

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_sam.plugin.session import SamSession
from napari_sam.prompts.prompt import label_from_polarity
from tests.helpers.sessions import corners
from tests.helpers.squares import CENTRES, SHAPE, Squares

# napari's own remarks on what the user does.
pytestmark = [
    pytest.mark.filterwarnings("ignore:property used for face_color dropped"),
    pytest.mark.filterwarnings("ignore:invalid value encountered in cast"),
]
CELLS = (1, 0, -3.5, "positive", "negative", "Hintergrund", "", None, np.nan, True)
COLUMNS = ("object", "polarity", "label", "size")
COLORS = ("red", [0, 0, 1, 0.5], "transparent")


def make_session(own: bool = True) -> SamSession:
    viewer = ViewerModel()
    viewer.add_image(np.full(SHAPE, 200, np.uint8), contrast_limits=(0, 255))
    session = SamSession(viewer, Squares())
    session.new_prompt_layers()
    if not own:
        session.points_layer = viewer.add_points(ndim=2, name="mine")
        session.shapes_layer = viewer.add_shapes(ndim=2, name="my boxes")
    return session


def set_features(layer: Any, columns: dict[str, Any]) -> None:
    count = len(layer.data)
    # napari cannot colour by NaN, and has set the features by then.
    with contextlib.suppress(KeyError):
        layer.features = {name: [cell] * count for name, cell in columns.items()}


@settings(max_examples=25)
@given(
    own=st.booleans(),
    columns=st.dictionaries(st.sampled_from(COLUMNS), st.sampled_from(CELLS)),
    color=st.sampled_from(COLORS),
    boxed=st.booleans(),
    later=st.booleans(),
)
@example(own=True, columns={"object": 1}, color="red", boxed=False, later=False)
@example(own=True, columns={}, color="red", boxed=False, later=False)
@example(own=True, columns={"polarity": None}, color="red", boxed=True, later=True)
@example(own=False, columns={"polarity": 0}, color="red", boxed=True, later=False)
@example(own=True, columns={"label": 0}, color="red", boxed=True, later=False)
@example(
    own=False,
    columns={"polarity": "positive", "label": 0},
    color="red",
    boxed=True,
    later=False,
)
def test_commit_with_any_features_is_whole_or_refused(
    own: bool, columns: dict[str, Any], color: Any, boxed: bool, later: bool
) -> None:
    session = make_session(own)
    points, shapes = session.points_layer, session.shapes_layer
    points.add(CENTRES[0])
    if boxed:
        shapes.add_rectangles(corners(np.add(np.tile(CENTRES[0], 2), [-2, -2, 2, 2])))
    if not later:
        set_features(points, columns)
    try:
        session.preview()
    except ValueError as error:
        assert "\n" not in str(error)
        assert session.result is None
    if later:
        set_features(points, columns)
        set_features(shapes, columns)
    points.face_color = points.border_color = color
    try:
        label = session.commit()
    except ValueError as error:
        assert "\n" not in str(error)
        assert session.labels_layer is None
        session.discard()
    else:
        # A point on the background takes its pixel out of the box.
        told = columns.get("polarity", columns.get("label", 1))
        takes_one = boxed and not later and label_from_polarity(told) == 0
        size = np.bincount(session.labels_layer.data.ravel())[label]
        assert size == 25 - takes_one
        with pytest.raises(ValueError, match="nothing to accept"):
            session.commit()
    session.points_layer.add(CENTRES[1])
    session.discard()
    session.set_polarity(False)
    session.points_layer.add(CENTRES[1])
    assert session.points_layer.features["polarity"].iloc[-1] == "negative"
    session.tool = "object"
    session.points_layer.add(CENTRES[2])
    session.accept()
    session.finish_waiting()
    assert session.labels_layer.data[CENTRES[2]] > 0
    session.undo()
    assert session.labels_layer.data[CENTRES[2]] == 0


def lose_features(session: SamSession) -> None:
    session.points_layer.features = {}


def replace_metadata(session: SamSession) -> None:
    session.points_layer.metadata = {}


def break_record(session: SamSession) -> None:
    session.labels_layer = session.viewer.add_labels(np.zeros(SHAPE, int))
    session.labels_layer.metadata["napari_sam"] = "my notes"


def replace_points(session: SamSession) -> None:
    session.points_layer.data = np.array([CENTRES[3]], float)


def add_nan(session: SamSession) -> None:
    session.points_layer.data = np.array([CENTRES[0], (np.nan, 3)])


def lock(session: SamSession) -> None:
    session.points_layer.editable = False


def hide_points(session: SamSession) -> None:
    session.points_layer.shown = False


def remove_layers(session: SamSession) -> None:
    session.viewer.layers.remove(session.points_layer)


@pytest.mark.parametrize(
    "change",
    [
        lose_features,
        replace_metadata,
        break_record,
        replace_points,
        add_nan,
        lock,
        hide_points,
        remove_layers,
    ],
)
@pytest.mark.parametrize("late", [False, True], ids=["before preview", "after"])
def test_change_of_a_layer_writes_once_or_not_at_all(change: Any, late: bool) -> None:
    session = make_session()
    session.points_layer.add(CENTRES[0])
    for moment in (False, True):
        if late == moment:
            change(session)
        if not moment:
            try:
                session.preview()
            except ValueError as error:
                assert "\n" not in str(error)
    for _ in range(2):
        before = None
        if session.labels_layer is not None:
            before = session.labels_layer.data.copy()
        try:
            session.commit()
        except ValueError as error:
            assert "\n" not in str(error)
            labels = session.labels_layer
            if before is None:
                assert labels is None
            else:
                np.testing.assert_array_equal(labels.data, before)
    labels = session.labels_layer
    assert labels is None or labels.data.max() <= 1


def test_callback_of_the_user_that_fails_leaves_the_labels_as_they_were() -> None:
    session = make_session()
    labels = session.viewer.add_labels(np.zeros(SHAPE, int))
    session.labels_layer = labels

    def fail(_: Any) -> None:
        raise RuntimeError("mine")

    session.points_layer.add(CENTRES[0])
    session.preview()
    labels.events.paint.connect(fail)
    with pytest.raises(Exception, match="mine"):
        session.commit()
    assert not labels.data.any()
    labels.events.paint.disconnect(fail)
    assert session.commit() == 1
    assert labels.data.max() == 1
