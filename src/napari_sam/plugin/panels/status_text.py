"""Texts of the panel: model, download, current state and next step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.plugin.panels.key_bindings import ACCEPT, DISCARD, DOUBTFUL

if TYPE_CHECKING:
    from napari_sam.plugin.layers.labels_writer import WriteSummary
    from napari_sam.plugin.session import SamSession
    from napari_sam.plugin.state.pending_result import PendingResult
    from napari_sam.volume.results import VolumeResult

PREPARING = "Loading the model. You can draw already."
_FIRST_STEPS = (
    "1. Draw a box around an object, or click on it.\n"
    "2. Check the blue outline. To correct it, move the box or add points.\n"
    f"3. Press {ACCEPT} to accept or {DISCARD} to discard. Draw the next object."
)


def waiting_text(session: SamSession) -> str:
    """Say how many accepted objects are not written yet; empty without any."""
    count = len(session.current.waiting)
    if not count:
        return ""
    objects = "1 accepted object is" if count == 1 else f"{count} accepted objects are"
    return f"{objects} still being outlined. You can draw the next one. "


def status_text(session: SamSession) -> str:
    """Describe the current state, the next step, and a thick slice."""
    return " ".join(filter(None, [_state_text(session), _thick_slice_text(session)]))


def _thick_slice_text(session: SamSession) -> str:
    """Say what the model sees of a thick slice; empty for a single plane."""
    image = session.image_layer
    shown = "" if image is None else session.settings.view.thick_slice_text(image)
    if not shown:
        return ""
    return (
        f"The model sees {shown}, as displayed, and as many around every slice of a "
        "stack."
    )


def _state_text(session: SamSession) -> str:
    if session.image_layer is None:
        return "Open an image, or a sample: File > Open Sample > napari-sam."
    if session.pending is not None:
        corrected = session.current.corrections.slices(session.pending)
        if corrected:
            return (
                f"The outline on slice {corrected[0]} is corrected. Press 'Segment "
                "stack' to use it in the stack."
            )
        warnings = session.pending.result.warnings
        return " ".join([_pending_text(session.pending), *warnings])
    replacement = session.history.replacement
    if replacement is not None:
        which = _labels(replacement.label_ids)
        return (
            f"Correcting {which}: add points or a box, then Accept ({ACCEPT}) to "
            f"replace it. Discard ({DISCARD}) leaves it unchanged."
        )
    written = session.target.last_written
    if written is not None:
        if not written.pixels:
            return "Nothing was written: all pixels belong to other objects."
        return (
            f"Wrote {_labels(written.label_ids)}. Draw the next object. (Ctrl+Z takes "
            "it back.)"
        )
    if session.points_layer is None and session.shapes_layer is None:
        return "Press 'Start' to draw on the image."
    return _FIRST_STEPS


def _pending_text(pending: PendingResult) -> str:
    """Describe the pending result."""
    result = pending.result
    count = len({piece.object_id for piece in result.pieces})
    if not count:
        if result.unlikely:
            return (
                "No object passes the thresholds: lower them, or click a faint object "
                "to add it."
            )
        if result.candidates:
            return (
                "No object passes the thresholds: lower them, or raise 'Crops' and "
                "segment again."
            )
        return "No object was found: change the prompts and segment again."
    objects = "1 object" if count == 1 else f"{count} objects"
    if result.volume is not None:
        return f"{objects} in the preview{_stack_text(pending, result.volume)}"
    if result.candidates:
        if pending.pickable is not None:
            faint = ", a faint one to add it" if result.unlikely else ""
            return (
                f"{objects} in the preview. Click one to leave it out{faint}. Then "
                f"Accept ({ACCEPT})."
            )
        return (
            f"{objects} in the preview. Adjust the thresholds, then Accept ({ACCEPT})."
        )
    shown = pending.displayed_alternative
    which = "" if shown is None else f" ({shown[0]} of {shown[1]} alternatives)"
    return (
        f"{objects} in the preview{which}{_zoom_text(pending)}, score "
        f"{result.lowest_score:.2f}. Accept ({ACCEPT}), or change the prompts."
    )


def _zoom_text(pending: PendingResult) -> str:
    """Name the sides of the windows in which the objects were found."""
    sides = sorted({window.side for window in pending.windows})
    if not sides:
        return ""
    smallest = "" if len(sides) == 1 else f"{sides[0]} to "
    return f", zoomed to {smallest}{sides[-1]} px"


def _stack_text(pending: PendingResult, volume: VolumeResult) -> str:
    """Describe a pending stack result, after the number of its objects."""
    states = pending.states
    slices = f", slices {min(states)} to {max(states)}"
    if not volume.complete:
        return (
            f"{slices} so far. Press 'Whole stack' to continue, or Accept ({ACCEPT}) "
            "these slices."
        )
    count = len(pending.doubtful)
    if count:
        doubtful = "1 slice is" if count == 1 else f"{count} slices are"
        return (
            f"; {doubtful} doubtful. Go to the next one ({DOUBTFUL}), correct it with "
            f"a box or points and press 'Whole stack' again, or Accept ({ACCEPT})."
        )
    return (
        f"{slices}. Accept ({ACCEPT}), or change the prompts and press 'Whole stack' "
        "again."
    )


def committed_text(written: WriteSummary) -> str:
    """Describe what was not written; empty if all was."""
    parts = []
    if written.covered:
        were = "object was" if written.covered == 1 else "objects were"
        parts.append(f"{written.covered} {were} there already")
    if written.kept:
        parts.append(f"{written.kept} pixels were kept for other objects")
    if written.outside:
        parts.append(f"{written.outside} pixels lie outside the labels layer")
    return f"{' and '.join(parts)}." if parts else ""


def _labels(labels: tuple[int, ...]) -> str:
    first, last = min(labels), max(labels)
    return f"label {first}" if first == last else f"labels {first} to {last}"
