"""Reasons why buttons are disabled."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_sam.plugin.session import SamSession

_BUSY = "Busy. Wait or press Cancel."
_NO_IMAGE = "Open an image first."
_NO_POINTS = "Press 'Start' or choose a points layer first."
_NO_LABELS = "Choose a labels layer first."
_NO_RESULT = "There is no preview yet: draw a box or click on an object."


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
    no_image = session.image_layer is None
    no_points = session.points_layer is None
    no_labels = session.labels_layer is None
    pending = session.pending
    no_result = pending is None
    not_correcting = session.history.replacement is None
    segment = [(busy_with_request, _BUSY), (no_image, _NO_IMAGE)]
    rules = {
        "download": [(busy, _BUSY)],
        "new_prompts": segment,
        "segment_slice": segment,
        "segment_stack": segment,
        "segment_everything": segment,
        "positive": [(no_points, _NO_POINTS)],
        "negative": [(no_points, _NO_POINTS)],
        "accept": [
            (busy_with_request, _BUSY),
            # Pressed during live preview, it accepts the next result.
            (no_result and not busy, _NO_RESULT),
        ],
        "discard": [
            (busy_with_request, _BUSY),
            (no_result and not_correcting, _NO_RESULT),
        ],
        "next_alternative": [
            (busy, _BUSY),
            (
                pending is None or not pending.has_alternatives,
                "The model found no alternative masks here.",
            ),
        ],
        "previous": [
            (busy, _BUSY),
            (not no_result, "Accept or discard the previewed object first."),
            (
                not session.history.can_go_back,
                "No object was accepted yet.",
            ),
        ],
        "refine": [(busy_with_request, _BUSY), (no_labels, _NO_LABELS)],
        "next_doubtful": [
            (
                pending is None or not pending.doubtful,
                "The preview has no doubtful slices.",
            ),
        ],
        "clean_label": [
            (busy, _BUSY),
            (no_labels, _NO_LABELS),
            (not session.cleanup, "Choose what to clean up first."),
        ],
        "measure": [(busy, _BUSY), (no_labels, _NO_LABELS)],
        "cancel": [(not busy, "Nothing is running.")],
    }
    return {
        button: next((reason for applies, reason in checks if applies), "")
        for button, checks in rules.items()
    }
