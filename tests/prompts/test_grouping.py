"""Grouping of prompts into objects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.prompts.grouping import PromptEntry, group_entries
from napari_sam.prompts.prompt import Prompt

SMALL, LARGE, FAR = (10, 10, 20, 20), (5, 5, 40, 40), (60, 60, 70, 70)


def box(
    sides: tuple[int, ...], slice_index: int = 3, object_id: int | None = None
) -> PromptEntry:
    return PromptEntry(f"box {sides}", slice_index, Prompt(box=sides), object_id)


def click(
    row: float,
    col: float,
    slice_index: int = 3,
    object_id: int | None = None,
    *,
    positive: bool = True,
) -> PromptEntry:
    prompt = Prompt(points=[(row, col)], labels=[positive])
    return PromptEntry(
        f"click {row, col}", slice_index, prompt, object_id, is_point=True
    )


def summary(entries: list[PromptEntry]) -> dict[int, dict[int, tuple[object, ...]]]:
    """{object: {slice: (box, positive points, negative points)}} in plain numbers."""
    return {
        object_id: {
            slice_index: (
                None if p.box is None else tuple(p.box.astype(int).tolist()),
                p.positives.tolist(),
                p.negatives.tolist(),
            )
            for slice_index, p in slices.items()
        }
        for object_id, slices in group_entries(entries).items()
    }


def test_boxes_and_single_clicks_are_objects_in_order() -> None:
    assert summary([click(50, 50), box(FAR, 9), box(SMALL)]) == {
        1: {3: (None, [[50, 50]], [])},
        2: {9: (FAR, [], [])},
        3: {3: (SMALL, [], [])},
    }


def test_clicks_belong_to_the_smallest_box_around_them() -> None:
    entries = [click(12, 12), box(LARGE), box(SMALL), click(30, 30, positive=False)]
    assert summary(entries) == {
        1: {3: (LARGE, [], [[30, 30]])},
        2: {3: (SMALL, [[12, 12]], [])},
    }


def test_boxes_of_other_slices_are_ignored() -> None:
    assert summary([box(SMALL, 2), click(12, 12)]) == {
        1: {2: (SMALL, [], [])},
        2: {3: (None, [[12, 12]], [])},
    }


def test_negative_clicks_outside_boxes_belong_to_the_nearest_object() -> None:
    off = [click(57, 57, positive=False), click(22, 9, positive=False)]
    assert summary([*off, box(SMALL), click(50, 50)]) == {
        1: {3: (SMALL, [], [[22, 9]])},
        2: {3: (None, [[50, 50]], [[57, 57]])},
    }


def test_object_ids_join_slices_and_clicks() -> None:
    entries = [
        *(box(SMALL, 2, 4), box(LARGE, 7, 4)),
        *(click(1, 1, 2, 4), click(2, 2, 2, 4, positive=False), click(3, 3, 9, 4)),
    ]
    assert summary(entries) == {
        4: {
            2: (SMALL, [[1, 1]], [[2, 2]]),
            7: (LARGE, [], []),
            9: (None, [[3, 3]], []),
        }
    }


def test_entries_without_id_are_numbered_after_the_largest() -> None:
    entries = [box(FAR), box(SMALL, object_id=7), click(50, 50, object_id=2)]
    assert list(summary(entries)) == [2, 7, 8]
    assert summary(entries)[8] == {3: (FAR, [], [])}


def test_object_ids_have_precedence_over_positions() -> None:
    entries = [box(SMALL, object_id=1), click(12, 12, object_id=2)]
    assert summary(entries) == {
        1: {3: (SMALL, [], [])},
        2: {3: (None, [[12, 12]], [])},
    }


def test_boxes_get_the_id_of_a_click_inside() -> None:
    entries = [
        *(box(SMALL, 2), click(12, 12, 2, 5)),
        *(box(LARGE, 7), click(12, 12, 7, 5), click(30, 30, 7)),
    ]
    assert summary(entries) == {
        5: {2: (SMALL, [[12, 12]], []), 7: (LARGE, [[12, 12], [30, 30]], [])}
    }


def test_negative_clicks_give_no_id() -> None:
    entries = [
        box(SMALL),
        box(FAR, object_id=5),
        click(12, 12, object_id=5, positive=False),
    ]
    assert summary(entries) == {
        5: {3: (FAR, [], [[12, 12]])},
        6: {3: (SMALL, [], [])},
    }


def test_contradictions_are_refused_by_source() -> None:
    with pytest.raises(
        ValueError, match=r"box \(10.* and box \(60.* are both boxes of"
    ):
        group_entries([box(SMALL, object_id=1), box(FAR, object_id=1)])
    with pytest.raises(ValueError, match=r"holds points of objects 1 and 2"):
        group_entries(
            [box(SMALL), click(12, 12, object_id=1), click(13, 13, object_id=2)]
        )
    with pytest.raises(
        ValueError, match=r"click .* there is no object on its slice: add"
    ):
        group_entries([box(SMALL), click(12, 12, 4, positive=False)])


entries = st.lists(
    st.one_of(
        st.builds(
            box,
            st.sampled_from([SMALL, LARGE, FAR]),
            st.integers(0, 2),
        ),
        st.builds(click, st.integers(0, 80), st.integers(0, 80), st.integers(0, 2)),
    ),
    max_size=8,
)


@given(entries=entries)
def test_each_prompt_is_used_once(entries: list[PromptEntry]) -> None:
    grouped = group_entries(entries)
    assert list(grouped) == list(range(1, len(grouped) + 1))
    joined = [(i, p) for slices in grouped.values() for i, p in slices.items()]
    boxes = [(i, tuple(p.box)) for i, p in joined if p.box is not None]
    points = [
        (i, tuple(q)) for i, p in joined if p.points is not None for q in p.points
    ]
    given_boxes = [
        (e.slice_index, tuple(e.prompt.box)) for e in entries if not e.is_point
    ]
    clicks = [(e.slice_index, tuple(e.prompt.points[0])) for e in entries if e.is_point]
    assert sorted(boxes) == sorted(given_boxes)
    assert sorted(points) == sorted(clicks)
