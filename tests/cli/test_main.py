"""The command line, in process: what is printed, written and refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam import api
from napari_sam.checkpoints.registry import MODELS, get_model_spec
from napari_sam.cli import main as cli
from napari_sam.cli.parser import make_parser
from napari_sam.images.tiff import read_tiff
from napari_sam.prediction import loading
from napari_sam.records import replay as replaying
from tests.helpers.models import World
from tests.helpers.scenes import BALL, SMALL, lit

SIZES = {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
BALL_BOX, SMALL_BOX = "5,6,25,30", "29,31,37,41"


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """The model that every verb loads; the weights' cache is empty."""
    monkeypatch.setenv("NAPARI_SAM_CACHE", str(tmp_path / "cache"))
    world = World()
    for module in (api, loading, replaying):
        monkeypatch.setattr(module, "load_model", lambda *_, **__: world)
    return world


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    path = tmp_path / "stack.tif"
    metadata = {"axes": "ZYX", **SIZES}
    tifffile.imwrite(path, lit(BALL | SMALL), ome=True, metadata=metadata)
    return path


@pytest.fixture
def plane(tmp_path: Path) -> Path:
    path = tmp_path / "plane.tif"
    tifffile.imwrite(path, lit(BALL | SMALL)[7])
    return path


def as_json(folder: Path, content: Any) -> Path:
    path = folder / "prompts.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def run(*arguments: Any) -> int:
    return cli.main([str(argument) for argument in arguments])


def test_boxes_on_a_plane_of_a_stack(stack: Path, capsys: Any) -> None:
    out = stack.with_name("out.tif")
    boxes = ("--box", BALL_BOX, "--box", SMALL_BOX)
    assert run("segment", stack, "--index", "Z=7", *boxes, "-o", out) == 0
    printed = capsys.readouterr().out
    assert f"object 1: {BALL[7].sum()} pixels, score 0.90" in printed
    assert f"object 2: {SMALL[7].sum()} pixels" in printed
    assert f"wrote {out}" in printed
    written = read_tiff(out)
    assert written.axes == "YX"
    assert_array_equal(written.data, BALL[7] + 2 * SMALL[7])
    assert written.scale is not None
    assert written.scale[1:] == (0.5, 0.5)


def test_points_and_prompts_from_a_file(plane: Path) -> None:
    prompts = as_json(
        plane.parent,
        [{"box": [29, 31, 37, 41]}, {"points": [[15, 18], [33, 36]], "labels": [1, 0]}],
    )
    assert run("segment", plane, "--point", "15,18", "--prompts", prompts) == 0
    labels = read_tiff(plane.with_name("plane_labels.tif")).data
    assert labels[15, 18] in (1, 3)
    assert_array_equal(labels == 2, SMALL[7])


def test_the_command_line_gives_what_a_script_gives(stack: Path) -> None:
    volume = tifffile.imread(stack)
    prompts = {1: {6: ns.Prompt(box=(5, 6, 25, 30))}}
    expected = ns.segment_volume(volume, prompts, model=World()).labels
    assert run("volume", stack, "--box", f"6:{BALL_BOX}") == 0
    assert_array_equal(read_tiff(stack.with_name("stack_labels.tif")).data, expected)


def test_a_stack(stack: Path, capsys: Any) -> None:
    boxes = ("--box", f"6:{BALL_BOX}", "--box", f"8:{SMALL_BOX}")
    assert run("volume", stack, *boxes) == 0
    printed = capsys.readouterr().out
    assert "object 1, slice 6: anchor, score 0.90" in printed
    assert "object 1, slice 11: stopped" in printed
    written = read_tiff(stack.with_name("stack_labels.tif"))
    assert (written.axes, written.scale) == ("ZYX", (2.0, 0.5, 0.5))
    assert_array_equal(written.data, BALL + 2 * SMALL)


def test_a_stack_with_prompts_from_a_file_and_a_click(stack: Path) -> None:
    prompts = as_json(stack.parent, {"4": {"6": {"box": [5, 6, 25, 30]}}})
    assert run("volume", stack, "--prompts", prompts, "--point", "8:33,36") == 0
    labels = read_tiff(stack.with_name("stack_labels.tif")).data
    assert_array_equal(labels, 4 * BALL + 5 * SMALL)


