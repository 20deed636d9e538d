"""Inputs of the processors: images, parameters and the tensors made of them.

The processors of transformers convert any dtype without regard to its range: floats in
[0, 1] are divided by 255 again, 16-bit data leave the range of the model, and an image
of three rows is taken for one of three channels. Here images are interpreted as
everywhere in this package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from napari_sam.images.uint8 import to_uint8

if TYPE_CHECKING:
    from numpy.typing import NDArray

Channels = Literal["channels_first", "channels_last"]
Size = Mapping[str, int] | int | None

# Numbers of Pillow's filters, as in preprocessor_config.json.
FILTERS = {0: "nearest-exact", 2: "bilinear", 3: "bicubic"}

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_RGB = 3


class SamInputs(dict[str, Any]):
    """Dictionary of a processor's output, also read as ``inputs.pixel_values``."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"There is no {name!r} among the inputs.") from None

    @property
    def data(self) -> dict[str, Any]:
        """The dictionary itself."""
        return self

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move the tensors to a device; a dtype applies to floats only."""

        def move(value: Any) -> Any:
            if isinstance(value, list):
                return [move(entry) for entry in value]
            if not isinstance(value, Tensor):
                return value
            moved = value.to(*args, **kwargs)
            return moved if value.is_floating_point() else moved.to(value.dtype)

        return type(self)({name: move(value) for name, value in self.items()})


def convert_tensors(inputs: SamInputs, return_tensors: str | None) -> SamInputs:
    """Keep the tensors, or convert them to numpy arrays."""
    if return_tensors in (None, "pt"):
        return inputs
    if return_tensors != "np":
        raise ValueError(
            f"return_tensors={return_tensors!r} is not known: give 'pt' or 'np'. For "
            "other frameworks export the model to ONNX."
        )

    def convert(value: Any) -> Any:
        if isinstance(value, list):
            return [convert(entry) for entry in value]
        return value.numpy() if isinstance(value, Tensor) else value

    return SamInputs({name: convert(value) for name, value in inputs.items()})


def as_list(images: Any, ndim: int = 3) -> list[Any]:
    """List the images of a batch, a list or a single image."""
    if isinstance(images, list | tuple):
        rows = bool(images) and isinstance(images[0], list) and np.ndim(images[0]) < 2
        listed = [images] if rows else list(images)
    elif getattr(images, "ndim", 0) == ndim + 1:
        listed = list(images)
    else:
        listed = [images]
    if not listed:
        raise ValueError("There are no images: give at least one.")
    return listed


def open_image(image: Any, timeout: float | None = None) -> Any:
    """Read an image from a path or an address; others are returned as they are."""
    if not isinstance(image, str | Path):
        return image
    from PIL import Image, ImageOps

    if str(image).startswith(("http://", "https://")):
        import requests

        answer = requests.get(str(image), timeout=timeout)
        answer.raise_for_status()
        opened = Image.open(BytesIO(answer.content))
    else:
        opened = Image.open(image)
    with opened:
        return ImageOps.exif_transpose(opened)


def to_numpy(image: Any, count: int = _RGB) -> NDArray[Any]:
    """Convert an array, a tensor, a Pillow image or its path to an array."""
    image = open_image(image)
    if isinstance(image, Tensor):
        return image.detach().cpu().numpy()
    if hasattr(image, "convert"):  # Pillow's, without importing it
        grey = image.mode in ("L", "I;16", "I", "F")
        fits = count != _RGB and len(image.getbands()) == count
        image = image if grey or fits else image.convert("RGB")
    return np.asarray(image)


def to_map(labels: Any) -> NDArray[np.int64]:
    """Convert a segmentation map to (H, W) labels; palettes are not looked up."""
    labels = open_image(labels)
    plane = labels.detach().cpu() if isinstance(labels, Tensor) else labels
    array = np.asarray(plane)
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    elif array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 2:
        raise ValueError(
            f"A segmentation map has the shape {array.shape}: give (H, W) labels, one "
            "number for each pixel."
        )
    return array.astype(np.int64)


def to_plane(
    image: Any, channels: Channels | None, rescale: bool, count: int = _RGB
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Convert an image to (H, W) or (H, W, count) uint8; keep floats without `rescale`.

    Raises
    ------
    ValueError
        When it is no image of `count` channels. For three channels, grey values are
        taken as well, and a fourth channel is left out.
    """
    plane = to_numpy(image, count)
    if plane.ndim == 3:
        usual = (1, 3, 4, count)
        if channels == "channels_first" or (
            channels is None
            and plane.shape[-1] not in usual
            and plane.shape[0] in usual
        ):
            plane = plane.transpose(1, 2, 0)
        if plane.shape[-1] == 1:
            plane = plane[..., 0]
    found = plane.shape[-1] if plane.ndim == 3 else 1
    if count != _RGB and (found != count or plane.ndim not in (2, 3)):
        raise ValueError(
            f"The image has the shape {plane.shape}, image_mean and image_std are for "
            f"{count} channels: give (H, W, {count}), or a number for each channel."
        )
    if plane.dtype.kind == "f" and not rescale:
        return (plane[..., :count] if plane.ndim == 3 else plane).astype(np.float32)
    if count in (1, _RGB):
        return to_uint8(plane, _contrast_limits(plane))
    side_by_side = plane.reshape(len(plane), -1)
    return to_uint8(side_by_side, _contrast_limits(plane)).reshape(plane.shape)


