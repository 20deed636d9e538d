"""Predictor: a loaded model with an interface of numpy arrays."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from napari_sam.checkpoints.families import PREPROCESSING
from napari_sam.checkpoints.prompt_support import PromptSupport
from napari_sam.checks.values import check_list, flag, optional
from napari_sam.images.uint8 import full_shape, plane_key, to_uint8
from napari_sam.images.window import check_window
from napari_sam.prediction.clicks.instances import WindowInstances, read_maps
from napari_sam.prediction.embedding import Embedding, check_embedding
from napari_sam.prediction.model_runner import ModelRunner
from napari_sam.prediction.plane_transform import PlaneTransform
from napari_sam.prediction.prediction import Method, Prediction
from napari_sam.prediction.processes import PickledBySource
from napari_sam.prediction.prompt_decoder import PromptDecoder
from napari_sam.prediction.zoom.grid import WindowGrid
from napari_sam.prediction.zoom.options import check_zoom
from napari_sam.prediction.zoom.plane import PlaneWindows, ZoomableEmbedding
from napari_sam.prompts.prompt import batch_signature, check_prompt_list

__all__ = ["Embedding", "Method", "Prediction", "Predictor"]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.checkpoints.families import Family, Preprocessing
    from napari_sam.images.window import Window
    from napari_sam.nets.fast.decoder import ImageContext
    from napari_sam.nets.instance_head import InstanceHead
    from napari_sam.nets.sam import SamNetwork
    from napari_sam.prediction.zoom.options import Zoom
    from napari_sam.prompts.prompt import Prompt


class Predictor(PickledBySource):
    """A loaded model that embeds planes and predicts masks for prompts.

    Parameters
    ----------
    model : SamNetwork
        In evaluation mode, on the device to use.
    name : str
        Name to show.
    family : {"sam", "medsam", "lite_medsam"}
        Key of the rules for preprocessing and postprocessing, see `PREPROCESSING`.
    prompts : frozenset of {"point", "box", "mask"}
        The kinds of prompt that the weights were trained on.
    key : str
        Identifies the weights, for instance by their hash.
    multimask_output : bool, optional
        Whether the three alternatives of an ambiguous prompt were trained; the rule
        of the family when None.
    click_decoder : SamNetwork, optional
        For weights trained on boxes: answers prompts with points, on the same encoder.
    instance_head : InstanceHead, optional
        Finds all objects of a window without prompts.
    """

    def __init__(
        self,
        model: SamNetwork,
        *,
        name: str,
        family: Family,
        prompts: frozenset[str],
        key: str,
        multimask_output: bool | None = None,
        click_decoder: SamNetwork | None = None,
        instance_head: InstanceHead | None = None,
    ) -> None:
        self.model, self.click_decoder = model, click_decoder
        self.instance_head = instance_head
        self.name = name
        self.family: Family = family
        self.prompts = prompts
        self.key = f"{family}:{key}"
        self._preprocessing = PREPROCESSING[family]
        if multimask_output is not None:
            self._preprocessing = replace(
                self._preprocessing, multimask_output=multimask_output
            )
        self._runner = ModelRunner(model, click_decoder, instance_head)
        self._decoder = PromptDecoder(
            self._runner, model.prompt_encoder, self._preprocessing
        )
        self.point_decoder = self._decoder.for_clicks(click_decoder)

    def __repr__(self) -> str:
        return f"Predictor({self.name!r}, family={self.family!r}, {self.device})"

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return self._runner.device

    @property
    def prompt_support(self) -> PromptSupport:
        """The kinds of prompt that the model was trained on and answers."""
        has_head = self.instance_head is not None
        return PromptSupport(self.prompts, self.click_decoder is not None, has_head)

    @property
    def preprocessing(self) -> Preprocessing:
        """Rules that turn a plane into model input and logits into a mask."""
        return self._preprocessing

    @property
    def input_size(self) -> int:
        """Side of the square model input in pixels; larger planes are downsampled."""
        return self.model.prompt_encoder.image_size

    @property
    def smallest_window(self) -> int:
        """Side of the smallest window to segment objects in, in pixels of the plane."""
        return round(self.input_size * self._preprocessing.zoom_floor)

    @property
    def smallest_click_window(self) -> int:
        """Side of the smallest window for clicks on tiny objects, in pixels."""
        return round(self.input_size * self._preprocessing.click_zoom_floor)

    @property
    def planes_at_once(self) -> int:
        """Number of planes to encode together: 1 on a CPU."""
        return self._runner.planes_at_once

    def transform(
        self, shape: tuple[int, int], window: Window | None = None
    ) -> PlaneTransform:
        """Return the transform of a plane of (H, W), or of a window of it."""
        encoder = self.model.prompt_encoder
        return PlaneTransform.fit(
            shape, encoder.image_size, encoder.mask_size, self.family, window
        )

    def embed(
        self,
        plane: Any,
        contrast_limits: ArrayLike | None = None,
        *,
        plane_shape: tuple[int, int] | None = None,
        window: Sequence[int] | None = None,
        zoom: Zoom = "auto",
    ) -> Embedding:
        """Encode one plane; the slow step, needed once for any number of prompts.

        Parameters
        ----------
        plane : array-like
            (H, W) or (H, W, 3), any real dtype.
        contrast_limits : tuple of float or array-like, optional
            Values that become black and white; taken from the data when None, see
            `napari_sam.images.uint8.to_uint8`.
        plane_shape : tuple of int, optional
            (H, W) of the full plane when `plane` holds only the pixels of `window`,
            or a downsampled version, such as a pyramid level. Prompts and masks are
            always those of the full plane.
        window : sequence of int, optional
            (row, col, height, width) of the part of the plane to encode, for a small
            object; the whole plane when None.
        zoom : "auto", "off" or float
            Whether `predict` answers prompts on small objects in enlarged windows of
            the plane, see `segment`. Needs the whole plane: no `plane_shape` and no
            `window`.

        Raises
        ------
        ValueError
            When the array is not a plane, is larger than `plane_shape`, or does not
            hold the window.
        """
        zoom = check_zoom(zoom)
        pixels = to_uint8(plane, contrast_limits)
        if plane_shape is not None or window is not None:
            shape = full_shape(pixels, plane_shape)
            part = None if window is None else check_window(window, shape)
            if part is not None and plane_shape is None:
                pixels = pixels[part.slices]
            return self._embed([pixels], [full_shape(pixels, shape, part)], [part])[0]
        embedding = self._embed([pixels], [full_shape(pixels, None)], [None])[0]
        grid = WindowGrid.of(self, embedding.shape)
        if zoom == "off" or not grid.sides:
            return embedding
        # A copy: the caller may change the plane before the prompts come.
        kept = pixels.copy() if np.may_share_memory(pixels, plane) else pixels
        return ZoomableEmbedding.of(embedding, PlaneWindows(kept, zoom))

    def embed_batch(
        self,
        planes: Sequence[Any],
        contrast_limits: ArrayLike | None = None,
        *,
        plane_shape: tuple[int, int] | None = None,
        windows: Sequence[Window | None] | None = None,
    ) -> list[Embedding]:
        """Encode planes as `embed` does, several together where that is faster.

        Parameters
        ----------
        planes : sequence of array-like
            (H, W) or (H, W, 3) each, any real dtype.
        contrast_limits : tuple of float or array-like, optional
            Grey values shown to the model as black and white, of all planes.
        plane_shape : tuple of int, optional
            (H, W) of the full planes, if `planes` are parts of them.
        windows : sequence of Window, optional
            What each of `planes` shows of the full plane of `plane_shape`.
        """
        check_list(planes, "planes", "a list of planes")
        parts = [None] * len(planes) if windows is None else windows
        check_list(parts, "windows", "one for each plane", len(planes))
        if len(planes) > 1 and self.planes_at_once > 1:
            pixels = [to_uint8(plane, contrast_limits) for plane in planes]
            shapes = [
                full_shape(p, plane_shape, part)
                for p, part in zip(pixels, parts, strict=True)
            ]
            return self._embed(pixels, shapes, parts)
        return [
            self.embed(
                plane, contrast_limits, plane_shape=plane_shape, window=part, zoom="off"
            )
            for plane, part in zip(planes, parts, strict=True)
        ]

    def _embed(
        self,
        pixels: Sequence[NDArray[np.uint8]],
        shapes: Sequence[tuple[int, int]],
        windows: Sequence[Window | None],
    ) -> list[Embedding]:
        transforms = list(map(self.transform, shapes, windows))
        values = [t.pixel_values(p) for t, p in zip(transforms, pixels, strict=True)]
        contexts = self._runner.encode(torch.cat(values))
        return [
            Embedding(c, t, self.key, plane_key(p), self._instances(c, t, v))
            for c, t, p, v in zip(contexts, transforms, pixels, values, strict=True)
        ]

    def _instances(
        self, context: ImageContext, transform: PlaneTransform, values: Tensor | None
    ) -> WindowInstances | None:
        if self.instance_head is None or values is None:
            return None
        return WindowInstances(self._runner, context, transform, values)

    def instance_maps(
        self, embedding: Embedding, pixels: NDArray[np.uint8]
    ) -> NDArray[np.uint8]:
        """Find objects in embedded pixels: (3, h, w) uint8, see `InstanceMaps`."""
        transform = embedding.transform
        values = transform.pixel_values(pixels)
        return read_maps(self._runner, embedding.context, transform, values)

    def restore(
        self,
        image_embedding: Any,
        shape: tuple[int, int],
        key: str,
        window: Window | None = None,
        pixels: NDArray[np.uint8] | None = None,
    ) -> Embedding:
        """Build an embedding from a stored output of the image encoder.

        Parameters
        ----------
        image_embedding : Tensor or ndarray
            (1, C, S, S), from `Embedding.image_embedding` or `Embedding.half`.
        shape : tuple of int
            (H, W) of the plane.
        key : str
            The embedding's `plane_key`.
        window : Window, optional
            The part of the plane that was encoded; all of it when None.
        pixels : ndarray, optional
            What was encoded. An instance head helps to answer clicks only with it.
        """
        context = self._runner.prepare(torch.as_tensor(image_embedding))
        transform = self.transform(shape, window)
        values = None if pixels is None else transform.pixel_values(pixels)
        instances = self._instances(context, transform, values)
        return Embedding(context, transform, self.key, key, instances)

    def predict(
        self,
        embedding: Embedding,
        prompt: Prompt,
        *,
        multimask_output: bool | None = None,
    ) -> Prediction:
        """Predict the mask of one object; see `predict_batch`."""
        return self.predict_batch(
            embedding, [prompt], multimask_output=multimask_output
        )[0]

    def predict_batch(
        self,
        embedding: Embedding,
        prompts: Sequence[Prompt],
        *,
        multimask_output: bool | None = None,
    ) -> list[Prediction]:
        """Predict one mask for each prompt, on one plane.

        Parameters
        ----------
        embedding : Embedding
            From this predictor's `embed`. Unless it was made with ``zoom="off"``,
            prompts on small objects are answered in enlarged windows of the plane.
        prompts : sequence of Prompt
            One object each, in pixels of the plane. For weights trained on boxes see
            `prediction.clicks`: by `candidates` or, for boxes only, `point_search`.
        multimask_output : bool, optional
            Predict the three alternatives of an ambiguous prompt, or one mask. When
            None, only a single positive point is ambiguous.

        Raises
        ------
        TypeError, ValueError
            When the embedding belongs to another model or a prompt does not fit
            the plane, or they are none.
        """
        check_embedding(embedding, self.key)
        check_prompt_list(prompts)
        multimask_output = optional(flag)(multimask_output, "multimask_output")
        if isinstance(embedding, ZoomableEmbedding):
            return embedding.windows.predict(self, embedding, prompts, multimask_output)
        if self.instance_head is None:
            embedding = replace(embedding, instances=None)
        predictions: dict[int, Prediction] = {}
        # Prompts with different token counts are never padded to one batch:
        # padded tokens take part in attention and change the masks.
        batches: dict[Any, list[tuple[int, Prompt, Method]]] = defaultdict(list)
        for index, prompt in enumerate(prompts):
            prompt, method = self._replace_mask(embedding, prompt)
            decoder: PromptDecoder | None = self._decoder
            if not prompt.kinds <= self.prompts:
                decoder = self.point_decoder
                method = "click decoder" if method == "prompt" else method
            if decoder is None:
                predictions[index] = self._decoder.search_boxes(embedding, prompt)
            else:
                key = decoder, *batch_signature(prompt, multimask_output)
                batches[key].append((index, prompt, method))
        for (decoder, *_, multimask), members in batches.items():
            indices, batch, methods = zip(*members, strict=True)
            answers = decoder.predict(embedding, batch, methods, multimask)
            predictions.update(zip(indices, answers, strict=True))
        return [predictions[index] for index in range(len(prompts))]

    def _replace_mask(
        self, embedding: Embedding, prompt: Prompt
    ) -> tuple[Prompt, Method]:
        """Check a prompt; replace its mask by a box for weights trained on boxes.

        The result is in pixels of the embedding's window.
        """
        prompt = prompt.within(embedding.shape)
        if embedding.window is not None:
            prompt = prompt.in_window(embedding.window)
        if prompt.mask is None or self.prompt_support.trained_on("mask"):
            return prompt, "prompt"
        box = prompt.box
        if box is None:
            box = self._decoder.box_of_mask(embedding.transform, prompt)
        return replace(prompt, box=box, mask=None), "box of the mask"

    def prompt_tensors(
        self, transform: PlaneTransform, prompts: Sequence[Prompt]
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Convert points and boxes to the input of the model's prompt encoder.

        Parameters
        ----------
        transform : PlaneTransform
            Maps the plane of the prompts to the model's input.
        prompts : sequence of Prompt
            K of them, all with the same number of points and all or none with a box.

        Returns
        -------
        points : Tensor or None
            (K, N, 2) float32 as (x, y) pixels of the model's input.
        labels : Tensor or None
            (K, N) int64, 1 on the object and 0 on the background.
        boxes : Tensor or None
            (K, 4) float32 as (x_min, y_min, x_max, y_max).
        """
        return self._decoder.tensors(transform, prompts)
