"""Stand-in models for jobs of these tests."""

from __future__ import annotations

import pytest

from napari_sam.scale_out.jobs import schedulers
from napari_sam.scale_out.stacks import model_job
from tests.helpers import jobs


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load stand-ins here and in the processes of pools."""
    monkeypatch.setattr(model_job, "load_from_json", model_job.load_from_json)
    monkeypatch.setattr(schedulers, "_start_worker", jobs.start_worker)
    jobs.install_stand_ins()
