"""Encoding of the planes of a stack and of windows of them, with prefetching."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.images.empty_planes import (
    NothingShownError,
    nothing_shown_text,
    shows_nothing,
)
from napari_sam.images.uint8 import plane_key, to_uint8
from napari_sam.images.window import Window
from napari_sam.masks.border import NO_BORDER, Border, measure_border

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor, Future

    from numpy.typing import ArrayLike, NDArray

    from napari_sam.images.stack import Stack
    from napari_sam.masks.patch import MaskPatch
    from napari_sam.prediction.cache import EmbeddingCache
    from napari_sam.prediction.embedding import Embedding
    from napari_sam.prediction.protocol import PredictorLike

# A slice, and the window of it to encode; None for the whole plane.
Place = tuple[int, Window | None]


@dataclass(frozen=True, slots=True, eq=False)
class EncodedWindow:
    """A window of a plane of a stack, or all of the plane, with its embedding.

    Parameters
    ----------
    window : Window or None
        The window; None for the whole plane.
    pixels : ndarray
        (h, w) or (h, w, C): its pixels, for pyramids perhaps at a lower resolution.
    embedding : Embedding
        Its embedding.
    shows_nothing : bool
        Whether it is black or white all over.
    """

    window: Window | None
    pixels: NDArray[Any]
    embedding: Embedding
    shows_nothing: bool = False

    def shows(self, box: NDArray[np.float64]) -> bool:
        """Tell whether a part of a (4,) box of the plane lies in the window."""
        first, shape = np.zeros(2), self.embedding.shape
        if self.window is not None:
            first, shape = np.array(self.window.origin, float), self.window.shape
        last = first + shape - 1
        return bool((box[2:] > first).all() and (box[:2] < last).all())

    def border(self, patch: MaskPatch) -> Border:
        """Measure the border of a mask of the plane."""
        return window_border(self.pixels, self.window, patch, self.embedding.shape)


@dataclass(eq=False)
class PrefetchingPlaneEncoder:
    """Encoder of windows of the planes of a stack that reads ahead on another thread.

    Windows are encoded in batches of `predictor.planes_at_once`. Only their pixels are
    read.

    Parameters
    ----------
    stack : Stack
        The stack.
    predictor : PredictorLike
        The model.
    cache : EmbeddingCache
        Keeps the embeddings.
    contrast_limits : tuple of float or array-like, optional
        Contrast limits of all planes, see `napari_sam.images.uint8.to_uint8`.
    executor : Executor
        Encodes the next windows while this one is decoded.

    Attributes
    ----------
    seen : dict
        {(slice, window): hash of the 8-bit pixels} of all that was encoded.
    """

    stack: Stack
    predictor: PredictorLike
    cache: EmbeddingCache
    contrast_limits: ArrayLike | None
    executor: Executor
    _pending: dict[Place, Future[dict[Place, EncodedWindow]]] = field(
        default_factory=dict
    )
    _seconds: list[float] = field(default_factory=list)
    seen: dict[Place, str] = field(default_factory=dict)

    @property
    def seconds_each(self) -> float | None:
        """Median time to read and encode a window; None when all came from a cache."""
        return float(np.median(self._seconds)) if self._seconds else None

    def pixels(self, slice_index: int, window: Window | None = None) -> NDArray[Any]:
        """Read a plane or window, at least at the resolution of the model's input."""
        index = self.stack.plane_index(slice_index)
        return self.stack.reader.read(index, self.predictor.input_size, window)

    def is_empty(self, slice_index: int) -> bool:
        """Tell whether a whole slice shows nothing."""
        pixels = to_uint8(self.pixels(slice_index), self.contrast_limits)
        return shows_nothing(pixels)

    def border(
        self, slice_index: int, window: Window | None, patch: MaskPatch
    ) -> Border:
        """Measure the border of a mask, without encoding anything."""
        if not patch.logits.size:
            return NO_BORDER
        pixels = self.pixels(slice_index, window)
        return window_border(pixels, window, patch, self.stack.plane_shape)

    def get(self, place: Place, following: Sequence[Place] = ()) -> EncodedWindow:
        """Return an encoded window, and start to encode the following ones."""
        # Drop prefetched windows that are no longer needed.
        needed = {place, *following}
        self._pending = {p: f for p, f in self._pending.items() if p in needed}
        if place not in self._pending:
            self._start([place, *following])
        encoded = self._pending.pop(place).result()[place]
        if following and following[0] not in self._pending:
            self._start(following)
        return encoded

    def _start(self, places: Sequence[Place]) -> None:
        """Start to encode the first batch of these windows."""
        batch = places[: self.predictor.planes_at_once]
        future = self.executor.submit(self._encode, batch)
        self._pending.update(dict.fromkeys(batch, future))

    def _encode(self, places: Sequence[Place]) -> dict[Place, EncodedWindow]:
        started, before = perf_counter(), self.cache.encoded_count
        pixels = [self.pixels(*place) for place in places]
        mapped = [to_uint8(part, self.contrast_limits) for part in pixels]
        keys = map(plane_key, mapped)
        self.seen.update(zip(places, keys, strict=True))
        embeddings = self.cache.embed_batch(
            self.predictor,
            mapped,
            plane_shape=self.stack.plane_shape,
            windows=[window for _, window in places],
        )
        if self.cache.encoded_count >= before + len(places):
            self._seconds.append((perf_counter() - started) / len(places))
        return {
            place: EncodedWindow(place[1], part, embedding, shows_nothing(seen))
            for place, part, embedding, seen in zip(
                places, pixels, embeddings, mapped, strict=True
            )
        }


