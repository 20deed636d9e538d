"""Checks of single values: numbers, choices, types, indices."""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

# Label arrays that are returned are int32.
MAX_LABEL = 2**31 - 1


def describe(value: Any) -> str:
    """Describe a value for an error message: arrays by their shape, others by repr."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"a {type(value).__name__} of shape {shape}"
    return " ".join(reprlib.repr(value).split())


def whole_number(
    value: Any, name: str, least: int | None = None, most: int | None = None
) -> int:
    """Return a whole number as an int; floats such as 3.0 are whole.

    Parameters
    ----------
    value : object
        The number.
    name : str
        Its name in the error message.
    least, most : int, optional
        Limits, which are allowed themselves.

    Raises
    ------
    TypeError
        When it is no number.
    ValueError
        When it has a fraction, is not finite or out of range.
    """
    advice = f"give a whole number{_range_text(least, None, most)}"
    found = _real(value, name, advice)
    if not (isinstance(found, Integral) or float(found).is_integer()):
        raise ValueError(f"{name}={describe(value)}: {advice}.")
    number = int(found)
    if (least is not None and number < least) or (most is not None and number > most):
        raise ValueError(f"{name}={describe(value)}: {advice}.")
    return number


def real_number(
    value: Any,
    name: str,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> float:
    """Return a finite number as a float.

    Parameters
    ----------
    value, name
        See `whole_number`.
    least, most : float, optional
        Limits, which are allowed themselves.
    above, below : float, optional
        Limits, which are not allowed themselves.

    Raises
    ------
    TypeError
        When it is no number.
    ValueError
        When it is not finite or out of range.
    """
    limits = _range_text(least, above, most, below)
    advice = f"give a number{limits}" if limits else "give a finite number"
    number = float(_real(value, name, advice))
    inside = (
        math.isfinite(number)
        and (least is None or number >= least)
        and (above is None or number > above)
        and (most is None or number <= most)
        and (below is None or number < below)
    )
    if not inside:
        raise ValueError(f"{name}={describe(value)}: {advice}.")
    return number


def flag(value: Any, name: str) -> bool:
    """Return True or False.

    Raises
    ------
    TypeError
        When it is neither.
    """
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return bool(value)
    raise TypeError(f"{name}={describe(value)}: give True or False.")


def choice(value: Any, name: str, options: Sequence[T]) -> T:
    """Return a value that is one of some options.

    Raises
    ------
    ValueError
        When it is none of them.
    """
    for option in options:
        if isinstance(value, str) and value == option:
            return option
    names = ", ".join(map(repr, options))
    raise ValueError(f"{name}={describe(value)}: choose one of {names}.")


def choices(value: Any, name: str, options: Sequence[T]) -> tuple[T, ...]:
    """Return several values, each of which is one of some options.

    Raises
    ------
    TypeError
        When they are no list or tuple; a single string is none.
    ValueError
        When one is not among the options.
    """
    if not isinstance(value, list | tuple | set | frozenset):
        raise TypeError(f"{name}={describe(value)}: give a tuple.")
    return tuple(choice(entry, f"entry of {name}", options) for entry in value)


def optional(rule: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """Make a rule that leaves None as it is."""

    def check(value: Any, name: str) -> Any:
        return None if value is None else rule(value, name)

    return check


def check_fields(options: Any, rules: Mapping[str, Any]) -> None:
    """Check the fields of a frozen dataclass, and store them as plain Python values.

    Parameters
    ----------
    options : dataclass
        A new object, in its `__post_init__`.
    rules : mapping
        {field: function of value and name}, such as the functions of this module.

    Raises
    ------
    TypeError, ValueError
        When a field breaks its rule.
    """
    for name, rule in rules.items():
        object.__setattr__(options, name, rule(getattr(options, name), name))


def check_type(value: Any, name: str, kind: Any, what: str) -> None:
    """Refuse a value of another type.

    Parameters
    ----------
    value : object
        The value.
    name : str
        Its name in the error message.
    kind : type, union or tuple of types
        What it must be.
    what : str
        What to give instead, such as "an EmbeddingCache".

    Raises
    ------
    TypeError
        When it is of another type.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {describe(value)}: give {what}.")


def as_path(value: Any, name: str) -> Path:
    """Return a path of a file or folder.

    Raises
    ------
    TypeError
        When it is none.
    """
    check_type(value, name, str | os.PathLike, "a path")
    return Path(value)


def check_list(values: Any, name: str, what: str, count: int | None = None) -> None:
    """Refuse what is no list, or not one of a number of entries.

    Raises
    ------
    TypeError, ValueError
        When it is none.
    """
    check_type(values, name, Sequence, what)
    if count is not None and len(values) != count:
        raise ValueError(f"{name} has {len(values)} entries: give {what}, {count}.")


def or_default(value: Any, name: str, kind: type[T]) -> T:
    """Return options of a type; those it is made with when None.

    Raises
    ------
    TypeError
        When they are of another type.
    """
    if value is None:
        return kind()
    check_type(value, name, kind, f"{kind.__name__}(...)")
    options: T = value
    return options


def index_key(key: Any, name: str) -> int:
    """Return a key that counts slices or objects as an int.

    JSON has only strings as keys: "12" is 12.

    Raises
    ------
    TypeError, ValueError
        When it is no whole number.
    """
    if isinstance(key, str):
        try:
            return int(key)
        except ValueError:
            raise ValueError(f"{name}={describe(key)}: give a whole number.") from None
    return whole_number(key, name)


def index_keys(mapping: Any, name: str, key_name: str, what: str) -> dict[int, Any]:
    """Return a mapping with its keys converted by `index_key`.

    Parameters
    ----------
    mapping : mapping
        The mapping.
    name, key_name : str
        Names of the mapping and of a key in error messages.
    what : str
        What to give in place of something that is no mapping.

    Raises
    ------
    TypeError
        When it is no mapping, or a key no number.
    ValueError
        When two keys are the same number.
    """
    if not hasattr(mapping, "items"):
        raise TypeError(f"{name} is {describe(mapping)}: give {what}.")
    converted: dict[int, Any] = {}
    for key, value in mapping.items():
        index = index_key(key, key_name)
        if index in converted:
            raise ValueError(f"{name} has {key_name} {index} twice: give it once.")
        converted[index] = value
    return converted


def _real(value: Any, name: str, advice: str) -> Any:
    """Return a number or a scalar array of one; bool and str are no numbers."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}={describe(value)}: {advice}.")
    return value


def _range_text(
    least: float | None,
    above: float | None,
    most: float | None,
    below: float | None = None,
) -> str:
    """Return the range in words, with a leading blank; nothing without limits."""
    if least is not None and most is not None:
        return f" from {least} to {most}"
    if above is not None and below is not None:
        return f" between {above} and {below}"
    if above is not None and most is not None:
        return f" above {above} and up to {most}"
    if above is not None:
        return f" above {above}"
    if least is not None:
        return f" of {least} or more"
    return ""
