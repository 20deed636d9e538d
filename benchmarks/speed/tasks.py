"""User tasks: clicks, automatic segmentation, a stack; and how they scale."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any

import numpy as np

import napari_sam as ns
from benchmarks.parity import references
from benchmarks.speed.tables import OURS, Row, compared, table
from benchmarks.speed.timing import Effort, in_turns
from napari_sam.api.planes import everything
from napari_sam.automatic.candidates import Thresholds
from napari_sam.automatic.search import SearchOptions
from napari_sam.checkpoints.registry import get_model_spec
from napari_sam.checkpoints.state_dict import with_decoder
from napari_sam.images.uint8 import plane_key, to_uint8
from napari_sam.masks.painting import labels_from_patches
from napari_sam.masks.patch import mask_to_box
from napari_sam.nets.fast.tiny_vit import FastTinyViT
from napari_sam.prediction.disk_cache import DiskCache
from napari_sam.prediction.predictor import Predictor
from segment_anything import SamAutomaticMaskGenerator, SamPredictor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

SAM = "segment-anything"
SIDE, OBJECTS, PLANES = 512, 10, 16
# Automatic segmentation: the densest grid within 60 s, and thresholds that some masks
# pass: the click decoder was not trained on this brightness.
GRID, SCORE, STABILITY, OVERLAP = 12, 0.2, 0.4, 0.7
SIDES, PROMPTS, DEPTHS = (256, 512, 1024, 2048, 4096), (1, 4, 16, 64), (2, 4, 8, 16)
DISPLAYED = (0, 255)


def mobile_predictor() -> tuple[Predictor, Any]:
    """Return MobileSAM with random weights, ours and published."""
    model = references.mobile_sam()
    known = frozenset({"point", "box", "mask"})
    ours = Predictor(model, name="random", family="sam", prompts=known, key="random")
    return ours, references.published_sam(model)


def plane(side: int, seed: int = references.SEED) -> NDArray[np.uint8]:
    """Return ten bright discs on noise, (side, side) uint8."""
    return (volume(1, side, seed)[0][0]).astype(np.uint8)


def volume(
    depth: int, side: int, seed: int = references.SEED
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return ten bright columns in noise and their labels, (depth, side, side)."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((depth, side, side), np.uint8)
    rows, cols = np.mgrid[:side, :side] / side
    for number in range(OBJECTS):
        row, col = 0.17 + 0.33 * (number // 4), 0.13 + 0.24 * (number % 4)
        for z in range(depth):
            radius = 0.06 + 0.02 * np.sin(0.3 * z + number)
            inside = np.hypot(rows - row - 0.002 * z, cols - col) < radius
            truth[z][inside] = number + 1
    noise = rng.normal(60, 12, truth.shape) + 100 * (truth > 0)
    return noise.clip(0, 255).astype(np.uint8), truth


def click(effort: Effort) -> list[str]:
    """Compare one click with MobileSAM: on a new plane, and on an encoded one."""
    ours, published = mobile_predictor()
    pixels = plane(SIDE)
    colour = np.stack([pixels] * 3, -1)
    middle = np.array([0.17, 0.13]) * SIDE
    theirs = SamPredictor(published)
    prompt = ns.Prompt(points=[middle])

    def answer(known: Any) -> Any:
        return ours.predict(known, prompt, multimask_output=True)

    def fresh() -> Any:
        return answer(ours.embed(colour, DISPLAYED, zoom="off")).patch

    def fresh_published() -> Any:
        theirs.set_image(colour)
        return asked()

    def asked() -> Any:
        return theirs.predict(middle[None, ::-1], np.ones(1), multimask_output=True)

    embedding = ours.embed(colour, DISPLAYED, zoom="off")
    work = {
        "click on a new plane": (fresh, fresh_published),
        "click on an encoded plane": (lambda: answer(embedding).patch, asked),
    }
    rows = []
    for name, (one, other) in work.items():
        costs = in_turns({OURS: one, SAM: other}, effort)
        ordered = sorted(answer(embedding).candidates, key=lambda c: c.score)
        low, scores = other()[2], other()[1]
        stacked = np.stack([c.logits for c in ordered]) - low[np.argsort(scores)]
        difference = float(abs(stacked).max())
        rows.append(Row(name, SAM, costs[OURS], costs[SAM], difference=difference))
    return compared(rows, costs)


def everything_mode(effort: Effort) -> list[str]:
    """Compare automatic segmentation of a plane: default weights, grid of points."""
    click_decoder = get_model_spec("lite_medsam").click_decoder
    assert click_decoder is not None
    model = with_decoder(references.lite_medsam(), click_decoder.path)
    known = frozenset({"point", "box", "mask"})
    ours = Predictor(model, name="grid", family="sam", prompts=known, key="grid")
    published = references.published_sam(model)
    colour = np.stack([plane(256)] * 3, -1)
    generator = SamAutomaticMaskGenerator(
        published,
        points_per_side=GRID,
        pred_iou_thresh=SCORE,
        stability_score_thresh=STABILITY,
        box_nms_thresh=OVERLAP,
    )
    options = SearchOptions(GRID, 0, SCORE, STABILITY)

    def run() -> Any:
        steps = everything(colour, ours, options=options, contrast_limits=DISPLAYED)
        *_, last = steps
        chosen = last.candidates.masks(Thresholds(SCORE, STABILITY, 0.0, OVERLAP))
        return [candidate.patch() for candidate in chosen]

    costs = in_turns({OURS: run, SAM: lambda: generator.generate(colour)}, effort)
    mine, theirs = costs[OURS], costs[SAM]
    name = (
        f"everything, {GRID} x {GRID} points, {len(mine.answer)} and "
        f"{len(theirs.answer)} masks"
    )
    return compared([Row(name, SAM, mine, theirs, 0.28, 0.4)], costs)


def stack(effort: Effort) -> list[str]:
    """Compare a stack of 16 planes with ten objects with encoding its planes alone."""
    predictor = ns.load_model("lite_medsam")
    image, truth = volume(PLANES, SIDE)
    boxes = _boxes(truth[PLANES // 2])
    prompts = {i: {PLANES // 2: ns.Prompt(box=box)} for i, box in boxes.items()}

    def encode() -> None:
        for pixels in image:
            predictor.embed(pixels, DISPLAYED, zoom="off")

    def segment() -> NDArray[Any]:
        out = ns.segment_volume(image, prompts, predictor, contrast_limits=DISPLAYED)
        return out.labels

    costs = in_turns({OURS: segment, "encoding alone": encode}, effort)
    same = (costs[OURS].answer > 0) == (truth > 0)
    name = f"{PLANES} planes, {OBJECTS} objects ({same.mean():.1%} of pixels right)"
    row = Row(name, "encoding alone", costs[OURS], costs["encoding alone"], 1.3)
    return compared([row], costs)


def _boxes(labels: NDArray[np.uint8]) -> dict[int, Any]:
    return {i: mask_to_box(labels == i) for i in range(1, OBJECTS + 1)}


def scaling(effort: Effort) -> list[str]:
    """Fit exponents of power laws to time and memory."""
    predictor = ns.load_model("lite_medsam")
    image, truth = volume(max(DEPTHS), 256)
    boxes = list(_boxes(truth[0]).values())
    embedding = predictor.embed(image[0], DISPLAYED, zoom="off")

    def side(n: int) -> Callable[[], Any]:
        pixels = plane(n)
        box = _boxes(volume(1, n)[1][0])[1]
        return lambda: (
            predictor.predict(
                predictor.embed(pixels, DISPLAYED, zoom="off"), ns.Prompt(box=box)
            ).patch
        )

    def count(n: int) -> Callable[[], Any]:
        asked = [ns.Prompt(box=boxes[i % OBJECTS]) for i in range(n)]
        return lambda: predictor.predict_batch(embedding, asked)

    def depth(n: int) -> Callable[[], Any]:
        prompts = {
            i: {n // 2: ns.Prompt(box=box)} for i, box in _boxes(truth[0]).items()
        }
        return lambda: ns.segment_volume(
            image[:n], prompts, predictor, contrast_limits=DISPLAYED
        )

    rows = [
        _growth("side of the plane", SIDES, side, effort),
        _growth("prompts on a plane", PROMPTS, count, effort),
        _growth("planes of a stack", DEPTHS, depth, effort),
    ]
    return table(("what grows", "s", "exponent", "MB", "exponent"), rows)


def _growth(
    what: str,
    sizes: Sequence[int],
    make: Callable[[int], Callable[[], Any]],
    effort: Effort,
) -> list[str]:
    runs = {str(n): make(n) for n in sizes}
    costs = in_turns(runs, Effort(effort.seconds / 2, effort.least, effort.most))
    seconds = [costs[name].median for name in runs]
    megabytes = [max(costs[name].megabytes, 1.0) for name in runs]
    return [
        f"{what}: {', '.join(runs)}",
        ", ".join(f"{s:.2f}" for s in seconds),
        f"{_exponent(sizes, seconds):.2f}",
        ", ".join(f"{m:.0f}" for m in megabytes),
        f"{_exponent(sizes, megabytes):.2f}",
    ]


def _exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    slope, _ = np.polyfit(np.log(sizes), np.log(values), 1)
    return float(slope)


def around(effort: Effort) -> list[str]:
    """Measure the steps around the model on a plane of 2048 px."""
    predictor = ns.load_model("lite_medsam")
    pixels = plane(2048)
    boxes = _boxes(volume(1, 2048)[1][0])
    prompts = [ns.Prompt(box=box) for box in boxes.values()]
    deep = pixels.astype(np.uint16)
    embedding = predictor.embed(pixels, DISPLAYED, zoom="off")
    answers = predictor.predict_batch(embedding, prompts)
    patches = [answer.patch for answer in answers]
    half, values = embedding.half(), embedding.transform.pixel_values(pixels)
    encoder = FastTinyViT(predictor.model.image_encoder)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder:
        disk = DiskCache(folder)
        disk.put("known", half)
        runs = {
            "encoding the plane": lambda: encoder(values),
            "decoding ten boxes": lambda: predictor.predict_batch(embedding, prompts),
            "grey levels": lambda: to_uint8(deep, DISPLAYED),
            "resizing for the model": lambda: embedding.transform.pixel_values(pixels),
            "ten masks at the plane's size": lambda: [
                embedding.transform.patch(answer.logits) for answer in answers
            ],
            "painting ten objects": lambda: labels_from_patches(patches, pixels.shape),
            "writing to the disk cache": lambda: disk.put("new", half),
            "reading from the disk cache": lambda: predictor.restore(
                disk.get("known"), pixels.shape, "known"
            ),
            "hash of the plane": lambda: plane_key(pixels),
        }
        costs = in_turns(runs, effort)
    model = costs["encoding the plane"].median + costs["decoding ten boxes"].median
    rows = (
        (name, f"{1000 * costs[name].median:.1f}", f"{costs[name].median / model:.1%}")
        for name in runs
    )
    return table(("step", "ms", "share of the model's time"), rows)
