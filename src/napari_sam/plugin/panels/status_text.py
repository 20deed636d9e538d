"""Texts of the panel: the model, the state of the work, results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.checkpoints.download import is_cached
from napari_sam.checkpoints.families import PREPROCESSING
from napari_sam.files import MEGABYTE
from napari_sam.plugin.panels.key_bindings import ACCEPT, DISCARD, DOUBT
from napari_sam.plugin.state.pending_result import shown_candidate

if TYPE_CHECKING:
    from napari_sam.checkpoints.model_spec import ModelSpec
    from napari_sam.plugin.layers.labels_writer import WriteSummary
    from napari_sam.plugin.session import SamSession
    from napari_sam.plugin.state.pending_result import PendingResult
    from napari_sam.prediction.predictor import Predictor
    from napari_sam.requests.base import SegmentationResult
    from napari_sam.volume.results import VolumeResult

OWN_MODEL = (
    "Your own weights. Where the file does not say how they were trained, choose it: "
    "images are prepared for it."
)


_FIRST_STEPS = (
    "1. Draw a box around an object, or click on it with the points layer.\n"
    "2. Look at the blue outline. Not right? Move the box, or add points.\n"
    f"3. Press {ACCEPT} to keep it, {DISCARD} to drop it. Then draw the next one."
)


def model_text(spec: ModelSpec | None, loaded: Predictor | None) -> tuple[str, str]:
    """What the model is for and where it runs, and how it sees images.

    Parameters
    ----------
    spec : ModelSpec or None
        None for a file of the user's own.
    loaded : Predictor or None
        The model, once it is loaded.

    Returns
    -------
    note, seen : str
        Two lines for the panel, and one for whoever points at them; empty where
        nothing is known before a file is loaded.
    """
    known = spec or loaded
    if known is None:
        return OWN_MODEL, ""
    kinds = "boxes (points: a search over boxes)"
    if "point" in known.prompts or known.click_decoder is not None:
        kinds = "points, boxes"
    state = "not downloaded"
    if loaded is not None:
        state = f"loaded, runs on {loaded.device}"
    elif spec is not None and is_cached(spec):
        state = "ready"
    if spec is not None:
        seen = PREPROCESSING[spec.family].describe(spec.image_size)
        note = f"{spec.title}; {kinds}; {state}; licence {spec.licence}"
    else:
        assert loaded is not None
        seen = loaded.preprocessing.describe(loaded.input_size)
        note = f"{loaded.name}, trained as {loaded.family}; {kinds}; {state}"
    return note, f"Sees images so: {seen}"


def download_text(spec: ModelSpec) -> str:
    """What the button brings: size and licence."""
    size = f"{spec.size_bytes / MEGABYTE:.0f} MB, " if spec.size_bytes else ""
    return f"Download the model ({size}{spec.licence})"


def status_text(session: SamSession) -> str:
    """Where the user is, and what to do next, in one line."""
    if session.image_layer is None:
        return "Open an image, or a sample: File > Open Sample > napari-sam."
    if session.result is not None:
        return _waiting_sentence(session, session.result)
    revision = session.corrections.revision
    if revision is not None:
        which = _labels(revision.ids)
        return (
            f"Correcting {which}: add points or a box, segment, and accept to replace "
            "it; Discard leaves it as it is."
        )
    written = session.target.last_written
    if written is not None:
        if not written.pixels:
            return "Nothing was written: every pixel belongs to other objects."
        return (
            f"Wrote {_labels(written.label_ids)} (undo: Ctrl+Z on the labels layer). "
            "Draw the next one."
        )
    if session.points_layer is None and session.shapes_layer is None:
        return "Press 'Start' to draw on the image."
    return _FIRST_STEPS


def _waiting_sentence(session: SamSession, result: SegmentationResult) -> str:
    """What waits, and what can be done with it."""
    found = len({piece.number for piece in result.pieces})
    if not found:
        if result.candidates:
            return "Nothing passes: lower the thresholds, or try crops or a shape."
        return "Nothing was found: change the prompts and segment again."
    what = "1 object" if found == 1 else f"{found} objects"
    if result.volume is not None:
        return f"{what} in the preview{_of_stack(session.waiting, result.volume)}"
    if result.candidates:
        return (
            f"{what} in the preview. Change the thresholds until they are right, "
            f"then Accept ({ACCEPT})."
        )
    shown = shown_candidate(result)
    which = "" if shown is None else f" ({shown[0]} of {shown[1]} candidates)"
    return (
        f"{what} in the preview{which}, score {result.lowest_score:.2f}. Accept "
        f"({ACCEPT}), or change the prompts."
    )


def _of_stack(waiting: PendingResult, volume: VolumeResult) -> str:
    """The rest of the sentence about objects that were followed through a stack."""
    states = waiting.states
    if not volume.complete:
        return (
            f", slices {min(states)} to {max(states)} so far: 'Segment stack' goes on, "
            f"Accept ({ACCEPT}) takes what is there."
        )
    doubtful = len(waiting.doubtful)
    if doubtful:
        slices = "1 slice is" if doubtful == 1 else f"{doubtful} slices are"
        return (
            f"; {slices} doubtful. Look at the next one ({DOUBT}), draw on it and "
            f"press 'Segment stack' again, or Accept ({ACCEPT})."
        )
    return (
        f", slices {min(states)} to {max(states)}. Accept ({ACCEPT}), or change the "
        "prompts and press 'Segment stack' again."
    )


def committed_text(written: WriteSummary) -> str:
    """What of the last object was not written, in a sentence; empty when all was."""
    parts = []
    if written.kept:
        parts.append(f"{written.kept} pixels were kept for other objects")
    if written.outside:
        parts.append(f"{written.outside} pixels lie outside the labels")
    return f"{' and '.join(parts)}." if parts else ""


def _labels(ids: tuple[int, ...]) -> str:
    different = sorted(set(ids))
    if len(different) == 1:
        return f"label {different[0]}"
    return f"labels {different[0]} to {different[-1]}"
