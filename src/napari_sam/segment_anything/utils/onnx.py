"""The network that segment-anything exports to ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.onnx.official import OfficialDecoder

if TYPE_CHECKING:
    from torch import Tensor

    from napari_sam.nets.sam import SamNetwork

# Logits at which the areas are compared that tell the stability of a mask.
_STABILITY_OFFSET = 1.0


class SamOnnxModel(OfficialDecoder):
    """Decoder of one prompt to masks of the size of the image.

    Parameters
    ----------
    model : SamNetwork
        Its prompt encoder and mask decoder are used.
    return_single_mask : bool
        See `OfficialDecoder`.
    use_stability_score : bool
        Score masks by their stability instead of the predicted IoU.
    return_extra_metrics : bool
        Also return the stability and the area of each mask.
    """

    def __init__(
        self,
        model: SamNetwork,
        return_single_mask: bool,
        use_stability_score: bool = False,
        return_extra_metrics: bool = False,
    ) -> None:
        super().__init__(model, single_mask=return_single_mask)
        self._by_stability = use_stability_score
        self._extra = return_extra_metrics

    def score(self, masks: Tensor, predicted: Tensor) -> Tensor:
        """Return the scores by which single masks are chosen."""
        return _stability(masks) if self._by_stability else predicted

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Decode a prompt; see `OfficialDecoder.forward`.

        Returns
        -------
        tuple of Tensor
            ``masks``, ``iou_predictions`` and ``low_res_masks``, or with extra metrics
            the stability and the area (1, M) of the masks before the last one.
        """
        masks, scores, low_res = super().forward(*inputs)
        if not self._extra:
            return masks, scores, low_res
        areas = (masks > 0).sum((-1, -2))
        return masks, scores, _stability(masks), areas, low_res


def _stability(masks: Tensor) -> Tensor:
    """Divide the areas of masks at a high threshold by those at a low one."""
    high = (masks > _STABILITY_OFFSET).sum((-1, -2))
    return high / (masks > -_STABILITY_OFFSET).sum((-1, -2))
