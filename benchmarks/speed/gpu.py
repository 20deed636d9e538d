"""A graphics card beside the CPU: the same masks, times, memory, too little memory.

Run ``python -m benchmarks.speed.gpu`` on a machine with torch for its card; it takes
less than 8 minutes and prints Markdown. ``--device cpu --quick`` runs all parts on any
machine, to see that they work. LiteMedSAM has its real weights if they are in the cache
folder, the others random ones, which are as fast.
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import napari_sam as ns
from napari_sam.checkpoints.registry import get_model_spec
from napari_sam.huggingface.model import SamModel
from napari_sam.nets.config import SamConfig, SamMaskDecoderConfig, TinyViTConfig
from napari_sam.nets.devices import MeasuredPrecision, free_gpu_memory
from napari_sam.nets.fast.decoder import FastMaskDecoder
from napari_sam.prediction.predictor import Predictor
from napari_sam.training.data import training_images
from napari_sam.training.finetune import FineTuning
from napari_sam.training.options import TrainingOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from napari_sam.nets.sam import SamNetwork

SEED = 3
PRECISIONS = (torch.float32, torch.float16, torch.bfloat16)
# Logits nearer to 0 may change sign when numbers are rounded.
NEAR_ZERO = 0.05
POINTS_AND_BOXES = frozenset({"point", "box", "mask"})
# Wanted on a card of the H200 class.
WANTED = {
    "encode ViT-B": "25 ms",
    "click ViT-B": "10 ms",
    "encode lite_medsam": "10 ms",
}


@dataclass(frozen=True)
class Size:
    """Sizes of the parts of the benchmark.

    Parameters
    ----------
    side, planes, objects : int
        Of the stack.
    rounds : int
        Repetitions of short parts.
    steps : int
        Training steps.
    """

    side: int
    planes: int
    objects: int
    rounds: int
    steps: int


FULL = Size(1024, 64, 20, 20, 20)
QUICK = Size(128, 4, 3, 2, 2)


def predictors(quick: bool) -> Iterator[Callable[[str], Predictor]]:
    """Yield functions that make a predictor of each family on a device."""
    small = {"image_size": 128} if quick else {}
    for name, vision, prompts in (
        ("ViT-B", ns.SamVisionConfig(**small), POINTS_AND_BOXES),
        ("MobileSAM", TinyViTConfig(**small), POINTS_AND_BOXES),
    ):
        yield lambda device, n=name, v=vision, p=prompts: random_predictor(
            n, v, p, device
        )
    spec = get_model_spec("lite_medsam")
    yield lambda device: ns.load_model(spec.name, device=device)


def random_predictor(
    name: str, vision: Any, prompts: frozenset[str], device: str
) -> Predictor:
    """Make a predictor with random weights, the same on every device."""
    torch.manual_seed(SEED)
    size = vision.image_size
    config = SamConfig(
        vision,
        ns.SamPromptEncoderConfig(image_size=size),
        SamMaskDecoderConfig(layer_norm_eps=1e-5),
    )
    model = SamModel(config).eval().requires_grad_(False).to(device)
    return Predictor(model, name=name, family="sam", prompts=prompts, key="random")


def discs(size: Size) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Draw bright columns in noise, (Z, H, W), and their labels."""
    rng = np.random.default_rng(SEED)
    columns = int(np.ceil(np.sqrt(size.objects)))
    labels = np.zeros((size.planes, size.side, size.side), np.int32)
    rows, cols = np.mgrid[: size.side, : size.side] * columns / size.side
    for number in range(size.objects):
        row, col = number // columns + 0.5, number % columns + 0.5
        labels[:, np.hypot(rows - row, cols - col) < 0.3] = number + 1
    noise = rng.normal(60, 12, labels.shape) + 100 * (labels > 0)
    return noise.clip(0, 255).astype(np.uint8), labels


def boxes_of(labels: NDArray[np.int32]) -> list[ns.Prompt]:
    """Return a box prompt for each label of a plane."""
    found = []
    for number in range(1, labels.max() + 1):
        places = np.argwhere(labels == number)
        found.append(ns.Prompt(box=[*places.min(axis=0), *places.max(axis=0)]))
    return found


def fast_decoder(model: SamNetwork) -> FastMaskDecoder:
    """Return the decoder that a predictor uses."""
    encoder = model.prompt_encoder
    return FastMaskDecoder(
        model.mask_decoder, encoder.image_positions(), encoder.dense(None)
    )


def wait(device: str) -> None:
    """Wait until the card has finished; calls only queue its work."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def seconds(run: Callable[[], Any], device: str, rounds: int) -> float:
    """Return the median time of some runs after the first."""
    run()
    times = []
    for _ in range(rounds):
        wait(device)
        started = time.perf_counter()
        run()
        wait(device)
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def parity(make: Callable[[str], Predictor], device: str, size: Size) -> Iterator[str]:
    """Compare embeddings and masks in each precision with the CPU's."""
    volume, labels = discs(size)
    prompts = boxes_of(labels[0])
    exact = make("cpu")
    truth = exact.predict_batch(exact.embed(volume[0]), prompts)
    reference = exact.embed(volume[0]).image_embedding
    other = make(device)
    embedding = other.embed(volume[0])
    pixels = embedding.transform.pixel_values(volume[0]).to(device)
    encode = MeasuredPrecision(other.model.get_image_embeddings)
    for precision in PRECISIONS:
        encode.precision = precision  # instead of the fastest one
        with torch.inference_mode():
            values = encode(pixels)
            context = fast_decoder(other.model).prepare(values)
        found = other.predict_batch(replace(embedding, context=context), prompts)
        values = values.cpu()
        deviation = (values - reference).square().mean().sqrt() / reference.std()
        changed, near = 0, 0
        for one, same in zip(truth, found, strict=True):
            flipped = (one.logits > 0) != (np.asarray(same.logits) > 0)
            certain = np.abs(one.logits) > NEAR_ZERO
            changed += int((flipped & certain).sum())
            near += int((flipped & ~certain).sum())
        name = str(precision).removeprefix("torch.")
        yield (
            f"| {other.name} | {name} | {float(deviation):.1e} | {changed} | {near} |"
        )


