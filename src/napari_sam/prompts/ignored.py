"""What is not used of a file."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Ignored(Counter[str]):
    """Counts of what is not used of a file, by what it is and why."""

    def sentences(self, path: str | Path) -> tuple[str, ...]:
        """Return a sentence for each reason."""
        return tuple(
            f"{path}: {count} ignored: {what}." for what, count in self.items()
        )

    def check_rest(self, path: str | Path, rest: int) -> None:
        """Check that something is left of the file.

        Raises
        ------
        ValueError
            When nothing is, and something was ignored.
        """
        if not rest and self:
            reasons = ", ".join(f"{count} {what}" for what, count in self.items())
            raise ValueError(
                f"{path} has nothing for this part of the image, only {reasons}: "
                "choose another part or file."
            )
