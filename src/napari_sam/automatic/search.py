"""Automatic segmentation of a plane: a point grid or a box search collects candidates.

Models trained on points use a grid of points (Kirillov et al. 2023, "Segment
Anything", section 5 and appendix B), models trained on boxes the search of
`napari_sam.automatic.box_proposals`. Each crop of the plane is encoded once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from napari_sam.automatic.candidate import Candidate
from napari_sam.automatic.candidates import Candidates
from napari_sam.automatic.crops import Crop, make_crops
from napari_sam.checks.arrays import as_image
from napari_sam.checks.values import (
    check_fields,
    choice,
    optional,
    real_number,
    whole_number,
)
from napari_sam.images.axes import sample_centres
from napari_sam.images.window import Window
from napari_sam.masks.patch import mask_to_window, window_at
from napari_sam.prediction.zoom.options import check_zoom
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_sam.checkpoints.prompt_support import PromptSupport
    from napari_sam.prediction.embedding import Embedding
    from napari_sam.prediction.protocol import PredictorLike
    from napari_sam.prediction.zoom.options import Zoom

    Embed = Callable[[Crop], Embedding]
    # Finished fraction of the crop, and the candidates found in it so far.
    _Steps = Iterator[tuple[float, list[Candidate]]]

SearchMethod = Literal["auto", "prompts"]

# Masks of one batch use this fraction of the free memory.
_MEMORY_FRACTION = 0.1
_MAX_POINTS_PER_BATCH = 128
# Where the system does not report its free memory.
_DEFAULT_POINTS_PER_BATCH = 16
# The three alternatives of a point, twice: as tensor and as array.
_MASKS_PER_POINT = 6
# Margin around a region as a fraction of its sides, for objects at its border.
_REGION_MARGIN = 0.15
_STEPS_PER_CROP = 100


# More points or crops than pixels help nothing, and take days.
_MAX_POINTS_PER_SIDE, _MAX_CROP_LAYERS = 1024, 6
_OPTIONS = {
    "points_per_side": partial(whole_number, least=1, most=_MAX_POINTS_PER_SIDE),
    "crop_n_layers": partial(whole_number, least=0, most=_MAX_CROP_LAYERS),
    "min_pred_iou": partial(real_number, least=0, most=1),
    "min_stability_score": partial(real_number, least=0, most=1),
    "zoom": lambda value, _: check_zoom(value),
    "object_diameter": optional(partial(real_number, above=0)),
    "method": partial(choice, options=get_args(SearchMethod)),
}


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """Options of automatic segmentation.

    Parameters
    ----------
    points_per_side : int
        Size of the point grid on each crop, for models trained on points.
    crop_n_layers : int
        Layer i adds 4**i overlapping crops, each encoded on its own, for objects that
        are small in the plane. 0 searches the full plane only.
    min_pred_iou, min_stability_score : float
        Candidates below are dropped at once, which saves memory. Thresholds cannot
        be lowered below these values afterwards.
    zoom : "auto", "off" or float
        For models with an instance head: the size of the windows. With "auto" they fit
        the objects; a factor is the side of the plane over that of a window.
    object_diameter : float, optional
        For models with an instance head: the usual diameter of the objects in pixels;
        found by itself when None.
    method : "auto" or "prompts"
        With "prompts", a model with an instance head searches by prompts as well.

    Raises
    ------
    TypeError, ValueError
        When a value is not a number, or out of range.
    """

    points_per_side: int = 32
    crop_n_layers: int = 0
    min_pred_iou: float = 0.3
    min_stability_score: float = 0.3
    zoom: Zoom = "auto"
    object_diameter: float | None = None
    method: SearchMethod = "auto"

    def __post_init__(self) -> None:
        check_fields(self, _OPTIONS)

    def uses_instance_head(self, support: PromptSupport) -> bool:
        """Tell whether a model finds the objects by its instance head."""
        by_head = support.automatic_method == "instances"
        return by_head and self.method == "auto" and self.crop_n_layers == 0

    def keeps(self, candidate: Candidate) -> bool:
        """Tell whether thresholds can ever select the candidate."""
        good = candidate.pred_iou >= self.min_pred_iou
        return good and candidate.may_be_stable(self.min_stability_score)


@dataclass(frozen=True, slots=True, eq=False)
class SearchStep:
    """Progress of a search.

    Parameters
    ----------
    done, total : int
        Parts of the work.
    candidates : Candidates
        All candidates so far; the last step has all of them.
    finish : callable, optional
        Returns the candidates when the search ends here, with those of parts that are
        not complete.
    shows_nothing : bool
        Whether the plane shows nothing, so that it was not searched.
    """

    done: int
    total: int
    candidates: Candidates
    finish: Callable[[], Candidates] | None = None
    shows_nothing: bool = False


def search_method_text(support: PromptSupport) -> str:
    """Describe how a model searches objects, for the interface."""
    if support.automatic_method == "instances":
        return "a part of the model that sees all of them at once"
    if support.automatic_method == "points":
        return "a grid of points"
    return "a search over boxes, the prompts this model was trained on"


def search_candidates(
    predictor: PredictorLike,
    embed: Embed,
    shape: tuple[int, int],
    options: SearchOptions | None = None,
    region: NDArray[np.bool_] | None = None,
) -> Iterator[SearchStep]:
    """Search candidates in a plane; stopping the iteration cancels the search.

    Parameters
    ----------
    predictor : PredictorLike
        Gets only prompts of a kind that it was trained on.
    embed : callable
        Encodes a crop of the plane.
    shape : tuple of int
        (H, W) of the plane.
    options : SearchOptions, optional
        Options of the search.
    region : ndarray, optional
        (H, W) bool, where to search; everywhere when None. The bounding box of the
        region is encoded, so that a small region is enlarged.

    Yields
    ------
    SearchStep
        After each batch.

    Raises
    ------
    ValueError
        When the region is empty or does not fit the plane.
    """
    options = options or SearchOptions()
    crops = make_crops(_search_area(shape, region), options.crop_n_layers)
    by_points = predictor.prompt_support.trained_on("point")
    search = _search_by_points if by_points else _search_by_boxes
    finished: list[Candidate] = []
    for number, crop in enumerate(crops):
        in_crop = None if region is None else region[crop.window]
        candidates: list[Candidate] = []
        for fraction, candidates in search(
            predictor, embed(crop), crop, options, in_crop
        ):
            yield SearchStep(
                int(_STEPS_PER_CROP * (number + fraction)),
                _STEPS_PER_CROP * len(crops),
                Candidates((*finished, *candidates), shape, region),
            )
        finished += candidates
    if not finished:
        yield SearchStep(1, 1, Candidates((), shape, region))


def check_region(region: object, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Check that an array is a region of a plane.

    Raises
    ------
    ValueError
        When it is not boolean, of another shape or empty.
    """
    mask = np.asarray(as_image(region, "region"))
    if mask.dtype != bool or mask.shape != shape:
        raise ValueError(
            f"The region is {mask.dtype} of shape {mask.shape}: give booleans of the "
            f"plane's shape {shape}."
        )
    if not mask.any():
        raise ValueError("The region is empty: mark the area to search.")
    return mask


