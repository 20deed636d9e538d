"""Commands that go through a series of images."""

import napari

from napari_sam.plugin.commands.open_panel import open_series_dock
from napari_sam.plugin.notifications import notify_errors


def previous_image(viewer: napari.Viewer) -> None:
    """Open the previous image."""
    _press(viewer, "previous_image")


def next_image(viewer: napari.Viewer) -> None:
    """Open the next image."""
    _press(viewer, "next_image")


def done_next(viewer: napari.Viewer) -> None:
    """Mark the image as done and open the next one."""
    _press(viewer, "done_next")


def needs_review(viewer: napari.Viewer) -> None:
    """Mark the image for review."""
    _press(viewer, "needs_review")


def skip_image(viewer: napari.Viewer) -> None:
    """Skip the image and open the next one."""
    _press(viewer, "skip")


def _press(viewer: napari.Viewer, button: str) -> None:
    """Press a button of the dock; it says why when it is disabled."""
    notify_errors(lambda: open_series_dock(viewer).press(button))()
