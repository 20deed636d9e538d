"""Damaged files of every kind: one sentence, in little time and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from benchmarks.robustness.fuzz import example
from benchmarks.robustness.fuzzing.limits import complaint
from benchmarks.robustness.fuzzing.readers import readers

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = 30
# Each needs much longer than the others: a training step, a network.
SLOW = {"training_state": 8, "fine_tuned": 8, "checkpoint": 8, "job": 12}


@pytest.mark.parametrize("name", list(readers()))
def test_damaged_files(name: str, tmp_path: Path) -> None:
    reader, valid = readers()[name], tmp_path / "valid"
    valid.mkdir()
    reader.build(valid)
    assert complaint(lambda: reader.read(valid)) == ""
    for seed in range(SLOW.get(name, EXAMPLES)):
        assert example(reader, valid, tmp_path / "damaged", seed) == "", seed
