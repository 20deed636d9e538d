"""What the dock *Job progress* says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.scale_out.jobs.estimate import duration_text

if TYPE_CHECKING:
    from napari_sam.scale_out.jobs.job import StageStatus
    from napari_sam.scale_out.jobs.watching import JobView

_MAX_FAILURES = 3


def status_text(view: JobView) -> str:
    """Return a sentence on how far a job is, and the first of what failed."""
    lines = [_progress_text(view)]
    for failure in view.failed[:_MAX_FAILURES]:
        lines.append(f"{failure.stage} {failure.index} failed: {failure.sentence}")
    if view.failed:
        lines.append(f"{len(view.failed)} tasks failed: run the job again.")
    return "\n".join(lines)


def stage_row(stage: StageStatus) -> tuple[str, str, str]:
    """Return the name of a stage, what is done of it, and what failed."""
    total = "?" if stage.total is None else f"{stage.total:,}"
    failed = f"{stage.failed:,}" if stage.failed else ""
    return stage.what, f"{stage.done:,} of {total}", failed


def _progress_text(view: JobView) -> str:
    current = view.current
    if current is None:
        return "Complete."
    text = current.what
    if current.total is not None:
        text += f": {current.done:,} of {current.total:,}"
    if view.seconds_left is not None:
        text += f", about {duration_text(view.seconds_left)} left in this stage"
    if not view.workers:
        return f"{text}. Nobody works on it."
    return f"{text}. {', '.join(view.workers)}."
