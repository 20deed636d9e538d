"""Propagation of prompts through a stack as tasks.

Planes are encoded by as many tasks as there are planes, into a folder of embeddings
that the viewer can use afterwards. The prompted slices are segmented together. Then
groups of objects that are near each other are followed by a task each; groups that
turn out to meet are followed again, together, because objects that meet depend on each
other. The labels are painted in parts.
"""

from __future__ import annotations

import time
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
from napari_sam.scale_out.stacks.cost import CountingPredictor, timed
from napari_sam.scale_out.stacks.object_groups import (
    first_groups,
    groups_from_arrays,
    groups_to_arrays,
    request_of,
)
from napari_sam.scale_out.stacks.output import FolderOutput, LabelOutput
from napari_sam.scale_out.stacks.previous import read_earlier
from napari_sam.scale_out.stacks.slices import (
    FOOTPRINT,
    footprint_from_arrays,
    footprint_to_arrays,
    volume_from_arrays,
    volume_to_arrays,
)
from napari_sam.scale_out.stacks.stack_job import StackJob, one
from napari_sam.volume.footprint import meeting_groups
from napari_sam.volume.results import Fingerprint, assemble
from napari_sam.volume.stack_prompts import prompted_slices

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.masks.painting import ObjectPlaneMask
    from napari_sam.scale_out.jobs.estimate import CostEstimate
    from napari_sam.volume.results import VolumeResult
    from napari_sam.volume.stack_prompts import PromptedSlices

    Arrays = dict[str, Any]