@dataclass(eq=False)
class SliceWindows:
    """The windows of one slice, each encoded once.

    Parameters
    ----------
    encoder : PrefetchingPlaneEncoder
        Encodes them.
    index : int
        The slice.
    planned : sequence of Window or None
        Windows that will be asked for, in order.
    following : sequence of Place
        Windows of the next slices, to encode ahead.
    """

    encoder: PrefetchingPlaneEncoder
    index: int
    planned: Sequence[Window | None] = ()
    following: Sequence[Place] = ()
    _encoded: dict[Window | None, EncodedWindow] = field(default_factory=dict)

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(H, W) of the plane."""
        return self.encoder.stack.plane_shape

    def show_nothing(self) -> bool:
        """Tell whether the slice shows nothing, from its windows if that is enough."""
        for window in self.planned:
            if not self.get(window).shows_nothing:
                return False
        if not all(encoded.shows_nothing for encoded in self._encoded.values()):
            return False
        return None in self._encoded or self.encoder.is_empty(self.index)

    def check_shown(self) -> None:
        """Refuse prompts on a slice that shows nothing.

        Raises
        ------
        NothingShownError
            When it does.
        """
        if self.show_nothing():
            limits, subject = self.encoder.contrast_limits, f"Slice {self.index}"
            remedy = "remove the prompts on it"
            raise NothingShownError(nothing_shown_text(limits, subject, remedy))

    def get(self, window: Window | None) -> EncodedWindow:
        """Return a window of the slice."""
        if window not in self._encoded:
            later = [
                (self.index, other)
                for other in self.planned
                if other != window and other not in self._encoded
            ]
            self._encoded[window] = self.encoder.get(
                (self.index, window), [*later, *self.following]
            )
        return self._encoded[window]


def window_border(
    pixels: NDArray[Any],
    window: Window | None,
    patch: MaskPatch,
    plane_shape: tuple[int, int],
) -> Border:
    """Measure the border of a mask from the pixels of a window."""
    if window is None:
        return measure_border(pixels, patch.mask, patch.origin, plane_shape)
    row, col = np.subtract(patch.origin, window.origin).tolist()
    return measure_border(pixels, patch.mask, (row, col), window.shape)
