"""The model's alternatives for the objects that wait."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_sam.prediction.click_sequence import SIZES, Size, prefer, size_of
from napari_sam.requests.plane import SliceRequest

if TYPE_CHECKING:
    from napari_sam.plugin.state.layer_request import Question
    from napari_sam.requests.base import Result


def has_choice(result: Result) -> bool:
    """Whether there are several candidates for any of the objects."""
    return any(len(p.candidates) > 1 for p in result.predictions)


def shown_candidate(result: Result) -> tuple[Size, int] | None:
    """Size of the shown candidates, and how many there are; None without a choice."""
    for prediction in result.predictions:
        size = size_of(prediction)
        if size is not None:
            return size, len(prediction.candidates)
    return None


def with_next_size(question: Question, result: Result) -> tuple[Question, Result]:
    """The candidates of the next size, and the question that they answer."""
    request = question.request
    shown = shown_candidate(result)
    assert isinstance(request, SliceRequest)
    assert shown is not None
    size, count = shown
    offered = SIZES if count > 2 else ("small", "large")
    at = offered.index(size) if size in offered else -1
    wanted = offered[(at + 1) % len(offered)]
    predictions = [prefer(p, wanted) for p in result.predictions]
    changed = replace(request, size=wanted)
    answer = changed.finish(result.model, result.limits, predictions)
    return replace(question, request=changed), answer
