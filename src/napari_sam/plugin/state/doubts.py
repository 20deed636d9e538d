"""Where a waiting stack is to be looked at: states of its slices, and going there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.components import Dims
    from napari.layers import Image, Labels

    from napari_sam.volume.results import Status, VolumeResult

# Of several objects on a slice the first of these decides.
_ORDER: tuple[Status, ...] = ("doubtful", "interpolated", "anchor", "propagated")
DOUBTFUL = frozenset({"doubtful", "interpolated"})


def slice_states(volume: VolumeResult) -> dict[int, Status]:
    """The state of every slice that holds an object, the most doubtful one's."""
    states: dict[int, Status] = {}
    for index, members in volume.by_slice().items():
        found = {member.status for member in members}
        state = next((status for status in _ORDER if status in found), None)
        if state is not None:
            states[index] = state
    return states


def next_doubtful(states: Mapping[int, Status], index: int) -> int | None:
    """The doubtful slice after this one, or the first one; None without any."""
    doubtful = sorted(i for i, state in states.items() if state in DOUBTFUL)
    later = [i for i in doubtful if i > index]
    return next(iter([*later, *doubtful]), None)


def go_to_slice(dims: Dims, layer: Image | Labels, axis: int, index: int) -> None:
    """Move the slider of an axis of a layer to one of its slices."""
    shift = dims.ndim - layer.ndim
    at = list(layer.world_to_data(dims.point[shift:]))
    at[axis] = index
    dims.set_point(axis + shift, layer.data_to_world(at)[axis])
