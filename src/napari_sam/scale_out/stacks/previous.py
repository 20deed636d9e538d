"""An earlier result of a propagation, kept in the folder of a job to be reused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.files import atomic_write
from napari_sam.masks.patch import PAINTED_LOGIT, MaskPatch
from napari_sam.prompts.serialization import (
    mask_from_json,
    mask_to_json,
    prompt_from_json,
    prompt_to_json,
)
from napari_sam.scale_out.stacks.slices import volume_from_arrays, volume_to_arrays
from napari_sam.volume.stack_prompts import PromptedSlices

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam.images.stack import Stack
    from napari_sam.volume.results import VolumeResult

_FILE, _PROMPTED = "previous.npz", "prompted"


class EarlierFile:
    """An earlier result as arrays.

    Parameters
    ----------
    volume : VolumeResult
        The result.
    """

    def __init__(self, volume: VolumeResult) -> None:
        text = json.dumps(_prompted_to_json(volume.prompted), sort_keys=True)
        self._arrays: dict[str, NDArray[Any]] = {
            name: np.asarray(array) for name, array in volume_to_arrays(volume).items()
        }
        self._arrays[_PROMPTED] = np.frombuffer(text.encode(), np.uint8)

    @property
    def key(self) -> str:
        """Hash of all that it holds."""
        import xxhash

        found = xxhash.xxh128()
        for name, array in sorted(self._arrays.items()):
            found.update(name.encode())
            found.update(np.ascontiguousarray(array).tobytes())
        return str(found.hexdigest())

    def keep(self, folder: Path) -> None:
        """Write it into the folder of a job, unless it is there."""
        if not (folder / _FILE).exists():
            with atomic_write(folder / _FILE, ".npz") as part, part.open("wb") as file:
                np.savez_compressed(file, **self._arrays)  # type: ignore[arg-type]


def read_earlier(folder: Path, stack: Stack) -> VolumeResult:
    """Read what `EarlierFile.keep` wrote.

    Parameters
    ----------
    folder : Path
        Folder of the job.
    stack : Stack
        The stack of the job.
    """
    with np.load(folder / _FILE, allow_pickle=False) as file:
        stored = {name: file[name] for name in file.files}
    prompted = _prompted_from_json(json.loads(stored[_PROMPTED].tobytes()))
    return volume_from_arrays(stored, stack, prompted)


def _prompted_to_json(prompted: Mapping[int, PromptedSlices]) -> list[dict[str, Any]]:
    """Describe the prompts of each object."""
    return [
        {
            "object": int(object_id),
            "prompts": {str(i): prompt_to_json(p) for i, p in said.prompts.items()},
            "painted": {
                str(i): mask_to_json(patch.mask, patch.origin)
                for i, patch in said.masks.items()
            },
            "ends": sorted(said.ends),
        }
        for object_id, said in prompted.items()
    ]


def _prompted_from_json(
    entries: Sequence[Mapping[str, Any]],
) -> dict[int, PromptedSlices]:
    """Read the result of `_prompted_to_json`."""
    return {
        entry["object"]: PromptedSlices(
            {int(i): prompt_from_json(p) for i, p in entry["prompts"].items()},
            {
                int(i): MaskPatch.from_mask(*mask_from_json(mask), PAINTED_LOGIT)
                for i, mask in entry["painted"].items()
            },
            frozenset(entry["ends"]),
        )
        for entry in entries
    }
