"""What a job costs: images, prompts, bytes and time."""

from __future__ import annotations

from dataclasses import dataclass

_GIGABYTE = 1e9


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """Work of a job.

    Parameters
    ----------
    encodes : int
        Images that the model encodes.
    prompts : int
        Prompts that it answers.
    bytes_read : int
        Pixels that are read, uncompressed: whole chunks, as often as a task needs them.
    bytes_written : int
        Labels of all levels, uncompressed.
    seconds : float
        On this computer alone, from the time of one plane.
    """

    encodes: int
    prompts: int
    bytes_read: int
    bytes_written: int
    seconds: float

    @property
    def text(self) -> str:
        """A sentence."""
        return (
            f"{self.encodes:,} images to encode and {self.prompts:,} prompts, "
            f"{self.bytes_read / _GIGABYTE:,.2f} GB to read and "
            f"{self.bytes_written / _GIGABYTE:,.2f} GB to write, about "
            f"{duration_text(self.seconds)} on this computer."
        )


def duration_text(seconds: float) -> str:
    """Describe a time in two units at most."""
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if days >= 2:
        return f"{days:.1f} days"
    if hours >= 2:
        return f"{hours:.1f} h"
    if minutes >= 2:
        return f"{minutes:.0f} min"
    return f"{seconds:.0f} s"
