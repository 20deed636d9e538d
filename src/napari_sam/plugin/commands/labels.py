"""Commands that change, measure and learn from labels."""

import napari

from napari_sam.plugin.commands.open_panel import act, press


def previous_object(viewer: napari.Viewer) -> None:
    """Correct the previous object."""
    press(viewer, "previous")


def refine_label(viewer: napari.Viewer) -> None:
    """Refine the selected label."""
    press(viewer, "refine")


def split_label(viewer: napari.Viewer) -> None:
    """Split the label under the points."""
    press(viewer, "split_label")


def merge_labels(viewer: napari.Viewer) -> None:
    """Merge the labels under the points."""
    press(viewer, "merge_labels")


def delete_label(viewer: napari.Viewer) -> None:
    """Delete the selected label."""
    press(viewer, "delete_label")


def renumber_label(viewer: napari.Viewer) -> None:
    """Give the selected label another number."""
    press(viewer, "rename_label")


def number_in_order(viewer: napari.Viewer) -> None:
    """Give all labels numbers in order."""
    press(viewer, "relabel")


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
