"""Prompts are read from CSV as napari writes it, and from JSON.

That napari writes it so is tested in tests/plugin/layers/test_prompt_files.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from napari_sam.prompts.files import read_prompts
from napari_sam.prompts.prompt import Prompt
from napari_sam.prompts.serialization import prompt_to_json
from napari_sam.prompts.shapes import ellipse_mask, points_along, polygon_mask

if TYPE_CHECKING:
    from pathlib import Path

POINTS = "index,axis-0,axis-1,axis-2"
SHAPES = "index,shape-type,vertex-index,axis-0,axis-1,axis-2"
SQUARE = [(10, 20), (10, 40), (30, 40), (30, 20)]


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(content: Any, name: str = "prompts.csv") -> Path:
        path = tmp_path / name
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def shape(
    kind: str, vertices: list[tuple[float, float]], index: float = 12, number: int = 0
) -> str:
    return "".join(
        f"{number},{kind},{plane_index},{index},{row},{col}\n"
        for plane_index, (row, col) in enumerate(vertices)
    )


# -- Points --------------------------------------------------------------------


def test_points_are_objects_of_their_own(write: Any) -> None:
    path = write(f"{POINTS}\n0.0,3.0,4.5,5.0\n1.0,3.0,40.0,50.0\n")
    found = read_prompts(path)
    assert {number: list(slices) for number, slices in found.items()} == {
        1: [3],
        2: [3],
    }
    assert_array_equal(found[1][3].points, [(4.5, 5)])
    assert found[1][3].labels.tolist() == [1]


@pytest.mark.parametrize(
    ("axis", "index", "point"),
    [(0, 3, (4, 5)), (1, 4, (3, 5)), (2, 5, (3, 4)), (-1, 5, (3, 4))],
)
def test_the_axis_of_the_stack(
    write: Any, axis: int, index: int, point: tuple[int, int]
) -> None:
    found = read_prompts(write(f"{POINTS}\n0,3,4,5\n"), axis)
    assert_array_equal(found[1][index].points, [point])


def test_points_of_a_plane(write: Any) -> None:
    found = read_prompts(write("axis-0,axis-1\n4,5\n"), ndim=2)
    assert_array_equal(found[1][0].points, [(4, 5)])


@pytest.mark.parametrize(
    ("position", "index"), [(2.4, 2), (2.5, 3), (-0.5, 0), (2.4999999999, 3), (0, 0)]
)
def test_points_lie_on_the_nearest_slice(
    write: Any, position: float, index: int
) -> None:
    assert list(read_prompts(write(f"{POINTS}\n0,{position},4,5\n"))[1]) == [index]


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
    found = read_prompts(path)
    labels = [prompt[3].labels.tolist() for prompt in found.values()]
    assert labels == ([[1], [1]] if label else [[1, 0]])


def test_classes_in_a_column_of_labels_are_no_polarity(write: Any) -> None:
    assert len(read_prompts(write(f"{POINTS},label\n0,3,4,5,cell\n"))) == 1


def test_polarity_goes_before_label(write: Any) -> None:
    path = write(f"{POINTS},label,polarity\n0,3,4,5,0,positive\n")
    assert read_prompts(path)[1][3].labels.tolist() == [1]


def test_object_numbers_join_points(write: Any) -> None:
    path = write(f"{POINTS},object\n0,3,4,5,2.0\n1,3,6,7,2\n2,8,1,1,2\n3,8,9,9,\n")
    found = read_prompts(path)
    assert {number: list(slices) for number, slices in found.items()} == {
        2: [3, 8],
        3: [8],
    }
    assert_array_equal(found[2][3].points, [(4, 5), (6, 7)])


# -- Shapes --------------------------------------------------------------------


def test_a_rectangle_is_a_box(write: Any) -> None:
    prompt = read_prompts(write(f"{SHAPES}\n{shape('rectangle', SQUARE)}"))[1][12]
    assert prompt.kinds == {"box"}
    assert_array_equal(prompt.box, (10, 20, 30, 40))


def test_a_turned_rectangle_is_the_box_around_it(write: Any) -> None:
    corners = [(10.0, 20.0), (20.0, 30.0), (10.0, 40.0), (0.0, 30.0)]
    prompt = read_prompts(write(f"{SHAPES}\n{shape('rectangle', corners)}"))[1][12]
    assert prompt.kinds == {"box"}
    assert_array_equal(prompt.box, (0, 20, 20, 40))


@pytest.mark.parametrize(
    ("kind", "make"), [("polygon", polygon_mask), ("ellipse", ellipse_mask)]
)
@pytest.mark.parametrize("plane_shape", [None, (50, 60), (25, 30)])
def test_ellipses_and_polygons_give_their_inside_as_well(
    write: Any, kind: str, make: Any, plane_shape: tuple[int, int] | None
) -> None:
    path = write(f"{SHAPES}\n{shape(kind, SQUARE)}")
    prompt = read_prompts(path, plane_shape=plane_shape)[1][12]
    assert_array_equal(prompt.box, (10, 20, 30, 40))
    origin, mask = make(np.array(SQUARE, float), plane_shape or (99, 99))
    assert prompt.mask_origin == origin
    assert_array_equal(prompt.mask, mask)
    prompt.within(plane_shape or (50, 60))


@pytest.mark.parametrize("kind", ["line", "path"])
def test_lines_are_points_along_them(write: Any, kind: str) -> None:
    ends = [(0.0, 0.0), (8.0, 4.0)]
    found = read_prompts(write(f"{SHAPES}\n{shape(kind, ends)}"))
    assert_array_equal(found[1][12].points, points_along(np.array(ends)))
    assert found[1][12].labels.all()


def test_every_box_is_an_object_unless_numbered(write: Any) -> None:
    boxes = [shape("rectangle", SQUARE, index, number=index) for index in (3, 4)]
    assert list(read_prompts(write(f"{SHAPES}\n{''.join(boxes)}"))) == [1, 2]
    lines = [f"{line},6\n" for line in "".join(boxes).splitlines()]
    found = read_prompts(write(f"{SHAPES},object\n{''.join(lines)}"))
    assert {number: list(slices) for number, slices in found.items()} == {6: [3, 4]}


def test_points_and_boxes_of_two_files(write: Any) -> None:
    points = write(
        f"{POINTS},polarity,object\n0,12,15,25,positive,3\n1,12,5,5,negative,\n",
        "p.csv",
    )
    boxes = write(f"{SHAPES}\n{shape('rectangle', SQUARE)}", "b.csv")
    for files in ([points, boxes], [boxes, points]):
        ((number, slices),) = read_prompts(files).items()
        assert (number, list(slices)) == (3, [12])
        assert_array_equal(slices[12].box, (10, 20, 30, 40))
        assert slices[12].positives.tolist() == [[15, 25]]
        assert slices[12].negatives.tolist() == [[5, 5]]


# -- JSON ----------------------------------------------------------------------


def test_a_list_of_prompts(write: Any) -> None:
    content = [
        {"object": 2, "slice": 12, "box": [1, 2, 8, 9], "points": [[3, 3]]},
        {"object": 2, "slice": 20, "points": [[3, 3], [5, 5]], "labels": [1, 0]},
        {"slice": 12, "points": [[3, 4], [4, 4]]},
    ]
    found = read_prompts(write(content, "prompts.json"))
    assert {number: sorted(slices) for number, slices in found.items()} == {
        2: [12, 20],
        3: [12],
    }
    assert found[2][12].kinds == {"box", "point"}
    assert found[2][20].labels.tolist() == [1, 0]
    assert len(found[3][12].points) == 2


def test_objects_and_slices(write: Any) -> None:
    content = {"4": {"6": {"box": [1, 2, 3, 4]}, "9": {"points": [[1, 2]]}}, "5": {}}
    found = read_prompts(write(content, "prompts.json"))
    assert {number: sorted(slices) for number, slices in found.items()} == {4: [6, 9]}


def test_a_list_of_prompts_on_a_plane(write: Any) -> None:
    content = [{"box": [1, 2, 8, 9]}, {"object": 1, "points": [[30, 30]]}]
    found = read_prompts(write(content, "prompts.json"), ndim=2)
    assert [slices[0].kinds for slices in found.values()] == [{"point"}, {"box"}]


def test_masks_are_read(write: Any) -> None:
    prompt = Prompt(mask=np.eye(4, dtype=bool), mask_origin=(2, 3))
    path = write([{"slice": 1, **prompt_to_json(prompt)}], "prompts.json")
    found = read_prompts(path)[1][1]
    assert found.mask_origin == (2, 3)
    assert_array_equal(found.mask, prompt.mask)


positions = st.integers(0, 50).map(float)
prompts = st.builds(
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
        st.integers(1, 9), st.dictionaries(st.integers(0, 9), prompts, min_size=1)
    )
)
def test_what_is_written_is_read_in_both_forms(
    objects: dict[int, dict[int, Prompt]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("prompts") / "prompts.json"
    nested = {
        number: {index: prompt_to_json(prompt) for index, prompt in slices.items()}
        for number, slices in objects.items()
    }
    listed = [
        {"object": number, "slice": index, **prompt}
        for number, slices in nested.items()
        for index, prompt in slices.items()
    ]
    for content in (nested, listed):
        path.write_text(json.dumps(content), encoding="utf-8")
        assert {
            number: {index: prompt_to_json(prompt) for index, prompt in slices.items()}
            for number, slices in read_prompts(path).items()
        } == nested


# -- what is refused -----------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", r"has the columns \(none\): give a Points or Shapes layer"),
        ("a,b\n1,2\n", "has the columns a, b: give a Points or Shapes layer"),
        ("axis-0,axis-1\n1,2\n", "with axis-0, axis-1, axis-2, as many as the image"),
        (f"{POINTS},axis-3\n0,1,2,3,4\n", "as many as the image has"),
        (f"{POINTS}\n0,1,2\n", "row 1 has 3 values for 4 columns"),
        (f"{POINTS}\n0,1,2,3\n1,1,x,3\n", "row 2 has 'x' as axis-1: give a number"),
        (f"{POINTS}\n0,1,2,nan\n", "row 1 has 'nan' as axis-2: give a number"),
        (f"{POINTS}\n0,-1,2,3\n", "row 1 lies on slice -1: slices begin at 0"),
        (f"{POINTS},polarity\n0,1,2,3,up\n", "row 1 has polarity 'up': write positive"),
        (f"{POINTS},object\n0,1,2,3,0\n", "row 1: Object id 0 is not a label"),
        (f"{POINTS},object\n0,1,2,3,1.5\n", "row 1: Object id 1.5 is not a label"),
        (f"{POINTS},object\n0,1,2,3,inf\n", "row 1: Object id inf is not a label"),
        (f"{POINTS},object\n0,1,2,3,cell\n", "row 1: Object id cell is not a label"),
        (f"{SHAPES}\n{shape('star', SQUARE)}", "shape 0 is a 'star': give one of rect"),
        (f"{SHAPES}\n0,line,0,1,2,3\n0,line,1,4,2,3\n", "reaches from slice 1 to 4"),
        (f"{POINTS}\n0,1,2,{'3' * 200_000}\n", "is not CSV in UTF-8"),
    ],
)
def test_tables_that_say_something_else(
    write: Any, content: str, sentence: str
) -> None:
    with pytest.raises(ValueError, match=rf"prompts\.csv.*{sentence}"):
        read_prompts(write(content))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "is not JSON"),
        (5, "holds no dict or list of prompts"),
        ([5], "entry 1: 5 is no prompt"),
        (
            [{"slice": 1, "box": [1, 2, 3, 4]}, {"slice": 1}],
            "entry 2: The prompt is empty",
        ),
        ([{"slice": 1, "bax": []}], "entry 1: .* is no prompt"),
        ([{"slice": 1, "box": [1, 2, 3]}], r"entry 1: The box has shape \(3,\)"),
        (
            [{"slice": 1, "points": [[1, 2]], "labels": [2]}],
            "entry 1: Point labels are",
        ),
        ([{"box": [1, 2, 3, 4]}], 'entry 1 names no slice, .* add "slice": 12'),
        ([{"slice": -1, "box": [1, 2, 3, 4]}], "entry 1: -1 is not a slice"),
        ([{"slice": "1", "box": [1, 2, 3, 4]}], "entry 1: '1' is not a slice"),
        ([{"slice": 1.5, "box": [1, 2, 3, 4]}], "entry 1: 1.5 is not a slice"),
        ([{"slice": True, "box": [1, 2, 3, 4]}], "entry 1: True is not a slice"),
        (
            [{"object": 0, "slice": 1, "box": [1, 2, 3, 4]}],
            "Object id 0 is not a label",
        ),
        ([{"object": "a", "slice": 1, "box": [1, 2, 3, 4]}], "Object id a is not a"),
        ({"1": []}, "object 1 has no slices"),
        ({"1": {"x": {"box": [1, 2, 3, 4]}}}, "'x' is not a slice or object number"),
        ({"1": {"2": {}}}, "object 1, slice 2: The prompt is empty"),
    ],
)
def test_json_that_says_something_else(write: Any, content: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=rf"prompts\.json.*{sentence}"):
        read_prompts(write(content, "prompts.json"))


def test_a_plane_has_no_slices(write: Any) -> None:
    with pytest.raises(ValueError, match="entry 1 names a slice, and the image is one"):
        read_prompts(write([{"slice": 1, "box": [1, 2, 3, 4]}], "a.json"), ndim=2)
    with pytest.raises(ValueError, match="holds no list of prompts"):
        read_prompts(write({"1": {"2": {}}}, "a.json"), ndim=2)


def test_files_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_bytes(f"{POINTS},größe\n0,1,2,3,4\n".encode("latin-1"))
    with pytest.raises(ValueError, match="is not CSV in UTF-8"):
        read_prompts(path)
    path.write_text(f"{POINTS}\n0,1,2,3\n", encoding="utf-8-sig")
    assert len(read_prompts(path)) == 1


def test_axes_that_are_not_there(write: Any) -> None:
    path = write(f"{POINTS}\n0,1,2,3\n")
    with pytest.raises(ValueError, match="axis=3 is out of range"):
        read_prompts(path, axis=3)
    with pytest.raises(ValueError, match="ndim=4: prompts are read for 2 or 3 axes"):
        read_prompts(path, ndim=4)


def test_no_file(tmp_path: Path) -> None:
    assert read_prompts([]) == {}
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        read_prompts(tmp_path / "none.csv")
