"""Segmentation of all active objects on one slice."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.masks.patch import (
    MaskPatch,
    patch_iou,
    resolve_overlaps,
    stability,
)
from napari_sam.prediction.steps import run_to_end
from napari_sam.prediction.zoom.answers import ZoomedPlane
from napari_sam.prediction.zoom.options import ZoomHints
from napari_sam.prompts.prompt import Prompt
from napari_sam.volume.appearance import Appearance, View
from napari_sam.volume.footprint import Footprint
from napari_sam.volume.object_windows import box_length
from napari_sam.volume.slice_decoder import SliceDecoder
from napari_sam.volume.tracking.box_motion import expand_box
from napari_sam.volume.tracking.branches import branch_boxes, is_clearer
from napari_sam.volume.tracking.mask_projection import combine
from napari_sam.volume.tracking.slice_mask import SliceMask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.images.window import Window
    from napari_sam.prediction.prediction import Prediction
    from napari_sam.prediction.protocol import PredictorLike
    from napari_sam.prediction.zoom.answers import Windows
    from napari_sam.volume.object_windows import ObjectWindows
    from napari_sam.volume.plane_encoder import EncodedWindow, SliceWindows
    from napari_sam.volume.results import PropagationOptions
    from napari_sam.volume.tracking.mask_projection import ExpectedMask
    from napari_sam.volume.tracking.territories import Territories

# Components and holes whose mask has a smaller IoU with the expected one are dropped.
_MIN_COMPONENT_IOU, _MIN_HOLE_IOU = 0.1, 0.3
# A mask that its window cuts is asked again in another one, this many times.
_MAX_GROWTH = 4


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """The mask of an object, all of its parts, before overlaps are resolved.

    `prediction` is that of the largest part; None without an answer. `threshold` is
    the logit at which the mask ends.
    """

    patch: MaskPatch
    prediction: Prediction | None
    window: Window | None
    threshold: float = 0.0


@dataclass(eq=False)
class SliceSegmenter:
    """Segmenter of the objects on a slice, which resolves their overlaps.

    Parameters
    ----------
    predictor : PredictorLike
        The model.
    options : PropagationOptions
        Settings of the propagation.
    object_windows : ObjectWindows
        Choice of windows.
    territories : Territories
        Where the prompts of the objects are.
    footprint : Footprint
        Gets where objects are looked for and found.
    """

    predictor: PredictorLike
    options: PropagationOptions
    object_windows: ObjectWindows
    territories: Territories
    footprint: Footprint = field(default_factory=Footprint)
    # {slice: {object id: mask}}
    _masks: dict[int, dict[int, MaskPatch]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    @property
    def _decoder(self) -> SliceDecoder:
        return SliceDecoder(self.predictor, self.options.margin)

    @property
    def prompt_kinds(self) -> frozenset[str]:
        """Kinds of prompts to build for the next slice."""
        if self.options.projection == "auto":
            return self.predictor.prompts
        return frozenset(self.options.projection.split("+"))

    def remember(self, object_id: int, slice_index: int, patch: MaskPatch) -> None:
        """Keep the mask of an object, so that other objects do not grow into it."""
        if patch.logits.size:
            self._masks[slice_index][object_id] = patch
            self.footprint.add_mask(slice_index, patch)

    def segment_prompts(
        self,
        windows: SliceWindows,
        prompts: Mapping[int, Prompt],
        sizes: Mapping[int, float],
    ) -> dict[int, SliceMask]:
        """Segment objects from the prompts of the user.

        Parameters
        ----------
        windows : SliceWindows
            The slice.
        prompts : mapping
            {object id: Prompt}.
        sizes : mapping
            {object id: longer side in pixels}, where other prompts of the object tell.

        Returns
        -------
        dict
            {object id: SliceMask}; objects may overlap.
        """
        groups: dict[float | None, list[int]] = defaultdict(list)
        for object_id, prompt in prompts.items():
            is_click = prompt.kinds == {"point"} and self.object_windows.can_zoom
            groups[sizes.get(object_id) if is_click else None].append(object_id)
        found: dict[int, SliceMask] = {}
        for size, members in groups.items():
            plane = ZoomedPlane(
                self.object_windows.grid,
                lambda window: windows.get(window).embedding,
                self._decoder.decode,
                self.object_windows.zoom,
                ZoomHints(size),
                corrects=self.predictor.prompt_support.corrects_clicks,
            )
            asked = [prompts[object_id] for object_id in members]
            start = {
                i: self._start_windows(prompts[object_id], sizes[object_id])
                for i, object_id in enumerate(members)
                if size is None and object_id in sizes
            }
            answers = run_to_end(plane.answer(asked, start))
            for object_id, answer in zip(members, answers, strict=True):
                first = self._first_answer(
                    windows, prompts[object_id], answer.prediction
                )
                found[object_id] = self._measure(windows, first)
        return {object_id: found[object_id] for object_id in prompts}

    def _start_windows(self, prompt: Prompt, size: float) -> Windows:
        """Return the window of a prompt at the scale of all slices of its object."""
        box = prompt.box
        if box is None or self.object_windows.zoom != "auto":
            return ()
        side = self.object_windows.side_on_slice(box_length(box), size)
        return (self.object_windows.grid.around_object(box[:2], box[2:], side),)

    def segment(
        self,
        windows: SliceWindows,
        expected: Mapping[int, ExpectedMask | None],
        places: Mapping[int, Window | None],
    ) -> dict[int, SliceMask]:
        """Segment objects where they are expected.

        Parameters
        ----------
        windows : SliceWindows
            The slice.
        expected : mapping
            {object id: ExpectedMask}; None for an object that has left the plane.
        places : mapping
            {object id: the window to look for it}.

        Returns
        -------
        dict
            {object id: SliceMask}; overlaps are resolved, also with masks that
            `remember` keeps for other objects.
        """
        answers = {
            object_id: _Answer(MaskPatch.empty(), None, places[object_id])
            for object_id in expected
        }
        todo = {o: places[o] for o, mask in expected.items() if mask is not None}
        for _ in range(1 + _MAX_GROWTH):
            answers |= self._ask(windows, expected, todo)
            todo = self._elsewhere(windows, {o: answers[o] for o in todo})
            if not todo:
                break
        object_ids, found = list(expected), [answers[o].patch for o in expected]
        for patch in found:
            self.footprint.add_mask(windows.index, patch)
        patches = self.territories.outside(windows.index, object_ids, found)
        patches = self._resolve_overlaps(windows.index, object_ids, patches)
        return {
            object_id: self._measure(windows, replace(answers[object_id], patch=patch))
            for object_id, patch in zip(object_ids, patches, strict=True)
        }

    def break_ties(
        self,
        windows: SliceWindows,
        boxes: Mapping[int, NDArray[np.float64]],
        places: Mapping[int, Window | None],
        appearances: Mapping[int, Appearance],
    ) -> dict[int, MaskPatch]:
        """Segment objects once more from boxes, where both directions disagree."""
        margin = self.options.margin / 2
        found: dict[int, MaskPatch] = {}
        for window, members in _by_window(places, boxes).items():
            wide = [expand_box(boxes[o], margin) for o in members]
            encoded = windows.get(window)
            asked = [Prompt(box=box) for box in wide]
            predictions = self._decoder.decode(encoded.embedding, asked)
            for object_id, box, prediction in zip(
                members, wide, predictions, strict=True
            ):
                found[object_id] = prediction.patch
                if self.options.fit_border:
                    view = View.of(prediction, box, encoded.pixels, boxes[object_id])
                    found[object_id] = appearances[object_id].mask(view)
        return found

    def _ask(
        self,
        windows: SliceWindows,
        expected: Mapping[int, ExpectedMask | None],
        todo: Mapping[int, Window | None],
    ) -> dict[int, _Answer]:
        """Decode each object in its window, all of a window together."""
        answers = {}
        for window, members in _by_window(todo, todo).items():
            masks = [mask for o in members if (mask := expected[o]) is not None]
            prompts = [prompt for mask in masks for prompt in mask.prompts]
            encoded = windows.get(window)
            self.footprint.windows.add((windows.index, window))
            # Boxes of objects of one part are large enough, see `enlarge_box`.
            fits = self.options.fit_border
            full = [fits and len(m.prompts) == 1 for m in masks for _ in m.prompts]
            decoded = self._decoder.decode_refitted(encoded, prompts, full)
            predictions = iter(decoded)
            for object_id, mask in zip(members, masks, strict=True):
                answers[object_id] = self._merge_parts(mask, predictions, encoded)
        return answers

    def _first_answer(
        self, windows: SliceWindows, prompt: Prompt, prediction: Prediction
    ) -> _Answer:
        """Make the answer to a prompt of the user, and measure how the object looks."""
        patch, window = prediction.patch, prediction.window
        if not patch.logits.size or not self.options.fit_border:
            return _Answer(patch, prediction, window)
        encoded = windows.get(window)
        has_box = prompt.box is not None
        box = patch.box if prompt.box is None else prompt.box
        view = View.of(prediction, box, encoded.pixels)
        answer = _fitted(prediction, view, is_users_box=has_box)
        if prompt.kinds == {"box"}:
            return self._branches(encoded, view, answer) or answer
        return answer

    def _branches(
        self, encoded: EncodedWindow, view: View, found: _Answer
    ) -> _Answer | None:
        """Ask for the branches in a box one by one; None where that is no better."""
        boxes = branch_boxes(view, found.patch)
        if not boxes:
            return None
        wide = [expand_box(box, self.options.margin / 2) for box in boxes]
        asked = [Prompt(box=box) for box in wide]
        predictions = self._decoder.decode(encoded.embedding, asked)
        if not all(prediction.patch.logits.size for prediction in predictions):
            return None
        answers = [
            _fitted(part, View.of(part, box, encoded.pixels), is_users_box=True)
            for part, box in zip(predictions, wide, strict=True)
        ]
        patch = combine([answer.patch for answer in answers], [])
        if not is_clearer(view, patch, found.patch):
            return None
        return replace(answers[0], patch=patch)

    def _merge_parts(
        self,
        expected: ExpectedMask,
        answers: Iterator[tuple[Prediction, NDArray[np.float64]]],
        encoded: EncodedWindow,
    ) -> _Answer:
        """Merge the masks of all parts; the prediction is that of the largest part."""
        components: list[tuple[float, MaskPatch, Prediction]] = []
        holes = []
        for part in expected.parts:
            prediction, box = next(answers)
            patch = prediction.patch
            iou = patch_iou(part.patch, patch)
            if part.is_hole:
                if iou >= _MIN_HOLE_IOU:
                    holes.append(patch)
                continue
            if self.options.fit_border:
                view = View.of(prediction, box, encoded.pixels, part.box)
                patch = expected.appearance.mask(view)
            components.append((iou, patch, prediction))
        kept = [c for c in components if c[0] >= _MIN_COMPONENT_IOU] or components[:1]
        _, patch, prediction = kept[0]
        if len(kept) > 1 or holes:
            patch = combine([c[1] for c in kept], holes)
        threshold = expected.appearance.threshold
        return _Answer(patch, prediction, encoded.window, threshold)

    def _elsewhere(
        self, windows: SliceWindows, answers: Mapping[int, _Answer]
    ) -> dict[int, Window | None]:
        """Return other windows for the masks that their window cuts."""
        other = {}
        for object_id, answer in answers.items():
            patch, window = answer.patch, answer.window
            if window is None or not patch.logits.size:
                continue
            if window.cuts(patch.box, windows.plane_shape):
                other[object_id] = self.object_windows.beyond(patch.box, window)
        return other

    def _measure(self, windows: SliceWindows, answer: _Answer) -> SliceMask:
        patch, prediction = answer.patch, answer.prediction
        if prediction is None:
            return SliceMask(patch, window=answer.window)
        if not patch.logits.size:
            return SliceMask(patch, prediction.score, window=answer.window)
        rows, cols = prediction.transform.mask_shape  # the rest is padding
        return SliceMask(
            patch,
            prediction.score,
            float(stability(prediction.logits[:rows, :cols] - answer.threshold)),
            windows.get(answer.window).border(patch),
            answer.window,
            answer.threshold,
        )

    def _resolve_overlaps(
        self, slice_index: int, object_ids: Sequence[int], patches: Sequence[MaskPatch]
    ) -> list[MaskPatch]:
        """Assign each pixel to one object, also among the masks remembered before."""
        known = self._masks[slice_index].items()
        others = [patch for object_id, patch in known if object_id not in object_ids]
        if len(patches) + len(others) < 2:
            return list(patches)
        masks = resolve_overlaps([*patches, *others])[: len(patches)]
        return [
            patch
            if np.array_equal(mask, patch.mask)
            else combine(
                [MaskPatch(patch.origin, np.where(mask, patch.logits, -1.0))], []
            )
            for patch, mask in zip(patches, masks, strict=True)
        ]


def _fitted(prediction: Prediction, view: View, *, is_users_box: bool) -> _Answer:
    """Fit the border of an answer to the image; of a box that a user drew, its size."""
    appearance = Appearance.first(view, is_users_box=is_users_box)
    fitted = appearance.mask(view)
    patch = fitted if fitted.logits.size else prediction.patch
    return _Answer(patch, prediction, prediction.window, appearance.threshold)


def _by_window(
    places: Mapping[int, Window | None], members: Iterable[int]
) -> dict[Window | None, list[int]]:
    """Group objects by their window, {window: object ids}."""
    groups: dict[Window | None, list[int]] = {}
    for object_id in members:
        groups.setdefault(places[object_id], []).append(object_id)
    return groups
