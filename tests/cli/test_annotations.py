"""`napari-sam export-labels`, `import-labels`, and annotations as prompts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.images.reading.read import read_image
from tests.helpers.command_line import labels_of, read_labels, run, write_stack
from tests.helpers.label_planes import annulus
from tests.helpers.scenes import BALL, SMALL, lit

if TYPE_CHECKING:
    from pathlib import Path

ENDINGS = [".json", ".geojson", ".zip", ".txt"]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "cells_labels.tif"
    tifffile.imwrite(path, annulus().astype(np.uint16))
    return path


@pytest.mark.parametrize("ending", ENDINGS)
def test_labels_go_out_and_come_back(
    tmp_path: Path, labels: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / f"cells{ending}"
    assert run("export-labels", labels, "--output", output) == 0
    assert f"wrote {output}: 2 objects" in capsys.readouterr().out
    back = tmp_path / "back.tif"
    assert run("import-labels", output, "--image", labels, "--output", back) == 0
    assert capsys.readouterr().out == f"2 objects\nwrote {back}\n"
    assert_array_equal(read_labels(back), annulus())


def test_labelme_by_its_name(tmp_path: Path, labels: Path) -> None:
    output = tmp_path / "cells.json"
    arguments = ("export-labels", labels, "-o", output, "--format", "labelme")
    assert run(*arguments) == 0
    assert "shapes" in json.loads(output.read_text())
    assert run(*arguments) == 1  # it exists
    assert run(*arguments, "--overwrite") == 0
    labels.rename(tmp_path / "before.tif")
    assert run("import-labels", output) == 0  # the file has the shape
    assert_array_equal(read_labels(labels), annulus())


def test_a_stack_gets_its_slices_and_pixel_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = write_stack(tmp_path, np.zeros((3, 20, 30), np.uint8))
    ring = [[2, 1], [4, 1], [4, 3], [2, 3], [2, 1]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    features = [
        {"type": "Feature", "geometry": {**geometry, "plane": {"c": -1, "z": z}}}
        for z in (1, 7)
    ]
    path = tmp_path / "cells.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert run("import-labels", path, "--image", stack) == 0
    assert "1 ignored: annotations at other slices" in capsys.readouterr().out
    written = read_image(tmp_path / "cells_labels.tif")
    assert np.argwhere(written.data)[:, 0].tolist() == [1] * 4
    assert written.spacing == {"Z": 2.0, "Y": 0.5, "X": 0.5}
    output = tmp_path / "slice.tif"
    index = ("--index", "Z=1", "--output", output)
    assert run("import-labels", path, "--image", stack, *index) == 0
    assert read_labels(output).shape == (20, 30)
    assert run("import-labels", path, "--shape", "3,20,30", "--overwrite") == 0


@pytest.mark.parametrize("ending", [".geojson", ".zip"])
def test_stacks_go_out_and_come_back(tmp_path: Path, ending: str) -> None:
    stack = np.stack([annulus(), np.roll(annulus(), 2)]).astype(np.uint16)
    path, output = write_stack(tmp_path, stack, "TYX"), tmp_path / f"movie{ending}"
    assert run("export-labels", path, "--output", output) == 0
    assert run("import-labels", output, "--image", path) == 0
    written = read_image(tmp_path / "movie_labels.tif")
    assert written.axes == "TYX"
    assert_array_equal(written.data, stack)
    assert run("export-labels", path, "-o", tmp_path / "a.json") == 1
    assert run("export-labels", path, "-o", tmp_path / "a.json", "--index", "T=1") == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("export-labels", "L", "-o", "a.png"),
            "name it .json, .geojson, .zip or .txt",
        ),
        (("export-labels", "L", "-o", "a"), "The ending of a tells no format"),
        (("export-labels", "L", "-o", "L"), "is the file of labels itself"),
        (("export-labels", "none.tif", "-o", "a.json"), "There is no file none.tif"),
        (("import-labels", "A"), "no image size: give shape=(H, W)"),
        (("import-labels", "A", "--shape", "3"), "--shape '3' is not of the form"),
        (
            ("import-labels", "A", "--shape", "3,4", "--image", "L"),
            "--image or --shape",
        ),
        (("import-labels", "A", "-o", "A"), "is the file of annotations itself"),
        (
            ("import-labels", "none.json", "--shape", "3,4"),
            "There is no file none.json",
        ),
    ],
)
def test_errors(
    tmp_path: Path,
    labels: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    annotations = ns.export_labels(annulus(), "a.geojson", "geojson")
    files = {"L": str(labels), "A": str(annotations)}
    assert run(*(files.get(word, word) for word in arguments)) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert sentence in error


# -- prompts -------------------------------------------------------------------


@pytest.mark.usefixtures("world")
def test_annotations_are_prompts_of_a_plane(plane: Path, tmp_path: Path) -> None:
    around = np.zeros(lit(BALL).shape[1:], int)
    around[5:25, 6:30] = 3
    path = ns.export_labels(around, tmp_path / "box.zip", "imagej")
    assert run("segment", plane, "--prompts", path) == 0
    assert set(np.unique(labels_of(plane)).tolist()) == {0, 1}


@pytest.mark.usefixtures("world")
def test_a_layer_over_a_movie_of_stacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    movie = write_stack(tmp_path, np.stack([lit(SMALL), lit(BALL | SMALL)]), "TZYX")
    header = "index,axis-0,axis-1,axis-2,axis-3"
    points = tmp_path / "points.csv"
    points.write_text(f"{header}\n0,1,6,15,18\n1,0,6,3,3\n2,0,7,3,3\n")
    assert run("volume", movie, "--index", "T=1", "--prompts", points) == 0
    line = f"{points}: 2 ignored: points at other positions than T=1.\n"
    assert line in capsys.readouterr().out
    found = labels_of(movie)
    assert found.shape == lit(BALL).shape
    assert found[6, 15, 18] == 1


def test_folders_of_other_programs_are_of_series(
    tmp_path: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "folder"
    arguments = ("--output", output, "--format", "cellpose")
    assert run("export-labels", labels, *arguments) == 1
    assert "give the folder of a series" in capsys.readouterr().err
    series = ns.open_series([labels], tmp_path / "series")
    with series.edit(labels.name) as editor:
        editor.save(annulus(), series[labels.name].read().used)
    assert run("export-labels", tmp_path / "series", *arguments) == 0
    assert (output / "cells_labels_masks.tif").is_file()
