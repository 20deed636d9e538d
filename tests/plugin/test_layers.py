from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_sam.plugin.grouping import join_prompts, separate_prompts
from napari_sam.plugin.layers import (
    collect_prompts,
    displayed_plane,
    layer_affine,
    to_image_data,
)
from napari_sam.plugin.prompt_layers import add_prompt_layers, set_polarity
from napari_sam.prompts import Prompt

finite = st.floats(-20, 20)
factor = st.floats(0.1, 10)
transforms = st.fixed_dictionaries(
    {
        "scale": st.tuples(factor, factor),
        "translate": st.tuples(finite, finite),
        "rotate": st.floats(-180, 180),
        "shear": st.tuples(st.floats(-0.5, 0.5)).map(list),
    }
)


@given(image_place=transforms, points_place=transforms, pixel=st.tuples(finite, finite))
def test_a_point_over_a_pixel_arrives_at_the_pixel(
    image_place: Any, points_place: Any, pixel: tuple[float, float]
) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((8, 9)), **image_place)
    points = viewer.add_points(ndim=2, **points_place)
    world = image.data_to_world(pixel)
    drawn = np.asarray(points.world_to_data(world))
    arrived = to_image_data(drawn[None], points, image, viewer.dims)
    np.testing.assert_allclose(arrived[0], pixel, atol=1e-6)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_every_view_shows_its_own_plane(order: tuple[int, ...]) -> None:
    viewer = ViewerModel()
    data = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    image = viewer.add_image(data, scale=(3, 2, 1), translate=(5, 0, -4))
    viewer.dims.order = order
    hidden = order[0]
    viewer.dims.set_current_step(hidden, 2)
    plane = displayed_plane(image, viewer.dims)
    assert plane.index == {hidden: 2}
    np.testing.assert_array_equal(data[plane.at()], data.take(2, hidden))


def test_views_that_cannot_be_segmented_are_refused() -> None:
    viewer = ViewerModel()
    tilted = np.eye(4)
    tilted[0, 1] = 0.5
    image = viewer.add_image(np.zeros((4, 5, 6)), name="tilted", affine=tilted)
    with pytest.raises(ValueError, match="'tilted' is rotated or sheared out"):
        displayed_plane(image, viewer.dims)
    viewer.dims.ndisplay = 3
    with pytest.raises(ValueError, match="switch to 2D"):
        displayed_plane(image, viewer.dims)


def test_a_slider_outside_the_image_is_refused() -> None:
    viewer = ViewerModel()
    small = viewer.add_image(np.zeros((4, 5, 6)), name="small")
    viewer.add_image(np.zeros((9, 5, 6)))
    viewer.dims.set_current_step(0, 8)
    with pytest.raises(ValueError, match="outside the image 'small'"):
        displayed_plane(small, viewer.dims)


def test_prompt_layers_lie_over_the_image_and_tell_polarity() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(
        np.zeros((4, 50, 60)), scale=(3, 0.5, 0.5), rotate=[0, 0, 9]
    )
    points, shapes = add_prompt_layers(viewer, image)
    for layer in (points, shapes):
        np.testing.assert_allclose(layer_affine(layer), layer_affine(image))
    set_polarity(points, False)
    points.add([1, 20, 20])
    set_polarity(points, True)
    points.add([1, 30, 30])
    viewer.dims.set_current_step(0, 1)
    plane = displayed_plane(image, viewer.dims)
    found = collect_prompts([points, shapes], image, plane, viewer.dims)
    assert [list(p.prompt.labels) for p in found] == [[0], [1]]
    assert [symbol.value for symbol in points.symbol] == ["x", "disc"]


def test_prompts_of_lower_dimension_mean_the_current_slice() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 50, 60)), scale=(3, 1, 1))
    flat = viewer.add_points([[10, 20]])
    viewer.dims.set_current_step(0, 2)
    plane = displayed_plane(image, viewer.dims)
    (found,) = collect_prompts([flat], image, plane, viewer.dims)
    assert found.slices == {0: 2}
    np.testing.assert_allclose(found.prompt.points, [[10, 20]])


def test_joining_and_separating() -> None:
    box, other = Prompt(box=(0, 0, 10, 10)), Prompt(box=(20, 20, 30, 30))
    inside, lone = Prompt(points=[(5, 5)]), Prompt(points=[(50, 50)])
    off = Prompt(points=[(31, 25)], labels=[0])
    objects = separate_prompts([box, other, inside, lone, off])
    assert [sorted(p.kinds) for p in objects] == [
        ["box", "point"],
        ["box", "point"],
        ["point"],
    ]
    assert list(objects[1].labels) == [0]
    joined = join_prompts([box, inside, off])
    assert list(joined.labels) == [1, 0]
    with pytest.raises(ValueError, match="2 boxes for one object"):
        join_prompts([box, other])
