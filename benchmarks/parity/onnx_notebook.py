"""The ONNX notebook of segment-anything, with a decoder that this package exported.

    python -m benchmarks.parity.onnx_notebook onnx_model_example.ipynb

runs the notebook's own code on the file of ``napari-sam export --layout official
--return-single-mask``, as its comment "to use an already exported model" says. Masks
and logits of each of its prompts are compared with those of segment-anything's own
predictor.

Needs what `benchmarks.parity.notebooks` needs. The exit status is 1 when something
differs.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.parity.hf_parity import ALLOWED, Report
from benchmarks.parity.notebooks import (
    Run,
    add_modules,
    code_cells,
    difference,
    our_sam,
    picture,
    published_sam,
    replaced_downloads,
)
from napari_sam.onnx.official import export_official
from napari_sam.prediction.loading import load_model

# Cells that choose or write the file of the network.
WRITES = re.compile(r"^onnx_model_\w*path =", re.MULTILINE)


def export(folder: Path) -> Path:
    """Write the decoder of the random model in the official layout."""
    torch.save(published_sam().state_dict(), folder / "sam.pth")
    predictor = load_model(
        folder / "sam.pth", config=our_sam().config, family="sam", device="cpu"
    )
    _, decoder = export_official(predictor, folder / "exported", single_mask=True)
    return decoder


def expected(names: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Predict the mask and the logits of a cell's prompt with the published code."""
    from segment_anything import SamPredictor

    predictor = SamPredictor(published_sam())
    predictor.set_image(names["image"])
    box = names.get("input_box")
    earlier = names["onnx_mask_input"][0] if names["onnx_has_mask_input"][0] else None
    # The network gives the best of three masks for one point, and else the single one.
    several = len(names["input_point"]) == 1 and box is None
    masks, scores, logits = predictor.predict(
        point_coords=names["input_point"],
        point_labels=names["input_label"],
        box=box,
        mask_input=earlier,
        multimask_output=several,
    )
    best = int(np.argmax(scores))
    return masks[best], logits[best]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=Path)
    options = parser.parse_args()
    add_modules()
    report = Report()
    cells = [code for code in code_cells(options.notebook) if not WRITES.search(code)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "images").mkdir()
        picture(1200, 1800).save(folder / "images" / "truck.jpg")
        run = Run(lambda code: code, folder)
        run.names["onnx_model_path"] = str(export(folder))
        prompts = 0
        for number, code in enumerate(cells):
            with replaced_downloads(folder, (171, 256)):
                failed = run.cell(code)
            if failed is not None:
                report.line(f"cell {number}", repr(failed)[:200], False)
            elif "ort_session.run" in code:
                prompts += 1
                compare(report, f"prompt {prompts}", run)
    report.line("prompts of the notebook", prompts, prompts == 3)
    print("all the same" if report.good else "SOME results differ")
    return 0 if report.good else 1


def compare(report: Report, prompt: str, run: Run) -> None:
    """Compare what a cell computed with the published predictor."""
    masks, logits = expected(run.names)
    found = run.names["masks"]
    wrong = difference(found[0, 0], masks)
    area = f"of {int(masks.sum())} pixels, differ"
    report.line(f"{prompt}: mask {area}", int((found[0, 0] != masks).sum()), wrong == 0)
    session = run.names["ort_session"]
    low_res = session.run(["low_res_masks"], run.names["ort_inputs"])[0]
    gap = difference(low_res[0, 0], logits)
    line = f"largest difference {gap:.2g} of up to {np.abs(logits).max():.3g}"
    report.line(f"{prompt}: logits", line, gap <= ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
