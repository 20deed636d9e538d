"""Prompts from JSON files; `napari_sam.exchange.prompts` describes both forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam.prompts.grouping import PromptEntry, check_object_id
from napari_sam.prompts.serialization import prompt_from_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from napari_sam.prompts.prompt import Prompt


def json_entries(path: str | Path, content: Any, ndim: int) -> Iterator[PromptEntry]:
    """Yield the prompts of a JSON file; see `napari_sam.exchange.prompts.read_prompts`.

    Parameters
    ----------
    path : str or Path
        For messages.
    content : object
        Its JSON.
    ndim : int
        2 for a plane, 3 for a stack.

    Raises
    ------
    ValueError
        When the file has other content; the message names file and entry.
    """
    if isinstance(content, list):
        for number, entry in enumerate(content, start=1):
            yield _list_entry(entry, f"{path}, entry {number}", path, ndim)
    elif isinstance(content, dict) and ndim == 3:
        yield from _nested_entries(path, content)
    else:
        kind = "dict or list" if ndim == 3 else "list"
        raise ValueError(
            f"{path} does not contain a {kind} of prompts: see --help for an example."
        )


def _list_entry(entry: Any, source: str, path: str | Path, ndim: int) -> PromptEntry:
    if not isinstance(entry, dict):
        return PromptEntry(source, 0, _prompt(entry, source))
    rest = dict(entry)
    object_id, slice_index = rest.pop("object", None), rest.pop("slice", None)
    prompt = _prompt(rest, source)
    if object_id is not None:
        object_id = check_object_id(object_id, source)
    if ndim == 2:
        if slice_index is not None:
            raise ValueError(
                f"{source} has a slice, but the image is one plane: remove it."
            )
        return PromptEntry(source, 0, prompt, object_id)
    if slice_index is None:
        raise ValueError(
            f"{source} has no slice, and {path} is not a dict of prompts by object "
            'and slice: add "slice": 12 for slice 12.'
        )
    if (
        not isinstance(slice_index, int)
        or isinstance(slice_index, bool)
        or slice_index < 0
    ):
        raise ValueError(
            f"{source}: {slice_index!r} is not a slice: give an integer from 0."
        )
    return PromptEntry(source, slice_index, prompt, object_id)


def _nested_entries(path: str | Path, content: dict[str, Any]) -> Iterator[PromptEntry]:
    """Yield the entries of {object: {slice: prompt}}."""
    for object_id, slices in content.items():
        if not isinstance(slices, dict):
            raise ValueError(
                f"{path}: object {object_id} has no slices: see --help for an example."
            )
        for slice_index, entry in slices.items():
            for text in (object_id, slice_index):
                if not text.strip().isdecimal():
                    raise ValueError(
                        f"{path}: {text!r} is not a slice or object id: give integers."
                    )
            source = f"{path}, object {object_id}, slice {slice_index}"
            checked_id = check_object_id(int(object_id), source)
            prompt = _prompt(entry, source)
            yield PromptEntry(source, int(slice_index), prompt, checked_id)


def _prompt(entry: Any, source: str) -> Prompt:
    try:
        prompt = prompt_from_json(entry)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    if not prompt.kinds:
        raise ValueError(f"{source}: The prompt is empty: give points, a box or both.")
    return prompt
