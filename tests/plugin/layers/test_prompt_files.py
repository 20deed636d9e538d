"""Layers saved by napari are read as the same prompts as in the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Points, Shapes
from napari_builtins.io import napari_write_points, napari_write_shapes

from napari_sam.exchange.prompts import read_prompts as read_selected
from napari_sam.plugin.layers.prompt_layers import add_prompt_layers, set_polarity
from napari_sam.plugin.layers.prompt_reader import point_labels
from napari_sam.prompts.prompt import POLARITY, Prompt
from napari_sam.prompts.selection import ImageSelection
from tests.helpers.sessions import corners

if TYPE_CHECKING:
    from pathlib import Path

BOX = (10, 20, 30, 40)


def read_prompts(files: Any, *shape: int) -> dict[int, dict[int, Prompt]]:
    """Read the prompts of a whole image."""
    return read_selected(files, ImageSelection.of_stack(shape or (9, 50, 60))).objects


def saved(layer: Points | Shapes, path: Path) -> Path:
    """Write a layer like `layer.save`, which needs plugin discovery."""
    write = napari_write_points if isinstance(layer, Points) else napari_write_shapes
    data, meta, _ = layer.as_layer_data_tuple()
    assert write(str(path), data, meta) == str(path)
    return path


def test_layers_of_the_plugin(tmp_path: Path) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((9, 50, 60)), scale=(3, 0.5, 0.5))
    points, shapes = add_prompt_layers(viewer, image)
    shapes.add_rectangles(corners(BOX, 4))
    points.add([(4, 15, 25.5)])
    set_polarity(points, positive=False)
    points.add([(4, 32, 40)])
    files = saved(points, tmp_path / "p.csv"), saved(shapes, tmp_path / "s.csv")
    ((number, slices),) = read_prompts(files).items()
    assert (number, list(slices)) == (1, [4])
    prompt = slices[4]
    assert prompt.box.tolist() == list(BOX)
    assert prompt.positives.tolist() == [[15, 25.5]]
    assert prompt.negatives.tolist() == [[32, 40]]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (POLARITY, np.array(["positive", "negative"], object)),
        (POLARITY, np.array(["positive", "negative"])),
        (POLARITY, [True, False]),
        ("label", [1, 0]),
        ("label", [1, -1]),
        ("label", [1.0, 0.0]),
        ("label", ["cell", "negative"]),
        ("label", [1, np.nan]),
        ("size", [1, 0]),
    ],
)
def test_polarity_is_read_as_in_the_viewer(
    tmp_path: Path, column: str, values: Any
) -> None:
    features = {column: values, "object": [1, 1]}
    layer = Points([(4, 5, 6), (4, 7, 8)], features=features)
    prompt = read_prompts(saved(layer, tmp_path / "points.csv"))[1][4]
    assert prompt.labels.tolist() == point_labels(layer)


@pytest.mark.parametrize("values", [[7, 7], [7.0, 7.0], ["7", "7"]])
def test_object_ids_of_any_type(tmp_path: Path, values: Any) -> None:
    layer = Points([(4, 5, 6), (6, 7, 8)], features={"object": values})
    by_object = read_prompts(saved(layer, tmp_path / "points.csv"))
    assert {number: sorted(slices) for number, slices in by_object.items()} == {
        7: [4, 6]
    }


def test_missing_object_ids(tmp_path: Path) -> None:
    for values in ([7, np.nan], np.array([7, None], object)):
        layer = Points([(4, 5, 6), (6, 7, 8)], features={"object": values})
        assert list(read_prompts(saved(layer, tmp_path / "points.csv"))) == [7, 8]


def test_every_kind_of_shape(tmp_path: Path) -> None:
    kinds = ["rectangle", "ellipse", "polygon", "line", "path"]
    vertices = [corners(BOX, plane_index) for plane_index in range(3)]
    vertices += [corners(BOX, 3)[:2], corners(BOX, 4)[:3]]
    layer = Shapes(vertices, shape_type=kinds, features={"object": [9] * 5})
    by_object = read_prompts(saved(layer, tmp_path / "shapes.csv"))
    # napari does not save features of shapes: all are different objects.
    assert {number: list(slices) for number, slices in by_object.items()} == {
        number: [number - 1] for number in range(1, 6)
    }
    kinds_read = [set(slices[n - 1].kinds) for n, slices in by_object.items()]
    assert kinds_read == [
        {"box"},
        {"box", "mask"},
        {"box", "mask"},
        {"point"},
        {"point"},
    ]


def test_empty_layer(tmp_path: Path) -> None:
    viewer = ViewerModel()
    points, _ = add_prompt_layers(viewer, viewer.add_image(np.zeros((9, 50, 60))))
    assert read_prompts(saved(points, tmp_path / "points.csv")) == {}


def test_layer_of_a_plane(tmp_path: Path) -> None:
    layer = Shapes([corners(BOX)], shape_type=["rectangle"])
    by_object = read_prompts(saved(layer, tmp_path / "shapes.csv"), 50, 60)
    assert by_object[1][0].box.tolist() == list(BOX)
