"""Commands that draw prompts and segment objects."""

import napari

from napari_sam.plugin.commands.open_panel import act, press


def start(viewer: napari.Viewer) -> None:
    """Start: add layers to draw on the image."""
    press(viewer, "new_prompts")


def box_tool(viewer: napari.Viewer) -> None:
    """Draw boxes."""
    press(viewer, "box")


def object_tool(viewer: napari.Viewer) -> None:
    """Click on the object."""
    press(viewer, "positive")


def background_tool(viewer: napari.Viewer) -> None:
    """Click on the background."""
    press(viewer, "negative")


def segment_slice(viewer: napari.Viewer) -> None:
    """Segment this slice."""
    press(viewer, "segment_slice")


def segment_stack(viewer: napari.Viewer) -> None:
    """Segment the whole stack."""
    press(viewer, "segment_stack")


def segment_everything(viewer: napari.Viewer) -> None:
    """Segment everything."""
    press(viewer, "segment_everything")


def accept(viewer: napari.Viewer) -> None:
    """Accept the outlined object."""
    press(viewer, "accept")


def discard(viewer: napari.Viewer) -> None:
    """Discard the outlined object."""
    press(viewer, "discard")


def next_alternative(viewer: napari.Viewer) -> None:
    """Show the next alternative outline."""
    press(viewer, "next_alternative")


def next_doubtful(viewer: napari.Viewer) -> None:
    """Go to the next doubtful slice."""
    press(viewer, "next_doubtful")


def cancel(viewer: napari.Viewer) -> None:
    """Cancel what is running."""
    press(viewer, "cancel")


def download_model(viewer: napari.Viewer) -> None:
    """Download or load the chosen model."""
    press(viewer, "download")


def toggle_points(viewer: napari.Viewer) -> None:
    """Switch between points on the object and on the background."""
    act(viewer, lambda panel: panel.session.toggle_polarity())


def undo(viewer: napari.Viewer) -> None:
    """Undo the last prompt, accept or discard."""
    act(viewer, lambda panel: panel.undo())
