"""Pipeline, predictor, generator and configurations beside the published ones.

    python -m benchmarks.parity.interfaces [--configs 300]

needs ``pip install transformers segment-anything opencv-python-headless pycocotools``,
not torchvision. Small random models get images that are made here. The exit status is 1
when something differs. The published notebooks and the documentation page are run by
`benchmarks.parity.notebooks`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import transformers
from PIL import Image
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

import napari_sam as ns
from benchmarks.parity import stand_ins
from benchmarks.parity.hf_parity import Report, images, random_model, small_config
from benchmarks.parity.random_sam import random_sam
from napari_sam.nets import common

stand_ins.install()

ACTIVATIONS = sorted(common.ACTIVATIONS)
SIZES = {"size": {"longest_edge": 256}, "pad_size": {"height": 256, "width": 256}}


def models(folder: Path) -> tuple[Any, Any]:
    """Return a model of transformers, and ours from its folder."""
    theirs = random_model(small_config())
    theirs.save_pretrained(folder)
    transformers.SamProcessor(SamImageProcessorPil(**SIZES)).save_pretrained(folder)
    return theirs, ns.SamModel.from_pretrained(folder)


def compare_pipelines(report: Report, folder: Path, theirs: Any) -> None:
    """Compare the masks of the pipeline, with and without suppression and crops."""
    kind = SamImageProcessorPil
    method = kind.post_process_for_mask_generation
    # Without the check for torchvision.
    kind.post_process_for_mask_generation = getattr(method, "__wrapped__", method)
    with patch("transformers.pipelines.mask_generation.requires_backends"):
        reference = transformers.MaskGenerationPipeline(
            model=theirs, image_processor=kind(**SIZES), task="mask-generation"
        )
    ours = ns.pipeline("mask-generation", model=str(folder))
    usual = {
        "pred_iou_thresh": 0.2,
        "stability_score_thresh": 0.5,
        "points_per_crop": 8,
        "crops_nms_thresh": 1.0,
    }
    for number, image in enumerate(images()):
        for options in (
            {},
            {"crops_nms_thresh": 0.7},
            {"crops_n_layers": 1, "crop_overlap_ratio": 0.5, "points_per_batch": 7},
            {"mask_threshold": 0.5, "points_per_crop": 5, "output_bboxes_mask": True},
        ):
            given = {**usual, **options}
            wanted = reference(Image.fromarray(image), **given)
            found = ours(image, **given)
            name = f"pipeline, image {number}, {options}"
            count = len(wanted["masks"]), len(found["masks"])
            report.line(f"{name}: masks", count, count[0] == count[1])
            if count[0] == count[1] > 0:
                report.difference(f"{name}: scores", found["scores"], wanted["scores"])
                pairs = zip(found["masks"], wanted["masks"], strict=True)
                pixels = max(int((np.asarray(a) != b).sum()) for a, b in pairs)
                # Rounding decides a pixel with a logit of nearly 0.
                report.line(f"{name}: most pixels that differ", pixels, pixels <= 2)


def compare_state_dicts(report: Report, theirs: Any, ours: Any) -> None:
    """Load the state dict of each library with the other."""
    first, second = theirs.state_dict(), ours.state_dict()
    names = first.keys() ^ second.keys()
    report.line("names in only one state dict", sorted(names), not names)
    theirs.load_state_dict(second)
    ours.load_state_dict(first)
    parameters = [{n for n, _ in model.named_parameters()} for model in (theirs, ours)]
    only = parameters[0] ^ parameters[1]
    report.line("parameters of only one", sorted(only), not only)


def compare_segment_anything(report: Report) -> None:
    """Compare the predictor and the generator of segment-anything with ours."""
    import segment_anything
    from napari_sam import segment_anything as ours
    from napari_sam.checkpoints.infer_config import infer_config
    from napari_sam.nets.config import SamMaskDecoderConfig

    published = random_sam(0, side=128, patch_size=8, window_size=6)
    state = published.state_dict()
    heads = SamMaskDecoderConfig(num_attention_heads=8, layer_norm_eps=1e-5)
    config = infer_config(state, heads, source="the published model")
    config.vision_config.num_attention_heads = 2
    sam = ours.Sam(config).eval()
    sam.load_state_dict(state)
    point = {"point_coords": np.array([[40, 30]]), "point_labels": np.array([1])}
    box = {"box": np.array([10, 20, 80, 70])}
    everything = {
        "points_per_side": 8,
        "pred_iou_thresh": -5.0,
        "stability_score_thresh": 0.85,
        "stability_score_offset": 0.2,
        "box_nms_thresh": 1.0,
        "crop_nms_thresh": 1.0,
    }
    grids = {"point_grids": [np.array([[0.5, 0.5], [0.2, 0.7]])]}
    for number, image in enumerate(images()):
        pair = segment_anything.SamPredictor(published), ours.SamPredictor(sam)
        for predictor in pair:
            predictor.set_image(image)
        for name, given in {"point": point, "box": box, "both": point | box}.items():
            answers = [p.predict(**given, return_logits=True) for p in pair]
            for kind, (wanted, found) in zip(
                ("masks", "scores", "logits"), zip(*answers, strict=True), strict=True
            ):
                report.difference(
                    f"predictor, image {number}, {name}: {kind}",
                    torch.from_numpy(found),
                    torch.from_numpy(wanted),
                )
        for options in (
            {},
            {"box_nms_thresh": 0.7},
            {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2},
            {"min_mask_region_area": 30},
            {"output_mode": "coco_rle"},
            {"output_mode": "uncompressed_rle", "points_per_side": None, **grids},
        ):
            given = {**everything, **options}
            wanted = segment_anything.SamAutomaticMaskGenerator(published, **given)
            generator = ours.SamAutomaticMaskGenerator(sam, **given)
            records = wanted.generate(image), generator.generate(image)
            count = tuple(map(len, records))
            good = count[0] == count[1] and all(
                map(same_record, *records)  # in the same order
            )
            report.line(f"generator, image {number}, {[*options]}: masks", count, good)


def same_record(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two annotations agree."""
    if one.keys() != other.keys():
        return False
    for key, value in one.items():
        if key in ("predicted_iou", "stability_score", "point_coords"):
            if not np.allclose(value, other[key], atol=1e-4):
                return False
        elif not np.array_equal(value, other[key]):
            return False
    return True


