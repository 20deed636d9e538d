"""Estimate of the time that a running job still takes."""

from __future__ import annotations

_MINUTE = 60


class TimeLeft:
    """The time left of a job, from the steps that it did lately.

    The first steps do not count: the model was loaded before them, and what was
    encoded earlier passes at once.
    """

    def __init__(self) -> None:
        self._steps: list[tuple[float, int]] = []

    def note(self, seconds: float, done: int) -> None:
        """Note how many steps are done after a time; fewer than before start anew."""
        if self._steps and done < self._steps[-1][1]:
            self._steps = []
        if not self._steps or done > self._steps[-1][1]:
            self._steps.append((seconds, done))

    def seconds(self, now: float, total: int) -> float | None:
        """Return the seconds left until `total` steps; None if too few are done."""
        if len(self._steps) < 2 or total <= self._steps[-1][1]:
            return None
        # The later half of the steps tells how fast it goes now.
        since, first = self._steps[(len(self._steps) - 1) // 2]
        latest, done = self._steps[-1]
        each = (latest - since) / (done - first)
        return max(each * (total - done) - (now - latest), 0.0)


def time_left_text(seconds: float | None, *, at_most: bool = False) -> str:
    """Return ", about 12 s left"; empty when the time is not known.

    Parameters
    ----------
    seconds : float or None
        The estimate.
    at_most : bool
        Whether the job may end earlier.
    """
    if seconds is None:
        return ""
    limit = "at most" if at_most else "about"
    if seconds < 2 * _MINUTE:
        return f", {limit} {max(seconds, 1):.0f} s left"
    return f", {limit} {seconds / _MINUTE:.0f} min left"
