"""Checks of what a file says, before anything is made of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# What an int64 holds.
_TOO_LARGE = 2**63

Schema = Any
"""What a JSON value must be.

- A type: a value of it. ``int`` takes no bool, ``float`` any finite number.
- ``[schema]``: a list of such values, or a tuple, which becomes one in a file;
  ``[schema, schema]``: a list of just these.
- ``{name: schema}``: an object with these keys, and maybe others. A name that ends in
  ``?`` may be missing.
- ``{str: schema}``: an object whose values are all such.
- ``(schema, schema)``: one of these.
- None: null. A function: it returns whether the value is right.
"""


def misfit(value: Any, schema: Schema, place: str = "") -> str | None:
    """Find where a JSON value does not fit a schema.

    Parameters
    ----------
    value : object
        As `json.loads` returns it, or `json.dumps` takes it.
    schema : object
        See `Schema`.
    place : str
        Where the value is.

    Returns
    -------
    str or None
        The first place that does not fit, such as "objects, 1, region"; None when all
        of it fits.
    """
    if isinstance(schema, tuple):
        found = [misfit(value, option, place) for option in schema]
        # The option that fits furthest tells most.
        return None if None in found else max(map(str, found), key=len)
    if isinstance(schema, dict):
        return _misfit_of_object(value, schema, place)
    if isinstance(schema, list):
        return _misfit_of_list(value, schema, place)
    return None if _fits(value, schema) else place or "its start"


def _misfit_of_object(value: Any, schema: Mapping[Any, Any], place: str) -> str | None:
    if not isinstance(value, dict):
        return place or "its start"
    if str in schema:
        pairs = [(key, schema[str]) for key in value]
    else:
        pairs = []
        for name, part in schema.items():
            key = name.removesuffix("?")
            if key in value:
                pairs.append((key, part))
            elif key == name:
                return _join(place, key)
    found = (misfit(value[key], part, _join(place, key)) for key, part in pairs)
    return next((entry for entry in found if entry is not None), None)


def _misfit_of_list(value: Any, schema: list[Any], place: str) -> str | None:
    if not isinstance(value, list | tuple) or len(schema) not in (1, len(value)):
        return place or "its start"
    parts = schema if len(schema) > 1 else schema * len(value)
    found = (misfit(v, part, place) for v, part in zip(value, parts, strict=True))
    return next((entry for entry in found if entry is not None), None)


def _fits(value: Any, schema: Any) -> bool:
    if schema is None:
        return value is None
    if schema is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and abs(value) < _TOO_LARGE and math.isfinite(value)
    if schema is int:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return is_whole and abs(value) < _TOO_LARGE
    if isinstance(schema, type):
        return isinstance(value, schema)
    check: Callable[[Any], bool] = schema
    return check(value)


def _join(place: str, key: Any) -> str:
    return f"{place}, {str(key)[:40]!r}" if place else repr(str(key)[:40])
