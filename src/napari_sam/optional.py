"""Import of libraries that only an extra installs."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def import_optional(name: str, extra: str) -> Any:
    """Import a module of an extra, or say how to install it.

    Parameters
    ----------
    name : str
        The module.
    extra : str
        The extra of this package that installs it.

    Raises
    ------
    ModuleNotFoundError
        When the module is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{name} is not installed: pip install 'napari-sam[{extra}]'."
        ) from error
