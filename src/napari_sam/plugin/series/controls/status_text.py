"""Sentences of the dock *Image series*."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_sam.plugin.series.opened_image import OpenedImage

_SHOWN = 3


def opened_text(opened: OpenedImage, has_panel: bool) -> str:
    """Return what can be done with an image that was opened."""
    if opened.read_only:
        return f"Read only. {opened.read_only}"
    if opened.item.state.problem:
        return opened.item.state.problem
    if not has_panel:
        return (
            "To outline objects, open Layers > Segment > Segment Anything. What you "
            "accept or paint is saved by itself."
        )
    return "What you accept or paint is saved by itself."


def problems_text(problems: Mapping[str, str]) -> str:
    """Return the images that were left out, and why; empty when there are none."""
    if not problems:
        return ""
    lines = [f"{name}: {reason}" for name, reason in problems.items()][:_SHOWN]
    more = len(problems) - len(lines)
    if more:
        lines.append(f"and {more} more")
    return f" {len(problems)} images were left out. " + " ".join(lines)
