"""Outputs of models: mappings, tuples and attributes at once, as in transformers."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar, Self

from torch.utils import _pytree as pytree

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from napari_sam.huggingface.modeling.prompted_network import Output


class ModelOutput(OrderedDict[str, Any]):
    """Values by name, by position and as attributes; those that are None are left out.

    Subclasses list the names of their values in `names`.
    """

    names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        pytree.register_pytree_node(
            cls,
            lambda output: (list(output.values()), list(output.keys())),
            lambda values, keys: cls(**dict(zip(keys, values, strict=True))),
            serialized_type_name=f"{cls.__module__}.{cls.__name__}",
        )

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__()
        given = dict(zip(self.names, values, strict=False)) | named
        unknown = set(given) - set(self.names)
        if unknown or len(values) > len(self.names):
            raise TypeError(
                f"{type(self).__name__} has no {', '.join(sorted(unknown)) or 'more'}: "
                f"it holds {', '.join(self.names)}."
            )
        for name in self.names:
            setattr(self, name, given.get(name))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.names and value is not None:
            super().__setitem__(name, value)
        super().__setattr__(name, value)

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self.names:
            raise KeyError(f"{type(self).__name__} has no {key!r}.")
        setattr(self, key, value)

    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, str):
            return super().__getitem__(key)
        return self.to_tuple()[key]

    def __delitem__(self, key: str) -> None:
        raise TypeError(f"Values of a {type(self).__name__} cannot be deleted.")

    def pop(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse to remove a value, as transformers does."""
        raise TypeError(f"Values of a {type(self).__name__} cannot be removed.")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, name) for name in self.names)

    def __copy__(self) -> Self:
        return type(self)(**self)

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the values that are not None."""
        return tuple(self.values())


def select(output: ModelOutput, return_dict: bool) -> Any:
    """Return the output, or a plain tuple of its values."""
    return output if return_dict else output.to_tuple()


class SamVisionEncoderOutput(ModelOutput):
    """Output of an image encoder.

    Attributes
    ----------
    image_embeds : None
        For code that names it; SAM has none.
    last_hidden_state : Tensor
        (B, C, s, s) image embeddings.
    hidden_states : tuple of Tensor, optional
        (B, s, s, width) after the patch embedding and after each block.
    attentions : tuple of Tensor, optional
        (B * windows * heads, tokens, tokens) weights of each block.
    """

    names = ("image_embeds", "last_hidden_state", "hidden_states", "attentions")
    image_embeds: Tensor | None
    last_hidden_state: Tensor
    hidden_states: Sequence[Tensor] | None
    attentions: Sequence[Tensor] | None


class SamImageSegmentationOutput(ModelOutput):
    """Masks and scores of a batch of images.

    Attributes
    ----------
    iou_scores : Tensor or tuple of Tensor
        (B, objects, masks) predicted intersection over union.
    pred_masks : Tensor or tuple of Tensor
        (B, objects, masks, h, w) low-resolution logits. Both are tuples with one entry
        for each image where images have different numbers of objects.
    vision_hidden_states, vision_attentions : tuple of Tensor, optional
        See `SamVisionEncoderOutput`; when asked for.
    mask_decoder_attentions : tuple of Tensor, optional
        (B, objects, s * s, C) output of the attention of the image to the tokens, for
        each block of the decoder; when asked for.
    """

    names = (
        "iou_scores",
        "pred_masks",
        "vision_hidden_states",
        "vision_attentions",
        "mask_decoder_attentions",
    )
    iou_scores: Output
    pred_masks: Output
    vision_hidden_states: Sequence[Tensor] | None
    vision_attentions: Sequence[Tensor] | None
    mask_decoder_attentions: Iterable[Tensor] | None
