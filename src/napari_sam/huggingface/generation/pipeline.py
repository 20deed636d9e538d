"""``pipeline("mask-generation")`` with the interface of transformers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_sam.huggingface.generation.masks import (
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
from napari_sam.huggingface.image_processor import SamImageProcessor
from napari_sam.huggingface.inputs import open_image, to_plane
from napari_sam.huggingface.model import SamModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_sam.huggingface.processor import SamProcessor

_TASK = "mask-generation"
_OPTIONS: dict[str, Any] = {
    "points_per_batch": 64,
    "points_per_crop": 32,
    "crops_n_layers": 0,
    "crop_overlap_ratio": 512 / 1500,
    "crop_n_points_downscale_factor": 1,
    "crops_nms_thresh": 0.7,
    "pred_iou_thresh": 0.88,
    "stability_score_thresh": 0.95,
    "stability_score_offset": 1,
    "mask_threshold": 0.0,
    "output_rle_mask": False,
    "output_bboxes_mask": False,
    "timeout": None,
}
_WITHOUT_EFFECT = {"num_workers", "batch_size", "framework", "use_fast", "config"}


def pipeline(
    task: str | None = None,
    model: Any = None,
    *,
    processor: SamProcessor | None = None,
    image_processor: SamImageProcessor | None = None,
    device: Any = None,
    model_kwargs: dict[str, Any] | None = None,
    **options: Any,
) -> MaskGenerationPipeline:
    """Create a function that segments all objects of images.

    Parameters
    ----------
    task : "mask-generation"
        The only task of SAM.
    model : str, Path or SamModel
        A model, or what `SamModel.from_pretrained` loads.
    processor, image_processor : SamProcessor, SamImageProcessor, optional
        Needed with a `SamModel`; otherwise that of the model.
    device : int, str or torch.device, optional
        Where the model runs; a number is that of a GPU, -1 is the CPU. A loaded model
        stays where it is when None.
    model_kwargs : dict, optional
        Options of `SamModel.from_pretrained`.
    **options
        ``dtype``, ``revision``, ``token`` and others of `SamModel.from_pretrained`, and
        the options of `MaskGenerationPipeline`.

    Returns
    -------
    MaskGenerationPipeline
        Call it with an image, or a list of images.

    Raises
    ------
    ValueError, TypeError
        When the task, the model or an option is not known.
    """
    if task not in (_TASK, None):
        raise ValueError(f"The task {task!r} is not one of SAM: give {_TASK!r}.")
    if model is None:
        raise ValueError("There is no model: give a name, a folder or a SamModel.")
    own = {k: options.pop(k) for k in list(options) if k in _OPTIONS}
    options = {k: v for k, v in options.items() if k not in _WITHOUT_EFFECT}
    if image_processor is None and processor is not None:
        image_processor = processor.image_processor
    if isinstance(model, str | Path):
        name, loading = model, {**options, **(model_kwargs or {})}
        model = SamModel.from_pretrained(name, **loading)
        if image_processor is None:
            hub = {k: v for k, v in loading.items() if "dtype" not in k}
            hub.pop("device_map", None)
            image_processor = SamImageProcessor.from_pretrained(name, **hub)
    if image_processor is None:
        raise ValueError(
            "A loaded model does not tell how images are prepared: give "
            "image_processor=SamImageProcessor.from_pretrained(...)."
        )
    return MaskGenerationPipeline(model, image_processor, device=device, **own)


class MaskGenerationPipeline:
    """A function that segments all objects of images by a grid of points.

    Parameters
    ----------
    model : SamModel
        Trained on points.
    image_processor : SamImageProcessor
        Prepares the images.
    device : int, str or torch.device, optional
        See `pipeline`.
    **options
        ``points_per_batch`` : number of points that are decoded together; all for None.
        ``points_per_crop`` : points on each side of the grid.
        ``crops_n_layers`` : layer i adds 4**i crops, each encoded on its own.
        ``crop_overlap_ratio``, ``crop_n_points_downscale_factor`` : overlap of the
        crops of layer 1 as a fraction of the shorter side; points on each side of a
        layer are divided by the power of the factor.
        ``crops_nms_thresh`` : of two masks whose boxes have a larger IoU the better one
        is kept.
        ``pred_iou_thresh``, ``stability_score_thresh`` : minimum scores.
        ``stability_score_offset``, ``mask_threshold`` : of the logits.
        ``output_rle_mask``, ``output_bboxes_mask`` : also return ``rle_mask`` and
        ``bounding_boxes``.
        ``timeout`` : seconds to wait for an image from the web.

        Each can also be given to a call.

    Raises
    ------
    TypeError
        When an option is unknown.
    """

    task = _TASK

    def __init__(
        self,
        model: SamModel,
        image_processor: SamImageProcessor,
        *,
        device: Any = None,
        **options: Any,
    ) -> None:
        self.image_processor = image_processor
        self.model = model.eval()
        if device is not None:
            self.model.to(_parse_device(device))
        self._options = _check_options({**_OPTIONS, **options})

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.model.device

    def __call__(self, image: Any = None, *, images: Any = None, **options: Any) -> Any:
        """Segment an image, or each of a list.

        Parameters
        ----------
        image : array, Tensor, PIL.Image, path, address or list of these
            (H, W) or (H, W, 3) each, see `SamImageProcessor.preprocess`.
        images : the same, optional
            Another name of `image`.
        **options
            Other values of the options.

        Returns
        -------
        dict or list of dict
            ``masks``, a list of (H, W) bool arrays, and ``scores``, the predicted IoU
            of each, best first.
        """
        chosen = _check_options({**self._options, **options})
        image = images if image is None else image
        if image is None:
            raise ValueError("There is no image: give an array, a picture or a path.")
        if isinstance(image, list | tuple):
            return [self._segment(one, chosen) for one in image]
        return self._segment(image, chosen)

    @torch.inference_mode()
    def _segment(self, image: Any, options: dict[str, Any]) -> dict[str, Any]:
        plane = to_plane(open_image(image, options["timeout"]), None, rescale=True)
        shape = (plane.shape[0], plane.shape[1])
        boxes, layers = crop_boxes(
            shape, options["crops_n_layers"], options["crop_overlap_ratio"]
        )
        runs: list[dict[str, Any]] = []
        scores, found = [], []
        for crop, layer in zip(boxes, layers, strict=True):
            for masks, ious in self._decode(plane, crop, layer, options):
                kept, ious = _filter(masks, ious, options)
                extents = mask_boxes(kept)
                inside = ~near_crop_edge(extents, crop, shape)
                runs += encode_runs(paste(kept[inside], crop, shape))
                scores.append(ious[inside].cpu())
                offset = extents.new_tensor([*crop[:2], *crop[:2]])
                found.append((extents[inside] + offset).cpu())
        ious, extents = torch.cat(scores), torch.cat(found)
        best = suppress(extents, ious, options["crops_nms_thresh"])
        chosen = [runs[i] for i in best.tolist()]
        result: dict[str, Any] = {
            "masks": [decode_runs(one) for one in chosen],
            "scores": ious[best],
        }
        if options["output_rle_mask"]:
            result["rle_mask"] = chosen
        if options["output_bboxes_mask"]:
            result["bounding_boxes"] = extents[best]
        return result

    def _decode(
        self, plane: NDArray[Any], crop: list[int], layer: int, options: dict[str, Any]
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (K, h, w) logits and (K,) scores of the masks of a crop."""
        left, top, right, bottom = crop
        inputs = self.image_processor(plane[top:bottom, left:right]).to(self.device)
        sizes = inputs["original_sizes"].tolist(), inputs["reshaped_input_sizes"]
        embeddings = self.model.get_image_embeddings(
            inputs["pixel_values"].to(self.model.dtype)
        )
        factor = options["crop_n_points_downscale_factor"] ** layer
        points = grid(int(options["points_per_crop"] / factor))
        points = points * [right - left, bottom - top]
        points = points * self.image_processor.transform(sizes[0][0]).scale[::-1]
        tensor = torch.from_numpy(points).float()[None, :, None].to(self.device)
        count = options["points_per_batch"] or max(len(points), 1)
        for start in range(0, len(points), count):
            batch = tensor[:, start : start + count]
            output = self.model(image_embeddings=embeddings, input_points=batch)
            (masks,) = self.image_processor.post_process_masks(
                output.pred_masks, *sizes, binarize=False
            )
            yield masks.flatten(0, 1), output.iou_scores.flatten()


