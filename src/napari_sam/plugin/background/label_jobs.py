"""Runs the jobs on labels that are written, on the worker thread."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_sam.masks.measurements import ObjectMeasurement
    from napari_sam.plugin.background.request_runner import RequestRunner
    from napari_sam.plugin.labels.measurement import LabelMeasurementJob
    from napari_sam.plugin.session import SamSession


LABEL_BUTTONS = (
    "clean_label",
    "measure",
    "split_label",
    "merge_labels",
    "delete_label",
    "rename_label",
    "relabel",
)


class LabelJob(Protocol):
    """Work that is computed on any thread and applied on the main thread."""

    def compute(self) -> Any:
        """Compute the outcome."""

    def apply(self, outcome: Any) -> object:
        """Write the outcome into layers."""


class LabelJobs:
    """Starts the jobs that correct and measure labels.

    Parameters
    ----------
    session : SamSession
        With the labels layer.
    runner : RequestRunner
        Runs the jobs.
    ask_number : callable
        Takes a label, and returns its new number, or None to leave it as it is.
    show : callable
        Takes a job and the measurements that it made.
    """

    def __init__(
        self,
        session: SamSession,
        runner: RequestRunner,
        ask_number: Callable[[int], int | None],
        show: Callable[[LabelMeasurementJob, Sequence[ObjectMeasurement]], object],
    ) -> None:
        self._session, self._runner = session, runner
        self._ask_number, self._show = ask_number, show
        labels = session.labels
        # What it says while it runs, and what builds it.
        self._jobs: dict[str, tuple[str, Callable[[], LabelJob]]] = {
            "clean_label": ("Cleaning up the label", session.build_label_cleanup),
            "merge_labels": ("Merging labels", labels.build_merge),
            "split_label": ("Splitting the label", labels.build_split),
            "delete_label": ("Deleting the label", labels.build_delete),
            "relabel": ("Numbering the labels", labels.build_relabel),
        }

    def start(self, button: str) -> None:
        """Start the job of a button."""
        if button == "measure":
            self._measure()
        elif button == "rename_label":
            self._rename()
        else:
            what, build = self._jobs[button]
            self._run(what, build())

    def _rename(self) -> None:
        labels = self._session.labels
        label = labels.selected_label
        number = self._ask_number(label)
        if number is not None and number != label:
            self._run("Renumbering the label", labels.build_rename(number, label))

    def _measure(self) -> None:
        job = self._session.build_measurement()
        show = partial(self._show, job)
        self._runner.compute("Measuring objects", job.compute, show)

    def _run(self, what: str, job: LabelJob) -> None:
        self._runner.compute(what, job.compute, job.apply)