def compare_configs(report: Report, count: int) -> None:
    """Compare random configurations and prompts; report the largest differences."""
    rng, largest, failures = np.random.default_rng(1), [0.0, 0.0], []
    for number in range(count):
        values, prompts, pixels = random_case(rng)
        torch.manual_seed(number)
        theirs = transformers.SamModel(transformers.SamConfig(**values)).eval()
        with torch.no_grad():
            for parameter in theirs.parameters():
                parameter.add_(0.3 * torch.randn(parameter.shape))
        try:
            ours = ns.SamModel(ns.SamConfig(**values)).eval()
            ours.load_state_dict(theirs.state_dict())
            with torch.no_grad():
                wanted, found = (m(pixels, **prompts) for m in (theirs, ours))
        except Exception as error:  # noqa: BLE001
            failures.append(f"{number}: {str(error)[:200]}")
            continue
        for i in range(2):
            difference = float((wanted[i] - found[i]).abs().max())
            largest[i] = max(largest[i], difference)
    report.line(f"{count} random configurations: exceptions", failures, not failures)
    report.line(
        "largest differences of scores and masks", largest, max(largest) <= 1e-4
    )


def random_case(rng: np.random.Generator) -> tuple[dict[str, Any], Any, torch.Tensor]:
    """Return the values of a configuration, prompts and images."""
    grid, patch_size = int(rng.choice([4, 6, 8])), int(rng.choice([4, 8]))
    side, width = grid * patch_size, int(rng.choice([16, 32]))
    heads, depth = int(rng.choice([1, 2, 4])), int(rng.integers(1, 4))
    values = {
        "vision_config": {
            "hidden_size": 8 * heads,
            "num_attention_heads": heads,
            "num_hidden_layers": depth,
            "output_channels": width,
            "image_size": side,
            "patch_size": patch_size,
            "window_size": int(rng.integers(2, 6)),
            "global_attn_indexes": [int(rng.integers(depth))],
            "qkv_bias": bool(rng.integers(2)),
            "use_abs_pos": bool(rng.integers(4)),
            "use_rel_pos": bool(rng.integers(4)),
            "hidden_act": str(rng.choice(ACTIVATIONS)),
            "num_pos_feats": width // 2,
            "mlp_ratio": 2.0,
        },
        "prompt_encoder_config": {
            "hidden_size": width,
            "image_size": side,
            "patch_size": patch_size,
            "mask_input_channels": int(rng.choice([4, 8])),
            "hidden_act": str(rng.choice(ACTIVATIONS)),
        },
        "mask_decoder_config": {
            "hidden_size": width,
            "num_attention_heads": int(rng.choice([1, 2])),
            "mlp_dim": 24,
            "hidden_act": str(rng.choice(ACTIVATIONS)),
            "num_hidden_layers": int(rng.integers(1, 4)),
            "iou_head_depth": int(rng.integers(2, 5)),
            "iou_head_hidden_dim": 12,
            "num_multimask_outputs": int(rng.integers(1, 5)),
            "attention_downsample_rate": int(rng.choice([1, 2, 4])),
        },
    }
    batch, objects, points = (int(n) for n in rng.integers(1, 4, 3))
    prompts: dict[str, Any] = {"multimask_output": bool(rng.integers(2))}
    kind = int(rng.integers(4))

    def random(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.random(shape, np.float32))

    if kind in (0, 2):
        prompts["input_points"] = random(batch, objects, points, 2) * side
        labels = rng.choice([-10, -1, 0, 1], (batch, objects, points))
        prompts["input_labels"] = torch.from_numpy(labels)
    if kind in (1, 2):
        prompts["input_boxes"] = random(batch, objects, 4) * side
    if kind == 3 or rng.integers(2):
        prompts["input_masks"] = 5 * random(batch, 1, 4 * grid, 4 * grid)
    return values, prompts, random(batch, 3, side, side)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configs", type=int, default=300)
    options = parser.parse_args()
    print(f"transformers {transformers.__version__}, torch {torch.__version__}")
    report = Report()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        theirs, ours = models(folder)
        compare_pipelines(report, folder, theirs)
        compare_state_dicts(report, theirs, ours)
    compare_segment_anything(report)
    compare_configs(report, options.configs)
    print("all the same" if report.good else "SOME results differ")
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
