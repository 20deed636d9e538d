"""Estimate of the time that the propagation through a stack takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, exp, isfinite, log, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from napari_sam.images.window import Window

# Slices beyond its expected end that are looked at before an object counts as ended.
_SLICES_BEYOND = 2
_MINUTE = 60
# The two estimates are told apart when they differ by more than this factor.
_SAME_TIME = 1.5
# The first guess of a depth counts as much as this many slices of the object.
_GUESS_SLICES = 2
# And as much as half an object that has ended.
_GUESS_OBJECTS = 0.5
# Half the depth of an object that ends is between these, in that of the first guess.
_RATIOS = 0.25, 4.0


@dataclass(frozen=True, slots=True)
class ExpectedRange:
    """A range of slices that an object is about to be followed through.

    Parameters
    ----------
    object_id : int
        The object.
    slices : tuple of int
        The slices, from the prompted one on.
    window : Window or None
        The window in which the object starts.
    depth : float
        Half the depth of an object that is as deep as it is wide, in slices; infinite
        between two prompted slices, where the object exists on all of them.
    """

    object_id: int
    slices: tuple[int, ...]
    window: Window | None
    depth: float

    @property
    def likely(self) -> tuple[int, ...]:
        """The slices that are looked at when the object is as deep as it is wide."""
        if self.depth >= len(self.slices):
            return self.slices
        return self.slices[: ceil(max(self.depth, 0)) + _SLICES_BEYOND]

    def after(self, index: int) -> ExpectedRange:
        """Return what is left after a slice was looked at."""
        if index not in self.slices:
            return self
        count = self.slices.index(index) + 1
        return replace(self, slices=self.slices[count:], depth=self.depth - count)


class RemainingWork:
    """Windows of slices that a propagation has encoded, and those it likely will.

    Encoding takes nearly all of the time. While an object has not ended, some slices
    are left; once it has, none. How fast an object gets smaller tells where it will
    end, and the objects that ended tell of the others.
    """

    def __init__(self) -> None:
        self._encoded: set[tuple[int, Window | None]] = set()
        self._ranges: dict[Hashable, ExpectedRange] = {}
        self._guesses: dict[Hashable, float] = {}
        self._seen: dict[Hashable, int] = {}
        self._ratios: list[float] = []
        self._is_known = False

    @property
    def done(self) -> int:
        """Number of windows that were encoded."""
        return len(self._encoded)

    @property
    def total(self) -> int:
        """Number of windows, done and left; 0 before anything is known."""
        left = {
            (i, found.window)
            for key, found in self._ranges.items()
            for i in self._adapted(key, found).likely
        }
        return len(self._encoded | left) if self._is_known else 0

    def expect(self, ranges: dict[Hashable, ExpectedRange]) -> None:
        """Set the ranges that objects are about to be followed through."""
        self._ranges, self._is_known = dict(ranges), True
        self._guesses = {key: found.depth for key, found in ranges.items()}
        self._seen, self._ratios = dict.fromkeys(ranges, 0), []

    def note_encoded(self, index: int, window: Window | None) -> None:
        """Note that a window of a slice was encoded."""
        self._encoded.add((index, window))

    def note_slice(
        self, key: Hashable, index: int, has_ended: bool, size: float | None = None
    ) -> None:
        """Note that an object was looked for on a slice of its range.

        Parameters
        ----------
        key : hashable
            The range.
        index : int
            The slice.
        has_ended : bool
            Whether the object was not followed further.
        size : float, optional
            Width of the object on the slice, relative to that where its range starts;
            None when it is not known.
        """
        found = self._ranges.pop(key, None)
        if found is None:
            return
        after = found.after(index)
        self._seen[key] += len(found.slices) - len(after.slices)
        if has_ended:
            self._note_end(key)
            return
        if size is not None and isfinite(after.depth):
            depth = _adapted_depth(self._guess(key), self._seen[key], size)
            after = replace(after, depth=depth - self._seen[key])
        self._ranges[key] = after

    def _note_end(self, key: Hashable) -> None:
        guess, seen = self._guesses[key], self._seen[key]
        if isfinite(guess) and guess > 0:
            low, high = _RATIOS
            self._ratios.append(min(max(seen / guess, low), high))

    def _adapted(self, key: Hashable, found: ExpectedRange) -> ExpectedRange:
        """Expect of an object that was not followed yet what the others did."""
        return found if self._seen[key] else replace(found, depth=self._guess(key))

    def _guess(self, key: Hashable) -> float:
        """Return the first guess of a depth, corrected by the objects that ended."""
        total = sum(map(log, self._ratios))
        return self._guesses[key] * exp(total / (len(self._ratios) + _GUESS_OBJECTS))


def _adapted_depth(guess: float, slices: int, size: float) -> float:
    """Return half the depth of an object that has a size some slices further.

    The cross-section of an ellipsoid shrinks to sqrt(1 - (slices / depth)^2). The first
    guess counts less from slice to slice.
    """
    if size >= 1:
        return max(guess, slices + _GUESS_SLICES)
    seen = slices / sqrt(1 - size**2)
    weight = slices / (slices + _GUESS_SLICES)
    return guess * exp(weight * log(seen / guess)) if guess > 0 else seen


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a propagation has before it, once the prompted slices are segmented.

    Parameters
    ----------
    objects, windows, slices : int
        Number of objects to follow, of the windows in which they start, and of slices
        to which they may extend.
    likely, most : float or None
        Seconds when the objects are as deep as they are wide, and when they reach the
        ends of the stack; None when nothing was encoded that could be measured.
    """

    objects: int
    windows: int
    slices: int
    likely: float | None
    most: float | None

    @classmethod
    def of(
        cls, ranges: Iterable[ExpectedRange], seconds_each: float | None
    ) -> Estimate | None:
        """Estimate; None when nothing is left to do.

        Parameters
        ----------
        ranges : iterable of ExpectedRange
            All ranges.
        seconds_each : float or None
            Time to encode one window.
        """
        found = [r for r in ranges if r.slices]
        if not found:
            return None
        # Objects in one window of a slice share its encoding.
        likely = {(i, r.window) for r in found for i in r.likely}
        most = {(i, r.window) for r in found for i in r.slices}
        return cls(
            len({r.object_id for r in found}),
            len({r.window for r in found}),
            len({i for r in found for i in r.slices}),
            None if seconds_each is None else seconds_each * len(likely),
            None if seconds_each is None else seconds_each * len(most),
        )

    @property
    def text(self) -> str:
        """A sentence for the user."""
        what = _count(self.objects, "object")
        if self.windows > 1:
            what += f" in {self.windows} windows"
        what += f" through up to {_count(self.slices, 'slice')}"
        if self.likely is None or self.most is None:
            return f"Following {what}"
        when = f"about {_duration(self.likely)}"
        if self.most > _SAME_TIME * self.likely:
            when += f" if they are as deep as wide, at most {_duration(self.most)}"
        return f"Following {what}: {when}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    """Describe a duration in whole seconds, minutes or hours."""
    for limit, unit in ((_MINUTE, "s"), (_MINUTE**2, "min")):
        if seconds < 1.5 * limit:
            return f"{max(round(seconds * _MINUTE / limit), 1)} {unit}"
    return f"{round(seconds / _MINUTE**2)} h"
