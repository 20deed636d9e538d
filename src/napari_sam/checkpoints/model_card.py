"""Metadata stored in the safetensors file of a fine-tuned model.

A card is read without torch, before the weights.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self, get_args

from napari_sam.checkpoints.families import Family
from napari_sam.checkpoints.hugging_face import WEIGHTS_FILE
from napari_sam.checkpoints.prompt_support import PromptKind
from napari_sam.checks.schema import misfit
from napari_sam.files import first_line

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CARD_KEY = "napari_sam"
_SCHEMA = {
    "family": str,
    "prompts": [str],
    "multimask_output": bool,
    "parent": str,
    "licence": str,
    "refines_clicks_by_box?": bool,
    "instance_head?": bool,
    "data?": dict,
    "training?": {"options?": dict},
}
_OLD_NAMES = {"settles_clicks": "refines_clicks_by_box"}  # in files of earlier versions


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Origin, supported prompts and training of a fine-tuned model.

    Parameters
    ----------
    family : {"sam", "medsam", "lite_medsam"}
        Key of its preprocessing rules.
    prompts : frozenset of {"point", "box", "mask"}
        Prompts that it or its parent was trained on.
    multimask_output : bool
        Whether its three alternatives for a single click were trained.
    parent : str
        Key of the weights that the training started from, with their hash.
    licence : str
        Licence of these weights.
    refines_clicks_by_box : bool
        Whether clicks are answered in two steps, as by the parent: the masks for the
        clicks are decoded again from boxes around them.
    instance_head : bool
        Whether the file has an instance head, which was trained too or is that of the
        parent.
    data : mapping
        Summary of the training data, for JSON.
    training : mapping
        Options and scores of the training, for JSON.
    """

    family: Family
    prompts: frozenset[PromptKind]
    multimask_output: bool
    parent: str
    licence: str
    refines_clicks_by_box: bool = False
    instance_head: bool = False
    data: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    def to_metadata(self) -> dict[str, str]:
        """Return the card as metadata of a safetensors file."""
        values = {
            "family": self.family,
            "prompts": sorted(self.prompts),
            "multimask_output": self.multimask_output,
            "parent": self.parent,
            "licence": self.licence,
            "refines_clicks_by_box": self.refines_clicks_by_box,
            "instance_head": self.instance_head,
            "data": dict(self.data),
            "training": dict(self.training),
        }
        return {CARD_KEY: json.dumps(values, sort_keys=True)}

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read the card of a file or a folder; None when it has none.

        Raises
        ------
        ValueError
            When the file or its card is damaged, or of a newer version.
        """
        file = path / WEIGHTS_FILE if path.is_dir() else path
        if file.suffix != ".safetensors" or not file.is_file():
            return None
        text = _metadata(file).get(CARD_KEY)
        if text is None:
            return None
        card = cls(**_card_values(file, text))
        unknown = card.prompts - {*get_args(PromptKind)}
        if card.family not in get_args(Family) or unknown:
            raise ValueError(
                f"{file} was written for family {card.family!r} and prompts "
                f"{sorted(card.prompts)}, which this version does not know."
            )
        # Clicks and masks are answered by boxes where they were not trained.
        if "box" not in card.prompts:
            raise _damaged(file, "'prompts' lack 'box'")
        return card


def _card_values(file: Path, text: str) -> dict[str, Any]:
    """Return the values of a card as the parameters of the class need them."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(file, first_line(error)) from error
    if isinstance(values, dict):
        values = {_OLD_NAMES.get(name, name): value for name, value in values.items()}
    place = misfit(values, _SCHEMA)
    if place is not None:
        raise _damaged(file, f"at {place}")
    unknown = values.keys() - {f.name for f in fields(ModelCard)}
    if unknown:
        raise _damaged(file, f"at {sorted(unknown)[0]!r:.40}")
    return {**values, "prompts": frozenset(values["prompts"])}


def _damaged(file: Path, what: str) -> ValueError:
    return ValueError(f"{file} has a damaged model card ({what}): get the file again.")


def _metadata(file: Path) -> dict[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as tensors:
            return tensors.metadata() or {}
    except SafetensorError as error:
        raise ValueError(
            f"{file} cannot be read as a checkpoint ({first_line(error)}): it is "
            "damaged, incomplete or another kind of file; get it again."
        ) from error
