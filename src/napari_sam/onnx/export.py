"""Export of a model to two ONNX files: the image encoder, and the decoder of prompts.

The decoder has the inputs of SAM's official export: points with labels, box corners as
points with labels 2 and 3, and a mask prompt that can be switched off.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from napari_sam.files import atomic_write, write_json
from napari_sam.onnx.decoder import (
    DECODER_FILE,
    ENCODER_FILE,
    SETTINGS_FILE,
)
from napari_sam.optional import import_optional

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from napari_sam.nets.sam import SamNetwork
    from napari_sam.prediction.predictor import Predictor

# The newest that onnxruntime 1.18 and the exporter of torch 2.5 both support.
_OPSET = 17
_TOLERANCE = 1e-3
_MASKS = ["low_res_masks", "iou_predictions"]
_AXES = {
    "point_coords": {0: "objects", 1: "points"},
    "point_labels": {0: "objects", 1: "points"},
    "mask_input": {0: "objects"},
    **{name: {0: "objects"} for name in _MASKS},
}


def export_onnx(predictor: Predictor, folder: Path) -> list[Path]:
    """Write the encoder, the decoder and the settings for `OnnxDecoder`.

    Parameters
    ----------
    predictor : Predictor
        The model, on the CPU.
    folder : Path
        Created if needed; files of the same names are replaced.

    Returns
    -------
    list of Path
        The written files.

    Raises
    ------
    ModuleNotFoundError
        When the extra ``napari-sam[onnx]`` is not installed.
    ValueError
        When the output of a written network differs from that of the model.
    OSError
        When the folder cannot be written to.
    """
    import_optional("onnx", "onnx")
    model, size = predictor.model, predictor.input_size
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(1, 3, size, size, generator=generator)
    embeddings = model.get_image_embeddings(pixels).clone()
    encoder, decoder = folder / ENCODER_FILE, folder / DECODER_FILE
    inputs = {"pixel_values": pixels}
    with written_network(
        model.image_encoder, inputs, ["image_embeddings"], encoder, {}
    ) as part:
        check_network(part, inputs, [embeddings])
    graph = DecoderGraph(model)
    prompts = example_prompts(model, embeddings, points=3, objects=2)
    with written_network(graph, prompts, _MASKS, decoder, _AXES) as part:
        # Other numbers of points and objects than in the trace.
        prompts = example_prompts(model, embeddings, points=2, objects=3)
        with torch.inference_mode():
            check_network(part, prompts, list(graph(*prompts.values())))
    settings = folder / SETTINGS_FILE
    values = {
        "name": predictor.name,
        "key": predictor.key,
        "family": predictor.family,
        "prompts": sorted(predictor.prompts),
        "multimask_output": predictor.preprocessing.multimask_output,
        "input_size": size,
        "mask_size": model.prompt_encoder.mask_size,
    }
    write_json(settings, values)
    return [encoder, decoder, settings]


class DecoderGraph(nn.Module):
    """Network of the prompt encoder and mask decoder, with tensors as input.

    Parameters
    ----------
    model : SamNetwork
        Its prompt encoder and mask decoder are used.
    """

    def __init__(self, model: SamNetwork) -> None:
        super().__init__()
        self.prompt_encoder, self.mask_decoder = (
            model.prompt_encoder,
            model.mask_decoder,
        )

    def forward(
        self,
        image_embeddings: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Decode K prompts with N points each.

        Parameters
        ----------
        image_embeddings : Tensor
            (1, C, s, s).
        point_coords, point_labels : Tensor
            (K, N, 2) as (x, y) pixels of the model input and (K, N) float: 1 positive,
            0 negative, 2 and 3 corners of a box, -1 not a point.
        mask_input : Tensor
            (K, 1, m, m) logits.
        has_mask_input : Tensor
            (1,) 1 to use `mask_input`, 0 to ignore it.

        Returns
        -------
        masks, scores : Tensor
            (K, 4, m, m) logits and (K, 4) predicted IoU: the single mask, then the
            three alternatives.
        """
        encoder = self.prompt_encoder
        dense = encoder.dense(mask_input) * has_mask_input
        dense = dense + encoder.dense(None) * (1 - has_mask_input)
        masks, scores = self.mask_decoder(
            image_embeddings,
            encoder.image_positions(),
            encoder.embed_points(point_coords, point_labels),
            dense,
            None,
        )
        return masks, scores


def example_prompts(
    model: SamNetwork, embeddings: Tensor, *, points: int, objects: int
) -> dict[str, Tensor]:
    """Make prompts of several objects, with all kinds of points."""
    generator = torch.Generator().manual_seed(points)
    encoder = model.prompt_encoder
    size, mask = encoder.image_size, encoder.mask_size
    return {
        "image_embeddings": embeddings,
        "point_coords": torch.rand(objects, points, 2, generator=generator) * size,
        "point_labels": torch.arange(points).expand(objects, -1).float() - 1,
        "mask_input": torch.randn(objects, 1, mask, mask, generator=generator),
        "has_mask_input": torch.ones(1),
    }


@contextmanager
def written_network(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    path: Path,
    axes: Mapping[str, Mapping[int, str]],
) -> Iterator[Path]:
    """Trace a network and write it; it takes its place when the block ends.

    A network that the block refuses, or that is not complete, never stands at `path`.

    Parameters
    ----------
    module : nn.Module
        The network.
    inputs : mapping
        {name: example}, in the order of its arguments.
    outputs : sequence of str
        Names of the outputs.
    path : Path
        The file; an existing one is replaced.
    axes : mapping
        {name: {axis: name of an axis of any size}}.

    Yields
    ------
    Path
        The file to check, beside its place.
    """
    with atomic_write(path, ".onnx") as part:
        with (
            warnings.catch_warnings(),
            # With gradients the encoder does not write into shared buffers, which the
            # trace would lose.
            torch.enable_grad(),
        ):
            # The newer exporter needs another package, onnxscript; `check_network`
            # verifies the trace of this one.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module,
                tuple(inputs.values()),
                str(part),
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes=dict(axes),
                opset_version=_OPSET,
                dynamo=False,
            )
        yield part


def check_network(
    path: Path, inputs: Mapping[str, Tensor], expected: Sequence[Tensor]
) -> None:
    """Refuse a network whose output differs from that of the model."""
    runtime: Any = import_optional("onnxruntime", "onnx")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    arrays = {name: value.numpy() for name, value in inputs.items()}
    for output, reference in zip(session.run(None, arrays), expected, strict=True):
        error = float(np.abs(output - reference.numpy()).max())
        if not error <= _TOLERANCE * max(1.0, float(reference.abs().max())):
            raise ValueError(
                f"A network written to {path.parent} differs from the model by "
                f"{error:.2g} and was removed; please report the model and the version "
                "of torch."
            )
