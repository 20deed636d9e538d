"""Reasons why buttons are disabled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.plugin.background.request_runner import TRAINING

if TYPE_CHECKING:
    from napari_sam.plugin.background.request_runner import RequestRunner
    from napari_sam.plugin.session import SamSession

BUSY = "Busy. Wait or press Cancel."


def disabled_reasons(session: SamSession, runner: RequestRunner) -> dict[str, str]:
    """Return why each button is disabled.

    Parameters
    ----------
    session : SamSession
        The session of the widget.
    runner : RequestRunner
        Runs its computations.

    Returns
    -------
    dict
        {button: reason}; an empty reason means that the button is enabled.
    """
    pending, history = session.pending, session.history
    training = (runner.training, TRAINING)
    computing = runner.busy and not runner.training
    running = (computing, BUSY)
    requested = (runner.busy_with_request, BUSY)
    image = (session.image_layer is None, "Open an image first.")
    points = (session.points_layer is None, "Press 'Start' or choose a points layer.")
    labels = (session.labels_layer is None, "Choose a labels layer first.")
    nothing = "There is no preview yet: draw a box or click on an object."
    no_alternatives = pending is None or not pending.has_alternatives
    rules = {
        "download": [training, running],
        "new_prompts": [requested, image],
        "segment_slice": [training, requested, image],
        "segment_stack": [training, requested, image],
        "segment_everything": [training, requested, image],
        "positive": [points],
        "negative": [points],
        # Pressed during live preview, it accepts the next result.
        "accept": [requested, (pending is None and not computing, nothing)],
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
            training,
            running,
            labels,
            (not session.cleanup, "Choose what to clean up first."),
        ],
        "measure": [training, running, labels],
        "cancel": [(not runner.busy, "Nothing is running.")],
    }
    return {
        button: next((reason for applies, reason in checks if applies), "")
        for button, checks in rules.items()
    }
