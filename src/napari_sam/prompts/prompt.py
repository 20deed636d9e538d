"""Prompt: points, a box and a mask of one object on one plane."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_sam.checks.arrays import as_image, as_numbers
from napari_sam.checks.values import check_list, check_type, describe
from napari_sam.prompts.coordinates import as_box, as_labels, as_points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.images.window import Window


# Point labels, as in SAM.
# No image is larger.
MAX_POSITION = 1e12

POSITIVE = 1
NEGATIVE = 0

# The feature (column) of points that names their polarity, and its values.
POLARITY = "polarity"
POSITIVE_NAME, NEGATIVE_NAME = "positive", "negative"
_POLARITIES = {
    POSITIVE_NAME: POSITIVE,
    "true": POSITIVE,
    "": POSITIVE,
    NEGATIVE_NAME: NEGATIVE,
    "false": NEGATIVE,
}


def label_from_polarity(value: Any) -> int | None:
    """Read the label of a point, 1 or 0, from a value of its polarity feature.

    Parameters
    ----------
    value : object
        "positive", "negative", a bool, or a number: 0 and below are negative, NaN is
        positive.

    Returns
    -------
    int or None
        None for any other word.
    """
    try:
        return NEGATIVE if float(value) <= 0 else POSITIVE
    except (TypeError, ValueError):
        return _POLARITIES.get(str(value).strip().lower())


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """Points, a box and a mask that describe one object.

    Parameters
    ----------
    points : array-like, optional
        (N, 2) as (row, col) in pixels of the plane; pixel centres are integers. A bare
        (row, col) is one point.
    labels : array-like, optional
        (N,), 1 for points on the object, 0 for points on the background; all 1
        when None.
    box : array-like, optional
        (4,) as (row_min, col_min, row_max, col_max), in the same coordinates; or the
        (V, 2) vertices of a shape.
    mask : array-like, optional
        Either a boolean mask of the plane, (H, W), or of a part of it; or the
        float logits of an earlier `Prediction` of the same model, (h, w), which
        the model refines.
    mask_origin : tuple of int, optional
        (row, col) on the plane of a boolean mask's first pixel.

    Raises
    ------
    TypeError, ValueError
        When a shape or a value is not valid.
    """

    points: Any = None
    labels: Any = None
    box: Any = None
    mask: Any = None
    mask_origin: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        points, labels = _check_points(self.points, self.labels)
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "box", _check_box(self.box))
        object.__setattr__(self, "mask", _check_mask(self.mask))
        origin = _check_origin(self.mask_origin, self.mask)
        object.__setattr__(self, "mask_origin", origin)

    @property
    def positives(self) -> NDArray[np.float64]:
        """Points on the object, (P, 2)."""
        return self._points_with(POSITIVE)

    @property
    def negatives(self) -> NDArray[np.float64]:
        """Points on the background, (Q, 2)."""
        return self._points_with(NEGATIVE)

    def _points_with(self, label: int) -> NDArray[np.float64]:
        if self.points is None:
            return np.empty((0, 2))
        points: NDArray[np.float64] = self.points[self.labels == label]
        return points

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of prompt it has, of "point", "box" and "mask"."""
        values = {"point": self.points, "box": self.box, "mask": self.mask}
        return frozenset(kind for kind, value in values.items() if value is not None)

    def within(self, shape: tuple[int, int]) -> Self:
        """Check the prompt against a plane, and crop the box to it.

        Parameters
        ----------
        shape : tuple of int
            (H, W) of the plane.

        Raises
        ------
        ValueError
            When the prompt is empty, has only background points, or does not lie on
            the plane.
        """
        if not self.kinds:
            raise ValueError("The prompt is empty: give a point, a box or a mask.")
        if self.kinds == {"point"} and not len(self.positives):
            raise ValueError(
                "The prompt has only background points: add a point on the object "
                "or a box around it."
            )
        if self.points is not None:
            self._check_points_within(shape)
        if self.mask is not None and self.mask.dtype == bool:
            self._check_mask_within(shape)
        if self.box is None:
            return self
        return replace(self, box=_crop_box(self.box, shape))

    def _check_points_within(self, shape: tuple[int, int]) -> None:
        end = np.array(shape) - 0.5
        outside = ((self.points < -0.5) | (self.points >= end)).any(axis=1)
        if outside.any():
            row, col = self.points[outside][0]
            raise ValueError(
                f"The point ({row:.4g}, {col:.4g}) lies outside the plane of "
                f"{shape[0]} x {shape[1]} pixels: move or delete it."
            )

    def _check_mask_within(self, shape: tuple[int, int]) -> None:
        last = np.add(self.mask_origin, self.mask.shape)
        if min(self.mask_origin) < 0 or (last > shape).any():
            raise ValueError(
                f"The mask prompt has shape {self.mask.shape} from pixel "
                f"{self.mask_origin} on, the plane {shape}: give a boolean mask of "
                "the plane, or of a part of it with its mask_origin."
            )
        if not self.mask.any():
            raise ValueError("The mask prompt is empty: mark at least one pixel.")

    def in_window(self, window: Window) -> Self:
        """Return the prompt in pixels of a window of its plane.

        Parameters
        ----------
        window : Window
            A part of the plane.

        Returns
        -------
        Prompt
            The same prompt, counted from the first pixel of the window.

        Raises
        ------
        ValueError
            When a point lies outside the window, or nothing of the box or the mask
            lies in it.
        """
        if self.points is not None and not window.holds(self.points).all():
            row, col = self.points[~window.holds(self.points)][0]
            raise ValueError(
                f"The point ({row:.4g}, {col:.4g}) lies outside the window "
                f"{tuple(window)}: move it, or give a larger window."
            )
        moved = self.shifted(np.negative(window.origin))
        if self.mask is not None:
            mask, origin = self._mask_in_window(window)
            moved = replace(moved, mask=mask, mask_origin=origin)
        return moved.within(window.shape)

    def _mask_in_window(self, window: Window) -> tuple[NDArray[Any], tuple[int, int]]:
        """Crop a boolean mask to a window; logits belong to their window already."""
        if self.mask.dtype != bool:
            return self.mask, (0, 0)
        first = np.array(self.mask_origin)
        low = np.maximum(first, window.origin)
        high = np.minimum(first + self.mask.shape, np.add(window.origin, window.shape))
        start, stop = low - first, np.maximum(high, low) - first
        mask = self.mask[start[0] : stop[0], start[1] : stop[1]]
        row, col = (low - window.origin).tolist()
        return mask, (row, col)

    def shifted(self, offset: ArrayLike) -> Self:
        """Move points and box by (rows, cols); drop the mask."""
        return self._transformed(lambda rc: rc + np.asarray(offset, float))

    def scaled(self, factor: ArrayLike) -> Self:
        """Multiply points and box by (row factor, col factor); drop the mask."""
        return self._transformed(lambda rc: rc * np.asarray(factor, float))

    def _transformed(self, function: Any) -> Self:
        return replace(
            self,
            points=None if self.points is None else function(self.points),
            box=None if self.box is None else function(self.box.reshape(2, 2)).ravel(),
            mask=None,
            mask_origin=(0, 0),
        )


