"""What all jobs on a stack share: image, model, and the painting of labels."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property, partial
from importlib.metadata import version
from math import prod
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_sam.images.zarr_labels.layout import LabelLayout
from napari_sam.requests.view import ImageView
from napari_sam.scale_out.jobs.estimate import CostEstimate
from napari_sam.scale_out.jobs.stages import ChangedImageError, Stage
from napari_sam.scale_out.stacks.cost import label_bytes, plane_bytes
from napari_sam.scale_out.stacks.model import model_to_json
from napari_sam.scale_out.stacks.model_job import ModelJob
from napari_sam.scale_out.stacks.output import (
    PAINT,
    FolderOutput,
    LabelOutput,
    ZarrOutput,
)
from napari_sam.scale_out.stacks.source import SAMPLED_PLANES, Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.images.stack import Stack
    from napari_sam.masks.cleanup import CleanUp
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.requests.view import ImageView as View


# Where a plane costs little a task has several: so many pixels and planes at most, and
# no fewer tasks than this.
_GROUP_PIXELS, _GROUP_PLANES, _LEAST_TASKS = 2**21, 16, 16


class PlaneGroups:
    """Runs of planes that are one task each.

    Parameters
    ----------
    planes : int
        Number of planes.
    size : int
        Planes of each group but the last.
    """

    def __init__(self, planes: int, size: int) -> None:
        self._planes, self.size = planes, size

    @classmethod
    def of(cls, planes: int, plane_shape: tuple[int, int]) -> Self:
        """Return groups of planes of a shape."""
        size = min(
            _GROUP_PIXELS // prod(plane_shape), _GROUP_PLANES, planes // _LEAST_TASKS
        )
        return cls(planes, max(size, 1))

    def __len__(self) -> int:
        return -(-self._planes // self.size)

    def __getitem__(self, index: int) -> range:
        start = index * self.size
        return range(start, min(start + self.size, self._planes))


class StackJob(ModelJob):
    """A job that paints labels of a stack; subclasses compute the planes."""

    # -- for subclasses ----------------------------------------------------------------

    @property
    def own_stages(self) -> Sequence[Stage]:
        """The stages before the labels are painted."""
        raise NotImplementedError

    @property
    def stack(self) -> Stack:
        """The planes of the image."""
        raise NotImplementedError

    def plane(self, index: int) -> NDArray[np.int32]:
        """Return the labels of a plane, (H, W)."""
        raise NotImplementedError

    # -- image and model ---------------------------------------------------------------

    @cached_property
    def source(self) -> Source:
        """The image."""
        return Source.open(self.plan["image"], self.folder.path)

    @cached_property
    def view(self) -> View:
        """The image with the contrast limits of the plan."""
        return ImageView.from_json(self.plan["view"], [self.source.used.data])

    def check_unchanged(self) -> None:
        """Refuse to go on with an image that has changed since it was planned.

        Raises
        ------
        ChangedImageError
            When it has.
        """
        now, planned = self.source.fingerprint(), self.plan["fingerprint"]
        if now != planned:
            names = [n for n in planned if planned[n] != now.get(n)]
            place = self.source.path or "The array"
            raise ChangedImageError(
                f"{place} has changed since the job was planned ({', '.join(names)}): "
                "plan it again in another folder."
            )

    def estimate(self, encodes: int, prompts: int, seconds: float) -> CostEstimate:
        """Add what is read and written to the work of the model.

        Parameters
        ----------
        encodes, prompts, seconds
            Of all planes.
        """
        count = len(self.stack)
        return CostEstimate(
            encodes,
            prompts,
            # Some planes are read again, to notice a change.
            plane_bytes(self.stack) * (count + min(count, SAMPLED_PLANES)),
            label_bytes(self.output.shapes),
            seconds,
        )

    # -- labels ------------------------------------------------------------------------

    @cached_property
    def output(self) -> LabelOutput:
        """Where the labels go."""
        entry = self.plan["output"]
        if entry is None:
            return FolderOutput(self.folder, self.stack.shape, self.stack.axis)
        return ZarrOutput(LabelLayout.from_json(entry["layout"]), entry["overwrite"])

    @cached_property
    def stages(self) -> Sequence[Stage]:
        """All stages, in order. The output first: it may not be writable."""
        output = self.output
        levels = [
            Stage(
                f"level{level}",
                f"Painting level {level}",
                partial(int, count),
                partial(self._paint_level, level),
            )
            for level, count in enumerate(output.level_counts, start=1)
        ]
        return (
            Stage("output", "Making the output", one, self._create),
            *self.own_stages,
            Stage(PAINT, "Painting labels", lambda: output.part_count, self._paint),
            *levels,
            Stage("finish", "Finishing", one, self._finish),
        )

    @property
    def placement(self) -> Mapping[str, tuple[float, ...]]:
        """Scale and translation of the labels; nothing where none are known."""
        return self.output.placement or self.image_placement

    @property
    def image_placement(self) -> Mapping[str, tuple[float, ...]]:
        """Scale of labels that have the shape of the image, where it is known."""
        used = self.source.used
        if not used.spacing:
            return {}
        axes = used.axes.removesuffix("S")
        return {"scale": tuple(used.spacing.get(axis, 1.0) for axis in axes)}

    def result(self) -> Any:
        """Return the labels of the complete job."""
        return self.output.result()

    def _create(self, _: int) -> Mapping[str, Any]:
        self.output.create()
        return {}

    def _paint(self, index: int) -> Mapping[str, Any]:
        axis, planes = self.stack.axis, self.output.planes(index)
        shape = list(self.stack.shape)
        shape[axis] = planes.stop - planes.start
        labels = np.zeros(shape, np.int32)
        for z in range(planes.start, planes.stop):
            at = list(self.stack.plane_index(z))
            at[axis] = z - planes.start
            labels[tuple(at)] = self.plane(z)
        return self.output.write(index, labels)

    def _paint_level(self, level: int, index: int) -> Mapping[str, Any]:
        return {"bytes": self.output.write_level(level, index)}

    def _finish(self, _: int) -> Mapping[str, Any]:
        names = ("kind", "version", "model", "view", "settings", "cleanup", "image")
        record = {name: self.plan[name] for name in names}
        model = {n: self.plan["model"][n] for n in ("name", "key")}
        self.output.finish({**record, "model": model})
        return {}


def one() -> int:
    """Return the number of tasks of a stage that is one task."""
    return 1


def stack_plan(
    kind: str,
    source: Source,
    view: View,
    stack: Stack,
    settings: Mapping[str, Any],
    cleanup: CleanUp,
    predictor: Predictor,
    output: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the plan of a job on a stack: all that its labels depend on.

    Parameters
    ----------
    kind : str
        Kind of the job.
    source : Source
        The image.
    view : ImageView
        Its rule for contrast limits, which are measured here, once for all tasks.
    stack : Stack
        Its planes.
    settings : mapping
        Settings of the request, in plain JSON types.
    cleanup : CleanUp
        Clean-up of the objects.
    predictor : Predictor
        The model.
    output : mapping, optional
        Layout of the labels in an OME-Zarr; None to return them.
    """
    limits = view.contrast_limits(stack.plane_index(0))
    return {
        "kind": kind,
        "version": version("napari-sam"),
        "torch": version("torch"),
        "image": dict(source.entry),
        "fingerprint": source.fingerprint(),
        "view": view.to_json(limits),
        "settings": dict(settings),
        "cleanup": asdict(cleanup),
        "model": model_to_json(predictor),
        "output": None if output is None else dict(output),
    }
