"""What functions for scripts take, and the sentence for what they do not."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.requests.from_arrays import by_object
from tests.helpers.models import World
from tests.helpers.processes import FILE, load_small
from tests.helpers.scenes import BALL, box_on, lit

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.prediction.predictor import Predictor

PLANE, STACK, BOX = lit(BALL)[6], lit(BALL), box_on(BALL, 6)


class Named:
    """An array with named axes, as xarray's DataArray has them."""

    def __init__(self, data: Any, dims: tuple[str, ...]) -> None:
        self.data, self.dims, self.coords = data, dims, {}
        self.dtype, self.shape, self.ndim = data.dtype, data.shape, data.ndim

    def __getitem__(self, index: Any) -> None:
        raise AssertionError("the array in it is read, not itself")


def volume(data: Any = STACK, **arguments: Any) -> np.ndarray:
    arguments = {"prompts": {6: BOX}, "model": World(), **arguments}
    return ns.segment_volume(data, **arguments).labels


# -- what is taken --------------------------------------------------------------


@pytest.mark.parametrize("name", ["z", "Z", 0, "0", -3, np.int8(0), 0.0])
def test_axes_have_names_and_numbers(name: Any) -> None:
    assert_array_equal(volume(axis=name), BALL)


@pytest.mark.parametrize(("axis", "name"), [(1, "y"), (2, "X")])
def test_other_axes_have_names_too(axis: int, name: str) -> None:
    turned = np.moveaxis(STACK, 0, axis)
    assert_array_equal(volume(turned, axis=name), np.moveaxis(BALL, 0, axis))


def test_axes_of_named_arrays() -> None:
    turned = np.moveaxis(STACK, 0, 2)
    for array in (turned, da.from_array(turned)):
        found = volume(Named(array, ("row", "col", "time")), axis="TIME")
        assert_array_equal(np.moveaxis(found, 2, 0), BALL)
    series = np.stack([np.zeros_like(STACK), STACK])
    found = volume(Named(series, ("t", "z", "y", "x")), axis="z", fixed={"t": 1})
    assert_array_equal(found[1], BALL)
    with pytest.raises(ValueError, match="axis='c': give t, z, y, x, or a number"):
        volume(Named(series, ("t", "z", "y", "x")), axis="c", fixed={"t": 1})


def test_real_xarrays() -> None:
    xarray = pytest.importorskip("xarray")
    stack = xarray.DataArray(STACK, dims=("plane", "y", "x"))
    assert_array_equal(volume(stack, axis="plane"), BALL)
    found = ns.segment(stack[6], boxes=BOX.box, model=World())
    assert_array_equal(found, BALL[6])
    mask = xarray.DataArray(BALL[6], dims=("y", "x"))
    assert_array_equal(volume(prompts={}, masks={1: {6: mask}})[6], BALL[6])
    labels = xarray.DataArray(BALL.astype(np.int32), dims=("z", "y", "x"))
    assert_array_equal(ns.link_labels(labels), BALL)
    assert len(ns.training_images(stack, labels)) == np.count_nonzero(BALL.any((1, 2)))


@pytest.mark.parametrize("spacing", [2, 0.5, np.float32(3), (2, 2, 2), [1, 1, 1]])
def test_one_spacing_counts_for_all_axes(spacing: Any) -> None:
    assert_array_equal(volume(spacing=spacing), BALL)


def test_keys_may_come_from_json() -> None:
    kept = json.loads(json.dumps({"1": {"6": None}}))
    assert list(kept) == ["1"]
    assert_array_equal(volume(prompts={"6": BOX}), BALL)
    assert_array_equal(volume(prompts={"3": {"6": BOX}}), BALL * 3)
    assert_array_equal(volume(prompts={np.int64(6): BOX}), BALL)
    assert_array_equal(volume(prompts={}, masks={"2": {"6": BALL[6]}})[6], BALL[6] * 2)
    with pytest.raises(ValueError, match="object id 6 twice: give it once"):
        by_object({6: {}, "6": {}})
    with pytest.raises(ValueError, match="slice 6 twice"):
        volume(prompts={1: {6: BOX, "6": BOX}})


def test_a_bare_point_and_shapes() -> None:
    point = ns.segment(PLANE, points=(15, 18), model=World())
    assert_array_equal(point, ns.segment(PLANE, points=[[15, 18]], model=World()))
    r0, c0, r1, c1 = BOX.box
    shape = np.array([[r0, c0], [r0, c1], [r1, c1], [r1, c0]])
    for boxes in ([shape], shape, [np.insert(shape, 0, 6, axis=1)]):
        assert_array_equal(ns.segment(PLANE, boxes=boxes, model=World()), BALL[6])


# -- what is not ----------------------------------------------------------------


@pytest.mark.parametrize("path", ["cells.tif", Path("cells.tif")])
@pytest.mark.parametrize(
    ("run", "name"),
    [
        (lambda path: ns.segment(path, boxes=BOX.box, model=World()), "plane"),
        (lambda path: ns.segment_everything(path, World()), "plane"),
        (lambda path: World().embed(path), "plane"),
        (lambda path: volume(path), "volume"),
        (lambda path: ns.segment_everything_volume(path, World()), "volume"),
        (lambda path: volume(masks={1: {6: path}}), r"masks\[1\]\[6\]"),
        (lambda path: ns.segment_everything(PLANE, World(), region=path), "region"),
        (lambda path: ns.training_images(path, BALL.astype(int)), "image"),
        (lambda path: ns.training_images(STACK, path), "labels"),
        (lambda path: ns.Prompt(mask=path), "mask"),
    ],
)
def test_a_path_is_to_be_read_first(run: Any, name: str, path: Any) -> None:
    with pytest.raises(TypeError, match=f"{name} is the path 'cells.tif': read it fir"):
        run(path)


