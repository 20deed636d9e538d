"""Processor with the interface of transformers' ``SamProcessor``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor

from napari_sam.checkpoints.hugging_face import PREPROCESSOR_FILE
from napari_sam.files import write_json
from napari_sam.huggingface.image_processor import SamImageProcessor
from napari_sam.huggingface.inputs import convert_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.huggingface.inputs import SamInputs

    # Indexed by image and object; None for an object without this kind of prompt.
    _Nested = list[list[NDArray[np.float64] | None]]

# Of each kind of prompt: levels of nesting, names of the inner ones, last length.
_NESTING: dict[str, tuple[int, str, int | None]] = {
    "input_points": (4, "points, (x, y)", 2),
    "input_labels": (3, "points", None),
    "input_boxes": (3, "(x_min, y_min, x_max, y_max)", 4),
}

# Groups of options, those that precede last.
_GROUPS = (
    "text_kwargs",
    "videos_kwargs",
    "audio_kwargs",
    "common_kwargs",
    "images_kwargs",
)


class SamProcessor:
    """Preprocessing of images, points, labels and boxes for a SAM model.

    Parameters
    ----------
    image_processor : SamImageProcessor, optional
        Processor of the images; that of SAM when None.
    """

    # For code that was written for transformers; nothing is padded here.
    point_pad_value = -10
    chat_template = None

    def __init__(self, image_processor: SamImageProcessor | None = None) -> None:
        self.image_processor = image_processor or SamImageProcessor()

    @property
    def target_size(self) -> int:
        """Longest side of an image in the model input, in pixels."""
        return self.image_processor.size["longest_edge"]

    @property
    def model_input_names(self) -> list[str]:
        """Names of the processor's output for images without prompts."""
        names = self.image_processor.model_input_names
        return [*names, "original_sizes", "reshaped_input_sizes"]

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        image_processor: SamImageProcessor | None = None,
        **options: Any,
    ) -> Self:
        """Create the processor of a model.

        Parameters
        ----------
        pretrained_model_name_or_path : str or Path
            A folder in Hugging Face layout, a checkpoint file, a name in the registry
            or a repository of the Hugging Face hub.
        image_processor : SamImageProcessor, optional
            Used instead of that of the model.
        **options
            ``family``, the preprocessing that the weights were trained with ("sam",
            "medsam" or "lite_medsam"), needed for files that are not in the registry
            and folders without settings; ``revision``, ``cache_dir``,
            ``local_files_only``, ``token``, see
            `napari_sam.checkpoints.resolve.find_model`; and parameters of
            `SamImageProcessor`, which precede the settings in files.

        Raises
        ------
        ValueError, OSError
            When there is no such model or its preprocessing is unknown.
        WeightsError
            When a model of the hub cannot be downloaded.
        """
        if image_processor is not None:
            return cls(image_processor)
        return cls(
            SamImageProcessor.from_pretrained(pretrained_model_name_or_path, **options)
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, as in a ``processor_config.json``."""
        values = {"image_processor": self.image_processor.to_dict()}
        return {**values, "processor_class": "SamProcessor"}

    def to_json_string(self) -> str:
        """Return `to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **changes: Any) -> Self:
        """Create a processor from `to_dict`, or the settings of its images."""
        settings = values.get("image_processor", values)
        return cls(SamImageProcessor.from_dict(settings, **changes))

    def save_pretrained(self, save_directory: str | Path, **_: Any) -> list[str]:
        """Write ``preprocessor_config.json`` for transformers; return its name."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        values = self.image_processor.to_dict()
        values["processor_class"] = "SamProcessor"
        write_json(folder / PREPROCESSOR_FILE, values)
        return [str(folder / PREPROCESSOR_FILE)]

    def __call__(
        self,
        images: Any = None,
        segmentation_maps: Any = None,
        input_points: Any = None,
        input_labels: Any = None,
        input_boxes: Any = None,
        *,
        return_tensors: str | None = None,
        device: Any = None,
        **options: Any,
    ) -> SamInputs:
        """Preprocess images, and prompts in pixels of the images.

        Where images have different numbers of objects, or objects different numbers of
        points, prompts stay nested lists, which `SamModel` decodes in batches. Nothing
        is padded, as padding changes the masks.

        Parameters
        ----------
        images : array-like, Tensor, PIL.Image, path, address or sequence of these
            See `SamImageProcessor.preprocess`.
        segmentation_maps : the same as images, optional
            (H, W) labels for training.
        input_points : nested list, Tensor or ndarray, optional
            (images, objects, points, 2) as (x, y), or (images, points, 2) for one
            object in each image. None for an object without points.
        input_labels : the same, optional
            (images, objects, points) or (images, points): 1 positive, 0 negative.
        input_boxes : the same, optional
            (images, objects, 4) as (x_min, y_min, x_max, y_max), or (images, 4).
        return_tensors : {"pt", "np"}, optional
            Tensors, also when None, or numpy arrays.
        device : str or torch.device, optional
            Where the tensors go.
        **options
            See `SamImageProcessor.preprocess`. As in transformers, options may be
            grouped as ``images_kwargs`` and ``common_kwargs``, and those of texts,
            videos and sounds and ``point_pad_value`` have no effect.

        Returns
        -------
        SamInputs
            Output of `SamImageProcessor.preprocess`, with ``input_points`` (B, objects,
            points, 2) float32, ``input_labels`` (B, objects, points) int64 and
            ``input_boxes`` (B, objects, 4) float32 in pixels of the model input.

        Raises
        ------
        ValueError
            When images or prompts are invalid, or an option is given twice.
        """
        options.pop("point_pad_value", None)
        if options.pop("text", None) is not None:
            raise ValueError(
                "SAM has no text prompts, its text encoder was never published: give "
                "input_points, input_boxes or input_masks."
            )
        if any(name in options for name in _GROUPS):
            named = {
                "segmentation_maps": segmentation_maps,
                "input_points": input_points,
                "input_labels": input_labels,
                "input_boxes": input_boxes,
                "return_tensors": return_tensors,
                "device": device,
                **options,
            }
            return self(images, **_ungrouped(named))
        if images is None:
            raise ValueError("There are no images: give at least one.")
        inputs = self.image_processor.preprocess(images, segmentation_maps, **options)
        scales = [
            self.image_processor.transform(size).scale[::-1]
            for size in inputs["original_sizes"].tolist()
        ]
        for name, prompts in (
            ("input_points", input_points),
            ("input_labels", input_labels),
            ("input_boxes", input_boxes),
        ):
            if prompts is not None:
                inputs[name] = _prepare(name, prompts, scales)
        if device is not None:
            inputs = inputs.to(device)
        return convert_tensors(inputs, return_tensors)

    def post_process_masks(self, *args: Any, **kwargs: Any) -> list[Tensor]:
        """Call `SamImageProcessor.post_process_masks`."""
        return self.image_processor.post_process_masks(*args, **kwargs)


def _ungrouped(options: Mapping[str, Any]) -> dict[str, Any]:
    """Take options out of their groups; those of other kinds of data are left out."""
    single = {k: v for k, v in options.items() if k not in _GROUPS and v is not None}
    found = dict(single)
    for group in _GROUPS:
        values = {k: v for k, v in (options.get(group) or {}).items() if v is not None}
        for name in values.keys() & single.keys():
            raise ValueError(
                f"{name} is given twice, alone and in {group}: leave one of them out."
            )
        if group in ("common_kwargs", "images_kwargs"):
            found |= values
    return found


# -- nested lists --------------------------------------------------------------


def _prepare(
    name: str, prompts: Any, scales: Sequence[NDArray[np.float64]]
) -> Tensor | list[list[Tensor | None]]:
    """Scale prompts to the model input; `scales` are (x, y) of each image."""
    nested = _nest(name, prompts, len(scales))
    if name == "input_labels":
        return _join(nested, torch.int64)
    return _join(_scale(nested, scales), torch.float32)


def _nest(name: str, prompts: Any, images: int) -> _Nested:
    """List prompts as [image][object] arrays.

    The level of the objects may be missing, boxes may have one more, and a label or a
    list of labels may stand for those of a single image.
    """
    if isinstance(prompts, Tensor):
        prompts = prompts.detach().cpu()
    if isinstance(prompts, Tensor | np.ndarray):
        prompts = prompts.tolist()
    depth, inner, width = _NESTING[name]
    levels = _depth(prompts)
    if name == "input_labels" and images == 1 and levels < depth - 1:
        prompts = [prompts] if levels else [[prompts]]
        levels = depth - 1
    if name == "input_boxes" and levels == depth + 1:
        prompts = [[box for group in image for box in group] for image in prompts]
        levels = depth
    if levels not in (depth, depth - 1):
        raise ValueError(
            f"{name} is nested {levels} deep: give lists of images, objects, {inner}."
        )
    if len(prompts) != images:
        raise ValueError(
            f"{name} is for {len(prompts)} images, there are {images}: give a list "
            "with one entry for each image."
        )
    if levels < depth:
        prompts = [[image] for image in prompts]
    return [[_to_array(name, item, width) for item in image] for image in prompts]


def _depth(nested: Any) -> int:
    if isinstance(nested, Tensor | np.ndarray):
        return nested.ndim
    if isinstance(nested, str) or not isinstance(nested, Sequence):
        return 0
    return 1 + max((_depth(entry) for entry in nested if entry is not None), default=0)


def _to_array(name: str, item: Any, width: int | None) -> NDArray[np.float64] | None:
    if item is None or len(item) == 0:
        return None
    try:
        array = np.asarray(item, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} has {item!r}, not a list of numbers.") from error
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has {item!r}: give finite numbers.")
    if width is not None and array.shape[-1] != width:
        raise ValueError(f"{name} has {item!r}: give {width} numbers for each.")
    return array


def _scale(nested: _Nested, scales: Sequence[NDArray[np.float64]]) -> _Nested:
    """Scale (x, y) pairs to the model input; `scales` are (x, y) of each image."""
    return [
        [
            None if item is None else (item.reshape(-1, 2) * scale).reshape(item.shape)
            for item in image
        ]
        for image, scale in zip(nested, scales, strict=True)
    ]


def _join(nested: _Nested, dtype: torch.dtype) -> Tensor | list[list[Tensor | None]]:
    """Join prompts of equal shapes to one tensor; keep others as lists."""
    counts = {len(image) for image in nested}
    shapes = {None if i is None else i.shape for image in nested for i in image}
    if len(counts) == 1 and len(shapes) == 1 and None not in shapes:
        return torch.as_tensor(np.array(nested)).to(dtype)
    return [
        [None if item is None else torch.as_tensor(item).to(dtype) for item in image]
        for image in nested
    ]
