"""What a job costs, before any work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import napari_sam as ns
from napari_sam.images.reading.stored_array import StoredArray
from napari_sam.prediction.cache import EmbeddingCache
from napari_sam.scale_out.jobs.estimate import CostEstimate, duration_text
from napari_sam.scale_out.stacks.planning import plan_everything_volume, plan_volume
from tests.helpers.jobs import disc_stack, stand_in
from tests.helpers.ome_zarr import ball_stack, write_ome_zarr

if TYPE_CHECKING:
    from pathlib import Path


def test_bytes_are_those_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One plane a chunk, so that what is read is what was asked for.
    stack = np.stack([np.zeros((6, 64, 80), np.uint8), disc_stack(6, (64, 80))])
    path = write_ome_zarr(tmp_path / "image.zarr", stack, "tzyx")
    job = plan_everything_volume(
        path, path, stand_in("boxes"), index={"T": 1}, contrast_limits=(0, 255)
    )
    cost = job.cost()
    assert cost.encodes == 6
    assert cost.prompts > 6
    assert cost.seconds > 0
    read = []
    get = StoredArray.__getitem__

    def counted(self: StoredArray, key: object) -> np.ndarray:
        read.append(get(self, key))
        return read[-1]

    monkeypatch.setattr(StoredArray, "__getitem__", counted)
    totals = {step.stage: step.total for step in job.run()}
    # The store has chunks of two time points and six planes.
    assert cost.bytes_read == sum(plane.nbytes for plane in read) * 2 * 6
    written = [
        int(job.folder.load(stage, index)["bytes"])
        for stage in ("paint", "level1")
        for index in range(totals[stage])
    ]
    assert cost.bytes_written == sum(written) == 6 * (64 * 80 + 32 * 40) * 4


@pytest.mark.parametrize("model", ["boxes", "instances"])
def test_arrays_cost_as_well(tmp_path: Path, model: str) -> None:
    job = plan_everything_volume(disc_stack(5), model=stand_in(model), workdir=tmp_path)
    cost = job.cost()
    assert cost.bytes_read == 10 * 90 * 110
    assert cost.encodes >= 5
    assert not job.folder.done("search")


@pytest.mark.parametrize("few", [False, True])
def test_following_costs_encodes_and_prompts_of_all_slices(
    tmp_path: Path, few: bool
) -> None:
    prompts = {4: ns.Prompt(box=(7, 12, 23, 28))}
    stack = ball_stack()
    if few:
        stack = stack[4:6]
        prompts = {0: prompts[4]}
    model = stand_in("boxes")
    plain = EmbeddingCache()
    ns.segment_volume(stack, prompts, model, cache=plain)
    asked = len(model.received)
    job = plan_volume(stack, prompts, model=stand_in("boxes"), workdir=tmp_path)
    cost = job.cost()
    assert not job.folder.done("prompted")
    # The ball ends before the stack does.
    assert cost.encodes == plain.encoded_count if few else cost.encodes >= 9
    assert cost.prompts >= asked
    assert cost.seconds > 0


def test_embeddings_of_all_planes_are_in_the_cost(tmp_path: Path) -> None:
    prompts = {4: ns.Prompt(box=(7, 12, 23, 28))}
    stack, encodes = ball_stack(), []
    for name, folder in (("with", tmp_path / "embeddings"), ("without", None)):
        job = plan_volume(
            stack,
            prompts,
            model=stand_in("boxes"),
            workdir=tmp_path / name,
            embeddings=folder,
        )
        encodes.append(job.cost().encodes)
    assert encodes[0] == encodes[1] + len(stack)


def test_a_sentence_says_it() -> None:
    cost = CostEstimate(10_000, 1_440_000, 2**40, 2**41, 78_000)
    assert cost.text == (
        "10,000 images to encode and 1,440,000 prompts, 1,099.51 GB to read and "
        "2,199.02 GB to write, about 21.7 h on this computer."
    )
    texts = [duration_text(seconds) for seconds in (3.4, 150, 9000, 200_000)]
    assert texts == ["3 s", "2 min", "2.5 h", "2.3 days"]
