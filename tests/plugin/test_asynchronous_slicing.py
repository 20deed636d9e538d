"""Objects are accepted and undone while napari still loads the layers.

Without a window, layers are never loaded, as if loading took for ever.
"""

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.settings import get_settings

from napari_sam.plugin.session import SamSession
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import corners

FIRST, SECOND = (7, 12, 23, 28), (22, 32, 34, 44)


@pytest.fixture(autouse=True)
def asynchronous(session: SamSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(get_settings().experimental, "async_", True)


@pytest.fixture
def loading(session: SamSession) -> SamSession:
    return session


@pytest.fixture
def plane(stack: np.ndarray) -> SamSession:
    viewer = ViewerModel()
    viewer.add_image(stack[4], contrast_limits=(0, 255))
    session = SamSession(viewer, BrightPredictor())
    session.new_prompt_layers()
    return session


def draw(session: SamSession, box: tuple[int, ...]) -> None:
    index = session.viewer.dims.current_step[:-2]
    shapes: Any = session.shapes_layer
    shapes.add_rectangles(corners(box, *index))


@pytest.mark.parametrize(
    ("name", "ask"),
    [("plane", "preview"), ("loading", "preview"), ("loading", "propagate")],
)
def test_objects_are_written_into_a_layer_that_is_not_loaded(
    request: pytest.FixtureRequest, name: str, ask: str
) -> None:
    loading: SamSession = request.getfixturevalue(name)
    sizes = []
    for box in (FIRST, SECOND):
        draw(loading, box)
        getattr(loading, ask)()
        loading.commit()
        labels: Any = loading.labels_layer
        sizes.append(np.bincount(labels.data.ravel()).tolist()[1:])
    assert not labels.loaded
    assert len(sizes[1]) == 2
    assert sizes[1][0] == sizes[0][0] > 100 < 2 * sizes[1][1]
    assert len(labels.features) >= 2
    for size in (sizes[0], []):
        loading.undo()
        assert np.bincount(labels.data.ravel()).tolist()[1:] == size
        loading.undo()  # the box
    assert not len(loading.shapes_layer.data)


def test_objects_are_written_in_any_view(loading: SamSession) -> None:
    draw(loading, FIRST)
    loading.propagate()
    loading.viewer.dims.order = (2, 0, 1)
    loading.viewer.dims.set_current_step(2, 3)
    loading.commit()
    assert (loading.labels_layer.data == 1).any(axis=(1, 2)).sum() > 2
    loading.viewer.dims.ndisplay = 3
    loading.undo()
    assert not loading.labels_layer.data.any()


def test_features_follow_the_layers_own_undo(loading: SamSession) -> None:
    for box in (FIRST, SECOND):
        draw(loading, box)
        loading.preview()
        loading.commit()
    labels: Any = loading.labels_layer
    scores = labels.features["score"].to_numpy()
    labels.undo()
    assert labels.features["score"].notna().tolist() == [False, True, False]
    labels.redo()
    np.testing.assert_array_equal(labels.features["score"], scores)
