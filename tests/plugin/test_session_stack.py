"""Scripted sessions on stacks, without Qt."""

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

import napari_sam as ns
from napari_sam.masks.painting import paint_pieces
from napari_sam.plugin.layers.displayed_stack import voxel_sizes
from napari_sam.plugin.session import SamSession
from napari_sam.plugin.state.pending_result import PendingResult
from napari_sam.prediction.steps import run_to_end
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import FIRST, SECOND, corners, draw, written

SMALLER = (12, 17, 18, 23)


def first_ball(stack: np.ndarray) -> np.ndarray:
    """All that is bright left of the second ball."""
    truth: np.ndarray = stack > 127
    truth[:, :, 30:] = False
    return truth


def test_propagate_equals_the_script(
    session: SamSession, stack: np.ndarray, bright: BrightPredictor
) -> None:
    draw(session, FIRST)
    volume = session.propagate()
    script = ns.segment_volume(
        stack,
        {4: ns.Prompt(box=FIRST)},
        model=bright,
        spacing=(2, 1, 1),
        contrast_limits=(0, 255),
    )
    np.testing.assert_array_equal(volume.labels, script.labels)
    assert [s.confidence for s in volume.slices] == [
        s.confidence for s in script.slices
    ]
    truth = first_ball(stack)
    np.testing.assert_array_equal(volume.labels > 0, truth)
    session.commit()
    np.testing.assert_array_equal(written(session), script.labels)


def test_committing_a_stack_is_one_undo_step(session: SamSession) -> None:
    draw(session, FIRST)
    session.propagate()
    session.commit()
    after = written(session).copy()
    assert len(np.unique(np.nonzero(after)[0])) > 3
    assert session.labels_layer is not None
    session.labels_layer.undo()
    assert not written(session).any()
    session.labels_layer.redo()
    np.testing.assert_array_equal(written(session), after)


@pytest.mark.parametrize("count", [1, 3])
def test_stopping_iteration_keeps_the_finished_slices(
    session: SamSession, count: int
) -> None:
    draw(session, FIRST)
    steps = session.iter_propagate()
    done = [next(steps).index for _ in range(count)]
    steps.close()
    session.commit()
    assert np.unique(np.nonzero(written(session))[0]).tolist() == sorted(done)
    assert session.labels_layer is not None
    session.labels_layer.undo()
    assert not written(session).any()


def test_stopping_before_all_objects_were_reached(session: SamSession) -> None:
    session.each_prompt_an_object = True
    draw(session, FIRST, 3)
    draw(session, SECOND, 4)
    steps = session.iter_propagate()
    assert next(steps).object_id == 1
    steps.close()
    assert session.commit() == 1
    assert written(session)[3, 15, 20] == 1
    assert not written(session)[4].any()


def test_several_objects_equal_the_script(
    session: SamSession, stack: np.ndarray, bright: BrightPredictor
) -> None:
    session.each_prompt_an_object = True
    draw(session, FIRST, 4)
    draw(session, SECOND, 4)
    session.propagate()
    assert session.commit() == 2
    prompts = {1: {4: ns.Prompt(box=FIRST)}, 2: {4: ns.Prompt(box=SECOND)}}
    script = ns.segment_volume(stack, prompts, model=bright, contrast_limits=(0, 255))
    np.testing.assert_array_equal(written(session), script.labels)
    assert set(np.unique(script.labels)) == {0, 1, 2}


def test_prompts_on_several_slices_are_one_object(session: SamSession) -> None:
    draw(session, FIRST, 3)
    draw(session, FIRST, 5)
    volume = session.propagate()
    assert {s.index for s in volume.slices if s.status == "anchor"} == {3, 5}
    assert session.commit() == 1
    assert session.shapes_layer is not None
    assert len(session.shapes_layer.data) == 0


@pytest.mark.parametrize("order", [(1, 0, 2), (2, 0, 1), (2, 1, 0)], ids=str)
def test_propagation_follows_the_slider_of_the_view(
    session: SamSession, order: tuple[int, ...], stack: np.ndarray
) -> None:
    session.viewer.dims.order = order
    slider_axis = order[0]
    session.viewer.dims.set_current_step(slider_axis, (4, 15, 20)[slider_axis])
    centre = np.array((4, 15, 20), float)
    reach = np.array((4, 8, 8), float)
    reach[slider_axis] = 0
    low, high = centre - reach, centre + reach
    other, last = sorted(order[1:])
    box = np.tile(low, (4, 1))
    box[[2, 3], other] = high[other]
    box[[1, 2], last] = high[last]
    assert session.shapes_layer is not None
    session.shapes_layer.add_rectangles(box)
    session.propagate()
    session.commit()
    found = written(session) > 0
    truth = stack > 127
    truth[:, :, 30:] = False
    assert not (found & ~truth).any()
    assert np.count_nonzero(found) > 0.8 * np.count_nonzero(truth)


