"""Objects are written into Labels layers in one undo step."""

from itertools import count
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.settings import get_settings

from napari_sam.masks.label_grid import LabelGrid
from napari_sam.masks.painting import ObjectPlaneMask, PixelChanges
from napari_sam.plugin.layers.label_ids import LabelIds
from napari_sam.plugin.layers.labels_writer import (
    WriteSummary,
    check_ids,
    check_target,
    new_labels,
    plan,
    write,
)
from napari_sam.plugin.layers.transforms import Sliders, layer_affine

FULL = slice(None)


def write_objects(labels: Labels, pieces: list[ObjectPlaneMask]) -> WriteSummary:
    """Write objects with the next free labels, keeping other objects."""
    numbers = sorted({piece.object_id for piece in pieces})
    ids = dict(zip(numbers, count(LabelIds().next_free(labels)), strict=False))
    check_ids(labels, ids)
    grid = LabelGrid.same(labels.data.shape)
    changes, outside = plan(labels, grid, pieces, ids, "keep", ())
    write(labels, changes)
    return WriteSummary(tuple(ids.values()), len(changes.values), changes.kept, outside)


def piece(
    number: int = 1, row: int = 2, col: int = 3, side: int = 4
) -> ObjectPlaneMask:
    return ObjectPlaneMask(
        number, (FULL, FULL), (row, col), np.ones((side, side), bool)
    )


def labels_of(dtype: Any = np.int32, shape: tuple[int, ...] = (20, 30)) -> Labels:
    return ViewerModel().add_labels(np.zeros(shape, dtype))


def test_object_is_painted_at_its_mask() -> None:
    labels = labels_of()
    mask = np.array([[1, 0], [1, 1]], bool)
    done = write_objects(labels, [ObjectPlaneMask(1, (FULL, FULL), (5, 7), mask)])
    expected = np.zeros((20, 30), int)
    expected[[5, 6, 6], [7, 7, 8]] = 1
    np.testing.assert_array_equal(labels.data, expected)
    assert (done.label_ids, done.pixels, done.kept) == ((1,), 3, 0)


@pytest.mark.parametrize(
    ("index", "where"),
    [
        ((2, FULL, FULL), np.s_[2, 5:7, 7:9]),
        ((FULL, 2, FULL), np.s_[5:7, 2, 7:9]),
        ((FULL, FULL, 2), np.s_[5:7, 7:9, 2]),
    ],
    ids=str,
)
def test_planes_across_any_axis(index: Any, where: Any) -> None:
    labels = labels_of(shape=(10, 10, 10))
    write_objects(labels, [ObjectPlaneMask(1, index, (5, 7), np.ones((2, 2), bool))])
    expected = np.zeros((10, 10, 10), int)
    expected[where] = 1
    np.testing.assert_array_equal(labels.data, expected)


def test_other_objects_are_kept_and_counted() -> None:
    labels = labels_of()
    labels.data[4, :] = 7
    done = write_objects(labels, [piece()])
    assert (labels.data[4] == 7).all()
    assert (done.label_ids, done.pixels, done.kept) == ((8,), 12, 4)
    assert np.count_nonzero(labels.data == 8) == 12


def test_objects_get_the_next_free_ids() -> None:
    labels = labels_of()
    labels.data[0, 0] = 5
    done = write_objects(labels, [piece(1), piece(3, row=10), piece(2, col=20)])
    assert done.label_ids == (6, 7, 8)
    assert [labels.data[2, 3], labels.data[2, 20], labels.data[10, 3]] == [6, 7, 8]


def test_parts_of_an_object_share_its_label() -> None:
    labels = labels_of(shape=(4, 20, 30))
    parts = [
        ObjectPlaneMask(1, (z, FULL, FULL), (2, 3), np.ones((2, 2), bool))
        for z in (1, 2)
    ]
    assert write_objects(labels, parts).label_ids == (1,)
    assert np.unique(np.nonzero(labels.data)[0]).tolist() == [1, 2]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16])
def test_labels_beyond_the_dtype_are_refused_before_writing(
    dtype: Any,
) -> None:
    labels = labels_of(dtype)
    last = np.iinfo(dtype).max
    labels.data[0, 0] = last - 1
    before = labels.data.copy()
    with pytest.raises(ValueError, match=f"{np.dtype(dtype)}.* label {last + 1}"):
        write_objects(labels, [piece(1), piece(2, row=10)])
    np.testing.assert_array_equal(labels.data, before)
    labels.undo()
    np.testing.assert_array_equal(labels.data, before)
    assert write_objects(labels, [piece(1)]).label_ids == (last,)


def test_bool_labels_hold_one_object() -> None:
    mine = np.zeros((20, 30), bool)
    labels = ViewerModel().add_labels(mine, name="mine")
    assert write_objects(labels, [piece(1)]).label_ids == (1,)
    assert mine.any()
    with pytest.raises(ValueError, match="'mine' has type bool, which cannot hold"):
        write_objects(labels, [piece(2, row=10)])
    assert set(mine.view(np.uint8).ravel()) == {0, 1}


