"""Instance head: where the objects of a window are, from its image embedding.

A small network on a frozen image encoder. Like the decoders of U-Net (Ronneberger et
al. 2015), it joins the embedding with features of the input image at each resolution.
It predicts the foreground, the distance to the border over its maximum in the object
(as in Bai and Urtasun 2017, "Deep watershed transform"), and borders between objects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor

_GROUPS = 8


class InstanceMaps(NamedTuple):
    """Maps of a window, one value for each pixel of the network's input.

    Parameters
    ----------
    foreground : Tensor
        (B, S, S) probability of an object.
    depth : Tensor
        (B, S, S) distance to the object's border over its largest distance, 0 to 1.
    border : Tensor
        (B, S, S) probability of a border between two objects.
    """

    foreground: Tensor
    depth: Tensor
    border: Tensor


class InstanceHead(nn.Module):
    """Head that predicts the objects of a window.

    Parameters
    ----------
    embedding_channels : int
        Channels of the image embedding.
    widths : tuple of int
        Channels at the resolution of the embedding, at twice and at four times that.
    image_widths : tuple of int
        Channels of the features of the image at twice and four times the resolution.
    """

    def __init__(
        self,
        embedding_channels: int = 256,
        widths: tuple[int, int, int] = (64, 48, 24),
        image_widths: tuple[int, int] = (16, 8),
    ) -> None:
        super().__init__()
        coarse, middle, fine = widths
        image_middle, image_fine = image_widths
        self.reduce = nn.Sequential(
            nn.Conv2d(embedding_channels, coarse, 1, bias=False),
            nn.GroupNorm(_GROUPS, coarse),
            nn.GELU(),
            *_convolution(coarse, coarse),
        )
        self.image_fine = nn.Sequential(*_convolution(3, image_fine))
        self.image_middle = nn.Sequential(
            *_convolution(image_fine, image_middle, stride=2)
        )
        self.middle = nn.Sequential(
            *_convolution(coarse + image_middle, middle), *_convolution(middle, middle)
        )
        self.fine = nn.Sequential(
            *_convolution(middle + image_fine, fine), *_convolution(fine, fine)
        )
        self.out = nn.Conv2d(fine, 3, 1)

    def logits(self, image_embeddings: Tensor, pixel_values: Tensor) -> Tensor:
        """Compute the logits of the three maps.

        Parameters
        ----------
        image_embeddings : Tensor
            (B, C, S / 4, S / 4).
        pixel_values : Tensor
            (B, 3, S, S), the input of the image encoder.

        Returns
        -------
        Tensor
            (B, 3, S, S).
        """
        image_fine = self.image_fine(pixel_values)
        image_middle = self.image_middle(image_fine)
        coarse = self.reduce(image_embeddings)
        middle = self.middle(torch.cat([_double(coarse), image_middle], 1))
        logits: Tensor = self.out(
            self.fine(torch.cat([_double(middle), image_fine], 1))
        )
        return logits

    def forward(self, image_embeddings: Tensor, pixel_values: Tensor) -> InstanceMaps:
        """Predict the maps of windows; see `logits`."""
        return InstanceMaps(
            *self.logits(image_embeddings, pixel_values).sigmoid().unbind(1)
        )


def _convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.GroupNorm(_GROUPS, outputs),
        nn.GELU(),
    ]


def _double(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2, mode="bilinear", align_corners=False)
