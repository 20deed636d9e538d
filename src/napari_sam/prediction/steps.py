"""Work in steps: generators that yield on the way and return a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

Step = TypeVar("Step")
Other = TypeVar("Other")
Result = TypeVar("Result")


def run_to_end(steps: Generator[Any, None, Result]) -> Result:
    """Run all steps and return their result, ignoring what they yield."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: Result = stop.value
            return result


def map_steps(
    convert: Callable[[Step], Other], steps: Generator[Step, None, Result]
) -> Generator[Other, None, Result]:
    """Run steps, and yield each converted; return their result."""
    while True:
        try:
            step = next(steps)
        except StopIteration as stop:
            result: Result = stop.value
            return result
        yield convert(step)
