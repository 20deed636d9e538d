"""Reuse of an earlier propagation, as far as image, model and options are the same."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.uint8 import plane_key, to_uint8
from napari_sam.volume.tracking.ball import ball_sections, reference_slice

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import ArrayLike

    from napari_sam.images.stack import Stack
    from napari_sam.prediction.protocol import PredictorLike
    from napari_sam.prediction.zoom.options import Zoom
    from napari_sam.volume.plane_encoder import Place, PrefetchingPlaneEncoder
    from napari_sam.volume.results import (
        PropagationOptions,
        SliceResult,
        VolumeResult,
    )
    from napari_sam.volume.slice_ranges import SliceRange
    from napari_sam.volume.stack_prompts import PromptedSlices


def settings_key(
    stack: Stack,
    predictor: PredictorLike,
    options: PropagationOptions,
    zoom: Zoom,
    contrast_limits: ArrayLike | None,
) -> str:
    """Describe what all slices of a result have in common, apart from the prompts."""
    limits = None if contrast_limits is None else np.asarray(contrast_limits).tolist()
    return repr(
        (
            predictor.key,
            predictor.instance_head is not None,
            replace(options, first=None, last=None),
            zoom,
            limits,
            stack.shape,
            stack.axis,
            sorted(stack.fixed.items()),
            stack.spacing,
        )
    )


@dataclass(eq=False)
class EarlierResult:
    """An earlier result, of which parts that still hold are reused.

    Slices are read again and compared by their pixels, so that neither another image
    nor an array that was edited in place gets old masks.

    Parameters
    ----------
    volume : VolumeResult or None
        The result.
    settings : str
        `settings_key` of the propagation now.
    encoder : PrefetchingPlaneEncoder
        Reads the planes; hashes of slices that hold are added to its `seen`.
    """

    volume: VolumeResult | None
    settings: str
    encoder: PrefetchingPlaneEncoder
    _places: dict[int, list[Place]] = field(default_factory=dict, init=False)
    _checked: dict[int, bool] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        fingerprint = None if self.volume is None else self.volume.fingerprint
        if fingerprint is None or fingerprint.settings != self.settings:
            self.volume = None
            return
        for place in fingerprint.pixels:
            self._places.setdefault(place[0], []).append(place)

    @property
    def empty(self) -> set[int]:
        """Slices that showed nothing, and still do."""
        if self.volume is None:
            return set()
        return {index for index in self.volume.empty if self._holds([index])}

    def anchor(
        self, object_id: int, index: int, prompted: PromptedSlices
    ) -> SliceResult | None:
        """Return the result on a prompted slice whose prompt is the same."""
        if self.volume is None or object_id not in self.volume.prompted:
            return None
        if not prompted.same_on(self.volume.prompted[object_id], index):
            return None
        result = self.volume.of_object(object_id).get(index)
        if result is None or result.status != "anchor" or not self._holds([index]):
            return None
        return result

    def results(
        self,
        slice_range: SliceRange,
        prompted: PromptedSlices,
        count: int,
        radii: Mapping[int, float],
    ) -> dict[int, SliceResult] | None:
        """Return the results of a range whose prompts and pixels have not changed.

        Parameters
        ----------
        slice_range : SliceRange
            The range.
        prompted : PromptedSlices
            Prompts of the object now.
        count : int
            Number of slices in the stack.
        radii : mapping
            {prompted slice: radius of the object in slices} now; empty when masks do
            not depend on prompts elsewhere.

        Returns
        -------
        dict or None
            {slice: SliceResult}, perhaps not of all slices; None when the range must be
            propagated again.
        """
        if self.volume is None or slice_range.object_id not in self.volume.prompted:
            return None
        before = self.volume.prompted[slice_range.object_id]
        if {*before.indices, *before.ends} & set(slice_range.slices):
            return None
        for index in (slice_range.first - 1, slice_range.last + 1):
            if 0 <= index < count and not prompted.same_on(before, index):
                return None
        results = self.volume.of_object(slice_range.object_id)
        if radii and not self._same_reference(slice_range, prompted, radii):
            return None
        known = {i: results[i] for i in slice_range.slices if i in results}
        ends = {slice_range.below, slice_range.above} - {None}
        # Also slices beyond an end were seen, and might now continue the object.
        return known if self._holds([*slice_range.slices, *ends]) else None

    def _same_reference(
        self,
        slice_range: SliceRange,
        prompted: PromptedSlices,
        radii: Mapping[int, float],
    ) -> bool:
        """Tell whether the same slice tells where the middle of the object is."""
        assert self.volume is not None
        start = slice_range.below if slice_range.above is None else slice_range.above
        if slice_range.is_between or start is None:
            return True
        object_id = slice_range.object_id
        said = self.volume.prompted[object_id]
        anchors = {
            index: result.patch
            for index, result in self.volume.of_object(object_id).items()
            if result.status == "anchor"
        }
        before = ball_sections(anchors, self.volume.stack)
        reference = reference_slice(radii, start, prompted.masks)
        if reference != reference_slice(before, start, said.masks):
            return False
        return reference is None or (
            prompted.same_on(said, reference) and self._holds([reference])
        )

    def _holds(self, slices: Iterable[Any]) -> bool:
        """Tell whether the model would see the same pixels on some slices."""
        return all(map(self._slice_holds, slices))

    def _slice_holds(self, index: int) -> bool:
        assert self.volume is not None
        assert self.volume.fingerprint is not None
        if index not in self._checked:
            before = self.volume.fingerprint.pixels
            places = self._places.get(index, [])
            now = {place: pixels_key(self.encoder, place) for place in places}
            same = all(now[place] == before[place] for place in places)
            if same:
                self.encoder.seen.update(now)
            self._checked[index] = same
        return self._checked[index]


def pixels_key(encoder: PrefetchingPlaneEncoder, place: Place) -> str:
    """Hash the pixels of a window of a slice, as the model would see them."""
    return plane_key(to_uint8(encoder.pixels(*place), encoder.contrast_limits))