def test_stack_of_a_time_series(bright: BrightPredictor, stack: np.ndarray) -> None:
    viewer = ViewerModel()
    image = np.stack([stack, np.zeros_like(stack), stack])
    viewer.add_image(image, contrast_limits=(0, 255))
    session = SamSession(viewer, bright)
    session.new_prompt_layers()
    assert session.shapes_layer is not None
    for time in (0, 2):
        session.shapes_layer.add_rectangles(corners(FIRST, time, 4))
    viewer.dims.set_current_step(0, 2)
    viewer.dims.set_current_step(1, 4)
    session.propagate()
    session.commit()
    assert not written(session)[:2].any()
    assert written(session)[2].any(axis=(1, 2)).sum() > 3
    assert len(session.shapes_layer.data) == 1  # the other time point's prompt stays


@pytest.fixture
def series(bright: BrightPredictor, stack: np.ndarray) -> SamSession:
    """(5, 9, 40, 50): the balls, which are there at three time points of five."""
    viewer = ViewerModel()
    data = np.stack([stack * 0, stack, stack, stack, stack * 0])
    labels = ("t", "z", "y", "x")
    viewer.add_image(
        data,
        name="series",
        contrast_limits=(0, 255),
        axis_labels=labels,
        scale=(1, 2, 1, 1),
    )
    viewer.dims.set_current_step(0, 2)
    viewer.dims.set_current_step(1, 4)
    session = SamSession(viewer, bright)
    session.new_prompt_layers()
    draw(session, FIRST, 2, 4)
    return session


@pytest.mark.parametrize(
    ("axis", "plane_index"), [(0, {1: 4}), (1, {0: 2}), (None, {0: 2})]
)
def test_propagation_axis_can_be_time_or_depth(
    series: SamSession,
    bright: BrightPredictor,
    axis: int | None,
    plane_index: dict[int, int],
) -> None:
    data = series.image_layer.data
    assert series.propagation_axes == [0, 1]
    series.axis = axis
    volume = series.propagate()
    slider_axis = 1 if axis is None else axis
    assert volume.stack.axis == slider_axis
    assert volume.stack.spacing == ((1, 1, 1, 1) if slider_axis == 0 else (1, 2, 1, 1))
    series.commit()
    ((fixed, index),) = plane_index.items()
    prompt = {2 if slider_axis == 0 else 4: ns.Prompt(box=FIRST)}
    spacing = (1, 1, 1) if slider_axis == 0 else (2, 1, 1)
    script = ns.segment_volume(
        np.take(data, index, fixed),
        prompt,
        model=bright,
        contrast_limits=(0, 255),
        spacing=spacing,
    )
    labels = written(series)
    np.testing.assert_array_equal(np.take(labels, index, fixed), script.labels)
    assert (labels > 0).sum() == (script.labels > 0).sum()  # nothing elsewhere
    assert script.labels.any(axis=(1, 2)).sum() >= 3
    row = series.measure()[0]
    slices = np.unique(np.nonzero(labels)[slider_axis])
    assert (row.first_slice, row.last_slice) == (slices[0], slices[-1])


def test_displayed_axis_is_refused_as_propagation_axis(series: SamSession) -> None:
    series.axis = 2
    with pytest.raises(ValueError, match="along axis 2 in this view: choose axis 0 or"):
        series.propagate()
    series.image_layer = series.viewer.layers["series"]
    assert series.axis is None  # another image, another choice


def test_voxel_sizes_ignore_the_time_axis(
    bright: BrightPredictor, stack: np.ndarray
) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(
        np.stack([stack] * 2), scale=(7, 2, 500, 500), units=("s", "um", "nm", "nm")
    )
    in_space = voxel_sizes(image, (1, 2, 3))
    assert in_space == pytest.approx((1, 2, 0.5, 0.5))  # micrometres along all three
    assert voxel_sizes(image, (0, 2, 3)) is None


def test_colour_stack(bright: BrightPredictor, stack: np.ndarray) -> None:
    viewer = ViewerModel()
    viewer.add_image(np.stack([stack] * 3, axis=-1), rgb=True)
    viewer.dims.set_current_step(0, 4)
    session = SamSession(viewer, bright)
    session.new_prompt_layers()
    draw(session, FIRST)
    session.propagate()
    session.commit()
    assert written(session).shape == stack.shape
    assert written(session).any(axis=(1, 2)).sum() > 3


def test_multiscale_and_lazy_stack(bright: BrightPredictor, stack: np.ndarray) -> None:
    import dask.array as da

    viewer = ViewerModel()
    levels = [da.from_array(stack), da.from_array(stack[:, ::2, ::2])]
    viewer.add_image(levels, multiscale=True, contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 4)
    session = SamSession(viewer, bright)
    session.new_prompt_layers()
    draw(session, FIRST)
    session.propagate()
    session.commit()
    truth = first_ball(stack)
    np.testing.assert_array_equal(written(session) > 0, truth)


