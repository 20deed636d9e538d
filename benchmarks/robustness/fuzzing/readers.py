"""All readers of files: how valid files are made, and how damaged ones are read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from tests.helpers.jobs import disc_stack, install_stand_ins, stand_in
from tests.helpers.label_planes import annulus
from tests.helpers.models import BrightPredictor
from tests.helpers.ome_zarr import write_ome_zarr

import napari_sam as ns
from benchmarks.robustness.fuzzing import models
from napari_sam.exchange.folders import FolderReader
from napari_sam.exchange.formats import ENDINGS
from napari_sam.exchange.prompts import read_prompts
from napari_sam.images.reading.read import read_image
from napari_sam.images.zarr_labels.save import save_labels
from napari_sam.prediction.disk_cache import DiskCache
from napari_sam.prompts.selection import ImageSelection
from napari_sam.records.record import prune_undone
from napari_sam.requests.from_arrays import (
    automatic_plane_request,
    plane_request,
    stack_request,
)
from napari_sam.scale_out.jobs.job import Job, JobFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PLANE = np.where(annulus() > 0, 200, 20).astype(np.uint8)
STACK = np.repeat(PLANE[None], 3, axis=0)
_STACK_LABELS = (STACK > 100).astype(np.int32)
_BRIGHT = BrightPredictor()


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    Parameters
    ----------
    build : callable
        Writes valid files into an empty folder.
    read : callable
        Reads the folder with one damaged file.
    """

    build: Callable[[Path], None]
    read: Callable[[Path], Any]


def _each(*actions: Callable[[], Any]) -> None:
    """Run actions; the first error is told after all of them."""
    failed: list[Exception] = []
    for action in actions:
        try:
            action()
        except (ValueError, OSError) as error:
            failed.append(error)
    if failed:
        raise failed[0]


# -- annotations -----------------------------------------------------------------------


def _annotations(format: Any) -> Reader:
    name = f"a{ENDINGS[format]}"

    def build(folder: Path) -> None:
        ns.export_labels(annulus(), folder / name, format)

    def read(folder: Path) -> None:
        path, selection = folder / name, ImageSelection.of_stack(annulus().shape)
        _each(
            lambda: ns.import_labels(path, annulus().shape),
            lambda: ns.import_labels(path),
            lambda: read_prompts(path, selection),
        )

    return Reader(build, read)


_TABLES = {
    "points.csv": "index,axis-0,axis-1,axis-2,polarity,object\n"
    "0,1,5,6,positive,1\n1,1,8,9,negative,1\n2,0,3,3,positive,2\n",
    "shapes.csv": "index,shape-type,vertex-index,axis-0,axis-1,axis-2\n"
    "0,rectangle,0,1,2,3\n0,rectangle,1,1,2,9\n0,rectangle,2,1,8,9\n"
    "0,rectangle,3,1,8,3\n1,ellipse,0,0,2,3\n1,ellipse,1,0,2,9\n1,ellipse,2,0,8,9\n"
    "1,ellipse,3,0,8,3\n2,polygon,0,2,2,3\n2,polygon,1,2,2,9\n2,polygon,2,2,8,9\n",
    "prompts.json": '[{"points": [[2, 3]], "labels": [1], "slice": 1, "object": 1}, '
    '{"box": [1, 2, 8, 9], "slice": 0}, {"points": [[3, 4], [5, 6]], "labels": [1, 0], '
    '"box": [1, 2, 8, 9], "slice": 2, "object": 3}]',
    "nested.json": '{"1": {"0": {"points": [[2, 3]], "labels": [1]}, "2": '
    '{"box": [1, 2, 8, 9]}}, "4": {"1": {"mask": [[0, 1, 1], [0, 1, 1]]}}}',
}


def _prompts(name: str) -> Reader:
    def build(folder: Path) -> None:
        (folder / name).write_text(_TABLES[name], encoding="utf-8")

    def read(folder: Path) -> None:
        _each(
            lambda: read_prompts(folder / name, ImageSelection.of_stack((3, 12, 14))),
            lambda: read_prompts(folder / name, ImageSelection.of_stack((12, 14))),
        )

    return Reader(build, read)


