"""Replay: the same image, model and record give the same labels, bit by bit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from numpy.testing import assert_array_equal

from napari_sam.automatic.search import SearchOptions
from napari_sam.images.intensity import IntensityMapping
from napari_sam.images.planes import Channel, PlaneReader
from napari_sam.images.stack import Stack
from napari_sam.masks.label_grid import LabelGrid
from napari_sam.masks.painting import plan_changes
from napari_sam.plugin.layers.image_source import ChannelChoice
from napari_sam.plugin.session import SamSession
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.steps import run_to_end
from napari_sam.prompts.prompt import Prompt
from napari_sam.records.describe import describe
from napari_sam.records.record import (
    add_entries,
    group_by_commit,
    new_record,
    region_of,
    valid_entries,
)
from napari_sam.records.replay import replay
from napari_sam.requests.plane import PlaneRequest
from napari_sam.requests.stack import StackRequest
from napari_sam.requests.view import ImageView
from napari_sam.volume.results import PropagationOptions
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import FIRST, SECOND, corners, draw, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.images.axes import ContrastLimits
    from napari_sam.prediction.predictor import Predictor
    from tests.helpers.scenes import Scene

FULL = slice(None)


def balls(*centres: tuple[int, int, int], radius: int = 7) -> np.ndarray:
    """Make a (9, 40, 50) stack with bright balls on a dark background."""
    z, y, x = np.indices((9, 40, 50))
    inside = np.zeros(z.shape, bool)
    for plane, row, col in centres:
        away = (2 * (z - plane)) ** 2 + (y - row) ** 2 + (x - col) ** 2
        inside |= away < radius**2
    return np.where(inside, 200, 20).astype(np.uint8)


STACK = balls((4, 15, 20)) | balls((4, 28, 38), radius=5)


def session_on(image: Any, model: Any = None, **layer: Any) -> SamSession:
    viewer = ViewerModel()
    viewer.add_image(image, name="balls", contrast_limits=(0, 255), **layer)
    if viewer.dims.ndim > 2:
        viewer.dims.set_current_step(0, 4)
    session = SamSession(viewer, model or BrightPredictor())
    session.new_prompt_layers()
    return session


def accept(session: SamSession, box: Any, *index: int, stack: bool = False) -> int:
    draw(session, box, *index)
    if stack:
        session.propagate()
    else:
        session.preview()
    return session.commit()


def assert_same_again(
    session: SamSession, image: Any, model: Any = None, **other: Any
) -> None:
    for record in (session.record(), json.loads(json.dumps(session.record()))):
        again = replay(record, image, model or BrightPredictor(), **other)
        assert_array_equal(again, written(session))
        assert again.dtype == written(session).dtype
    assert written(session).any()


# -- sessions ------------------------------------------------------------------


def test_slices_and_stacks_of_several_objects() -> None:
    session = session_on(STACK)
    accept(session, FIRST)
    accept(session, SECOND, stack=True)
    session.each_prompt_an_object = True
    session.viewer.dims.set_current_step(0, 3)
    draw(session, (5, 10, 20, 30), 3)
    accept(session, (15, 15, 40, 45), 3)
    assert len(np.unique(written(session))) > 3
    assert_same_again(session, STACK)


def test_an_object_of_a_stack_without_prompts_is_refused_in_a_sentence() -> None:
    session = session_on(STACK)
    accept(session, FIRST, stack=True)
    record = json.loads(json.dumps(session.record()))
    record["objects"]["1"][0]["prompts"] = {}
    with pytest.raises(ValueError, match=r"Object 1 .* has no prompts: restore"):
        replay(record, STACK, BrightPredictor())


@pytest.mark.parametrize("policy", ["keep", "overwrite", "background"])
def test_policies(policy: Any) -> None:
    session = session_on(STACK)
    accept(session, FIRST)
    session.target.policy = policy
    accept(session, (10, 15, 40, 50))
    accept(session, (0, 0, 18, 50), stack=True)
    assert_same_again(session, STACK)


@pytest.mark.parametrize("stack", [False, True])
def test_replaced_objects(stack: bool) -> None:
    session = session_on(STACK)
    accept(session, SECOND)
    accept(session, FIRST, stack=stack)
    before = written(session).copy()
    session.previous_object()
    assert session.shapes_layer is not None
    session.shapes_layer.data = []
    accept(session, (7, 12, 15, 28), stack=stack)
    assert not np.array_equal(written(session), before)
    assert np.unique(written(session)).tolist() == [0, 1, 2]
    assert_same_again(session, STACK)


def test_a_refined_object() -> None:
    session = session_on(STACK)
    accept(session, FIRST)
    session.refine(np.int64(1))  # as np.unique gives them
    assert session.points_layer is not None
    session.set_polarity(False)
    session.points_layer.add([4, 12, 20])
    session.preview()
    session.commit()
    assert written(session)[4, 12, 20] == 0
    assert_same_again(session, STACK)


def test_objects_of_one_label() -> None:
    session = session_on(STACK)
    accept(session, FIRST)
    session.target.use_selected_label = True
    assert session.labels_layer is not None
    session.labels_layer.selected_label = 7
    session.each_prompt_an_object = True
    draw(session, FIRST)
    accept(session, SECOND)
    assert np.unique(written(session)).tolist() == [0, 1, 7]
    assert_same_again(session, STACK)


def test_undone_objects_are_not_replayed() -> None:
    session = session_on(STACK)
    accept(session, FIRST)
    accept(session, SECOND)
    assert session.labels_layer is not None
    session.labels_layer.undo()
    assert_same_again(session, STACK)
    session.labels_layer.redo()
    assert_same_again(session, STACK)
    session.labels_layer.undo()
    accept(session, SECOND, stack=True)
    assert_same_again(session, STACK)


@pytest.mark.parametrize("count", [1, 2, 4, 7])
def test_a_cancelled_propagation(count: int) -> None:
    image = STACK
    session = session_on(image)
    session.each_prompt_an_object = True
    draw(session, FIRST)
    draw(session, (13, 18, 36, 46))  # both balls, in part
    steps = session.iter_propagate()
    for _ in range(count):
        next(steps)
    steps.close()  # type: ignore[attr-defined]
    session.commit()
    assert_same_again(session, image)


def test_prompted_objects_without_a_free_pixel_are_skipped() -> None:
    session = session_on(STACK)
    accept(session, FIRST)
    session.each_prompt_an_object = True
    draw(session, FIRST)
    accept(session, SECOND)
    assert_same_again(session, STACK)


@pytest.mark.parametrize("policy", ["keep", "background"])
@pytest.mark.parametrize("through_stack", [False, True])
def test_automatic_objects_behind_earlier_ones_are_skipped(
    policy: Any, through_stack: bool
) -> None:
    session = session_on(STACK)
    session.target.policy = policy
    accept(session, FIRST, stack=through_stack)
    session.search = SearchOptions(points_per_side=8)
    session.everything_in_stack = through_stack
    result = session.segment_everything()
    session.commit()
    (*_, automatic) = group_by_commit(session.record())
    objects = {piece.object_id for piece in result.pieces}
    assert objects > {entry["object"] for entry in automatic}
    assert_same_again(session, STACK)


def test_labels_of_another_scale() -> None:
    session = session_on(STACK)
    viewer = session.viewer
    session.labels_layer = viewer.add_labels(
        np.zeros((18, 80, 100), np.uint16),
        scale=(0.5, 0.5, 0.5),
        translate=(-0.25, -0.25, -0.25),
    )
    accept(session, FIRST, stack=True)
    accept(session, SECOND)
    assert_same_again(session, STACK)


def test_labels_of_more_and_of_fewer_axes() -> None:
    session = session_on(STACK[4])
    session.labels_layer = session.viewer.add_labels(np.zeros((3, 40, 50), np.uint8))
    session.viewer.dims.set_current_step(0, 2)
    assert session.shapes_layer is not None
    for box in (FIRST, SECOND):
        session.shapes_layer.add_rectangles(corners(box))
        session.preview()
        session.commit()
    assert written(session)[2].any()
    assert_same_again(session, STACK[4])

    session = session_on(STACK)
    session.labels_layer = session.viewer.add_labels(np.zeros((40, 50), np.uint8))
    accept(session, FIRST)
    assert_same_again(session, STACK)
    with pytest.raises(ValueError, match="lack axis 0 of the image"):
        accept(session, SECOND, stack=True)


@pytest.mark.parametrize(
    "mapping",
    [
        IntensityMapping.display(),
        IntensityMapping.percentiles(2, 97),
        IntensityMapping.full(),
        IntensityMapping.window(100, 120),
    ],
)
def test_recorded_contrast_limits_are_used(mapping: IntensityMapping) -> None:
    noise = np.random.default_rng(5).normal(0, 40, STACK.shape)
    image = (STACK + noise).astype(np.float32)
    session = session_on(image)
    session.intensity = mapping
    accept(session, FIRST)
    image_layer = session.image_layer
    assert image_layer is not None
    image_layer.contrast_limits = (50, 150)
    accept(session, SECOND, stack=True)
    assert_same_again(session, image)


def test_colour_and_pyramids() -> None:
    colour = np.stack([STACK, STACK // 2, STACK // 3], axis=-1)
    session = session_on(colour, rgb=True)
    accept(session, FIRST)
    accept(session, SECOND, stack=True)
    assert_same_again(session, colour)

    levels = [np.kron(STACK, np.ones((1, k, k), np.uint8)) for k in (4, 2, 1)]
    session = session_on(levels, multiscale=True)
    accept(session, np.multiply(FIRST, 4))
    accept(session, np.multiply(SECOND, 4), stack=True)
    assert_same_again(session, levels)
    with pytest.raises(ValueError, match=r"has 1 levels, .* one 3: give all"):
        replay(session.record(), levels[0], BrightPredictor())


def test_channels_of_an_axis_and_of_other_layers() -> None:
    data = np.stack([np.full_like(STACK, 20), STACK, balls((4, 30, 12))], axis=1)
    other = balls((4, 8, 40), radius=6)[:, None].repeat(3, axis=1)
    session = session_on(data, axis_labels=("z", "c", "y", "x"))
    image = session.image_layer
    layer = session.viewer.add_image(other, contrast_limits=(0, 255))
    session.image_layer = image
    session.channels = (
        ChannelChoice(None, 1, 1),
        ChannelChoice(layer),
        ChannelChoice(None, 1, 2),
    )
    for box in (FIRST, (0, 30, 20, 49), (20, 2, 38, 22)):
        accept(session, box, 4, 0)
    accept(session, SECOND, 4, 0, stack=True)
    assert_same_again(session, data, channels=[other])
    with pytest.raises(ValueError, match="channels of other layers: give their arrays"):
        replay(session.record(), data, BrightPredictor())
    with pytest.raises(ValueError, match="A channel has shape"):
        replay(session.record(), data, BrightPredictor(), channels=[other[0]])


def test_other_views_of_the_image() -> None:
    session = session_on(STACK)
    session.viewer.dims.order = (2, 0, 1)
    session.viewer.dims.set_current_step(2, 20)
    assert session.shapes_layer is not None
    box = [(2, 9, 20), (2, 21, 20), (6, 21, 20), (6, 9, 20)]
    for stack in (False, True):
        session.shapes_layer.add_polygons(np.array(box, float))
        if stack:
            session.propagate()
        else:
            session.preview()
        session.commit()
        session.target.policy = "overwrite"
    assert_same_again(session, STACK)


# -- random models, as a script would do it ------------------------------------


class Committer:
    """Labels and their record, without a viewer."""

    def __init__(self, shape: tuple[int, ...], grid: LabelGrid | None = None) -> None:
        self.grid = grid or LabelGrid.same(shape)
        self.labels = np.zeros(self.grid.shape, np.uint16)
        self.record = new_record()

    def commit(
        self, request: Any, model: Any, policy: Any = "keep", replaced: Any = ()
    ) -> None:
        result = run_to_end(request.run(model, EmbeddingCache()))
        pieces = [p for piece in result.pieces for p in self.grid.place(piece)]
        first = int(self.labels.max()) + 1
        numbers = sorted({piece.object_id for piece in pieces})
        ids = dict(zip(numbers, [*replaced, *range(first, first + 99)], strict=False))
        changes = plan_changes(self.labels, pieces, ids, policy, replaced)
        earlier = valid_entries(self.record, self.labels, ids.values())
        self.labels[changes.indices] = changes.values
        shared = {
            "grid": self.grid.to_json(),
            "dtype": str(self.labels.dtype),
            "policy": policy,
            "replaced": list(replaced),
            "region": region_of(changes, self.labels.shape),
        }
        entries = [
            {"label": label, **describe(request, result, number), **shared}
            for number, label in ids.items()
        ]
        self.record = add_entries(self.record, entries, earlier, self.labels)


@pytest.mark.parametrize("name", ["tiny_sam", "tiny_medsam", "tiny_lite"])
def test_random_models_give_the_same_labels(
    name: str, request: pytest.FixtureRequest, rng: np.random.Generator
) -> None:
    model: Predictor = request.getfixturevalue(name)
    image = rng.normal(100, 50, (4, 70, 90)).astype(np.float32)
    committer = Committer(image.shape)
    view = ImageView(PlaneReader((image,)), IntensityMapping.percentiles(3, 96))
    blob = np.zeros((20, 30), bool)
    blob[3:16, 4:25] = True
    prompts = {
        1: Prompt(box=(10.25, 5, 40, 44.125)),
        2: Prompt(box=(30, 30, 69, 88), points=[[50, 60], [33, 31]], labels=[1, 0]),
        3: Prompt(points=[[12, 70]]),
        4: Prompt(box=(20, 30, 40, 60), mask=blob, mask_origin=(20, 30)),
    }
    committer.commit(PlaneRequest(view, (1, FULL, FULL), prompts), model)
    # Random masks end nowhere.
    options = PropagationOptions(0.1, min_confidence=0)
    box = Prompt(box=(12, 40, 60, 80))
    stack = StackRequest(
        view, Stack(view.reader), {1: {2: box}, 2: {0: box, 3: box}}, options
    )
    committer.commit(stack, model, "background")
    one = {1: Prompt(box=(5, 20, 60, 80))}
    plane_index = (2, FULL, FULL)
    committer.commit(PlaneRequest(view, plane_index, one), model, "overwrite")
    committer.commit(
        PlaneRequest(view, plane_index, {1: prompts[2]}), model, "keep", (1,)
    )
    assert len(np.unique(committer.labels)) > 2
    record = json.loads(json.dumps(committer.record, allow_nan=False))
    assert record == committer.record
    assert_array_equal(replay(record, image, model), committer.labels)


def test_contrast_limits_are_not_measured_again(
    rng: np.random.Generator, tiny_sam: Predictor
) -> None:
    image = rng.normal(100, 50, (60, 60))
    contrast_limits: ContrastLimits = (80.1, 119.7)
    view = ImageView(PlaneReader((image,)), IntensityMapping.display(), contrast_limits)
    committer = Committer(image.shape)
    prompt = {1: Prompt(box=(5, 5, 40, 50))}
    committer.commit(PlaneRequest(view, (FULL, FULL), prompt), tiny_sam)
    (entry,) = committer.record["objects"]["1"]
    assert entry["intensity"] == {
        "kind": "display",
        "low": 0.0,
        "high": 0.0,
        "limits": [80.1, 119.7],
    }
    assert_array_equal(replay(committer.record, image, tiny_sam), committer.labels)


def test_content_of_an_entry() -> None:
    source = (np.stack([STACK, STACK]),)
    chosen = [Channel(source, 0, np.int64(1)), Channel((source[0] // 2,))]
    contrast_limits = ((0.0, 255.0), (0.0, 99.0), (0.0, 1.0))
    view = ImageView(
        PlaneReader(source, False, chosen), IntensityMapping.display(), contrast_limits
    )
    stack = Stack(view.reader, 1, fixed={0: 1})
    request = StackRequest(
        view,
        stack,
        {3: {4: Prompt(box=FIRST)}},
        PropagationOptions(margin=np.float32(0.25)),
    )
    model = BrightPredictor()
    result = run_to_end(request.run(model, EmbeddingCache()))
    entry = describe(request, result, 3)
    assert json.loads(json.dumps(entry)) == entry
    assert entry["model"] == {"name": "bright", "family": "sam", "key": "bright"}
    assert entry["channels"] == [
        {"axis": 0, "index": 1, "own": True},
        {"axis": None, "index": 0, "own": False},
    ]
    assert entry["shape"] == [2, 9, 40, 50]
    assert entry["intensity"]["limits"] == [[0, 255], [0, 99], [0, 1]]
    assert (entry["plane"], entry["axis"]) == ([1, 0, None, None], 1)
    assert entry["prompts"] == {"4": {"box": [7, 12, 23, 28]}}
    assert entry["options"]["margin"] == 0.25
    assert entry["slices"] == [1, 7]
    assert [s["index"] for s in entry["scores"]] == [1, 2, 3, 4, 5, 6, 7]


# -- what does not go together -------------------------------------------------


@pytest.fixture
def record() -> Any:
    session = session_on(STACK)
    accept(session, FIRST)
    return session.record()


@pytest.mark.parametrize(
    ("again", "sentence"),
    [
        (
            lambda record: replay(record, STACK[:5], BrightPredictor()),
            r"shape \(5, 40, 50\), the recorded one \(9, 40, 50\)",
        ),
        (
            lambda record: replay(record, [STACK, STACK[:, ::2]], BrightPredictor()),
            "has 2 levels, the recorded one 1",
        ),
        (
            lambda record: replay(record, STACK, BrightPredictor("dark")),
            r"model bright \(bright\), not with dark \(dark\): give the same",
        ),
        (lambda record: replay(record, STACK), "'bright' is neither a known model"),
        (lambda record: replay({}, STACK), "is not a record"),
        (
            lambda record: replay({**record, "format": 6}, STACK),
            "format 6, .* newer napari-sam",
        ),
        (
            lambda record: replay({**record, "objects": {}}, STACK),
            "The record holds no objects",
        ),
        (lambda record: replay(without(record, "grid"), STACK), "label 1 lacks grid"),
        (lambda record: replay(without(record, "prompts"), STACK), "lacks prompts"),
    ],
)
def test_other_images_models_and_records_raise(
    again: Callable[[Any], Any], sentence: str, record: Any
) -> None:
    with pytest.raises(ValueError, match=sentence) as error:
        again(record)
    assert "\n" not in str(error.value)


def without(record: Any, key: str) -> Any:
    copy = json.loads(json.dumps(record))
    for entries in copy["objects"].values():
        for entry in entries:
            del entry[key]
    return copy


def test_labels_of_several_shapes_raise(record: Any) -> None:
    copy = json.loads(json.dumps(record))
    (entry,) = copy["objects"]["1"]
    later = {**entry, "commit": 2, "grid": LabelGrid.same((9, 40, 51)).to_json()}
    copy["objects"]["1"].append(later)
    with pytest.raises(ValueError, match="mixes labels of different shapes"):
        replay(copy, STACK, BrightPredictor())


def test_replay_does_not_change_record_and_image(record: Any) -> None:
    before, image = json.dumps(record), STACK.copy()
    replay(record, image, BrightPredictor())
    assert json.dumps(record) == before
    assert_array_equal(image, STACK)


# -- the real weights ----------------------------------------------------------


@pytest.mark.weights
def test_coins_with_the_default_model(
    default_predictor: Predictor, coins: Scene
) -> None:
    session = session_on(coins.image, default_predictor)
    session.intensity = IntensityMapping.percentiles(1, 99)
    session.each_prompt_an_object = True
    boxes = []
    for label in (3, 8, 14):
        rows, cols = np.nonzero(coins.labels == label)
        boxes.append((rows.min(), cols.min(), rows.max(), cols.max()))
    assert session.shapes_layer is not None
    for box in boxes:
        session.shapes_layer.add_rectangles(corners(box))
    session.preview()
    assert session.commit() == 3
    record = json.loads(json.dumps(session.record()))
    again = replay(record, coins.image)  # by its name
    assert_array_equal(again, written(session))
    for number, label in enumerate((3, 8, 14), start=1):
        truth, mask = coins.labels == label, again == number
        assert np.count_nonzero(truth & mask) > 0.8 * np.count_nonzero(truth | mask)
