"""Batches: everything and prompts, failures, going on, interruption."""

from __future__ import annotations

import shutil
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam.api.planes import segment_everything
from napari_sam.prompts.prompt import Prompt
from napari_sam.records.replay import replay
from napari_sam.series.opening import open_series
from tests.helpers.discs import PLANE, DiscPredictor, discs, same_objects
from tests.helpers.models import World
from tests.helpers.scenes import BALL, SMALL, box_on, lit
from tests.helpers.series import open_images, save, write_images

if TYPE_CHECKING:
    from pathlib import Path

BOXES = [Prompt(box=(9, 11, 31, 33)), Prompt(box=(51, 21, 69, 39))]


@pytest.fixture
def model() -> DiscPredictor:
    return DiscPredictor("box")


def boxes_csv(path: Path, *boxes: Prompt) -> Path:
    """Write boxes as napari saves a Shapes layer."""
    rows = ["index,shape-type,vertex-index,axis-0,axis-1"]
    for index, prompt in enumerate(boxes):
        assert prompt.box is not None
        r0, c0, r1, c1 = prompt.box
        corners = [(r0, c0), (r0, c1), (r1, c1), (r1, c0)]
        rows += [
            f"{index},rectangle,{vertex},{row},{col}"
            for vertex, (row, col) in enumerate(corners)
        ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n")
    return path


def test_everything_gives_the_labels_of_the_function(
    tmp_path: Path, model: DiscPredictor
) -> None:
    series = open_images(tmp_path, "a.tif", "x/b.tif")
    assert series.segment(model) == {}
    expected = segment_everything(PLANE, model)
    for item in open_series(tmp_path / "out"):
        assert np.array_equal(item.read_labels(), expected)
        assert (item.status, item.state.objects) == ("needs review", expected.max())
        record = item.read_record()
        assert record is not None
        assert np.array_equal(replay(record, PLANE, model), expected)


def test_failed_images_are_listed_and_the_others_written(
    tmp_path: Path, model: DiscPredictor
) -> None:
    images = write_images(tmp_path / "images", "a.tif", "z.tif")
    (images / "broken.tif").write_bytes(b"II*\0no image")
    (images / "empty.tif").touch()
    with pytest.warns(UserWarning, match="zero-size"):
        tifffile.imwrite(images / "flat.tif", np.zeros((0, 5), np.uint8))
    movie = np.zeros((2, 3, 4, 5), np.uint8)
    tifffile.imwrite(
        images / "movie.tif",
        movie,
        photometric="minisblack",
        metadata={"axes": "TZYX"},
    )
    (images / "text.jpg").write_text("no picture")
    for _ in range(2):  # the second run tries them again
        series = open_series(images, tmp_path / "out")
        failed = series.segment(model)
        wanted = {"broken.tif", "empty.tif", "flat.tif", "movie.tif", "text.jpg"}
        assert set(failed) == set(series.problems) == wanted
        assert all(failed.values())
        assert series.counts["needs review"] == 2
    shutil.copy(images / "a.tif", images / "broken.tif")
    series = open_series(images, tmp_path / "out")
    assert "broken.tif" not in series.segment(model)
    assert "broken.tif" not in open_series(tmp_path / "out").problems


@settings(max_examples=25)
@given(
    start=st.sampled_from([b"", b"II*\0", b"MM\0*", b"II+\0", b"\x89PNG\r\n\x1a\n"]),
    rest=st.binary(max_size=40),
    ending=st.sampled_from([".tif", ".png", ".jpg", ".gif"]),
)
def test_any_content_of_a_file_is_a_failure_with_a_reason(
    tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: bytes, ending: str
) -> None:
    folder = tmp_path_factory.mktemp("any")
    images = write_images(folder / "images", "good.tif")
    (images / f"bad{ending}").write_bytes(start + rest)
    series = open_series(images, folder / "out")
    failed = series.segment(World(), {"good": BOXES, "bad": BOXES})
    assert set(failed) == {f"bad{ending}"}
    assert len(failed[f"bad{ending}"]) > 10
    shutil.rmtree(folder)


class FailingPredictor(DiscPredictor):
    """Raises an error on its second plane."""

    def __init__(self, error: BaseException) -> None:
        super().__init__("box")
        self.error = error

    def embed(self, *args: Any, **options: Any) -> Any:
        if len(self.embedded) == 1:
            self.embedded.append(PLANE)
            raise self.error
        return super().embed(*args, **options)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("CUDA out of memory"), struct.error("4 bytes")],
)
def test_a_failure_of_the_model_stops_one_image_only(
    tmp_path: Path, error: Exception
) -> None:
    series = open_images(tmp_path, "a.tif", "b.tif", "c.tif")
    failed = series.segment(FailingPredictor(error))
    assert list(failed) == ["b.tif"]
    assert series.counts["needs review"] == 2


