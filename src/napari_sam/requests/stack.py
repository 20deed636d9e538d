"""Objects through a stack."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.cleanup import CleanUp, prompted_pixels
from napari_sam.masks.cleanup_objects import clean_pieces
from napari_sam.prompts.prompt import Prompt
from napari_sam.requests.base import (
    _NO_CLEANUP,
    Progress,
    Score,
    SegmentationResult,
    pieces_from_patches,
)
from napari_sam.volume.propagation import Propagation
from napari_sam.volume.stack_prompts import prompted_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from numpy.typing import NDArray

    from napari_sam.images.axes import ContrastLimits, PlaneIndex
    from napari_sam.images.stack import Stack
    from napari_sam.masks.painting import ObjectPlaneMask
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.prompts.prompt import ObjectPrompts
    from napari_sam.requests.view import ImageView
    from napari_sam.volume.results import PropagationOptions, SliceResult, VolumeResult
    from napari_sam.volume.stack_prompts import ObjectMasks


@dataclass(frozen=True, slots=True, eq=False)
class StackRequest:
    """Follow objects through a stack.

    Parameters
    ----------
    view : ImageView
        The image.
    stack : Stack
        Its planes, and the axis to walk along.
    prompts : dict
        {object number: {slice: Prompt}}.
    options : PropagationOptions
        How objects are followed.
    masks : dict, optional
        {object number: {slice: Patch}} painted by hand.
    previous : VolumeResult, optional
        An earlier result of which what is unchanged is kept.
    cleanup : CleanUp, optional
        What is done with the objects once they are found; smoothing is in slices.
    """

    view: ImageView
    stack: Stack
    prompts: ObjectPrompts
    options: PropagationOptions
    masks: ObjectMasks = field(default_factory=dict)
    previous: VolumeResult | None = None
    cleanup: CleanUp = _NO_CLEANUP

    def propagation(self) -> Propagation:
        """The work, to be run once."""
        anchors = prompted_slices(self.prompts, self.masks)
        return Propagation(self.stack, anchors, self.options, self.previous)

    @property
    def contrast_limits(self) -> ContrastLimits | None:
        """Contrast limits of all planes; may read some of them."""
        return self.view.contrast_limits(self.stack.plane_index(0))

    @property
    def plane_index(self) -> PlaneIndex:
        """Index of the first plane."""
        return self.stack.plane_index(0)

    def run(
        self,
        predictor: Predictor,
        cache: EmbeddingCache,
        halted: Callable[[], bool] = lambda: False,
    ) -> Generator[Progress, None, SegmentationResult]:
        """Propagate, telling which slice was done; `halted` ends it with what is."""
        work = self.propagation()
        total = work.expected_slices
        results = []
        yield Progress("Encoding the first slice", 0, 0)
        for result in work.run(predictor, cache, self.contrast_limits):
            results.append(result)
            yield Progress(f"Slice {result.index}", min(len(results), total), total)
            if halted():
                break
        return self.finish(predictor, work.finish(results))

    def refinish(self, result: SegmentationResult) -> SegmentationResult:
        """Finish an earlier result as this request would; no model is asked."""
        assert result.volume is not None
        return self.finish(result.model, result.volume)

    def finish(self, predictor: Predictor, volume: VolumeResult) -> SegmentationResult:
        """Settle overlaps, cut the objects out and clean them up."""
        pieces: list[ObjectPlaneMask] = []
        scores: dict[int, tuple[Score, ...]] = {}
        for index, members in volume.by_slice().items():
            numbers = [member.object_id for member in members]
            patches = [member.patch for member in members]
            pieces += pieces_from_patches(
                numbers, self.stack.plane_index(index), patches
            )
        if self.cleanup:
            seeds = prompt_seeds(self.prompts, volume.slices)
            sizes = self.stack.voxel
            pieces = clean_pieces(pieces, self.cleanup, seeds, self.stack.axis, sizes)
        for entry in volume.slices:
            if entry.status != "stopped":
                status = "provisional" if entry.provisional else entry.status
                score = Score(entry.index, entry.score, status)
                scores[entry.object_id] = (*scores.get(entry.object_id, ()), score)
        return SegmentationResult(
            tuple(pieces), scores, predictor, self.contrast_limits, volume=volume
        )


def prompt_seeds(
    prompts: ObjectPrompts, results: Iterable[SliceResult], axis: int = 0
) -> dict[int, NDArray[np.intp]]:
    """Voxels that the prompts of propagated objects lie on, for `keep_prompted`.

    Parameters
    ----------
    prompts : dict
        {object id: {slice: Prompt}}.
    results : iterable of SliceResult
        What became of them; anchors that were painted by hand count as prompts.
    axis : int
        Of the stack, from the front.

    Returns
    -------
    dict
        {object id: (N, 3) int}, of each prompted slice the `prompted_pixels`.
    """
    seeds: dict[int, list[NDArray[np.intp]]] = {}
    for result in results:
        prompt = prompts.get(result.object_id, {}).get(result.index)
        if prompt is None and result.status != "anchor":
            continue
        pixels = prompted_pixels(prompt or Prompt(), result.patch)
        voxels = np.insert(pixels, axis, result.index, axis=1)
        seeds.setdefault(result.object_id, []).append(voxels)
    return {number: np.concatenate(parts) for number, parts in seeds.items()}
