"""Verbs that tell of models and of this installation, as lines to print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.checkpoints.download import is_cached
from napari_sam.checkpoints.leftovers import remove_leftovers
from napari_sam.checkpoints.registry import DEFAULT_MODEL, list_models
from napari_sam.files import MEGABYTE

if TYPE_CHECKING:
    from collections.abc import Iterator


def model_lines() -> Iterator[str]:
    """Describe each model, whether or not it is on this computer."""
    for spec in list_models():
        size = f"{spec.size_bytes / MEGABYTE:.0f} MB" if spec.size_bytes else "size ?"
        state = "downloaded" if is_cached(spec) else "not downloaded"
        default = " (default)" if spec.name == DEFAULT_MODEL else ""
        clicks = ", clicks by a decoder of this package" if spec.click_decoder else ""
        yield f"{spec.name}{default}: {spec.title}, for {spec.purpose}; {spec.speed}"
        trained = f"trained on {', '.join(sorted(spec.prompts))}{clicks}"
        yield f"    {size}, {state}; {trained}; {spec.licence}; {spec.origin}"


def info_lines(*, clear_leftovers: bool) -> Iterator[str]:
    """Describe this installation; delete leftovers of downloads before, if wanted."""
    if clear_leftovers:
        for leftover in remove_leftovers():
            yield f"deleted {leftover.path}, {leftover.nbytes / MEGABYTE:.0f} MB"
    from napari_sam.records.environment import describe_environment

    yield describe_environment()
