"""Segmentation of objects on one plane from prompts."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, get_args

import numpy as np

from napari_sam.checks.values import choice, optional
from napari_sam.images.window import Window
from napari_sam.masks.cleanup import CleanUp, clean_up_pieces, prompted_pixels
from napari_sam.masks.overlaps import PatchOverlaps
from napari_sam.masks.painting import pieces_from_parts
from napari_sam.prediction.click_sequence import (
    Size,
    predict_iteratively,
    select_alternative,
)
from napari_sam.prediction.steps import map_steps, run_to_end
from napari_sam.prediction.zoom.answers import DECODED_AT_ONCE, ZoomedPlane
from napari_sam.prediction.zoom.grid import WindowGrid
from napari_sam.prediction.zoom.options import ZoomHints
from napari_sam.prompts.serialization import prompt_from_json, prompt_to_json
from napari_sam.requests.base import Progress, Score, SegmentationResult
from napari_sam.requests.serialization import index_from_json, index_to_json
from napari_sam.requests.small_objects import small_object_warnings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.images.axes import ContrastLimits, PlaneIndex
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.embedding import Embedding
    from napari_sam.prediction.prediction import Prediction
    from napari_sam.prediction.protocol import PredictorLike
    from napari_sam.prediction.zoom.answers import Windows, ZoomedAnswer
    from napari_sam.prediction.zoom.options import Zoom, ZoomStep
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.requests.view import ImageView


@dataclass(frozen=True, slots=True, eq=False)
class PlaneRequest:
    """Segmentation of objects on one plane.

    Parameters
    ----------
    view : ImageView
        The image. Only this plane is read, and those that the contrast limits need.
    plane_index : tuple
        Index of the plane.
    prompts : dict
        {object id: Prompt}.
    size : {"small", "medium", "large"}, optional
        Which of the model's alternative masks to use; the best scored when None.
    cleanup : CleanUp, optional
        Post-processing of the masks.
    zoom : "auto", "off" or float
        How windows of the plane are chosen, see `choose_windows`.
    hints : ZoomHints
        What is known about objects of clicks.
    windows : mapping
        {object id: windows to ask instead of a choice}.
    repeat : bool
        Ask no other windows than those of `windows`, to repeat an earlier request.
    """

    stack: ClassVar[None] = None
    is_automatic: ClassVar[bool] = False
    can_change_size: ClassVar[bool] = True

    view: ImageView
    plane_index: PlaneIndex
    prompts: dict[int, Prompt]
    size: Size | None = None
    cleanup: CleanUp = field(default_factory=CleanUp)
    zoom: Zoom = "auto"
    hints: ZoomHints = field(default_factory=ZoomHints)
    windows: Mapping[int, Windows] = field(default_factory=dict)
    repeat: bool = False

    def run(
        self,
        predictor: PredictorLike,
        cache: EmbeddingCache,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Generator[Progress, None, SegmentationResult]:
        """Encode the windows that the cache lacks, and decode the prompts."""
        view, index = self.view, self.plane_index

        def embed(window: Window | None) -> Embedding:
            return view.embed(predictor, cache, index, window)

        def decode(embedding: Embedding, prompts: Sequence[Prompt]) -> list[Prediction]:
            return predict_iteratively(
                predictor, embedding, prompts, self.size, cache.click_cache
            )

        grid = WindowGrid.of(predictor, view.reader.plane_shape(index))
        corrects = predictor.prompt_support.corrects_clicks
        plane = ZoomedPlane(
            grid, embed, decode, self.zoom, self.hints, self.size, corrects
        )
        numbers = {object_id: i for i, object_id in enumerate(self.prompts)}
        start = {numbers[o]: w for o, w in self.windows.items() if o in numbers}
        steps = plane.answer(list(self.prompts.values()), start, repeat=self.repeat)
        answers: list[ZoomedAnswer] = yield from map_steps(_progress, steps)
        return (
            yield from self._finish(
                predictor,
                view.contrast_limits(index),
                [answer.prediction for answer in answers],
                {o: answers[i].windows for o, i in numbers.items()},
            )
        )

    def refinish(self, result: SegmentationResult) -> SegmentationResult:
        """Apply `size` and `cleanup` to an earlier result, without a model."""
        predictions = [select_alternative(p, self.size) for p in result.predictions]
        return run_to_end(
            self._finish(
                result.model, result.contrast_limits, predictions, result.windows
            )
        )

    def _finish(
        self,
        predictor: PredictorLike,
        contrast_limits: ContrastLimits | None,
        predictions: Sequence[Prediction],
        windows: Mapping[int, Windows],
    ) -> Generator[Progress, None, SegmentationResult]:
        """Resolve overlaps, crop the masks and clean them up."""
        object_ids = list(self.prompts)
        scores: dict[int, tuple[Score, ...]] = {
            object_id: (Score(None, prediction.score, prediction.method),)
            for object_id, prediction in zip(object_ids, predictions, strict=True)
        }
        seeds: dict[int, NDArray[np.intp]] = {}

        # One by one; all masks together may be far larger than the plane.
        together = PatchOverlaps()
        for done, ((object_id, prompt), prediction) in enumerate(
            zip(self.prompts.items(), predictions, strict=True)
        ):
            if done and done % DECODED_AT_ONCE == 0:
                yield Progress("Combining the masks", done, len(predictions))
            patch = prediction.make_patch()
            together.add(patch)
            if self.cleanup:
                pixels = prompted_pixels(prompt, patch)
                seeds[object_id] = np.insert(pixels, 0, 0, axis=1)
        pieces = pieces_from_parts(object_ids, self.plane_index, together.resolve())
        if self.cleanup:
            pieces = clean_up_pieces(pieces, self.cleanup, seeds)
        return SegmentationResult(
            tuple(pieces),
            scores,
            predictor,
            contrast_limits,
            predictions=tuple(predictions),
            windows=windows,
            warnings=small_object_warnings(
                self.prompts, predictions, zoomed=self.zoom != "off"
            ),
        )

    def to_json(self, object_id: int, result: SegmentationResult) -> dict[str, Any]:
        """Describe how one object was made."""
        return {
            "plane": index_to_json(self.plane_index),
            "prompts": {"": prompt_to_json(self.prompts[object_id])},
            "size": self.size,
            "windows": [w and list(w) for w in result.windows.get(object_id, (None,))],
        }

    @classmethod
    def from_json(cls, view: ImageView, entries: Sequence[dict[str, Any]]) -> Self:
        """Build the request from the entries of its objects, without clean-up."""
        prompts = {e["object"]: prompt_from_json(e["prompts"][""]) for e in entries}
        plane_index = index_from_json(entries[0]["plane"])
        # Records without windows were made on the whole plane.
        windows = {
            e["object"]: tuple(w and Window(*w) for w in e.get("windows", [None]))
            for e in entries
        }
        size = optional(partial(choice, options=get_args(Size)))(
            entries[0].get("size"), "size"
        )
        return cls(view, plane_index, prompts, size, windows=windows, repeat=True)


def _progress(step: ZoomStep) -> Progress:
    """Describe a step for the status line; count prompts where they are many."""
    total = step.total if step.total > DECODED_AT_ONCE else 0
    return Progress(_step_text(step), step.done if total else 0, total)


def _step_text(step: ZoomStep) -> str:
    what = "Encoding" if step.what == "encode" else "Segmenting"
    if step.window is None:
        return f"{what} the slice" if step.what == "encode" else what
    return f"{what}, zoomed to {step.window.side} px"
