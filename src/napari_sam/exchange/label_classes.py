"""Classes of labels, for the formats that know classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

# Of labels without a class, in formats that need one.
UNNAMED = "object"


@dataclass(frozen=True, slots=True)
class LabelClasses:
    """Classes of labels.

    Parameters
    ----------
    names : mapping
        {label: name of its class}, of labels that have one.
    colors : mapping
        {name: "#rrggbb"}, of classes that have one.
    """

    names: Mapping[int, str] = field(default_factory=dict)
    colors: Mapping[str, str] = field(default_factory=dict)

    def of(self, label: int) -> str:
        """Return the class of a label; empty without."""
        return self.names.get(label, "")

    def rgb(self, name: str) -> list[int] | None:
        """Return the colour of a class as three bytes; None without."""
        if name not in self.colors:
            return None
        return list(bytes.fromhex(self.colors[name].removeprefix("#")))

    def order(self) -> list[str]:
        """Return the names of all classes: those with colours first, in their order."""
        return list(dict.fromkeys([*self.colors, *sorted(self.names.values())]))


NO_CLASSES = LabelClasses()


def class_order(classes: LabelClasses, labels: NDArray[Any]) -> list[str]:
    """Return the names of all classes, and at last that of labels without one."""
    order = classes.order()
    found = np.unique(labels).tolist()
    if not order or any(label and not classes.of(label) for label in found):
        order.append(UNNAMED)
    return list(dict.fromkeys(order))
