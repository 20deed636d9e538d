"""The command line: printed lines, written files, errors."""

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
from napari_sam.checkpoints.registry import MODELS, get_model_spec
from napari_sam.cli import main as cli
from napari_sam.cli.parsing.parser import make_parser
from napari_sam.images.reading.read import read_image
from napari_sam.prediction import loading
from tests.helpers.command_line import labels_of, read_labels, run, write_stack
from tests.helpers.models import World
from tests.helpers.scenes import BALL, SMALL, lit

pytestmark = pytest.mark.usefixtures("world")

BALL_BOX, SMALL_BOX = "5,6,25,30", "29,31,37,41"


def as_json(folder: Path, content: Any) -> Path:
    path = folder / "prompts.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_segment_boxes_on_a_plane_of_a_stack(stack: Path, capsys: Any) -> None:
    out = stack.with_name("out.tif")
    boxes = ("--box", BALL_BOX, "--box", SMALL_BOX)
    assert run("segment", stack, "--index", "Z=7", *boxes, "-o", out) == 0
    printed = capsys.readouterr().out
    assert f"object 1: {BALL[7].sum()} pixels, score 0.90" in printed
    assert f"object 2: {SMALL[7].sum()} pixels" in printed
    assert f"wrote {out}" in printed
    written = read_image(out)
    assert written.axes == "YX"
    assert_array_equal(written.data, BALL[7] + 2 * SMALL[7])
    assert written.spacing == {"Y": 0.5, "X": 0.5}


def test_segment_points_and_a_prompt_file(plane: Path) -> None:
    prompts = as_json(
        plane.parent,
        [{"box": [29, 31, 37, 41]}, {"points": [[15, 18], [33, 36]], "labels": [1, 0]}],
    )
    assert run("segment", plane, "--point", "15,18", "--prompts", prompts) == 0
    labels = labels_of(plane)
    assert labels[15, 18] in (1, 3)
    assert_array_equal(labels == 2, SMALL[7])


def test_labels_equal_those_of_a_script(stack: Path) -> None:
    volume = tifffile.imread(stack)
    prompts = {1: {6: ns.Prompt(box=(5, 6, 25, 30))}}
    expected = ns.segment_volume(volume, prompts, model=World()).labels
    assert run("volume", stack, "--box", f"6:{BALL_BOX}") == 0
    assert_array_equal(labels_of(stack), expected)


def test_volume_from_boxes(stack: Path, capsys: Any) -> None:
    boxes = ("--box", f"6:{BALL_BOX}", "--box", f"8:{SMALL_BOX}")
    assert run("volume", stack, *boxes) == 0
    printed = capsys.readouterr().out
    assert "object 1, slice 6: anchor, score 0.90" in printed
    assert "object 1, slice 11: stopped" in printed
    written = read_image(stack.with_name("stack_labels.tif"))
    assert (written.axes, written.spacing) == ("ZYX", {"Z": 2.0, "Y": 0.5, "X": 0.5})
    assert_array_equal(written.data, BALL + 2 * SMALL)


def test_volume_from_a_prompt_file_and_a_click(stack: Path) -> None:
    prompts = as_json(stack.parent, {"4": {"6": {"box": [5, 6, 25, 30]}}})
    assert run("volume", stack, "--prompts", prompts, "--point", "8:33,36") == 0
    labels = labels_of(stack)
    assert_array_equal(labels, 4 * BALL + 5 * SMALL)


def test_volume_along_another_axis(tmp_path: Path) -> None:
    path = write_stack(tmp_path, np.moveaxis(lit(BALL), 0, 2))
    assert run("volume", path, "--axis", 2, "--box", f"6:{BALL_BOX}") == 0
    assert_array_equal(np.moveaxis(labels_of(path), 2, 0), BALL)


def test_volume_of_one_time_point_in_colour(tmp_path: Path) -> None:
    series = np.stack([lit(SMALL), lit(BALL)])[..., None].repeat(3, axis=-1)
    path = tmp_path / "series.ome.tif"
    metadata = {"axes": "TZYXS"}
    tifffile.imwrite(path, series, ome=True, photometric="rgb", metadata=metadata)
    assert run("volume", path, "--index", "t=1", "--box", f"6:{BALL_BOX}") == 0
    written = read_image(tmp_path / "series_labels.tif")
    assert written.axes == "ZYX"
    assert_array_equal(written.data, BALL)


def test_contrast_sets_the_contrast_limits(plane: Path, world: World) -> None:
    arguments = ("segment", plane, "--box", BALL_BOX, "--contrast", "0,400")
    assert run(*arguments) == 0
    assert world.embedded[0].max() == round(200 / 400 * 255)