def test_a_stack_along_another_axis(tmp_path: Path) -> None:
    path = tmp_path / "turned.tif"
    tifffile.imwrite(path, np.moveaxis(lit(BALL), 0, 2), photometric="minisblack")
    assert run("volume", path, "--axis", 2, "--box", f"6:{BALL_BOX}") == 0
    written = read_tiff(tmp_path / "turned_labels.tif")
    assert_array_equal(np.moveaxis(written.data, 2, 0), BALL)


def test_one_time_point_of_a_series_in_colour(tmp_path: Path) -> None:
    series = np.stack([lit(SMALL), lit(BALL)])[..., None].repeat(3, axis=-1)
    path = tmp_path / "series.ome.tif"
    metadata = {"axes": "TZYXS"}
    tifffile.imwrite(path, series, ome=True, photometric="rgb", metadata=metadata)
    assert run("volume", path, "--index", "t=1", "--box", f"6:{BALL_BOX}") == 0
    written = read_tiff(tmp_path / "series_labels.tif")
    assert written.axes == "ZYX"
    assert_array_equal(written.data, BALL)


def test_contrast_is_passed_on(plane: Path, world: World) -> None:
    arguments = ("segment", plane, "--box", BALL_BOX, "--contrast", "0,400")
    assert run(*arguments) == 0
    assert world.seen[0].max() == round(200 / 400 * 255)


def test_a_window_and_the_full_range_are_passed_on(plane: Path, world: World) -> None:
    arguments = ("segment", plane, "--box", BALL_BOX, "--overwrite")
    assert run(*arguments, "--window", "300,400") == 0
    assert run(*arguments, "--full-range") == 0
    assert (world.seen[0].min(), world.seen[0].max()) == (0, round(100 / 400 * 255))
    assert (world.seen[1].min(), world.seen[1].max()) == (0, 255)


def test_the_full_range_is_that_of_the_whole_stack(stack: Path, world: World) -> None:
    volume = lit(BALL | SMALL)
    volume[0, 0, 0] = 255
    tifffile.imwrite(stack, volume, metadata={"axes": "ZYX"})
    assert run("volume", stack, "--box", f"6:{BALL_BOX}", "--full-range") == 0
    assert world.seen[0].max() == round((200 - 20) / (255 - 20) * 255)


def test_one_choice_of_brightness_excludes_the_others(plane: Path, capsys: Any) -> None:
    given = ("--contrast", "0,9", "--full-range")
    with pytest.raises(SystemExit) as stop:
        run("segment", plane, "--box", BALL_BOX, *given)
    assert stop.value.code == 2
    assert "--full-range: not allowed with argument --contrast" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("verb", ["segment", "volume"])
@pytest.mark.parametrize("existing", ["labels.tif", "record.json"])
def test_what_exists_is_replaced_only_when_told_so(
    plane: Path,
    stack: Path,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
    world: World,
    verb: str,
    existing: str,
) -> None:
    image, plane_index = (plane, "") if verb == "segment" else (stack, "6:")
    out, record = plane.with_name("labels.tif"), plane.with_name("record.json")
    earlier = plane.with_name(existing)
    earlier.write_bytes(b"hours of work")
    files = ("-o", out, "--record", record)
    arguments = (verb, image, "--box", f"{plane_index}{BALL_BOX}", *files)
    before = sorted(plane.parent.iterdir())
    assert run(*arguments) == 1
    said = capsys.readouterr().err
    assert f"{earlier} exists: name another file with --" in said
    assert said.rstrip().endswith("or give --overwrite.")
    assert not world.seen
    assert earlier.read_bytes() == b"hours of work"
    assert sorted(plane.parent.iterdir()) == before
    assert run(*arguments, "--overwrite") == 0
    assert read_tiff(out).data.any()
    assert json.loads(record.read_text(encoding="utf-8"))["objects"]


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("a.tif", "a_labels.tif"),
        ("a.ome.tif", "a_labels.tif"),
        ("a.OME.TIFF", "a_labels.tif"),
        ("a.t1.tif", "a.t1_labels.tif"),
        ("day 1.5 cells.tiff", "day 1.5 cells_labels.tif"),
    ],
)
def test_labels_land_beside_the_image(plane: Path, name: str, labels: str) -> None:
    image = plane.rename(plane.with_name(name))
    assert run("segment", image, "--box", BALL_BOX) == 0
    assert {path.name for path in plane.parent.iterdir()} == {name, labels}


