"""Reasons why buttons are disabled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.plugin.background.request_runner import TRAINING
from napari_sam.plugin.layers.transforms import spatial_shape
from napari_sam.plugin.panels.corrections.buttons import CORRECTION_BUTTONS

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_sam.plugin.background.request_runner import RequestRunner
    from napari_sam.plugin.session import SamSession

BUSY = "Busy. Wait or press Cancel."
NOTHING = "There is no preview yet: draw a box or click on an object."
NO_ALTERNATIVES = "The model found no alternative outlines here."
NO_POINTS = "Press 'Start', or choose a points layer under Options."
NO_BOXES = "Press 'Start', or choose a layer of boxes under Options."
SINGLE_PLANE = "Only for stacks: this image has no slices."


def has_slices(image: Image | None) -> bool:
    """Tell whether an image is a stack, wherever its slider is."""
    return image is not None and any(n > 1 for n in sorted(spatial_shape(image))[:-2])


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
    drawn = session.current.has_prompts
    training, computing = (runner.training, TRAINING), runner.busy_computing
    running = (computing, BUSY)
    requested = (runner.busy_with_request, BUSY)
    # Accepted objects are segmented in order, before anything else.
    occupied = (runner.busy_with_request or bool(session.current.waiting), BUSY)
    image = (session.image_layer is None, "Open an image first.")
    plane = (not has_slices(session.image_layer), SINGLE_PLANE)
    points = (session.points_layer is None, NO_POINTS)
    labels = (session.labels_layer is None, "Choose a labels layer first.")
    no_object = pending is None and not drawn
    boxes = (session.shapes_layer is None, NO_BOXES)
    no_alternatives = pending is None or not pending.has_alternatives
    to_come = drawn and (pending is None or computing)
    rules = {
        "download": [training, running],
        "new_prompts": [requested, image],
        "segment_slice": [training, occupied, image],
        "segment_stack": [training, occupied, image, plane],
        "segment_everything": [training, occupied, image],
        "box": [boxes],
        "positive": [points],
        "negative": [points],
        # These may be pressed before the result is there.
        "accept": [requested, (no_object, NOTHING)],
        "discard": [requested, (no_object and history.replacement is None, NOTHING)],
        "next_alternative": [
            requested,
            (no_alternatives and not to_come, NO_ALTERNATIVES),
        ],
        "previous": [
            running,
            occupied,
            (pending is not None, "Accept or discard the outlined object first."),
            (not history.can_go_back, "No object was accepted yet."),
        ],
        "refine": [requested, labels],
        **{name: [training, running, occupied, labels] for name in CORRECTION_BUTTONS},
        "next_doubtful": [
            (
                pending is None or not pending.doubtful,
                "No outlined slice is doubtful.",
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
