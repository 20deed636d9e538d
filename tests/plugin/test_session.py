"""Scripted sessions on planes, without Qt; stacks are in `test_session_stack`."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

import napari_sam as ns
from napari_sam.images.planes import PlaneReader
from napari_sam.plugin.session import SamSession
from napari_sam.prediction.steps import run_to_end
from napari_sam.requests.plane import PlaneRequest
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import FIRST, SECOND, corners, draw, written


def state(session: SamSession) -> dict[str, Any]:
    """All layers' data, to see that nothing changed."""
    return {
        layer.name: np.array(layer.data, dtype=object, copy=True)
        if layer.name == "SAM boxes"
        else np.array(layer.data)
        for layer in session.viewer.layers
    }


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert list(before) == list(after)
    for name, data in before.items():
        np.testing.assert_array_equal(data, after[name])


# -- preview, commit, discard --------------------------------------------------


def test_preview_writes_nothing_and_commit_is_one_undo_step(
    session: SamSession, stack: np.ndarray, bright: BrightPredictor
) -> None:
    draw(session, FIRST)
    before = state(session)
    prediction = session.preview()
    assert prediction is not None
    assert_same(before, state(session))
    assert session.commit() == 1
    expected = np.zeros(stack.shape, int)
    expected[4] = ns.segment(
        stack[4], boxes=[FIRST], model=bright, contrast_limits=(0, 255)
    )
    np.testing.assert_array_equal(written(session), expected)
    np.testing.assert_array_equal(written(session)[4] > 0, prediction.mask)
    assert session.labels_layer is not None
    session.labels_layer.undo()
    assert not written(session).any()
    session.labels_layer.redo()
    np.testing.assert_array_equal(written(session), expected)


def test_several_objects_equal_the_script(
    session: SamSession, stack: np.ndarray, bright: BrightPredictor
) -> None:
    session.each_prompt_an_object = True
    draw(session, FIRST)
    draw(session, SECOND)
    session.preview()
    assert session.commit() == 2
    script = ns.segment(
        stack[4], boxes=[FIRST, SECOND], model=bright, contrast_limits=(0, 255)
    )
    np.testing.assert_array_equal(written(session)[4], script)


def test_points_with_labels_equal_the_script(
    session: SamSession, stack: np.ndarray, bright: BrightPredictor
) -> None:
    assert session.points_layer is not None
    points = [(15, 20), (12, 22)]
    session.set_polarity(True)
    session.points_layer.add([4, *points[0]])
    session.set_polarity(False)
    session.points_layer.add([4, *points[1]])
    session.preview()
    session.commit()
    script = ns.segment(
        stack[4], points, [1, 0], model=bright, contrast_limits=(0, 255)
    )
    np.testing.assert_array_equal(written(session)[4], script)
    assert script[15, 20] == 1
    assert script[12, 22] == 0


def test_commit_empties_plugin_prompt_layers(session: SamSession) -> None:
    assert session.points_layer is not None
    assert session.shapes_layer is not None
    draw(session, FIRST)
    session.points_layer.add([4, 15, 20])
    session.preview()
    session.commit()
    assert len(session.points_layer.data) == len(session.shapes_layer.data) == 0
    assert session.preview() is None
    draw(session, SECOND)
    session.preview()
    assert session.commit() == 2


def test_commit_keeps_prompts_of_other_slices(session: SamSession) -> None:
    draw(session, FIRST, 3)
    draw(session, FIRST, 4)
    session.preview()
    session.commit()
    assert session.shapes_layer is not None
    assert [shape[0, 0] for shape in session.shapes_layer.data] == [3]


def test_commit_keeps_prompts_drawn_after_the_request(session: SamSession) -> None:
    assert session.shapes_layer is not None
    draw(session, FIRST)
    session.preview()
    session.shapes_layer.selected_data = {0}
    session.shapes_layer.remove_selected()
    draw(session, SECOND)  # in place of the one of the request
    session.commit()
    assert written(session)[4, 15, 20] == 1
    np.testing.assert_allclose(session.shapes_layer.data, [corners(SECOND, 4)])


