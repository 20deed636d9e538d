"""The same masks as SamAutomaticMaskGenerator, with less memory and fewer calls.

Run ``python benchmarks/reference_masks.py`` where ``segment-anything`` 1.0 (with
torchvision) is installed beside this package. Both sides get one random model with
SAM's layout, 256 px wide, the same image and thresholds. Masks are matched one to one
by an IoU of 0.99; peak memory is what a process takes beyond the loaded model. A
random model's scores mean nothing: biases are set so that a good number pass.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    Sam,
    TwoWayTransformer,
)

SEED, SIDE, PATCH, WIDTH = 5, 256, 16, 32
SHAPE = (192, 256)
POINTS, SCORE, STABILITY, OVERLAP = 32, 0.4, 0.4, 0.8
SAME = 0.99


def image() -> np.ndarray:
    noise = np.random.default_rng(SEED).normal(size=(*SHAPE, 3))
    smooth = gaussian_filter(noise, (5, 5, 0))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return (smooth * 255).astype(np.uint8)


def reference_model() -> Sam:
    torch.manual_seed(SEED)
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
        # Smooth over the plane: masks are blobs and not noise.
        coarse = torch.randn(1, WIDTH, 5, 5)
        smooth = F.interpolate(coarse, grid, mode="bicubic", align_corners=True)
        model.image_encoder.pos_embed.copy_(5 * smooth.permute(0, 2, 3, 1))
        decoder = model.mask_decoder
        for layer in decoder.transformer.layers:
            # The point decides: every token listens to it.
            layer.self_attn.out_proj.weight.mul_(8.0)
            layer.self_attn.q_proj.weight.mul_(4.0)
            layer.self_attn.k_proj.weight.mul_(4.0)
        head = decoder.iou_prediction_head.layers[-1]
        head.weight.mul_(0.2)
        head.bias.fill_(0.55)
        for kernels in decoder.output_hypernetworks_mlps:
            kernels.layers[-1].weight.mul_(GAIN)
            kernels.layers[-1].bias.mul_(GAIN)
            # One channel is the same everywhere and lowers all logits.
            kernels.layers[-1].weight[0] = 0
            kernels.layers[-1].bias[0] = -LOWERED
        constant = decoder.output_upscaling[3]
        constant.weight[:, 0] = 0
        constant.bias[0] = 1
    return model.eval()


GAIN, LOWERED = 80.0, 44.0


def peak() -> float:
    """Most memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_reference(_: Path) -> tuple[np.ndarray, int, float]:
    model = reference_model()
    calls = [0]

    def count(*_: Any) -> None:
        calls[0] += 1

    model.mask_decoder.register_forward_hook(count)
    generator = SamAutomaticMaskGenerator(
        model,
        points_per_side=POINTS,
        pred_iou_thresh=SCORE,
        stability_score_thresh=STABILITY,
        box_nms_thresh=OVERLAP,
    )
    before = peak()
    found = generator.generate(image())
    used = peak() - before
    return np.array([f["segmentation"] for f in found]), calls[0], used


def run_ours(folder: Path) -> tuple[np.ndarray, int, float]:
    from napari_sam.api import everything
    from napari_sam.automatic import SearchOptions
    from napari_sam.candidates import Thresholds
    from napari_sam.loading import load_model
    from napari_sam.nets.config import (
        SamConfig,
        SamMaskDecoderConfig,
        SamPromptEncoderConfig,
        SamVisionConfig,
    )

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
    options = SearchOptions(POINTS, 0, SCORE, STABILITY)
    steps = everything(image(), predictor, options=options, contrast_limits=(0, 255))
    *_, last = steps
    chosen = last.candidates.masks(Thresholds(SCORE, STABILITY, 0.0, OVERLAP))
    used = peak() - before
    masks = np.zeros((len(chosen), *SHAPE), bool)
    for mask, candidate in zip(masks, chosen, strict=True):
        patch = candidate.patch()
        mask[patch.region] = patch.mask
    return masks, calls[0], used


def matched(first: np.ndarray, second: np.ndarray) -> int:
    """Pairs of masks that are the same, each used once."""
    one = first.reshape(len(first), -1).astype(np.float32)
    two = second.reshape(len(second), -1).astype(np.float32)
    shared = one @ two.T
    union = one.sum(1)[:, None] + two.sum(1)[None] - shared
    same = shared / np.maximum(union, 1) >= SAME
    rows, cols = linear_sum_assignment(~same)
    return int(same[rows, cols].sum())


SIDES = {"segment-anything": run_reference, "napari-sam": run_ours}


def main() -> None:
    if len(sys.argv) > 1:
        name, folder = sys.argv[1], Path(sys.argv[2])
        masks, calls, used = SIDES[name](folder)
        np.save(folder / f"{name}.npy", masks)
        print(json.dumps({"masks": len(masks), "calls": calls, "MB": round(used)}))
        return
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        torch.save(reference_model().state_dict(), folder / "model.pth")
        for name in SIDES:
            # Each in a process of its own: peaks would mix otherwise.
            done = subprocess.run(
                [sys.executable, __file__, name, given],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            print(f"{name:<18} {done.stdout.strip()}")
        first, second = (np.load(folder / f"{name}.npy") for name in SIDES)
        print(f"the same by IoU {SAME}: {matched(first, second)}")


if __name__ == "__main__":
    main()