def _filter(
    logits: Tensor, ious: Tensor, options: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """Keep masks with good scores: (N, h, w) bool and (N,)."""
    threshold = options["mask_threshold"]
    good = torch.ones_like(ious, dtype=torch.bool)
    if options["pred_iou_thresh"] > 0:
        good &= ious > options["pred_iou_thresh"]
    logits, ious = logits[good], ious[good]
    if options["stability_score_thresh"] > 0:
        stability = stability_scores(
            logits, threshold, options["stability_score_offset"]
        )
        good = stability > options["stability_score_thresh"]
        logits, ious = logits[good], ious[good]
    return logits > threshold, ious


def _check_options(options: dict[str, Any]) -> dict[str, Any]:
    options = {k: v for k, v in options.items() if k not in _WITHOUT_EFFECT}
    unknown = set(options) - set(_OPTIONS)
    if unknown:
        raise TypeError(
            f"The pipeline has no option {', '.join(sorted(unknown))}: choose from "
            f"{', '.join(_OPTIONS)}."
        )
    count = options["points_per_batch"]
    if count is not None and count < 1:
        raise ValueError(
            f"points_per_batch={count} decodes nothing: give 1 or more, or None for "
            "all points at once."
        )
    if options["points_per_crop"] < 1:
        raise ValueError(
            f"points_per_crop={options['points_per_crop']} makes an empty grid: give 1 "
            "or more."
        )
    return options


def _parse_device(device: Any) -> torch.device:
    """Read a device as transformers does; a missing GPU is replaced, with a warning."""
    if not isinstance(device, int):
        return torch.device(device)
    if device < 0:
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", device)
    from napari_sam.nets.devices import best_device

    best = best_device()
    warnings.warn(
        f"device={device} asks for a GPU of CUDA, which is not available: the model "
        f"runs on {best.type}.",
        stacklevel=4,
    )
    return best