def test_pixels_of_other_objects_are_kept(session: SamSession) -> None:
    draw(session, FIRST)
    session.preview()
    session.commit()
    before = written(session).copy()
    draw(session, FIRST)
    session.preview()
    session.commit()
    np.testing.assert_array_equal(written(session), before)
    assert session.target.last_written is not None
    assert session.target.last_written.kept == np.count_nonzero(before)


def test_discard_drops_the_object_and_keeps_the_layers(session: SamSession) -> None:
    draw(session, FIRST)
    session.preview()
    layers = list(session.viewer.layers)
    session.discard()
    assert session.result is None
    assert list(session.viewer.layers) == layers
    assert session.shapes_layer is not None
    assert len(session.shapes_layer.data) == 0
    with pytest.raises(ValueError, match="nothing to accept"):
        session.commit()
    session.discard()  # once more does no harm


def test_later_preview_replaces_the_pending_object(session: SamSession) -> None:
    assert session.shapes_layer is not None
    draw(session, FIRST)
    session.preview()
    session.shapes_layer.data = [corners(SECOND, 4)]
    session.preview()
    session.commit()
    assert np.unique(written(session)).tolist() == [0, 1]
    assert written(session)[4, 28, 38] == 1
    assert written(session)[4, 15, 20] == 0


def test_refused_request_keeps_the_pending_result(
    session: SamSession,
) -> None:
    draw(session, FIRST)
    session.preview()
    session.each_prompt_an_object = True
    draw(session, SECOND)
    session.build_plane_request()  # and cancelled
    session.commit()
    assert session.shapes_layer is not None
    assert (
        len(session.shapes_layer.data) == 1
    )  # the second box is still to be segmented


# -- layers of the user --------------------------------------------------------


def test_prompt_layers_of_the_user_are_never_changed(
    bright: BrightPredictor, stack: np.ndarray
) -> None:
    viewer = ViewerModel()
    viewer.add_image(stack, contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 4)
    points = viewer.add_points([[4, 15, 20]], features={"kind": ["a"]})
    shapes = viewer.add_shapes([corners(SECOND, 4)], features={"kind": ["b"]})
    session = SamSession(viewer, bright)
    session.points_layer, session.shapes_layer = points, shapes
    session.each_prompt_an_object = True
    before = [
        (np.array(la.data).copy(), la.features.copy(), layer_place(la))
        for la in (points, shapes)
    ]
    for action in (session.preview, session.propagate, session.commit):
        action()
        for layer, (data, features, place) in zip(
            (points, shapes), before, strict=True
        ):
            np.testing.assert_array_equal(np.array(layer.data), data)
            assert layer.features.equals(features)
            assert layer_place(layer) == place
    assert session.preview() is None  # consumed prompts are not used again
    points.add([4, 28, 38])
    assert session.preview() is not None  # new ones are
    session.discard()
    np.testing.assert_array_equal(points.data, [[4, 15, 20], [4, 28, 38]])
    assert session.preview() is None


def layer_place(layer: Any) -> tuple[Any, ...]:
    return tuple(layer.scale), tuple(layer.translate), layer.visible, layer.mode


def test_prompts_of_a_new_layer_are_new(
    bright: BrightPredictor, stack: np.ndarray
) -> None:
    viewer = ViewerModel()
    viewer.add_image(stack[4], contrast_limits=(0, 255))
    session = SamSession(viewer, bright)
    for _ in range(3):
        session.shapes_layer = viewer.add_shapes([corners(FIRST)])
        assert session.preview() is not None
        session.commit()
        viewer.layers.remove(session.shapes_layer)


def test_image_under_the_prompt_layers_stays_chosen(
    bright: BrightPredictor,
) -> None:
    """Choosing an image in the layer list, then drawing, must not change it."""
    viewer = ViewerModel()
    lower = viewer.add_image(np.zeros((40, 50)), name="lower")
    viewer.add_image(np.zeros((40, 50)), name="upper")
    viewer.layers.selection.active = lower
    session = SamSession(viewer, bright)
    assert session.image_layer is lower
    session.new_prompt_layers()
    viewer.layers.selection.active = session.shapes_layer
    assert session.image_layer is lower


def test_renamed_layers_stay_chosen(session: SamSession) -> None:
    draw(session, FIRST)
    session.preview()
    session.commit()
    for layer in session.viewer.layers:
        layer.name = f"renamed {layer.name}"
    draw(session, SECOND)
    session.preview()
    assert session.commit() == 2
    assert sum("SAM labels" in layer.name for layer in session.viewer.layers) == 1


