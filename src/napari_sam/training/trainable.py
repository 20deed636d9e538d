"""What can be trained: models and images, and the weights that are trained.

Weights are those of prompt encoder, mask decoder and last blocks of the encoder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_sam.checks.values import check_list, check_type, describe
from napari_sam.nets.image_encoder import ImageEncoderViT
from napari_sam.nets.tiny_vit import MBConv, TinyViT, TinyViTBlock
from napari_sam.training.data import TrainingImage

if TYPE_CHECKING:
    from torch import nn

    from napari_sam.nets.sam import SamNetwork


def check_training(predictor: Any, images: Any, held_out: Any) -> None:
    """Refuse what is no predictor, or no list of training images.

    Raises
    ------
    TypeError
        When it is none.
    """
    if not hasattr(predictor, "instance_head"):
        raise TypeError(
            f"predictor is {describe(predictor)}: give the result of load_model."
        )
    for name, given in (("images", images), ("held_out", held_out or ())):
        what = "a list from training_images"
        check_list(given, name, what)
        for i, image in enumerate(given):
            check_type(image, f"{name}[{i}]", TrainingImage, what)


def trainable_weights(
    model: SamNetwork, encoder_blocks: int = 0
) -> dict[str, nn.Parameter]:
    """Freeze all weights but those of the parts to train.

    Batch norms stay folded into their convolutions, which are trained instead.

    Parameters
    ----------
    model : SamNetwork
        The model; changed in place.
    encoder_blocks : int
        Number of last blocks of the image encoder to train, together with its neck.

    Returns
    -------
    dict of Parameter
        The trainable weights by name.

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
                f"encoder_blocks={encoder_blocks}: give {len(blocks)} or less, the "
                "number of blocks of the image encoder."
            )
        parts += [*blocks[-encoder_blocks:], encoder.neck]
    for part in parts:
        part.requires_grad_(True)
    return {n: p for n, p in model.named_parameters() if p.requires_grad}


def _blocks(encoder: TinyViT | ImageEncoderViT) -> list[nn.Module]:
    if isinstance(encoder, ImageEncoderViT):
        return list(encoder.blocks)
    return [m for m in encoder.modules() if isinstance(m, MBConv | TinyViTBlock)]