def region_from_prompt(prompt: Prompt, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Convert a prompt to a region: (H, W) bool, its mask, or else its box."""
    region = np.zeros(shape, bool)
    if prompt.mask is not None:
        part = window_at(prompt.mask_origin, prompt.mask.shape)
        region[part] = prompt.mask > 0
    elif prompt.box is not None:
        row, col, last_row, last_col = np.rint(prompt.box).astype(int)
        region[max(row, 0) : last_row + 1, max(col, 0) : last_col + 1] = True
    return region


def point_grid(shape: tuple[int, int], per_side: int) -> NDArray[np.float64]:
    """Return (N, 2) points, with the spacing and margins of the published generator."""
    rows, cols = ((np.arange(per_side) + 0.5) * (side / per_side) for side in shape)
    grid = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)
    # In a plane of fewer pixels than points the last ones would lie outside.
    points: NDArray[np.float64] = np.minimum(grid, np.array(shape) - 1.0)
    return points


def _search_area(shape: tuple[int, int], region: NDArray[np.bool_] | None) -> Crop:
    """Return the plane, or the bounding box of the region with a margin."""
    if region is None:
        return Crop((0, 0), shape)
    window = region_window(check_region(region, shape))
    return Crop(window.origin, window.shape)


def region_window(region: NDArray[np.bool_]) -> Window:
    """Return the bounding box of a region of a plane with a margin."""
    window = mask_to_window(region)
    assert window is not None
    margins = [int(_REGION_MARGIN * (side.stop - side.start)) + 1 for side in window]
    starts = [max(w.start - m, 0) for w, m in zip(window, margins, strict=True)]
    height, width = (
        min(w.stop + m, size) - start
        for w, m, size, start in zip(window, margins, region.shape, starts, strict=True)
    )
    return Window(starts[0], starts[1], height, width)


def _search_by_points(
    predictor: PredictorLike,
    embedding: Embedding,
    crop: Crop,
    options: SearchOptions,
    region: NDArray[np.bool_] | None,
) -> _Steps:
    transform = embedding.transform
    points = point_grid(crop.shape, options.points_per_side)
    if region is not None:
        points = points[region[tuple(points.astype(int).T)]]
    points_per_batch, candidates = _points_per_batch(transform.mask_size), []
    for start in range(0, len(points), points_per_batch):
        batch = points[start : start + points_per_batch]
        predictions = predictor.predict_batch(
            embedding,
            [Prompt(points=[point]) for point in batch],
            multimask_output=True,
        )
        for mask in (mask for one in predictions for mask in one.candidates):
            candidate = Candidate.from_logits(mask.logits, mask.score, crop, transform)
            if candidate is not None and options.keeps(candidate):
                candidates.append(candidate)
        yield (start + len(batch)) / len(points), candidates


def _search_by_boxes(
    predictor: PredictorLike,
    embedding: Embedding,
    crop: Crop,
    options: SearchOptions,
    region: NDArray[np.bool_] | None,
) -> _Steps:
    from napari_sam.automatic.box_proposals import BoxProposalSearch

    transform = embedding.transform
    factor = np.tile(transform.scale * transform.mask_size / transform.input_size, 2)
    last = np.tile(np.array(embedding.shape) - 1.0, 2)
    low_res_region = _downsample_region(region, transform.mask_shape)
    search = BoxProposalSearch(crop, transform, low_res_region)
    boxes_per_batch = _points_per_batch(transform.mask_size)
    for number, boxes in search.batches():
        for start in range(0, len(boxes), boxes_per_batch):
            batch = boxes[start : start + boxes_per_batch]
            prompts = [Prompt(box=b) for b in np.clip(batch / factor, 0, last)]
            predictions = predictor.predict_batch(embedding, prompts)
            search.add_masks(
                batch,
                np.stack([one.logits for one in predictions]),
                np.array([one.score for one in predictions]),
            )
            done = number + (start + len(batch)) / len(boxes)
            kept = [c for c in search.candidates if options.keeps(c)]
            yield done / search.num_batches, kept


def _downsample_region(
    region: NDArray[np.bool_] | None, shape: tuple[int, int]
) -> NDArray[np.bool_] | None:
    """Sample a region of the plane at the centres of low-resolution pixels."""
    if region is None:
        return None
    small: NDArray[np.bool_] = region[np.ix_(*map(sample_centres, region.shape, shape))]
    return small


def _points_per_batch(mask_size: int) -> int:
    """Return the number of prompts whose masks fit into the free memory."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows, nor on macOS
        return _DEFAULT_POINTS_PER_BATCH
    bytes_per_point = _MASKS_PER_POINT * 4 * mask_size**2
    fitting = free * _MEMORY_FRACTION / bytes_per_point
    return int(np.clip(fitting, 1, _MAX_POINTS_PER_BATCH))