def test_removed_labels_layer_is_made_again(session: SamSession) -> None:
    draw(session, FIRST)
    session.preview()
    session.commit()
    first = session.labels_layer
    draw(session, SECOND)
    session.preview()
    session.viewer.layers.remove(first)
    assert session.commit() == 1
    assert session.labels_layer is not first
    assert session.labels_layer in session.viewer.layers


def test_removed_prompt_layers_are_ignored(session: SamSession) -> None:
    draw(session, FIRST)
    session.preview()
    session.viewer.layers.remove(session.shapes_layer)
    session.viewer.layers.remove(session.points_layer)
    assert session.commit() == 1
    assert session.preview() is None


def test_new_labels_layer_fits_the_image_and_keeps_the_active_layer(
    bright: BrightPredictor, stack: np.ndarray
) -> None:
    viewer = ViewerModel()
    place = {"scale": (0.5, 2), "translate": (3, 4), "rotate": 20}
    image = viewer.add_image(stack[4], contrast_limits=(0, 255), **place)
    session = SamSession(viewer, bright)
    _, shapes = session.new_prompt_layers()
    draw_on = corners(FIRST)
    shapes.add_rectangles(draw_on)
    viewer.layers.selection.active = shapes
    session.preview()
    session.commit()
    labels = session.labels_layer
    assert labels is not None
    assert labels.data.dtype == np.int32
    assert viewer.layers.selection.active is shapes
    for pixel in ((0, 0), (10, 3)):
        np.testing.assert_allclose(
            labels.data_to_world(pixel), image.data_to_world(pixel)
        )


def test_two_sessions_are_independent(
    bright: BrightPredictor, stack: np.ndarray
) -> None:
    sessions = []
    for box in (FIRST, SECOND):
        viewer = ViewerModel()
        viewer.add_image(stack, contrast_limits=(0, 255))
        viewer.dims.set_current_step(0, 4)
        session = SamSession(viewer, bright)
        session.new_prompt_layers()
        draw(session, box)
        sessions.append(session)
    for session in sessions:
        session.preview()
    for session in sessions:
        session.commit()
    assert written(sessions[0])[4, 15, 20] == written(sessions[1])[4, 28, 38] == 1
    assert written(sessions[0])[4, 28, 38] == written(sessions[1])[4, 15, 20] == 0


# -- images --------------------------------------------------------------------


def test_result_of_a_removed_image_is_dropped(session: SamSession) -> None:
    draw(session, FIRST)
    request = session.build_plane_request()
    result = run_to_end(request.request.run(session.load(), session.cache))
    session.viewer.layers.remove("balls")
    before = state(session)
    with pytest.raises(ValueError, match="image was removed"):
        session.accept_result(request, result)
    assert session.result is None
    assert_same(before, state(session))


def test_commit_without_its_image_is_refused(session: SamSession) -> None:
    draw(session, FIRST)
    session.preview()
    session.viewer.layers.remove("balls")
    before = state(session)
    with pytest.raises(ValueError, match="nothing to accept"):
        session.commit()
    assert_same(before, state(session))


def test_image_can_be_removed_and_another_opened(
    session: SamSession, stack: np.ndarray
) -> None:
    draw(session, FIRST)
    session.preview()
    session.commit()
    session.viewer.layers.clear()
    following = session.viewer.add_image(stack[4], contrast_limits=(0, 255))
    assert session.image_layer is following
    session.new_prompt_layers()
    assert session.shapes_layer is not None
    session.shapes_layer.add_rectangles(corners(SECOND))
    session.preview()
    assert session.commit() == 1
    assert written(session).shape == (40, 50)


def test_choosing_another_image_drops_the_pending_result(
    session: SamSession, stack: np.ndarray
) -> None:
    draw(session, FIRST)
    session.image_layer = session.viewer.layers["balls"]
    session.preview()
    other = session.viewer.add_image(255 - stack, scale=(2, 1, 1))
    session.image_layer = other
    assert session.result is None
    with pytest.raises(ValueError, match="nothing to accept"):
        session.commit()
    session.preview()
    assert session.pending.image is other


