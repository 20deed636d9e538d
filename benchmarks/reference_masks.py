"""The same masks as SamAutomaticMaskGenerator, with less memory and fewer calls.

Run ``python benchmarks/reference_masks.py`` where ``segment-anything`` 1.0 (with
torchvision) is installed beside this package. Both sides get the coins, the encoder
of the default weights, their decoder in SAM's layout, and the same thresholds. (A
random decoder answers every point with the same scattered mask, so nothing is left to
compare.) Masks are matched one to one by an IoU of 0.99; memory is the peak of a
process beyond the loaded model. The decoder was not taught points: the masks are
real, their quality is of no concern here.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from napari_sam import samples
from napari_sam.loading import load_model
from napari_sam.models import get_model_spec
from napari_sam.weights import fetch

# As low as the scores of an untaught decoder are.
POINTS, SCORE, STABILITY, OVERLAP = 12, 0.2, 0.4, 0.7
SAME = 0.99


def image() -> np.ndarray:
    return np.stack([samples.coins()] * 3, axis=-1)


def our_model() -> Any:
    return load_model(fetch(get_model_spec("lite_medsam")), family="sam")


class Encoder(torch.nn.Module):
    """The encoder as `Sam` expects it."""

    img_size = 256

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.inner(pixels)


def reference_model() -> Sam:
    ours = our_model().model
    decoder = MaskDecoder(
        transformer_dim=256, transformer=TwoWayTransformer(2, 256, 8, 2048)
    )
    prompts = PromptEncoder(256, (64, 64), (256, 256), 16)
    path = fetch(get_model_spec("lite_medsam"))
    state = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in (("mask_decoder.", decoder), ("prompt_encoder.", prompts)):
        known = {k[len(name) :]: v for k, v in state.items() if k.startswith(name)}
        part.load_state_dict(known)
    return Sam(Encoder(ours.image_encoder), prompts, decoder).eval()


def peak() -> float:
    """Most memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_reference() -> tuple[np.ndarray, int, float]:
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


def run_ours() -> tuple[np.ndarray, int, float]:
    from napari_sam.api import everything
    from napari_sam.automatic import SearchOptions
    from napari_sam.candidates import Thresholds

    predictor = our_model()
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
    masks = np.zeros((len(chosen), *image().shape[:2]), bool)
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
        masks, calls, used = SIDES[name]()
        np.save(folder / f"{name}.npy", masks)
        print(json.dumps({"masks": len(masks), "calls": calls, "MB": round(used)}))
        return
    with tempfile.TemporaryDirectory() as given:
        folder = Path(given)
        for name in SIDES:
            # Each in a process of its own: peaks would mix otherwise.
            done = subprocess.run(
                [sys.executable, __file__, name, given],
                check=True,
                capture_output=True,
                text=True,
            )
            print(f"{name:<18} {done.stdout.strip()}")
        first, second = (np.load(folder / f"{name}.npy") for name in SIDES)
        print(f"the same by IoU {SAME}: {matched(first, second)}")


if __name__ == "__main__":
    main()