def test_an_interruption_keeps_what_is_done_and_the_next_run_goes_on(
    tmp_path: Path, model: DiscPredictor
) -> None:
    series = open_images(tmp_path, "a.tif", "b.tif", "c.tif")
    with pytest.raises(KeyboardInterrupt):
        series.segment(FailingPredictor(KeyboardInterrupt()))
    series = open_series(tmp_path / "out")
    assert [item.status for item in series] == ["needs review", "new", "new"]
    assert not list((tmp_path / "out").glob("*.lock"))
    written = series["a.tif"].labels_path.stat()
    assert series.segment(model) == {}
    assert series.counts["needs review"] == 3
    assert series["a.tif"].labels_path.stat() == written


def test_iteration_tells_the_progress_and_stops_when_it_is_left(
    tmp_path: Path, model: DiscPredictor
) -> None:
    series = open_images(tmp_path, "a.tif", "b.tif", "c.tif")
    steps = series.iter_segment(model)
    for step in steps:
        if step.is_finished:
            break
        assert (step.item.name, step.done, step.total) == ("a.tif", 0, 3)
        assert step.what
    steps.close()
    assert (step.done, step.objects, step.problem) == (1, 4, "")
    assert step.seconds > 0
    assert [item.status for item in series] == ["needs review", "new", "new"]
    stops = iter([False, True])
    assert series.segment(model, stopped=lambda: next(stops)) == {}
    assert series.counts["new"] == 1


def test_work_of_users_is_never_replaced(tmp_path: Path, model: DiscPredictor) -> None:
    names = {f"{s}.tif": s for s in ("started", "done", "skipped", "needs review")}
    series = open_images(tmp_path, *names)
    for name, status in names.items():
        save(series, name, discs(), status=status)
    before = {item.name: item.labels_path.stat() for item in series}
    assert series.segment(model) == {}
    assert {item.name: item.labels_path.stat() for item in series} == before
    assert series.segment(model, again=True) == {}
    replaced = [i.name for i in series if i.labels_path.stat() != before[i.name]]
    assert replaced == ["needs review.tif"]


def test_locked_and_changed_images_are_listed(
    tmp_path: Path, model: DiscPredictor
) -> None:
    series = open_images(tmp_path, "a.tif", "b.tif", "c.tif")
    save(series, "b.tif", discs(), status="done")
    tifffile.imwrite(tmp_path / "images" / "b.tif", 255 - PLANE)
    labels = series["b.tif"].labels_path.read_bytes()
    with series.edit("a.tif"):
        failed = open_series(tmp_path / "out").segment(model)
    assert set(failed) == {"a.tif", "b.tif"}
    assert "opened by" in failed["a.tif"]
    assert "changed" in failed["b.tif"]
    assert series["b.tif"].labels_path.read_bytes() == labels
    series = open_series(tmp_path / "out")
    assert series["b.tif"].status == "done"
    assert series.segment(model).keys() == {"b.tif"}


def test_prompts_of_files_with_the_same_stem(tmp_path: Path) -> None:
    series = open_images(tmp_path, "a.tif", "x/a.tif", "x/c.tif", "none.tif")
    prompts = tmp_path / "prompts"
    boxes_csv(prompts / "a.csv", *BOXES)
    boxes_csv(prompts / "x" / "a.tif.csv", BOXES[1])
    boxes_csv(prompts / "c.csv", BOXES[0])
    failed = series.segment(World(), prompts)
    assert set(failed) == {"none.tif"}
    assert "none.csv" in failed["none.tif"]
    counts = [series[name].state.objects for name in ("a.tif", "x/a.tif", "x/c.tif")]
    assert counts == [2, 1, 1]
    first = np.where(discs() == 1, 1, np.where(discs() == 3, 2, 0))
    same_objects(series["a.tif"].read_labels(), first)


