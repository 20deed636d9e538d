"""Texts about models: what they are for, their state, and which to take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.checkpoints.download import is_cached
from napari_sam.checkpoints.families import PREPROCESSING
from napari_sam.checkpoints.registry import ADVICE, MODELS
from napari_sam.files import MEGABYTE

if TYPE_CHECKING:
    from napari_sam.checkpoints.model_spec import ModelSpec
    from napari_sam.prediction.predictor import Predictor

_OWN_MODEL = (
    "A model file of your own. If the file does not say how the model was trained, "
    "choose it under 'Trained as'."
)


def choice_text(spec: ModelSpec, is_here: bool) -> str:
    """Return the entry of a model in a list: title, speed, and size or state."""
    where = "ready" if is_here else f"download{_size(spec, ' ')}"
    return f"{spec.title} · {spec.speed} · {where}"


def purpose_text(spec: ModelSpec) -> str:
    """Say what a model is for, its prompts, speed, size and licence."""
    prompts = "Boxes; clicks by a search over boxes"
    if spec.prompt_support.answers("point"):
        prompts = "Boxes and clicks"
    size = _size(spec, "; ")
    return f"For {spec.purpose}. {prompts}; {spec.speed}{size}; licence {spec.licence}."


def model_text(spec: ModelSpec | None, loaded: Predictor | None) -> tuple[str, str]:
    """Describe a model, its state, and how it preprocesses images.

    Parameters
    ----------
    spec : ModelSpec or None
        A model of the registry; None for the user's own file.
    loaded : Predictor or None
        The model, once it is loaded.

    Returns
    -------
    note, tooltip : str
        Some lines for the panel and one for its tooltip.
    """
    if spec is not None:
        preprocessing = PREPROCESSING[spec.family].describe(spec.image_size)
        note = f"{purpose_text(spec)} {_state(spec, loaded)}"
    elif loaded is not None:
        preprocessing = loaded.preprocessing.describe(loaded.input_size)
        note = f"{loaded.name}, trained as {loaded.family}. {_state(None, loaded)}"
    else:
        return _OWN_MODEL, "The file is read when it is first needed"
    return note, f"Preprocessing: {preprocessing}"


def download_text(spec: ModelSpec) -> str:
    """Return the text of the download button, with size and licence."""
    return f"Download the model ({_size(spec, '', ', ')}{spec.licence})"


def advice_text() -> str:
    """Say which models to try, a line for each kind of image."""
    return "\n".join(
        f"{kind}: {', then '.join(MODELS[name].title for name in names)}"
        for kind, names in ADVICE.items()
    )


def _state(spec: ModelSpec | None, loaded: Predictor | None) -> str:
    if loaded is not None:
        return f"Loaded, runs on {str(loaded.device).upper()}."
    if spec is not None and is_cached(spec):
        return "Ready."
    return "Not downloaded yet."


def _size(spec: ModelSpec, before: str, after: str = "") -> str:
    """Return the size of the file; empty where its publisher does not state it."""
    if not spec.size_bytes:
        return ""
    return f"{before}{spec.size_bytes / MEGABYTE:.0f} MB{after}"