@pytest.mark.parametrize("object_id", [2**31, 10**20, 0, -1])
def test_object_ids_are_those_of_the_labels(object_id: int) -> None:
    world = World()
    with pytest.raises(ValueError, match="is not a label: use a number from 1 to 2147"):
        volume(prompts={object_id: {6: BOX}}, model=world)
    with pytest.raises(ValueError, match="is not a label"):
        volume(masks={object_id: {6: BALL[6]}}, model=world)
    assert not world.embedded
    assert volume(prompts={2**31 - 1: {6: BOX}}).max() == 2**31 - 1


WRONG = [
    5,
    2.5,
    float("nan"),
    "abc",
    b"x",
    [[1, 2], [3]],
    {"a": 1},
    object(),
    1j,
    np.zeros((2, 3, 4, 5)),
    np.array(["a", "b"]),
    [None, None],
    lambda: 0,
    ns.Prompt,
]


@pytest.fixture(scope="module")
def small() -> Predictor:
    return load_small()


def functions(small: Predictor) -> dict[str, tuple[Callable[..., Any], list[str]]]:
    """{name: (function with good arguments, arguments to make wrong)}."""
    few = ns.SearchOptions(points_per_side=1)
    embedding = small.embed(PLANE)

    def with_defaults(function: Any, **defaults: Any) -> Callable[..., Any]:
        return lambda **wrong: function(**{**defaults, **wrong})

    everything = with_defaults(
        ns.segment_everything, plane=PLANE, model=small, options=few
    )
    stack = with_defaults(
        ns.segment_everything_volume, volume=STACK[5:7], model=small, options=few
    )
    search = ["thresholds", "options", "contrast_limits", "zoom", "object_diameter"]
    return {
        "segment": (
            with_defaults(ns.segment, plane=PLANE, boxes=BOX.box, model=World()),
            ["plane", "points", "labels", "boxes", "model", "contrast_limits", "zoom"],
        ),
        "segment_everything": (everything, ["plane", "model", "region", *search]),
        "segment_volume": (
            with_defaults(
                ns.segment_volume, volume=STACK, prompts={6: BOX}, model=World()
            ),
            [
                *("volume", "prompts", "model", "axis", "fixed", "masks", "spacing"),
                *("previous", "contrast_limits", "options", "cache", "zoom"),
            ],
        ),
        "segment_everything_volume": (
            stack,
            ["volume", "model", "axis", "linking", *search],
        ),
        "load_model": (
            with_defaults(ns.load_model, model=FILE, family="sam", device="cpu"),
            ["model", "device", "config", "family", "progress"],
        ),
        "embed": (
            with_defaults(small.embed, plane=PLANE),
            ["plane", "contrast_limits", "plane_shape", "window", "zoom"],
        ),
        "predict": (
            with_defaults(small.predict, embedding=embedding, prompt=BOX),
            ["embedding", "prompt", "multimask_output"],
        ),
        "predict_batch": (
            with_defaults(small.predict_batch, embedding=embedding, prompts=[BOX]),
            ["embedding", "prompts"],
        ),
        "link_labels": (
            with_defaults(ns.link_labels, labels=BALL.astype(int)),
            ["labels", "linking"],
        ),
        "EmbeddingCache": (ns.EmbeddingCache, ["max_bytes"]),
    }


@pytest.mark.parametrize("value", [5, None, [1], {"a": 1}, object(), np.zeros(2)])
def test_files_and_training_name_what_they_need(value: Any, small: Predictor) -> None:
    images = ns.training_images(STACK, BALL.astype(int))
    for run, name in (
        (lambda: ns.read_record(value), "path is"),
        (lambda: ns.write_record(value, {}), "path is"),
        (lambda: ns.read_training_images(value, value), "images is"),
        (lambda: ns.FineTuning(value, images), "predictor is"),
        (lambda: ns.FineTuning(small, value), r"images(\[0\])? is"),
        (lambda: ns.link_planes(value), r"planes(\[0\])? is"),
    ):
        with pytest.raises(TypeError, match=f"^{name} .*: give "):
            run()
    if value is not None:
        with pytest.raises(TypeError, match=r"options is .*: give TrainingOptions"):
            ns.FineTuning(small, images, value)


NAMES = [
    *("segment", "segment_everything", "segment_volume", "segment_everything_volume"),
    *("load_model", "embed", "predict", "predict_batch", "link_labels"),
    "EmbeddingCache",
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_wrong_arguments_give_one_sentence_of_ours(name: str, small: Predictor) -> None:
    function, arguments = functions(small)[name]
    for argument in arguments:
        for value in WRONG:
            try:
                function(**{argument: value})
            except (ValueError, TypeError, OSError) as error:
                sentence = str(error)
                raised = traceback.extract_tb(error.__traceback__)[-1]
                assert "napari_sam" in raised.filename, (argument, value, sentence)
                assert "\n" not in sentence
                assert sentence.endswith(".")
                assert len(sentence) < 400


def test_masked_pixels_are_refused() -> None:
    hidden = np.ma.masked_array(PLANE, PLANE > 100)
    with pytest.raises(ValueError, match=r"plane has masked values.*filled\(value\)"):
        ns.segment(hidden, boxes=BOX.box, model=World())
    shown = np.ma.masked_array(PLANE)
    assert_array_equal(ns.segment(shown, boxes=BOX.box, model=World()), BALL[6])
