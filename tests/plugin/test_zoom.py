"""A session zooms to the prompt: windows, hints, alternatives of other scales."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

import napari_sam as ns
from napari_sam.images.window import Window
from napari_sam.plugin.panels.status_text import status_text
from napari_sam.plugin.session import SamSession
from napari_sam.plugin.state.request_builder import zoom_hints
from napari_sam.prediction.prediction import Prediction
from napari_sam.prompts.prompt import Prompt
from tests.helpers.models import StandInPredictor, as_prediction
from tests.helpers.sessions import FIRST, corners, draw, written

SIDE = 512
PLACE = 200, 230


class DiscOfWindow(StandInPredictor):
    """Answers with a disc of a quarter of what it sees; `best` is seen best."""

    smallest_window = 64

    def __init__(self, best: int = 128) -> None:
        super().__init__("disc")
        self.best = best

    def answer(self, pixels: np.ndarray, prompt: Prompt) -> Prediction:
        side = max(pixels.shape)
        place = (
            prompt.positives[-1]
            if prompt.box is None
            else prompt.box.reshape(2, 2).mean(axis=0)
        )
        rows, cols = np.indices(pixels.shape)
        disc = np.hypot(rows - place[0], cols - place[1]) < side / 8
        score = 0.9 if side == self.best else 0.7
        return as_prediction(np.where(disc, 9, -9), score)


@pytest.fixture
def model() -> DiscOfWindow:
    return DiscOfWindow()


@pytest.fixture
def large(model: DiscOfWindow) -> SamSession:
    """A session on a plane of 512 pixels a side."""
    viewer = ViewerModel()
    viewer.add_image(np.full((SIDE, SIDE), 100, np.uint8), contrast_limits=(0, 255))
    session = SamSession(viewer, model)
    session.new_prompt_layers()
    return session


def click(session: SamSession, *place: float) -> None:
    assert session.points_layer is not None
    session.points_layer.add(place)


def box(session: SamSession, *sides: float) -> None:
    assert session.shapes_layer is not None
    session.shapes_layer.add_rectangles(corners(sides))


def hints(session: SamSession) -> Any:
    from napari_sam.plugin.layers.transforms import displayed_plane

    image = session.settings.require_image()
    plane = displayed_plane(image, session.viewer.dims)
    return zoom_hints(session.settings, session.history, image, plane)


def found_in(session: SamSession) -> list[int | None]:
    assert session.result is not None
    return [p.window and p.window.side for p in session.result.predictions]


def asked_in(session: SamSession, object_id: int = 1) -> list[int | None]:
    assert session.result is not None
    return [w and w.side for w in session.result.windows[object_id]]


# -- windows of a click ------------------------------------------------------------


def test_a_click_is_tried_at_several_scales(large: SamSession) -> None:
    click(large, *PLACE)
    large.preview()
    assert found_in(large) == [128]
    assert asked_in(large) == [64, 128, None]
    assert "zoomed to 128 px" in status_text(large)


def test_further_clicks_ask_the_same_windows(large: SamSession) -> None:
    click(large, *PLACE)
    first = large.preview()
    model = large.load()
    encoded = len(model.embedded)  # type: ignore[attr-defined]
    click(large, PLACE[0] + 5, PLACE[1])
    second = large.preview()
    assert first is not None and second is not None
    assert second.window == first.window
    assert asked_in(large) == [64, 128, None]
    assert len(model.embedded) == encoded  # type: ignore[attr-defined]


def test_a_click_far_away_leaves_the_window(large: SamSession) -> None:
    click(large, *PLACE)
    large.preview()
    click(large, PLACE[0] + 250, PLACE[1])
    large.preview()
    assert found_in(large) == [None]


@pytest.mark.parametrize("what", ["point", "zoom", "model"])
def test_what_is_new_does_not_keep_the_window(large: SamSession, what: str) -> None:
    click(large, *PLACE)
    large.preview()
    if what == "point":
        large.points_layer.data = [[40, 50]]  # type: ignore[union-attr]
    elif what == "zoom":
        large.zoom = 4
    else:
        large.model = DiscOfWindow(64)
    request = large.build_plane_request().request
    assert not request.windows  # type: ignore[attr-defined]


def test_objects_keep_their_own_windows(large: SamSession) -> None:
    large.each_prompt_an_object = True
    click(large, *PLACE)
    box(large, 300, 300, 310, 310)
    large.preview()
    asked = dict(large.pending.result.windows)  # type: ignore[union-attr]
    box(large, 20, 400, 120, 470)
    request = large.build_plane_request().request
    kept = request.windows  # type: ignore[attr-defined]
    assert set(kept.values()) == set(asked.values())
    assert len(kept) == 2
    assert len(request.prompts) == 3


def test_an_object_that_is_brought_back_looks_the_same(large: SamSession) -> None:
    click(large, *PLACE)
    first = large.preview()
    large.commit()
    large.previous_object()
    again = large.preview()
    assert first is not None and again is not None
    assert again.window == first.window
    np.testing.assert_array_equal(again.mask, first.mask)
    assert asked_in(large) == [64, 128, None]


# -- the setting -------------------------------------------------------------------


def test_zoom_is_checked(large: SamSession) -> None:
    assert large.zoom == "auto"
    with pytest.raises(ValueError, match="factor of at least 1"):
        large.zoom = 0.5
    assert large.zoom == "auto"


@pytest.mark.parametrize(("zoom", "side"), [("off", None), (4, 128), (2, 256)])
def test_zoom_decides_about_the_window(
    large: SamSession, zoom: Any, side: int | None
) -> None:
    click(large, *PLACE)
    large.zoom = zoom
    large.preview()
    assert asked_in(large) == [side]
    assert ("zoomed" in status_text(large)) == (side is not None)


def test_another_zoom_is_a_new_live_request(large: SamSession) -> None:
    seen = []
    large.zoom_changed.connect(lambda: seen.append(large.zoom))
    click(large, *PLACE)
    large.preview()
    assert large.live_request() is None
    large.zoom = "auto"  # as it was
    assert seen == []
    assert large.live_request() is None
    large.zoom = 2
    assert seen == [2.0]
    assert large.live_request() is not None


def test_moving_the_view_asks_nothing_again(large: SamSession) -> None:
    click(large, *PLACE)
    large.preview()
    look_at(large, (100, 100), (220, 250))
    assert hints(large).visible == Window(100, 100, 121, 151)
    assert large.live_request() is None


def test_objects_too_small_for_the_model_are_named(large: SamSession) -> None:
    large.zoom = "off"
    large.load().input_size = 32
    box(large, 100, 100, 104, 104)
    large.preview()
    (sentence,) = large.result.warnings  # type: ignore[union-attr]
    assert "set the zoom to auto" in sentence
    assert status_text(large).endswith(sentence)


def test_a_stack_has_the_zoom_of_the_session(session: SamSession) -> None:
    draw(session, FIRST)
    assert session.build_stack_request().request.zoom == "auto"  # type: ignore[attr-defined]
    session.zoom = 2
    assert session.build_stack_request().request.zoom == 2  # type: ignore[attr-defined]


# -- hints -------------------------------------------------------------------------


def look_at(session: SamSession, first: Any, last: Any) -> None:
    """What napari sets when the canvas shows a part of the image."""
    session.image_layer.corner_pixels = np.array([first, last])  # type: ignore[union-attr]


def test_a_click_on_a_plane_in_full_view_is_looked_for_everywhere(
    large: SamSession,
) -> None:
    look_at(large, (0, 0), (SIDE - 1, SIDE - 1))
    click(large, *PLACE)
    large.preview()
    assert asked_in(large) == [64, 128, None]


def test_a_click_is_looked_for_in_what_is_visible(large: SamSession) -> None:
    look_at(large, (150, 180), (249, 279))
    click(large, *PLACE)
    large.preview()
    assert asked_in(large) == [64, 128]


def commit_box(session: SamSession, side: int, row: int = 100) -> None:
    """Accept an object, which the zoom makes as large as that."""
    session.load().best = side * 4  # type: ignore[attr-defined]
    session.zoom = SIDE / (side * 4)
    box(session, row, 100, row + 2, 102)
    session.preview()
    session.commit()
    session.zoom = "auto"


def test_the_next_object_is_expected_as_large_as_the_last_ones(
    large: SamSession,
) -> None:
    assert hints(large).object_size is None
    for row, side in enumerate((16, 64, 32, 32, 32, 16, 64)):
        commit_box(large, side, 100 + row)
    # The last five; a disc of radius r has 2 r - 1 pixels.
    assert hints(large).object_size == 31
    click(large, *PLACE)
    large.preview()
    assert asked_in(large) == [256, None]


def test_objects_of_other_layers_tell_nothing(large: SamSession) -> None:
    commit_box(large, 16)
    assert hints(large).object_size == 15
    large.labels_layer = large.viewer.add_labels(np.zeros((SIDE, SIDE), int))
    assert hints(large).object_size is None
    commit_box(large, 32)
    large.image_layer = large.viewer.add_image(np.zeros((SIDE, SIDE)))
    assert hints(large).object_size is None


# -- alternatives of several scales ------------------------------------------------


@pytest.fixture
def replayed(large: SamSession) -> Callable[[], np.ndarray]:
    def run() -> np.ndarray:
        image = large.image_layer
        assert image is not None
        again: np.ndarray = ns.replay(large.record(), image.data, large.load())
        return again

    return run


def mask_of(session: SamSession) -> np.ndarray:
    assert session.result is not None
    return session.result.paint((SIDE, SIDE)) > 0


def test_alternatives_reach_all_scales_and_come_back(large: SamSession) -> None:
    click(large, *PLACE)
    large.preview()
    seen = [found_in(large)[0]]
    areas = [mask_of(large).sum()]
    for _ in range(3):
        large.next_alternative()
        seen.append(found_in(large)[0])
        areas.append(mask_of(large).sum())
        windows = [w.side for w in large.pending.windows]  # type: ignore[union-attr]
        assert windows == [s for s in seen[-1:] if s]
    assert seen == [128, None, 64, 128]
    assert areas[2] < areas[0] < areas[1]
    assert areas[3] == areas[0]


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_the_shown_alternative_is_written_and_replayed(
    large: SamSession, replayed: Callable[[], np.ndarray], steps: int
) -> None:
    click(large, *PLACE)
    large.preview()
    for _ in range(steps):
        large.next_alternative()
    shown = mask_of(large)
    large.commit()
    np.testing.assert_array_equal(written(large) == 1, shown)
    np.testing.assert_array_equal(replayed(), written(large))


def test_a_corrected_object_is_replayed(
    large: SamSession, replayed: Callable[[], np.ndarray]
) -> None:
    commit_box(large, 16, 300)
    click(large, *PLACE)
    large.preview()
    large.commit()
    large.previous_object()
    large.preview()
    large.next_alternative()
    click(large, PLACE[0] + 4, PLACE[1])
    large.preview()
    shown = mask_of(large)
    large.commit()
    np.testing.assert_array_equal(written(large) == 2, shown)
    assert set(np.unique(written(large))) == {0, 1, 2}
    np.testing.assert_array_equal(replayed(), written(large))


def test_the_size_is_chosen_anew_for_the_next_object(large: SamSession) -> None:
    click(large, *PLACE)
    large.preview()
    large.next_alternative()
    assert large.size == "large"
    shown = mask_of(large)
    large.commit()
    assert large.size is None
    large.previous_object()  # and comes back with the object
    large.preview()
    np.testing.assert_array_equal(mask_of(large), shown)
