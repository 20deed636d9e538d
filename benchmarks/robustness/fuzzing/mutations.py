"""Seeded damage of files: in their bytes, and in what they say."""

from __future__ import annotations

import copy
import io
import json
import struct
import zipfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

STRANGE: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 7, 2**31, 2**63, 2**70, 10**9, 0.5, -0.0, 1e300),
    *(float("nan"), float("inf"), "", "x", "7", "\x00", "../x", "/etc/passwd", "é\n"),
    *([], [[]], {}, [1], [None], [[1, 2]], {"x": {}}, [10**6, 10**6], ["a", "b"]),
)
_WORDS = (
    *(b"", b"0", b"-1", b"nan", b"inf", b"1e300", b"1e9", b"99999999999999999999"),
    *(b"x", b'"', b",", b"\n", b";", b"\t", b"\x00", b"\xff", b"{", b"]", b"rectangle"),
)
_DEEP = 3000


def damage(rng: np.random.Generator, name: str, content: bytes) -> bytes:
    """Return a damaged copy of a file; its ending tells what can be damaged."""
    end = name.rpartition(".")[2].lower()
    share = rng.random()
    if end in ("json", "geojson", "zattrs", "zarray", "zgroup") and share < 0.8:
        return _in_json(rng, content)
    if end == "safetensors" and share < 0.8:
        return _in_header(rng, content)
    if end in ("pth", "npz", "zip") and share < 0.6 and content[:2] == b"PK":
        return _in_archive(rng, content)
    if end in ("csv", "txt", "tsv") and share < 0.6:
        return _in_words(rng, content)
    return _in_bytes(rng, content)


def _pick(rng: np.random.Generator, items: Any) -> Any:
    return items[int(rng.integers(len(items)))]


def _in_bytes(rng: np.random.Generator, content: bytes) -> bytes:
    """Change, cut, insert or repeat bytes; half of the places are near the start."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        if not changed:
            break
        limit = len(changed) if rng.random() < 0.5 else min(len(changed), 300)
        place, kind = int(rng.integers(limit)), int(rng.integers(8))
        if kind == 0:
            del changed[place:]
        elif kind == 1:
            changed[place:place] = rng.bytes(int(rng.integers(1, 20)))
        elif kind == 2:
            changed[place : place + 8] = _pick(rng, (b"\xff", b"\x00")) * 8
        elif kind == 3:
            changed += changed[place : place + 100]
        else:
            changed[place] = int(rng.integers(256))
    return bytes(changed)


def _in_words(rng: np.random.Generator, content: bytes) -> bytes:
    """Replace words of a table, or whole lines of it."""
    lines = content.split(b"\n")
    for _ in range(int(rng.integers(1, 4))):
        number = int(rng.integers(len(lines)))
        gap = b"," if b"," in lines[number] else b" "
        words = lines[number].split(gap)
        kind = int(rng.integers(4))
        if kind == 0:
            lines[number] = _pick(rng, lines)
        elif kind == 1:
            del words[int(rng.integers(len(words)))]
            lines[number] = gap.join(words)
        else:
            words[int(rng.integers(len(words)))] = _pick(rng, _WORDS)
            lines[number] = gap.join(words)
    return b"\n".join(lines)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container in a JSON value with each of its keys."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


def _change(rng: np.random.Generator, value: Any) -> Any:
    """Change a JSON value in some places."""
    value = copy.deepcopy(value)
    for _ in range(int(rng.integers(1, 4))):
        found = list(places(value))
        if not found:
            return _pick(rng, STRANGE)
        container, key = _pick(rng, found)
        kind = int(rng.integers(6))
        if kind == 0:
            del container[key]
        elif kind == 1 and isinstance(container, dict):
            container[_pick(rng, ("", "x", "-1", "1e9", "999", "é"))] = container.pop(
                key
            )
        elif kind == 2:
            container[key] = copy.deepcopy(_pick(rng, [c[k] for c, k in found]))
        elif kind == 3 and isinstance(container[key], str):
            container[key] = _in_text(rng, container[key])
        else:
            container[key] = copy.deepcopy(_pick(rng, STRANGE))
    return value


def _in_text(rng: np.random.Generator, text: str) -> str:
    """Change a string; one that is JSON itself is changed in its values."""
    try:
        return json.dumps(_change(rng, json.loads(text)))
    except ValueError:
        return text[: int(rng.integers(len(text) + 1))] + _pick(
            rng, ("", "x", "/", "9")
        )


def _in_json(rng: np.random.Generator, content: bytes) -> bytes:
    if rng.random() < 0.02:
        return b"[" * _DEEP * 100
    changed = _change(rng, json.loads(content))
    text = json.dumps(changed)
    if rng.random() < 0.02:
        text = '{"a":' * _DEEP + text + "}" * _DEEP
    return text.encode()


def _in_header(rng: np.random.Generator, content: bytes) -> bytes:
    """Change the header of a safetensors file."""
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    header = _change(rng, header)
    if rng.random() < 0.5 and isinstance(header, dict):
        # Most metadata are JSON in strings, which must stay strings to be read.
        stored = json.loads(content[8 : 8 + size])
        about = stored.get("__metadata__", {})
        if about:
            key = _pick(rng, sorted(about))
            stored["__metadata__"][key] = _in_text(rng, about[key])
            header = stored
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


def _in_archive(rng: np.random.Generator, content: bytes) -> bytes:
    """Change, drop or rename a member of a ZIP file."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [
            (entry.filename, archive.read(entry)) for entry in archive.infolist()
        ]
    if not members:
        return _in_bytes(rng, content)
    number = int(rng.integers(len(members)))
    name, data = members[number]
    kind = int(rng.integers(8))
    if kind == 0 and len(members) > 1:
        del members[number]
    elif kind == 1:
        members[number] = (_pick(rng, ("x", "../x", "é", name + "x")), data)
    else:
        members[number] = (name, _in_bytes(rng, data))
    packed = io.BytesIO()
    method = _pick(rng, (zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return packed.getvalue()
