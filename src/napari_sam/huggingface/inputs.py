"""What the processors of Hugging Face's interface take and give.

Hugging Face's processors turn any dtype into numbers without asking what they mean:
floats in [0, 1] are divided by 255 again, 16-bit data leave the range the model knows,
an image of three rows is taken for one of three channels. Here an image means what it
means elsewhere in this package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from torch import Tensor

from napari_sam.images.uint8 import to_uint8

if TYPE_CHECKING:
    from numpy.typing import NDArray

Channels = Literal["channels_first", "channels_last"]
Size = Mapping[str, int] | int | None

# Pillow's numbers, which preprocessor_config.json holds.
FILTERS = {0: "nearest-exact", 2: "bilinear", 3: "bicubic"}


class SamInputs(dict[str, Any]):
    """What a processor gives: a dictionary, also read as ``inputs.pixel_values``."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"There is no {name!r} among the inputs.") from None

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move the tensors to a device; a dtype concerns floating point ones only."""

        def move(value: Any) -> Any:
            if isinstance(value, list):
                return [move(entry) for entry in value]
            if not isinstance(value, Tensor):
                return value
            moved = value.to(*args, **kwargs)
            return moved if value.is_floating_point() else moved.to(value.dtype)

        return type(self)({name: move(value) for name, value in self.items()})


def as_kind(inputs: SamInputs, return_tensors: str | None) -> SamInputs:
    """Tensors as they are, or numpy arrays."""
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
    """Take one image or several."""
    if isinstance(images, list | tuple):
        rows = bool(images) and isinstance(images[0], list) and np.ndim(images[0]) < 2
        found = [images] if rows else list(images)
    elif getattr(images, "ndim", 0) == ndim + 1:
        found = list(images)
    else:
        found = [images]
    if not found:
        raise ValueError("There are no images: give at least one.")
    return found


def to_numpy(image: Any) -> NDArray[Any]:
    """Take an array, a tensor or a Pillow image."""
    if isinstance(image, Tensor):
        return image.detach().cpu().numpy()
    if hasattr(image, "convert"):  # Pillow, which is not needed otherwise
        grey = image.mode in ("L", "I;16", "I", "F")
        image = image if grey else image.convert("RGB")
    return np.asarray(image)


def to_plane(
    image: Any, channels: Channels | None, rescale: bool
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """(H, W) or (H, W, 3) uint8; floats as they are where nothing is rescaled."""
    plane = to_numpy(image)
    if plane.ndim == 3:
        last = plane.shape[-1] in (1, 3, 4)
        if channels == "channels_first" or (
            channels is None and not last and plane.shape[0] in (1, 3, 4)
        ):
            plane = plane.transpose(1, 2, 0)
        if plane.shape[-1] == 1:
            plane = plane[..., 0]
    if plane.dtype.kind == "f" and not rescale:
        return (plane[..., :3] if plane.ndim == 3 else plane).astype(np.float32)
    return to_uint8(plane, _limits(plane))


def _limits(plane: NDArray[Any]) -> tuple[float, float] | None:
    """What is black and white, where the values tell; None where the data must."""
    if plane.size == 0 or plane.dtype.kind not in "iuf" or plane.dtype == np.uint8:
        return None
    low, high = plane.min(), plane.max()
    if plane.dtype.kind == "f" and low >= 0 and high <= 1:
        return 0.0, 1.0
    return (0.0, 255.0) if low >= 0 and high <= 255 else None


# -- parameters ----------------------------------------------------------------


def longest_edge(size: Size, default: int) -> dict[str, int]:
    """Read a size as transformers takes it: a number, or a dictionary."""
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
    """Read a padded size as transformers takes it: a number, or a dictionary."""
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


def per_channel(
    values: float | Sequence[float] | None, default: tuple[float, float, float]
) -> list[float]:
    """Read one number for all channels, or one for each."""
    if values is None:
        return list(default)
    listed = [values] * 3 if isinstance(values, int | float) else list(values)
    if len(listed) != 3:
        raise ValueError(f"{values!r} is not one number for each of three channels.")
    return [float(value) for value in listed]


def check_filter(resample: int) -> int:
    """Read the number of a filter that there is."""
    number = int(resample)
    if number not in FILTERS:
        raise ValueError(
            f"resample={resample!r} is not known: give 0 (nearest), 2 (bilinear) or "
            "3 (bicubic)."
        )
    return number
