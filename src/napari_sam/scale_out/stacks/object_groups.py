"""Groups of objects that are followed by one task each.

Objects of a group may change each other's masks; those of different groups are likely
not to. Whether they did is known afterwards, from their footprints.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.volume.results import Fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.requests.stack import StackRequest
    from napari_sam.volume.results import VolumeResult

    Groups = list[list[int]]

# Objects are near each other when their boxes, larger by this fraction on each side,
# overlap.
_NEAR = 0.5


def first_groups(anchors: VolumeResult) -> Groups:
    """Group objects that are near each other, or share a window, on prompted slices.

    Parameters
    ----------
    anchors : VolumeResult
        The objects on their prompted slices, which may be far apart.

    Returns
    -------
    list of list of int
        Numbers of the objects.
    """
    windows: dict[int, set[Any]] = {object_id: set() for object_id in anchors.prompted}
    boxes: dict[int, list[NDArray[np.float64]]] = {i: [] for i in windows}
    for result in anchors.slices:
        windows[result.object_id].add(result.window)
        if result.logits.size:
            boxes[result.object_id].append(result.patch.box)
    groups: list[tuple[list[int], set[Any], NDArray[np.float64]]] = []
    for object_id, seen in windows.items():
        mine = np.array([_larger(box) for box in boxes[object_id]]).reshape(-1, 4)
        members, others = [object_id], []
        for group in groups:
            if seen & group[1] or _overlap(mine, group[2]):
                members = [*group[0], *members]
                seen, mine = seen | group[1], np.concatenate([mine, group[2]])
            else:
                others.append(group)
        groups = [*others, (members, seen, mine)]
    return sorted(sorted(members) for members, _, _ in groups)


def request_of(
    request: StackRequest, objects: Sequence[int], anchors: VolumeResult
) -> StackRequest:
    """Return the request for some of the objects, from their prompted slices on.

    Parameters
    ----------
    request : StackRequest
        The request for all objects.
    objects : sequence of int
        Some of them.
    anchors : VolumeResult
        The objects on their prompted slices, and what is reused of an earlier result.
    """
    known, fingerprint = set(objects), anchors.fingerprint
    slices = tuple(entry for entry in anchors.slices if entry.object_id in known)
    assert fingerprint is not None
    places = {(entry.index, entry.window) for entry in slices}
    pixels = {p: key for p, key in fingerprint.pixels.items() if p in places}
    previous = replace(
        anchors,
        slices=slices,
        prompted={o: said for o, said in anchors.prompted.items() if o in known},
        fingerprint=Fingerprint(fingerprint.settings, pixels),
    )
    return replace(
        request,
        prompts={o: said for o, said in request.prompts.items() if o in known},
        masks={o: said for o, said in request.masks.items() if o in known},
        previous=previous,
    )


def groups_to_arrays(groups: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Store groups of numbers."""
    return {
        "members": np.array([i for group in groups for i in group], np.int64),
        "counts": np.array([len(group) for group in groups], np.int64),
    }


def groups_from_arrays(stored: Mapping[str, NDArray[Any]]) -> Groups:
    """Read the result of `groups_to_arrays`."""
    members = iter(stored["members"].tolist())
    return [[next(members) for _ in range(n)] for n in stored["counts"].tolist()]


def _larger(box: NDArray[np.float64]) -> NDArray[np.float64]:
    margin = _NEAR * (box[2:] - box[:2] + 1)
    return np.concatenate([box[:2] - margin, box[2:] + margin])


def _overlap(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Tell whether any of the (N, 4) and the (M, 4) boxes overlap."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    return bool((low <= high).all(axis=-1).any())
