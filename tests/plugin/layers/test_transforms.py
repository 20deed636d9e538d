from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import Dims, ViewerModel
from napari.layers import Image, Points

from napari_sam.images.stack import Stack
from napari_sam.masks.patch import window_at
from napari_sam.plugin.layers.image_source import ImageSource, displayed_stack
from napari_sam.plugin.layers.prompt_layers import add_prompt_layers, set_polarity
from napari_sam.plugin.layers.prompt_reader import collect_prompts
from napari_sam.plugin.layers.transforms import (
    Sliders,
    displayed_plane,
    layer_affine,
    spatial_shape,
    to_image_data,
    transform_kwargs,
)
from napari_sam.prompts.prompt import Prompt

# napari says so of every layer that is turned out of the displayed plane.
turned = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")

finite = st.floats(-20, 20)
factor = st.floats(0.1, 10)
small = st.floats(-0.3, 0.3)


def transforms(ndim: int) -> st.SearchStrategy[dict[str, Any]]:
    """Every kind of transform a layer can carry, all at once, always invertible."""
    angles = st.floats(-180, 180)
    linear = st.lists(small, min_size=ndim * ndim, max_size=ndim * ndim).map(
        lambda v: np.eye(ndim) + np.reshape(v, (ndim, ndim)) / ndim
    )
    affine = st.builds(
        lambda a, t: np.block([[a, np.reshape(t, (ndim, 1))], [np.eye(ndim + 1)[-1:]]]),
        linear,
        st.tuples(*[finite] * ndim),
    )
    upper = ndim * (ndim - 1) // 2
    return st.fixed_dictionaries(
        {
            "scale": st.tuples(*[factor] * ndim),
            "translate": st.tuples(*[finite] * ndim),
            "rotate": angles if ndim == 2 else st.tuples(*[angles] * 3),
            "shear": st.lists(small, min_size=upper, max_size=upper),
            "affine": affine,
        }
    )


@turned
@given(st.data(), st.sampled_from([2, 3]))
def test_a_point_over_a_pixel_arrives_at_the_pixel(data: Any, ndim: int) -> None:
    image = Image(
        np.zeros((4, 8, 9)[-ndim:]),
        contrast_limits=(0, 1),
        **data.draw(transforms(ndim)),
    )
    points = Points(ndim=ndim, **data.draw(transforms(ndim)))
    pixel = data.draw(st.tuples(*[finite] * ndim))
    drawn = np.asarray(points.world_to_data(image.data_to_world(pixel)))
    arrived = to_image_data(drawn[None], points, image, Sliders.of(Dims(ndim=ndim)))
    np.testing.assert_allclose(arrived[0], pixel, atol=1e-5)


@turned
@given(transforms(3), st.tuples(finite, finite, finite))
def test_a_layer_placed_like_the_image_shares_its_pixels(
    place: Any, pixel: tuple[float, ...]
) -> None:
    image = Image(np.zeros((4, 8, 9)), contrast_limits=(0, 1), **place)
    points = Points(ndim=3, **transform_kwargs(image))
    np.testing.assert_allclose(layer_affine(points), layer_affine(image))
    arrived = to_image_data(np.array([pixel]), points, image, Sliders.of(Dims(ndim=3)))
    np.testing.assert_allclose(arrived[0], pixel, atol=1e-5)


@pytest.mark.parametrize("rgb", [False, True])
@pytest.mark.parametrize(
    "order", [*permutations(range(3)), *permutations(range(4))], ids=str
)
def test_every_view_shows_its_own_plane(order: tuple[int, ...], rgb: bool) -> None:
    ndim = len(order)
    shape = (3, 4, 5, 6)[-ndim:]
    data = np.arange(np.prod(shape) * (3 if rgb else 1)).reshape(*shape, *[3] * rgb)
    if rgb:
        data = data / data.max()
    viewer = ViewerModel()
    scale, translate = (4, 3, 2, 1)[-ndim:], (1, 5, 0, -4)[-ndim:]
    image = viewer.add_image(data, rgb=rgb, scale=scale, translate=translate)
    viewer.dims.order = order
    for axis in order[:-2]:
        viewer.dims.set_current_step(axis, 1 + axis)
    plane = displayed_plane(image, viewer.dims)
    assert plane.index == {axis: 1 + axis for axis in order[:-2]}
    assert plane.axes == tuple(sorted(order[-2:]))
    expected = data
    for axis in sorted(order[:-2], reverse=True):
        expected = expected.take(1 + axis, axis)
    np.testing.assert_array_equal(data[plane.plane_index()], expected)
    assert plane.shape == expected.shape[:2]


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_prompts_lie_on_the_plane_in_every_view(order: tuple[int, ...]) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 5, 6)), scale=(3, 2, 1))
    points, shapes = add_prompt_layers(viewer, image)
    points.add([2, 3, 4])
    viewer.dims.order = order
    hidden = order[0]
    plane = displayed_plane(image, viewer.dims)
    (found,) = collect_prompts([points, shapes], image, plane, viewer.dims)
    assert found.slices == {hidden: (2, 3, 4)[hidden]}
    kept = [(2, 3, 4)[axis] for axis in sorted(order[1:])]
    np.testing.assert_allclose(found.prompt.points, [kept])


