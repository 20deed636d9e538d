"""Which buttons can be used now, and why the others can not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_sam.plugin.session import SamSession

_BUSY = "Wait for the end of the work under way, or cancel it."


def disabled_reason(session: SamSession, busy: bool, asked: bool) -> dict[str, str]:
    """{button: why it is off}, an empty text for those that are on.

    Parameters
    ----------
    session : SamSession
        What the user is doing.
    busy : bool
        Something is computed.
    asked : bool
        A button asked for what is computed, rather than a drawing.
    """
    has_result = session.result is not None
    image = "" if session.image_layer is not None else "Open an image first."
    segment = _BUSY if asked else image
    points = "" if session.points_layer is not None else "Choose a points layer first."
    waits = "Nothing waits: draw a box or click on an object."
    discard = has_result or session.corrections.revision is not None
    previous = "" if session.corrections.can_go_back else "No object was accepted yet."
    if has_result:
        previous = "An object waits: accept or discard it first."
    labels = session.labels_layer is not None
    doubts = "" if session.waiting.doubtful else "No slice of a stack is doubtful."
    return {
        "download": _BUSY if busy else "",
        "new_prompts": segment,
        "segment_slice": segment,
        "segment_stack": segment,
        "segment_everything": segment,
        "positive": points,
        "negative": points,
        "accept": _BUSY if asked else "" if has_result or busy else waits,
        "discard": _BUSY if asked else "" if discard else waits,
        "next_candidate": _BUSY
        if busy
        else ""
        if session.waiting.has_candidates
        else "The model sees one object only here.",
        "previous": _BUSY if busy else previous,
        "refine": _BUSY if asked else "" if labels else "Choose a labels layer first.",
        "doubtful": doubts,
        "clean_label": _BUSY
        if busy
        else ""
        if labels and session.cleanup
        else "Choose a labels layer, and what is to be cleaned up.",
        "measure": _BUSY if busy else "" if labels else "Choose a labels layer first.",
        "cancel": "" if busy else "Nothing is computed.",
    }
