"""Records on the command line: `--record` and `napari-sam replay`."""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.images.reading.read import read_image
from napari_sam.plugin.session import SamSession
from tests.helpers.command_line import PIXEL_SIZES, read_labels, run
from tests.helpers.scenes import BALL, SMALL, lit
from tests.helpers.sessions import corners

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.models import World

pytestmark = pytest.mark.usefixtures("world")

BALL_BOX, SMALL_BOX = "5,6,25,30", "29,31,37,41"
BOTH = ("--box", f"6:{BALL_BOX}", "--box", f"8:{SMALL_BOX}")


@pytest.fixture
def record(stack: Path) -> Path:
    """Record of both balls of the stack; the labels are in stack_labels.tif."""
    path = stack.with_name("balls.json")
    assert run("volume", stack, *BOTH, "--record", path) == 0
    return path


def changed(path: Path, change: Any) -> Path:
    """Write a changed copy of a record."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    other = path.with_name("changed.json")
    other.write_text(json.dumps(content), encoding="utf-8")
    return other


def entry(content: Any, label: str = "1") -> Any:
    return content["objects"][label][0]


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("segment", ("--index", "Z=7", "--box", BALL_BOX, "--box", SMALL_BOX)),
        ("segment", ("--index", "Z=7", "--point", "15,18", "--contrast", "0,300")),
        ("segment", ("--index", "Z=7", "--box", BALL_BOX, "--window", "100,150")),
        ("volume", BOTH),
        ("volume", (*BOTH, "--full-range")),
        ("volume", ("--axis", "1", "--box", "14:3,8,9,28")),
        ("volume", ("--axis", "-1", "--point", "18:6,15")),
    ],
)
def test_replay_writes_the_same_file(
    stack: Path, capsys: Any, verb: str, arguments: tuple[str, ...]
) -> None:
    record = stack.with_name("made.json")
    assert run(verb, stack, *arguments, "--record", record) == 0
    made = stack.with_name("stack_labels.tif")
    assert f"wrote {record}" in capsys.readouterr().out
    assert run("replay", record) == 0
    again = stack.with_name("made_labels.tif")
    assert read_labels(made).any()
    printed = capsys.readouterr().out.splitlines()
    assert (
        printed[0] == f"object 1: {(read_labels(made) == 1).sum()} pixels, as recorded"
    )
    assert printed[-1] == f"wrote {again}"
    assert_array_equal(read_labels(again), read_labels(made))
    assert read_labels(again).dtype == read_labels(made).dtype
    first, second = read_image(made), read_image(again)
    assert (first.axes, first.spacing, first.unit) == (
        second.axes,
        second.spacing,
        second.unit,
    )


def test_record_has_the_selected_index(tmp_path: Path) -> None:
    series = np.stack([lit(SMALL), lit(BALL)])[..., None].repeat(3, axis=-1)
    path, record = tmp_path / "series.ome.tif", tmp_path / "record.json"
    metadata = {"axes": "TZYXS"}
    tifffile.imwrite(path, series, ome=True, photometric="rgb", metadata=metadata)
    arguments = ("--index", "T=1", "--box", f"6:{BALL_BOX}", "--record", record)
    assert run("volume", path, *arguments) == 0
    assert run("replay", record) == 0
    assert_array_equal(read_labels(tmp_path / "record_labels.tif"), BALL)
    # A given image or index replaces the recorded one.
    out = tmp_path / "other.tif"
    assert run("replay", record, "--index", "T=0", "-o", out) == 0
    assert_array_equal(read_labels(out), SMALL & False)
    assert run("replay", record, "--image", path, "--index", "T=1", "-o", out) == 1
    arguments = ("--image", path, "--index", "T=1", "-o", out, "--overwrite")
    assert run("replay", record, *arguments) == 0
    assert_array_equal(read_labels(out), BALL)


def test_record_describes_each_object(record: Path, stack: Path) -> None:
    content = ns.read_record(record)
    assert set(content["objects"]) == {"1", "2"}
    first = entry(content)
    assert first["version"] == ns.__version__
    assert first["image"] == {"name": "stack.tif", "path": str(stack), "index": {}}
    assert first["model"]["key"] == "world"
    assert first["intensity"]["limits"] == [0, 255]
    assert first["prompts"] == {"6": {"box": [5, 6, 25, 30]}}
    assert first["slices"] == [2, 10]
    assert [score["index"] for score in first["scores"]] == list(range(2, 11))


def test_replay_with_an_empty_object(stack: Path) -> None:
    record = stack.with_name("made.json")
    arguments = ("--index", "Z=7", "--box", "0,0,2,2", "--box", BALL_BOX)
    assert run("segment", stack, *arguments, "--record", record) == 0
    assert run("replay", record) == 0
    assert_array_equal(read_labels(stack.with_name("made_labels.tif")), 2 * BALL[7])


def test_prompt_files_may_have_masks(stack: Path) -> None:
    from napari_sam.prompts.serialization import prompt_to_json

    prompts = stack.with_name("prompts.json")
    whole = prompt_to_json(ns.Prompt(box=(5, 6, 25, 30), mask=BALL[7]))
    prompts.write_text(json.dumps([whole]), encoding="utf-8")
    record = stack.with_name("made.json")
    arguments = ("--index", "Z=7", "--prompts", prompts, "--record", record)
    assert run("segment", stack, *arguments) == 0
    assert entry(ns.read_record(record))["prompts"] == {"": whole}
    assert run("replay", record) == 0
    assert_array_equal(read_labels(stack.with_name("made_labels.tif")), BALL[7])


def propagated_session(
    viewer: ViewerModel, world: World, *index: int, labels: Any = None
) -> SamSession:
    """Propagate and commit the ball in the displayed stack."""
    session = SamSession(viewer, world)
    session.image_layer, session.labels_layer = viewer.layers[0], labels
    for axis, plane_index in enumerate(index):
        viewer.dims.set_current_step(axis, plane_index)
    _, shapes = session.new_prompt_layers()
    shapes.add_rectangles(corners((5, 6, 25, 30), *index))
    session.propagate()
    session.commit()
    return session


@pytest.mark.parametrize("whole_metadata", [False, True])
def test_records_of_the_viewer_replay(
    stack: Path, world: World, whole_metadata: bool
) -> None:
    viewer = ViewerModel()
    viewer.add_image(read_image(stack).data, scale=(2, 0.5, 0.5))
    session = propagated_session(viewer, world, 6)
    path = stack.with_name("session.json")
    if whole_metadata:
        metadata = {**session.labels_layer.metadata, "by": "someone"}
        path.write_text(json.dumps(metadata), encoding="utf-8")
    else:
        ns.write_record(path, session.record())
    assert run("replay", path, "--image", stack) == 0
    again = read_image(stack.with_name("session_labels.tif"))
    assert_array_equal(again.data, session.labels_layer.data)
    assert_array_equal(again.data, BALL)
    assert (again.axes, again.spacing) == ("ZYX", {"Z": 2.0, "Y": 0.5, "X": 0.5})


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("TZYX", (1, *BALL.shape)), ("ZCYX", (len(BALL), 1, *BALL.shape[1:]))],
)
def test_axes_of_length_one_do_not_matter(
    tmp_path: Path, world: World, axes: str, shape: tuple[int, ...]
) -> None:
    data = lit(BALL).reshape(shape)
    path = tmp_path / "image.ome.tif"
    tifffile.imwrite(path, data, ome=True, metadata={"axes": axes, **PIXEL_SIZES})
    viewer = ViewerModel()
    viewer.add_image(data)
    index = [0, 0]
    index[axes.index("Z")] = 6
    record = tmp_path / "session.json"
    session = propagated_session(viewer, world, *index)
    ns.write_record(record, session.record())
    assert run("replay", record, "--image", path) == 0
    again = read_image(tmp_path / "session_labels.tif")
    assert session.labels_layer.data.shape == shape
    assert_array_equal(again.data, BALL)
    assert (again.axes, again.spacing) == ("ZYX", {"Z": 2.0, "Y": 0.5, "X": 0.5})


def test_a_channel_that_was_a_separate_layer(tmp_path: Path, world: World) -> None:
    data = np.stack([lit(SMALL), lit(BALL)])
    path, record = tmp_path / "image.ome.tif", tmp_path / "session.json"
    tifffile.imwrite(path, data, ome=True, metadata={"axes": "CZYX", **PIXEL_SIZES})
    viewer = ViewerModel()
    viewer.add_image(data, channel_axis=0)
    viewer.layers.move(1, 0)
    session = propagated_session(viewer, world, 6)
    ns.write_record(record, session.record())
    assert run("replay", record, "--image", path) == 1
    assert run("replay", record, "--image", path, "--index", "C=1") == 0
    again = read_image(tmp_path / "session_labels.tif")
    assert (again.axes, again.spacing) == ("ZYX", {"Z": 2.0, "Y": 0.5, "X": 0.5})
    assert_array_equal(again.data, BALL)


def test_labels_with_another_grid_have_no_pixel_size(stack: Path, world: World) -> None:
    viewer = ViewerModel()
    viewer.add_image(read_image(stack).data)
    coarse = np.zeros(tuple(size // 2 for size in BALL.shape), np.uint8)
    coarse = viewer.add_labels(coarse, scale=(2, 2, 2), translate=(0.5, 0.5, 0.5))
    session = propagated_session(viewer, world, 7, labels=coarse)
    path = ns.write_record(stack.with_name("coarse.json"), session.record())
    assert run("replay", path, "--image", stack) == 0
    again = read_image(stack.with_name("coarse_labels.tif"))
    assert_array_equal(again.data, coarse.data)
    assert (again.axes, again.spacing) == ("ZYX", {})


def test_replay_reports_labels_that_differ(
    record: Path, stack: Path, capsys: Any
) -> None:
    other = stack.with_name("other.tif")
    tifffile.imwrite(other, lit(BALL), photometric="minisblack")
    assert run("replay", record, "--image", other) == 0
    printed = capsys.readouterr().out
    assert f"object 1: {BALL.sum()} pixels, as recorded" in printed
    assert "object 2: 0 pixels, other than recorded" in printed


def test_replay_does_not_overwrite_files(
    record: Path, stack: Path, capsys: Any
) -> None:
    before = {path: path.read_bytes() for path in stack.parent.iterdir()}
    made = stack.with_name("stack_labels.tif")
    assert run("replay", record, "-o", made) == 1
    assert f"{made} exists: name another file" in capsys.readouterr().err
    assert run("replay", record, "-o", stack, "--overwrite") == 1
    assert "is the image itself" in capsys.readouterr().err
    assert run("replay", record, "-o", record, "--overwrite") == 1
    assert "is the record itself" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in stack.parent.iterdir()} == before
    assert run("replay", record, "-o", made, "--overwrite") == 0
    assert_array_equal(read_labels(made), BALL + 2 * SMALL)


def without_path(content: Any) -> None:
    for label in "12":
        entry(content, label)["image"]["path"] = None


def elsewhere(content: Any) -> None:
    for label in "12":
        entry(content, label)["image"]["path"] = "gone/away.tif"


def second_image(content: Any) -> None:
    entry(content, "2")["image"]["path"] = "b.tif"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format=99), "has format 99, .* newer napari-sam"),
        (lambda c: c.clear(), "is not a record"),
        (lambda c: c["objects"].clear(), "has no objects"),
        (without_path, "names no image file: give it with --image"),
        (elsewhere, r"gone/away\.tif of .* does not exist: give it with --image"),
        (second_image, r"several images \(.*b\.tif.*\): give one with --image"),
        (lambda c: entry(c).update(levels=3), "image pyramid .* in a script"),
        (
            lambda c: entry(c).update(shape=[14, 40, 45]),
            "shape .*: give the same image",
        ),
        (lambda c: entry(c).update(rgb=True), "give the same image with --image"),
        (lambda c: entry(c)["model"].update(key="sam:x"), "give the same weights"),
        (lambda c: entry(c).pop("image"), r"damaged \(KeyError\('image'\)\)"),
        (lambda c: entry(c).pop("prompts"), "lacks prompts: it is damaged"),
        (
            lambda c: entry(c).update(grid=7),
            "damaged .*: (save the record again|restore the file)",
        ),
        (lambda c: c["objects"].update({"1": 7}), "damaged at object '1'"),
        (lambda c: entry(c).update(prompts={"6": {"bax": 1}}), "is not a prompt"),
    ],
)
def test_errors_in_records(
    record: Path, capsys: Any, change: Any, message: str
) -> None:
    path = changed(record, change)
    before = {p: p.read_bytes() for p in record.parent.iterdir()}
    capsys.readouterr()
    assert run("replay", path) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("napari-sam: ")
    assert captured.err.count("\n") == 1
    assert re.search(message, captured.err), captured.err
    assert not captured.out
    assert {p: p.read_bytes() for p in record.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.json",), r"none\.json"),
        (("STACK",), "is not JSON"),
        (("RECORD", "--image", "none.tif"), r"There is no file none\.tif"),
        (("RECORD", "--image", "RECORD"), "cannot be read as TIFF"),
        (
            ("RECORD", "--index", "Z=3"),
            "give the same image .* --index",
        ),
        (("RECORD", "--index", "C=3"), "no axis C"),
        (("RECORD", "-o", "labels.json"), "labels are TIFF"),
    ],
)
def test_errors_of_replay(
    record: Path, stack: Path, capsys: Any, arguments: tuple[str, ...], message: str
) -> None:
    before = sorted(stack.parent.iterdir())
    capsys.readouterr()
    words = {"RECORD": record, "STACK": stack}
    assert run("replay", *(words.get(word, word) for word in arguments)) == 1
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert error.count("\n") == 1
    assert sorted(stack.parent.iterdir()) == before


def test_a_record_replays_in_a_script(record: Path, stack: Path, world: World) -> None:
    content = ns.read_record(record)
    kept = copy.deepcopy(content)
    labels = ns.replay(content, tifffile.imread(stack), world)
    assert_array_equal(labels, BALL + 2 * SMALL)
    assert content == kept
