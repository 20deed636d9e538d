"""The kinds of prompt that a model was trained on and can answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PromptKind = Literal["point", "box", "mask"]
AutomaticMethod = Literal["instances", "points", "boxes"]


@dataclass(frozen=True, slots=True)
class PromptSupport:
    """The kinds of prompt that a model was trained on and can answer.

    Parameters
    ----------
    trained : frozenset of {"point", "box", "mask"}
        The kinds of prompt that the weights were trained on.
    click_decoder : bool
        Whether a click decoder answers points in place of the weights.
    instance_head : bool
        Whether an instance head finds all objects without prompts.
    """

    trained: frozenset[str]
    click_decoder: bool = False
    instance_head: bool = False

    def trained_on(self, kind: str) -> bool:
        """Tell whether the weights were trained on this kind of prompt."""
        return kind in self.trained

    def answers(self, kind: str) -> bool:
        """Tell whether the weights or the click decoder answer this kind of prompt."""
        return self.trained_on(kind) or (kind == "point" and self.click_decoder)

    @property
    def corrects_clicks(self) -> bool:
        """Whether each further point only changes the mask of the points before it."""
        return self.click_decoder and self.instance_head

    @property
    def automatic_method(self) -> AutomaticMethod:
        """How all objects are found: by an instance head, a grid of points or boxes."""
        if self.instance_head:
            return "instances"
        return "points" if self.trained_on("point") else "boxes"
