"""`napari-sam batch`: output, exit codes, prompts, tables, going on."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from napari_sam.exchange.labels import import_labels
from napari_sam.series.opening import open_series
from tests.helpers.command_line import load_always, run, write_stack
from tests.helpers.discs import DISCS, DiscPredictor, discs, same_objects
from tests.helpers.models import World
from tests.helpers.scenes import BALL, SMALL, box_on, lit
from tests.helpers.series import write_images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def model(monkeypatch: pytest.MonkeyPatch) -> DiscPredictor:
    """The box-only model that the verb loads."""
    model = DiscPredictor("box")
    load_always(monkeypatch, model)
    return model


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images", "a.tif", "b.tif", "x/a.tif")


def test_all_images_are_written(images: Path, tmp_path: Path, capsys: Any) -> None:
    (images / "notes.txt").touch()
    assert run("batch", images, "-o", tmp_path / "out") == 0
    for item in open_series(tmp_path / "out"):
        assert item.status == "needs review"
        same_objects(item.read_labels(), discs())
    shown = capsys.readouterr()
    assert f"2 of 3: b.tif: {len(DISCS)} objects" in shown.out
    assert "3 needs review" in shown.out
    assert "notes.txt" in shown.err


def test_failures_have_an_exit_code_and_a_reason(
    images: Path, tmp_path: Path, capsys: Any
) -> None:
    (images / "b.tif").write_bytes(b"no image")
    for _ in range(2):
        assert run("batch", images, "-o", tmp_path / "out") == 3
        shown = capsys.readouterr()
        assert "b.tif: failed: " in shown.out
        assert "1 images failed" in shown.err
    assert open_series(tmp_path / "out").counts["needs review"] == 2
    write_images(images, "b.tif")
    assert run("batch", tmp_path / "out") == 0
    assert open_series(tmp_path / "out").counts["needs review"] == 3


def test_a_second_run_has_nothing_to_do_and_loads_no_model(
    images: Path, tmp_path: Path, model: DiscPredictor, capsys: Any
) -> None:
    assert run("batch", images, "-o", tmp_path / "out") == 0
    count = len(model.embedded)
    assert run("batch", images, "-o", tmp_path / "out") == 0
    assert "0 of 3 images to segment" in capsys.readouterr().out
    assert len(model.embedded) == count
    assert run("batch", images, "-o", tmp_path / "out", "--again") == 0
    assert len(model.embedded) == 2 * count


# Windows has no SIGHUP.
SIGNALS = [n for n in ("SIGTERM", "SIGHUP", "SIGINT") if hasattr(signal, n)]


@pytest.fixture
def heeded(request: pytest.FixtureRequest) -> Iterator[int]:
    """A signal, and its usual handler: in the background some are ignored."""
    number = getattr(signal, request.param)
    usual = signal.default_int_handler if request.param == "SIGINT" else signal.SIG_DFL
    before = signal.signal(number, usual)
    yield number
    signal.signal(number, before)


def interrupt_second(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Send a signal to this process while the second image is segmented."""

    class Interrupting(DiscPredictor):
        def embed(self, *args: Any, **options: Any) -> Any:
            if self.embedded:
                os.kill(os.getpid(), number)
            return super().embed(*args, **options)

    load_always(monkeypatch, Interrupting("box"))


