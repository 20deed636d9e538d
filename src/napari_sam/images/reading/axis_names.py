"""Names of axes: letters as in tifffile, their order in memory, which ones are walked.

T time, C channel, Z depth, Y rows, X columns, S colour. Q and I name no axis.
"""

from __future__ import annotations

import string

COLOUR = "S"
PLANE = "YX"
# Only along these are objects followed, unless the user names another axis.
SPACE_AND_TIME = "ZTYX"
UNNAMED = "QI"
# Names for axes without one, from the last axis to the first.
_FREE_NAMES = "ZTC" + "".join(
    letter for letter in string.ascii_uppercase if letter not in "ZTCYXSQI"
)


def name_axes(axes: str) -> str:
    """Give each axis a name of its own.

    Parameters
    ----------
    axes : str
        One letter per axis. Unnamed ones get the names Y and X, if none has them, and
        then Z, T and C, from the last on. Of two axes of the same name, the first is
        unnamed.
    """
    names = [
        "Q" if letter in UNNAMED or letter in axes[i + 1 :] else letter
        for i, letter in enumerate(axes)
    ]
    unnamed = [i for i, name in enumerate(names) if name == "Q"]
    if not set(PLANE) & set(names) and len(unnamed) >= 2:
        names[unnamed.pop()], names[unnamed.pop()] = "X", "Y"
    free = [name for name in _FREE_NAMES if name not in names]
    for i in reversed(unnamed):
        names[i] = free.pop(0)
    return "".join(names)


def in_memory(axes: str) -> str:
    """Return the order of axes in memory: ...YX, and colour last."""
    last = [name for name in PLANE + COLOUR if name in axes]
    return "".join(name for name in axes if name not in last) + "".join(last)


def check_axes(axes: str, shape: tuple[int, ...]) -> str:
    """Return the axes that a user names, in capitals.

    Raises
    ------
    ValueError
        When they do not fit the shape, or rows and columns are missing.
    """
    names = axes.upper()
    problem = None
    if len(names) != len(shape):
        problem = f"has shape {shape}: name {len(shape)} axes"
    elif not names.isascii() or not names.isalpha() or len(set(names)) < len(names):
        problem = "needs a letter of its own for each axis"
    elif not set(PLANE) <= set(names):
        problem = "has rows and columns: name them Y and X"
    elif COLOUR in names and shape[names.index(COLOUR)] not in (3, 4):
        problem = (
            f"has shape {shape}: the axis S is colour and has length 3 or 4; name "
            "channels C"
        )
    if problem is not None:
        raise ValueError(
            f"--axes {axes}: the image {problem}, for instance --axes "
            f"{name_axes('Q' * len(shape))}."
        )
    return names
