"""Arrays in a file that is quick to write and read: tasks have many small ones."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import BinaryIO

    from numpy.typing import ArrayLike, NDArray

_MAGIC = b"napari-sam arrays\n"
_LENGTH_BYTES = 8
# Fast rather than small; 0 keeps the bytes as they are.
_LEVEL = 1
# Numbers, truth values and text; never objects.
_KINDS = frozenset("biufU")


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
        content = zlib.compress(array.tobytes(), _LEVEL if compressed else 0)
        entries.append([name, array.dtype.str, array.shape, len(content)])
        contents.append(content)
    header = json.dumps(entries).encode()
    length = len(header).to_bytes(_LENGTH_BYTES, "little")
    check = zlib.crc32(header).to_bytes(_LENGTH_BYTES, "little")
    stream.write(b"".join([_MAGIC, length, check, header, *contents]))


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
    ValueError, KeyError, zlib.error
        When the file is damaged, or lacks one of the arrays.
    """
    if stream.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("it is no file of arrays")
    length, check = (
        int.from_bytes(stream.read(_LENGTH_BYTES), "little") for _ in range(2)
    )
    header = stream.read(length)
    if zlib.crc32(header) != check:
        raise ValueError("its header is incomplete")
    places, start = {}, stream.tell()
    for name, dtype, shape, size in json.loads(header):
        places[name] = dtype, shape, start, size
        start += size
    found = {}
    for name in places if names is None else names:
        dtype, shape, start, size = places[name]
        stream.seek(start)
        # The check sum of the compressed bytes tells damage.
        content = zlib.decompress(stream.read(size))
        found[name] = np.ndarray(shape, dtype, bytearray(content))
    return found
