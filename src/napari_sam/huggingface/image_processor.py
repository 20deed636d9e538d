"""Image processor with the interface of transformers' ``SamImageProcessor``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

import numpy as np
import torch
from torch import Tensor

from napari_sam.checkpoints.families import PREPROCESSING, Family
from napari_sam.checkpoints.hugging_face import (
    FAMILY_KEY,
    PREPROCESSOR_FILE,
    read_folder_config,
    read_settings,
)
from napari_sam.checkpoints.resolve import find_model, find_spec
from napari_sam.checkpoints.state_dict import load_model_file
from napari_sam.files import write_json
from napari_sam.huggingface.hub_options import split_hub_options
from napari_sam.huggingface.inputs import (
    SamInputs,
    as_list,
    channel_statistics,
    check_filter,
    convert_tensors,
    height_width,
    longest_edge,
    pad,
    resize,
    stack,
    to_map,
    to_plane,
)
from napari_sam.huggingface.post_processing import post_process_masks
from napari_sam.images.axes import sample_centres
from napari_sam.prediction.plane_transform import PlaneTransform

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.huggingface.inputs import Channels, Size
    from napari_sam.nets.config import SamConfig

_BILINEAR = 2
# Parameters that transformers' processor takes and does not use for SAM.
_WITHOUT_EFFECT = ("do_center_crop", "crop_size", "disable_grouping")
_MASK_SIZE = 256


class SamImageProcessor:
    """Preprocessing of images and postprocessing of masks for a SAM model.

    Parameters and defaults are those of transformers' ``SamImageProcessor``; each can
    also be given to `preprocess`.

    Parameters
    ----------
    do_resize : bool
        Resize the longest side to `size`.
    size : dict
        ``{"longest_edge": pixels}``.
    mask_size : dict
        The same for segmentation maps.
    resample : int
        Filter of the resize, in Pillow's numbers: 0 nearest, 2 bilinear, 3 bicubic.
    do_rescale, rescale_factor : bool, float
        Multiply values of 0 to 255 by the factor.
    do_normalize, image_mean, image_std : bool, list of float, list of float
        Subtract a mean and divide by a deviation for each channel. Images have as many
        channels as there are numbers.
    do_pad, pad_size, mask_pad_size : bool, dict, dict
        Add zeros at the right and the bottom up to ``{"height", "width"}``.
    do_convert_rgb : bool
        Accepted as in transformers; images are always converted to RGB.
    family : {"sam", "medsam", "lite_medsam"}
        Key of the rules that the weights were trained with
        (`napari_sam.checkpoints.families.PREPROCESSING`). For the MedSAM families only
        `size` applies; the other parameters are fixed by the rules.

    Raises
    ------
    ValueError
        When a parameter is invalid.
    """

    model_input_names = ("pixel_values",)

    def __init__(
        self,
        do_resize: bool = True,
        size: Size = None,
        mask_size: Size = None,
        resample: int = _BILINEAR,
        do_rescale: bool = True,
        rescale_factor: float = 1 / 255,
        do_normalize: bool = True,
        image_mean: float | Sequence[float] | None = None,
        image_std: float | Sequence[float] | None = None,
        do_pad: bool = True,
        pad_size: Size = None,
        mask_pad_size: Size = None,
        do_convert_rgb: bool = True,
        family: Family = "sam",
    ) -> None:
        if family not in get_args(Family):
            raise ValueError(
                f"There is no family {family!r}: choose one of "
                f"{', '.join(get_args(Family))}."
            )
        side = PREPROCESSING[family].default_size
        self.family: Family = family
        self.do_resize = do_resize
        self.size = longest_edge(size, side)
        self.mask_size = longest_edge(mask_size, _MASK_SIZE)
        self.resample = check_filter(resample)
        self.do_rescale = do_rescale
        self.rescale_factor = rescale_factor
        self.do_normalize = do_normalize
        self.image_mean, self.image_std = channel_statistics(image_mean, image_std)
        self.do_pad = do_pad
        self.pad_size = height_width(pad_size, side)
        self.mask_pad_size = height_width(mask_pad_size, _MASK_SIZE)
        self.do_convert_rgb = do_convert_rgb

    def __repr__(self) -> str:
        return f"SamImageProcessor({self.to_dict()})"

    @property
    def _configurable(self) -> bool:
        """Whether the parameters apply; other families have fixed rules."""
        return PREPROCESSING[self.family].transformers_settings

    # -- files -----------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers, as in a ``preprocessor_config.json``."""
        values = {"image_processor_type": "SamImageProcessor", **vars(self)}
        family = values.pop("family")
        if not self._configurable:
            values[FAMILY_KEY] = family
        return values

    def to_json_string(self) -> str:
        """Return `to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def to_json_file(self, path: str | Path) -> None:
        """Write `to_dict` to a file."""
        write_json(Path(path), self.to_dict())

    @classmethod
    def from_json_file(cls, path: str | Path) -> Self:
        """Read the file of `to_json_file`."""
        return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **changes: Any) -> Self:
        """Read a ``preprocessor_config.json``; other keys are ignored."""
        names = set(vars(cls())) - {"family"}
        known = {k: values[k] for k in names & values.keys()}
        # Without a value a step is left out, and a number is the usual one.
        known = {k: v for k, v in known.items() if v is not None or k[:3] == "do_"}
        if FAMILY_KEY in values:
            known["family"] = values[FAMILY_KEY]
        return cls(**{**known, **changes})

    @classmethod
    def for_model(cls, config: SamConfig, family: Family) -> Self:
        """Create the processor for the sizes of a model."""
        side = config.vision_config.image_size
        mask = 4 * config.prompt_encoder_config.image_embedding_size
        return cls(
            size=side, mask_size=mask, pad_size=side, mask_pad_size=mask, family=family
        )

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        family: Family | None = None,
        **options: Any,
    ) -> Self:
        """Create the image processor of a model; see `SamProcessor.from_pretrained`."""
        hub, changes = split_hub_options(options)
        spec = find_spec(pretrained_model_name_or_path)
        if family is None and spec is not None:
            family = spec.family
        if spec is not None and family == spec.family:
            # The registry precedes the files: conversions of MedSAM have those of SAM.
            side = spec.image_size
            known = {"size": side, "pad_size": side, "family": family}
            return cls(**{**known, **changes})
        files = find_model(pretrained_model_name_or_path, weights=False, **hub)
        settings = read_settings(files) if files.is_dir() else {}
        if settings and family in (None, settings.get(FAMILY_KEY, "sam")):
            return cls.from_dict(settings, **changes)
        if family is None or family not in get_args(Family):
            raise ValueError(
                f"{files} does not tell how images are preprocessed: give family= one "
                f"of {', '.join(get_args(Family))}."
            )
        if files.is_dir():
            config = read_folder_config(files)
        else:
            config = load_model_file(files).config
        return cls(**{**vars(cls.for_model(config, family)), **changes})

    def save_pretrained(self, save_directory: str | Path, **_: Any) -> list[str]:
        """Write ``preprocessor_config.json`` into a folder; return the file's name."""
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / PREPROCESSOR_FILE, self.to_dict())
        return [str(folder / PREPROCESSOR_FILE)]

    # -- images to model input -------------------------------------------------

    def __call__(self, images: Any, *args: Any, **kwargs: Any) -> SamInputs:
        """Call `preprocess`."""
        return self.preprocess(images, *args, **kwargs)

    def preprocess(
        self,
        images: Any,
        segmentation_maps: Any = None,
        *,
        return_tensors: str | None = None,
        data_format: Channels = "channels_first",
        input_data_format: Channels | None = None,
        device: Any = None,
        **changes: Any,
    ) -> SamInputs:
        """Resize, normalise and pad images.

        Parameters
        ----------
        images : array-like, Tensor, PIL.Image, path, address or sequence of these
            (H, W), (H, W, 3), (H, W, 4) or (3, H, W) each. Values of 0 to 255 are used
            as they are and floats in [0, 1] as fractions of white; all others are
            mapped by their 0.5 and 99.5 percentile (`napari_sam.images.uint8`).
        segmentation_maps : the same, optional
            (H, W) labels each; the palette numbers of Pillow's mode "P".
        return_tensors : {"pt", "np"}, optional
            Tensors, also when None, or numpy arrays.
        data_format : {"channels_first"}
            The only order that the model accepts.
        input_data_format : {"channels_first", "channels_last"}, optional
            Position of the channels; inferred from the shape when None, last if in
            doubt.
        device : str or torch.device, optional
            Where the tensors go.
        **changes
            Other values of the constructor's parameters.

        Returns
        -------
        SamInputs
            ``pixel_values`` (B, 3, S, S), ``original_sizes`` (B, 2) and
            ``reshaped_input_sizes`` (B, 2) as (height, width), and ``labels`` of the
            segmentation maps, (B, M, M).

        Raises
        ------
        ValueError
            When an image is invalid.
        """
        changes = {k: v for k, v in changes.items() if k not in _WITHOUT_EFFECT}
        if changes:
            return self._with_changes(changes).preprocess(
                images,
                segmentation_maps,
                return_tensors=return_tensors,
                data_format=data_format,
                input_data_format=input_data_format,
                device=device,
            )
        if data_format != "channels_first":
            raise ValueError("data_format must be 'channels_first', as SAM takes it.")
        planes = [
            to_plane(image, input_data_format, self.do_rescale, len(self.image_mean))
            for image in as_list(images)
        ]
        prepared = [self._prepare(plane) for plane in planes]
        inputs = SamInputs(
            pixel_values=stack([pixels for pixels, _ in prepared]),
            original_sizes=torch.tensor([plane.shape[:2] for plane in planes]),
            reshaped_input_sizes=torch.tensor([shape for _, shape in prepared]),
        )
        if segmentation_maps is not None:
            maps = [self._prepare_map(m) for m in as_list(segmentation_maps, ndim=2)]
            if len(maps) != len(planes):
                raise ValueError(
                    f"There are {len(maps)} segmentation maps for {len(planes)} images:"
                    " give (H, W) labels for each."
                )
            inputs["labels"] = stack(maps)
        if device is not None:
            inputs = inputs.to(device)
        return convert_tensors(inputs, return_tensors)

    def _with_changes(self, changes: Mapping[str, Any]) -> Self:
        """Copy the processor with other values of some parameters."""
        unknown = set(changes) - set(vars(self))
        if unknown:
            raise TypeError(
                f"SamImageProcessor has no parameter {', '.join(sorted(unknown))}: "
                f"choose from {', '.join(vars(self))}."
            )
        return self.from_dict({**self.to_dict(), **changes})

    def transform(
        self, original_size: Sequence[int], mask_size: int = _MASK_SIZE
    ) -> PlaneTransform:
        """Return the transform from an image of (height, width) to the model input."""
        height, width = (int(side) for side in original_size)
        if self._configurable and not self.do_resize:
            side = max(height, width)
        else:
            side = self.size["longest_edge"]
        return PlaneTransform.fit((height, width), side, mask_size, self.family)

    def _prepare(self, plane: NDArray[Any]) -> tuple[Tensor, tuple[int, int]]:
        """Turn a plane into (3, S, S) input, of which it covers (height, width)."""
        transform = self.transform(plane.shape[:2])
        if not self._configurable:
            return transform.pixel_values(plane)[0], transform.resized_shape
        # Read-only memory, as Pillow's, is copied.
        writable = np.require(np.atleast_3d(plane), requirements=["C", "W"])
        pixels = torch.from_numpy(writable).permute(2, 0, 1)
        if self.do_resize:
            pixels = resize(pixels, transform.resized_shape, self.resample)
        pixels = pixels.float().expand(len(self.image_mean), -1, -1)
        if self.do_rescale:
            pixels = pixels * self.rescale_factor
        if self.do_normalize:
            mean, std = torch.tensor(self.image_mean), torch.tensor(self.image_std)
            pixels = (pixels - mean[:, None, None]) / std[:, None, None]
        if self.do_pad:
            pixels = pad(pixels, self.pad_size)
        return pixels, transform.resized_shape

    def _prepare_map(self, labels: Any) -> Tensor:
        """Resize a segmentation map to (M, M) by its nearest pixels."""
        plane = torch.from_numpy(to_map(labels))
        height, width = plane.shape
        side = self.mask_size["longest_edge"]
        transform = PlaneTransform.fit((height, width), side, side, self.family)
        rows, cols = map(sample_centres, plane.shape, transform.resized_shape)
        resized = plane[rows][:, cols]
        return pad(resized, self.mask_pad_size) if self.do_pad else resized

    # -- model output to masks -------------------------------------------------

    def post_process_masks(
        self,
        masks: Any,
        original_sizes: Any,
        reshaped_input_sizes: Any,
        mask_threshold: float = 0.0,
        binarize: bool = True,
        pad_size: Size = None,
    ) -> list[Tensor]:
        """Resize low-resolution logits to the size of the images.

        Parameters
        ----------
        masks : Tensor or sequence of Tensor or ndarray
            (B, objects, masks, h, w), or one array for each image.
        original_sizes, reshaped_input_sizes : Tensor or sequence
            (B, 2) as from `preprocess`.
        mask_threshold : float
            Threshold of the values, 0 for logits. Weights of MedSAM interpolate
            probabilities: give ``pred_masks.sigmoid()`` and 0.5.
        binarize : bool
            Return masks instead of interpolated values.
        pad_size : dict, optional
            Size of the model's input; that of the processor when None.

        Returns
        -------
        list of Tensor
            (objects, masks, H, W) bool, or the resized values, one for each image.
            Gradients are computed.
        """
        padded = self.pad_size if pad_size is None else height_width(pad_size, 0)
        return post_process_masks(
            masks,
            original_sizes,
            reshaped_input_sizes,
            mask_threshold,
            binarize,
            padded,
        )
