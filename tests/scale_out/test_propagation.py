"""Objects through a stack by a job: the same slices and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.masks.cleanup import CleanUp
from napari_sam.prediction.disk_cache import DiskCache
from napari_sam.scale_out.stacks import propagation
from napari_sam.scale_out.stacks.planning import plan_volume
from tests.helpers.jobs import stand_in
from tests.helpers.ome_zarr import ball_stack, write_ome_zarr
from tests.helpers.processes import load_small

if TYPE_CHECKING:
    from pathlib import Path

PROMPTS = {
    3: {4: ns.Prompt(box=(7, 12, 23, 28))},
    5: {4: ns.Prompt(box=(22, 32, 34, 44)), 6: ns.Prompt(box=(23, 33, 33, 43))},
}


def assert_same(found: ns.VolumeResult, expected: ns.VolumeResult) -> None:
    assert_array_equal(found.labels, expected.labels)
    assert found.labels.any()
    for one, other in zip(found.slices, expected.slices, strict=True):
        assert_array_equal(one.logits, other.logits)
        assert one.logits.dtype == other.logits.dtype
        for name in (
            *("object_id", "index", "score", "status", "origin", "confidence"),
            *("provisional", "window", "appearance"),
        ):
            assert getattr(one, name) == getattr(other, name), name
    assert found.fingerprint is not None
    assert found.fingerprint == expected.fingerprint or (
        expected.fingerprint is not None
        and found.fingerprint.settings == expected.fingerprint.settings
        and found.fingerprint.pixels == expected.fingerprint.pixels
    )
    for name in ("recomputed", "complete", "empty"):
        assert getattr(found, name) == getattr(expected, name)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("scheduler", [None, 1])
def test_same_result(tmp_path: Path, axis: int, scheduler: int | None) -> None:
    stack = np.moveaxis(ball_stack(), 0, axis)
    masks = {3: {5: ball_stack()[5] == 700}}
    arguments: Any = {"axis": axis, "masks": masks, "spacing": 2.0}
    model = stand_in("boxes")
    expected = ns.segment_volume(stack, PROMPTS, model, **arguments)
    found = ns.segment_volume(
        stack, PROMPTS, model, workdir=tmp_path, scheduler=scheduler, **arguments
    )
    assert_same(found, expected)


def test_small_objects_are_told(tmp_path: Path) -> None:
    prompts = {4: ns.Prompt(box=(14, 19, 16, 21))}
    with pytest.warns(ns.SmallObjectWarning, match="Object 1 is only"):
        ns.segment_volume(
            ball_stack(), prompts, stand_in("boxes"), workdir=tmp_path, zoom="off"
        )


def test_a_result_of_a_job_can_be_corrected(tmp_path: Path) -> None:
    stack, model = ball_stack(), stand_in("boxes")
    first = ns.segment_volume(stack, PROMPTS, model, workdir=tmp_path)
    more = {**PROMPTS, 7: {4: ns.Prompt(box=(7, 12, 23, 28))}}
    again = ns.segment_volume(stack, more, model, previous=first)
    assert 0 < again.recomputed < first.recomputed
    by_job = ns.segment_volume(
        stack, more, model, previous=first, workdir=tmp_path / "again"
    )
    assert_same(by_job, again)
    with pytest.raises(ValueError, match="another job, which differs in previous"):
        plan_volume(stack, more, None, model, workdir=tmp_path / "again")


def two_apart(seed: int) -> tuple[np.ndarray, dict[int, dict[int, ns.Prompt]]]:
    """A stack of balls in two far corners, and boxes of all of them."""
    rng = np.random.default_rng(seed)
    stack = np.zeros((9, 300, 600), np.uint16)
    prompts, z = {}, int(rng.integers(3, 6))
    # The second and the third ball touch in some of the stacks.
    for number, (row, col) in enumerate(
        ((60, 60), (60, 500), (60, 520 + int(rng.integers(0, 20))), (220, 90)), start=1
    ):
        grid = np.indices(stack.shape)
        offsets = (grid[0] - z) * 2.5, grid[1] - row, grid[2] - col
        stack[sum(o**2 for o in offsets) < 100] = 700
        box = (row - 9, col - 9, row + 9, col + 9)
        prompts[number] = {z: ns.Prompt(box=box)}
    return stack, prompts


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("apart", [False, True])
def test_objects_that_do_not_meet_are_tasks_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, apart: bool
) -> None:
    stack, prompts = two_apart(seed)
    model = stand_in("boxes")
    model.smallest_window = 64
    expected = ns.segment_volume(stack, prompts, model)
    if apart:  # also those that meet are apart at first
        monkeypatch.setattr(propagation, "first_groups", lambda _: [[1], [2], [3], [4]])
    job = plan_volume(stack, prompts, None, model, workdir=tmp_path)
    tasks = [step.stage for step in job.run()]
    assert tasks.count("follow") == (4 if apart else 3)
    assert tasks.count("again") == int(apart)
    assert_same(job.result(), expected)


def test_a_further_axis_and_clean_up(tmp_path: Path) -> None:
    stack = np.stack([np.zeros((9, 40, 50), np.float32), ball_stack()])
    model = stand_in("boxes")
    plain = ns.segment_volume(stack, PROMPTS, model, axis=1, fixed={0: 1})
    job = plan_volume(
        stack,
        PROMPTS,
        None,
        model,
        1,
        workdir=tmp_path,
        fixed={0: 1},
        cleanup=CleanUp(fill_holes=True, smooth=1.0),
    )
    list(job.run())
    assert_array_equal(job.result().labels, plain.labels)
    with pytest.raises(ValueError, match="fixed is for arrays"):
        plan_volume("x.zarr", PROMPTS, fixed={0: 1})
    with pytest.raises(ValueError, match="There are no prompts"):
        plan_volume(stack[1], {}, None, model, workdir=tmp_path)


def test_embeddings_are_complete_for_the_next_session(tmp_path: Path) -> None:
    path = write_ome_zarr(tmp_path / "image.ome.zarr", ball_stack())
    small = load_small()
    disk = ns.EmbeddingCache(disk=DiskCache(tmp_path / "embeddings", max_bytes=None))
    job = plan_volume(
        path,
        PROMPTS,
        path,
        small,
        embeddings=tmp_path / "embeddings",
        zoom="off",
        contrast_limits=(0, 700),
    )
    assert len([s for s in job.run() if s.stage == "encode"]) == 9
    plain = ns.segment_volume(
        path, PROMPTS, small, cache=disk, zoom="off", contrast_limits=(0, 700)
    )
    assert disk.encoded_count == 0
    assert_same(job.result(), plain)
    stored = zarr.open_array(str(path / "labels" / "napari-sam" / "0"), mode="r")
    assert_array_equal(stored[...], plain.labels)