def check_positions(positions: NDArray[np.float64], what: str) -> None:
    """Refuse positions that no image has.

    Parameters
    ----------
    positions : ndarray
        In pixels, of any shape.
    what : str
        What has them, the subject of the message.

    Raises
    ------
    ValueError
        When one is not finite, or further away than the size of any image.
    """
    if not np.isfinite(positions).all():
        raise ValueError(f"{what} is not finite: give rows and columns in pixels.")
    if (abs(positions) >= MAX_POSITION).any():
        raise ValueError(
            f"{what} lies {abs(positions).max():.0e} pixels away: give rows and "
            "columns in pixels."
        )


def _check_points(
    points: Any, labels: Any
) -> tuple[NDArray[np.float64] | None, NDArray[np.int64] | None]:
    points = np.empty(0) if points is None else as_points(points)
    if not points.size:
        if labels is not None and as_labels(labels).size:
            raise ValueError("Point labels are given without points: give both.")
        return None, None
    if points.ndim != 2:
        raise ValueError(
            f"Points have shape {points.shape}: give (N, 2) rows and columns."
        )
    check_positions(points, "A point")
    labels = np.ones(len(points)) if labels is None else as_labels(labels)
    if labels.shape != (len(points),):
        raise ValueError(
            f"There are {len(points)} points and labels of shape {labels.shape}: "
            "give one label per point."
        )
    if not np.isin(labels, (NEGATIVE, POSITIVE)).all():
        raise ValueError(
            "Point labels are 1 (object) or 0 (background): give one of them per point."
        )
    return points, labels.astype(np.int64)


