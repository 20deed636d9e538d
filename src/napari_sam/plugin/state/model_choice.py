"""The chosen model: a name, a file or a loaded predictor, loaded when needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam.checkpoints.download import is_cached
from napari_sam.checkpoints.registry import MODELS

if TYPE_CHECKING:
    from napari_sam.checkpoints.families import Family
    from napari_sam.prediction.predictor import Predictor

Report = Callable[[int, int | None], None]


class ModelChoice:
    """Which model answers.

    Parameters
    ----------
    model : str, Path or Predictor
        See `napari_sam.load_model`.

    Attributes
    ----------
    family : str or None
        How a model file was trained; needed for files that are not registered.
    """

    def __init__(self, model: str | Path | Predictor) -> None:
        self.family: Family | None = None
        self.choose(model)

    def choose(self, model: str | Path | Predictor) -> None:
        """Take another model."""
        from napari_sam.prediction.predictor import Predictor

        self.chosen: Any = model
        self.loaded = model if isinstance(model, Predictor) else None

    @property
    def is_at_hand(self) -> bool:
        """Whether the model can be used without a download."""
        if self.loaded is not None:
            return True
        name = str(self.chosen)
        return is_cached(MODELS[name]) if name in MODELS else Path(name).exists()

    @property
    def name(self) -> str:
        """What to call it: its name, or that of its file."""
        if self.loaded is not None:
            return self.loaded.name
        name = str(self.chosen)
        return name if name in MODELS else Path(name).name

    @property
    def prompts(self) -> frozenset[str] | None:
        """The kinds of prompt it was taught; None of a file that is not loaded."""
        if self.loaded is not None:
            return self.loaded.prompts
        spec = MODELS.get(str(self.chosen))
        return None if spec is None else spec.prompts

    def load(self, progress: Report | None = None) -> Predictor:
        """Load the model unless it is loaded; brings its weights where needed."""
        if self.loaded is None:
            self.loaded = self.loader()(progress)
        return self.loaded

    def loader(self) -> Callable[[Report | None], Predictor]:
        """A function that loads the chosen model, for any thread."""
        model, family = self.chosen, self.family

        def load(progress: Report | None = None) -> Predictor:
            from napari_sam.prediction.loading import load_model

            return load_model(model, family=family, progress=progress)

        return load

    def keep(self, predictor: Predictor, model: Any) -> None:
        """Keep the predictor loaded from `model`, if that is still the chosen one."""
        if model is self.chosen:
            self.loaded = predictor