_GROUPS = ("members", "counts")
# Slices of each object that are segmented to estimate the cost of all.
_TRIED_SLICES = 2


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
        previous = None
        if self.plan["previous"] is not None:
            previous = read_earlier(self.folder.path, request.stack)
        return replace(request, cleanup=cleanup, reached=None, previous=previous)

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
        """Encode, segment the prompted slices, follow, and combine."""
        count = len(self.stack) if self.plan["embeddings"] else 0
        return (
            Stage("encode", "Encoding", lambda: count, self._encode, needs_model=True),
            Stage(
                "prompted",
                "Segmenting prompted slices",
                one,
                self._segment_prompted,
                needs_model=True,
            ),
            Stage(
                "follow",
                "Following objects",
                lambda: len(self._groups),
                lambda index: self._follow(self._groups[index]),
                needs_model=True,
            ),
            Stage("meet", "Comparing objects", one, self._meet),
            Stage(
                "again",
                "Following objects that meet",
                lambda: len(self._met),
                lambda index: self._follow(self._met[index]),
                needs_model=True,
            ),
            Stage("combine", "Combining", one, self._combine, needs_model=True),
        )

    def plane(self, index: int) -> NDArray[np.int32]:
        """Return the labels of a plane, (H, W)."""
        labels = np.zeros(self.stack.plane_shape, np.int32)
        for piece in self._pieces[index]:
            labels[piece.region][piece.mask] = piece.object_id
        return labels

    @property
    def placement(self) -> Mapping[str, tuple[float, ...]]:
        """Scale of the labels, which have the shape of the image."""
        return self.image_placement

    def cost(self) -> CostEstimate:
        """Estimate the work from the prompted slices and the first ones after them.

        As if all objects went through all planes: it is at most that.
        """
        spent = self._spent_on_following()
        if self.plan["embeddings"]:
            index = self.stack.plane_index(len(self.stack) // 2)

            def encode() -> None:
                with suppress(NothingShownError):
                    self.view.embed(self.predictor, EmbeddingCache(), index)

            spent += np.array([1, 0, timed(encode)]) * len(self.stack)
        encodes, prompts, seconds = spent.tolist()
        return self.estimate(round(encodes), round(prompts), seconds)

    def _spent_on_following(self) -> NDArray[np.float64]:
        """Return encodes, prompts and seconds of all slices, from the first ones."""
        predictor: Any = CountingPredictor(self.predictor)
        cache, start = EmbeddingCache(), time.perf_counter()
        objects = len(self._prompts)
        left = sum(len(prompted.indices) for prompted in self._prompts.values())
        before, tried = np.zeros(3), 0
        now, results, prompted = before, objects * len(self.stack), 0
        slices = self.request.iter_slices(predictor, cache)
        for result in slices:
            seconds = time.perf_counter() - start
            if left:
                prompted = cache.encoded_count
            # Not those that were encoded ahead: how many they are depends on the time.
            encodes = prompted + len(slices.footprint.windows)
            now = np.array([encodes, predictor.asked, seconds])
            results -= 1
            if left:
                left -= result.status == "anchor"
                before = now
                continue
            tried += 1
            if tried == _TRIED_SLICES * objects:
                return now + (now - before) / tried * results
        return now

    def result(self) -> VolumeResult:
        """Return the objects on all slices.

        Warns
        -----
        SmallObjectWarning
            See `segment_volume`.
        """
        for sentence in self._combined["warnings"].tolist():
            warnings.warn(sentence, SmallObjectWarning, stacklevel=3)
        return volume_from_arrays(self._combined, self.stack, self._prompts)

    @cached_property
    def _prompts(self) -> Mapping[int, PromptedSlices]:
        return prompted_slices(self.request.prompts, self.request.masks)

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

    # -- following ---------------------------------------------------------------------

    def _segment_prompted(self, _: int) -> Arrays:
        """Segment all prompted slices, as one propagation does, and form groups."""
        slices = self.request.iter_slices(self.predictor, self._cache)
        left = sum(len(prompted.indices) for prompted in self._prompts.values())
        found = []
        for result in slices:
            found.append(result)
            left -= result.status == "anchor"
            if not left:
                break
        anchors = slices.result(found)
        groups = first_groups(anchors)
        return {**volume_to_arrays(anchors), **groups_to_arrays(groups)}

    @cached_property
    def _anchors(self) -> VolumeResult:
        """The objects on their prompted slices, and what is reused of before."""
        stored = self.folder.load("prompted", 0)
        return volume_from_arrays(stored, self.stack, self._prompts)

    @cached_property
    def _groups(self) -> list[list[int]]:
        return groups_from_arrays(self.folder.load("prompted", 0, _GROUPS))

    def _follow(self, objects: Sequence[int]) -> Arrays:
        """Follow a group of objects from their prompted slices."""
        request = request_of(self.request, objects, self._anchors)
        slices = request.iter_slices(self.predictor, self._cache)
        volume = slices.result(list(slices))
        return {
            **volume_to_arrays(volume),
            **footprint_to_arrays(slices.footprint),
            "members": np.array(objects, np.int64),
        }

    def _meet(self, _: int) -> Arrays:
        """Find the groups that met, to be followed again together."""
        groups = self._groups
        met = meeting_groups(
            [
                footprint_from_arrays(self.folder.load("follow", i, FOOTPRINT))
                for i in range(len(groups))
            ]
        )
        joined = [_joined(groups, members) for members in met if len(members) > 1]
        return groups_to_arrays(joined)

    @cached_property
    def _met(self) -> list[list[int]]:
        return groups_from_arrays(self.folder.load("meet", 0))

    def _combine(self, _: int) -> Arrays:
        """Combine all objects; what still meets is followed until nothing does."""
        again = {object_id for group in self._met for object_id in group}
        followed = [self.folder.load("again", i) for i in range(len(self._met))]
        followed += [
            self.folder.load("follow", i)
            for i, group in enumerate(self._groups)
            if group[0] not in again
        ]
        while True:
            groups = [found["members"].tolist() for found in followed]
            met = meeting_groups([footprint_from_arrays(f) for f in followed])
            if len(met) == len(groups):
                break
            followed = [
                self._follow(_joined(groups, members))
                if len(members) > 1
                else followed[members[0]]
                for members in met
            ]
        volume = self._volume(followed)
        pieces = self.request.finish(self.predictor, volume).pieces
        small = self.request.small_object_warnings(self.predictor, volume)
        axis = self.stack.axis
        packed = arrays.pieces_to_arrays(pieces, lambda index: int(index[axis]))
        return {
            **volume_to_arrays(volume),
            "warnings": np.array(small, dtype=str),
            **{f"piece {name}": array for name, array in packed.items()},
        }

    def _volume(self, followed: Sequence[Mapping[str, Any]]) -> VolumeResult:
        """Return the result of all groups together."""
        anchors, prompted = self._anchors, self._prompts
        assert anchors.fingerprint is not None
        pixels, slices = dict(anchors.fingerprint.pixels), list(anchors.slices)
        recomputed, empty = anchors.recomputed, anchors.empty
        for stored in followed:
            part = volume_from_arrays(stored, self.stack, prompted)
            assert part.fingerprint is not None
            pixels |= part.fingerprint.pixels
            slices += part.slices
            recomputed += part.recomputed
            empty |= part.empty
        made_from = Fingerprint(anchors.fingerprint.settings, pixels)
        return assemble(
            self.stack,
            slices,
            prompted,
            recomputed,
            complete=True,
            empty=empty,
            fingerprint=made_from,
        )

    # -- labels ------------------------------------------------------------------------

    @cached_property
    def _combined(self) -> dict[str, NDArray[Any]]:
        return self.folder.load("combine", 0)

    @cached_property
    def _pieces(self) -> Mapping[int, list[ObjectPlaneMask]]:
        """The masks on each plane."""
        names = ("origins", "shapes", "values", "planes", "ids")
        stored = {name: self._combined[f"piece {name}"] for name in names}
        found: dict[int, list[ObjectPlaneMask]] = defaultdict(list)
        whole = slice(0, len(self.stack))
        for piece in arrays.pieces_from_arrays(stored, self.stack.plane_index, whole):
            found[piece.plane_index[self.stack.axis]].append(piece)
        return found


def _joined(groups: Sequence[Sequence[int]], members: Sequence[int]) -> list[int]:
    """Return the objects of some groups."""
    return sorted(object_id for i in members for object_id in groups[i])
