"""``SamPredictor`` with the interface of segment-anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from napari_sam.huggingface.inputs import to_plane
from napari_sam.segment_anything.registry import Sam
from napari_sam.segment_anything.utils.transforms import ResizeLongestSide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


class SamPredictor:
    """Predictor of masks on one image at a time, which it remembers.

    `napari_sam.Predictor` keeps no image, works in (row, col) and knows how each model
    was trained.

    Parameters
    ----------
    sam_model : Sam
        From `sam_model_registry`.

    Raises
    ------
    TypeError
        When it is another object.
    """

    def __init__(self, sam_model: Sam) -> None:
        if not isinstance(sam_model, Sam):
            raise TypeError(
                f"A {type(sam_model).__name__} is not a model of segment-anything: "
                "give one of sam_model_registry, or use the methods of "
                "napari_sam.load_model's predictor."
            )
        self.model = sam_model
        self.transform = ResizeLongestSide(sam_model.image_size)
        self.reset_image()

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self.model.device

    def reset_image(self) -> None:
        """Forget the image."""
        self.is_image_set = False
        self.features: Tensor | None = None
        self.original_size: tuple[int, int] | None = None
        self.input_size: tuple[int, int] | None = None

    def set_image(self, image: NDArray[Any], image_format: str = "RGB") -> None:
        """Encode an image.

        Parameters
        ----------
        image : ndarray
            (H, W, 3) uint8. Greyscale and other dtypes are taken as everywhere in this
            package, see `napari_sam.SamImageProcessor.preprocess`.
        image_format : {"RGB", "BGR"}
            Order of the channels.

        Raises
        ------
        ValueError
            When the image or the format is not valid.
        """
        if image_format not in ("RGB", "BGR"):
            raise ValueError(
                f"image_format={image_format!r} is not known: give 'RGB' or 'BGR'."
            )
        plane: NDArray[Any] = to_plane(image, None, rescale=True)
        if plane.ndim == 2:
            plane = np.repeat(plane[..., None], 3, -1)
        if image_format != self.model.image_format:
            plane = plane[..., ::-1]
        resized = self.transform.apply_image(plane.astype(np.uint8))
        pixels = torch.from_numpy(resized).permute(2, 0, 1)[None]
        self.set_torch_image(pixels.to(self.device), plane.shape[:2])

    @torch.no_grad()
    def set_torch_image(
        self, transformed_image: Tensor, original_image_size: Sequence[int]
    ) -> None:
        """Encode an image that has been resized already.

        Parameters
        ----------
        transformed_image : Tensor
            (1, 3, h, w) with values of 0 to 255, the longest side of the model's input.
        original_image_size : sequence of int
            (H, W) of the image.

        Raises
        ------
        ValueError
            When the image does not fit the model.
        """
        shape, side = tuple(transformed_image.shape), self.model.image_size
        if len(shape) != 4 or shape[1] != 3 or max(shape[2:]) != side:
            raise ValueError(
                f"The image has the shape {shape}: give (1, 3, h, w) with a longest "
                f"side of {side}, as ResizeLongestSide makes it."
            )
        self.reset_image()
        height, width = original_image_size
        self.original_size = (int(height), int(width))
        self.input_size = (shape[2], shape[3])
        pixels = self.model.preprocess(transformed_image)
        self.features = self.model.image_encoder(pixels)
        self.is_image_set = True

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
        """Predict the masks of one object.

        Parameters
        ----------
        point_coords : array-like, optional
            (N, 2) points (x, y) of the image.
        point_labels : array-like, optional
            (N,), 1 on the object and 0 on the background.
        box : array-like, optional
            (4,) or (1, 4) as (x_min, y_min, x_max, y_max).
        mask_input : array-like, optional
            (1, h, w) low-resolution logits of an earlier prediction.
        multimask_output : bool
            Three masks, in the order of the model, instead of one.
        return_logits : bool
            Return logits instead of masks.

        Returns
        -------
        masks : ndarray
            (M, H, W) bool, or float32 logits.
        scores : ndarray
            (M,) predicted IoU.
        low_res_masks : ndarray
            (M, h, w) logits.

        Raises
        ------
        RuntimeError
            When there is no image.
        ValueError
            When points have no labels.
        """
        _, size = self._image()
        points, labels, boxes, masks = None, None, None, None
        if point_coords is not None:
            if point_labels is None:
                raise ValueError(
                    "The points have no labels: give point_labels, 1 on the object and "
                    "0 on the background."
                )
            scaled = self.transform.apply_coords(np.asarray(point_coords), size)
            points = self._tensor(scaled, torch.float)[None]
            labels = self._tensor(point_labels, torch.int)[None]
        if box is not None:
            boxes = self._tensor(
                self.transform.apply_boxes(np.asarray(box), size), torch.float
            )
        if mask_input is not None:
            masks = self._tensor(mask_input, torch.float)[None]
        output = self.predict_torch(
            points, labels, boxes, masks, multimask_output, return_logits
        )
        found, scores, low = (value[0].detach().cpu().numpy() for value in output)
        return found, scores, low

    @torch.no_grad()
    def predict_torch(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predict the masks of several objects, in pixels of the model's input.

        Parameters
        ----------
        point_coords, point_labels : Tensor, optional
            (B, N, 2) points (x, y) as from `ResizeLongestSide`, and (B, N).
        boxes : Tensor, optional
            (B, 4).
        mask_input : Tensor, optional
            (B, 1, h, w) low-resolution logits.
        multimask_output, return_logits : bool
            See `predict`.

        Returns
        -------
        tuple of Tensor
            (B, M, H, W) masks, (B, M) scores and (B, M, h, w) logits.

        Raises
        ------
        RuntimeError
            When there is no image.
        """
        features, size = self._image()
        assert self.input_size is not None
        points = None
        if point_coords is not None and point_labels is not None:
            points = point_coords, point_labels
        low, scores = self.model.decode(
            features, points, boxes, mask_input, multimask_output
        )
        masks = self.model.postprocess_masks(low, self.input_size, size)
        if not return_logits:
            masks = masks > self.model.mask_threshold
        return masks, scores, low

    def get_image_embedding(self) -> Tensor:
        """Return the (1, C, s, s) embedding of the image."""
        return self._image()[0]

    def _image(self) -> tuple[Tensor, tuple[int, int]]:
        if self.features is None or self.original_size is None:
            raise RuntimeError("There is no image: call set_image first.")
        return self.features, self.original_size

    def _tensor(self, values: Any, dtype: torch.dtype) -> Tensor:
        return torch.as_tensor(values, dtype=dtype, device=self.device)