def test_result_belongs_to_the_image_of_its_request(
    session: SamSession, stack: np.ndarray
) -> None:
    draw(session, FIRST)
    request = session.build_plane_request()
    balls = session.image_layer
    session.viewer.add_image(255 - stack, scale=(2, 1, 1), translate=(0, 5, 5))
    result = run_to_end(request.request.run(session.load(), session.cache))
    session.accept_result(request, result)
    assert session.pending.image is balls
    session.commit()
    assert written(session)[4, 15, 20] == 1
    assert session.labels_layer is not None
    assert tuple(session.labels_layer.translate) == (0, 0, 0)


def test_model_sees_the_contrast_limits_of_the_layer(
    session: SamSession,
) -> None:
    image = session.image_layer
    assert image is not None
    for limits, found in (((0, 255), True), ((190, 255), False), ((0, 40), True)):
        image.contrast_limits = limits
        draw(session, FIRST)
        prediction = session.preview()
        assert prediction is not None
        assert prediction.mask[15, 20] == found
        session.discard()


def test_chosen_model_runs_the_next_request(session: SamSession) -> None:
    blind = BrightPredictor("blind", threshold=255)
    draw(session, FIRST)
    first = session.preview()
    session.model = blind
    assert session.model_choice.loaded is blind
    second = session.preview()
    assert first is not None
    assert second is not None
    assert first.mask.any()
    assert not second.mask.any()


def test_model_loaded_for_an_earlier_choice_is_not_kept(session: SamSession) -> None:
    chosen = session.model
    session.model = "mobile_sam"
    session.model_choice.keep(BrightPredictor("late"), chosen)
    assert session.model_choice.loaded is None


def dot(shape: tuple[int, ...], dtype: Any = float) -> np.ndarray:
    """Make an image of one bright pixel on each plane, at the end of its first row."""
    image = np.zeros(shape, dtype)
    colours = len(shape) == 3
    image[(..., 0, -1, slice(None)) if colours else (..., 0, -1)] = 1
    return image


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (np.zeros((8, 9, 3), np.uint8), {"rgb": True}),
        (np.zeros((8, 9), bool), {}),
        (np.full((8, 9), np.nan), {"contrast_limits": (0, 3)}),
        (np.full((8, 9), 7.0), {}),
        (np.full((8, 9), 7.0), {"contrast_limits": (8, 9)}),
        (np.zeros((1, 1)), {}),
        (np.zeros((2, 2, 2, 8, 9)), {}),
    ],
    ids=["rgb", "bool", "nan", "constant", "too dark", "1x1", "5D"],
)
def test_images_that_show_nothing_are_refused(
    bright: BrightPredictor, data: np.ndarray, place: dict[str, Any]
) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(data, **place)
    viewer.dims.point = (0,) * viewer.dims.ndim
    session = SamSession(viewer, bright)
    session.points_layer = viewer.add_points([(0,) * image.ndim])
    for segment in (session.preview, session.segment_everything):
        with pytest.raises(ValueError, match=r"^The slice shows nothing"):
            segment()


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (dot((8, 9, 3), np.uint8), {"rgb": True}),
        (dot((8, 9), bool), {}),
        (dot((8, 9), np.uint64), {}),
        (np.where(dot((8, 9)) > 0, 2, np.nan), {"contrast_limits": (0, 3)}),
        (np.where(dot((8, 9)) > 0, 2, np.inf), {"contrast_limits": (0, 3)}),
        (dot((1, 1)), {"contrast_limits": (0, 2)}),
        (dot((1, 9)), {}),
        (dot((8, 9), np.float16), {}),
        (dot((2, 2, 2, 8, 9)), {}),
    ],
    ids=["rgb", "bool", "uint64", "nan", "inf", "1x1", "one row", "half", "5D"],
)
@pytest.mark.parametrize("kind", ["point", "box"])
def test_unusual_images_give_a_result(
    bright: BrightPredictor, data: np.ndarray, place: dict[str, Any], kind: str
) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(data, **place)
    viewer.dims.point = (0,) * viewer.dims.ndim
    session = SamSession(viewer, bright)
    index = (0,) * (image.ndim - 2)
    if kind == "point":
        session.points_layer = viewer.add_points([(*index, 0, 0)])
    else:
        session.shapes_layer = viewer.add_shapes([corners((0, 0, 1, 1), *index)])
    before = np.array(data, copy=True)
    assert session.preview() is not None
    try:
        session.commit()
    except ValueError as error:
        assert "mask is empty" in str(error)
        assert session.labels_layer is None
    np.testing.assert_array_equal(data, before)


