"""Runner of a model's inference networks on one device."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import torch

from napari_sam.nets import devices
from napari_sam.nets.devices import in_batches
from napari_sam.nets.fast.decoder import FastMaskDecoder, ImageContext
from napari_sam.nets.fast.tiny_vit import FastTinyViT
from napari_sam.nets.fast.vit import FastViT
from napari_sam.nets.image_encoder import ImageEncoderViT
from napari_sam.nets.tiny_vit import TinyViT
from napari_sam.prediction.processes import check_not_forked

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_sam.nets.instance_head import InstanceHead
    from napari_sam.nets.sam import SamNetwork

    Encode = Callable[[Tensor], Tensor]

_Result = TypeVar("_Result")

# Images encoded together on a GPU: enough to keep it busy, with a small part of its
# memory at 1024 pixels. On a CPU one image uses all cores.
_PLANES_ON_GPU = 4


class ModelRunner:
    """Encodes images and decodes prompts, all on one thread of its own.

    torch keeps as many worker threads as there are cores for every thread that calls
    it. Those of two callers slow each other down, even when they take turns, and most
    on a busy machine.

    When a GPU has too little memory for one image and one prompt, the model moves to
    the CPU permanently, with a warning.

    Parameters
    ----------
    model : SamNetwork
        In evaluation mode, on the device to use.
    click_decoder : SamNetwork, optional
        The same image encoder with another mask decoder, see `decode`.
    instance_head : InstanceHead, optional
        Finds objects without prompts, see `instance_maps`.
    """

    def __init__(
        self,
        model: SamNetwork,
        click_decoder: SamNetwork | None = None,
        instance_head: InstanceHead | None = None,
    ) -> None:
        check_not_forked()
        self._model, self._click_model = model, click_decoder
        self._instance_head = instance_head
        # Its thread ends with this object.
        self._thread = ThreadPoolExecutor(1, "napari-sam model")
        self._set_up()

    @torch.inference_mode()
    def _set_up(self) -> None:
        self._encode = _image_encoder(self._model, self.device)
        self._decoder = _mask_decoder(self._model)
        if self._click_model is not None:
            self._click_decoder = _mask_decoder(self._click_model)
        if self._instance_head is not None:
            self._instance_head.to(self.device)

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self._model.device

    @property
    def planes_at_once(self) -> int:
        """Number of images to encode together."""
        return 1 if self.device.type == "cpu" else _PLANES_ON_GPU

    def encode(self, pixel_values: Tensor) -> list[ImageContext]:
        """Encode images.

        Parameters
        ----------
        pixel_values : Tensor
            (B, 3, S, S), on any device. Batches are smaller than `planes_at_once`
            where memory is short.

        Returns
        -------
        list of ImageContext
            One for each image.
        """

        def encode_batch(batch: slice) -> Tensor:
            return self._encode(pixel_values[batch].to(self.device))

        def run() -> list[ImageContext]:
            parts = in_batches(encode_batch, len(pixel_values), self.planes_at_once)
            return [self._decoder.prepare(e[None]) for part in parts for e in part]

        return self._compute(run)

    def prepare(self, image_embedding: Tensor) -> ImageContext:
        """Prepare a stored (1, C, S, S) image embedding on any device for decoding."""

        def run() -> ImageContext:
            return self._decoder.prepare(image_embedding.to(self.device, torch.float32))

        return self._compute(run)

    def decode(
        self,
        context: ImageContext,
        tokens: Tensor,
        dense_embeddings: Tensor | None,
        multimask_output: bool,
        *,
        use_click_decoder: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Decode prompts; see `FastMaskDecoder.decode`. Tensors may be on any device.

        Parameters
        ----------
        use_click_decoder : bool
            Decode by the click decoder; `tokens` come from its prompt encoder then.
        """

        def run() -> tuple[Tensor, Tensor]:
            decoder = self._click_decoder if use_click_decoder else self._decoder
            device = self.device
            masks = None if dense_embeddings is None else dense_embeddings.to(device)
            return decoder.decode(
                context.to(device), tokens.to(device), masks, multimask_output
            )

        return self._compute(run)

    def instance_maps(self, image_embedding: Tensor, pixel_values: Tensor) -> Tensor:
        """Predict the maps of one window, (3, S, S) on the CPU; see `InstanceMaps`."""

        def run() -> Tensor:
            assert self._instance_head is not None
            inputs = image_embedding.to(self.device), pixel_values.to(self.device)
            return torch.stack(self._instance_head(*inputs))[:, 0].cpu()

        return self._compute(run)

    def _compute(self, run: Callable[[], _Result]) -> _Result:
        """Call `run` on the thread of the model, and wait for it."""
        check_not_forked()  # in another process there is no such thread
        return self._thread.submit(self._run, run, torch.get_num_threads()).result()

    @torch.inference_mode()
    def _run(self, run: Callable[[], _Result], threads: int) -> _Result:
        """Call `run` with as many threads as its caller has."""
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        return self._run_with_fallback(run)

    def _run_with_fallback(self, run: Callable[[], _Result]) -> _Result:
        """Call `run`, on the CPU if the device runs out of memory."""
        try:
            return run()
        except RuntimeError as error:
            if not (
                devices.has_fallback(self.device) and devices.is_out_of_memory(error)
            ):
                raise
            device, reason = self.device, str(error).split("\n")[0]
        # Outside the except clause the error no longer keeps tensors alive.
        self._model.to("cpu")
        if self._click_model is not None:
            self._click_model.to("cpu")
        self._set_up()
        devices.free_gpu_memory()
        warnings.warn(
            f"{device} has too little memory for this model: it computes on the "
            f"CPU from now on, slower. ({reason})",
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
    """Choose the function that encodes (B, 3, S, S) images on a device."""
    encoder = model.image_encoder
    if device.type != "cpu":
        # Strips save memory traffic on a CPU; other devices want large products.
        encode: Encode = model.get_image_embeddings
        return devices.MeasuredPrecision(encode) if device.type == "cuda" else encode
    if isinstance(encoder, TinyViT):
        return FastTinyViT(encoder)
    assert isinstance(encoder, ImageEncoderViT)
    return FastViT(encoder)
