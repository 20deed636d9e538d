"""The image that the model sees: channels, intensity and pyramid levels."""

from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.images.intensity import IntensityMapping
from napari_sam.plugin.layers.image_source import ChannelChoice, channel_choices
from napari_sam.plugin.layers.transforms import layer_affine
from napari_sam.plugin.panels.status_text import status_text
from napari_sam.plugin.session import SamSession
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import FIRST, corners, draw, written


class Recorder(BrightPredictor):
    """Records the 8-bit planes that it embeds."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self.planes: list[np.ndarray] = []

    def embed(self, plane: Any, contrast_limits: Any = None, **shape: Any) -> Any:
        self.planes.append(np.array(plane))
        return super().embed(plane, contrast_limits, **shape)


@pytest.fixture
def channels(stack: np.ndarray) -> np.ndarray:
    """(3, 9, 40, 50): the ball in the last channel, dark and noise in the others."""
    noise = np.random.default_rng(3).integers(0, 90, stack.shape, dtype=np.uint8)
    return np.stack([np.zeros_like(stack), noise, stack])


def session_on(image: np.ndarray, model: BrightPredictor, **place: Any) -> SamSession:
    viewer = ViewerModel()
    viewer.add_image(image, contrast_limits=(0, 255), name="image", **place)
    session = SamSession(viewer, model)
    session.new_prompt_layers()
    return session


def test_channels_of_an_axis_become_colours(channels: np.ndarray) -> None:
    model = Recorder()
    session = session_on(channels, model, axis_labels=("c", "z", "y", "x"))
    session.viewer.dims.set_current_step(1, 4)
    session.channels = [ChannelChoice(axis=0, index=i) for i in (2, 0, 1)]
    draw(session, FIRST, 0, 4)
    session.preview()
    np.testing.assert_array_equal(
        model.planes[-1], np.stack([channels[c, 4] for c in (2, 0, 1)], axis=-1)
    )
    session.channels = [ChannelChoice(axis=0, index=2)]
    session.preview()
    np.testing.assert_array_equal(model.planes[-1], channels[2, 4])


def test_labels_of_a_chosen_channel_lack_the_channel_axis(channels: np.ndarray) -> None:
    session = session_on(
        channels, Recorder(), axis_labels=("c", "z", "y", "x"), scale=(1, 2, 1, 1)
    )
    viewer = session.viewer
    session.channels = [ChannelChoice(axis=0, index=2)]
    viewer.dims.set_current_step(1, 4)
    draw(session, FIRST, 0, 4)
    viewer.dims.set_current_step(0, 1)  # the prompt was drawn at another channel
    session.preview()
    session.commit()
    labels = session.labels_layer
    assert labels is not None
    assert labels.data.shape == (9, 40, 50)
    image = viewer.layers["image"]
    np.testing.assert_allclose(layer_affine(labels), layer_affine(image)[1:, 1:])
    assert labels.axis_labels == ("z", "y", "x")
    assert labels.data[4, 15, 20] == 1
    draw(session, FIRST, 0, 4)
    volume = session.propagate()  # along z, not along the channels
    assert {s.index for s in volume.slices} <= set(range(9))


def test_channels_of_other_layers(channels: np.ndarray) -> None:
    model = Recorder()
    session = session_on(channels[0], model)
    viewer = session.viewer
    other = viewer.add_image(channels[2], contrast_limits=(0, 200), name="other")
    viewer.add_image(channels[2][:, :20], name="of another shape")
    viewer.add_image(channels[2], translate=(0, 3, 0), name="elsewhere")
    image = viewer.layers["image"]
    session.image_layer = image
    viewer.dims.set_current_step(0, 4)
    offered = channel_choices(viewer, image)
    assert {c.layer for c in offered} == {image, other}
    session.channels = [ChannelChoice(other), ChannelChoice(image)]
    draw(session, FIRST)
    session.preview()
    plane = model.planes[-1]
    assert plane[15, 20].tolist() == [255, 0, 0]  # by the other layer's own limits
    session.commit()
    assert written(session)[4, 15, 20] == 1


def test_channel_choices_of_an_image(channels: np.ndarray) -> None:
    viewer = ViewerModel()
    named = viewer.add_image(
        np.zeros((8, 20, 30, 40)), axis_labels=("c", "z", "y", "x")
    )
    assert {
        (c.axis, c.index) for c in channel_choices(viewer, named) if c.layer is None
    }
    assert all(c.axis in (0, None) for c in channel_choices(viewer, named))
    plain = viewer.add_image(np.zeros((20, 30, 40)))
    assert channel_choices(viewer, plain) == []
    colour = viewer.add_image(np.zeros((30, 40, 3), np.uint8), rgb=True)
    assert channel_choices(viewer, colour) == []


def test_unsuitable_channels_are_refused(channels: np.ndarray) -> None:
    session = session_on(channels, Recorder())
    session.viewer.dims.current_step = (0, 4, 0, 0)
    draw(session, FIRST, 0, 4)
    for wrong in (
        [ChannelChoice(axis=0, index=7)],
        [ChannelChoice(axis=0, index=i) for i in (0, 1, 2, 0)],
        [ChannelChoice(axis=2, index=0)],
    ):
        session.channels = wrong
        with pytest.raises(ValueError, match=r"channel|Axis"):
            session.preview()


def test_choosing_another_image_resets_channels(channels: np.ndarray) -> None:
    session = session_on(channels, Recorder())
    session.channels = [ChannelChoice(axis=0, index=2)]
    session.image_layer = session.viewer.add_image(channels[2])
    assert session.channels == ()


@pytest.mark.parametrize(
    ("mapping", "low", "high"),
    [
        (IntensityMapping.display(), 0, 255),
        (IntensityMapping.window(110, 180), 20, 200),
        (IntensityMapping.full(), 20, 200),
        (IntensityMapping.percentiles(0, 100), 20, 200),
    ],
    ids=lambda value: getattr(value, "kind", str(value)),
)
def test_record_holds_the_chosen_intensity(
    stack: np.ndarray, mapping: IntensityMapping, low: float, high: float
) -> None:
    session = session_on(stack.astype(np.float32), BrightPredictor())
    session.viewer.dims.set_current_step(0, 4)
    session.intensity = mapping
    draw(session, FIRST)
    session.preview()
    session.commit()
    (entry,) = session.record()["objects"]["1"]
    assert entry["intensity"]["kind"] == mapping.kind
    np.testing.assert_allclose(entry["intensity"]["limits"], (low, high))


def test_cache_distinguishes_intensity(stack: np.ndarray) -> None:
    model = Recorder()
    session = session_on(stack, model)
    session.viewer.dims.set_current_step(0, 4)
    draw(session, FIRST)
    session.preview()
    session.preview()
    assert len(model.planes) == 1  # encoded once
    session.intensity = IntensityMapping.window(100, 100)
    session.preview()
    assert len(model.planes) == 2
    assert not np.array_equal(*model.planes)


@pytest.mark.parametrize("lazy", [False, True])
def test_smallest_sufficient_pyramid_level_is_read(
    stack: np.ndarray, lazy: bool
) -> None:
    full = np.kron(stack, np.ones((1, 4, 4), np.uint8))
    half, quarter = full[:, ::2, ::2], full[:, ::4, ::4]
    levels: list[Any] = [full, half, quarter]
    if lazy:
        levels = [da.from_array(level) for level in levels]
    model = Recorder()
    viewer = ViewerModel()
    viewer.add_image(
        levels, multiscale=True, contrast_limits=(0, 255), scale=(2, 0.25, 0.25)
    )
    viewer.dims.set_current_step(0, 4)
    session = SamSession(viewer, model)
    session.new_prompt_layers()
    draw(session, np.array(FIRST) * 4)
    session.preview()
    assert model.planes[-1].shape == (40, 50)  # 32 pixels are enough for this model
    session.commit()
    np.testing.assert_array_equal(
        written(session)[4] > 0, (full[4] > 127) & inside(full[4], FIRST)
    )


def inside(plane: np.ndarray, box: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(plane.shape, bool)
    r0, c0, r1, c1 = (4 * side for side in box)
    mask[r0 : r1 + 1, c0 : c1 + 1] = True
    return mask


class Volume:
    """An array-like that records which parts are read."""

    def __init__(self, volume: np.ndarray) -> None:
        self._volume = volume
        self.shape, self.dtype, self.ndim = volume.shape, volume.dtype, volume.ndim
        self.read: list[Any] = []

    def __getitem__(self, index: Any) -> np.ndarray:
        self.read.append(index)
        part: np.ndarray = self._volume[index]
        return part


def test_only_the_displayed_plane_is_read(stack: np.ndarray) -> None:
    volume = Volume(stack)
    viewer = ViewerModel()
    viewer.add_image(volume, contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 4)
    session = SamSession(viewer, BrightPredictor())
    session.shapes_layer = viewer.add_shapes([corners(FIRST, 4)])
    volume.read.clear()
    session.preview()
    session.commit()
    assert volume.read == [(4, slice(None), slice(None))]


@pytest.fixture
def thick(stack: np.ndarray) -> SamSession:
    """A session on the mean of slices 3 to 5 of the balls."""
    model = Recorder()
    session = session_on(stack, model, scale=(2, 1, 1))
    session.viewer.dims.set_current_step(0, 4)
    session.viewer.layers["image"].projection_mode = "mean"
    session.viewer.dims.thickness = (4, 0, 0)
    return session


def test_the_model_sees_the_thick_slice_that_is_displayed(
    thick: SamSession, stack: np.ndarray
) -> None:
    draw(thick, FIRST)
    thick.preview()
    seen = np.rint(stack[3:6].mean(axis=0))
    np.testing.assert_array_equal(thick.model.planes[-1], seen)
    thick.discard()
    thick.segment_everything()
    np.testing.assert_array_equal(thick.model.planes[-1], seen)
    thick.viewer.layers["image"].projection_mode = "none"
    draw(thick, FIRST)
    thick.preview()
    np.testing.assert_array_equal(thick.model.planes[-1], stack[4])


def test_other_thickness_makes_a_new_request(thick: SamSession) -> None:
    draw(thick, FIRST)
    thick.preview()
    assert thick.live_request() is None
    thick.viewer.dims.thickness = (8, 0, 0)
    assert thick.live_request() is not None


def test_stacks_are_seen_as_thick_as_the_displayed_slice(
    thick: SamSession, stack: np.ndarray
) -> None:
    draw(thick, FIRST)
    thick.propagate()
    seen = {plane.tobytes() for plane in thick.model.planes}
    means = [stack[max(i - 1, 0) : i + 2].mean(axis=0) for i in (4, 5)]
    assert {np.rint(mean).astype(np.uint8).tobytes() for mean in means} <= seen


def test_the_panel_says_that_the_model_sees_a_thick_slice(thick: SamSession) -> None:
    expected = "The model sees the mean of 3 slices, as displayed"
    assert expected in status_text(thick)
    thick.viewer.dims.thickness = (0, 0, 0)
    assert "The model sees" not in status_text(thick)
    thick.viewer.dims.thickness = (4, 0, 0)
    thick.viewer.layers["image"].projection_mode = "none"
    assert "The model sees" not in status_text(thick)


def test_channels_are_not_projected_along_their_axis(channels: np.ndarray) -> None:
    model = Recorder()
    session = session_on(channels, model, axis_labels=("c", "z", "y", "x"))
    session.viewer.dims.set_current_step(1, 4)
    session.viewer.layers["image"].projection_mode = "max"
    session.viewer.dims.thickness = (4, 2, 0, 0)
    session.channels = [ChannelChoice(axis=0, index=2)]
    draw(session, FIRST, 0, 4)
    session.preview()
    np.testing.assert_array_equal(model.planes[-1], channels[2, 3:6].max(axis=0))
