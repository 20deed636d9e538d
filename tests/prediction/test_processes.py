"""Predictors in other processes, and in forked ones."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import napari_sam as ns
from napari_sam.prediction import processes
from tests.helpers.processes import FILE, load_small, segment

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = (1, 2)


@pytest.fixture(scope="module")
def expected() -> list[np.ndarray]:
    predictor = load_small()
    return [segment(predictor, seed)[1] for seed in SEEDS]


def check(found: Any, expected: list[np.ndarray]) -> None:
    """The same masks, from one predictor that was loaded once."""
    assert len({identity for identity, _ in found}) == 1
    for (_, logits), same in zip(found, expected, strict=True):
        np.testing.assert_allclose(logits, same, atol=1e-4)


def test_weights_are_loaded_once_in_a_spawned_process(
    expected: list[np.ndarray],
) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        check(list(pool.map(segment, [load_small()] * 2, SEEDS)), expected)


def test_dask_processes(expected: list[np.ndarray]) -> None:
    dask = pytest.importorskip("dask")
    predictor = load_small()
    tasks = [dask.delayed(segment)(predictor, seed) for seed in SEEDS]
    check(dask.compute(*tasks, scheduler="processes", num_workers=1), expected)


def test_joblib_processes(expected: list[np.ndarray]) -> None:
    import joblib
    from joblib.externals.loky import get_reusable_executor

    work = joblib.delayed(segment)
    found = joblib.Parallel(n_jobs=2)(work(load_small(), seed) for seed in SEEDS)
    get_reusable_executor().shutdown(wait=True)
    for (_, logits), same in zip(found, expected, strict=True):
        np.testing.assert_allclose(logits, same, atol=1e-4)


def test_a_pickle_holds_no_weights() -> None:
    predictor = load_small()
    pickled = pickle.dumps(predictor)
    assert len(pickled) < 5000
    assert pickle.loads(pickled) is predictor


def test_another_predictor_that_was_copied_is_not_the_source() -> None:
    predictor = load_small()
    changed = copy.copy(predictor)
    changed.instance_head = None
    assert changed is not predictor
    assert pickle.loads(pickle.dumps(predictor)) is predictor
    with pytest.raises(TypeError, match="was built in memory"):
        pickle.dumps(changed)


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    shutil.copy(FILE, path)
    pickled = pickle.dumps(load_small(path))
    processes.LoadedModels.alive.clear()
    processes.LoadedModels.kept.clear()
    import torch

    state = torch.load(path, weights_only=True)
    key = next(iter(state))
    state[key] = state[key] + 1
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"The weights of .*model\.pth changed"):
        pickle.loads(pickled)
    path.unlink()
    with pytest.raises(ValueError, match=r"model\.pth.* is neither a known model"):
        pickle.loads(pickled)


FORKED = """
import os, sys, warnings
warnings.simplefilter("ignore")
from tests.helpers.processes import load_small, segment
predictor = load_small()
segment(predictor, 1)
for act in (lambda: segment(predictor, 1), load_small):
    if not os.fork():
        try:
            act()
        except RuntimeError as error:
            print(error, flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_a_forked_process_says_what_to_do() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("This process was forked after a model was loaded")
        assert "get_context('spawn')" in line


def test_a_process_that_was_forked_before_may_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "_first_process", None)
    processes.check_not_forked()
    monkeypatch.setattr(processes, "_first_process", -1)
    with pytest.raises(RuntimeError, match="'spawn' or 'forkserver'"):
        processes.check_not_forked()


@pytest.mark.parametrize(
    ("device", "sentence"),
    [
        ("gpu", "device='gpu' is not known: give 'cpu'"),
        ("meta", "device='meta' is not on this machine"),
        ("cuda:99", "device='cuda:99'"),
        (0, "device is 0: give a name such as 'cpu' or 'cuda:0'"),
        (["cpu"], "device is "),
    ],
)
def test_devices_are_checked_before_weights_are_read(
    device: Any, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: Any, **__: Any) -> None:
        pytest.fail("the weights were read")

    monkeypatch.setattr("napari_sam.prediction.loading.find_spec", read)
    with pytest.raises((ValueError, TypeError), match=sentence):
        ns.load_model(FILE, device=device)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_devices_that_are_missing_are_refused(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = {"cuda": "torch.cuda", "mps": "torch.backends.mps"}[kind]
    monkeypatch.setattr(f"{place}.is_available", lambda: False)
    with pytest.raises(ValueError, match=f"device='{kind}' is not on this machine"):
        ns.load_model(FILE, device=kind)
