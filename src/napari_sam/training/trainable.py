"""Which weights of a model are trained: prompts, masks, and the encoder's end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.nets.image_encoder import ImageEncoderViT
from napari_sam.nets.tiny_vit import MBConv, TinyViT, TinyViTBlock

if TYPE_CHECKING:
    from torch import nn

    from napari_sam.nets.sam import SamNetwork


def trainable_weights(
    model: SamNetwork, encoder_blocks: int = 0
) -> dict[str, nn.Parameter]:
    """Freeze a model but for prompt encoder, mask decoder and some of its encoder.

    Batch norms stay merged into their convolutions, which are trained in their place.

    Parameters
    ----------
    model : SamNetwork
        Is changed.
    encoder_blocks : int
        Last blocks of the image encoder that are trained too, with its neck.

    Returns
    -------
    dict of Parameter
        What is trained, by its official name.

    Raises
    ------
    ValueError
        When the encoder has fewer blocks.
    """
    model.requires_grad_(False).eval()
    parts: list[nn.Module] = [model.prompt_encoder, model.mask_decoder]
    if encoder_blocks:
        encoder = model.image_encoder
        assert isinstance(encoder, TinyViT | ImageEncoderViT)
        blocks = _blocks(encoder)
        if encoder_blocks > len(blocks):
            raise ValueError(
                f"The image encoder has {len(blocks)} blocks: {encoder_blocks} cannot "
                "be trained."
            )
        parts += [*blocks[-encoder_blocks:], encoder.neck]
    for part in parts:
        part.requires_grad_(True)
    return {n: p for n, p in model.named_parameters() if p.requires_grad}


def _blocks(encoder: TinyViT | ImageEncoderViT) -> list[nn.Module]:
    if isinstance(encoder, ImageEncoderViT):
        return list(encoder.blocks)
    return [m for m in encoder.modules() if isinstance(m, MBConv | TinyViTBlock)]