def _contrast_limits(plane: NDArray[Any]) -> tuple[float, float] | None:
    """Find the contrast limits of a known range; None when percentiles are needed."""
    if plane.size == 0 or plane.dtype.kind not in "iuf" or plane.dtype == np.uint8:
        return None
    low, high = plane.min(), plane.max()
    if plane.dtype.kind == "f" and low >= 0 and high <= 1:
        return 0.0, 1.0
    return (0.0, 255.0) if low >= 0 and high <= 255 else None


# -- parameters ----------------------------------------------------------------


def longest_edge(size: Size, default: int) -> dict[str, int]:
    """Read a size as transformers does: a number or a dictionary."""
    if size is None:
        return {"longest_edge": default}
    if isinstance(size, int):
        return {"longest_edge": size}
    if size.get("longest_edge") is None:
        raise ValueError(
            f'size {dict(size)} has no longest edge: give {{"longest_edge": pixels}}.'
        )
    return {"longest_edge": int(size["longest_edge"])}


def height_width(size: Size, default: int) -> dict[str, int]:
    """Read a padded size as transformers does: a number or a dictionary."""
    if size is None:
        size = default
    if isinstance(size, int):
        return {"height": size, "width": size}
    try:
        return {"height": int(size["height"]), "width": int(size["width"])}
    except KeyError as error:
        raise ValueError(
            f'pad_size {dict(size)} must be {{"height": pixels, "width": pixels}}.'
        ) from error


def channel_statistics(
    mean: float | Sequence[float] | None, std: float | Sequence[float] | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Read mean and deviation: one number for all channels, or one for each."""
    means, deviations = _numbers(mean, _MEAN), _numbers(std, _STD)
    if len(means) != len(deviations) or not means:
        raise ValueError(
            f"image_mean {mean!r} and image_std {std!r} must have one number for each "
            "channel, three for RGB."
        )
    return means, deviations


def _numbers(
    values: float | Sequence[float] | None, usual: tuple[float, ...]
) -> tuple[float, ...]:
    if values is None:
        return usual
    listed = [values] * _RGB if isinstance(values, int | float) else values
    return tuple(float(value) for value in listed)


def check_filter(resample: int) -> int:
    """Check the number of a resampling filter."""
    number = int(resample)
    if number not in FILTERS:
        raise ValueError(
            f"resample={resample!r} is not known: give 0 (nearest), 2 (bilinear) or "
            "3 (bicubic)."
        )
    return number


# -- tensors -------------------------------------------------------------------


def resize(pixels: Tensor, shape: tuple[int, int], resample: int) -> Tensor:
    """Resize (C, H, W) pixels with one of the `FILTERS`."""
    mode = FILTERS[resample]
    if mode == "nearest-exact":
        return F.interpolate(pixels[None], shape, mode=mode)[0]
    return F.interpolate(
        pixels[None], shape, mode=mode, align_corners=False, antialias=True
    )[0]


def pad(pixels: Tensor, size: Mapping[str, int]) -> Tensor:
    """Add zeros at the right and the bottom up to the size."""
    height, width = pixels.shape[-2:]
    bottom, right = size["height"] - height, size["width"] - width
    if bottom < 0 or right < 0:
        raise ValueError(
            f"The image of {height} x {width} pixels does not fit into pad_size "
            f"{dict(size)}: give a pad_size of at least the size."
        )
    return F.pad(pixels, (0, right, 0, bottom))


def stack(tensors: list[Tensor]) -> Tensor:
    """Stack the tensors of images of the same size."""
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1:
        raise ValueError(
            f"The images have different sizes {sorted(shapes)} without padding: use "
            "do_pad=True, or one image at a time."
        )
    return torch.stack(tensors)
