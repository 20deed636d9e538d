"""Segmentation of a series by a job: a task for each image."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from napari_sam.scale_out.jobs.stages import ChangedImageError, Stage
from napari_sam.scale_out.stacks.model_job import ModelJob
from napari_sam.series.batch import iter_batch
from napari_sam.series.batch_job import ImageFailedError, job_from_json
from napari_sam.series.opening import open_series

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari_sam.scale_out.jobs.estimate import CostEstimate
    from napari_sam.series.image_series import ImageSeries
    from napari_sam.series.jobs import ImageJob


class SeriesJob(ModelJob):
    """Segmentation of the images of a series."""

    @property
    def stages(self) -> Sequence[Stage]:
        """One task for each image; the others go on when one fails."""
        count = len(self.plan["items"])
        return (
            Stage(
                "images",
                "Segmenting images",
                lambda: count,
                self._segment,
                needs_model=True,
                goes_on=True,
            ),
        )

    def check_unchanged(self) -> None:
        """Refuse a series that lacks images of the plan.

        Raises
        ------
        ChangedImageError
            When it does.
        """
        present = {item.name for item in self._series}
        missing = [name for name in self.plan["items"] if name not in present]
        if missing:
            raise ChangedImageError(
                f"The series lacks {len(missing)} images of the plan, such as "
                f"{missing[0]}: segment it again in a new job."
            )

    def cost(self) -> CostEstimate:
        """Refuse: images of a series have no common size."""
        raise ValueError("The cost of a series is not known: time some of its images.")

    def result(self) -> int:
        """Return the number of images."""
        return len(self.plan["items"])

    @cached_property
    def _series(self) -> ImageSeries:
        return open_series(self.plan["series"])

    @cached_property
    def _job(self) -> ImageJob:
        names = [item.name for item in self._series]
        return job_from_json(self.plan["job"], names)

    def _segment(self, index: int) -> Mapping[str, Any]:
        item = self._series[self.plan["items"][index]]
        again, model = self.plan["again"], self.plan["chosen"] or self.predictor
        *_, last = iter_batch([item], self._job, self.predictor, model, again)
        if last.problem:
            raise ImageFailedError(last.problem)
        return {"objects": last.objects}