def times(make: Callable[[str], Predictor], device: str, size: Size) -> Iterator[str]:
    """Measure encoding, prompts, everything, a stack, and training."""
    volume, labels = discs(size)
    predictor, prompts = make(device), boxes_of(labels[0])
    planes = iter(volume[i % size.planes] for i in range(10**6))
    encoded = predictor.embed(volume[0])

    def row(what: str, value: float, count: int = 1) -> str:
        wanted = WANTED.get(f"{what} {predictor.name}", "")
        each = 1e3 * value / count
        return f"| {predictor.name} | {what} | {each:.1f} | {wanted} |"

    yield row("encode", seconds(lambda: predictor.embed(next(planes)), device, 10))
    centre = ns.Prompt(points=[np.argwhere(labels[0] == 1).mean(axis=0)])
    runs = {"box": prompts[0]}
    if predictor.prompt_support.answers("point"):
        runs["click"] = centre
    for what, prompt in runs.items():
        time_of_one = seconds(
            lambda p=prompt: predictor.predict(encoded, p), device, size.rounds
        )
        yield row(what, time_of_one)
    many = seconds(lambda: predictor.predict_batch(encoded, prompts), device, 3)
    yield row("each of the boxes of a plane", many, len(prompts))
    if predictor.prompt_support.instance_head:
        everything = seconds(
            lambda: ns.segment_everything(volume[0], model=predictor), device, 2
        )
        yield row("everything on a plane", everything)
    middle = size.planes // 2
    stack = {i + 1: {middle: prompt} for i, prompt in enumerate(prompts)}
    whole = seconds(lambda: ns.segment_volume(volume, stack, predictor), device, 1)
    yield row("a plane of the stack, all objects", whole, size.planes)
    yield row("training step", training_seconds(predictor, volume, labels, size))


def training_seconds(
    predictor: Predictor,
    volume: NDArray[np.uint8],
    labels: NDArray[np.int32],
    size: Size,
) -> float:
    """Return the median time of a training step of the decoder."""
    options = TrainingOptions(
        steps=size.steps,
        augmentations=1,
        validate_every=10_000,
        validation_objects=1,
        instance_head=False,
        prompts=("box",),
    )
    images = training_images(volume[:2], labels[:2], "discs")
    found, started = [], time.perf_counter()
    for progress in FineTuning(predictor, images, options).run():
        now = time.perf_counter()
        if progress.phase == "train":
            found.append(now - started)
        started = now
    return float(np.median(found[1:]))


def memory(make: Callable[[str], Predictor], device: str, size: Size) -> Iterator[str]:
    """Tell the memory of a model in use, and what is left when it is gone."""
    if not device.startswith("cuda"):
        yield "Memory is measured on CUDA only."
        return
    volume, labels = discs(size)
    free_gpu_memory()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    predictor = make(device)
    name = predictor.name
    predictor.predict_batch(predictor.embed(volume[0]), boxes_of(labels[0]))
    peak = torch.cuda.max_memory_allocated() - before
    del predictor
    free_gpu_memory()
    left = torch.cuda.memory_allocated() - before
    yield f"| {name} | {peak / 1e6:.0f} | {left / 1e6:.1f} |"


def too_little_memory(
    make: Callable[[str], Predictor], device: str, size: Size
) -> Iterator[str]:
    """Answer prompts while the card has too little memory for an image."""
    if not device.startswith("cuda"):
        yield "Too little memory is forced on CUDA only."
        return
    volume, labels = discs(size)
    prompts = boxes_of(labels[0])
    predictor = make(device)
    exact = make("cpu").predict_batch
    free_gpu_memory()
    total = torch.cuda.get_device_properties(0).total_memory
    allowed = (torch.cuda.memory_allocated() + 50e6) / total
    torch.cuda.set_per_process_memory_fraction(allowed)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = predictor.predict_batch(predictor.embed(volume[0]), prompts)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    truth = exact(make("cpu").embed(volume[0]), prompts)
    same = all(
        np.array_equal(a.mask, b.mask) for a, b in zip(found, truth, strict=True)
    )
    said = [str(w.message).split(":")[0] for w in caught]
    where = f"{predictor.name}: on {predictor.device}"
    yield f"{where}, masks as on the CPU: {same}; {said}"


def header(*names: str) -> str:
    """Return the first two lines of a table."""
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


def report(device: str, quick: bool) -> Iterator[str]:
    """Yield all tables."""
    size = QUICK if quick else FULL
    name = torch.cuda.get_device_name() if device.startswith("cuda") else device
    yield f"{name}, torch {torch.__version__}, planes of {size.side} pixels"
    tables: tuple[tuple[str, Any], ...] = (
        (
            "| model | precision | deviation | changed | near 0 |\n"
            "|---|---|---|---|---|",
            parity,
        ),
        ("| model | what | ms | wanted |\n|---|---|---|---|", times),
        ("| model | peak MB | left MB |\n|---|---|---|", memory),
        ("Too little memory:", too_little_memory),
    )
    for title, part in tables:
        yield f"\n{title}"
        for make in predictors(quick):
            yield from part(make, device, size)


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    options = parser.parse_args()
    for line in report(options.device, options.quick):
        print(line, flush=True)


if __name__ == "__main__":
    main()
