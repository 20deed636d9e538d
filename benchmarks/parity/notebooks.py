"""Published notebooks and documentation, run with their library and with ours.

    python -m benchmarks.parity.notebooks NOTEBOOK_OR_PAGE [...]

runs the code cells of each file twice: as they are, and with the import line replaced.
All arrays that both runs leave behind are compared after each cell. The files are those
of the public repositories: ``examples/segment_anything.ipynb`` and
``examples/automatic_mask_generation.ipynb`` of huggingface/notebooks, the notebooks in
``SAM`` of NielsRogge/Transformers-Tutorials, ``docs/source/en/model_doc/sam.md`` of
transformers, and ``notebooks/*.ipynb`` of segment-anything.

Needs ``pip install transformers segment-anything matplotlib opencv-python-headless
monai accelerate onnx onnxruntime onnxscript``, not torchvision. Small random models and
pictures made here take the place of downloads; `REPLACED` lists what else is changed,
the same in both runs. The exit status is 1 when a cell fails with ours or something
differs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock, patch

import matplotlib as mpl
import numpy as np
import torch
import transformers
from PIL import Image
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

import requests
from benchmarks.parity import stand_ins
from benchmarks.parity.hf_parity import ALLOWED, Report, random_model, small_config
from benchmarks.parity.random_sam import random_sam
from napari_sam import segment_anything as ours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

stand_ins.install()
mpl.use("Agg")
warnings.simplefilter("ignore")

# In the code of both runs: no GPU, one epoch, no network.
REPLACED = (
    (r"device=0\b", "device=-1"),
    (r"device ?= ?['\"]cuda['\"]", "device = 'cpu'"),
    (r"num_epochs = \d+", "num_epochs = 1"),
    (r"plt\.show\(\)", "plt.close('all')"),
    (r"facebook/sam-vit-\w+|wanglab/medsam-vit-base", "MODEL"),
    # transformers takes boxes nested three deep only; ours also takes them as written.
    (r"\(image, input_boxes=\[input_boxes\]", "(image, input_boxes=[[input_boxes]]"),
    # Fewer points, which take seconds on a CPU, and masks of a random model.
    (
        r"points_per_batch=64",
        "points_per_batch=64, points_per_crop=8, stability_score_thresh=0.5",
    ),
    (r"points_per_side=32", "points_per_side=8"),
    (r"stability_score_thresh=0.92", "stability_score_thresh=0.1"),
    # All masks are kept, as those of a random model resemble each other.
    (
        r"MaskGenerator\(sam\)",
        "MaskGenerator(sam, 8, stability_score_thresh=0.1, box_nms_thresh=1.0)",
    ),
    # The exporter that torch had then.
    (r"export_params=True,", "export_params=True, dynamo=False,"),
    # An argument that newer releases of onnxruntime do not have.
    (r"optimize_model=True,", ""),
    # Steps of 8 bits make differences of rounding large: the full network is compared.
    (r"onnx_model_path = onnx_model_quantized_path", ""),
)
# Cells that install packages or need an account are left out.
LEFT_OUT = re.compile(r"^\s*[!%]|/content/drive|login\(\)|push_to_hub", re.MULTILINE)
# The last one of a loop over the parameters, whose order differs, and random numbers,
# of which the constructors of the models draw other counts.
NOT_COMPARED = {"dummy_inputs", "param", "__warningregistry__"}
# Rounding decides pixels whose logit is nearly 0: so many of a mask, and this share
# of large ones. Areas and boxes differ by such a pixel.
UNDECIDED_PIXELS, UNDECIDED_SHARE = 2, 1e-5


def code_cells(path: Path) -> list[str]:
    """Return the code of a notebook, or the examples of a page."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [c for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
        found = ["".join(cell["source"]) for cell in cells]
    else:
        found = re.findall(r"^```py(?:thon)?\n(.*?)^```", text, re.S | re.M)
    kept = [code for code in found if code.strip() and not LEFT_OUT.search(code)]
    for pattern, new in REPLACED:
        kept = [re.sub(pattern, new, code) for code in kept]
    return kept


