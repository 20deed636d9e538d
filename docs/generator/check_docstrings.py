"""Check the docstrings of all public names by numpydoc's rules.

Functions and methods with several lines document parameters, their types and what they
return. Methods that fit in one line need no sections: the line says it.
"""

import importlib
import inspect
import sys
from collections.abc import Iterator
from typing import Any

from numpydoc.validate import validate

import napari_sam
from napari_sam import segment_anything
from napari_sam.onnx.decoder import OnnxDecoder
from napari_sam.plugin.session import SamSession
from napari_sam.plugin.state.settings import SessionSettings

# Parameters are documented (PR01), exist (PR02), in their order (PR03), with types
# (PR04); what is returned (RT01); a summary (SS01); a docstring at all (GL08).
CODES = {"PR01", "PR02", "PR03", "PR04", "RT01", "SS01", "GL08"}


def public_objects() -> Iterator[Any]:
    for module in (napari_sam, segment_anything):
        for name in module.__all__:
            yield getattr(module, name)
    yield from (SamSession, SessionSettings, OnnxDecoder)


def public_names() -> Iterator[str]:
    """Yield the dotted names of public functions, classes and their members."""
    for thing in public_objects():
        if inspect.isclass(thing):
            yield from class_names(thing)
        elif inspect.isfunction(thing):
            yield f"{thing.__module__}.{thing.__qualname__}"


def class_names(cls: type) -> Iterator[str]:
    yield f"{cls.__module__}.{cls.__qualname__}"
    for base in cls.__mro__:
        if not base.__module__.startswith("napari_sam"):
            continue
        for name, member in vars(base).items():
            kinds = (property, classmethod, staticmethod)
            is_documented = inspect.isfunction(member) or isinstance(member, kinds)
            if is_documented and not name.startswith("_"):
                yield f"{base.__module__}.{base.__qualname__}.{name}"


def problems(name: str) -> list[str]:
    """Return what numpydoc finds; sections are asked only of longer docstrings."""
    result = validate(name)
    codes = set(CODES)
    if is_member(name):
        if "\n" not in result["docstring"].strip():
            codes -= {"PR01", "RT01"}
        # The one summary of a method often says what it returns.
        codes -= {"RT01"}
    return [f"{name}: {c} {text}" for c, text in result["errors"] if c in codes]


def is_member(name: str) -> bool:
    """Tell whether a dotted name is one of a class."""
    owner = name.rpartition(".")[0]
    try:
        importlib.import_module(owner)
    except ModuleNotFoundError:
        return True
    return False


def main() -> int:
    names = list(dict.fromkeys(public_names()))
    found = [line for name in names for line in problems(name)]
    print(*found, f"{len(names)} docstrings, {len(found)} problems", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
