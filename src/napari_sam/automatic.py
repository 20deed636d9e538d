"""Masks for everything in a plane: the questions that a model can answer, laid out.

Models that know points are asked by a grid of them (Kirillov et al. 2023, "Segment
Anything", section 5 and appendix B); models that know boxes only by the search of
`napari_sam.box_proposals`. Either way the plane is encoded once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_sam.box_proposals import BoxSearch
from napari_sam.candidates import Candidate, Candidates
from napari_sam.prompts import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_sam.predictor import Embedding, Predictor

# Masks of one batch take this share of the memory that is free, and never more
# prompts than that; where the system does not tell, this many.
_SHARE_OF_MEMORY = 0.1
_MOST_PROMPTS = 64
_PROMPTS_UNKNOWN = 16
# The three alternatives of a point, twice: as tensor and as array.
_COPIES = 6


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


def how_everything_is_found(predictor: Predictor) -> str:
    """In words, what a model is asked; for the interface."""
    if "point" in predictor.prompts:
        return "a grid of points"
    return "a search over boxes, as this model knows no points"


def find_everything(
    predictor: Predictor,
    embedding: Embedding,
    *,
    points_per_side: int = 32,
    region: NDArray[np.bool_] | None = None,
) -> Iterator[SearchStep]:
    """Collect masks of everything in a plane; stop by no longer iterating.

    Parameters
    ----------
    predictor : Predictor
        Asked only for what its weights were trained on.
    embedding : Embedding
        Of the plane.
    points_per_side : int
        Of the grid, for models that know points.
    region : ndarray, optional
        (H, W) bool: where objects are searched; everywhere when None.

    Yields
    ------
    SearchStep
        After each batch; nothing when the region is empty.

    Raises
    ------
    ValueError
        When the region does not fit the plane, or the grid has no point.
    """
    if region is not None:
        region = np.asarray(region)
        if region.dtype != bool or region.shape != embedding.shape:
            raise ValueError(
                f"The region is {region.dtype} of shape {region.shape}: give booleans "
                f"of the plane's shape {embedding.shape}."
            )
    if points_per_side < 1:
        raise ValueError(
            f"A grid of {points_per_side} points a side is empty: give 1 or more."
        )
    if "point" in predictor.prompts:
        return _by_points(predictor, embedding, points_per_side, region)
    return _by_boxes(predictor, embedding, region)


def point_grid(shape: tuple[int, int], per_side: int) -> NDArray[np.float64]:
    """(N, 2) points in the middle of `per_side` equal parts of each side."""
    rows, cols = (
        (np.arange(per_side) + 0.5) * (length / per_side) - 0.5 for length in shape
    )
    return np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1).reshape(-1, 2)


def _by_points(
    predictor: Predictor,
    embedding: Embedding,
    per_side: int,
    region: NDArray[np.bool_] | None,
) -> Iterator[SearchStep]:
    frame = embedding.frame
    points = point_grid(embedding.shape, per_side)
    if region is not None:
        points = points[region[tuple(np.rint(points).astype(int).T)]]
    size, found = _batch_size(frame.mask_size), []
    for start in range(0, len(points), size):
        prompts = [Prompt(points=[point]) for point in points[start : start + size]]
        answers = predictor.predict_batch(embedding, prompts, multimask_output=True)
        for mask in (mask for answer in answers for mask in answer.candidates):
            kept = Candidate.of(mask.logits, mask.score, frame.mask_shape)
            if kept is not None:
                found.append(kept)
        done = start + len(prompts)
        yield SearchStep(done, len(points), Candidates(tuple(found), frame, region))


def _by_boxes(
    predictor: Predictor, embedding: Embedding, region: NDArray[np.bool_] | None
) -> Iterator[SearchStep]:
    frame = embedding.frame
    factor = np.tile(frame.scale * frame.mask_size / frame.input_size, 2)
    last = np.tile(np.array(embedding.shape) - 1.0, 2)
    search = BoxSearch(frame.mask_shape, _shrunk(region, frame.mask_shape))
    size = _batch_size(frame.mask_size)
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
            found = Candidates(tuple(search.candidates), frame, region)
            whole = number + (start + len(asked)) / len(boxes)
            yield SearchStep(int(100 * whole), 100 * search.count, found)


def _shrunk(
    region: NDArray[np.bool_] | None, shape: tuple[int, int]
) -> NDArray[np.bool_] | None:
    """A region of the plane at the middles of the low-resolution pixels."""
    if region is None:
        return None
    rows, cols = (
        ((np.arange(low) + 0.5) * (full / low)).astype(int)
        for low, full in zip(shape, region.shape, strict=True)
    )
    small: NDArray[np.bool_] = region[np.ix_(rows, cols)]
    return small


def _batch_size(mask_size: int) -> int:
    """Prompts whose masks fit into a share of the memory that is free."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows, nor on macOS
        return _PROMPTS_UNKNOWN
    fitting = free * _SHARE_OF_MEMORY / (_COPIES * 4 * mask_size**2)
    return int(np.clip(fitting, 1, _MOST_PROMPTS))