def picture(height: int, width: int) -> Image.Image:
    """Return a smooth random picture."""
    rng = np.random.default_rng(height + width)
    small = rng.integers(0, 256, (height // 40 + 2, width // 40 + 2, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


class Examples:
    """Stand-in for a data set: pictures with one object each."""

    def __init__(self, side: int, count: int = 12) -> None:
        y, x = np.mgrid[:side, :side]
        self._items = []
        for number in range(count):
            radius = 8 + number
            label = (y - side / 2) ** 2 + (x - 20 - number) ** 2 < radius**2
            image = picture(side + 10 * number, side).crop((0, 0, side, side))
            self._items.append(
                {"image": image, "label": Image.fromarray(label.astype(np.uint8))}
            )

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._items[index]


class Downloads:
    """Answers of `requests.get`: a picture for each address."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self._shape = shape

    def __call__(self, *_: Any, **__: Any) -> Any:
        file = io.BytesIO()
        picture(*self._shape).save(file, "PNG")
        file.seek(0)
        return SimpleNamespace(
            raw=file, content=file.getvalue(), raise_for_status=lambda: None
        )


# -- models --------------------------------------------------------------------


def hugging_face_folder(folder: Path) -> None:
    """Write a small random model whose masks pass the usual thresholds."""
    model = random_model(small_config())
    with torch.no_grad():
        model.mask_decoder.iou_prediction_head.proj_out.weight.mul_(0.1)
        model.mask_decoder.iou_prediction_head.proj_out.bias.fill_(0.95)
    model.save_pretrained(folder)
    side = {"height": 256, "width": 256}
    processor = SamImageProcessorPil(size={"longest_edge": 256}, pad_size=side)
    transformers.SamProcessor(processor).save_pretrained(folder)


def published_pipeline(task: str, model: str, **_: Any) -> Any:
    """Build the pipeline of transformers without torchvision."""
    kind = SamImageProcessorPil
    # Without the check for torchvision.
    method = kind.post_process_for_mask_generation
    kind.post_process_for_mask_generation = getattr(method, "__wrapped__", method)
    with patch("transformers.pipelines.mask_generation.requires_backends"):
        return transformers.MaskGenerationPipeline(
            model=transformers.SamModel.from_pretrained(model),
            image_processor=kind.from_pretrained(model),
            task=task,
        )


def published_sam(checkpoint: str | None = None) -> Any:
    """Return a small model of segment-anything with a grid of the usual size."""
    sam = random_sam(3, side=256, patch_size=4, window_size=7)
    decoder = sam.mask_decoder
    with torch.no_grad():
        head = decoder.iou_prediction_head.layers[-1]
        head.weight.mul_(0.01)
        head.bias.fill_(0.95)
        for kernels in decoder.output_hypernetworks_mlps:
            kernels.layers[-1].weight.mul_(0.5)  # logits of up to 8
    return sam


def our_sam(checkpoint: str | None = None) -> Any:
    """Return ours with the same weights."""
    from napari_sam.checkpoints.infer_config import infer_config
    from napari_sam.nets.config import SamMaskDecoderConfig

    state = published_sam().state_dict()
    heads = SamMaskDecoderConfig(num_attention_heads=8, layer_norm_eps=1e-5)
    config = infer_config(state, heads, source="the published model")
    config.vision_config.num_attention_heads = 2
    sam = ours.Sam(config).eval()
    sam.load_state_dict(state)
    return sam


# -- runs ----------------------------------------------------------------------


class Run:
    """One run of a file, with the names that its cells define.

    Parameters
    ----------
    rename : function
        Changes the import lines.
    """

    def __init__(self, rename: Callable[[str], str], folder: Path) -> None:
        self._rename, self._folder = rename, folder
        self.names: dict[str, Any] = {"__name__": "__main__"}
        # The cells draw from the global generators.
        self._random = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002

    def cell(self, code: str) -> Exception | None:
        """Run one cell; return its error. Random numbers go on as in this run alone."""
        np.random.set_state(self._random[0])  # noqa: NPY002
        torch.set_rng_state(self._random[1])
        code = self._rename(code).replace("MODEL", str(self._folder / "model"))
        failed: Exception | None = None
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                exec(compile(code, "<cell>", "exec"), self.names)
            except Exception as error:  # noqa: BLE001
                failed = error
        self._random = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
        return failed


def arrays(value: Any, depth: int = 0) -> Iterator[np.ndarray]:
    """Yield the arrays inside a value, in order."""
    if isinstance(value, torch.Tensor):
        yield value.detach().cpu().numpy()
    elif isinstance(value, np.ndarray):
        if value.dtype.kind in "biuf":  # not the axes of a figure
            yield value
    elif isinstance(value, int | float | np.number) and not isinstance(value, bool):
        yield np.asarray(value)
    elif depth < 4 and isinstance(value, Mapping):
        for _, item in sorted(value.items(), key=lambda pair: str(pair[0])):
            yield from arrays(item, depth + 1)
    elif depth < 4 and isinstance(value, list | tuple):
        for item in value:
            yield from arrays(item, depth + 1)


def difference(one: Any, other: Any) -> float:
    """Return the largest difference of all arrays inside two values."""
    pairs = list(arrays(one)), list(arrays(other))
    if len(pairs[0]) != len(pairs[1]):
        return float("inf")
    largest = 0.0
    for first, second in zip(*pairs, strict=True):
        if first.shape != second.shape:
            return float("inf")
        if first.dtype == bool:
            wrong = int((first != second).sum())
            allowed = max(UNDECIDED_PIXELS, UNDECIDED_SHARE * first.size)
            largest = max(largest, 0.0 if wrong <= allowed else wrong)
        elif first.size:
            gap = float(np.abs(first.astype(float) - second.astype(float)).max())
            counted = first.ndim == 0 and first.dtype.kind == "i"
            largest = max(largest, 0.0 if counted and gap <= 1 else gap)
    return largest


def import_lines(name: str, ours_name: str) -> Callable[[str], str]:
    """Return a function that replaces the package in import lines."""
    pattern = re.compile(rf"from {name}\b")
    return lambda code: pattern.sub(f"from {ours_name}", code)


def run_file(report: Report, path: Path, folder: Path) -> None:
    """Run one file with both libraries and compare what is left behind."""
    # Of the size of the input: Pillow and torch, which transformers resizes by where
    # there is torchvision, round 8 bits differently. `hf_parity` compares the resize.
    shape = (171, 256)
    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    official = "example" in path.stem
    package = "segment_anything" if official else "transformers"
    replaced = "napari_sam.segment_anything" if official else "napari_sam"
    theirs = Run(import_lines(package, package), folder)
    mine = Run(import_lines(package, replaced), folder)
    compared: set[str] = set()
    worst = 0.0
    for number, code in enumerate(code_cells(path)):
        with replaced_downloads(folder, shape):
            expected, found = theirs.cell(code), mine.cell(code)
        where = f"{path.name}, cell {number}"
        if expected is not None:
            report.line(f"{where}, theirs", repr(expected)[:200])
        if found is not None:
            report.line(where, repr(found)[:200], expected is not None)
        if expected is not None or found is not None:
            continue
        for name in sorted((theirs.names.keys() & mine.names.keys()) - NOT_COMPARED):
            one, other = theirs.names[name], mine.names[name]
            if next(arrays(one), None) is None and next(arrays(other), None) is None:
                continue
            compared.add(name)
            gap = difference(one, other)
            worst = max(worst, gap)
            if gap > ALLOWED:
                report.line(f"{path.name}, cell {number}, {name}", gap, False)
    masks = theirs.names.get("masks")
    count = len(masks) if masks is not None else "-"
    report.line(
        f"{path.name}: {len(compared)} names compared, {count} masks at the end",
        f"largest difference {worst:.2g}",
        worst <= ALLOWED and bool(compared),
    )


@contextlib.contextmanager
def replaced_downloads(folder: Path, shape: tuple[int, int]) -> Iterator[None]:
    """Put pictures, data sets and small models in the place of downloads."""
    import segment_anything as published

    sam_registries = (
        patch.object(published, "sam_model_registry", {"vit_h": published_sam}),
        patch.object(ours, "sam_model_registry", {"vit_h": our_sam}, create=True),
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.chdir(folder))
        stack.enter_context(patch.object(requests, "get", Downloads(shape)))
        # Imports of its parts may have made it anew.
        package = sys.modules["transformers"]
        loaders = patch.object(package, "pipeline", published_pipeline)
        stack.enter_context(loaders)
        for registry in sam_registries:
            stack.enter_context(registry)
        yield


def add_modules() -> None:
    """Make `datasets` and `IPython` importable, with what the cells use of them."""
    for name, members in {
        "datasets": {"load_dataset": lambda *_, **__: Examples(64)},
        "IPython": {"version_info": (8, 24), "get_ipython": lambda: None},
        "IPython.display": {"display": MagicMock(), "HTML": MagicMock()},
    }.items():
        module = ModuleType(name)
        vars(module).update(members)
        sys.modules[name] = module


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    options = parser.parse_args()
    add_modules()
    report = Report()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hugging_face_folder(folder / "model")
        (folder / "images").mkdir()
        for stem, shape in {
            "truck": (1200, 1800),
            "groceries": (427, 640),
            "dog": (160, 240),
        }.items():
            picture(*shape).save(folder / "images" / f"{stem}.jpg")
        for path in options.files:
            run_file(report, path.resolve(), folder)
    print("all the same" if report.good else "SOME results differ")
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
