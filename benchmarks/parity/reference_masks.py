"""Parity with SamAutomaticMaskGenerator: same masks, memory, number of calls.

Run ``python -m benchmarks.parity.reference_masks [--seed N] [--crops]`` where
``segment-anything`` 1.0 (with torchvision) is installed beside this package. Both sides
get one random model with SAM's layout, 256 px wide, the same image and thresholds, and
with ``--crops`` a larger image in one level of crops with fewer points each. Masks are
matched one to one by an IoU of 0.99; peak memory is what a process takes beyond the
loaded model. The scores of a random model mean nothing: biases are set so that enough
masks pass.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

from segment_anything import SamAutomaticMaskGenerator

SIDE, PATCH, WIDTH = 256, 16, 32
SCORE, STABILITY, OVERLAP = 0.4, 0.4, 0.8
SAME = 0.99


@dataclass(frozen=True, slots=True)
class Setting:
    """Image, thresholds and grid for both sides."""

    seed: int
    shape: tuple[int, int]
    points: int
    crops: int


def image(setting: Setting) -> np.ndarray:
    noise = np.random.default_rng(setting.seed).normal(size=(*setting.shape, 3))
    spread = 5 * setting.shape[1] / SIDE
    smooth = gaussian_filter(noise, (spread, spread, 0))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return (smooth * 255).astype(np.uint8)


def reference_model(setting: Setting) -> Sam:
    torch.manual_seed(setting.seed)
    grid = (SIDE // PATCH, SIDE // PATCH)
    model = Sam(
        ImageEncoderViT(
            img_size=SIDE,
            embed_dim=WIDTH,
            depth=2,
            num_heads=2,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            qkv_bias=True,
            use_rel_pos=True,
            global_attn_indexes=(1,),
            window_size=7,
            out_chans=WIDTH,
        ),
        PromptEncoder(WIDTH, grid, (SIDE, SIDE), 16),
        MaskDecoder(
            transformer_dim=WIDTH,
            transformer=TwoWayTransformer(2, WIDTH, 8, 64),
            num_multimask_outputs=3,
        ),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
        # Smooth over the plane, so that masks are blobs instead of noise.
        coarse = torch.randn(1, WIDTH, 5, 5)
        smooth = F.interpolate(coarse, grid, mode="bicubic", align_corners=True)
        model.image_encoder.pos_embed.copy_(5 * smooth.permute(0, 2, 3, 1))
        decoder = model.mask_decoder
        for layer in decoder.transformer.layers:
            # Make every token depend on the point.
            layer.self_attn.out_proj.weight.mul_(8.0)
            layer.self_attn.q_proj.weight.mul_(4.0)
            layer.self_attn.k_proj.weight.mul_(4.0)
        head = decoder.iou_prediction_head.layers[-1]
        head.weight.mul_(0.2)
        head.bias.fill_(0.55)
        for kernels in decoder.output_hypernetworks_mlps:
            kernels.layers[-1].weight.mul_(GAIN)
            kernels.layers[-1].bias.mul_(GAIN)
            # One channel is constant and lowers all logits.
            kernels.layers[-1].weight[0] = 0
            kernels.layers[-1].bias[0] = -LOWERED
        constant = decoder.output_upscaling[3]
        constant.weight[:, 0] = 0
        constant.bias[0] = 1
    return model.eval()


GAIN, LOWERED = 80.0, 44.0


def peak() -> float:
    """Return the peak memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_reference(_: Path, setting: Setting) -> tuple[np.ndarray, int, float]:
    model = reference_model(setting)
    calls = [0]

    def count(*_: Any) -> None:
        calls[0] += 1

    model.mask_decoder.register_forward_hook(count)
    generator = SamAutomaticMaskGenerator(
        model,
        points_per_side=setting.points,
        crop_n_layers=setting.crops,
        crop_nms_thresh=OVERLAP,
        pred_iou_thresh=SCORE,
        stability_score_thresh=STABILITY,
        box_nms_thresh=OVERLAP,
    )
    before = peak()
    found = generator.generate(image(setting))
    used = peak() - before
    return np.array([f["segmentation"] for f in found]), calls[0], used


def run_ours(folder: Path, setting: Setting) -> tuple[np.ndarray, int, float]:
    from napari_sam.api.planes import everything
    from napari_sam.automatic.candidates import Thresholds
    from napari_sam.automatic.search import SearchOptions
    from napari_sam.nets.config import (
        SamConfig,
        SamMaskDecoderConfig,
        SamPromptEncoderConfig,
        SamVisionConfig,
    )
    from napari_sam.prediction.loading import load_model

    config = SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=WIDTH,
            output_channels=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIDE,
            patch_size=PATCH,
            window_size=7,
            global_attn_indexes=(1,),
            mlp_dim=4 * WIDTH,
        ),
        prompt_encoder_config=SamPromptEncoderConfig(
            hidden_size=WIDTH,
            image_size=SIDE,
            patch_size=PATCH,
            mask_input_channels=16,
        ),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=WIDTH, mlp_dim=64, num_attention_heads=8
        ),
    )
    predictor = load_model(folder / "model.pth", config=config, family="sam")
    calls = [0]
    inner = predictor.predict_batch

    def counted(*given: Any, **named: Any) -> Any:
        calls[0] += 1
        return inner(*given, **named)

    predictor.predict_batch = counted  # type: ignore[method-assign]
    before = peak()
    options = SearchOptions(setting.points, setting.crops, SCORE, STABILITY)
    seen = image(setting)
    steps = everything(seen, predictor, options=options, contrast_limits=(0, 255))
    *_, last = steps
    chosen = last.candidates.masks(Thresholds(SCORE, STABILITY, 0.0, OVERLAP))
    used = peak() - before
    masks = np.zeros((len(chosen), *setting.shape), bool)
    for mask, candidate in zip(masks, chosen, strict=True):
        patch = candidate.patch()
        mask[patch.region] = patch.mask
    return masks, calls[0], used


def matched(first: np.ndarray, second: np.ndarray) -> int:
    """Count pairs of equal masks, each mask used once."""
    one = first.reshape(len(first), -1).astype(np.float32)
    two = second.reshape(len(second), -1).astype(np.float32)
    shared = one @ two.T
    union = one.sum(1)[:, None] + two.sum(1)[None] - shared
    same = shared / np.maximum(union, 1) >= SAME
    rows, cols = linear_sum_assignment(~same)
    return int(same[rows, cols].sum())


SIDES = {"segment-anything": run_reference, "napari-sam": run_ours}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument(
        "--crops", action="store_true", help="one level of crops on both sides"
    )
    parser.add_argument("--run", nargs=2, metavar=("SIDE", "FOLDER"))
    given = parser.parse_args()
    setting = Setting(given.seed, (192, 256), 32, 0)
    if given.crops:
        # Crops large enough that 20 px count as near their edge, as published.
        setting = Setting(given.seed, (720, 960), 12, 1)
    if given.run:
        name, folder = given.run[0], Path(given.run[1])
        masks, calls, used = SIDES[name](folder, setting)
        np.save(folder / f"{name}.npy", masks)
        print(json.dumps({"masks": len(masks), "calls": calls, "MB": round(used)}))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        torch.save(reference_model(setting).state_dict(), folder / "model.pth")
        for name in SIDES:
            # Each in a separate process, to measure its own peak.
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--run", name, made],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            print(f"{name:<18} {done.stdout.strip()}")
        first, second = (np.load(folder / f"{name}.npy") for name in SIDES)
        print(f"the same by IoU {SAME}: {matched(first, second)}")


if __name__ == "__main__":
    main()