def test_an_image_of_fewer_axes_than_the_viewer() -> None:
    viewer = ViewerModel()
    flat = viewer.add_image(np.zeros((5, 6)), name="flat")
    viewer.add_image(np.zeros((3, 4, 5, 6)))
    viewer.dims.set_current_step(1, 3)
    plane = displayed_plane(flat, viewer.dims)
    assert (plane.axes, plane.index, plane.shape) == ((0, 1), {}, (5, 6))
    viewer.dims.order = (3, 2, 1, 0)
    with pytest.raises(ValueError, match="'flat' has no axes along the displayed"):
        displayed_plane(flat, viewer.dims)


def test_the_slider_counts_in_the_image_s_own_slices() -> None:
    viewer = ViewerModel()
    fine = viewer.add_image(np.zeros((12, 5, 6)), scale=(1, 1, 1))
    coarse = viewer.add_image(np.zeros((4, 5, 6)), scale=(3, 1, 1))
    viewer.dims.set_point(0, 7)
    assert displayed_plane(fine, viewer.dims).index == {0: 7}
    assert displayed_plane(coarse, viewer.dims).index == {0: 2}


@turned
@pytest.mark.parametrize(
    "tilt",
    [{"rotate": [0, 10, 0]}, {"shear": [0.2, 0, 0]}, {"affine": (0, 1)}],
    ids=lambda tilt: next(iter(tilt)),
)
def test_an_image_turned_out_of_the_plane_is_refused(tilt: dict[str, Any]) -> None:
    if "affine" in tilt:
        tilted = np.eye(4)
        tilted[tilt["affine"]] = 0.5
        tilt = {"affine": tilted}
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 5, 6)), name="tilted", **tilt)
    with pytest.raises(ValueError, match="'tilted' is rotated or sheared out"):
        displayed_plane(image, viewer.dims)


def test_an_image_turned_within_the_plane_is_fine() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 5, 6)), rotate=[0, 0, 30], scale=(2, 1, 1))
    viewer.dims.set_point(0, 4)
    assert displayed_plane(image, viewer.dims).index == {0: 2}


def test_a_3d_view_is_refused() -> None:
    viewer = ViewerModel(ndisplay=3)
    image = viewer.add_image(np.zeros((4, 5, 6)))
    with pytest.raises(ValueError, match="switch to 2D"):
        displayed_plane(image, viewer.dims)


def test_a_slider_outside_the_image_is_refused() -> None:
    viewer = ViewerModel()
    low = viewer.add_image(np.zeros((4, 5, 6)), name="low")
    viewer.add_image(np.zeros((9, 5, 6)))
    viewer.dims.set_current_step(0, 8)
    with pytest.raises(ValueError, match="outside the image 'low'"):
        displayed_plane(low, viewer.dims)


def test_multiscale_images_are_read_at_full_resolution() -> None:
    levels = [np.zeros((4, 32, 48)), np.zeros((4, 16, 24))]
    viewer = ViewerModel()
    image = viewer.add_image(levels, multiscale=True, scale=(2, 0.5, 0.5))
    viewer.dims.set_point(0, 4)
    plane = displayed_plane(image, viewer.dims)
    assert spatial_shape(image) == (4, 32, 48)
    assert (plane.index, plane.shape) == ({0: 2}, (32, 48))
    points = viewer.add_points([[4, 10, 20]])
    (found,) = collect_prompts([points], image, plane, viewer.dims)
    np.testing.assert_allclose(found.prompt.points, [[20, 40]])


def stack_of(image: Image, viewer: ViewerModel) -> Stack:
    plane = displayed_plane(image, viewer.dims)
    return displayed_stack(ImageSource(ViewerModel()).of(image), image.name, plane)


def test_what_can_be_walked_through() -> None:
    viewer = ViewerModel()
    series = viewer.add_image(np.zeros((3, 4, 5, 6)))
    viewer.dims.set_current_step(0, 2)
    walked = stack_of(series, viewer)
    assert (walked.axis, walked.fixed) == (1, {0: 2})
    flat = viewer.add_image(np.zeros((5, 6)), name="flat")
    with pytest.raises(ValueError, match="'flat' is a single plane"):
        stack_of(flat, viewer)
    single = viewer.add_image(np.zeros((3, 1, 5, 6)))
    viewer.dims.set_current_step(1, 0)
    walked = stack_of(single, viewer)
    assert walked.axis == 0  # one slice is nothing to walk through


