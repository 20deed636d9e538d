"""Instance heads in files: the same again, and refused when they do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_sam.checkpoints.instance_head import head_tensors, read_instance_head
from napari_sam.nets.instance_head import InstanceHead

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor

    from napari_sam.prediction.predictor import Predictor


@pytest.fixture
def written() -> InstanceHead:
    """Return a random head for 16 channels."""
    return InstanceHead(16)


@pytest.fixture
def file(tmp_path: Path, written: InstanceHead) -> Path:
    """Return a file with this head."""
    path = tmp_path / "head.safetensors"
    save_file(head_tensors(written), path)
    return path


def test_a_head_is_read_as_it_was_written(
    file: Path, written: InstanceHead, tiny_lite: Predictor
) -> None:
    head = read_instance_head(file, tiny_lite.model)
    for name, value in written.state_dict().items():
        torch.testing.assert_close(head.state_dict()[name], value.half().float())
    assert not head.training


def drop(state: dict[str, Tensor]) -> None:
    del state["instance_head.out.bias"]


def add(state: dict[str, Tensor]) -> None:
    state["instance_head.other"] = torch.zeros(1)


def enlarge(state: dict[str, Tensor]) -> None:
    state["instance_head.out.bias"] = torch.zeros(300)


def spoil(state: dict[str, Tensor]) -> None:
    state["instance_head.out.bias"] = torch.full((3,), float("nan"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop, r"1 keys missing \(out.bias"),
        (add, r"1 keys not expected \(other"),
        (enlarge, r"out.bias \(300,\) instead of \(3,\)"),
        (spoil, "weights that are no numbers"),
        (dict.clear, "keys missing"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(
    change: Callable[[dict[str, Tensor]], None],
    message: str,
    file: Path,
    tiny_lite: Predictor,
) -> None:
    state = dict(load_file(file))
    change(state)
    save_file(state, file)
    with pytest.raises(ValueError, match=message):
        read_instance_head(file, tiny_lite.model)


def test_encoders_of_another_resolution_have_no_head(
    file: Path, tiny_sam: Predictor
) -> None:
    with pytest.raises(ValueError, match="does not fit its image encoder"):
        read_instance_head(file, tiny_sam.model)
