"""Memory of the machine, asked before much of it is taken."""

from __future__ import annotations

# What is left for the work itself, as a fraction of the memory.
_MAX_FRACTION = 0.8
_GIGABYTE = 1e9


class NotEnoughMemoryError(ValueError):
    """More memory is needed than is free; the message says what to do."""


def check_memory(nbytes: float, what: str, cure: str) -> None:
    """Refuse what does not fit into the memory that is free.

    Parameters
    ----------
    nbytes : float
        Bytes that are needed.
    what : str
        What needs them, the subject of a sentence.
    cure : str
        What to do instead.

    Raises
    ------
    NotEnoughMemoryError
        When they are more than four fifths of the free memory.
    """
    free = free_memory()
    if nbytes > _MAX_FRACTION * free:
        raise NotEnoughMemoryError(
            f"{what} needs {nbytes / _GIGABYTE:,.1f} GB of memory, and "
            f"{free / _GIGABYTE:,.1f} GB are free: {cure}."
        )


def free_memory() -> int:
    """Return the bytes of memory that programs can still take."""
    import psutil

    return int(psutil.virtual_memory().available)
