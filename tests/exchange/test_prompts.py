"""Prompts from CSV and JSON files, and from those of other programs.

That napari saves such CSV is tested in tests/plugin/layers/test_prompt_files.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from roifile import ROI_TYPE, ImagejRoi, roiwrite

import napari_sam as ns
from napari_sam.exchange.formats import ENDINGS
from napari_sam.exchange.prompts import read_prompts as read_selected
from napari_sam.prompts.prompt import Prompt
from napari_sam.prompts.selection import ImageSelection
from napari_sam.prompts.serialization import prompt_to_json
from napari_sam.prompts.shapes import ellipse_mask, points_along, polygon_mask

if TYPE_CHECKING:
    from pathlib import Path

POINTS = "index,axis-0,axis-1,axis-2"
SHAPES = "index,shape-type,vertex-index,axis-0,axis-1,axis-2"
SQUARE = [(10, 20), (10, 40), (30, 40), (30, 20)]


def read_prompts(
    paths: Any, axis: int = 0, ndim: int = 3, plane_shape: tuple[int, int] = (200, 200)
) -> dict[int, dict[int, Prompt]]:
    """Read the prompts of a whole plane or stack."""
    shape = list(plane_shape)
    if ndim == 3:
        shape.insert(axis % 3, 100)
    found = read_selected(paths, ImageSelection.of_stack(shape, axis))
    assert not found.ignored
    return found.objects


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(content: Any, name: str = "prompts.csv") -> Path:
        path = tmp_path / name
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def shape(
    kind: str,
    vertices: list[tuple[float, float]],
    index: float = 12,
    object_id: int = 0,
) -> str:
    return "".join(
        f"{object_id},{kind},{vertex},{index},{row},{col}\n"
        for vertex, (row, col) in enumerate(vertices)
    )


# -- Points --------------------------------------------------------------------


def test_each_point_is_an_object(write: Any) -> None:
    path = write(f"{POINTS}\n0.0,3.0,4.5,5.0\n1.0,3.0,40.0,50.0\n")
    prompts = read_prompts(path)
    assert {object_id: list(slices) for object_id, slices in prompts.items()} == {
        1: [3],
        2: [3],
    }
    assert_array_equal(prompts[1][3].points, [(4.5, 5)])
    assert prompts[1][3].labels.tolist() == [1]


@pytest.mark.parametrize(
    ("axis", "index", "point"),
    [(0, 3, (4, 5)), (1, 4, (3, 5)), (2, 5, (3, 4)), (-1, 5, (3, 4))],
)
def test_propagation_axis(
    write: Any, axis: int, index: int, point: tuple[int, int]
) -> None:
    prompts = read_prompts(write(f"{POINTS}\n0,3,4,5\n"), axis)
    assert_array_equal(prompts[1][index].points, [point])


def test_points_of_a_plane(write: Any) -> None:
    prompts = read_prompts(write("axis-0,axis-1\n4,5\n"), ndim=2)
    assert_array_equal(prompts[1][0].points, [(4, 5)])


@pytest.mark.parametrize(
    ("z", "index"), [(2.4, 2), (2.5, 3), (-0.5, 0), (2.4999999999, 3), (0, 0)]
)
def test_points_between_slices_go_to_the_nearest(
    write: Any, z: float, index: int
) -> None:
    assert list(read_prompts(write(f"{POINTS}\n0,{z},4,5\n"))[1]) == [index]


@pytest.mark.parametrize("column", ["polarity", "label"])
@pytest.mark.parametrize(
    ("word", "label"),
    [
        *(("positive", 1), ("negative", 0), ("Negative", 0), ("1", 1), ("0", 0)),
        *(("-1", 0), ("0.0", 0), ("2", 1), ("True", 1), ("False", 0)),
        *(("", 1), ("nan", 1)),
    ],
)
def test_polarity(write: Any, column: str, word: str, label: int) -> None:
    path = write(f"{POINTS},{column}\n0,3,4,5,positive\n1,3,6,7,{word}\n")
    prompts = read_prompts(path)
    labels = [prompt[3].labels.tolist() for prompt in prompts.values()]
    assert labels == ([[1], [1]] if label else [[1, 0]])


def test_words_in_a_label_column_are_positive(write: Any) -> None:
    assert len(read_prompts(write(f"{POINTS},label\n0,3,4,5,cell\n"))) == 1


def test_polarity_column_has_precedence_over_label(write: Any) -> None:
    path = write(f"{POINTS},label,polarity\n0,3,4,5,0,positive\n")
    assert read_prompts(path)[1][3].labels.tolist() == [1]


def test_object_ids_join_points(write: Any) -> None:
    path = write(f"{POINTS},object\n0,3,4,5,2.0\n1,3,6,7,2\n2,8,1,1,2\n3,8,9,9,\n")
    prompts = read_prompts(path)
    assert {object_id: list(slices) for object_id, slices in prompts.items()} == {
        2: [3, 8],
        3: [8],
    }
    assert_array_equal(prompts[2][3].points, [(4, 5), (6, 7)])


# -- Shapes --------------------------------------------------------------------


def test_a_rectangle_is_a_box(write: Any) -> None:
    prompt = read_prompts(write(f"{SHAPES}\n{shape('rectangle', SQUARE)}"))[1][12]
    assert prompt.kinds == {"box"}
    assert_array_equal(prompt.box, (10, 20, 30, 40))


def test_a_rotated_rectangle_is_its_bounding_box(write: Any) -> None:
    corners = [(10.0, 20.0), (20.0, 30.0), (10.0, 40.0), (0.0, 30.0)]
    prompt = read_prompts(write(f"{SHAPES}\n{shape('rectangle', corners)}"))[1][12]
    assert prompt.kinds == {"box"}
    assert_array_equal(prompt.box, (0, 20, 20, 40))


@pytest.mark.parametrize(
    ("kind", "make"), [("polygon", polygon_mask), ("ellipse", ellipse_mask)]
)
@pytest.mark.parametrize("plane_shape", [(50, 60), (25, 30)])
def test_ellipses_and_polygons_also_have_masks(
    write: Any, kind: str, make: Any, plane_shape: tuple[int, int]
) -> None:
    path = write(f"{SHAPES}\n{shape(kind, SQUARE)}")
    prompt = read_prompts(path, plane_shape=plane_shape)[1][12]
    assert_array_equal(prompt.box, (10, 20, 30, 40))
    origin, mask = make(np.array(SQUARE, float), plane_shape)
    assert prompt.mask_origin == origin
    assert_array_equal(prompt.mask, mask)
    prompt.within(plane_shape)


@pytest.mark.parametrize("kind", ["line", "path"])
def test_lines_become_points(write: Any, kind: str) -> None:
    ends = [(0.0, 0.0), (8.0, 4.0)]
    prompts = read_prompts(write(f"{SHAPES}\n{shape(kind, ends)}"))
    assert_array_equal(prompts[1][12].points, points_along(np.array(ends)))
    assert prompts[1][12].labels.all()


def test_each_box_is_an_object_without_object_ids(write: Any) -> None:
    boxes = [shape("rectangle", SQUARE, index, object_id=index) for index in (3, 4)]
    assert list(read_prompts(write(f"{SHAPES}\n{''.join(boxes)}"))) == [1, 2]
    lines = [f"{line},6\n" for line in "".join(boxes).splitlines()]
    prompts = read_prompts(write(f"{SHAPES},object\n{''.join(lines)}"))
    assert {object_id: list(slices) for object_id, slices in prompts.items()} == {
        6: [3, 4]
    }


def test_points_and_boxes_of_two_files(write: Any) -> None:
    points = write(
        f"{POINTS},polarity,object\n0,12,15,25,positive,3\n1,12,5,5,negative,\n",
        "p.csv",
    )
    boxes = write(f"{SHAPES}\n{shape('rectangle', SQUARE)}", "b.csv")
    for files in ([points, boxes], [boxes, points]):
        ((object_id, slices),) = read_prompts(files).items()
        assert (object_id, list(slices)) == (3, [12])
        assert_array_equal(slices[12].box, (10, 20, 30, 40))
        assert slices[12].positives.tolist() == [[15, 25]]
        assert slices[12].negatives.tolist() == [[5, 5]]


# -- JSON ----------------------------------------------------------------------


def test_json_list(write: Any) -> None:
    content = [
        {"object": 2, "slice": 12, "box": [1, 2, 8, 9], "points": [[3, 3]]},
        {"object": 2, "slice": 20, "points": [[3, 3], [5, 5]], "labels": [1, 0]},
        {"slice": 12, "points": [[3, 4], [4, 4]]},
    ]
    prompts = read_prompts(write(content, "prompts.json"))
    assert {object_id: sorted(slices) for object_id, slices in prompts.items()} == {
        2: [12, 20],
        3: [12],
    }
    assert prompts[2][12].kinds == {"box", "point"}
    assert prompts[2][20].labels.tolist() == [1, 0]
    assert len(prompts[3][12].points) == 2


def test_json_by_object_and_slice(write: Any) -> None:
    content = {"4": {"6": {"box": [1, 2, 3, 4]}, "9": {"points": [[1, 2]]}}, "5": {}}
    prompts = read_prompts(write(content, "prompts.json"))
    assert {object_id: sorted(slices) for object_id, slices in prompts.items()} == {
        4: [6, 9]
    }


def test_json_in_a_text_file(write: Any) -> None:
    path = write("\n [" + json.dumps({"box": [1, 2, 8, 9]}) + "]", "prompts.txt")
    assert read_prompts(path, ndim=2)[1][0].kinds == {"box"}


def test_json_list_of_a_plane(write: Any) -> None:
    content = [{"box": [1, 2, 8, 9]}, {"object": 1, "points": [[30, 30]]}]
    prompts = read_prompts(write(content, "prompts.json"), ndim=2)
    assert [slices[0].kinds for slices in prompts.values()] == [{"point"}, {"box"}]


def test_json_masks(write: Any) -> None:
    prompt = Prompt(mask=np.eye(4, dtype=bool), mask_origin=(2, 3))
    path = write([{"slice": 1, **prompt_to_json(prompt)}], "prompts.json")
    again = read_prompts(path)[1][1]
    assert again.mask_origin == (2, 3)
    assert_array_equal(again.mask, prompt.mask)


positions = st.integers(0, 50).map(float)
prompt_strategy = st.builds(
    lambda points, signs, sides: Prompt(
        points=points,
        labels=signs[: len(points)] if points else None,
        box=sides,
    ),
    st.lists(st.tuples(positions, positions), max_size=3),
    st.lists(st.integers(0, 1), min_size=3, max_size=3),
    st.tuples(positions, positions).map(lambda p: (*p, p[0] + 3, p[1] + 5)),
)


@given(
    objects=st.dictionaries(
        st.integers(1, 9),
        st.dictionaries(st.integers(0, 9), prompt_strategy, min_size=1),
    )
)
def test_json_round_trip_in_both_forms(
    objects: dict[int, dict[int, Prompt]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("prompts") / "prompts.json"
    nested = {
        object_id: {index: prompt_to_json(prompt) for index, prompt in slices.items()}
        for object_id, slices in objects.items()
    }
    listed = [
        {"object": object_id, "slice": index, **prompt}
        for object_id, slices in nested.items()
        for index, prompt in slices.items()
    ]
    for content in (nested, listed):
        path.write_text(json.dumps(content), encoding="utf-8")
        assert {
            object_id: {
                index: prompt_to_json(prompt) for index, prompt in slices.items()
            }
            for object_id, slices in read_prompts(path).items()
        } == nested


# -- errors -----------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", r"has the columns \(none\): give a Points or Shapes layer"),
        ("a,b\n1,2\n", "has the columns a, b: give a Points or Shapes layer"),
        (
            "axis-0,axis-1\n1,2\n",
            "with axis-0, axis-1, axis-2, as many axes as the image",
        ),
        (f"{POINTS},axis-3\n0,1,2,3,4\n", "as many axes as the image has"),
        (f"{POINTS}\n0,1,2\n", "row 1 has 3 values for 4 columns"),
        (f"{POINTS}\n0,1,2,3\n1,1,x,3\n", "row 2 has 'x' as axis-1: give a number"),
        (f"{POINTS}\n0,1,2,nan\n", "row 1 has 'nan' as axis-2: give a number"),
        (f"{POINTS}\n0,-1,2,3\n", "row 1 lies on slice -1: slices begin at 0"),
        (f"{POINTS},polarity\n0,1,2,3,up\n", "row 1 has polarity 'up': write positive"),
        (f"{POINTS},object\n0,1,2,3,0\n", "row 1: Object id 0 is not a label"),
        (f"{POINTS},object\n0,1,2,3,1.5\n", "row 1: Object id '1.5' is not a label"),
        (f"{POINTS},object\n0,1,2,3,inf\n", "row 1: Object id 'inf' is not a label"),
        (f"{POINTS},object\n0,1,2,3,cell\n", "row 1: Object id 'cell' is not a label"),
        (f"{SHAPES}\n{shape('star', SQUARE)}", "shape 0 is a 'star': give one of rect"),
        (f"{SHAPES}\n0,line,0,1,2,3\n0,line,1,4,2,3\n", "reaches from slice 1 to 4"),
        (f"{POINTS}\n0,1,2,{'3' * 200_000}\n", "is not CSV in UTF-8"),
    ],
)
def test_invalid_csv_is_refused(write: Any, content: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=rf"prompts\.csv.*{sentence}"):
        read_prompts(write(content))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not JSON"),
        (5, "does not contain a dict or list of prompts"),
        ([5], "entry 1: 5 is not a prompt"),
        (
            [{"slice": 1, "box": [1, 2, 3, 4]}, {"slice": 1}],
            "entry 2: The prompt is empty",
        ),
        ([{"slice": 1, "bax": []}], "entry 1: .* is not a prompt"),
        ([{"slice": 1, "box": [1, 2, 3]}], r"entry 1: The box has shape \(3,\)"),
        (
            [{"slice": 1, "points": [[1, 2]], "labels": [2]}],
            "entry 1: Point labels are",
        ),
        ([{"box": [1, 2, 3, 4]}], 'entry 1 has no slice, .* add "slice": 12'),
        ([{"slice": -1, "box": [1, 2, 3, 4]}], "entry 1: -1 is not a slice"),
        ([{"slice": "1", "box": [1, 2, 3, 4]}], "entry 1: '1' is not a slice"),
        ([{"slice": 1.5, "box": [1, 2, 3, 4]}], "entry 1: 1.5 is not a slice"),
        ([{"slice": True, "box": [1, 2, 3, 4]}], "entry 1: True is not a slice"),
        (
            [{"object": 0, "slice": 1, "box": [1, 2, 3, 4]}],
            "Object id 0 is not a label",
        ),
        ([{"object": "a", "slice": 1, "box": [1, 2, 3, 4]}], "Object id 'a' is not a"),
        ({"1": []}, "object 1 has no slices"),
        ({"1": {"x": {"box": [1, 2, 3, 4]}}}, "'x' is not a slice or object id"),
        ({"1": {"2": {}}}, "object 1, slice 2: The prompt is empty"),
    ],
)
def test_invalid_json_is_refused(write: Any, content: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=rf"prompts\.json.*{sentence}"):
        read_prompts(write(content, "prompts.json"))


def test_slices_are_refused_for_a_plane(write: Any) -> None:
    with pytest.raises(ValueError, match="entry 1 has a slice, but the image is one"):
        read_prompts(write([{"slice": 1, "box": [1, 2, 3, 4]}], "a.json"), ndim=2)
    with pytest.raises(ValueError, match="does not contain a list of prompts"):
        read_prompts(write({"1": {"2": {}}}, "a.json"), ndim=2)


def test_csv_encoding(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_bytes(f"{POINTS},größe\n0,1,2,3,4\n".encode("latin-1"))
    with pytest.raises(ValueError, match="is not CSV in UTF-8"):
        read_prompts(path)
    path.write_text(f"{POINTS}\n0,1,2,3\n", encoding="utf-8-sig")
    assert len(read_prompts(path)) == 1


def test_missing_files(tmp_path: Path) -> None:
    assert read_prompts([]) == {}
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        read_prompts(tmp_path / "none.csv")


# -- layers with more axes than are segmented -----------------------------------

FOUR = "index,axis-0,axis-1,axis-2,axis-3"
MOVIE = ImageSelection("TZYX", (3, 9, 50, 60), {"T": 1}, "Z")


def lines_of(ignored: tuple[str, ...]) -> list[str]:
    return [line.partition(": ")[2] for line in ignored]


def test_rows_at_the_selected_position_are_taken(write: Any) -> None:
    path = write(f"{FOUR}\n0,1,3,4,5\n1,0,3,7,7\n2,1.4,8,9,9\n3,2,3,1,1\n")
    found = read_selected(path, MOVIE)
    assert {n: list(slices) for n, slices in found.objects.items()} == {1: [3], 2: [8]}
    assert_array_equal(found.objects[2][8].points, [(9, 9)])
    assert lines_of(found.ignored) == ["2 ignored: points at other positions than T=1."]


def test_shapes_at_the_selected_position_are_taken(write: Any) -> None:
    rows = [
        f"{number},rectangle,{vertex},{time},3,{row},{col}"
        for number, time in enumerate((1, 2))
        for vertex, (row, col) in enumerate(SQUARE)
    ]
    header = "index,shape-type,vertex-index,axis-0,axis-1,axis-2,axis-3"
    found = read_selected(write("\n".join([header, *rows])), MOVIE)
    assert_array_equal(found.objects[1][3].box, (10, 20, 30, 40))
    assert lines_of(found.ignored) == ["1 ignored: shapes at other positions than T=1."]


def test_nothing_at_the_selected_position(write: Any) -> None:
    path = write(f"{FOUR}\n0,0,3,4,5\n")
    sentence = r"nothing for this part of the image, only 1 points at other .* T=1"
    with pytest.raises(ValueError, match=rf"prompts\.csv has {sentence}"):
        read_selected(path, MOVIE)


def test_a_shape_across_the_fixed_axis_is_refused(write: Any) -> None:
    header = "index,shape-type,vertex-index,axis-0,axis-1,axis-2,axis-3"
    path = write(f"{header}\n0,line,0,1,3,4,5\n0,line,1,2,3,4,9\n")
    with pytest.raises(
        ValueError, match="shape 0 reaches from T=1 to 2: draw it on one"
    ):
        read_selected(path, MOVIE)


@pytest.mark.parametrize("count", [2, 5])
def test_another_number_of_axes(write: Any, count: int) -> None:
    header = ",".join(f"axis-{i}" for i in range(count))
    path = write(f"{header}\n{','.join('1' * count)}\n")
    with pytest.raises(
        ValueError, match="as many axes as the image has or the axes TZYX"
    ):
        read_selected(path, MOVIE)


@given(data=st.data())
def test_any_axes_and_columns_in_any_order(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    more = data.draw(st.permutations("TCZ"))[: data.draw(st.integers(1, 3))]
    axes = "".join(data.draw(st.permutations([*more, "Y", "X"])))
    shape = tuple(data.draw(st.integers(2, 4)) for _ in axes)
    along = data.draw(st.sampled_from(more))
    fixed = {name: 1 for name in more if name != along}
    points = data.draw(
        st.lists(st.tuples(*(st.integers(0, n - 1) for n in shape)), min_size=1)
    )
    columns = data.draw(st.permutations(range(len(axes))))
    rows = [",".join(f"axis-{i}" for i in columns)]
    rows += [",".join(str(point[i]) for i in columns) for point in points]
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_text("\n".join(rows))
    inside = [
        dict(zip(axes, point, strict=True))
        for point in points
        if all(point[axes.index(name)] == 1 for name in fixed)
    ]
    selection = ImageSelection(axes, shape, fixed, along)
    if not inside:
        with pytest.raises(ValueError, match="nothing for this part of the image"):
            read_selected(path, selection)
        return
    found = read_selected(path, selection)
    positions = [
        (index, *prompt.points[0].astype(int).tolist())
        for slices in found.objects.values()
        for index, prompt in slices.items()
    ]
    assert sorted(positions) == sorted((p[along], p["Y"], p["X"]) for p in inside)
    assert bool(found.ignored) == (len(inside) < len(points))


def test_vertices_in_another_order(write: Any) -> None:
    corners = [(0, 0), (0, 20), (20, 20), (20, 0), (10, 5)]
    text = shape("polygon", corners)
    shuffled = "".join(sorted(text.splitlines(keepends=True), key=lambda r: r[-4:]))
    header = "Index;Shape-Type;Vertex-Index;Axis-0;Axis-1;Axis-2"
    mixed = header + "\n" + shuffled.replace(",", ";").replace("polygon", "Polygon")
    expected = read_prompts(write(f"{SHAPES}\n{text}"))[1][12]
    found = read_prompts(write(mixed))[1][12]
    assert_array_equal(found.mask, expected.mask)


def test_decimal_commas_and_empty_rows(write: Any) -> None:
    path = write("axis-0;axis-1;axis-2;object\n3;4,5;5,25;2,0\n;;;\n;;;\n")
    prompts = read_prompts(path)
    assert_array_equal(prompts[2][3].points, [(4.5, 5.25)])


# -- other programs -------------------------------------------------------------

PLANE = ImageSelection.of_stack((50, 60))
STACK = ImageSelection.of_stack((9, 50, 60))


def features(*items: tuple[str, Any, dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": {"type": kind, "coordinates": coordinates, **where},
                "properties": {"name": where.pop("name", "")},
            }
            for kind, coordinates, where in items
        ],
    }


RING = [[10, 4], [20, 4], [20, 14], [10, 14], [10, 4]]
HOLE = [[13, 7], [15, 7], [15, 9], [13, 9], [13, 7]]


def test_geometries_become_prompts(write: Any) -> None:
    content = features(
        ("Polygon", [RING, HOLE], {}),
        ("Point", [40.5, 30.5], {}),
        ("MultiPoint", [[50.5, 40.5], [55.5, 45.5]], {}),
        ("LineString", [[30.5, 20.5], [34.5, 20.5]], {}),
        ("Point", [14.5, 8.5], {"name": "negative"}),
    )
    found = read_selected(write(content, "a.geojson"), PLANE).objects
    (area, *others) = (slices[0] for slices in found.values())
    assert area.kinds == {"box", "mask", "point"}
    assert_array_equal(area.box, (3.5, 9.5, 13.5, 19.5))
    assert area.mask_origin == (4, 10)
    assert area.mask.sum() == 100 - 4
    assert not area.mask[3:5, 3:5].any()
    assert area.negatives.tolist() == [[8, 14]]
    assert sorted(prompt.points[0].tolist() for prompt in others) == [
        [20, 30],
        [30, 40],
        [40, 50],
        [45, 55],
    ]


def test_numbers_join_prompts_across_slices(write: Any) -> None:
    content = features(
        ("Polygon", [RING], {"name": "7", "plane": {"c": -1, "z": 2, "t": 0}}),
        ("Point", [15, 9], {"name": "7", "plane": {"c": -1, "z": 5, "t": 0}}),
        ("Polygon", [RING], {"plane": {"c": -1, "z": 5, "t": 0}}),
        ("Polygon", [RING], {}),  # on the first slice
    )
    found = read_selected(write(content, "a.geojson"), STACK)
    assert {n: list(slices) for n, slices in found.objects.items()} == {
        7: [2, 5],
        8: [0],
    }
    assert found.objects[7][5].kinds == {"box", "mask", "point"}


def test_annotations_without_a_position(tmp_path: Path) -> None:
    rois = [
        ImagejRoi(roitype=ROI_TYPE.RECT, left=2, top=1, right=9, bottom=8, name=name)
        for name in "ab"
    ]
    rois[0].position = 4
    roiwrite(tmp_path / "a.zip", rois)
    found = read_selected(tmp_path / "a.zip", STACK)
    assert list(found.objects[1]) == [3]
    assert lines_of(found.ignored) == [
        "1 ignored: annotations without a position along Z."
    ]


def test_parts_of_one_number_are_one_prompt(write: Any) -> None:
    boxes = [[[1, 2], [5, 8]], [[10, 4], [12, 6]]]
    shapes = [
        {"label": "a", "shape_type": "rectangle", "points": box, "group_id": 3}
        for box in boxes
    ]
    content = {"shapes": shapes, "imageHeight": 50, "imageWidth": 60}
    prompt = read_selected(write(content, "a.json"), PLANE).objects[3][0]
    assert_array_equal(prompt.box, (1.5, 0.5, 7.5, 11.5))
    assert prompt.mask.sum() == 24 + 4
    single = {"shapes": shapes[:1]}
    assert read_selected(write(single, "a.json"), PLANE).objects[3][0].kinds == {"box"}


@pytest.mark.parametrize("format", ["coco", "geojson", "imagej", "labelme", "yolo"])
def test_exported_labels_are_boxes_and_masks(tmp_path: Path, format: Any) -> None:
    labels = np.zeros((50, 60), int)
    labels[5:9, 10:20] = 4
    labels[6, 12] = 0
    labels[30, 40] = 2
    path = ns.export_labels(labels, tmp_path / f"a{ENDINGS[format]}", format)
    found = read_selected(path, PLANE).objects
    assert sorted(found) == [2, 4]
    prompt = found[4][0]
    assert_allclose(prompt.box, (4.5, 9.5, 8.5, 19.5), atol=1e-4)
    assert prompt.mask_origin == (5, 10)
    assert_array_equal(prompt.mask, labels[5:9, 10:20] == 4)


def test_rois_of_a_time_point(tmp_path: Path) -> None:
    rois = []
    for t, z in ((1, 4), (2, 4), (2, 6)):
        roi = ImagejRoi(roitype=ROI_TYPE.RECT, left=2, top=1, right=9, bottom=8)
        roi.name, roi.z_position, roi.t_position = f"{t}-{z}", z, t
        rois.append(roi)
    roiwrite(tmp_path / "a.zip", rois)
    found = read_selected(tmp_path / "a.zip", MOVIE)
    assert {n: list(slices) for n, slices in found.objects.items()} == {1: [3], 2: [5]}
    assert_array_equal(found.objects[1][3].box, (0.5, 1.5, 7.5, 8.5))
    assert lines_of(found.ignored) == [
        "1 ignored: annotations at other slices, times or channels."
    ]


@pytest.mark.parametrize("position", ["c_position", "position"])
def test_multipoints(tmp_path: Path, position: str) -> None:
    roi = ImagejRoi.frompoints([[5, 3], [8, 2]])
    roi.roitype = ROI_TYPE.POINT
    setattr(roi, position, 1)
    roi.tofile(tmp_path / "a.roi")
    found = read_selected(tmp_path / "a.roi", PLANE).objects
    points = [slices[0].points.tolist() for slices in found.values()]
    assert points == [[[3, 5]], [[2, 8]]]


def test_multipoints_on_several_slices(tmp_path: Path) -> None:
    roi = ImagejRoi.frompoints([[5, 3], [8, 2], [9, 9]])
    roi.roitype = ROI_TYPE.POINT
    roi.counters = np.zeros(3, np.uint8)
    roi.counter_positions = np.array([2, 7, 2], np.uint32)
    roi.tofile(tmp_path / "a.roi")
    found = read_selected(tmp_path / "a.roi", STACK).objects
    assert [list(slices) for slices in found.values()] == [[1], [1], [6]]


def test_the_uuid_of_a_roi_without_a_name_is_no_object(tmp_path: Path) -> None:
    roi = ImagejRoi.frompoints([[5, 3], [8, 2], [9, 9]])
    roi.roitype, roi.name = ROI_TYPE.POINT, "12345678-ece5-11f1-817f-02fc00000001"
    roi.tofile(tmp_path / "a.roi")
    assert len(read_selected(tmp_path / "a.roi", PLANE).objects) == 3


def test_annotations_lie_in_planes_of_rows_and_columns(write: Any) -> None:
    path = write(features(("Point", [1, 2], {})), "a.geojson")
    with pytest.raises(ValueError, match="propagate along another axis, or give CSV"):
        read_selected(path, ImageSelection.of_stack((9, 50, 60), 1))


def test_annotations_of_another_image(write: Any) -> None:
    content = {"shapes": [], "imageHeight": 5, "imageWidth": 6}
    with pytest.raises(ValueError, match=r"for an image of 5 x 6 pixels, and this one"):
        read_selected(write(content, "a.json"), PLANE)
