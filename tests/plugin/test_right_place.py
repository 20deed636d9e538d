"""Property tests: masks land on the object under every layer transform."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from napari.components import Dims, ViewerModel
from napari.layers import Image, Labels, Layer

from napari_sam.plugin.layers.image_source import ChannelChoice
from napari_sam.plugin.session import SamSession
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import written

# napari warns about layers that are rotated out of the displayed plane.
warns_of_rotation = pytest.mark.filterwarnings("ignore:Non-orthogonal slicing")
thorough = settings(
    max_examples=settings.default.max_examples // 5,  # of whatever profile
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

has_units = hasattr(Dims(), "units")
needs_units = pytest.mark.skipif(
    not has_units, reason="this napari shows numbers without units"
)
MICROMETRES = {"mm": 1000.0, "um": 1.0}

LOW, HIGH = 18, 26  # pixels of a displayed axis
Matrix = np.ndarray


# -- coordinates, from napari alone ------------------------------------------------


def to_world(layer: Layer, unit: str | None = None) -> Matrix:
    """Return the matrix from data to world, in micrometres if there are units."""
    corner = np.array(layer.data_to_world((0,) * layer.ndim))
    matrix = np.eye(layer.ndim + 1)
    for axis, step in enumerate(np.eye(layer.ndim)):
        matrix[:-1, axis] = layer.data_to_world(step) - corner
    matrix[:-1, -1] = corner
    matrix[:-1] *= 1 if unit is None else MICROMETRES[unit]
    return matrix


def apply_affine(matrix: Matrix, positions: Any) -> np.ndarray:
    """Apply an affine to (N, n) positions."""
    moved: np.ndarray = np.asarray(positions) @ matrix[:-1, :-1].T + matrix[:-1, -1]
    return moved


# -- scenes --------------------------------------------------------------------

numbers = st.floats(-20, 20)
factors = st.floats(0.2, 5)
fractions = st.floats(0, 1)


@st.composite
def placements(draw: Any, ndim: int, displayed: Sequence[int]) -> dict[str, Any]:
    """Draw a transform that rotates and shears only within the displayed plane."""
    first, second = sorted(displayed)
    place: dict[str, Any] = {
        "scale": draw(st.tuples(*[factors] * ndim)),
        "translate": draw(st.tuples(*[numbers] * ndim)),
    }
    if draw(st.booleans()):
        angle = np.deg2rad(draw(st.floats(-180, 180)))
        rotate = np.eye(ndim)
        rotate[first, [first, second]] = np.cos(angle), -np.sin(angle)
        rotate[second, [first, second]] = np.sin(angle), np.cos(angle)
        place["rotate"] = rotate
    if draw(st.booleans()):
        shear = np.eye(ndim)
        shear[first, second] = draw(st.floats(-0.6, 0.6))
        place["shear"] = shear
    if draw(st.booleans()):
        affine = np.eye(ndim + 1)
        affine[np.diag_indices(ndim)] = draw(st.tuples(*[st.floats(0.5, 2)] * ndim))
        affine[first, second] = draw(st.floats(-0.3, 0.3))
        affine[second, first] = draw(st.floats(-0.3, 0.3))
        affine[:-1, -1] = draw(st.tuples(*[numbers] * ndim))
        place["affine"] = affine
    return place


@dataclass(repr=False)
class Scene:
    """An image with one bright disc on the displayed plane."""

    viewer: ViewerModel
    session: SamSession
    image: Image
    unit: str | None
    displayed: tuple[int, int]  # axes of the image, ascending
    centre: np.ndarray  # of the disc, in pixels of the image
    radius: float
    truth: np.ndarray  # of the image's shape without colour, bool

    @property
    def in_world(self) -> np.ndarray:
        """World position of the centre of the disc."""
        world: np.ndarray = apply_affine(
            to_world(self.image, self.unit), [self.centre]
        )[0]
        return world

    def around(self, margin: float) -> np.ndarray:
        """Return the (4, n) corners of a box around the disc, in image pixels."""
        half = self.radius + margin
        corners = np.tile(self.centre, (4, 1))
        corners[:, self.displayed[0]] += [-half, -half, half, half]
        corners[:, self.displayed[1]] += [-half, half, half, -half]
        return corners

    def show(self, aside: float = 0) -> None:
        """Move the sliders to the disc, or `aside` slices beside its centre."""
        plane_index = self.centre + aside * ~np.isin(
            np.arange(self.image.ndim), self.displayed
        )
        world = apply_affine(to_world(self.image, self.unit), [plane_index])[0]
        dims = self.viewer.dims
        shift = dims.ndim - self.image.ndim
        for axis in range(self.image.ndim):
            if axis not in self.displayed:
                dims.set_point(axis + shift, world[axis] / shown_unit(dims))


def shown_unit(dims: Dims) -> float:
    """Return the micrometres per unit of the sliders."""
    if not has_units or str(dims.units[-1]) in ("pixel", "dimensionless"):
        return 1.0
    return float((1 * dims.units[-1]).to("micrometer").magnitude)


def units_of(unit: str | None, ndim: int) -> dict[str, Any]:
    return {} if unit is None else {"units": (unit,) * ndim}


COLOURS = {"gray": (), "rgb": (3,), "rgba": (4,)}


@st.composite
def scenes(
    draw: Any,
    ndims: Sequence[int] = (2, 3, 4),
    colours: Sequence[str] = tuple(COLOURS),
    units: st.SearchStrategy[str | None] | None = None,
    extra: bool = True,
) -> Scene:
    unit = None if units is None else draw(units)
    ndim = draw(st.sampled_from(list(ndims)))
    pairs = [p for p in permutations(range(ndim), 2) if p[0] < p[1]]
    displayed = draw(st.sampled_from(pairs))
    sizes = [
        draw(st.integers(LOW, HIGH) if axis in displayed else st.integers(1, 3))
        for axis in range(ndim)
    ]
    radius = draw(st.floats(2, 5))
    centre = np.array(
        [
            draw(st.floats(radius + 1, size - radius - 2))
            if axis in displayed
            else draw(st.integers(0, size - 1))
            for axis, size in enumerate(sizes)
        ]
    )
    away = np.indices(sizes).T - centre
    truth = ((away**2).sum(-1) <= radius**2).T
    for axis in set(range(ndim)) - set(displayed):
        truth &= (np.indices(sizes)[axis] == centre[axis]).astype(bool)
    data, limits = pixels(truth, draw(st.sampled_from(list(colours))), draw)
    rgb = data.ndim > ndim

    # The view: more axes than the image's come with another layer, on the left.
    viewer = ViewerModel()
    more = draw(st.integers(0, 1)) if extra else 0
    if more:
        other = st.sampled_from(["mm", "um"]) if unit else st.none()
        add_other(viewer, ndim + more, draw(other), draw)
    image = viewer.add_image(
        data,
        rgb=rgb,
        **limits,
        **draw(placements(ndim, displayed)),
        **units_of(unit, ndim),
    )
    if extra and draw(st.booleans()):
        add_other(viewer, draw(st.integers(2, ndim)), unit, draw)
    shown = [
        axis + viewer.dims.ndim - ndim for axis in draw(st.permutations(displayed))
    ]
    hidden = sorted(set(range(viewer.dims.ndim)) - set(shown))
    viewer.dims.order = (*draw(st.permutations(hidden)), *shown)
    session = SamSession(viewer, BrightPredictor())
    session.image_layer = image
    return Scene(viewer, session, image, unit, displayed, centre, radius, truth)


def pixels(truth: np.ndarray, colour: str, draw: Any) -> tuple[Any, dict[str, Any]]:
    """Make the array of the image, and its contrast limits for gray images."""
    if colour == "gray":
        kind = draw(st.sampled_from(["uint8", "uint16", "float32", "float64"]))
        low, high = {"uint8": (20, 200), "uint16": (100, 40000)}.get(kind, (-0.5, 0.9))
        limits = {"uint8": (0, 255), "uint16": (0, 50000)}.get(kind, (-1.0, 1.0))
        return np.where(truth, high, low).astype(kind), {"contrast_limits": limits}
    dark, light = np.full(4, 20, np.uint8), np.full(4, 200, np.uint8)
    dark[3] = light[3] = 255  # opaque
    data = np.where(truth[..., None], light, dark)
    return data[..., : COLOURS[colour][0]], {}


def add_other(viewer: ViewerModel, ndim: int, unit: str | None, draw: Any) -> Image:
    """Add a layer of another shape and place, which must have no effect."""
    return viewer.add_image(
        np.zeros((3, 2, 4, 5, 6)[-ndim:]),
        contrast_limits=(0, 1),
        scale=draw(st.tuples(*[factors] * ndim)),
        translate=draw(st.tuples(*[numbers] * ndim)),
        **units_of(unit, ndim),
    )


KINDS = ("point", "rectangle", "ellipse", "polygon")


def prompt_on(scene: Scene, draw: Any, kinds: Sequence[str] = KINDS) -> None:
    """Add a prompt for the disc, in a layer with its own transform."""
    ndim, image = scene.image.ndim, scene.image
    min_ndim = ndim - scene.displayed[0]
    of_layer = draw(st.integers(min_ndim, ndim))
    lost = ndim - of_layer
    unit = draw(st.sampled_from(["mm", "um"])) if scene.unit else None
    displayed = [axis - lost for axis in scene.displayed]
    place = draw(placements(of_layer, displayed)) | units_of(unit, of_layer)
    kind = draw(st.sampled_from(kinds))
    corners = scene.around(draw(st.floats(0.01, 1)))
    if kind == "point":
        corners = scene.centre[None]
    world = apply_affine(to_world(image, scene.unit), corners)[:, lost:]
    if kind == "point":
        layer = scene.viewer.add_points(ndim=of_layer, **place)
        scene.session.points_layer = layer
    else:
        layer = scene.viewer.add_shapes(ndim=of_layer, **place)
        scene.session.shapes_layer = layer
    drawn = apply_affine(np.linalg.inv(to_world(layer, unit)), world)
    if kind == "point":
        layer.add(drawn)
    else:
        layer.add(drawn, shape_type=kind)


def assert_on_the_disc(scene: Scene, labels: Labels, unit: str | None) -> None:
    """Compare the world centroids of labels and disc, to half a pixel."""
    painted = np.argwhere(labels.data)
    assert len(painted)
    world = apply_affine(to_world(labels, unit), painted).mean(axis=0)
    image = to_world(scene.image, scene.unit)
    lost = scene.image.ndim - labels.ndim
    pixel = apply_affine(np.linalg.inv(image[lost:, lost:]), [world])[0]
    assert np.abs(pixel - scene.centre[lost:]).max() <= 0.5


# -- the labels that are made for the image ------------------------------------


@warns_of_rotation
@thorough
@given(scenes(), st.data(), st.floats(-0.45, 0.45))
def test_new_labels_match_the_disc(scene: Scene, data: Any, aside: float) -> None:
    prompt_on(scene, data.draw)
    scene.show(aside)
    assert scene.session.preview() is not None
    scene.session.commit()
    np.testing.assert_array_equal(written(scene.session), scene.truth)
    labels = scene.session.labels_layer
    assert labels is not None
    assert_on_the_disc(scene, labels, scene.unit)


@warns_of_rotation
@thorough
@needs_units
@given(scenes(units=st.sampled_from(["mm", "um"])), st.data())
def test_layers_in_millimetres_and_micrometres(scene: Scene, data: Any) -> None:
    prompt_on(scene, data.draw)
    scene.show()
    assert scene.session.preview() is not None
    scene.session.commit()
    np.testing.assert_array_equal(written(scene.session), scene.truth)
    labels = scene.session.labels_layer
    assert labels is not None
    assert labels.units == scene.image.units
    assert_on_the_disc(scene, labels, scene.unit)


@warns_of_rotation
@thorough
@given(scenes(ndims=(3, 4), colours=("gray",)), st.data())
def test_new_prompt_layers_are_aligned_with_the_image(scene: Scene, data: Any) -> None:
    points, shapes = scene.session.new_prompt_layers()
    if data.draw(st.booleans()):
        points.add(scene.centre)
    else:
        shapes.add(scene.around(0.5), shape_type="rectangle")
    scene.show()
    scene.session.preview()
    scene.session.commit()
    np.testing.assert_array_equal(written(scene.session), scene.truth)


@warns_of_rotation
@thorough
@given(scenes(ndims=(3,), extra=False), st.data())
def test_stack_labels_match_a_disc_on_one_slice(scene: Scene, data: Any) -> None:
    axis = ({0, 1, 2} - set(scene.displayed)).pop()
    assume(scene.truth.shape[axis] > 1)
    prompt_on(scene, data.draw)
    scene.show()
    scene.session.propagate()
    scene.session.commit()
    np.testing.assert_array_equal(written(scene.session), scene.truth)


# -- labels of another shape and place -----------------------------------------


@dataclass
class Expected:
    """Expected labels, and the pixels where they are certain."""

    inside: np.ndarray
    certain: np.ndarray  # not those whose centres lie on the border of two pixels


def expected_in(
    scene: Scene, labels: Labels, unit: str | None, plane_index: Any
) -> Expected:
    """Compute the expected labels from the centres of their pixels."""
    centres = np.argwhere(np.ones(labels.data.shape, bool))
    shared = min(labels.ndim, scene.image.ndim)
    world = apply_affine(to_world(labels, unit), centres)[:, labels.ndim - shared :]
    image = to_world(scene.image, scene.unit)
    lost = scene.image.ndim - shared
    there = apply_affine(np.linalg.inv(image[lost:, lost:]), world)
    pixel = np.floor(there + 0.5).astype(int)
    truth = scene.truth[tuple(int(c) for c in scene.centre[:lost])]
    valid = ((pixel >= 0) & (pixel < truth.shape)).all(axis=1)
    inside = np.zeros(len(centres), bool)
    inside[valid] = truth[tuple(pixel[valid].T)]
    inside &= (centres[:, : labels.ndim - shared] == plane_index).all(axis=1)
    border = np.abs(there - np.floor(there) - 0.5) < 1e-4
    shape = labels.data.shape
    return Expected(inside.reshape(shape), ~border.any(axis=1).reshape(shape))


@st.composite
def targets(draw: Any, scene: Scene) -> tuple[Labels, str | None, tuple[int, ...]]:
    """Draw labels that are finer, coarser, shifted, cropped or rotated.

    Returns the layer, its unit, and its index along the axes that only it has.
    """
    min_ndim = scene.image.ndim - scene.displayed[0]
    max_ndim = scene.viewer.dims.ndim
    ndim = draw(st.integers(min_ndim, max_ndim))
    lost, own = scene.image.ndim - ndim, max(ndim - scene.image.ndim, 0)
    displayed = [axis - lost for axis in scene.displayed]
    unit = draw(st.sampled_from(["mm", "um"])) if scene.unit else None
    sizes = [
        draw(st.integers(5, 30) if axis in displayed else st.integers(1, 4))
        for axis in range(ndim)
    ]
    image = to_world(scene.image, scene.unit)
    linear = np.eye(ndim)
    # Pixels of the labels in pixels of the image, warns_of_rotation within the plane.
    step = np.diag(draw(st.tuples(*[st.sampled_from([0.4, 0.5, 1, 1.7, 2])] * ndim)))
    if draw(st.booleans()):
        turn = draw(st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)))
        step[displayed[0], displayed[1]], step[displayed[1], displayed[0]] = turn
    linear[own:, own:] = image[max(lost, 0) : -1, max(lost, 0) : -1]
    linear = linear @ step
    # A pixel of the labels is near the centre of the disc.
    near = np.array([draw(st.integers(0, size - 1)) for size in sizes], float)
    near += draw(st.tuples(*[st.floats(-0.4, 0.4)] * ndim))
    near[:own] = np.round(near[:own])
    middle = np.zeros(ndim)
    middle[own:] = scene.in_world[max(lost, 0) :]
    plane_index = tuple(int(index) for index in near[:own])
    if own:
        sliders = np.array(scene.viewer.dims.point) * shown_unit(scene.viewer.dims)
        middle[:own] = sliders[-ndim:][:own]
    affine = np.eye(ndim + 1)
    affine[:-1, :-1] = linear
    affine[:-1, -1] = middle - linear @ near
    affine[:-1] /= 1 if unit is None else MICROMETRES[unit]
    labels = scene.viewer.add_labels(
        np.zeros(sizes, np.int32), affine=affine, **units_of(unit, ndim)
    )
    return labels, unit, plane_index


def assert_labels_match(scene: Scene, data: Any) -> None:
    prompt_on(scene, data.draw)
    scene.show()
    labels, unit, plane_index = data.draw(targets(scene))
    # A layer more may move the sliders.
    if labels.ndim > scene.image.ndim:
        assume(scene.viewer.dims.ndim > scene.image.ndim)
    scene.show()
    expected = expected_in(scene, labels, unit, plane_index)
    scene.session.labels_layer = labels
    try:
        scene.session.preview()
    except ValueError as error:
        assert "does not cover the displayed slice" in str(error)
        assert not (expected.inside & expected.certain).any()
        return
    scene.session.commit()
    wrong = (labels.data > 0) != expected.inside
    assert not (wrong & expected.certain).any()
    done = scene.session.target.last_written
    assert done is not None
    assert done.pixels == np.count_nonzero(labels.data)
    labels.undo()
    assert not labels.data.any()


@warns_of_rotation
@thorough
@given(scenes(colours=("gray",)), st.data())
def test_labels_on_any_grid_match_the_disc(scene: Scene, data: Any) -> None:
    assert_labels_match(scene, data)


@warns_of_rotation
@thorough
@needs_units
@given(scenes(colours=("gray",), units=st.sampled_from(["mm", "um"])), st.data())
def test_labels_in_other_units_match_the_disc(scene: Scene, data: Any) -> None:
    assert_labels_match(scene, data)


# -- channels ------------------------------------------------------------------


@warns_of_rotation
@thorough
@given(scenes(ndims=(3,), colours=("gray",), extra=False), st.data())
def test_disc_in_the_chosen_channel_is_segmented(scene: Scene, data: Any) -> None:
    assume(scene.displayed == (1, 2))
    channels = scene.truth.shape[0]
    scene.session.channels = [ChannelChoice(None, 0, int(scene.centre[0]))]
    prompt_on(scene, data.draw)
    scene.show()
    scene.viewer.dims.set_current_step(
        0, data.draw(st.integers(0, scene.viewer.dims.nsteps[0] - 1))
    )
    assume(0 <= round(scene.image.world_to_data(scene.viewer.dims.point)[0]) < channels)
    scene.session.preview()
    scene.session.commit()
    labels = written(scene.session)
    # Channels show one place: the labels of them do without their axis.
    np.testing.assert_array_equal(labels, scene.truth[int(scene.centre[0])])
    assert scene.session.labels_layer is not None
    assert_on_the_disc(scene, scene.session.labels_layer, None)


# -- pyramids ------------------------------------------------------------------


@thorough
@given(
    st.sampled_from([64, 65, 71, 90, 128]),
    st.sampled_from([2, 4]),
    st.tuples(st.floats(-8, 8), st.floats(-8, 8)),
    st.data(),
)
def test_disc_of_a_pyramid_is_written_at_full_resolution(
    side: int, step: int, shift: tuple[float, float], data: Any
) -> None:
    centre = np.array([side / 2, side / 2]) + shift
    rows, cols = np.indices((side, side)) - centre[:, None, None]
    truth = rows**2 + cols**2 <= 49
    full = np.where(truth, 200, 20).astype(np.uint8)
    reduced = full[step // 2 :: step, step // 2 :: step]
    viewer = ViewerModel()
    place = data.draw(placements(2, (0, 1)))
    image = viewer.add_image(
        [full, reduced], multiscale=True, contrast_limits=(0, 255), **place
    )
    session = SamSession(viewer, BrightPredictor())
    scene = Scene(viewer, session, image, None, (0, 1), centre, 8, truth)
    prompt_on(scene, data.draw, ("rectangle", "polygon"))
    session.preview()
    session.commit()
    assert written(session).shape == (side, side)
    painted = np.argwhere(written(session)).mean(axis=0)
    # Half a pixel of the level that the model saw, which is what it can tell.
    step_read = step if max(reduced.shape) >= BrightPredictor.input_size else 1
    assert np.abs(painted - centre).max() <= step_read / 2
    if step_read == 1:
        np.testing.assert_array_equal(written(session), truth)


# -- refusals ------------------------------------------------------------------


@warns_of_rotation
@thorough
@given(st.data())
def test_image_rotated_out_of_the_plane_is_refused(data: Any) -> None:
    order = data.draw(st.permutations(range(3)))
    hidden, shown = order[0], data.draw(st.sampled_from(order[1:]))
    # More than half a pixel over 20 pixels, whatever the scale.
    size = data.draw(st.floats(0.15, 0.6))
    size *= data.draw(st.sampled_from([-1, 1]))
    kind = data.draw(st.sampled_from(["rotate", "shear", "affine"]))
    place: dict[str, Any] = {}
    if kind == "rotate":
        place["rotate"] = np.eye(3)
        pair = np.ix_([hidden, shown], [hidden, shown])
        place["rotate"][pair] = [
            [np.cos(size), -np.sin(size)],
            [np.sin(size), np.cos(size)],
        ]
    elif kind == "shear":
        place["shear"] = np.eye(3)
        place["shear"][tuple(sorted((hidden, shown)))] = size
    else:
        place["affine"] = np.eye(4)
        place["affine"][tuple(data.draw(st.permutations((hidden, shown))))] = size
    viewer = ViewerModel()
    image = viewer.add_image(
        np.zeros((20, 20, 20)),
        contrast_limits=(0, 1),
        scale=data.draw(st.tuples(*[st.floats(0.5, 2)] * 3)),
        **place,
    )
    viewer.dims.order = order
    session = SamSession(viewer, BrightPredictor())
    session.points_layer = viewer.add_points([image.data_to_world((10, 10, 10))])
    before = list(viewer.layers)
    for action in (session.preview, session.propagate):
        with pytest.raises(ValueError, match="rotated or sheared out of the displayed"):
            action()
    assert session.result is None
    assert list(viewer.layers) == before


@warns_of_rotation
@thorough
@given(scenes(ndims=(3, 4), extra=False), st.data())
def test_3d_view_is_refused(scene: Scene, data: Any) -> None:
    prompt_on(scene, data.draw)
    scene.show()
    scene.viewer.dims.ndisplay = 3
    for action in (scene.session.preview, scene.session.propagate):
        with pytest.raises(ValueError, match="switch to 2D"):
            action()
    scene.viewer.dims.ndisplay = 2
    scene.show()
    assert scene.session.preview() is not None
    scene.session.commit()
    np.testing.assert_array_equal(written(scene.session), scene.truth)
