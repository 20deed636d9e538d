"""The chosen model: a name, a file or a loaded predictor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_sam.checkpoints.download import is_cached
from napari_sam.checkpoints.registry import MODELS
from napari_sam.checks.values import describe

if TYPE_CHECKING:
    from napari_sam.checkpoints.families import Family
    from napari_sam.checkpoints.prompt_support import PromptSupport
    from napari_sam.prediction.predictor import Predictor

ByteProgress = Callable[[int, int | None], None]


class ModelChoice:
    """The model of a session; loaded when it is first needed.

    Parameters
    ----------
    model : str, Path or Predictor
        See `napari_sam.load_model`.

    Attributes
    ----------
    chosen : str, Path or Predictor
        The model as the user named it.
    loaded : Predictor or None
        The model once it is loaded.
    family : str or None
        Preprocessing of a model file; needed for unregistered files.
    device : str or None
        Where the model is loaded, such as "cpu"; chosen automatically when None.
    """

    def __init__(self, model: str | Path | Predictor) -> None:
        self.family: Family | None = None
        self.loaded: Predictor | None
        self.device: str | None = None
        self.choose(model)

    def choose(self, model: str | Path | Predictor) -> None:
        """Choose another model."""
        # Asking for the class of a predictor would import torch, which takes seconds.
        if not (isinstance(model, str | Path) or hasattr(model, "predict_batch")):
            raise TypeError(
                f"model is {describe(model)}: give a name, a path or a loaded "
                "Predictor."
            )
        self.chosen: Any = model
        self.loaded = None if isinstance(model, str | Path) else model
        self._read: list[Predictor] = []

    @property
    def is_at_hand(self) -> bool:
        """Whether the model can be used without a download."""
        if self.loaded is not None:
            return True
        name = str(self.chosen)
        return is_cached(MODELS[name]) if name in MODELS else Path(name).exists()

    @property
    def name(self) -> str:
        """Name of the model or of its file."""
        if self.loaded is not None:
            return self.loaded.name
        name = str(self.chosen)
        return name if name in MODELS else Path(name).name

    @property
    def prompts(self) -> frozenset[str] | None:
        """Prompt types the model was trained on; None for a file not yet loaded."""
        if self.loaded is not None:
            return self.loaded.prompts
        spec = MODELS.get(str(self.chosen))
        return None if spec is None else spec.prompts

    @property
    def prompt_support(self) -> PromptSupport | None:
        """How the chosen model answers prompts and finds objects, if known."""
        if self.loaded is not None:
            return self.loaded.prompt_support
        spec = MODELS.get(str(self.chosen))
        return None if spec is None else spec.prompt_support

    def load(self, progress: ByteProgress | None = None) -> Predictor:
        """Load the model unless it is loaded; download its weights if needed."""
        if self.loaded is None:
            self.loaded = self.loader()(progress)
        return self.loaded

    def loader(self) -> Callable[[ByteProgress | None], Predictor]:
        """Return a function that loads the chosen model on the worker thread.

        A job that was cancelled while it loaded has loaded it for the next one.
        """
        model, family, device = self.chosen, self.family, self.device
        read = self._read

        def load(progress: ByteProgress | None = None) -> Predictor:
            from napari_sam.prediction.loading import load_model

            if not read:
                read.append(
                    load_model(model, device=device, family=family, progress=progress)
                )
            return read[0]

        return load

    def keep(self, predictor: Predictor, model: Any) -> None:
        """Keep the predictor loaded from `model`, if that is still the chosen one."""
        if model is self.chosen:
            self.loaded = predictor
