"""The labels of a job are those of the plain call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.masks.cleanup import CleanUp
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.prediction.steps import run_to_end
from napari_sam.requests.from_arrays import automatic_stack_request
from napari_sam.scale_out.stacks.planning import plan_everything_volume
from tests.helpers.jobs import disc_stack, stand_in

if TYPE_CHECKING:
    from pathlib import Path

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "no gap": {"linking": ns.Linking(gap=0, min_slices=1)},
    "long gaps": {"linking": ns.Linking(gap=3, min_slices=3, overlap=0.2)},
    "clean-up": {
        "cleanup": CleanUp(fill_holes=True, smooth=1.0, min_size=90),
        "spacing": (2, 1, 1),
    },
    "thresholds": {"thresholds": ns.Thresholds(min_size=120)},
    "tiles": {"options": ns.SearchOptions(crop_n_layers=1)},
}


def same_as_plain(folder: Path, model: str, stack: Any, axis: int, **case: Any) -> int:
    """Compare a job with the plain call; return the number of objects."""
    request = automatic_stack_request(stack, axis, **case)
    plain = run_to_end(request.run(stand_in(model), EmbeddingCache()))
    expected = plain.paint(request.stack.shape)
    job = plan_everything_volume(
        stack, model=stand_in(model), axis=axis, workdir=folder, **case
    )
    steps = list(job.run())
    assert all(not step.failed for step in steps)
    labels = job.result()
    assert labels.dtype == np.int32
    assert_array_equal(labels, expected)
    return int(expected.max())


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("model", ["boxes", "instances"])
def test_same_labels(tmp_path: Path, model: str, case: str) -> None:
    assert same_as_plain(tmp_path, model, disc_stack(), 0, **CASES[case]) > 3


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("model", ["boxes", "instances"])
def test_along_another_axis(tmp_path: Path, model: str, axis: int) -> None:
    stack = np.moveaxis(disc_stack(), 0, axis)
    assert same_as_plain(tmp_path, model, stack, axis) > 3


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_contrast_limits_are_measured_once(tmp_path: Path, dtype: str) -> None:
    stack = (disc_stack().astype(float) * 3.7 - 50).clip(0).astype(dtype)
    stack[3] = stack[3] / 3  # its own limits would show other objects
    assert same_as_plain(tmp_path, "boxes", stack, 0) > 3


def test_colour_and_a_region(tmp_path: Path) -> None:
    stack = np.repeat(disc_stack()[..., None], 3, axis=-1)
    region = np.zeros(stack.shape[1:3], bool)
    region[:70, :60] = True
    assert same_as_plain(tmp_path, "boxes", stack, 0, region=region) > 1


def test_planes_that_show_nothing(tmp_path: Path) -> None:
    stack = disc_stack()
    stack[2:4] = 0
    assert same_as_plain(tmp_path, "instances", stack, 0) > 3
    stack[:] = 0
    job = plan_everything_volume(
        stack, model=stand_in("instances"), workdir=tmp_path / "empty"
    )
    assert list(job.run())[-1].failed == 1
    with pytest.raises(RuntimeError, match="The stack shows nothing"):
        job.result()


def test_very_large_stacks_are_searched_plane_by_plane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_sam.requests.automatic_stack._MAX_MAP_BYTES", 1)
    assert same_as_plain(tmp_path, "instances", disc_stack(), 0) > 3


def test_blocks_of_a_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "napari_sam.automatic.instances.stack_search"
    for name, value in (("_VOXELS", 1), ("_LEAST_BLOCK", 40), ("_MARGIN", 30)):
        monkeypatch.setattr(f"{module}.{name}", value)
    assert same_as_plain(tmp_path, "instances", disc_stack(), 0) > 3
