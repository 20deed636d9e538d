"""Propagation of objects through a stack from prompts."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from napari_sam.checks.values import index_key
from napari_sam.images.empty_planes import empty_slices_warnings
from napari_sam.masks.cleanup import CleanUp, clean_up_pieces, prompted_pixels
from napari_sam.masks.patch import PAINTED_LOGIT, MaskPatch
from napari_sam.prediction.zoom.options import check_zoom
from napari_sam.prompts.prompt import Prompt
from napari_sam.prompts.serialization import (
    mask_from_json,
    mask_to_json,
    prompt_from_json,
    prompt_to_json,
)
from napari_sam.requests.base import Progress, Score, SegmentationResult
from napari_sam.requests.serialization import stack_from_json, stack_to_json
from napari_sam.requests.small_objects import small_on_slices_warnings
from napari_sam.requests.unfilled_boxes import unfilled_boxes_warnings
from napari_sam.volume.propagation import Propagation
from napari_sam.volume.results import PropagationOptions
from napari_sam.volume.stack_prompts import prompted_slices

if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Generator,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )

    from numpy.typing import NDArray

    from napari_sam.images.axes import ContrastLimits, PlaneIndex
    from napari_sam.images.stack import Stack
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.protocol import PredictorLike
    from napari_sam.prediction.zoom.options import Zoom
    from napari_sam.prompts.prompt import ObjectPrompts
    from napari_sam.requests.base import SegmentationRequest
    from napari_sam.requests.view import ImageView
    from napari_sam.volume.results import SliceResult, VolumeResult
    from napari_sam.volume.stack_prompts import ObjectMasks


@dataclass(frozen=True, slots=True, eq=False)
class StackRequest:
    """Propagation of objects through a stack.

    Parameters
    ----------
    view : ImageView
        The image.
    stack : Stack
        Its planes and the axis of propagation.
    prompts : dict
        {object id: {slice: Prompt}}.
    options : PropagationOptions
        Settings of the propagation.
    masks : dict, optional
        {object id: {slice: MaskPatch}}, painted by hand.
    previous : VolumeResult, optional
        An earlier result; the parts that have not changed are reused.
    cleanup : CleanUp, optional
        Post-processing of the masks; smoothing is in slices.
    reached : dict, optional
        {(object id, slice): whether the mask is provisional}: end where an earlier
        propagation was cancelled, to repeat it; to the end of all objects when None.
    zoom : "auto", "off" or float
        How windows of the planes are chosen, see `ObjectWindows`.
    """

    is_automatic: ClassVar[bool] = False
    can_change_size: ClassVar[bool] = False
    size: ClassVar[None] = None

    view: ImageView
    stack: Stack
    prompts: ObjectPrompts
    options: PropagationOptions
    masks: ObjectMasks = field(default_factory=dict)
    previous: VolumeResult | None = None
    cleanup: CleanUp = field(default_factory=CleanUp)
    reached: Mapping[tuple[int, int], bool] | None = None
    zoom: Zoom = "auto"

    @property
    def contrast_limits(self) -> ContrastLimits | None:
        """Contrast limits of all planes; may read some of them."""
        return self.view.contrast_limits(self.plane_index)

    @property
    def plane_index(self) -> PlaneIndex:
        """Index of the first plane."""
        return self.stack.plane_index(0)

    def iter_slices(
        self, predictor: PredictorLike, cache: EmbeddingCache
    ) -> Propagation:
        """Start the propagation.

        Returns
        -------
        Propagation
            An iterable of SliceResult, to be iterated once; stop iterating to
            cancel. `finish` of this request takes its `result()`.
        """
        return Propagation(
            self.stack,
            prompted_slices(self.prompts, self.masks),
            self.options,
            predictor,
            cache,
            self.contrast_limits,
            self.previous,
            self.zoom,
        )

    def run(
        self,
        predictor: PredictorLike,
        cache: EmbeddingCache,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Generator[Progress, None, SegmentationResult]:
        """Propagate slice by slice; `stopped` ends with the slices computed so far."""
        yield Progress("Encoding the first slice", 0, 0)
        slices = self.iter_slices(predictor, cache)
        results: list[SliceResult] = []
        is_told = False
        for result in self._until_reached(slices):
            results.append(result)
            text = f"Slice {result.index}"
            if slices.estimate is not None and not is_told:
                text, is_told = slices.estimate.text, True
            # Objects end where they are no longer seen.
            work = slices.work
            yield Progress(text, work.done, work.total, may_end_early=True)
            if stopped():
                break
        return self.finish(predictor, slices.result(results))

    def _until_reached(self, slices: Iterable[SliceResult]) -> Iterator[SliceResult]:
        """Select the results that an earlier propagation reached, and end with them."""
        if self.reached is None:
            yield from slices
            return
        missing = set(self.reached)
        for result in slices:
            key = result.object_id, result.index
            if key in missing:
                if self.reached[key] or not result.provisional:
                    missing.remove(key)
                yield result
            if not missing:
                break

    def refinish(self, result: SegmentationResult) -> SegmentationResult:
        """Apply `cleanup` to an earlier result, without a model."""
        assert result.volume is not None
        return self.finish(result.model, result.volume)

    def resume(
        self, earlier: SegmentationRequest, result: SegmentationResult
    ) -> StackRequest:
        """Return this request with an earlier result to reuse, where settings agree.

        Parameters
        ----------
        earlier : SegmentationRequest
            The request that gave `result`.
        result : SegmentationResult
            Its result, perhaps incomplete.
        """
        if (
            isinstance(earlier, StackRequest)
            and (self.view, self.options) == (earlier.view, earlier.options)
            and self.zoom == earlier.zoom
            and stack_to_json(self.stack) == stack_to_json(earlier.stack)
        ):
            return replace(self, previous=result.volume)
        return self

    def finish(
        self, predictor: PredictorLike, volume: VolumeResult
    ) -> SegmentationResult:
        """Crop the masks of a propagation and clean them up."""
        pieces = volume.pieces
        if self.cleanup:
            seeds = prompt_seeds(self.prompts, volume.slices)
            axis, voxel = self.stack.axis, self.stack.voxel_size
            pieces = tuple(clean_up_pieces(pieces, self.cleanup, seeds, axis, voxel))
        scores: dict[int, list[Score]] = defaultdict(list)
        for entry in volume.slices:
            if entry.status != "stopped":
                status = "provisional" if entry.provisional else entry.status
                scores[entry.object_id].append(Score(entry.index, entry.score, status))
        return SegmentationResult(
            pieces,
            {object_id: tuple(members) for object_id, members in scores.items()},
            predictor,
            self.contrast_limits,
            volume=volume,
            warnings=(
                # Too small for the model, an object does not fill its box, either.
                *(
                    self.small_object_warnings(predictor, volume)
                    or unfilled_boxes_warnings(self.prompts, volume.slices)
                ),
                *empty_slices_warnings(volume.empty),
            ),
        )

    def small_object_warnings(
        self, predictor: PredictorLike, volume: VolumeResult
    ) -> tuple[str, ...]:
        """Return sentences about objects that are too small for the model."""
        return small_on_slices_warnings(
            self.prompts, volume.slices, self.stack.plane_shape, predictor
        )

    def to_json(self, object_id: int, result: SegmentationResult) -> dict[str, Any]:
        """Describe how one object was made."""
        return self.settings_to_json(object_id)

    def settings_to_json(self, object_id: int) -> dict[str, Any]:
        """Describe all settings of one object but the clean-up."""
        prompts = self.prompts.get(object_id, {})
        masks = self.masks.get(object_id, {})
        options = {f.name: getattr(self.options, f.name) for f in fields(self.options)}
        return {
            **stack_to_json(self.stack),
            "prompts": {str(i): prompt_to_json(p) for i, p in prompts.items()},
            "painted": {
                str(i): mask_to_json(patch.mask, patch.origin)
                for i, patch in masks.items()
            },
            "zoom": self.zoom,
            # NumPy scalars are not JSON.
            "options": {
                name: value.item() if hasattr(value, "item") else value
                for name, value in options.items()
            },
        }

    @classmethod
    def from_json(cls, view: ImageView, entries: Sequence[dict[str, Any]]) -> Self:
        """Build the request from the entries of its objects, without clean-up."""
        prompts, masks, reached = {}, {}, {}
        for entry in entries:
            for score in entry.get("scores", ()):
                key = entry["object"], score["index"]
                reached[key] = score["status"] == "provisional"
            prompts[entry["object"]] = {
                index_key(index, "slice"): prompt_from_json(prompt)
                for index, prompt in entry["prompts"].items()
            }
            painted = {
                index_key(index, "slice"): MaskPatch.from_mask(
                    *mask_from_json(mask), PAINTED_LOGIT
                )
                for index, mask in entry.get("painted", {}).items()
            }
            if painted:
                masks[entry["object"]] = painted
            elif not prompts[entry["object"]]:
                raise ValueError(
                    f"Object {entry['object']} of the record has no prompts: restore "
                    "the file."
                )
        stack = stack_from_json(view, entries[0])
        # Earlier records tell nothing of borders: masks were those of the model.
        recorded = {"fit_border": False, **entries[0]["options"]}
        options = PropagationOptions(**recorded)
        # Records without a zoom were made on whole planes.
        zoom = check_zoom(entries[0].get("zoom", "off"))
        return cls(view, stack, prompts, options, masks, reached=reached, zoom=zoom)


def prompt_seeds(
    prompts: ObjectPrompts, results: Iterable[SliceResult]
) -> dict[int, NDArray[np.intp]]:
    """Collect the voxels under the prompts of propagated objects.

    Parameters
    ----------
    prompts : dict
        {object id: {slice: Prompt}}.
    results : iterable of SliceResult
        Results of the propagation; masks painted by hand count as prompts.

    Returns
    -------
    dict
        {object id: (N, 3) int} slice, row and column of the `prompted_pixels`.
    """
    seeds: dict[int, list[NDArray[np.intp]]] = defaultdict(list)
    for result in results:
        prompt = prompts.get(result.object_id, {}).get(result.index)
        if prompt is None and result.status != "anchor":
            continue
        pixels = prompted_pixels(prompt or Prompt(), result.patch)
        seeds[result.object_id].append(np.insert(pixels, 0, result.index, axis=1))
    return {object_id: np.concatenate(parts) for object_id, parts in seeds.items()}
