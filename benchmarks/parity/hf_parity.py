"""Parity with transformers: masks, scores, folders and processors.

    python -m benchmarks.parity.hf_parity [--base] [--write tests/data/hf_parity.npz]

needs transformers (``pip install transformers``; torchvision is not needed). It
compares a small random model, with ``--base`` also one of ViT-B's size, and exits with
1 when a difference is above the limit. Both libraries also run in double precision,
which tells rounding from a real difference. ``--write`` makes the reference arrays of
``tests/huggingface/test_processor.py`` with the weights in ``tests/data/hf_sam_small``,
so that the tests need neither transformers nor a network.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

import napari_sam as ns

ALLOWED, EXACT = 1e-4, 1e-9
UNDECIDED = 1e-3
LOGITS = 20.0
SMALL = Path(__file__).parents[2] / "tests" / "data" / "hf_sam_small"


def images() -> list[np.ndarray]:
    """Return two RGB images of different shapes, (H, W, 3) uint8."""
    rng = np.random.default_rng(0)
    made = []
    for height, width in ((90, 150), (200, 130)):
        y, x = np.mgrid[:height, :width]
        waves = [
            np.sin(x * 0.07 * (c + 1)) + np.cos(y * 0.05 * (c + 2)) for c in range(3)
        ]
        noise = rng.normal(0, 0.2, (height, width, 3))
        picture = 127 + 55 * (np.stack(waves, -1) + noise)
        made.append(picture.clip(0, 255).astype(np.uint8))
    return made


def prompts() -> dict[str, dict[str, Any]]:
    """Return prompts in pixels of the two images, as both processors take them."""
    one = [[[40, 30]], [[60, 150]]]
    several = [
        [[[40, 30], [90, 60]]] * 3,
        [[[60, 150], [20, 20]], [[9, 8], [80, 99]], [[1, 2], [100, 190]]],
    ]
    boxes = [[[10, 20, 80, 70], [5, 5, 60, 40]], [[20, 30, 100, 150], [1, 1, 50, 180]]]
    return {
        "one point": {"input_points": one},
        "several points, several objects": {
            "input_points": several,
            "input_labels": [[[1, 0]] * 3, [[1, 1], [0, 1], [1, 0]]],
        },
        "boxes": {"input_boxes": boxes},
        "points and boxes": {
            "input_points": [image[:2] for image in several],
            "input_labels": [[[1, 0]] * 2] * 2,
            "input_boxes": boxes,
        },
    }


def more(inputs: dict[str, Any], model: Any) -> dict[str, dict[str, Any]]:
    """Return inputs that no processor makes: masks, padding, personalization."""
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    config = model.config
    grid = config.prompt_encoder_config.image_embedding_size
    width = config.mask_decoder_config.hidden_size
    points = {
        name: inputs["several points, several objects"][name]
        for name in ("pixel_values", "input_points", "input_labels")
    }
    padded = points["input_labels"].clone()
    padded[..., 1] = -10
    side = 4 * grid
    return {
        "masks": {**inputs["boxes"], "input_masks": 5 * random(2, 1, side, side)},
        "a mask alone": {
            "pixel_values": points["pixel_values"],
            "input_masks": 5 * random(2, 1, side, side),
        },
        "padded by the caller": {**points, "input_labels": padded},
        "personalized": {
            **points,
            "attention_similarity": random(1, 1, 1, grid * grid),
            "target_embedding": random(1, 1, width),
        },
    }


def run(model: Any, inputs: dict[str, Any], several: bool) -> tuple[Any, Any]:
    takes = ("pixel_values", "image_embeddings", "input_", "attention_", "target_")
    known = {k: v for k, v in inputs.items() if k.startswith(takes)}
    with torch.inference_mode():
        out = model(**known, multimask_output=several)
    return out.pred_masks, out.iou_scores


class Encoded:
    """Model that encodes the images of all cases, which are the same, once.

    The first case runs the complete model, unless that takes too long.
    """

    def __init__(self, model: Any, *, complete: bool = True) -> None:
        self._model, self._complete, self._known = model, complete, {}

    def run(self, inputs: dict[str, Any], several: bool) -> tuple[Any, Any]:
        inputs = {k: cast(v, self._model.dtype) for k, v in inputs.items()}
        if not self._known:
            pixels = inputs["pixel_values"]
            with torch.inference_mode():
                embeddings = self._model.get_image_embeddings(pixels)
            self._known = {"image_embeddings": embeddings}
            if self._complete:
                return run(self._model, inputs, several)
        rest = {k: v for k, v in inputs.items() if k != "pixel_values"}
        return run(self._model, rest | self._known, several)


def cast(value: Any, dtype: torch.dtype) -> Any:
    """Convert floating-point tensors to the precision of a model."""
    return value.to(dtype) if value.is_floating_point() else value


class Report:
    """Printed lines, and whether all limits are kept."""

    def __init__(self) -> None:
        self.good = True

    def line(self, name: str, found: Any, good: bool = True) -> None:
        self.good &= bool(good)
        print(f"{'' if good else 'BAD  '}{name}: {found}", flush=True)

    def difference(
        self, name: str, ours: Any, theirs: Any, allowed: float = ALLOWED
    ) -> None:
        if ours.shape != theirs.shape:
            self.line(name, f"{tuple(ours.shape)} and {tuple(theirs.shape)}", False)
            return
        largest = distance(ours, theirs)
        self.line(name, f"largest difference {largest:.2g}", largest <= allowed)


def distance(one: Any, other: Any) -> float:
    """Return the largest difference of two tensors."""
    return float((one.double() - other.double()).abs().max())


def random_model(config: Any) -> Any:
    """Make a transformers model with random parameters in the usual range.

    Weights keep the deviation of a fresh torch layer, and masks are scaled to logits
    of up to `LOGITS`, so that rounding is measured on realistic values.
    """
    torch.manual_seed(0)
    model = transformers.SamModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(random_values(name, parameter.shape))
        size = config.vision_config.image_size
        pixels = torch.randn(1, 3, size, size)
        box = torch.tensor([[[0.2, 0.2, 0.7, 0.6]]]) * size
        masks = model(pixel_values=pixels, input_boxes=box).pred_masks
        scale = LOGITS / float(masks.abs().max())
        for kernels in model.mask_decoder.output_hypernetworks_mlps:
            kernels.proj_out.weight.mul_(scale)
            kernels.proj_out.bias.mul_(scale)
    return model


def random_values(name: str, shape: torch.Size) -> torch.Tensor:
    values = torch.randn(shape)
    if "norm" in name:
        return 0.1 * values + (1.0 if name.endswith("weight") else 0.0)
    if name.endswith("bias") or any(k in name for k in ("embed", "token", "rel_pos")):
        return 0.1 * values
    # A transposed convolution, with kernel = stride, has its inputs first.
    inputs = shape[0] if "upscale" in name else shape[1:].numel()
    return values * inputs**-0.5


def small_config() -> Any:
    return transformers.SamConfig.from_pretrained(SMALL)


def same_bits(one: Path, other: Path) -> bool:
    first, second = (load_file(f / "model.safetensors") for f in (one, other))
    return first.keys() == second.keys() and all(
        first[k].dtype == second[k].dtype and torch.equal(first[k], second[k])
        for k in first
    )


def compare(theirs: Any, report: Report, folder: Path) -> None:
    """Compare a transformers model with what this package makes of its folder."""
    size = theirs.config.vision_config.image_size
    side = 4 * theirs.config.prompt_encoder_config.image_embedding_size
    settings = {
        "size": {"longest_edge": size},
        "pad_size": {"height": size, "width": size},
        "mask_size": {"longest_edge": side},
        "mask_pad_size": {"height": side, "width": side},
    }
    their_processor = transformers.SamProcessor(SamImageProcessorPil(**settings))
    theirs.save_pretrained(folder / "theirs")
    their_processor.save_pretrained(folder / "theirs")
    ours = ns.SamModel.from_pretrained(folder / "theirs")
    processor = ns.SamProcessor.from_pretrained(folder / "theirs")
    ours.save_pretrained(folder / "ours")
    processor.save_pretrained(folder / "ours")
    back = transformers.SamModel.from_pretrained(folder / "ours")
    back.save_pretrained(folder / "back")
    for name in ("ours", "back"):
        report.line(
            f"weights of theirs -> {name} bit-identical",
            same := same_bits(folder / "theirs", folder / name),
            same,
        )
    their_back = transformers.SamProcessor.from_pretrained(folder / "ours")
    kept = all(
        dict(getattr(their_back.image_processor, k)) == v for k, v in settings.items()
    )
    report.line("processor settings survive both ways", kept, kept)

    cases: dict[str, Any] = {}
    for name, given in prompts().items():
        expected = their_processor(images(), return_tensors="pt", **given)
        found = processor(images(), return_tensors="pt", **given)
        for key, value in expected.items():
            allowed = 1e-4 if key != "pixel_values" else 1e-5
            report.difference(f"{name}: {key}", found[key], value, allowed)
        cases[name] = dict(expected)
    cases |= more(cases, theirs)
    large = size >= 1024
    models = ours, theirs, deepcopy(ours).double(), deepcopy(theirs).double()
    encoded = [Encoded(model, complete=not large) for model in models]
    for name, inputs in cases.items():
        for several in (True, False):
            answers = [model.run(inputs, several) for model in encoded]
            compare_answers(f"{name}, {several}", answers, report)
        if "original_sizes" in inputs:
            found = [masks for masks, _ in answers[:2]]
            compare_masks(processor, their_processor, *found, inputs, report, name)
    if not large:  # half precision takes minutes on a CPU
        compare_masks_of_half(folder, cases, report)


def compare_answers(name: str, answers: list[Any], report: Report) -> None:
    """Compare both libraries in single precision, then in double."""
    for i, kind in enumerate(("pred_masks", "iou_scores")):
        ours, theirs, exact, their_exact = (answer[i] for answer in answers)
        report.difference(f"{name}: {kind}", ours, theirs)
        report.difference(f"{name}: {kind}, double", exact, their_exact, EXACT)
        report.line(
            f"{name}: {kind} up to {float(theirs.abs().max()):.3g}, from double",
            f"ours {distance(ours, exact):.2g}, theirs {distance(theirs, exact):.2g}",
        )


def compare_masks(
    processor: Any,
    their_processor: Any,
    masks: Any,
    expected: Any,
    inputs: Any,
    report: Report,
    name: str,
) -> None:
    sizes = inputs["original_sizes"], inputs["reshaped_input_sizes"]
    found = processor.post_process_masks(masks, *sizes)
    wanted = their_processor.post_process_masks(expected, *sizes)
    logits = their_processor.post_process_masks(expected, *sizes, binarize=False)
    wrong = sum(
        int(((f != w) & (v.abs() > UNDECIDED)).sum())
        for f, w, v in zip(found, wanted, logits, strict=True)
    )
    report.line(f"{name}: post_process_masks, pixels that differ", wrong, wrong == 0)


def compare_masks_of_half(folder: Path, cases: Any, report: Report) -> None:
    exact, _ = run(ns.SamModel.from_pretrained(folder / "theirs"), cases["boxes"], True)
    for kind in (torch.float16, torch.bfloat16):
        values = []
        for library in (ns, transformers):
            model = library.SamModel.from_pretrained(folder / "theirs", dtype=kind)
            inputs = dict(cases["boxes"])
            inputs["pixel_values"] = inputs["pixel_values"].to(kind)
            masks, _ = run(model, inputs, True)
            assert masks.dtype == kind
            values.append(float((masks.float() - exact).abs().mean()))
        report.line(
            f"{kind}: mean distance from float32, here and in transformers",
            [f"{value:.2g}" for value in values],
        )


def write_reference(path: Path) -> None:
    """Write arrays of transformers for the tests, thinned out to stay small."""
    model = transformers.SamModel.from_pretrained(SMALL)
    size = model.config.vision_config.image_size
    processor = transformers.SamProcessor(
        SamImageProcessorPil(
            size={"longest_edge": size}, pad_size={"height": size, "width": size}
        )
    )
    arrays: dict[str, Any] = {f"image {i}": a for i, a in enumerate(images())}
    cases: dict[str, Any] = {}
    for name, given in prompts().items():
        cases[name] = dict(processor(images(), return_tensors="pt", **given))
    pixels = cases["one point"]["pixel_values"]
    arrays["pixel_values, every 3rd"] = pixels[..., ::3, ::3]
    cases |= more(cases, model)
    for name, inputs in cases.items():
        masks, scores = run(model, inputs, True)
        arrays[f"{name}/pred_masks, every 2nd"] = masks[..., ::2, ::2]
        arrays[f"{name}/iou_scores"] = scores
        for key, value in inputs.items():
            if key not in ("pixel_values", "original_sizes", "reshaped_input_sizes"):
                arrays[f"{name}/{key}"] = value
        if "original_sizes" in inputs:
            sizes = inputs["original_sizes"], inputs["reshaped_input_sizes"]
            full = processor.post_process_masks(masks, *sizes)
            for i, mask in enumerate(full):
                arrays[f"{name}/masks {i}"] = np.packbits(mask.numpy(), axis=-1)
    np.savez_compressed(path, **{k: np.asarray(v) for k, v in arrays.items()})
    print(f"wrote {path}, {path.stat().st_size:,} bytes")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--base", action="store_true", help="also a model of ViT-B's size"
    )
    parser.add_argument("--write", type=Path, help="write the reference arrays")
    options = parser.parse_args()
    if options.write:
        write_reference(options.write)
        return 0
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    report = Report()
    configs = {"small": small_config()}
    if options.base:
        configs["ViT-B"] = transformers.SamConfig()
    for name, config in configs.items():
        print(f"-- {name}")
        with tempfile.TemporaryDirectory() as folder:
            compare(random_model(config), report, Path(folder))
    print(
        "all differences within the limits"
        if report.good
        else "SOME differences above the limits"
    )
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
