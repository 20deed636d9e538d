"""Options of the zoom, and what is known about the object before it is segmented."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np

from napari_sam.checks.values import describe

if TYPE_CHECKING:
    from napari_sam.images.window import Window

Zoom = Literal["auto", "off"] | float


@dataclass(frozen=True, slots=True)
class ZoomHints:
    """What is known about the size of the object under a click.

    Parameters
    ----------
    object_size : float, optional
        Longer side of the objects that were accepted last, in pixels.
    visible : Window, optional
        The part of the plane that the viewer shows: people zoom in on what they mean.
    """

    object_size: float | None = None
    visible: Window | None = None


def check_zoom(value: Any) -> Zoom:
    """Check a zoom, and convert numbers and their strings to float.

    Parameters
    ----------
    value : object
        "auto", "off", or a factor of at least 1.

    Raises
    ------
    ValueError
        When it is neither.
    """
    if isinstance(value, str) and value in ("auto", "off"):
        zoom: Any = value
        return cast("Zoom", zoom)
    try:
        factor = float(value)
    except (TypeError, ValueError):
        factor = np.nan
    if isinstance(value, bool | bytes) or not 1 <= factor < np.inf:
        raise ValueError(
            f'The zoom is {describe(value)}: give "auto", "off", or a factor of at '
            "least 1."
        )
    return factor


class ZoomStep(NamedTuple):
    """A step of an answer: encode a window, or decode prompts in it.

    Parameters
    ----------
    what : {"encode", "decode"}
        What comes next.
    window : Window or None
        Where; None for the whole plane.
    done, total : int
        Prompts that are decoded, and that are to be, in windows chosen so far.
    """

    what: Literal["encode", "decode"]
    window: Window | None
    done: int = 0
    total: int = 0
