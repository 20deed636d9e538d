"""OME-Zarr files for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_KINDS = {"t": "time", "c": "channel"}
_SCALES = {"t": 1.0, "c": 1.0, "z": 2.0, "y": 0.5, "x": 0.25}


def write_ome_zarr(
    path: Path, data: Any, axes: str = "zyx", version: str = "0.5", levels: int = 2
) -> Path:
    """Write an image as a pyramid whose planes halve; return its path."""
    new = version == "0.5"
    root = zarr.open_group(str(path), mode="w", zarr_format=3 if new else 2)
    datasets = []
    for level in range(levels):
        step = 2**level
        part = tuple(slice(None, None, step if a in "yx" else 1) for a in axes)
        reduced = data[part]
        array = root.create_array(
            str(level),
            shape=reduced.shape,
            chunks=tuple(min(16, n) for n in reduced.shape),
            dtype=reduced.dtype,
            dimension_names=list(axes) if new else None,
        )
        array[...] = reduced
        scale = [_SCALES[a] * (step if a in "yx" else 1) for a in axes]
        moved = [0.0 if a in "tcz" else 3.0 for a in axes]
        transforms: Sequence[dict[str, Any]] = [
            {"type": "scale", "scale": scale},
            {"type": "translation", "translation": moved},
        ]
        datasets.append({"path": str(level), "coordinateTransformations": transforms})
    entries = [{"name": a, "type": _KINDS.get(a, "space")} for a in axes]
    for entry in entries:
        if entry["type"] == "space":
            entry["unit"] = "micrometer"
    scales = {"axes": entries, "datasets": datasets}
    if new:
        root.attrs["ome"] = {"version": "0.5", "multiscales": [scales]}
    else:
        root.attrs["multiscales"] = [{"version": "0.4", **scales}]
    return path


def ball_stack(shape: tuple[int, ...] = (9, 40, 50)) -> np.ndarray:
    """Balls of several brightnesses on a slope, float32."""
    z, y, x = np.indices(shape)
    scene = 3.0 * x + 20 * np.sin(y + z)
    scene[(2 * (z - 4)) ** 2 + (y - 15) ** 2 + (x - 20) ** 2 < 49] = 700
    scene[(2 * (z - 4)) ** 2 + (y - 28) ** 2 + (x - 38) ** 2 < 25] = 450
    return scene.astype(np.float32)