def test_window_and_full_range_set_contrast_limits(plane: Path, world: World) -> None:
    arguments = ("segment", plane, "--box", BALL_BOX, "--overwrite")
    assert run(*arguments, "--window", "300,400") == 0
    assert run(*arguments, "--full-range") == 0
    assert (world.embedded[0].min(), world.embedded[0].max()) == (
        0,
        round(100 / 400 * 255),
    )
    assert (world.embedded[1].min(), world.embedded[1].max()) == (0, 255)


def test_full_range_covers_the_whole_stack(stack: Path, world: World) -> None:
    volume = lit(BALL | SMALL)
    volume[0, 0, 0] = 255
    tifffile.imwrite(stack, volume, metadata={"axes": "ZYX"})
    assert run("volume", stack, "--box", f"6:{BALL_BOX}", "--full-range") == 0
    assert world.embedded[0].max() == round((200 - 20) / (255 - 20) * 255)


def test_contrast_options_exclude_each_other(plane: Path, capsys: Any) -> None:
    given = ("--contrast", "0,9", "--full-range")
    with pytest.raises(SystemExit) as stop:
        run("segment", plane, "--box", BALL_BOX, *given)
    assert stop.value.code == 2
    assert "--full-range: not allowed with argument --contrast" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("verb", ["segment", "volume"])
@pytest.mark.parametrize("existing", ["labels.tif", "record.json"])
def test_existing_files_are_replaced_only_with_overwrite(
    plane: Path,
    stack: Path,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
    world: World,
    verb: str,
    existing: str,
) -> None:
    image, prefix = (plane, "") if verb == "segment" else (stack, "6:")
    out, record = plane.with_name("labels.tif"), plane.with_name("record.json")
    earlier = plane.with_name(existing)
    earlier.write_bytes(b"hours of work")
    files = ("-o", out, "--record", record)
    arguments = (verb, image, "--box", f"{prefix}{BALL_BOX}", *files)
    before = sorted(plane.parent.iterdir())
    assert run(*arguments) == 1
    error = capsys.readouterr().err
    assert f"{earlier} exists: name another file with --" in error
    assert error.rstrip().endswith("or give --overwrite.")
    assert not world.embedded
    assert earlier.read_bytes() == b"hours of work"
    assert sorted(plane.parent.iterdir()) == before
    assert run(*arguments, "--overwrite") == 0
    assert read_labels(out).any()
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
def test_default_output_is_beside_image(plane: Path, name: str, labels: str) -> None:
    image = plane.rename(plane.with_name(name))
    assert run("segment", image, "--box", BALL_BOX) == 0
    assert {path.name for path in plane.parent.iterdir()} == {name, labels}


@pytest.mark.parametrize("ending", ["", ".tif", ".TIF", ".tiff"])
def test_allowed_output_suffixes(plane: Path, ending: str) -> None:
    out = plane.with_name(f"out{ending}")
    assert run("segment", plane, "--box", BALL_BOX, "-o", out) == 0
    assert read_labels(out).any()


ON_7 = ("--index", "Z=7")
SEGMENT = ("segment", "STACK", *ON_7)
BOX = ("--box", "1,2,9,9")