def test_prompts_by_name(tmp_path: Path) -> None:
    series = open_images(tmp_path, "a.tif", "b.tif", "x/b.tif")
    prompts = {
        "a": BOXES,
        "b.tif": boxes_csv(tmp_path / "p.csv", BOXES[0]),
        "x/b.tif": {4: {0: BOXES[1]}},
    }
    assert series.segment(World(), prompts) == {}
    assert [item.state.objects for item in series] == [2, 1, 1]
    with pytest.raises(ValueError, match=r"nothing\.tif"):
        series.segment(World(), {"nothing.tif": BOXES})
    with pytest.raises(ValueError, match="full names"):
        series.segment(World(), {"b": BOXES})
    with pytest.raises(FileNotFoundError, match="nowhere"):
        series.segment(World(), tmp_path / "nowhere")


@pytest.mark.parametrize("prompts", [3, [], "there is no such file", [3], {3: BOXES}])
def test_prompts_that_are_none_fail_one_image(tmp_path: Path, prompts: Any) -> None:
    series = open_images(tmp_path, "a.tif", "b.tif")
    failed = series.segment(World(), {"a.tif": prompts, "b.tif": BOXES})
    assert set(failed) == {"a.tif"}


def test_stacks_with_prompts_and_without(tmp_path: Path) -> None:
    stack = lit(BALL | SMALL)
    images = tmp_path / "images"
    images.mkdir()
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(images / name, stack, metadata={"axes": "ZYX"})
    tifffile.imwrite(images / "plane.tif", stack[7])
    series = open_series(images, tmp_path / "out")
    prompts = {
        "a": {6: box_on(BALL, 6)},
        "b": {1: {6: box_on(BALL, 6)}, 5: {8: box_on(SMALL, 8)}},
        "plane": {6: box_on(BALL, 6)},
    }
    failed = series.segment(World(), prompts, zoom="off")
    assert set(failed) == {"plane.tif"}
    assert np.array_equal(series["a.tif"].read_labels() > 0, BALL)
    assert np.array_equal(series["b.tif"].read_labels(), BALL + 5 * SMALL)
    everything = open_series(images, tmp_path / "out2")
    assert everything.segment(DiscPredictor("box")) == {}
    for item in everything:
        found = item.read_labels()
        assert found.shape == item.read().used.shape


def test_the_choice_of_the_series_is_used(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    tifffile.imwrite(
        images / "a.tif", np.stack([PLANE * 0, PLANE]), metadata={"axes": "CYX"}
    )
    series = open_series(images, tmp_path / "out", index={"C": 1})
    assert series.segment(World(), {"a": BOXES}) == {}
    assert series["a.tif"].state.objects == 2
    record = series["a.tif"].read_record()
    assert record is not None
    assert record["objects"]["1"][0]["image"]["index"] == {"C": 1}


def test_wrong_options_are_told_before_the_model_is_loaded(tmp_path: Path) -> None:
    series = open_images(tmp_path, "a.tif")
    with pytest.raises(ValueError, match="zoom"):
        series.segment("no such model", zoom="far")
    with pytest.raises(TypeError, match="colour"):
        series.segment("no such model", colour=3)


def test_two_processes_share_the_work(tmp_path: Path, model: DiscPredictor) -> None:
    series = open_images(tmp_path, "a.tif", "b.tif", "c.tif")
    steps = (step for step in series.iter_segment(model) if step.is_finished)
    next(steps)
    assert open_series(tmp_path / "out").segment(DiscPredictor("box")) == {}
    written = {item.name: item.labels_path.stat() for item in series}
    rest = list(steps)
    assert [step.problem for step in rest] == ["", ""]
    assert all("Another process" in step.notes[0] for step in rest)
    assert {item.name: item.labels_path.stat() for item in series} == written