@pytest.mark.parametrize("heeded", SIGNALS, indirect=True)
def test_an_interruption_keeps_what_is_done(
    heeded: int, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_second(monkeypatch, heeded)
    assert run("batch", images, "-o", tmp_path / "out") == 130
    statuses = [item.status for item in open_series(tmp_path / "out")]
    assert statuses == ["needs review", "new", "new"]


@pytest.mark.parametrize("heeded", {*SIGNALS} & {"SIGHUP"}, indirect=True)
def test_with_nohup_a_closed_terminal_stops_nothing(
    heeded: int, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signal.signal(heeded, signal.SIG_IGN)
    interrupt_second(monkeypatch, heeded)
    assert run("batch", images, "-o", tmp_path / "out") == 0
    assert signal.getsignal(heeded) == signal.SIG_IGN


def test_prompts_come_from_files_of_the_same_stem(
    images: Path, tmp_path: Path, capsys: Any
) -> None:
    prompts = tmp_path / "prompts"
    (prompts / "x").mkdir(parents=True)
    (prompts / "a.json").write_text('[{"box": [9, 11, 31, 33]}]')
    (prompts / "x" / "a.json").write_text(
        '[{"box": [9, 11, 31, 33]}, {"box": [51, 21, 69, 39]}]'
    )
    code = run("batch", images, "-o", tmp_path / "out", "--prompts", prompts)
    assert code == 3  # b.tif has none
    assert "b.csv" in capsys.readouterr().out
    series = open_series(tmp_path / "out")
    assert [item.state.objects for item in series] == [1, None, 2]


def test_one_table_has_all_objects(images: Path, tmp_path: Path) -> None:
    table = tmp_path / "objects.csv"
    for _ in range(2):
        assert run("batch", images, "-o", tmp_path / "out", "--table", table) == 0
        rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
        assert len(rows) == 3 * len(DISCS)
        assert {row["image"] for row in rows} == {"a.tif", "b.tif", "x/a.tif"}
        areas = [int(row["pixels"]) for row in rows if row["image"] == "x/a.tif"]
        assert sorted(areas) == sorted(np.bincount(discs().ravel())[1:])


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("-o", "out", "--zoom", "far"),
        ("-o", "out", "--prompts", "nowhere"),
        ("-o", "out", "--table", "nowhere/x.csv"),
        ("-o", "out", "--pattern", "*.png"),
        ("-o", "out", "--index", "T"),
        ("-o", "out", "--contrast", "9,5"),
    ],
)
def test_wrong_arguments_fail_before_any_work(
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: DiscPredictor,
    arguments: tuple[str, ...],
    capsys: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("batch", images, *arguments) == 1
    assert capsys.readouterr().err.startswith("napari-sam: ")
    assert not model.embedded


def test_the_help_tells_the_exit_codes(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        run("batch", "--help")
    assert "3 when some failed" in " ".join(capsys.readouterr().out.split())


def test_a_series_is_exported(images: Path, tmp_path: Path, capsys: Any) -> None:
    out, coco = tmp_path / "out", tmp_path / "coco.json"
    assert run("batch", images, "-o", out) == 0
    assert run("export-labels", out, "-o", coco) == 0
    assert "3 images" in capsys.readouterr().out
    found = import_labels(coco, discs().shape, image="b.tif").labels
    same_objects(found, discs())
    assert run("export-labels", out, "-o", coco) == 1  # it exists
    with open_series(out).edit("b.tif") as editor:
        editor.set_status("done")
    folder = tmp_path / "geojson"
    options = ("-o", folder, "--format", "geojson", "--status", "done")
    assert run("export-labels", out, *options) == 0
    assert [path.name for path in folder.iterdir()] == ["b.tif.geojson"]
    assert run("export-labels", out, *options) == 1
    (out / "b.tif.labels.tif").write_bytes(b"damaged")
    assert run("export-labels", out, *options, "--overwrite") == 1
    assert "b.tif: failed" in capsys.readouterr().out
    assert run("export-labels", out / "a.tif.labels.tif", *options) == 1


def test_names_that_a_terminal_cannot_show_stop_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("\u6f22.tif", "\udcff.tif")
    images = write_images(tmp_path / "images", *names)
    (images / "\u6f22.txt").touch()
    streams = [io.TextIOWrapper(io.BytesIO(), "ascii") for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    table = tmp_path / "t.csv"
    assert run("batch", images, "-o", tmp_path / "out", "--table", table) == 0
    assert table.read_bytes().count(b"\n") == 1 + 2 * len(DISCS)
    assert {item.name for item in open_series(tmp_path / "out")} == {*names}


def test_a_stack_is_segmented_from_its_file_of_prompts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_always(monkeypatch, World())
    images = tmp_path / "images"
    images.mkdir()
    write_stack(images, lit(BALL | SMALL))
    box = box_on(BALL, 6).box
    assert box is not None
    prompts = [{"object": 3, "slice": 6, "box": box.tolist()}]
    (images / "stack.json").write_text(json.dumps(prompts))
    options = ("--prompts", images, "--zoom", "off")
    assert run("batch", images, "-o", tmp_path / "out", *options) == 0
    (item,) = open_series(tmp_path / "out")
    assert np.array_equal(item.read_labels(), BALL * 3)
    assert item.read().used.spacing["Z"] == 2.0