@pytest.mark.parametrize("kind", [complex, object])
def test_complex_values_are_refused(session: SamSession, kind: type) -> None:
    # napari refuses such layers, but not data that are replaced or computed late.
    draw(session, FIRST)
    request = session.build_plane_request().request
    assert isinstance(request, PlaneRequest)
    view = replace(request.view, reader=PlaneReader((np.ones((9, 40, 50), kind),)))
    odd = replace(request, view=view)
    with pytest.raises(ValueError, match=r"only real numbers"):
        run_to_end(odd.run(session.load(), session.cache))
    assert session.result is None


def test_image_without_finite_values_is_refused(
    bright: BrightPredictor,
) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.ones((8, 9)))
    image.contrast_limits_range = (-np.inf, np.inf)
    image.contrast_limits = (0, np.inf)
    session = SamSession(viewer, bright)
    session.points_layer = viewer.add_points([[0, 0]])
    with pytest.raises(ValueError, match=r"contrast limits .* not two increasing"):
        session.preview()


# -- prompts that cannot be used -----------------------------------------------


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize(
    ("points", "labels", "sentence"),
    [
        ([[4, 15, 20]], ["negative"], r"(background points|its slice): add a point on"),
        ([[4, 15, 99]], ["positive"], "outside the plane"),
        ([[2, 15, 20]], ["positive"], "on other slices"),
    ],
)
def test_unusable_points_are_refused(
    session: SamSession, points: Any, labels: list[str], sentence: str, each: bool
) -> None:
    assert session.points_layer is not None
    session.each_prompt_an_object = each
    session.points_layer.data = points
    session.points_layer.features = {"polarity": labels}
    before = state(session)
    with pytest.raises(ValueError, match=sentence):
        session.build_plane_request()
    assert_same(before, state(session))


def test_box_outside_the_image_is_refused(session: SamSession) -> None:
    draw(session, (100, 100, 120, 120))
    with pytest.raises(ValueError, match=r"box .* outside the plane of 40 x 50"):
        session.preview()


def test_box_partly_outside_is_clipped(session: SamSession) -> None:
    draw(session, (-5, -5, 23, 28))
    prediction = session.preview()
    assert prediction is not None
    assert prediction.mask[15, 20]


def test_two_boxes_for_one_object_are_refused(session: SamSession) -> None:
    draw(session, FIRST)
    draw(session, SECOND)
    with pytest.raises(ValueError, match="2 boxes for one object"):
        session.preview()


def test_empty_prompt_layers_are_reported(session: SamSession) -> None:
    with pytest.raises(ValueError, match="no new prompts"):
        session.build_plane_request()
    with pytest.raises(ValueError, match="no new prompts"):
        session.build_stack_request()
    assert session.preview() is None


def test_missing_layers_and_results_are_reported(
    bright: BrightPredictor,
) -> None:
    session = SamSession(ViewerModel(), bright)
    for action in (session.preview, session.propagate, session.new_prompt_layers):
        with pytest.raises(ValueError, match="no image"):
            action()
    with pytest.raises(ValueError, match="nothing to accept"):
        session.commit()
    with pytest.raises(ValueError, match="no points layer"):
        session.set_polarity(True)
    session.discard()


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.zeros((9, 2, 40, 50), int), "does not cover"),
        (np.full((9, 40, 50), 255, np.uint8), "cannot hold"),
    ],
)
def test_unusable_labels_layers_are_refused(
    session: SamSession, labels: np.ndarray, sentence: str
) -> None:
    before = labels.copy()
    session.labels_layer = session.viewer.add_labels(labels, scale=(2, 1, 1))
    draw(session, FIRST)
    with pytest.raises(ValueError, match=sentence):
        session.preview()
        session.commit()
    np.testing.assert_array_equal(labels, before)
    assert session.shapes_layer is not None
    assert len(session.shapes_layer.data) == 1  # nothing was lost