@pytest.mark.parametrize("shape", [(20, 30), (6, 20, 30)], ids=["2D", "3D"])
def test_undo_and_redo_are_exact_with_painting_in_between(
    shape: tuple[int, ...],
) -> None:
    viewer = ViewerModel()
    labels = viewer.add_labels(np.zeros(shape, np.int32))
    around = (FULL, FULL)
    planes = [around] if len(shape) == 2 else [(z, *around) for z in range(1, 5)]
    mask = np.ones((6, 6), bool)

    states = [labels.data.copy()]
    write_objects(
        labels,
        [ObjectPlaneMask(1, plane_index, (2, 3), mask) for plane_index in planes],
    )
    states.append(labels.data.copy())
    labels.selected_label, labels.brush_size = 9, 3
    labels.paint((0,) * (len(shape) - 2) + (4, 8), 9)
    states.append(labels.data.copy())
    viewer.dims.set_current_step(0, 2)
    write_objects(
        labels,
        [ObjectPlaneMask(1, plane_index, (5, 6), mask) for plane_index in planes],
    )
    states.append(labels.data.copy())

    for state in states[-2::-1]:
        labels.undo()
        np.testing.assert_array_equal(labels.data, state)
    for state in states[1:]:
        labels.redo()
        np.testing.assert_array_equal(labels.data, state)


@pytest.mark.parametrize("is_async", [False, True])
def test_more_changes_than_napari_keeps_are_undone_exactly(
    is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, states, changes = labels_of(), [], []
    for label in range(1, 131):
        states.append(labels.data.copy())
        place = np.unravel_index(np.arange(3) + label, labels.data.shape)
        changes.append(write(labels, PixelChanges(place, np.full(3, label), 0)))
    labels.paint((15, 15), 200)
    monkeypatch.setattr(get_settings().experimental, "async_", is_async)
    with pytest.raises(ValueError, match="was changed since"):
        changes[-1].undo()
    labels.undo()
    for before, change in zip(reversed(states), reversed(changes), strict=True):
        change.undo()
        np.testing.assert_array_equal(labels.data, before)


def test_only_pixels_that_change_are_written() -> None:
    labels = labels_of()
    labels.data[2:4, 3:7] = 4
    written = []
    labels.events.labels_update.connect(lambda event: written.append(event))
    array = labels.data
    done = write_objects(labels, [piece()])
    assert labels.data is array
    assert done.pixels == 8
    assert len(written) == 1


def test_nothing_is_written_when_no_pixel_is_free() -> None:
    labels = labels_of()
    labels.data[:] = 3
    done = write_objects(labels, [piece()])
    assert (done.pixels, done.kept) == (0, 16)
    assert (labels.data == 3).all()


@pytest.mark.parametrize("ndisplay", [2, 3])
def test_objects_on_other_slices_are_written_and_undone(ndisplay: int) -> None:
    viewer = ViewerModel()
    labels = viewer.add_labels(np.zeros((6, 20, 30), np.int32))
    viewer.dims.set_current_step(0, 5)
    viewer.dims.ndisplay = ndisplay
    write_objects(
        labels, [ObjectPlaneMask(1, (2, FULL, FULL), (2, 3), np.ones((2, 2), bool))]
    )
    assert np.count_nonzero(labels.data) == 4
    labels.undo()
    assert not labels.data.any()


def test_new_labels_skip_leading_axes() -> None:
    viewer = ViewerModel()
    over = viewer.add_image(
        np.zeros((2, 4, 5, 6)), scale=(1, 3, 2, 2), translate=(0, 1, 2, 3)
    )
    labels = new_labels(viewer, over, 1)
    assert labels.data.shape == (4, 5, 6)
    np.testing.assert_allclose(layer_affine(labels), layer_affine(over)[1:, 1:])
    assert labels.axis_labels == over.axis_labels[1:]


# -- targets -------------------------------------------------------------------


def image(**place: Any) -> Image:
    return Image(np.zeros((20, 30)), contrast_limits=(0, 1), name="cells", **place)


def read_only() -> np.ndarray:
    data = np.zeros((20, 30), int)
    data.flags.writeable = False
    return data


HERE = (FULL, FULL)
PLAIN = np.zeros((20, 30), int)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (lambda: Labels(read_only(), name="mine"), "'mine' is read-only"),
        (lambda: Labels([PLAIN, PLAIN[::2, ::2]], name="mine"), "'mine' is multiscale"),
        (lambda: Labels(da.zeros((20, 30), dtype=int), name="mine"), "not in memory"),
        (lambda: Labels(PLAIN, name="mine", visible=False), "'mine' is hidden"),
        (lambda: locked(Labels(PLAIN, name="mine")), "'mine' is locked"),
        (lambda: Labels(PLAIN, name="mine", translate=(50, 0)), "does not cover"),
        (lambda: Labels(PLAIN[None], name="mine", translate=(5, 0, 0)), "outside"),
    ],
    ids=["read-only", "multiscale", "dask", "hidden", "locked", "apart", "other slice"],
)
def test_unsuitable_target_layer_is_refused(labels: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_target(labels(), image(), HERE, Sliders((0.0, 0.0, 0.0), None))


def locked(labels: Labels) -> Labels:
    labels.editable = False
    return labels


def test_target_layer_over_the_image_is_accepted() -> None:
    place = {"scale": (0.5, 2), "translate": (3, 4), "rotate": 30}
    sliders = Sliders((0.0, 0.0), None)
    for labels, under in (
        (Labels(PLAIN, **place), image(**place)),
        # The same transform, given as an affine.
        (Labels(PLAIN, affine=np.diag([0.5, 0.5, 1])), image(scale=(0.5, 0.5))),
    ):
        grid = check_target(labels, under, HERE, sliders)
        np.testing.assert_allclose(grid.matrix, np.eye(3), atol=1e-12)
