"""Measured precision, shrinking batches, and models that move to the CPU."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.nets import devices
from napari_sam.nets.devices import MeasuredPrecision, in_batches, is_out_of_memory
from napari_sam.prediction import model_runner
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.nets.config import SamConfig
    from napari_sam.nets.sam import SamNetwork
    from napari_sam.prediction.predictor import Predictor

OUT_OF_MEMORY = torch.cuda.OutOfMemoryError(
    "CUDA out of memory. Tried to allocate 2.00 GiB"
)
BOX = Prompt(box=[2, 3, 15, 20])


class FakeDevice:
    """A device on which deviation and time depend on the precision."""

    def __init__(self, **precisions: tuple[float, float]) -> None:
        self.precisions = precisions
        self.time = 0.0
        self.calls: list[str] = []

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        reduced = torch.is_autocast_enabled("cpu")
        dtype = torch.get_autocast_dtype("cpu") if reduced else torch.float32
        name = str(dtype).removeprefix("torch.")
        self.calls.append(name)
        seconds, deviation = self.precisions[name]
        self.time += seconds
        return pixels + deviation * torch.ones_like(pixels)

    def fastest(self) -> torch.dtype | None:
        encoder = MeasuredPrecision(self.encode, clock=lambda: self.time)
        pixels = torch.linspace(-1, 1, 48).view(1, 3, 4, 4)
        assert encoder(pixels).dtype == torch.float32
        self.calls.clear()
        encoder(pixels)
        assert self.calls == [str(encoder.precision).removeprefix("torch.")]
        return encoder.precision


@pytest.mark.parametrize(
    ("half", "brain", "expected"),
    [
        ((0.5, 1e-4), (0.6, 1e-3), torch.float16),
        ((0.5, 1e-4), (0.4, 1e-3), torch.bfloat16),
        ((1.5, 1e-4), (4.8, 1e-3), torch.float32),
        ((0.5, float("nan")), (0.6, 1e-3), torch.bfloat16),
        ((0.5, float("inf")), (0.6, 0.5), torch.float32),
    ],
)
def test_fastest_accurate_precision_is_used(
    half: tuple[float, float], brain: tuple[float, float], expected: torch.dtype
) -> None:
    device = FakeDevice(float32=(1.0, 0.0), float16=half, bfloat16=brain)
    assert device.fastest() == expected


@given(count=st.integers(0, 40), size=st.integers(1, 16), fitting=st.integers(1, 16))
def test_batches_shrink_until_they_fit(count: int, size: int, fitting: int) -> None:
    def run(part: slice) -> list[int]:
        items = list(range(count))[part]
        if len(items) > fitting:
            raise OUT_OF_MEMORY
        return items

    parts = in_batches(run, count, size)
    assert [i for part in parts for i in part] == list(range(count))


@pytest.mark.parametrize("error", [OUT_OF_MEMORY, ValueError("no"), RuntimeError("no")])
def test_other_errors_are_raised(error: Exception) -> None:
    def run(part: slice) -> None:
        raise error

    with pytest.raises(type(error), match=str(error)):
        list(in_batches(run, 3, 4))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OUT_OF_MEMORY, True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("shapes do not fit"), False),
        (MemoryError("out of memory"), False),
    ],
)
def test_is_out_of_memory(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


@pytest.fixture
def predictor(
    random_model: Callable[..., SamNetwork], vit_config: SamConfig
) -> Predictor:
    from napari_sam.prediction.predictor import Predictor

    prompts = frozenset({"point", "box", "mask"})
    model = random_model(vit_config)
    return Predictor(model, name="small", family="sam", prompts=prompts, key="small")


def run_out_of_memory_once(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    """Let the first call of a method run out of memory."""
    inner, raised = getattr(owner, name), []

    def fail_once(*args: object) -> object:
        if not raised:
            raised.append(True)
            raise OUT_OF_MEMORY
        return inner(*args)

    monkeypatch.setattr(owner, name, fail_once)


@pytest.mark.parametrize("step", ["_encode", "_decoder"])
def test_full_gpu_moves_the_model_to_the_cpu(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    plane = np.arange(600, dtype=np.uint16).reshape(20, 30)
    expected = predictor.predict(predictor.embed(plane), BOX)
    monkeypatch.setattr(devices, "has_fallback", lambda device: True)
    runner = predictor._runner
    if step == "_encode":
        run_out_of_memory_once(monkeypatch, runner, "_encode")
    else:
        # With larger batches the decoder itself would retry.
        monkeypatch.setattr("napari_sam.nets.fast.decoder._CPU_BATCH", 1)
        run_out_of_memory_once(monkeypatch, runner._decoder, "_decode_batch")
    with pytest.warns(RuntimeWarning, match="computes on the CPU"):
        actual = predictor.predict(predictor.embed(plane), BOX)
    np.testing.assert_array_equal(actual.logits, expected.logits)
    again = predictor.predict(predictor.embed(plane), BOX)  # without another warning
    np.testing.assert_array_equal(again.logits, expected.logits)


def test_full_main_memory_is_an_error(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_out_of_memory_once(monkeypatch, predictor._runner, "_encode")
    with pytest.raises(RuntimeError, match="out of memory"):
        predictor.embed(np.zeros((20, 30), np.uint8))


def test_only_one_thread_encodes(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner, running, largest = predictor._runner._encode, [0], [0]

    def counted(pixels: torch.Tensor) -> torch.Tensor:
        running[0] += 1
        largest[0] = max(largest[0], running[0])
        embeddings = inner(pixels)
        running[0] -= 1
        return embeddings

    monkeypatch.setattr(predictor._runner, "_encode", counted)
    planes = np.random.default_rng(0).integers(0, 255, (8, 20, 30), np.uint8)
    threads = [threading.Thread(target=predictor.embed, args=(p,)) for p in planes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert largest == [1]


def test_batches_of_images_shrink_when_memory_is_full(
    random_model: Callable[..., SamNetwork],
    vit_config: SamConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner = model_runner.ModelRunner(random_model(vit_config))
    images = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    alone = [runner.encode(image[None])[0].tokens for image in images]
    inner, sizes = runner._encode, []

    def small(pixels: torch.Tensor) -> torch.Tensor:
        if len(pixels) > 2:
            raise OUT_OF_MEMORY
        sizes.append(len(pixels))
        return inner(pixels)

    monkeypatch.setattr(runner, "_encode", small)
    monkeypatch.setattr(model_runner.ModelRunner, "planes_at_once", 4)
    actual = runner.encode(images)
    assert sizes == [2, 2, 1]
    for context, expected in zip(actual, alone, strict=True):
        torch.testing.assert_close(context.tokens, expected)


def test_deleted_model_frees_its_memory(
    random_model: Callable[..., SamNetwork], vit_config: SamConfig
) -> None:
    model = random_model(vit_config)
    runner = model_runner.ModelRunner(model)
    runner.encode(torch.zeros(1, 3, 64, 64))
    weights = weakref.ref(model.mask_decoder.mask_tokens.weight)
    gc.disable()  # so that a reference cycle would keep the model
    try:
        del runner, model
        assert weights() is None
    finally:
        gc.enable()


def test_only_gpus_measure_precision_and_fall_back(predictor: Predictor) -> None:
    assert not devices.has_fallback(torch.device("cpu"))
    assert devices.has_fallback(torch.device("cuda"))
    encoders = {
        kind: model_runner._image_encoder(predictor.model, torch.device(kind))
        for kind in ("cuda", "mps")
    }
    assert isinstance(encoders["cuda"], MeasuredPrecision)
    assert encoders["mps"] == predictor.model.get_image_embeddings