@pytest.mark.parametrize("ending", ["", ".tif", ".TIF", ".tiff"])
def test_names_of_outputs(plane: Path, ending: str) -> None:
    out = plane.with_name(f"out{ending}")
    assert run("segment", plane, "--box", BALL_BOX, "-o", out) == 0
    assert read_tiff(out).data.any()


ON_7 = ("--index", "Z=7")
SEGMENT = ("segment", "STACK", *ON_7)
BOX = ("--box", "1,2,9,9")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("segment", "none.tif", *BOX), r"There is no file none\.tif"),
        (("segment", "TEXT", *BOX), "cannot be read as TIFF"),
        (("segment", "STACK", *BOX), "choose one plane with --index"),
        (SEGMENT, "There are no prompts"),
        (("volume", "STACK"), "There are no prompts"),
        (("volume", "PLANE", "--box", "1:1,2,9,9"), "is one plane .* not a stack"),
        # --index
        (("segment", "STACK", "--index", "Z=14", *BOX), "indices 0 to 13, not 14"),
        (("segment", "STACK", "--index", "C=0", *BOX), "no axis C"),
        (("segment", "STACK", "--index", "7", *BOX), "'7' is not of the form T=0,C=1"),
        (("segment", "STACK", "--index", "Z=-1", *BOX), "not of the form"),
        (("segment", "STACK", "--index", "Z=", *BOX), "not of the form"),
        # numbers
        ((*SEGMENT, "--box", "1,2,3"), "'1,2,3' is not 4 numbers"),
        ((*SEGMENT, "--box", "1,2,3,x"), "is not 4 numbers"),
        ((*SEGMENT, "--point", "5"), "'5' is not 2 numbers"),
        ((*SEGMENT, "--point", "nan,5"), "point is not finite"),
        ((*SEGMENT, "--point", "99,5"), "point .* lies outside the plane"),
        ((*SEGMENT, "--box", "9,9,2,2"), "box .* is reversed"),
        ((*SEGMENT, *BOX, "--contrast", "5"), "'5' is not 2 numbers"),
        ((*SEGMENT, *BOX, "--contrast", "9,1"), "not two increasing numbers"),
        (("volume", "STACK", "--box", "1,2,9,9"), "names no slice"),
        (("volume", "STACK", "--box", "7:1,2,9"), "'1,2,9' is not 4 numbers"),
        (("volume", "STACK", "--point", "x:1,2"), "'x' is not a slice"),
        (("volume", "STACK", "--point", "-1:1,2"), "'-1' is not a slice"),
        (("volume", "STACK", "--box", "14:1,2,9,9"), "slice 14, .* slices 0 to 13"),
        (
            ("volume", "STACK", "--axis", "3", "--box", "7:1,2,9,9"),
            "there is no axis .3.",
        ),
        ((*SEGMENT, *BOX, "--window", "5"), "'5' is not 2 numbers"),
        ((*SEGMENT, *BOX, "--window", "40,0"), "width .* must be above 0"),
        ((*SEGMENT, *BOX, "--window", "40,inf"), "centre and width finite"),
        # --prompts
        ((*SEGMENT, "--prompts", "none.json"), r"none\.json"),
        ((*SEGMENT, "--prompts", "TEXT"), "is not JSON"),
        ((*SEGMENT, "--prompts", "STACK"), "is not JSON"),
        # --output
        ((*SEGMENT, *BOX, "-o", "no/such/out.tif"), "no/such does not exist: make it"),
        ((*SEGMENT, *BOX, "-o", "FOLDER"), "is a folder: name a file in it"),
        ((*SEGMENT, *BOX, "-o", "out.png"), r"labels are TIFF, name it \.tif"),
        ((*SEGMENT, *BOX, "-o", "STACK"), "is the image itself"),
        (("volume", "STACK", "--box", "7:1,2,9,9", "-o", "STACK"), "the image itself"),
        ((*SEGMENT, *BOX, "-o", "PLANE"), "exists: name another file with --output"),
        ((*SEGMENT, *BOX, "-o", "STACK", "--overwrite"), "is the image itself"),
        ((*SEGMENT, *BOX, "-o", "/dev/null", "--overwrite"), "is not a regular file"),
        # --record
        ((*SEGMENT, *BOX, "--record", "STACK"), "--record .* is the image itself"),
        ((*SEGMENT, *BOX, "--record", "PLANE"), "exists: .* with --record, or give"),
        ((*SEGMENT, *BOX, "--record", "FOLDER"), "is a folder"),
        ((*SEGMENT, *BOX, "--record", "no/such/a.json"), "no/such does not exist"),
        ((*SEGMENT, *BOX, "--record", "a.tif"), r"records are JSON, name it \.json"),
        ((*SEGMENT, *BOX, "-o", "new", "--record", "new"), "file of labels itself"),
        (("download", "no_model"), "no_model"),
    ],
)
def test_refusals(
    stack: Path, plane: Path, capsys: Any, arguments: tuple[str, ...], sentence: str
) -> None:
    text = stack.with_name("text.tif")
    text.write_text("{not JSON", encoding="utf-8")
    paths = {"STACK": stack, "PLANE": plane, "TEXT": text, "FOLDER": stack.parent}
    before = {path: path.read_bytes() for path in stack.parent.iterdir()}
    # As "--point=-1:1,2", for argparse takes "-1:1,2" alone for an option.
    given = [str(paths.get(word, word)) for word in arguments]
    if "--point" in given:
        plane_index = given.index("--point")
        given[plane_index : plane_index + 2] = [f"--point={given[plane_index + 1]}"]
    assert run(*given) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("napari-sam: ")
    assert captured.err.count("\n") == 1
    assert re.search(sentence, captured.err)
    assert "wrote" not in captured.out
    assert {path: path.read_bytes() for path in stack.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("verb", "content", "sentence"),
    [
        ("segment", {"box": [1, 2, 3, 4]}, "holds no list of prompts"),
        ("segment", [[1, 2, 3, 4]], "is no prompt: give an object"),
        ("segment", [{"bax": [1, 2, 3, 4]}], "is no prompt: give an object"),
        ("segment", [{"box": [1, 2, 3]}], r"box has shape \(3,\)"),
        ("segment", [{"box": {"a": 1}}], "is no prompt: give numbers"),
        ("segment", [{"points": [[1, 2]], "labels": [7]}], "Point labels are 1"),
        ("segment", [{"points": [[1, 2]], "labels": [0]}], "only negative points"),
        ("segment", [{}], "prompt is empty"),
        ("segment", [], "There are no prompts"),
        ("volume", [{"box": [1, 2, 3, 4]}], "holds no dict of prompts"),
        ("volume", {"1": [1]}, "object 1 has no slices"),
        ("volume", {"1": {"x": {"box": [1, 2, 9, 9]}}}, "'x' is not a slice"),
        ("volume", {"x": {"6": {"box": [1, 2, 9, 9]}}}, "'x' is not a slice or object"),
        ("volume", {"0": {"6": {"box": [1, 2, 9, 9]}}}, "Object id 0 is not a label"),
        ("volume", {"1": {"6": [1, 2, 9, 9]}}, "is no prompt: give an object"),
        ("volume", {"1": {}}, "There are no prompts"),
    ],
)
def test_prompt_files_that_say_something_else(
    stack: Path, plane: Path, capsys: Any, verb: str, content: Any, sentence: str
) -> None:
    prompts = as_json(stack.parent, content)
    before = sorted(stack.parent.iterdir())
    assert run(verb, plane if verb == "segment" else stack, "--prompts", prompts) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("napari-sam: ")
    assert re.search(sentence, captured.err)
    assert sorted(stack.parent.iterdir()) == before