def test_limits_are_those_of_the_display() -> None:
    gray = Image(np.zeros((5, 6)), contrast_limits=(2, 7))
    assert ImageSource(ViewerModel()).of(gray).displayed == (2, 7)
    assert (
        ImageSource(ViewerModel()).of(Image(np.zeros((5, 6, 3)), rgb=True)).displayed
        is None
    )


# -- prompt layers -------------------------------------------------------------


def test_prompt_layers_lie_over_the_image_and_tell_polarity() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(
        np.zeros((4, 50, 60)),
        scale=(3, 0.5, 0.5),
        rotate=[0, 0, 9],
        units=("mm", "mm", "mm"),
        axis_labels=("z", "y", "x"),
    )
    points, shapes = add_prompt_layers(viewer, image)
    for layer in (points, shapes):
        np.testing.assert_allclose(layer_affine(layer), layer_affine(image))
        assert layer.units == image.units
        assert layer.axis_labels == image.axis_labels
    set_polarity(points, False)
    points.add([1, 20, 20])
    set_polarity(points, True)
    points.add([1, 30, 30])
    plane = displayed_plane(image, viewer.dims)
    found = collect_prompts([points, shapes], image, plane, viewer.dims)
    assert [list(p.prompt.labels) for p in found] == [[0], [1]]
    assert [symbol.value for symbol in points.symbol] == ["x", "disc"]
    assert not np.allclose(points.face_color[0], points.face_color[1])


def test_the_meaning_of_selected_points_can_be_changed() -> None:
    viewer = ViewerModel()
    points, _ = add_prompt_layers(viewer, viewer.add_image(np.zeros((50, 60))))
    points.add([[20, 20], [30, 30]])
    points.mode = "select"
    points.selected_data = {1}
    set_polarity(points, False)
    assert list(points.features["polarity"]) == ["positive", "negative"]
    points.selected_data = {0}
    points.remove_selected()
    assert [symbol.value for symbol in points.symbol] == ["x"]


def test_prompts_of_lower_dimension_mean_the_current_slice() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 50, 60)), scale=(3, 1, 1))
    flat = viewer.add_points([[10, 20]])
    for step in (2, 0):
        viewer.dims.set_current_step(0, step)
        plane = displayed_plane(image, viewer.dims)
        (found,) = collect_prompts([flat], image, plane, viewer.dims)
        assert found.slices == {0: step}
        np.testing.assert_allclose(found.prompt.points, [[10, 20]])


def test_prompts_of_higher_dimension_are_aligned_on_the_right() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((50, 60)), scale=(0.5, 0.5))
    points = viewer.add_points([[3, 10, 20]])
    viewer.dims.set_point(0, 3)
    plane = displayed_plane(image, viewer.dims)
    (found,) = collect_prompts([points], image, plane, viewer.dims)
    np.testing.assert_allclose(found.prompt.points, [[20, 40]])
    assert found.slices == {}


def test_prompts_that_the_viewer_does_not_show_on_a_plane_are_not_on_it() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((50, 60)))
    points = viewer.add_points([[3, 10, 20], [5, 30, 40]])
    viewer.dims.set_point(0, 5)
    plane = displayed_plane(image, viewer.dims)
    found = collect_prompts([points], image, plane, viewer.dims)
    assert [p.prompt.points.tolist() for p in found] == [[[30, 40]]]


def test_points_between_slices_go_to_the_nearest() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 50, 60)))
    points = viewer.add_points([[1.4, 1, 2], [1.6, 1, 2], [-0.4, 1, 2]])
    plane = displayed_plane(image, viewer.dims)
    found = collect_prompts([points], image, plane, viewer.dims)
    assert [p.slices for p in found] == [{0: 1}, {0: 2}, {0: 0}]


def shape_prompt(data: Any, kind: str, **place: Any) -> Any:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((50, 60)))
    shapes = viewer.add_shapes([np.array(data)], shape_type=kind, **place)
    plane = displayed_plane(image, viewer.dims)
    (found,) = collect_prompts([shapes], image, plane, viewer.dims)
    return found.prompt


@pytest.mark.parametrize("kind", ["rectangle", "polygon"])
def test_turned_shapes_give_the_box_around_them(kind: str) -> None:
    diamond = [(10, 20), (20, 30), (30, 20), (20, 10)]
    np.testing.assert_allclose(shape_prompt(diamond, kind).box, (10, 10, 30, 30))


def test_an_ellipse_gives_its_box_and_its_inside() -> None:
    box = [(10, 20), (10, 40), (30, 40), (30, 20)]
    prompt = shape_prompt(box, "ellipse")
    np.testing.assert_allclose(prompt.box, (10, 20, 30, 40))
    rows, cols = np.indices((50, 60))
    np.testing.assert_array_equal(
        whole_mask(prompt), (rows - 20) ** 2 + (cols - 30) ** 2 <= 100
    )


