"""Tables of the speed benchmark in Markdown, and their place in a document."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.speed.timing import gflop_rate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.speed.timing import Cost

OURS = "ours"


@dataclass(frozen=True)
class Row:
    """Ours beside one reference.

    Parameters
    ----------
    work, reference : str
        The task, and the other implementation.
    ours, theirs : Cost
        Time and memory.
    most, most_memory : float, optional
        Highest wanted ratios of time and of extra memory.
    share : float, optional
        Time that the arithmetic takes at the rate of sgemm, over our time.
    difference : float, optional
        Largest absolute difference of the outputs.
    """

    work: str
    reference: str
    ours: Cost
    theirs: Cost
    most: float | None = None
    most_memory: float | None = None
    share: float | None = None
    difference: float | None = None

    def cells(self) -> list[str]:
        time = self.ours.median / self.theirs.median
        memory = self.ours.megabytes / max(self.theirs.megabytes, 0.1)
        return [
            self.work,
            self.reference,
            f"{self.ours.median:.3f}",
            f"{self.theirs.median:.3f}",
            f"{time:.2f}{_wanted(self.most)}",
            f"{self.ours.megabytes:.0f}",
            f"{self.theirs.megabytes:.0f}",
            f"{memory:.2f}{_wanted(self.most_memory)}",
            "" if self.share is None else f"{self.share:.0%}",
            "" if self.difference is None else f"{self.difference:.0e}",
        ]


_HEAD = (
    "work",
    "reference",
    "ours, s",
    "reference, s",
    "time ratio (at most)",
    "ours, MB",
    "reference, MB",
    "memory ratio (at most)",
    "share of sgemm",
    "largest difference",
)


def compared(rows: Sequence[Row], costs: Mapping[str, Cost]) -> list[str]:
    """Return the lines of a table, and the rate of sgemm in the same rounds."""
    rate = f"sgemm in the same rounds: {gflop_rate(costs):.0f} GFLOP/s"
    rounds = len(next(iter(costs.values())).seconds)
    return [
        *table(_HEAD, (row.cells() for row in rows)),
        "",
        f"{rate}, {rounds} rounds.",
    ]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def put(document: Path, part: str, lines: Sequence[str]) -> None:
    """Replace the table of a part in a document.

    Raises
    ------
    ValueError
        When the document has no marks for the part.
    """
    first, last = f"<!-- {part} -->", f"<!-- end of {part} -->"
    text = document.read_text(encoding="utf-8")
    found = re.compile(f"{re.escape(first)}.*?{re.escape(last)}", re.DOTALL)
    if not found.search(text):
        raise ValueError(f"{document} has no place for {part}: write {first} {last}.")
    body = "\n".join([first, "", *lines, "", last])
    document.write_text(found.sub(lambda _: body, text), encoding="utf-8")


def _wanted(most: float | None) -> str:
    return "" if most is None else f" ({most:.2f})"
