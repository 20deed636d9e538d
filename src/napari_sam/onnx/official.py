"""Networks with the inputs and outputs that other programs expect of SAM in ONNX.

The decoder is that of segment-anything's own export (``SamOnnxModel``), which gives
masks of the size of the image. The encoder takes pixels of any size, as samexporter
writes it and AnyLabeling reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_sam.onnx.decoder import DECODER_FILE, ENCODER_FILE
from napari_sam.onnx.export import (
    DecoderGraph,
    check_network,
    example_prompts,
    written_network,
)
from napari_sam.optional import import_optional

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam.checkpoints.families import Preprocessing
    from napari_sam.nets.sam import SamNetwork
    from napari_sam.prediction.predictor import Predictor

# With this many points or more the best of three masks is taken for single masks; a
# point at the padding counts, as in segment-anything.
_AMBIGUOUS_POINTS = 2.5
_PREFERENCE = 1000.0
_MIN_RANGE = 1e-8
_PIXEL_AXES = {"input_image": {0: "height", 1: "width"}}
_PROMPT_AXES = {
    "point_coords": {1: "num_points"},
    "point_labels": {1: "num_points"},
    "masks": {2: "height", 3: "width"},
}


def export_official(
    predictor: Predictor, folder: Path, single_mask: bool = False
) -> list[Path]:
    """Write encoder and decoder as other programs read them.

    Parameters
    ----------
    predictor : Predictor
        The model, on the CPU.
    folder : Path
        Created if needed; files of the same names are replaced.
    single_mask : bool
        See `OfficialDecoder`.

    Returns
    -------
    list of Path
        The written files.

    Raises
    ------
    ModuleNotFoundError
        When the extra ``napari-sam[onnx]`` is not installed.
    ValueError
        When the model does not fit the layout, or the output of a written network
        differs from that of the model.
    OSError
        When the folder cannot be written to.
    """
    import_optional("onnx", "onnx")
    _check_family(predictor.preprocessing)
    folder.mkdir(parents=True, exist_ok=True)
    model, size = predictor.model, predictor.input_size
    encoder = OfficialEncoder(model, predictor.preprocessing)
    decoder = OfficialDecoder(model, single_mask=single_mask)
    paths = [folder / ENCODER_FILE, folder / DECODER_FILE]
    generator = torch.Generator().manual_seed(0)
    # Other sizes and numbers of points than in the trace are checked.
    images = [
        {"input_image": 255 * torch.rand(*shape, 3, generator=generator)}
        for shape in ((size // 2, size), (size, size - 3))
    ]
    with torch.inference_mode():
        embeddings = [encoder(**image).clone() for image in images]
    with written_network(
        encoder, images[0], ["image_embeddings"], paths[0], _PIXEL_AXES
    ) as part:
        check_network(part, images[1], [embeddings[1]])
    prompts = _example_prompts(model, embeddings[0])
    outputs = ["masks", "iou_predictions", "low_res_masks"]
    with (
        written_network(decoder, prompts[0], outputs, paths[1], _PROMPT_AXES) as part,
        torch.inference_mode(),
    ):
        check_network(part, prompts[1], decoder(**prompts[1]))
    return paths


def _example_prompts(model: SamNetwork, embeddings: Tensor) -> list[dict[str, Tensor]]:
    """Make prompts of one object, with several numbers of points and sizes."""
    return [
        {
            **example_prompts(model, embeddings.clone(), points=points, objects=1),
            "orig_im_size": torch.tensor(shape, dtype=torch.float32),
        }
        for points, shape in ((3, (30, 70)), (2, (90, 40)))
    ]


def _check_family(preprocessing: Preprocessing) -> None:
    """Check that other programs can prepare images for a model.

    Raises
    ------
    ValueError
        When it does not keep the aspect ratio of images.
    """
    if preprocessing.resize != "longest_side" or not preprocessing.pad:
        raise ValueError(
            "Programs that read the official layout keep the aspect ratio of an image "
            "and pad it, which this model was not trained for: leave --layout out."
        )


class OfficialEncoder(nn.Module):
    """Network that normalises, pads and encodes the pixels of an image.

    Parameters
    ----------
    model : SamNetwork
        Its image encoder is used.
    preprocessing : Preprocessing
        Rules of the family.
    """

    def __init__(self, model: SamNetwork, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.image_encoder = model.image_encoder
        self._size = model.prompt_encoder.image_size
        self._stretches = preprocessing.intensity == "min_max"
        self._mean = torch.tensor(preprocessing.mean)
        self._std = torch.tensor(preprocessing.std)

    def forward(self, input_image: Tensor) -> Tensor:
        """Encode the pixels of an image.

        Parameters
        ----------
        input_image : Tensor
            (h, w, 3) float, 0 to 255; the longer side has the size of the input.

        Returns
        -------
        Tensor
            (1, C, s, s).
        """
        if self._stretches:
            low, high = input_image.min(), input_image.max()
            pixels = (input_image - low) / torch.clamp(high - low, min=_MIN_RANGE)
        else:
            pixels = (input_image - self._mean) / self._std
        pixels = pixels.permute(2, 0, 1)
        height, width = pixels.shape[-2:]
        padded = F.pad(pixels, (0, self._size - width, 0, self._size - height))
        embeddings: Tensor = self.image_encoder(padded[None])
        return embeddings


class OfficialDecoder(DecoderGraph):
    """Network that decodes one prompt to masks of the size of the image.

    Parameters
    ----------
    model : SamNetwork
        Its prompt encoder and mask decoder are used.
    single_mask : bool
        Return one mask: the single one for several points or a box, the best of the
        three for one point.
    """

    def __init__(self, model: SamNetwork, *, single_mask: bool = False) -> None:
        super().__init__(model)
        self._single_mask = single_mask
        self._size = model.prompt_encoder.image_size

    def forward(  # type: ignore[override]
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
        orig_im_size: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decode a prompt; see `DecoderGraph.forward`.

        Parameters
        ----------
        image_embeddings, point_coords, point_labels, mask_input, has_mask_input
            Of one object: K is 1.
        orig_im_size : Tensor
            (2,) height and width of the image, float.

        Returns
        -------
        masks : Tensor
            (1, M, H, W) logits of the image; M is 4, or 1 for single masks.
        iou_predictions : Tensor
            (1, M).
        low_res_masks : Tensor
            (1, M, m, m) logits.
        """
        low_res, scores = super().forward(
            image_embeddings, point_coords, point_labels, mask_input, has_mask_input
        )
        scores = self.score(low_res, scores)
        if self._single_mask:
            low_res, scores = self._best(low_res, scores, point_coords.shape[1])
        return self._enlarge(low_res, orig_im_size), scores, low_res

    def score(self, masks: Tensor, predicted: Tensor) -> Tensor:
        """Return the scores of (1, M, m, m) logits: the predicted ones."""
        return predicted

    def _best(
        self, masks: Tensor, scores: Tensor, points: Any
    ) -> tuple[Tensor, Tensor]:
        """Choose the single mask, or the best of the three."""
        first = torch.zeros_like(scores)
        first[:, 0] = _PREFERENCE
        best = torch.argmax(scores + (points - _AMBIGUOUS_POINTS) * first, dim=1)
        objects = torch.arange(masks.shape[0])
        return masks[objects, best][:, None], scores[objects, best][:, None]

    def _enlarge(self, masks: Tensor, orig_im_size: Tensor) -> Tensor:
        """Cut off the padding, and interpolate to the size of the image."""
        size = orig_im_size.to(torch.int64)
        scale = self._size / orig_im_size.max()
        unpadded = torch.floor(scale * orig_im_size + 0.5).to(torch.int64)
        square: Any = (self._size, self._size)
        masks = F.interpolate(masks, square, mode="bilinear", align_corners=False)
        masks = masks[..., : unpadded[0], : unpadded[1]]
        image: Any = (size[0], size[1])
        return F.interpolate(masks, image, mode="bilinear", align_corners=False)
