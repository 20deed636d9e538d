"""Reasons why buttons are disabled."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_sam.plugin.session import SamSession

BUSY = "Busy. Wait or press Cancel."


def disabled_reasons(
    session: SamSession, busy: bool, busy_with_request: bool
) -> dict[str, str]:
    """Return why each button is disabled.

    Parameters
    ----------
    session : SamSession
        The session of the widget.
    busy : bool
        Whether a computation is running.
    busy_with_request : bool
        Whether a button, not live preview, started that computation.

    Returns
    -------
    dict
        {button: reason}; an empty reason means that the button is enabled.
    """
    pending, history = session.pending, session.history
    running = (busy, BUSY)
    requested = (busy_with_request, BUSY)
    image = (session.image_layer is None, "Open an image first.")
    points = (session.points_layer is None, "Press 'Start' or choose a points layer.")
    labels = (session.labels_layer is None, "Choose a labels layer first.")
    nothing = "There is no preview yet: draw a box or click on an object."
    no_alternatives = pending is None or not pending.has_alternatives
    rules = {
        "download": [running],
        "new_prompts": [requested, image],
        "segment_slice": [requested, image],
        "segment_stack": [requested, image],
        "segment_everything": [requested, image],
        "positive": [points],
        "negative": [points],
        # Pressed during live preview, it accepts the next result.
        "accept": [requested, (pending is None and not busy, nothing)],
        "discard": [
            requested,
            (pending is None and history.replacement is None, nothing),
        ],
        "next_alternative": [
            running,
            (no_alternatives, "The model found no alternative masks here."),
        ],
        "previous": [
            running,
            (pending is not None, "Accept or discard the previewed object first."),
            (not history.can_go_back, "No object was accepted yet."),
        ],
        "refine": [requested, labels],
        "next_doubtful": [
            (
                pending is None or not pending.doubtful,
                "The preview has no doubtful slices.",
            ),
        ],
        "clean_label": [
            running,
            labels,
            (not session.cleanup, "Choose what to clean up first."),
        ],
        "measure": [running, labels],
        "cancel": [(not busy, "Nothing is running.")],
    }
    return {
        button: next((reason for applies, reason in checks if applies), "")
        for button, checks in rules.items()
    }