@pytest.mark.parametrize(
    ("arguments", "message"),
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
            "no axis .3.",
        ),
        ((*SEGMENT, *BOX, "--window", "5"), "'5' is not 2 numbers"),
        ((*SEGMENT, *BOX, "--window", "40,0"), "width above 0"),
        ((*SEGMENT, *BOX, "--window", "40,inf"), "finite centre"),
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
def test_errors(
    stack: Path, plane: Path, capsys: Any, arguments: tuple[str, ...], message: str
) -> None:
    text = stack.with_name("text.tif")
    text.write_text("{not JSON", encoding="utf-8")
    paths = {"STACK": stack, "PLANE": plane, "TEXT": text, "FOLDER": stack.parent}
    before = {path: path.read_bytes() for path in stack.parent.iterdir()}
    words = [str(paths.get(word, word)) for word in arguments]
    if "--point" in words:  # argparse takes a separate "-1:1,2" for an option
        i = words.index("--point")
        words[i : i + 2] = [f"--point={words[i + 1]}"]
    assert run(*words) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("napari-sam: ")
    assert captured.err.count("\n") == 1
    assert re.search(message, captured.err)
    assert "wrote" not in captured.out
    assert {path: path.read_bytes() for path in stack.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("verb", "content", "message"),
    [
        ("segment", {"box": [1, 2, 3, 4]}, "does not contain a list of prompts"),
        ("segment", [[1, 2, 3, 4]], "is not a prompt: give an object"),
        ("segment", [{"bax": [1, 2, 3, 4]}], "is not a prompt: give an object"),
        ("segment", [{"box": [1, 2, 3]}], r"box has shape \(3,\)"),
        ("segment", [{"box": {"a": 1}}], "is not a prompt: give numbers"),
        ("segment", [{"points": [[1, 2]], "labels": [7]}], "Point labels are 1"),
        ("segment", [{"points": [[1, 2]], "labels": [0]}], "only background points"),
        ("segment", [{}], "prompt is empty"),
        ("segment", [], "There are no prompts"),
        (
            "volume",
            [{"box": [1, 2, 3, 4]}],
            "has no slice, .* is not a dict of prompts",
        ),
        ("volume", {"1": [1]}, "object 1 has no slices"),
        ("volume", {"1": {"x": {"box": [1, 2, 9, 9]}}}, "'x' is not a slice"),
        ("volume", {"x": {"6": {"box": [1, 2, 9, 9]}}}, "'x' is not a slice or object"),
        ("volume", {"0": {"6": {"box": [1, 2, 9, 9]}}}, "Object id 0 is not a label"),
        ("volume", {"1": {"6": [1, 2, 9, 9]}}, "is not a prompt: give an object"),
        ("volume", {"1": {}}, "There are no prompts"),
    ],
)
def test_errors_in_prompt_files(
    stack: Path, plane: Path, capsys: Any, verb: str, content: Any, message: str
) -> None:
    prompts = as_json(stack.parent, content)
    before = sorted(stack.parent.iterdir())
    assert run(verb, plane if verb == "segment" else stack, "--prompts", prompts) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("napari-sam: ")
    assert re.search(message, captured.err)
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


def test_folder_that_is_not_writable(
    plane: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The mode of a folder does not stop root, so os.access is replaced.
    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK)
    before = sorted(plane.parent.iterdir())
    assert run("segment", plane, "--box", BALL_BOX) == 1
    assert "is not writable" in capsys.readouterr().err
    assert sorted(plane.parent.iterdir()) == before


def test_prompts_are_checked_before_loading_the_model(
    plane: Path, stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(loading, "load_model", refuse)
    assert run("segment", plane, "--box", "90,90,99,99") == 1
    assert run("segment", plane, "--box", BALL_BOX, "--contrast", "x") == 1
    assert run("volume", stack, "--box", f"99:{BALL_BOX}") == 1
    assert run("volume", stack, "--box", f"6:{BALL_BOX}", "--contrast", "x") == 1


def test_interruption_writes_nothing(
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


def test_download_without_source_names_the_file_to_provide(
    capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = dataclasses.replace(get_model_spec("lite_medsam"), sources=())
    monkeypatch.setattr(cli, "get_model_spec", lambda _: spec)
    assert run("download", "lite_medsam") == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("napari-sam: ")
    assert str(tmp_path / "cache" / spec.file_name) in captured.err
    assert "complete" not in captured.out


def test_download_of_a_cached_file_needs_no_source(
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


def test_demo_prints_lines(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # test_demo.py tests the demo itself.
    def short_demo(predictor: Any, folder: Path) -> Any:
        yield f"model {predictor.name}"
        yield f"writing to {folder}"

    monkeypatch.setattr("napari_sam.cli.demo.run_demo", short_demo)
    assert run("demo", "--output", tmp_path / "demo") == 0
    printed = capsys.readouterr().out
    assert printed == f"model world\nwriting to {tmp_path / 'demo'}\n"


VERBS = ["models", "download", "segment", "volume", "everything", "replay"]
VERBS += ["export", "train", "demo"]


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_an_example_that_parses(verb: str, capsys: Any) -> None:
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


def test_info_clears_leftovers_of_downloads(tmp_path: Path, capsys: Any) -> None:
    leftover = tmp_path / "cache" / ".lite_medsam.pth.x.part"
    leftover.mkdir(parents=True)
    os.utime(leftover, (0, 0))
    assert run("info") == 0
    assert f"leftover of a download that ended: {leftover}" in capsys.readouterr().out
    assert run("info", "--clear-leftovers") == 0
    printed = capsys.readouterr().out
    assert f"deleted {leftover}" in printed
    assert "napari-sam " in printed and "leftover of" not in printed
    assert not leftover.exists()