def test_a_polygon_gives_its_box_and_its_inside() -> None:
    prompt = shape_prompt([(10, 10), (10, 30), (30, 10)], "polygon")
    np.testing.assert_allclose(prompt.box, (10, 10, 30, 30))
    inside = whole_mask(prompt)
    assert inside[12, 12]
    assert not inside[25, 25]
    assert abs(np.count_nonzero(inside) - 200) < 40


def test_closed_shapes_without_a_pixel_inside_give_their_box() -> None:
    tiny = [(10.2, 10.2), (10.2, 10.4), (10.4, 10.4), (10.4, 10.2)]
    for kind in ("ellipse", "polygon"):
        assert shape_prompt(tiny, kind).kinds == {"box"}


def whole_mask(prompt: Prompt) -> np.ndarray:
    mask = np.zeros((50, 60), bool)
    mask[window_at(prompt.mask_origin, prompt.mask.shape)] = prompt.mask
    return mask


def test_what_is_not_shown_is_no_prompt() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 50, 60)))
    points = viewer.add_points([[0, 1, 2], [0, 3, 4]], shown=[True, False])
    hidden = viewer.add_points([[0, 5, 6]], visible=False)
    across = np.array([[0, 1, 1], [0, 1, 9], [2, 9, 9], [2, 9, 1]])
    shapes = viewer.add_shapes([across])
    viewer.dims.set_current_step(0, 0)
    plane = displayed_plane(image, viewer.dims)
    found = collect_prompts([points, hidden, shapes], image, plane, viewer.dims)
    assert [p.prompt.points.tolist() for p in found] == [[[1, 2]]]


def test_a_layer_without_rows_or_columns_in_this_view_gives_no_prompts() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 50, 60)))
    flat = viewer.add_points([[10, 20]])
    viewer.dims.order = (1, 0, 2)
    plane = displayed_plane(image, viewer.dims)
    assert collect_prompts([flat], image, plane, viewer.dims) == []


@pytest.mark.skipif(
    not hasattr(Dims(), "units"), reason="this napari shows numbers without units"
)
def test_layers_in_different_units_share_one_world() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(
        np.zeros((4, 50, 60)), scale=(2, 1, 1), units=("mm", "mm", "mm")
    )
    points = viewer.add_points([[4000, 10000, 20000]], units=("um", "um", "um"))
    viewer.dims.set_point(0, 4000)
    plane = displayed_plane(image, viewer.dims)
    assert plane.index == {0: 2}
    (found,) = collect_prompts([points], image, plane, viewer.dims)
    np.testing.assert_allclose(found.prompt.points, [[10, 20]])
    assert found.slices == {0: 2}


def test_a_turned_shapes_layer_gives_the_box_on_the_image() -> None:
    box = [(0, 0), (0, 10), (5, 10), (5, 0)]
    prompt = shape_prompt(box, "rectangle", rotate=90, translate=(10, 20))
    np.testing.assert_allclose(prompt.box, (0, 20, 10, 25), atol=1e-9)


@pytest.mark.parametrize("kind", ["line", "path"])
def test_lines_give_points_along_them(kind: str) -> None:
    prompt = shape_prompt([(10, 10), (10, 30)], kind)
    assert prompt.kinds == {"point"}
    np.testing.assert_allclose(prompt.points[:, 0], 10)
    np.testing.assert_allclose(prompt.points[:, 1], [10, 15, 20, 25, 30])
    assert (prompt.labels == 1).all()


@pytest.mark.parametrize(
    ("column", "values", "labels"),
    [
        ("polarity", ["positive", "negative"], [1, 0]),
        ("label", [1, 0], [1, 0]),
        ("label", [1.0, 0.0], [1, 0]),
        ("label", [True, False], [1, 0]),
        ("label", [3, -1], [1, 0]),
        ("label", ["1", "0"], [1, 0]),
        ("label", [np.nan, 0], [1, 0]),
        ("colour", [0, 0], [1, 1]),
    ],
)
def test_negative_points_are_told_by_a_feature(
    column: str, values: list[Any], labels: list[int]
) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((50, 60)))
    points = viewer.add_points([[1, 2], [3, 4]], features={column: values})
    plane = displayed_plane(image, viewer.dims)
    found = collect_prompts([points], image, plane, viewer.dims)
    assert [int(p.prompt.labels[0]) for p in found] == labels


def test_polarity_buttons_keep_what_other_points_mean() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((50, 60)))
    points = viewer.add_points([[1, 2], [3, 4]], features={"label": [1, 0]})
    set_polarity(points, True)
    plane = displayed_plane(image, viewer.dims)
    found = collect_prompts([points], image, plane, viewer.dims)
    assert [int(p.prompt.labels[0]) for p in found] == [1, 0]