def test_image_removed_while_iterating(session: SamSession) -> None:
    draw(session, FIRST)
    steps = session.iter_propagate()
    next(steps)
    session.viewer.layers.remove("balls")
    with pytest.raises(ValueError, match="image was removed"):
        steps.close()
    assert session.result is None
    assert session.labels_layer is None


def test_failing_model_leaves_the_finished_slices(
    session: SamSession, bright: BrightPredictor
) -> None:
    answer, calls = bright.predict_batch, []

    def failing(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) > 2:
            raise MemoryError("no memory left")
        return answer(*args, **kwargs)

    bright.predict_batch = failing  # type: ignore[method-assign]
    draw(session, FIRST)
    with pytest.raises(MemoryError):
        session.propagate()
    assert session.result is not None
    session.commit()
    assert len(np.unique(np.nonzero(written(session))[0])) == 2


@pytest.mark.parametrize("each", [False, True])
def test_only_negative_points_on_a_slice(session: SamSession, each: bool) -> None:
    session.each_prompt_an_object = each
    session.set_polarity(False)
    assert session.points_layer is not None
    session.points_layer.add([3, 15, 20])
    why = "no object on its slice" if each else "only background points"
    with pytest.raises(ValueError, match=why):
        session.propagate()


def test_prompt_outside_the_stack_is_refused(session: SamSession) -> None:
    draw(session, FIRST, 40)
    with pytest.raises(ValueError, match="slice 40, the stack has slices 0 to 8"):
        session.propagate()


def test_single_plane_is_refused_as_a_stack(
    bright: BrightPredictor, stack: np.ndarray
) -> None:
    viewer = ViewerModel()
    viewer.add_image(stack[4], name="plane")
    session = SamSession(viewer, bright)
    session.shapes_layer = viewer.add_shapes([corners(FIRST)])
    with pytest.raises(ValueError, match="'plane' is a single plane"):
        session.propagate()


def correct(session: SamSession) -> PendingResult:
    """Propagate the first ball, and draw a smaller box on slice 5 of the result."""
    draw(session, FIRST)
    session.propagate()
    assert session.pending is not None
    session.viewer.dims.set_current_step(0, 5)
    draw(session, SMALLER, 5)
    return session.pending


def run_live(session: SamSession) -> None:
    request = session.live_request()
    assert request is not None
    steps = request.request.run(session.load(), session.cache)
    session.accept_result(request, run_to_end(steps))


def shown(session: SamSession, index: int) -> np.ndarray:
    """Paint what the preview shows on a slice."""
    pending = session.pending
    assert pending is not None
    plane_index = (index, slice(None), slice(None))
    pieces = session.current.corrections.pieces(pending, plane_index)
    on_plane = [piece for piece in pieces if piece.plane_index == plane_index]
    labels: np.ndarray = paint_pieces(on_plane, (9, 40, 50))[index]
    return labels


def test_a_correction_on_a_slice_of_a_stack_is_outlined_at_once(
    session: SamSession, stack: np.ndarray
) -> None:
    pending = correct(session)
    before = shown(session, 5)
    run_live(session)
    assert session.pending is pending
    assert session.live_request() is None
    expected = np.zeros((40, 50), bool)
    expected[12:19, 17:24] = True
    np.testing.assert_array_equal(shown(session, 5) > 0, expected & (stack[5] > 127))
    assert (shown(session, 5) > 0).sum() < (before > 0).sum()
    np.testing.assert_array_equal(shown(session, 4) > 0, first_ball(stack)[4])
    session.undo()
    assert session.live_request() is None
    np.testing.assert_array_equal(shown(session, 5), before)


def test_the_stack_takes_the_correction_over(session: SamSession) -> None:
    correct(session)
    run_live(session)
    outlined = shown(session, 5)
    volume = session.propagate()
    np.testing.assert_array_equal(volume.labels[5], outlined)
    assert session.pending is not None
    assert session.current.corrections.slices(session.pending) == []


def test_background_points_alone_end_the_object_at_once(session: SamSession) -> None:
    draw(session, FIRST)
    session.propagate()
    session.viewer.dims.set_current_step(0, 6)
    assert session.points_layer is not None
    session.settings.set_polarity(False)
    session.points_layer.add((6, 15, 20))
    assert session.live_request() is None
    assert not shown(session, 6).any()
    assert shown(session, 5).any()


def test_a_late_outline_of_an_accepted_stack_is_dropped(session: SamSession) -> None:
    correct(session)
    request = session.live_request()
    assert request is not None
    steps = request.request.run(session.load(), session.cache)
    session.commit()
    session.accept_result(request, run_to_end(steps))
    assert session.pending is None


def test_an_image_edited_in_place_is_segmented_again(
    session: SamSession, stack: np.ndarray
) -> None:
    draw(session, FIRST)
    before = session.propagate()
    assert session.propagate().recomputed == 0
    kept = stack.copy()
    stack[5, 12:18] = 20
    after = session.propagate()
    assert after.recomputed > 0
    assert not after.labels[5, 12:18].any()
    stack[:] = kept
    np.testing.assert_array_equal(session.propagate().labels, before.labels)
