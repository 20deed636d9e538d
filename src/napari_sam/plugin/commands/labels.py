"""Commands that change, measure and learn from labels."""

import napari

from napari_sam.plugin.commands.open_panel import act, press


def previous_object(viewer: napari.Viewer) -> None:
    """Correct the previous object."""
    press(viewer, "previous")


def refine_label(viewer: napari.Viewer) -> None:
    """Refine the selected label."""
    press(viewer, "refine")


def clean_label(viewer: napari.Viewer) -> None:
    """Clean up the selected label."""
    press(viewer, "clean_label")


def measure(viewer: napari.Viewer) -> None:
    """Measure the objects."""
    press(viewer, "measure")


def train(viewer: napari.Viewer) -> None:
    """Train on these labels."""
    press(viewer, "train")


def save_record(viewer: napari.Viewer) -> None:
    """Save how each object was made."""
    act(viewer, lambda panel: panel.panel.advanced.save.changed.emit(True))
