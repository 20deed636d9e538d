"""The networks of a model at work on a device: encode an image, decode prompts."""

from __future__ import annotations

import warnings
from threading import RLock
from typing import TYPE_CHECKING, TypeVar

import torch

from napari_sam.nets import devices
from napari_sam.nets.devices import in_batches
from napari_sam.nets.fast.decoder import FastMaskDecoder, ImageContext
from napari_sam.nets.fast.tiny_vit import FastTinyViT
from napari_sam.nets.fast.vit import FastViT
from napari_sam.nets.image_encoder import ImageEncoderViT
from napari_sam.nets.tiny_vit import TinyViT

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_sam.nets.sam import SamNetwork

    Encode = Callable[[Tensor], Tensor]

_Answer = TypeVar("_Answer")

# Images that are encoded together: enough to fill a graphics card, and a small part
# of its memory at 1024 pixels. On a CPU one image fills the machine.
_PLANES_ON_GPU = 4


class ModelRunner:
    """Runs the inference paths of a model, for one thread at a time.

    torch gives every thread that calls it as many helpers as there are cores: two
    threads at once would have twice as many as can work, and both be slower.

    Where a graphics card has too little memory for one image and one prompt, the
    model moves to the CPU for good, with a warning.

    Parameters
    ----------
    model : SamNetwork
        In evaluation mode, on the device to be used.
    clicks : SamNetwork, optional
        The same image encoder with another decoder, see `decode`.
    """

    def __init__(
        self, model: SamNetwork, click_decoder: SamNetwork | None = None
    ) -> None:
        self._model, self._clicks = model, click_decoder
        self._turn = RLock()
        self._set_up()

    @torch.inference_mode()
    def _set_up(self) -> None:
        self._encode = _image_encoder(self._model, self.device)
        self._decoder = _mask_decoder(self._model)
        if self._clicks is not None:
            self._click_decoder = _mask_decoder(self._clicks)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self._model.device

    @property
    def planes_at_once(self) -> int:
        """How many images are worth encoding together."""
        return 1 if self.device.type == "cpu" else _PLANES_ON_GPU

    @torch.inference_mode()
    def encode(self, pixel_values: Tensor) -> list[ImageContext]:
        """Encode (B, 3, S, S) images from any device, one entry an image.

        Fewer are encoded together where the memory is too small for
        `planes_at_once`.
        """

        def encoded(chunk: slice) -> Tensor:
            return self._encode(pixel_values[chunk].to(self.device))

        def run() -> list[ImageContext]:
            parts = in_batches(encoded, len(pixel_values), self.planes_at_once)
            return [self._decoder.prepare(e[None]) for part in parts for e in part]

        return self._compute(run)

    @torch.inference_mode()
    def prepare(self, image_embedding: Tensor) -> ImageContext:
        """Take a (1, C, S, S) embedding that was encoded before, on any device."""

        def run() -> ImageContext:
            here = image_embedding.to(self.device, torch.float32)
            return self._decoder.prepare(here)

        return self._compute(run)

    @torch.inference_mode()
    def decode(
        self,
        terms: ImageContext,
        tokens: Tensor,
        dense: Tensor | None,
        several: bool,
        *,
        use_click_decoder: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Decode prompts; see `FastMaskDecoder.decode`. Tensors from any device.

        With `use_click_decoder` the click decoder answers; the tokens are those of
        its prompt encoder.
        """

        def run() -> tuple[Tensor, Tensor]:
            decoder = self._click_decoder if use_click_decoder else self._decoder
            masks = None if dense is None else dense.to(self.device)
            here = terms.to(self.device)
            return decoder.decode(here, tokens.to(self.device), masks, several)

        return self._compute(run)

    def _compute(self, run: Callable[[], _Answer]) -> _Answer:
        with self._turn:
            try:
                return run()
            except RuntimeError as error:
                if not (
                    devices.has_fallback(self.device)
                    and devices.is_out_of_memory(error)
                ):
                    raise
                device, reason = self.device, str(error).split("\n")[0]
            # Here the error is forgotten, and with it the memory of its frames.
            self._model.to("cpu")
            if self._clicks is not None:
                self._clicks.to("cpu")
            self._set_up()
            devices.free_gpu_memory()
            warnings.warn(
                f"The memory of {device} is too small for this model: it computes on "
                f"the CPU from now on, slower. ({reason})",
                RuntimeWarning,
                stacklevel=2,
            )
            return run()


def _mask_decoder(model: SamNetwork) -> FastMaskDecoder:
    encoder = model.prompt_encoder
    return FastMaskDecoder(
        model.mask_decoder, encoder.image_positions(), encoder.dense(None)
    )


def _image_encoder(model: SamNetwork, device: torch.device) -> Encode:
    """Choose how (B, 3, S, S) images are encoded on the model's device."""
    encoder = model.image_encoder
    if device.type != "cpu":
        # Strips save memory traffic on a CPU; other devices want large products.
        encode: Encode = model.get_image_embeddings
        return devices.MeasuredPrecision(encode) if device.type == "cuda" else encode
    if isinstance(encoder, TinyViT):
        return FastTinyViT(encoder)
    assert isinstance(encoder, ImageEncoderViT)
    return FastViT(encoder)
