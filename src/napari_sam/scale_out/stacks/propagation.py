"""Propagation of prompts through a stack as tasks.

Planes are encoded by as many tasks as there are planes, into a folder of embeddings
that the viewer can use afterwards. The objects are followed by one task: where they
meet, each depends on its neighbours. Their labels are painted in parts.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.empty_planes import NothingShownError
from napari_sam.masks.cleanup import CleanUp
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.disk_cache import DiskCache
from napari_sam.requests.small_objects import SmallObjectWarning
from napari_sam.requests.stack import StackRequest
from napari_sam.scale_out.jobs.stages import Stage
from napari_sam.scale_out.stacks import arrays
from napari_sam.scale_out.stacks.cost import timed
from napari_sam.scale_out.stacks.output import FolderOutput, LabelOutput
from napari_sam.scale_out.stacks.slices import volume_from_arrays, volume_to_arrays
from napari_sam.scale_out.stacks.stack_job import StackJob, one

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.masks.painting import ObjectPlaneMask
    from napari_sam.scale_out.jobs.estimate import CostEstimate
    from napari_sam.volume.results import VolumeResult


class NoOutput(FolderOutput):
    """No labels: the result paints them where they are wanted."""

    part_count = 0


class PropagationJob(StackJob):
    """Propagation of objects through a stack from prompts."""

    @cached_property
    def request(self) -> StackRequest:
        """The request of the plan."""
        request = StackRequest.from_json(self.view, self.plan["settings"]["objects"])
        cleanup = CleanUp(**self.plan["cleanup"])
        return replace(request, cleanup=cleanup, reached=None)

    @property
    def stack(self) -> Any:
        """The planes of the image."""
        return self.request.stack

    @cached_property
    def output(self) -> LabelOutput:
        """Where the labels go."""
        if self.plan["output"] is None:
            return NoOutput(self.folder, self.stack.shape, self.stack.axis)
        return super().output

    @property
    def own_stages(self) -> Sequence[Stage]:
        """Encode and follow."""
        count = len(self.stack) if self.plan["embeddings"] else 0
        return (
            Stage("encode", "Encoding", lambda: count, self._encode, needs_model=True),
            Stage("follow", "Following objects", one, self._follow, needs_model=True),
        )

    def plane(self, index: int) -> NDArray[np.int32]:
        """Return the labels of a plane, (H, W)."""
        labels = np.zeros(self.stack.plane_shape, np.int32)
        for piece in self._pieces[index]:
            labels[piece.region][piece.mask] = piece.object_id
        return labels

    def cost(self) -> CostEstimate:
        """Estimate the work from the encoding of the middle plane."""
        index = self.stack.plane_index(len(self.stack) // 2)

        def run() -> None:
            with suppress(NothingShownError):
                self.view.embed(self.predictor, EmbeddingCache(), index)

        return self.estimate(1, len(self.request.prompts), timed(run))

    def result(self) -> VolumeResult:
        """Return the objects on all slices.

        Warns
        -----
        SmallObjectWarning
            See `segment_volume`.
        """
        for sentence in self._followed["warnings"].tolist():
            warnings.warn(sentence, SmallObjectWarning, stacklevel=3)
        return volume_from_arrays(self._followed, self.request)

    @property
    def _cache(self) -> EmbeddingCache:
        folder = self.plan["embeddings"]
        disk = None if folder is None else DiskCache(Path(folder), max_bytes=None)
        return EmbeddingCache(disk=disk)

    def _encode(self, index: int) -> Mapping[str, Any]:
        plane = self.stack.plane_index(index)
        with suppress(NothingShownError):
            self.view.embed(self.predictor, self._cache, plane)
        return {}

    def _follow(self, _: int) -> Mapping[str, Any]:
        slices = self.request.iter_slices(self.predictor, self._cache)
        volume = slices.result(list(slices))
        pieces = self.request.finish(self.predictor, volume).pieces
        small = self.request.small_object_warnings(self.predictor, volume)
        axis = self.stack.axis
        packed = arrays.pieces_to_arrays(pieces, lambda index: int(index[axis]))
        return {
            **volume_to_arrays(volume),
            "warnings": np.array(small, dtype=str),
            **{f"piece {name}": array for name, array in packed.items()},
        }

    @cached_property
    def _followed(self) -> dict[str, NDArray[Any]]:
        return self.folder.load("follow", 0)

    @cached_property
    def _pieces(self) -> Mapping[int, list[ObjectPlaneMask]]:
        """The masks on each plane."""
        names = ("origins", "shapes", "values", "planes", "ids")
        stored = {name: self._followed[f"piece {name}"] for name in names}
        found: dict[int, list[ObjectPlaneMask]] = defaultdict(list)
        whole = slice(0, len(self.stack))
        for piece in arrays.pieces_from_arrays(stored, self.stack.plane_index, whole):
            found[piece.plane_index[self.stack.axis]].append(piece)
        return found
