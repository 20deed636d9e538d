"""Masks for everything in a plane: the questions that a model can answer, laid out.

Models that know points are asked by a grid of them (Kirillov et al. 2023, "Segment
Anything", section 5 and appendix B); models that know boxes only by the search of
`napari_sam.automatic.box_proposals`. Either way a plane, or a crop, is encoded once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.automatic.box_proposals import BoxProposalSearch
from napari_sam.automatic.candidate import Candidate
from napari_sam.automatic.candidates import Candidates
from napari_sam.automatic.crops import Crop, make_crops
from napari_sam.images.axes import sample_centres
from napari_sam.masks.patch import mask_to_window, window_at
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_sam.prediction.predictor import Embedding, Predictor

    Embed = Callable[[Crop], Embedding]
    # Share of the crop that is done, and what was found in it so far.
    _Steps = Iterator[tuple[float, list[Candidate]]]

# Masks of one batch take this share of the memory that is free, and never more
# prompts than that; where the system does not tell, this many.
_SHARE_OF_MEMORY = 0.1
_MOST_PROMPTS = 128
_PROMPTS_UNKNOWN = 16
# The three alternatives of a point, twice: as tensor and as array.
_COPIES = 6
# Around a region so much of its sides is shown too, for objects on its border.
_AROUND_REGION = 0.15
_STEPS = 100


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How everything in a plane is searched.

    Parameters
    ----------
    points_per_side : int
        Of the grid on the whole and on every crop, for models that know points.
    crop_levels : int
        The whole is searched at 0; level i adds 4**i overlapping crops, each
        encoded on its own, for objects that are small in the plane.
    least_score, least_stability : float
        Masks below are forgotten at once, which saves memory: thresholds cannot be
        lowered further afterwards.

    Raises
    ------
    ValueError
        When a number is out of range.
    """

    points_per_side: int = 32
    crop_n_layers: int = 0
    min_pred_iou: float = 0.3
    min_stability_score: float = 0.3

    def __post_init__(self) -> None:
        if self.points_per_side < 1:
            raise ValueError(
                f"A grid of {self.points_per_side} points a side is empty: give 1 or "
                "more."
            )
        if self.crop_n_layers < 0:
            raise ValueError(
                f"There are no {self.crop_n_layers} levels of crops: give 0 or more."
            )

    def keeps(self, candidate: Candidate) -> bool:
        """Whether thresholds can ever ask for the mask."""
        good = candidate.score >= self.min_pred_iou
        return good and candidate.may_be_stable(self.min_stability_score)


@dataclass(frozen=True, slots=True, eq=False)
class SearchStep:
    """How far a search has come.

    Parameters
    ----------
    done, total : int
        Parts of the work.
    candidates : Candidates
        All that was found so far; the last step has everything.
    """

    done: int
    total: int
    candidates: Candidates


def search_method_text(prompts: frozenset[str]) -> str:
    """In words, what a model of these prompts is asked; for the interface."""
    if "point" in prompts:
        return "a grid of points"
    return "a search over boxes, which this model knows best"


def find_everything(
    predictor: Predictor,
    embed: Embed,
    shape: tuple[int, int],
    options: SearchOptions | None = None,
    region: NDArray[np.bool_] | None = None,
) -> Iterator[SearchStep]:
    """Collect masks of everything in a plane; stop by no longer iterating.

    Parameters
    ----------
    predictor : Predictor
        Asked only for what its weights were trained on.
    embed : callable
        Encodes a crop of the plane.
    shape : tuple of int
        (H, W) of the plane.
    options : SearchOptions, optional
        How.
    region : ndarray, optional
        (H, W) bool: where objects are searched; everywhere when None. What is
        encoded is the box around it, so that a small region is seen enlarged.

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
    crops = make_crops(_whole(shape, region), options.crop_n_layers)
    found: list[Candidate] = []
    for number, crop in enumerate(crops):
        embedding = embed(crop)
        inside = None if region is None else region[crop.window]
        if "point" in predictor.prompts:
            steps = _by_points(predictor, embedding, crop, options, inside)
        else:
            steps = _by_boxes(predictor, embedding, crop, options, inside)
        here: list[Candidate] = []
        for share, here in steps:
            done = int(_STEPS * (number + share))
            known = Candidates((*found, *here), shape, region)
            yield SearchStep(done, _STEPS * len(crops), known)
        found += here
    if not found:
        yield SearchStep(1, 1, Candidates((), shape, region))


def check_region(region: object, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Refuse what is no region of a plane.

    Raises
    ------
    ValueError
        When it is not boolean, of another shape or empty.
    """
    mask = np.asarray(region)
    if mask.dtype != bool or mask.shape != shape:
        raise ValueError(
            f"The region is {mask.dtype} of shape {mask.shape}: give booleans of the "
            f"plane's shape {shape}."
        )
    if not mask.any():
        raise ValueError("The region is empty: mark where objects are searched.")
    return mask


