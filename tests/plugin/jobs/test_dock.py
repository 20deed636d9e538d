"""The dock Job progress follows a job that others run, stops it, shows its labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from napari_sam.images.reading.read import read_image
from napari_sam.plugin.jobs.dock import JobWidget
from napari_sam.scale_out.jobs import stopping
from napari_sam.scale_out.jobs.stopping import JobStoppedError
from napari_sam.scale_out.stacks.planning import plan_everything_volume
from tests.helpers.jobs import disc_stack, stand_in
from tests.helpers.ome_zarr import write_ome_zarr

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_sam.scale_out.jobs.job import Job

PLANES, LONG = 6, 20_000

pytestmark = pytest.mark.usefixtures("nothing_from_before")


@pytest.fixture
def viewer(make_napari_viewer: Any, qtbot: Any) -> Iterator[Any]:
    viewer = make_napari_viewer()
    yield viewer
    for widget in list(viewer.window.dock_widgets.values()):
        viewer.window.remove_dock_widget(widget.native)
    qtbot.wait(1)


@pytest.fixture
def dock(viewer: Any) -> JobWidget:
    _, widget = viewer.window.add_plugin_dock_widget("napari-sam", "Job progress")
    assert isinstance(widget, JobWidget)
    return widget


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """A job of which the planes are searched."""
    model = stand_in("boxes")
    job = plan_everything_volume(disc_stack(PLANES), model=model, workdir=tmp_path)
    list(job.work(stage="search"))
    return job


def open_job(dock: JobWidget, folder: Path, qtbot: Any) -> None:
    dock.folder.line_edit.value = str(folder)
    dock.open.native.click()
    qtbot.waitUntil(lambda: dock.view is not None, timeout=LONG)


def rows(dock: JobWidget) -> list[list[str]]:
    return [
        [dock.table.item(row, column).text() for column in range(3)]
        for row in range(dock.table.rowCount())
    ]


def test_a_job_that_goes_on_elsewhere(
    dock: JobWidget, viewer: Any, job: Job, qtbot: Any
) -> None:
    open_job(dock, job.path, qtbot)
    assert dock.status.value == "Comparing planes: 0 of 6. Nobody works on it."
    assert ["Searching planes", "6 of 6", ""] in rows(dock)
    assert ["Comparing planes", "0 of 6", ""] in rows(dock)
    assert ["Numbering objects", "0 of ?", ""] in rows(dock)
    assert not dock.stop.enabled
    assert not dock.show_labels.enabled
    list(job.run())
    qtbot.waitUntil(lambda: dock.show_labels.enabled, timeout=LONG)
    assert dock.status.value == "Complete."
    dock.show_labels.native.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=LONG)
    assert_array_equal(np.asarray(viewer.layers[0].data), job.result())


@pytest.mark.parametrize("in_store", [False, True])
def test_the_labels_lie_on_their_image(
    dock: JobWidget, viewer: Any, tmp_path: Path, qtbot: Any, in_store: bool
) -> None:
    pytest.importorskip("yaozarrs")  # which writing into a store needs
    path = write_ome_zarr(tmp_path / "image.ome.zarr", disc_stack(PLANES))
    image = read_image(path)
    job = plan_everything_volume(
        path,
        path if in_store else None,
        model=stand_in("boxes"),
        workdir=tmp_path / "job",
    )
    list(job.run())
    open_job(dock, job.path, qtbot)
    qtbot.waitUntil(lambda: dock.show_labels.enabled, timeout=LONG)
    dock.show_labels.native.click()
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=LONG)
    (layer,) = viewer.layers
    scale = [image.spacing[axis] for axis in image.axes]
    assert_allclose(layer.scale, scale)
    assert len(set(scale)) > 1


def test_stopping(
    dock: JobWidget, job: Job, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "_CHECK_SECONDS", 0)
    steps = job.run()
    next(steps)
    open_job(dock, job.path, qtbot)
    assert "process" in dock.status.value
    dock.stop.native.click()
    with pytest.raises(JobStoppedError, match="run it again"):
        list(steps)
    qtbot.waitUntil(lambda: "Nobody works" in dock.status.value, timeout=LONG)
    assert not job.is_complete


def test_failures_and_folders_of_something_else(
    dock: JobWidget, job: Job, qtbot: Any, tmp_path: Path
) -> None:
    job.folder.note_failure("links", 3, ValueError("no luck"))
    open_job(dock, job.path, qtbot)
    assert "links 3 failed: no luck\n1 tasks failed" in dock.status.value
    assert ["Comparing planes", "0 of 6", "1"] in rows(dock)
    dock.open_job(tmp_path / "search")
    qtbot.waitUntil(lambda: "not the folder of a job" in dock.status.value)
