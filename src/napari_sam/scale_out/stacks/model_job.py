"""What all jobs that run a model share: their folder, their plan and the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.scale_out.stacks.model import check_loadable, load_from_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_sam.prediction.predictor import Predictor
    from napari_sam.scale_out.jobs.folder import JobFolder


class ModelJob:
    """A job whose tasks run the model of its plan.

    Parameters
    ----------
    folder : JobFolder
        Its folder.
    predictor : Predictor, optional
        The model, where it is loaded already.
    """

    def __init__(self, folder: JobFolder, predictor: Predictor | None = None) -> None:
        self.folder, self.plan = folder, folder.plan
        self._predictor = predictor

    @property
    def predictor(self) -> Predictor:
        """The model, loaded at its first use."""
        if self._predictor is None:
            self._predictor = load_from_json(self.plan["model"])
        return self._predictor

    @property
    def placement(self) -> Mapping[str, tuple[float, ...]]:
        """Scale and translation of the labels; nothing where none are known."""
        return {}

    def check_sendable(self) -> None:
        """Refuse other processes when they cannot load the model.

        Raises
        ------
        TypeError
            When it was built in memory.
        """
        check_loadable(self.plan["model"])