# -- images and labels -----------------------------------------------------------------


def _write_tiffs(folder: Path) -> None:
    import tifffile

    labels = annulus().astype(np.uint16)
    stack = np.repeat(labels[None], 3, axis=0)
    metadata = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeZ": 2.0}
    tifffile.imwrite(folder / "plain.tif", labels)
    tifffile.imwrite(folder / "packed.tif", labels, compression="zlib", tile=(16, 16))
    tifffile.imwrite(folder / "stack.ome.tif", stack, metadata=metadata)
    tifffile.imwrite(
        folder / "imagej.tif", stack, imagej=True, metadata={"axes": "ZYX"}
    )
    tifffile.imwrite(folder / "colour.tif", np.zeros((9, 12, 3), np.uint8))
    tifffile.imwrite(folder / "large.tif", labels, bigtiff=True)


def _write_pngs(folder: Path) -> None:
    import imageio.v3 as iio

    iio.imwrite(folder / "a.png", annulus().astype(np.uint16))
    iio.imwrite(folder / "b.png", np.zeros((9, 12, 3), np.uint8))
    iio.imwrite(folder / "c.jpg", np.zeros((9, 12, 3), np.uint8))
    iio.imwrite(folder / "d.gif", np.zeros((3, 9, 12), np.uint8))


def _write_zarrs(folder: Path) -> None:
    write_ome_zarr(folder / "old.zarr", STACK, version="0.4")
    write_ome_zarr(folder / "new.zarr", STACK, version="0.5")
    for name in ("old", "new"):
        save_labels(_STACK_LABELS, folder / f"{name}.zarr", "cells")


def _read_zarrs(folder: Path) -> None:
    """Read the images, and write labels beside them, new ones and once more."""
    stores = sorted(folder.iterdir())
    _each(
        lambda: _read_images(folder),
        *(
            partial(save_labels, _STACK_LABELS, store, name)
            for store in stores
            for name in ("cells", "others")
        ),
    )


def _read_images(folder: Path) -> None:
    _each(*(lambda path=path: _read_one(path) for path in sorted(folder.iterdir())))


def _read_one(path: Path) -> None:
    for labels in (False, True):
        file = read_image(path, labels=labels)
        np.asarray(file.select().data)


def _write_folders(folder: Path) -> None:
    import tifffile

    labels = annulus().astype(np.uint16)
    for name in ("masks", "images"):
        (folder / "stardist" / name).mkdir(parents=True)
        tifffile.imwrite(folder / "stardist" / name / "a.tif", labels)
    (folder / "cellpose").mkdir()
    tifffile.imwrite(folder / "cellpose" / "a_masks.tif", labels)
    for name in ("imagesTr", "labelsTr"):
        (folder / "nnunet" / name).mkdir(parents=True)
        tifffile.imwrite(folder / "nnunet" / name / "a.tif", labels)
    (folder / "nnunet" / "dataset.json").write_text(
        '{"labels": {"background": 0, "cell": 1, "nucleus": 2}, "numTraining": 1, '
        '"file_ending": ".tif", "channel_names": {"0": "a"}}'
    )


def _read_folders(folder: Path) -> None:
    _each(
        *(
            lambda part=part: FolderReader(folder / part).read("a")
            for part in ("cellpose", "stardist", "nnunet")
        )
    )


# -- what this package writes ----------------------------------------------------------


def _record(name: str) -> Reader:
    image = STACK if name == "stack" else PLANE
    return Reader(
        partial(_write_record, name), lambda folder: _replay(folder / "a.json", image)
    )


def _write_record(name: str, folder: Path) -> None:
    from napari_sam.images.reading.image_file import ImageFile
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.steps import run_to_end
    from napari_sam.records.image_record import Choice, make_record

    box = ns.Prompt(box=[1, 1, 9, 9], points=[[4, 4]], labels=[1])
    search = ns.SearchOptions(points_per_side=4)
    make: dict[str, Any] = {
        "plane": lambda: plane_request(PLANE, [box, box]),
        "stack": lambda: stack_request(STACK, {1: {1: box}}, 0),
        "everything": lambda: automatic_plane_request(PLANE, options=search),
    }
    request, image = make[name](), STACK if name == "stack" else PLANE
    result = run_to_end(request.run(_BRIGHT, EmbeddingCache()))
    labels = result.paint(image.shape)
    file = ImageFile(image, "ZYX"[-image.ndim :])
    source = Choice({}, None, None).to_json("x.tif", file)
    record = make_record(request, result, labels, source, "bright")
    ns.write_record(folder / "a.json", record)


