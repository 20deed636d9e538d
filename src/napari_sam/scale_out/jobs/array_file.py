"""Arrays in a file that is quick to write and read: tasks have many small ones."""

from __future__ import annotations

import json
import zlib
from os import SEEK_END
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.files import first_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import BinaryIO

    from numpy.typing import ArrayLike, NDArray

_MAGIC = b"napari-sam arrays\n"
_LENGTH_BYTES = 8
_LEVEL = 1  # fast rather than small
# Numbers, truth values and text; never objects.
_KINDS = frozenset("biufU")


class DamagedArraysError(ValueError):
    """The content of a file of arrays is damaged."""


def write_arrays(
    stream: BinaryIO, arrays: Mapping[str, ArrayLike], compressed: bool = True
) -> None:
    """Write arrays after a header that describes them.

    Parameters
    ----------
    stream : file
        Where to write.
    arrays : mapping
        {name: array} of numbers, truth values or text.
    compressed : bool
        Whether to compress them, quickly.
    """
    entries, contents = [], []
    for name, values in arrays.items():
        array = np.asarray(values)
        if array.dtype.kind not in _KINDS:
            raise TypeError(f"The array {name} has the type {array.dtype}.")
        content = array.tobytes()
        if compressed:
            content = zlib.compress(content, _LEVEL)
        check = None if compressed else zlib.crc32(content)
        entries.append([name, array.dtype.str, array.shape, len(content), check])
        contents.append(content)
    header = json.dumps(entries).encode()
    length = len(header).to_bytes(_LENGTH_BYTES, "little")
    header_check = zlib.crc32(header).to_bytes(_LENGTH_BYTES, "little")
    stream.write(b"".join([_MAGIC, length, header_check, header, *contents]))


def read_arrays(
    stream: BinaryIO, names: Iterable[str] | None = None
) -> dict[str, NDArray[Any]]:
    """Read what `write_arrays` wrote.

    Parameters
    ----------
    stream : file
        Where to read.
    names : iterable of str, optional
        Arrays to read; all when None.

    Raises
    ------
    DamagedArraysError
        When the file is damaged, or lacks one of the arrays.
    OSError, MemoryError
        When it cannot be read, whether it is damaged or not.
    """
    try:
        return _read(stream, names)
    except (LookupError, TypeError, ValueError, zlib.error) as error:
        raise DamagedArraysError(
            f"it cannot be unpacked: {first_line(error)}"
        ) from error


def _read(stream: BinaryIO, names: Iterable[str] | None) -> dict[str, NDArray[Any]]:
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it is no file of arrays")
    length, header_check = (
        int.from_bytes(stream.read(_LENGTH_BYTES), "little") for _ in range(2)
    )
    start = stream.tell()
    is_whole = start + length <= stream.seek(0, SEEK_END)
    stream.seek(start)
    header = stream.read(length) if is_whole else b""
    if len(header) != length or zlib.crc32(header) != header_check:
        raise ValueError("its header is incomplete")
    places, start = {}, stream.tell()
    for name, *entry, size, check in json.loads(header):
        places[name] = *entry, start, size, check
        start += size
    found = {}
    for name in places if names is None else names:
        dtype, shape, start, size, check = places[name]
        stream.seek(start)
        content = stream.read(size)
        if check is None:  # compressed bytes have a check sum of their own
            content = zlib.decompress(content)
        elif zlib.crc32(content) != check:
            raise ValueError(f"the array {name} is incomplete")
        found[name] = np.ndarray(shape, dtype, bytearray(content))
    return found
