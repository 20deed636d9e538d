"""``SamAutomaticMaskGenerator`` with the interface of segment-anything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from napari_sam.huggingface.generation.masks import (
    compress_runs,
    crop_boxes,
    decode_runs,
    encode_runs,
    grid,
    mask_boxes,
    near_crop_edge,
    paste,
    stability_scores,
    suppress,
)
from napari_sam.huggingface.inputs import to_plane
from napari_sam.masks.morphology import largest_component, minimum_size
from napari_sam.segment_anything.predictor import SamPredictor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_sam.segment_anything.registry import Sam

_OUTPUT_MODES = ("binary_mask", "uncompressed_rle", "coco_rle")


@dataclass(frozen=True, slots=True)
class _Found:
    """One mask: its runs, (left, top, right, bottom) box, scores, point and crop."""

    runs: dict[str, Any]
    box: list[int]
    iou: float
    stability: float
    point: list[float]
    crop: list[int]


class SamAutomaticMaskGenerator:
    """Generator of the masks of all objects by a grid of points.

    `napari_sam.everything` also finds objects with models trained on boxes, and gives
    labels that do not overlap.

    Parameters
    ----------
    model : Sam
        From `sam_model_registry`.
    points_per_side : int, optional
        Size of the grid; None with `point_grids`.
    points_per_batch : int
        Points that are decoded together.
    pred_iou_thresh, stability_score_thresh : float
        Minimum predicted IoU and stability score.
    stability_score_offset : float
        Shift of the logit threshold.
    box_nms_thresh : float
        Of two masks in a crop whose boxes have a larger IoU the better one is kept.
    crop_n_layers : int
        Layer i adds 4**i crops, each encoded on its own.
    crop_nms_thresh : float
        As `box_nms_thresh`, between crops; masks of the smaller crop are kept.
    crop_overlap_ratio : float
        Overlap of the crops of layer 1 as a fraction of the shorter side.
    crop_n_points_downscale_factor : int
        Points on each side of a layer are divided by the power of the factor.
    point_grids : sequence of ndarray, optional
        (N, 2) points (x, y) in [0, 1] for each layer.
    min_mask_region_area : int
        Smaller holes and islands are removed, in pixels.
    output_mode : {"binary_mask", "uncompressed_rle", "coco_rle"}
        Form of the masks: arrays, run lengths, or run lengths as text for
        ``pycocotools``.

    Raises
    ------
    ValueError
        When an argument is not valid.
    """

    def __init__(
        self,
        model: Sam,
        points_per_side: int | None = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: Sequence[NDArray[Any]] | None = None,
        min_mask_region_area: int = 0,
        output_mode: str = "binary_mask",
    ) -> None:
        if (points_per_side is None) == (point_grids is None):
            raise ValueError("Give either points_per_side or point_grids.")
        if output_mode not in _OUTPUT_MODES:
            raise ValueError(
                f"output_mode={output_mode!r} is not known: give one of "
                f"{', '.join(_OUTPUT_MODES)}."
            )
        if points_per_side is not None:
            factor = crop_n_points_downscale_factor
            point_grids = [
                grid(int(points_per_side / factor**layer))
                for layer in range(crop_n_layers + 1)
            ]
        assert point_grids is not None
        if len(point_grids) <= crop_n_layers:
            raise ValueError(
                f"There are {len(point_grids)} point_grids for {crop_n_layers + 1} "
                "layers: give one for each, the whole image first."
            )
        self.point_grids = list(point_grids)
        self.predictor = SamPredictor(model)
        self.points_per_batch = points_per_batch
        self.pred_iou_thresh = pred_iou_thresh
        self.stability_score_thresh = stability_score_thresh
        self.stability_score_offset = stability_score_offset
        self.box_nms_thresh = box_nms_thresh
        self.crop_n_layers = crop_n_layers
        self.crop_nms_thresh = crop_nms_thresh
        self.crop_overlap_ratio = crop_overlap_ratio
        self.crop_n_points_downscale_factor = crop_n_points_downscale_factor
        self.min_mask_region_area = min_mask_region_area
        self.output_mode = output_mode

    @torch.no_grad()
    def generate(self, image: NDArray[Any]) -> list[dict[str, Any]]:
        """Segment all objects of an image.

        Parameters
        ----------
        image : ndarray
            (H, W, 3) uint8, see `SamPredictor.set_image`.

        Returns
        -------
        list of dict
            For each mask ``segmentation`` (H, W) bool or its run lengths, ``area``,
            ``bbox`` and ``crop_box`` as [x, y, width, height], ``predicted_iou``,
            ``stability_score`` and ``point_coords`` [[x, y]].
        """
        plane = to_plane(image, None, rescale=True)
        shape = (plane.shape[0], plane.shape[1])
        boxes, layers = crop_boxes(shape, self.crop_n_layers, self.crop_overlap_ratio)
        found: list[_Found] = []
        for crop, layer in zip(boxes, layers, strict=True):
            found += self._search(plane, crop, self.point_grids[layer], shape)
        if len(boxes) > 1:
            areas = [(c.crop[2] - c.crop[0]) * (c.crop[3] - c.crop[1]) for c in found]
            found = _select(found, [1 / area for area in areas], self.crop_nms_thresh)
        if self.min_mask_region_area > 0:
            thresh = max(self.box_nms_thresh, self.crop_nms_thresh)
            found = _clean(found, self.min_mask_region_area, thresh)
        return [self._annotation(one) for one in found]

    def _search(
        self,
        plane: NDArray[Any],
        crop: list[int],
        points: NDArray[Any],
        shape: tuple[int, int],
    ) -> list[_Found]:
        """Find the masks of a crop, the best first."""
        left, top, right, bottom = crop
        self.predictor.set_image(plane[top:bottom, left:right])
        scaled = points * [right - left, bottom - top]
        found: list[_Found] = []
        for start in range(0, len(scaled), self.points_per_batch):
            batch = scaled[start : start + self.points_per_batch]
            found += self._decode(batch, crop, shape)
        self.predictor.reset_image()
        return _select(found, [one.iou for one in found], self.box_nms_thresh)

    def _decode(
        self, points: NDArray[Any], crop: list[int], shape: tuple[int, int]
    ) -> list[_Found]:
        """Decode points of a crop, and keep masks with good scores."""
        predictor, threshold = self.predictor, self.predictor.model.mask_threshold
        _, size = predictor._image()
        inputs = torch.as_tensor(
            predictor.transform.apply_coords(points, size), device=predictor.device
        )
        labels = torch.ones(len(inputs), 1, dtype=torch.int, device=predictor.device)
        logits, ious, _ = predictor.predict_torch(
            inputs[:, None].float(), labels, return_logits=True
        )
        origins = np.repeat(points, logits.shape[1], 0) + crop[:2]
        logits, ious = logits.flatten(0, 1), ious.flatten(0, 1)
        good = torch.ones_like(ious, dtype=torch.bool)
        if self.pred_iou_thresh > 0:
            good &= ious > self.pred_iou_thresh
        stability = stability_scores(logits, threshold, self.stability_score_offset)
        if self.stability_score_thresh > 0:
            good &= stability >= self.stability_score_thresh
        boxes = mask_boxes(logits > threshold)
        good &= ~near_crop_edge(boxes, crop, shape)
        runs = encode_runs(paste(logits[good] > threshold, crop, shape))
        moved = boxes + boxes.new_tensor([*crop[:2], *crop[:2]])
        return [
            _Found(
                run,
                moved[i].tolist(),
                float(ious[i]),
                float(stability[i]),
                origins[i].tolist(),
                crop,
            )
            for run, i in zip(runs, good.nonzero()[:, 0].tolist(), strict=True)
        ]

    def _annotation(self, one: _Found) -> dict[str, Any]:
        segmentation: Any = one.runs
        if self.output_mode == "binary_mask":
            segmentation = decode_runs(one.runs)
        elif self.output_mode == "coco_rle":
            segmentation = compress_runs(one.runs)
        return {
            "segmentation": segmentation,
            "area": sum(one.runs["counts"][1::2]),
            "bbox": _corner_and_size(one.box),
            "predicted_iou": one.iou,
            "point_coords": [one.point],
            "stability_score": one.stability,
            "crop_box": _corner_and_size(one.crop),
        }


def _select(
    found: list[_Found], scores: Sequence[float], threshold: float
) -> list[_Found]:
    """Drop masks whose box resembles that of a mask with a better score."""
    if not found:
        return []
    boxes = torch.tensor([one.box for one in found])
    best = suppress(boxes, torch.tensor(scores), threshold)
    return [found[i] for i in best.tolist()]


def _clean(found: list[_Found], min_area: int, threshold: float) -> list[_Found]:
    """Remove small holes and islands, and then masks that became duplicates."""
    cleaned, unchanged = [], []
    for one in found:
        mask = decode_runs(one.runs)
        filled = ~minimum_size(~mask, min_area)
        kept = minimum_size(filled, min_area)
        if not kept.any():
            kept = largest_component(filled)
        is_same = bool((kept == mask).all())
        if not is_same:
            masks = torch.from_numpy(np.ascontiguousarray(kept))[None]
            (runs,), (box,) = encode_runs(masks), mask_boxes(masks).tolist()
            one = replace(one, runs=runs, box=box)
        cleaned.append(one)
        unchanged.append(float(is_same))
    return _select(cleaned, unchanged, threshold)


def _corner_and_size(box: Sequence[int]) -> list[int]:
    left, top, right, bottom = box
    return [left, top, right - left, bottom - top]
