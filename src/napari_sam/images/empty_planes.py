"""Planes that show nothing: black or white all over at their contrast limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import ArrayLike, NDArray

_MAX_NAMED = 5


class NothingShownError(ValueError):
    """A plane that shows nothing, in which no object can be segmented."""


def shows_nothing(pixels: NDArray[np.uint8]) -> bool:
    """Tell whether an 8-bit plane is black or white, or each of its channels is."""
    first = pixels[0, 0]
    if not np.isin(first, (0, 255)).all():
        return False
    # The first row tells of most planes.
    return bool((pixels[0] == first).all() and (pixels == first).all())


def nothing_shown_text(
    contrast_limits: ArrayLike | None,
    subject: str = "The slice",
    remedy: str = "choose another slice",
) -> str:
    """Say that a slice shows nothing, and what to do.

    Parameters
    ----------
    contrast_limits : array-like, optional
        (low, high), or a pair for each channel; None when the values are unchanged.
    subject : str
        What shows nothing.
    remedy : str
        What to do, unless the contrast limits are changed.
    """
    if contrast_limits is None:
        what = "nothing: all of it has the same colour"
    elif np.ndim(contrast_limits) > 1:
        what = "nothing between the contrast limits of its channels"
    else:
        low, high = np.asarray(contrast_limits, float).tolist()
        what = f"nothing between the contrast limits {low:g} and {high:g}"
    return f"{subject} shows {what}: change the limits, or {remedy}."


def empty_slices_warnings(slices: Collection[int]) -> tuple[str, ...]:
    """Return a sentence about the slices of a stack that show nothing, if any."""
    if not slices:
        return ()
    named = ", ".join(map(str, sorted(slices)[:_MAX_NAMED]))
    which = f"Slice {named} shows"
    if len(slices) > 1:
        more = ", ..." * (len(slices) > _MAX_NAMED)
        which = f"{len(slices)} slices ({named}{more}) show"
    return (f"{which} nothing between the contrast limits: no object was found there.",)