@pytest.mark.parametrize("link", [False, True])
def test_inputs_are_never_overwritten(
    plane: Path, capsys: Any, link: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(plane.parent)
    other = Path("plane.tif")  # the same file by another path
    if link:
        other = Path("link.tif")
        other.hardlink_to(plane)
    before = plane.read_bytes()
    assert run("segment", plane, "--box", BALL_BOX, "-o", other) == 1
    assert "is the image itself: name another file" in capsys.readouterr().err
    prompts = as_json(plane.parent, [{"box": [1, 2, 9, 9]}])
    kept = prompts.read_bytes()
    assert run("segment", plane, "--prompts", prompts, "-o", prompts) == 1
    assert "is the file of prompts itself" in capsys.readouterr().err
    assert (plane.read_bytes(), prompts.read_bytes()) == (before, kept)


def test_folders_that_cannot_be_written_to(
    plane: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root writes anywhere, so the answer of the system is given, not the mode set.
    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK)
    before = sorted(plane.parent.iterdir())
    assert run("segment", plane, "--box", BALL_BOX) == 1
    assert "is not writable" in capsys.readouterr().err
    assert sorted(plane.parent.iterdir()) == before


def test_bad_prompts_are_refused_before_a_model_is_loaded(
    plane: Path, stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(loading, "load_model", refuse)
    assert run("segment", plane, "--box", "90,90,99,99") == 1
    assert run("segment", plane, "--box", BALL_BOX, "--contrast", "x") == 1
    assert run("volume", stack, "--box", f"99:{BALL_BOX}") == 1
    assert run("volume", stack, "--box", f"6:{BALL_BOX}", "--contrast", "x") == 1


def test_interrupting_writes_nothing(
    stack: Path, world: World, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(world, "predict_batch", interrupt)
    before = sorted(stack.parent.iterdir())
    assert run("volume", stack, "--box", f"6:{BALL_BOX}") == 130
    assert "interrupted" in capsys.readouterr().err
    assert sorted(stack.parent.iterdir()) == before


def test_models_are_listed_with_licence_and_state(
    capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("models") == 0
    listed = capsys.readouterr().out
    entries = re.split(r"\n(?=\S)", listed.strip())
    assert [re.split(r"[: ]", entry)[0] for entry in entries] == list(MODELS)
    for spec, entry in zip(MODELS.values(), entries, strict=True):
        assert spec.title in entry
        assert spec.licence in entry
    assert listed.count("(default)") == 1
    assert " not downloaded;" in listed
    assert " downloaded;" not in listed.replace("not downloaded", "")


def test_downloading_without_a_source_says_where_to_put_the_file(
    capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = dataclasses.replace(get_model_spec("lite_medsam"), sources=())
    monkeypatch.setattr(cli, "get_model_spec", lambda _: spec)
    assert run("download", "lite_medsam") == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("napari-sam: ")
    assert str(tmp_path / "cache" / spec.file_name) in captured.err
    assert "complete" not in captured.out


def test_downloading_what_is_there_uses_no_source(
    capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"weights"
    spec = dataclasses.replace(
        get_model_spec("lite_medsam"),
        sources=(),
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        xxh128=None,
    )
    monkeypatch.setattr(cli, "get_model_spec", lambda _: spec)
    path = tmp_path / "cache" / spec.file_name
    path.parent.mkdir()
    path.write_bytes(content)
    assert run("download", "lite_medsam") == 0
    printed = capsys.readouterr().out
    assert spec.licence in printed
    assert f"{path} is complete" in printed


def test_the_demo_prints_and_writes(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The demo itself has tests of its own.
    def short(predictor: Any, folder: Path) -> Any:
        yield f"model {predictor.name}"
        yield f"writing to {folder}"

    monkeypatch.setattr("napari_sam.cli.demo.run_demo", short)
    assert run("demo", "--output", tmp_path / "demo") == 0
    printed = capsys.readouterr().out
    assert printed == f"model world\nwriting to {tmp_path / 'demo'}\n"


VERBS = ["models", "download", "segment", "volume", "replay", "demo"]


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_an_example_that_parses(verb: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        run(verb, "--help")
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    example = text.partition("example: napari-sam ")[2].split()
    assert example[0] == verb
    assert make_parser().parse_args(example).verb == verb


@pytest.mark.parametrize("arguments", [(), ("everythin",), ("segment",)])
def test_usage_errors(arguments: tuple[str, ...], capsys: Any) -> None:
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
    assert "usage: napari-sam" in capsys.readouterr().err


def test_listing_models_does_not_load_torch() -> None:
    arguments = ["-X", "importtime", "-m", "napari_sam.cli", "models"]
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert [name for name in MODELS if name not in done.stdout] == []
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "napari_sam.checkpoints.registry" in loaded
    assert not loaded & {"torch", "napari", "scipy", "skimage", "qtpy"}