def region_from_prompt(prompt: Prompt, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W) bool: what a shape drawn as a prompt marks, its mask or else its box."""
    region = np.zeros(shape, bool)
    if prompt.mask is not None:
        part = window_at(prompt.mask_origin, prompt.mask.shape)
        region[part] = prompt.mask > 0
    elif prompt.box is not None:
        row, col, last_row, last_col = np.rint(prompt.box).astype(int)
        region[max(row, 0) : last_row + 1, max(col, 0) : last_col + 1] = True
    return region


def point_grid(shape: tuple[int, int], per_side: int) -> NDArray[np.float64]:
    """(N, 2) points, at the borders and spacing of the published generator."""
    rows, cols = ((np.arange(per_side) + 0.5) * (side / per_side) for side in shape)
    grid = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)
    # In a plane of fewer pixels than points the last ones would lie outside.
    kept: NDArray[np.float64] = np.minimum(grid, np.array(shape) - 1.0)
    return kept


def _whole(shape: tuple[int, int], region: NDArray[np.bool_] | None) -> Crop:
    """The plane, or the box of the region and what is around it."""
    if region is None:
        return Crop((0, 0), shape)
    window = mask_to_window(check_region(region, shape))
    assert window is not None
    around = [int(_AROUND_REGION * (side.stop - side.start)) + 1 for side in window]
    starts = [max(w.start - a, 0) for w, a in zip(window, around, strict=True)]
    height, width = (
        min(w.stop + a, size) - start
        for w, a, size, start in zip(window, around, shape, starts, strict=True)
    )
    return Crop((starts[0], starts[1]), (height, width))


def _by_points(
    predictor: Predictor,
    embedding: Embedding,
    crop: Crop,
    options: SearchOptions,
    region: NDArray[np.bool_] | None,
) -> _Steps:
    transform = embedding.transform
    points = point_grid(crop.shape, options.points_per_side)
    if region is not None:
        points = points[region[tuple(points.astype(int).T)]]
    size, found = _batch_size(transform.mask_size), []
    for start in range(0, len(points), size):
        prompts = [Prompt(points=[point]) for point in points[start : start + size]]
        answers = predictor.predict_batch(embedding, prompts, multimask_output=True)
        for mask in (mask for answer in answers for mask in answer.candidates):
            kept = Candidate.of(mask.logits, mask.score, crop, transform)
            if kept is not None and options.keeps(kept):
                found.append(kept)
        yield (start + len(prompts)) / len(points), found


def _by_boxes(
    predictor: Predictor,
    embedding: Embedding,
    crop: Crop,
    options: SearchOptions,
    region: NDArray[np.bool_] | None,
) -> _Steps:
    transform = embedding.transform
    factor = np.tile(transform.scale * transform.mask_size / transform.input_size, 2)
    last = np.tile(np.array(embedding.shape) - 1.0, 2)
    search = BoxProposalSearch(crop, transform, _shrunk(region, transform.mask_shape))
    size = _batch_size(transform.mask_size)
    for number, boxes in search.batches():
        for start in range(0, len(boxes), size):
            asked = boxes[start : start + size]
            prompts = [Prompt(box=b) for b in np.clip(asked / factor, 0, last)]
            answers = predictor.predict_batch(embedding, prompts)
            search.tell(
                asked,
                np.stack([answer.logits for answer in answers]),
                np.array([answer.score for answer in answers]),
            )
            done = number + (start + len(asked)) / len(boxes)
            kept = [c for c in search.candidates if options.keeps(c)]
            yield done / search.count, kept


def _shrunk(
    region: NDArray[np.bool_] | None, shape: tuple[int, int]
) -> NDArray[np.bool_] | None:
    """A region of the plane at the middles of the low-resolution pixels."""
    if region is None:
        return None
    small: NDArray[np.bool_] = region[np.ix_(*map(sample_centres, region.shape, shape))]
    return small


def _batch_size(mask_size: int) -> int:
    """Prompts whose masks fit into a share of the memory that is free."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows, nor on macOS
        return _PROMPTS_UNKNOWN
    fitting = free * _SHARE_OF_MEMORY / (_COPIES * 4 * mask_size**2)
    return int(np.clip(fitting, 1, _MOST_PROMPTS))
