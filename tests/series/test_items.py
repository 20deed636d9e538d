"""Items of a series: statuses, labels, changes, looking through."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.images.reading.image_file import ImageFile
from napari_sam.series.opening import open_series
from napari_sam.series.storage.state import STATUSES, Fingerprint, ItemState
from tests.helpers.discs import PLANE, discs
from tests.helpers.series import open_images, save

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(
    state=st.builds(
        ItemState,
        status=st.sampled_from(STATUSES),
        note=TEXTS,
        problem=TEXTS,
        seconds=st.floats(0, 1e6),
        classes=st.dictionaries(st.integers(1, 2**31), TEXTS, max_size=3),
        objects=st.none() | st.integers(0, 99),
        fingerprint=st.none() | st.builds(Fingerprint, st.integers(), st.integers()),
    ),
    name=TEXTS,
)
def test_a_state_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, state: ItemState, name: str
) -> None:
    path = tmp_path_factory.mktemp("state") / "state.json"
    state.write(path, name)
    assert ItemState.read(path, name) == state
    shutil.rmtree(path.parent)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1]",
        '{"format": 2, "image": "a.tif"}',
        '{"format": 1, "image": "A.tif"}',
        '{"format": 1, "image": "a.tif", "status": "finished"}',
        '{"format": 1, "image": "a.tif", "classes": {"0": "x"}}',
        '{"format": 1, "image": "a.tif", "classes": []}',
        '{"format": 1, "image": "a.tif", "seconds": "NaN"}',
        '{"format": 1, "image": "a.tif", "fingerprint": {"size": 1}}',
    ],
)
def test_a_damaged_state_is_a_problem_and_kept(tmp_path: Path, content: str) -> None:
    series = open_images(tmp_path, "a.tif", "b.tif")
    path = series["a.tif"].state_path
    path.write_text(content)
    series = open_series(tmp_path / "out")
    assert set(series.problems) == {"a.tif"}
    with pytest.raises(ValueError, match=r"a\.tif\.state\.json"):
        save(series, "a.tif", discs())
    assert path.read_text() == content
    save(series, "b.tif", discs())


def test_labels_come_back_with_what_was_noted(tmp_path: Path) -> None:
    series = open_images(tmp_path, "a.tif")
    save(series, "a.tif", discs(), classes={2: "cell", 99: "none"}, seconds=4.0)
    item = open_series(tmp_path / "out")["a.tif"]
    assert np.array_equal(item.read_labels(), discs())
    assert (item.status, item.classes) == ("started", {2: "cell"})
    assert (item.objects, item.state.seconds) == (4, 4.0)
    assert not item.lock_path.exists()
    assert series.seconds_per_image == 4.0


def test_a_status_is_set_without_labels(tmp_path: Path) -> None:
    series = open_images(tmp_path, "a.tif", "b.tif")
    with series.edit("a.tif") as editor:
        editor.set_status("done", "nothing there")
    with series.edit("b.tif") as editor, pytest.raises(ValueError, match="finished"):
        editor.set_status("finished")  # type: ignore[arg-type]
    again = open_series(tmp_path / "out")
    assert again.counts == dict.fromkeys(STATUSES, 0) | {"done": 1, "new": 1}


def test_labels_of_another_shape_are_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    series = open_images(tmp_path, "a.tif")
    before = sorted((tmp_path / "out").iterdir())
    with series.edit("a.tif") as editor, pytest.raises(ValueError, match="shape"):
        editor.save(discs()[1:], ImageFile(PLANE, "YX"))
    assert sorted((tmp_path / "out").iterdir()) == before


@pytest.mark.parametrize("status", ["started", "needs review"])
def test_a_state_without_its_labels_is_new(tmp_path: Path, status: str) -> None:
    """A process that is killed between state and labels leaves this."""
    series = open_images(tmp_path, "a.tif")
    save(series, "a.tif", discs(), status=status)
    series["a.tif"].labels_path.unlink()
    assert open_series(tmp_path / "out")["a.tif"].status == "new"


def test_labels_without_a_state_are_started(tmp_path: Path) -> None:
    series = open_images(tmp_path, "a.tif")
    tifffile.imwrite(series["a.tif"].labels_path, discs().astype(np.uint16))
    assert open_series(tmp_path / "out")["a.tif"].status == "started"


def test_a_changed_image_is_a_problem_and_a_copy_is_not(tmp_path: Path) -> None:
    series = open_images(tmp_path, "a.tif", "b.tif", "c.tif")
    for item in series:
        save(series, item.name, discs())
    folder = tmp_path / "images"
    shutil.copy(folder / "a.tif", folder / "x")
    (folder / "x").replace(folder / "a.tif")
    tifffile.imwrite(folder / "b.tif", 255 - PLANE)  # of the same size
    tifffile.imwrite(folder / "c.tif", PLANE[1:])
    series = open_series(tmp_path / "out")
    assert [item.has_changed() for item in series] == [False, True, True]
    assert set(series.problems) == {"c.tif"}
    save(series, "a.tif", discs())
    for name in ("b.tif", "c.tif"):
        with pytest.raises(ValueError, match="changed"):
            save(series, name, discs())


def test_images_are_found_by_text_and_status(tmp_path: Path) -> None:
    series = open_images(tmp_path, "a.tif", "Brain.tif", "c.tif")
    with series.edit("c.tif") as editor:
        editor.set_status("skipped", "no BRAIN")
    assert [item.name for item in series.find("brain")] == ["Brain.tif", "c.tif"]
    assert [item.name for item in series.find("brain", "new")] == ["Brain.tif"]
    with pytest.raises(ValueError, match="unknown"):
        series.find(status="open")  # type: ignore[arg-type]


def test_neighbours_go_back_and_forth(tmp_path: Path) -> None:
    series = open_images(tmp_path, "a.tif", "b.tif", "c.tif")
    save(series, "b.tif", discs(), status="done")

    def name(*given: object, **options: bool) -> str | None:
        item = series.neighbour(*given, **options)  # type: ignore[arg-type]
        return item and item.name

    assert (name("a.tif"), name("b.tif", -1)) == ("b.tif", "a.tif")
    assert name("a.tif", unfinished=True) == "c.tif"
    assert name("c.tif", -1, unfinished=True) == "a.tif"
    assert name("a.tif", -1) is name("c.tif") is None
    with pytest.raises(KeyError, match="no image"):
        series["d.tif"]


def test_a_huge_image_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = open_images(tmp_path, "a.tif")
    monkeypatch.setattr("napari_sam.memory.free_memory", lambda: PLANE.size)
    with pytest.raises(ValueError, match="memory"):
        series["a.tif"].read()
