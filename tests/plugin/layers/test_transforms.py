"""Layer transforms, the displayed plane, and prompts read through them."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from napari.components import Dims, ViewerModel
from napari.layers import Image, Points

from napari_sam.images.stack import Stack
from napari_sam.masks.patch import window_at
from napari_sam.plugin.layers.displayed_stack import displayed_stack
from napari_sam.plugin.layers.image_source import ImageSource
from napari_sam.plugin.layers.prompt_layers import add_prompt_layers, set_polarity
from napari_sam.plugin.layers.prompt_reader import LayerPrompt, PromptReader
from napari_sam.plugin.layers.transforms import (
    Sliders,
    displayed_plane,
    label_grid,
    layer_affine,
    spatial_shape,
    to_image_data,
    transform_kwargs,
)
from napari_sam.prompts.prompt import Prompt

# napari warns about every layer that is rotated out of the displayed plane.
turned = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")

finite = st.floats(-20, 20)
factor = st.floats(0.1, 10)
small = st.floats(-0.3, 0.3)


def transforms(ndim: int) -> st.SearchStrategy[dict[str, Any]]:
    """Combine all kinds of layer transforms, always invertible."""
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
def test_point_maps_to_the_pixel_below_it(data: Any, ndim: int) -> None:
    image = Image(
        np.zeros((4, 8, 9)[-ndim:]),
        contrast_limits=(0, 1),
        **data.draw(transforms(ndim)),
    )
    points = Points(ndim=ndim, **data.draw(transforms(ndim)))
    pixel = data.draw(st.tuples(*[finite] * ndim))
    drawn = np.asarray(points.world_to_data(image.data_to_world(pixel)))
    arrived = to_image_data(points, image, Sliders.of(Dims(ndim=ndim)))(drawn[None])
    np.testing.assert_allclose(arrived[0], pixel, atol=1e-5)


@turned
@given(transforms(3), st.tuples(finite, finite, finite))
def test_transform_kwargs_align_a_layer_with_the_image(
    place: Any, pixel: tuple[float, ...]
) -> None:
    image = Image(np.zeros((4, 8, 9)), contrast_limits=(0, 1), **place)
    points = Points(ndim=3, **transform_kwargs(image))
    np.testing.assert_allclose(layer_affine(points), layer_affine(image))
    to_image = to_image_data(points, image, Sliders.of(Dims(ndim=3)))
    arrived = to_image(np.array([pixel]))
    np.testing.assert_allclose(arrived[0], pixel, atol=1e-5)


@pytest.mark.parametrize("rgb", [False, True])
@pytest.mark.parametrize(
    "order", [*permutations(range(3)), *permutations(range(4))], ids=str
)
def test_displayed_plane_in_every_axis_order(order: tuple[int, ...], rgb: bool) -> None:
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
def test_prompts_are_on_the_displayed_plane_in_every_axis_order(
    order: tuple[int, ...],
) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 5, 6)), scale=(3, 2, 1))
    points, shapes = add_prompt_layers(viewer, image)
    points.add([2, 3, 4])
    viewer.dims.order = order
    hidden = order[0]
    plane = displayed_plane(image, viewer.dims)
    (prompt,) = PromptReader().read([points, shapes], image, plane, viewer.dims)
    assert prompt.slices == {hidden: (2, 3, 4)[hidden]}
    kept = [(2, 3, 4)[axis] for axis in sorted(order[1:])]
    np.testing.assert_allclose(prompt.prompt.points, [kept])


def test_image_with_fewer_axes_than_the_viewer() -> None:
    viewer = ViewerModel()
    flat = viewer.add_image(np.zeros((5, 6)), name="flat")
    viewer.add_image(np.zeros((3, 4, 5, 6)))
    viewer.dims.set_current_step(1, 3)
    plane = displayed_plane(flat, viewer.dims)
    assert (plane.axes, plane.index, plane.shape) == ((0, 1), {}, (5, 6))
    viewer.dims.order = (3, 2, 1, 0)
    with pytest.raises(ValueError, match="'flat' does not have the displayed axes"):
        displayed_plane(flat, viewer.dims)


def test_slider_position_maps_to_the_slices_of_each_image() -> None:
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
def test_image_rotated_out_of_the_plane_is_refused(tilt: dict[str, Any]) -> None:
    if "affine" in tilt:
        tilted = np.eye(4)
        tilted[tilt["affine"]] = 0.5
        tilt = {"affine": tilted}
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 5, 6)), name="tilted", **tilt)
    with pytest.raises(ValueError, match="'tilted' is rotated or sheared out"):
        displayed_plane(image, viewer.dims)


@turned
@given(
    degrees=st.floats(1e-5, 80),
    pixel=st.floats(-9, 9).map(lambda power: 10.0**power),
    thickness=st.floats(0.2, 8),
    unit=st.sampled_from(["m", "mm", "um", "nm", "pixel"]),
)
@settings(max_examples=40, deadline=None)
def test_the_limit_of_a_tilt_is_half_a_pixel_whatever_the_units(
    degrees: float, pixel: float, thickness: float, unit: str
) -> None:
    shape, angle = (7, 40, 50), np.deg2rad(degrees)
    tilt = np.eye(4)
    tilt[np.ix_([0, 2], [0, 2])] = [
        [np.cos(angle), -np.sin(angle)],
        [np.sin(angle), np.cos(angle)],
    ]
    viewer = ViewerModel()
    image = viewer.add_image(
        np.zeros(shape),
        name="tilted",
        scale=(thickness * pixel, pixel, pixel),
        affine=tilt,
        units=(unit,) * 3,
    )
    # What a step along one axis moves along the other, in pixels there.
    slices = np.tan(angle) / thickness * (shape[2] - 1)
    columns = np.tan(angle) * thickness * (shape[0] - 1)
    moved = max(slices, columns)
    assume(abs(moved - 0.5) > 1e-3)
    viewer.dims.set_point(0, image.data_to_world((3, 20, 25))[0])
    if moved < 0.5:
        assert displayed_plane(image, viewer.dims).shape == shape[1:]
    else:
        with pytest.raises(ValueError, match="rotated or sheared"):
            displayed_plane(image, viewer.dims)


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1, 1e6])
def test_labels_may_be_tilted_by_less_than_half_a_pixel(scale: float) -> None:
    for slope, is_aligned in ((0.4 / 49, True), (0.6 / 49, False)):
        matrix = np.eye(4)
        matrix[0, 2] = slope
        viewer = ViewerModel()
        image = viewer.add_image(np.zeros((7, 40, 50)), scale=[scale] * 3)
        labels = viewer.add_labels(
            np.zeros((7, 40, 50), int), scale=[scale] * 3, affine=matrix
        )
        grid = label_grid(labels, image, Sliders.of(viewer.dims))
        assert grid.is_aligned((3, slice(None), slice(None))) == is_aligned
        assert grid.is_same_place == is_aligned


def test_image_rotated_within_the_plane_is_accepted() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 5, 6)), rotate=[0, 0, 30], scale=(2, 1, 1))
    viewer.dims.set_point(0, 4)
    assert displayed_plane(image, viewer.dims).index == {0: 2}


def test_3d_view_is_refused() -> None:
    viewer = ViewerModel(ndisplay=3)
    image = viewer.add_image(np.zeros((4, 5, 6)))
    with pytest.raises(ValueError, match="switch to 2D"):
        displayed_plane(image, viewer.dims)


def test_slider_outside_the_image_is_refused() -> None:
    viewer = ViewerModel()
    low = viewer.add_image(np.zeros((4, 5, 6)), name="low")
    viewer.add_image(np.zeros((9, 5, 6)))
    viewer.dims.set_current_step(0, 8)
    with pytest.raises(ValueError, match="outside the image layer 'low'"):
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
    (prompt,) = PromptReader().read([points], image, plane, viewer.dims)
    np.testing.assert_allclose(prompt.prompt.points, [[20, 40]])


def stack_of(image: Image, viewer: ViewerModel) -> Stack:
    plane = displayed_plane(image, viewer.dims)
    return displayed_stack(ImageSource(ViewerModel()).of(image), image.name, plane)


def test_displayed_stack_of_images_with_2_to_4_axes() -> None:
    viewer = ViewerModel()
    series = viewer.add_image(np.zeros((3, 4, 5, 6)))
    viewer.dims.set_current_step(0, 2)
    stack = stack_of(series, viewer)
    assert (stack.axis, stack.fixed) == (1, {0: 2})
    flat = viewer.add_image(np.zeros((5, 6)), name="flat")
    with pytest.raises(ValueError, match="'flat' is a single plane"):
        stack_of(flat, viewer)
    single = viewer.add_image(np.zeros((3, 1, 5, 6)))
    viewer.dims.set_current_step(1, 0)
    stack = stack_of(single, viewer)
    assert stack.axis == 0  # an axis with one slice does not count


def test_contrast_limits_are_those_displayed() -> None:
    gray = Image(np.zeros((5, 6)), contrast_limits=(2, 7))
    assert ImageSource(ViewerModel()).of(gray).displayed == (2, 7)
    assert (
        ImageSource(ViewerModel()).of(Image(np.zeros((5, 6, 3)), rgb=True)).displayed
        is None
    )


# -- prompt layers -------------------------------------------------------------


def test_prompt_layers_are_aligned_and_show_polarity() -> None:
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
    prompts = PromptReader().read([points, shapes], image, plane, viewer.dims)
    assert [list(p.prompt.labels) for p in prompts] == [[0], [1]]
    assert [symbol.value for symbol in points.symbol] == ["x", "disc"]
    assert not np.allclose(points.face_color[0], points.face_color[1])


def test_polarity_of_selected_points_can_be_changed() -> None:
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


def test_prompts_are_made_once_while_nothing_changes() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 50, 60)))
    points = viewer.add_points([[1, 10, 20], [1, 30, 40]], features={"label": [1, 0]})
    reader = PromptReader()

    def read() -> list[LayerPrompt]:
        plane = displayed_plane(image, viewer.dims)
        return reader.read([points], image, plane, viewer.dims)

    first = read()
    viewer.dims.set_current_step(0, 2)
    assert [p.prompt for p in read()] == [p.prompt for p in first]
    points.data = points.data + np.array([[0, 0, 0], [0, 1, 0]])
    kept, moved = read()
    assert kept.prompt is first[0].prompt
    np.testing.assert_allclose(moved.prompt.points, [[31, 40]])
    points.features = {"label": [0, 0]}
    assert [p.prompt.labels.tolist() for p in read()] == [[0], [0]]
    points.scale = (2, 2, 2)
    assert [p.slices for p in read()] == [{0: 2}, {0: 2}]
    np.testing.assert_allclose(read()[0].prompt.points, [[20, 40]])
    image.scale = (2, 2, 2)
    assert read()[0].slices == {0: 1}
    viewer.dims.order = (1, 0, 2)
    np.testing.assert_allclose(read()[0].prompt.points, [[1, 20]])
    points.data = points.data[:0]
    assert read() == []


def test_prompts_of_fewer_axes_are_on_the_current_slice() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 50, 60)), scale=(3, 1, 1))
    flat = viewer.add_points([[10, 20]])
    for step in (2, 0):
        viewer.dims.set_current_step(0, step)
        plane = displayed_plane(image, viewer.dims)
        (prompt,) = PromptReader().read([flat], image, plane, viewer.dims)
        assert prompt.slices == {0: step}
        np.testing.assert_allclose(prompt.prompt.points, [[10, 20]])


def test_prompts_of_more_axes_are_aligned_on_the_right() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((50, 60)), scale=(0.5, 0.5))
    points = viewer.add_points([[3, 10, 20]])
    viewer.dims.set_point(0, 3)
    plane = displayed_plane(image, viewer.dims)
    (prompt,) = PromptReader().read([points], image, plane, viewer.dims)
    np.testing.assert_allclose(prompt.prompt.points, [[20, 40]])
    assert prompt.slices == {}


def test_prompts_away_from_the_slider_are_skipped() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((50, 60)))
    points = viewer.add_points([[3, 10, 20], [5, 30, 40]])
    viewer.dims.set_point(0, 5)
    plane = displayed_plane(image, viewer.dims)
    prompts = PromptReader().read([points], image, plane, viewer.dims)
    assert [p.prompt.points.tolist() for p in prompts] == [[[30, 40]]]


def test_points_between_slices_go_to_the_nearest() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 50, 60)))
    points = viewer.add_points([[1.4, 1, 2], [1.6, 1, 2], [-0.4, 1, 2]])
    plane = displayed_plane(image, viewer.dims)
    prompts = PromptReader().read([points], image, plane, viewer.dims)
    assert [p.slices for p in prompts] == [{0: 1}, {0: 2}, {0: 0}]


def shape_prompt(data: Any, kind: str, **place: Any) -> Any:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((50, 60)))
    shapes = viewer.add_shapes([np.array(data)], shape_type=kind, **place)
    plane = displayed_plane(image, viewer.dims)
    (prompt,) = PromptReader().read([shapes], image, plane, viewer.dims)
    return prompt.prompt


@pytest.mark.parametrize("kind", ["rectangle", "polygon"])
def test_rotated_shapes_give_their_bounding_box(kind: str) -> None:
    diamond = [(10, 20), (20, 30), (30, 20), (20, 10)]
    np.testing.assert_allclose(shape_prompt(diamond, kind).box, (10, 10, 30, 30))


def test_ellipse_gives_box_and_mask() -> None:
    box = [(10, 20), (10, 40), (30, 40), (30, 20)]
    prompt = shape_prompt(box, "ellipse")
    np.testing.assert_allclose(prompt.box, (10, 20, 30, 40))
    rows, cols = np.indices((50, 60))
    np.testing.assert_array_equal(
        full_mask(prompt), (rows - 20) ** 2 + (cols - 30) ** 2 <= 100
    )


def test_polygon_gives_box_and_mask() -> None:
    prompt = shape_prompt([(10, 10), (10, 30), (30, 10)], "polygon")
    np.testing.assert_allclose(prompt.box, (10, 10, 30, 30))
    inside = full_mask(prompt)
    assert inside[12, 12]
    assert not inside[25, 25]
    assert abs(np.count_nonzero(inside) - 200) < 40


def test_shapes_smaller_than_a_pixel_give_a_box() -> None:
    tiny = [(10.2, 10.2), (10.2, 10.4), (10.4, 10.4), (10.4, 10.2)]
    for kind in ("ellipse", "polygon"):
        assert shape_prompt(tiny, kind).kinds == {"box"}


def full_mask(prompt: Prompt) -> np.ndarray:
    mask = np.zeros((50, 60), bool)
    mask[window_at(prompt.mask_origin, prompt.mask.shape)] = prompt.mask
    return mask


def test_hidden_prompts_are_skipped() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 50, 60)))
    points = viewer.add_points([[0, 1, 2], [0, 3, 4]], shown=[True, False])
    hidden = viewer.add_points([[0, 5, 6]], visible=False)
    across = np.array([[0, 1, 1], [0, 1, 9], [2, 9, 9], [2, 9, 1]])
    shapes = viewer.add_shapes([across])
    viewer.dims.set_current_step(0, 0)
    plane = displayed_plane(image, viewer.dims)
    prompts = PromptReader().read([points, hidden, shapes], image, plane, viewer.dims)
    assert [p.prompt.points.tolist() for p in prompts] == [[[1, 2]]]


def test_prompt_layer_without_the_displayed_axes_is_skipped() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 50, 60)))
    flat = viewer.add_points([[10, 20]])
    viewer.dims.order = (1, 0, 2)
    plane = displayed_plane(image, viewer.dims)
    assert PromptReader().read([flat], image, plane, viewer.dims) == []


@pytest.mark.skipif(
    not hasattr(Dims(), "units"), reason="this napari shows numbers without units"
)
def test_layers_with_different_units_share_world_coordinates() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(
        np.zeros((4, 50, 60)), scale=(2, 1, 1), units=("mm", "mm", "mm")
    )
    points = viewer.add_points([[4000, 10000, 20000]], units=("um", "um", "um"))
    viewer.dims.set_point(0, 4000)
    plane = displayed_plane(image, viewer.dims)
    assert plane.index == {0: 2}
    (prompt,) = PromptReader().read([points], image, plane, viewer.dims)
    np.testing.assert_allclose(prompt.prompt.points, [[10, 20]])
    assert prompt.slices == {0: 2}


def test_rotated_shapes_layer_gives_a_box_on_the_image() -> None:
    box = [(0, 0), (0, 10), (5, 10), (5, 0)]
    prompt = shape_prompt(box, "rectangle", rotate=90, translate=(10, 20))
    np.testing.assert_allclose(prompt.box, (0, 20, 10, 25), atol=1e-9)


@pytest.mark.parametrize("kind", ["line", "path"])
def test_lines_give_points(kind: str) -> None:
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
def test_polarity_is_read_from_features(
    column: str, values: list[Any], labels: list[int]
) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((50, 60)))
    points = viewer.add_points([[1, 2], [3, 4]], features={column: values})
    plane = displayed_plane(image, viewer.dims)
    prompts = PromptReader().read([points], image, plane, viewer.dims)
    assert [int(p.prompt.labels[0]) for p in prompts] == labels


def test_set_polarity_keeps_the_other_points() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((50, 60)))
    points = viewer.add_points([[1, 2], [3, 4]], features={"label": [1, 0]})
    set_polarity(points, True)
    plane = displayed_plane(image, viewer.dims)
    prompts = PromptReader().read([points], image, plane, viewer.dims)
    assert [int(p.prompt.labels[0]) for p in prompts] == [1, 0]
