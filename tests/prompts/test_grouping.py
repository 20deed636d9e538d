"""Prompts that describe the same object are joined, numbered or not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.prompts.grouping import PromptEntry, group_entries
from napari_sam.prompts.prompt import Prompt

SMALL, LARGE, FAR = (10, 10, 20, 20), (5, 5, 40, 40), (60, 60, 70, 70)


def box(
    sides: tuple[int, ...], index: int = 3, number: int | None = None
) -> PromptEntry:
    return PromptEntry(f"box {sides}", index, Prompt(box=sides), number)


def click(
    row: float,
    col: float,
    index: int = 3,
    number: int | None = None,
    *,
    positive: bool = True,
) -> PromptEntry:
    prompt = Prompt(points=[(row, col)], labels=[positive])
    return PromptEntry(f"click {row, col}", index, prompt, number, is_point=True)


def summary(entries: list[PromptEntry]) -> dict[int, dict[int, tuple[object, ...]]]:
    """{object: {slice: (box, points on it, points off it)}} in plain numbers."""
    return {
        number: {
            index: (
                None if p.box is None else tuple(p.box.astype(int).tolist()),
                p.positives.tolist(),
                p.negatives.tolist(),
            )
            for index, p in slices.items()
        }
        for number, slices in group_entries(entries).items()
    }


def test_every_box_and_lone_click_is_an_object_in_order() -> None:
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


def test_boxes_of_other_slices_do_not_count() -> None:
    assert summary([box(SMALL, 2), click(12, 12)]) == {
        1: {2: (SMALL, [], [])},
        2: {3: (None, [[12, 12]], [])},
    }


def test_clicks_off_all_objects_belong_to_the_nearest() -> None:
    off = [click(57, 57, positive=False), click(22, 9, positive=False)]
    assert summary([*off, box(SMALL), click(50, 50)]) == {
        1: {3: (SMALL, [], [[22, 9]])},
        2: {3: (None, [[50, 50]], [[57, 57]])},
    }


def test_numbers_join_slices_and_clicks() -> None:
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


def test_the_others_are_numbered_after_the_largest() -> None:
    entries = [box(FAR), box(SMALL, number=7), click(50, 50, number=2)]
    assert list(summary(entries)) == [2, 7, 8]
    assert summary(entries)[8] == {3: (FAR, [], [])}


def test_a_number_goes_before_the_place() -> None:
    entries = [box(SMALL, number=1), click(12, 12, number=2)]
    assert summary(entries) == {
        1: {3: (SMALL, [], [])},
        2: {3: (None, [[12, 12]], [])},
    }


def test_boxes_take_the_number_of_a_click_in_them() -> None:
    entries = [
        *(box(SMALL, 2), click(12, 12, 2, 5)),
        *(box(LARGE, 7), click(12, 12, 7, 5), click(30, 30, 7)),
    ]
    assert summary(entries) == {
        5: {2: (SMALL, [[12, 12]], []), 7: (LARGE, [[12, 12], [30, 30]], [])}
    }


def test_a_click_off_an_object_gives_no_number() -> None:
    entries = [box(SMALL), box(FAR, number=5), click(12, 12, number=5, positive=False)]
    assert summary(entries) == {
        5: {3: (FAR, [], [[12, 12]])},
        6: {3: (SMALL, [], [])},
    }


def test_what_cannot_be_one_object_is_refused_by_name() -> None:
    with pytest.raises(
        ValueError, match=r"box \(10.* and box \(60.* are both boxes of"
    ):
        group_entries([box(SMALL, number=1), box(FAR, number=1)])
    with pytest.raises(
        ValueError, match=r"holds points of objects 1 and 2: number the"
    ):
        group_entries([box(SMALL), click(12, 12, number=1), click(13, 13, number=2)])
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
def test_no_prompt_is_lost_or_doubled(entries: list[PromptEntry]) -> None:
    grouped = group_entries(entries)
    assert list(grouped) == list(range(1, len(grouped) + 1))
    joined = [(i, p) for slices in grouped.values() for i, p in slices.items()]
    boxes = [(i, tuple(p.box)) for i, p in joined if p.box is not None]
    points = [
        (i, tuple(q)) for i, p in joined if p.points is not None for q in p.points
    ]
    given_boxes = [(e.index, tuple(e.prompt.box)) for e in entries if not e.is_point]
    clicks = [(e.index, tuple(e.prompt.points[0])) for e in entries if e.is_point]
    assert sorted(boxes) == sorted(given_boxes)
    assert sorted(points) == sorted(clicks)