def _check_box(value: Any) -> NDArray[np.float64] | None:
    if value is None:
        return None
    box = as_box(value)
    check_positions(box, "The box")
    if box[2] < box[0] or box[3] < box[1]:
        raise ValueError(
            f"The box {_format_box(box)} is reversed: give (row_min, col_min, row_max, "
            "col_max) with the larger row and column last."
        )
    return box


def _check_mask(value: Any) -> NDArray[Any] | None:
    if value is None:
        return None
    mask = np.array(as_image(value, "mask"))
    if mask.ndim != 2:
        raise ValueError(f"The mask prompt has shape {mask.shape}: give two axes.")
    if mask.dtype == bool:
        return mask
    if not np.issubdtype(mask.dtype, np.floating):
        raise ValueError(
            f"The mask prompt has type {mask.dtype}: give a boolean mask, or the "
            "float logits of an earlier prediction."
        )
    if not np.isfinite(mask).all():
        raise ValueError(
            "The mask prompt has logits that are not finite: give those of an earlier "
            "prediction, or a boolean mask."
        )
    return mask.astype(np.float32, copy=False)


def _check_origin(value: Any, mask: NDArray[Any] | None) -> tuple[int, int]:
    origin = as_numbers(value, "mask_origin", "integers (row, col)")
    is_whole = origin.shape == (2,) and (abs(origin) < MAX_POSITION).all()
    if not is_whole or (origin % 1).any():
        raise ValueError(
            f"The mask_origin is {describe(value)}: give integers (row, col)."
        )
    row, col = origin.astype(int).tolist()
    if (row, col) != (0, 0) and mask is not None and mask.dtype != bool:
        raise ValueError(
            f"The mask prompt holds logits, and mask_origin is {(row, col)}: only a "
            "boolean mask can be a part of the plane."
        )
    return row, col


def _crop_box(box: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    rows, cols = shape
    low = np.maximum(box[:2], -0.5)
    high = np.minimum(box[2:], (rows - 0.5, cols - 0.5))
    # Boxes of lines and dots, without an area, are allowed.
    if ((high < low) | ((high == low) & (box[2:] > box[:2]))).any():
        raise ValueError(
            f"The box {_format_box(box)} lies outside the plane of {rows} x {cols} "
            "pixels: move or delete it."
        )
    return np.concatenate([low, high])


def _format_box(box: NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in box) + ")"


def check_prompt_list(prompts: Any) -> Sequence[Prompt]:
    """Refuse what is not a sequence of prompts.

    Raises
    ------
    TypeError
        When it is none, such as a single prompt.
    """
    check_list(prompts, "prompts", "a list of Prompt")
    for i, prompt in enumerate(prompts):
        check_type(prompt, f"prompts[{i}]", Prompt, "a Prompt")
    checked: Sequence[Prompt] = prompts
    return checked


def batch_signature(
    prompt: Prompt, multimask_output: bool | None
) -> tuple[int, bool, bool, bool]:
    """Return what prompts of one batch must share: token counts, number of masks."""
    points = 0 if prompt.points is None else len(prompt.points)
    ambiguous = points == 1 and prompt.kinds == {"point"}
    multimask = ambiguous if multimask_output is None else multimask_output
    return points, prompt.box is not None, prompt.mask is not None, multimask


# {object id: {slice: Prompt}}
ObjectPrompts = dict[int, dict[int, Prompt]]