def _replay(path: Path, image: Any) -> None:
    record = ns.read_record(path)
    prune_undone(record, np.ones(image.shape, np.int32))
    ns.replay(record, image, _BRIGHT)


def _write_series(folder: Path) -> None:
    import tifffile

    from napari_sam.images.reading.image_file import ImageFile
    from napari_sam.records.record import new_record

    (folder / "images").mkdir()
    for name in ("a.tif", "b.tif"):
        tifffile.imwrite(folder / "images" / name, PLANE)
    series = ns.open_series(folder / "images", folder / "out")
    series.add_class("cell", "#ff0000")
    labels = annulus().astype(np.int32)
    with series.edit("a.tif") as editor:
        used = ImageFile(labels, "YX")
        editor.save(labels, used, record=new_record(), classes={1: "cell"})


def _read_series(folder: Path) -> None:
    series = ns.open_series(folder / "images", folder / "out")
    actions = []
    for item in series:
        for read in (item.read, item.read_labels, item.read_record, item.check_state):
            actions.append(read)
        assert isinstance(item.status, str)
        assert isinstance(item.problem, str)
        actions.append(lambda item=item: dict(item.classes))
    _each(*actions, lambda: _edit(series), lambda: dict(series.classes))


def _edit(series: Any) -> None:
    with series.edit("a.tif") as editor:
        editor.set_status("done") if hasattr(editor, "set_status") else None


def _write_job(folder: Path) -> None:
    install_stand_ins()
    stack = disc_stack(2, (40, 50))
    job = ns.plan_everything_volume(
        stack, model=stand_in("boxes"), workdir=folder / "job"
    )
    for count, _ in enumerate(job.run()):
        if count == 1:
            break
    left = next(stage for stage in job.status() if not stage.is_complete)
    job.folder.note_failure(left.name, left.done, ValueError("Nothing is there."))


def _read_job(folder: Path) -> None:
    job = Job(folder / "job")
    job.status()
    _each(lambda: job.failed, lambda: _run(job))


def _run(job: Job) -> None:
    try:
        for _ in job.run():
            pass
        job.result()
    except JobFailedError as error:
        raise ValueError(str(error)) from error


def _write_cache(folder: Path) -> None:
    DiskCache(folder).put("key", np.ones((4, 8, 8), np.float16))


def _read_cache(folder: Path) -> None:
    found = DiskCache(folder).get("key")
    assert found is None or isinstance(found, np.ndarray)


@cache
def readers() -> dict[str, Reader]:
    """Return all readers by name."""
    return {
        "config": Reader(models.write_folder_of_a_model, models.read_folder),
        "safetensors": Reader(models.write_safetensors, models.read_file),
        "shards": Reader(models.write_shards, models.read_folder),
        "checkpoint": Reader(models.write_checkpoint, models.read_file),
        "fine_tuned": Reader(models.write_fine_tuned, models.read_file),
        "training_state": Reader(models.write_run, models.read_run),
        **{
            f"record_{name}": _record(name) for name in ("plane", "stack", "everything")
        },
        **{name: _prompts(name) for name in _TABLES},
        "series": Reader(_write_series, _read_series),
        **{name: _annotations(name) for name in ENDINGS},
        "folders": Reader(_write_folders, _read_folders),
        "tiff": Reader(_write_tiffs, _read_images),
        "png": Reader(_write_pngs, _read_images),
        "zarr": Reader(_write_zarrs, _read_zarrs),
        "job": Reader(_write_job, _read_job),
        "embedding_cache": Reader(_write_cache, _read_cache),
    }


def files_of(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder, in order."""
    yield from sorted(path for path in folder.rglob("*") if path.is_file())
