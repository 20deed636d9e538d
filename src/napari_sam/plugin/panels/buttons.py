"""Texts, tooltips and keys of the buttons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.plugin.panels.controls import ButtonSpec
from napari_sam.plugin.panels.corrections.buttons import CORRECTION_BUTTONS
from napari_sam.plugin.panels.key_bindings import (
    ACCEPT,
    DISCARD,
    DOUBTFUL,
    NEXT,
    POLARITY,
    PREVIOUS,
    REFINE,
)

if TYPE_CHECKING:
    from napari_sam.plugin.layers.prompt_tool import Tool

START, NEW_LAYERS = "Start", "New drawing layers"

BUTTONS = {
    "download": ButtonSpec(
        "Download", "Download the model, once. It is kept on this computer"
    ),
    "new_prompts": ButtonSpec(
        START,
        "Add a layer for boxes and a layer for points over the image, and choose the "
        "box tool",
    ),
    "box": ButtonSpec("Box", "Draw a box around an object. A click on it does as well"),
    "positive": ButtonSpec(
        "Object point",
        "Click on the object. Points chosen with the select tool change, too "
        f"({POLARITY} switches object and background)",
    ),
    "negative": ButtonSpec(
        "Background point",
        "Click beside the object, on what does not belong to it; so does Alt+click "
        f"with the point tool ({POLARITY} switches object and background)",
    ),
    "segment_slice": ButtonSpec(
        "This slice", "Segment the displayed slice from its boxes and points"
    ),
    "segment_stack": ButtonSpec(
        "Whole stack",
        "Follow the objects through the slices, from the boxes and points on any of "
        "them",
    ),
    "segment_everything": ButtonSpec(
        "Everything",
        "Find all objects of the slice without boxes or points, inside the drawn "
        "shapes if there are any. The default model looks at the slice once; other "
        "models try several hundred points, which takes longer",
    ),
    "accept": ButtonSpec(
        "Accept", "Write the outlined objects into the labels layer", ACCEPT
    ),
    "discard": ButtonSpec(
        "Discard", "Remove the outline, and its boxes and points", DISCARD
    ),
    "next_alternative": ButtonSpec(
        "Next alternative",
        "Show the model's next outline, smaller or larger. Later objects use the same "
        "size, unless the outlines were found at several zooms",
        NEXT,
    ),
    "previous": ButtonSpec(
        "Previous object",
        "Bring back the boxes and points of the last accepted object, to correct it",
        PREVIOUS,
    ),
    "refine": ButtonSpec(
        "Refine label",
        "Correct the selected label of the labels layer on this slice with boxes and "
        "points. Select a label with the colour picker of the labels layer",
        REFINE,
    ),
    "next_doubtful": ButtonSpec(
        "Next doubtful slice",
        "Go to the next slice whose outline is doubtful. Correct it with a box or "
        "points, and press 'Whole stack' again",
        DOUBTFUL,
    ),
    "cancel": ButtonSpec(
        "Cancel",
        "Stop without writing labels. Slices of a stack that are done stay outlined",
    ),
    "clean_label": ButtonSpec(
        "Clean up the selected label",
        "Apply these options to an object of the labels layer (undo: Ctrl+Z on that "
        "layer)",
    ),
    "measure": ButtonSpec(
        "Measure objects ...",
        "Show size, slices and lowest score of every label in a table, to save as CSV",
    ),
    "train": ButtonSpec(
        "Train on these labels ...",
        "Fine-tune the model on your labels. Takes minutes; the original model is kept",
    ),
    **CORRECTION_BUTTONS,
}

# {tool: button}, the parts of one control.
TOOLS: dict[Tool, str] = {
    "box": "box",
    "object": "positive",
    "background": "negative",
}

SEGMENT = ("segment_slice", "segment_stack", "segment_everything")

# Rows of buttons: with their keys, two fit beside each other in large fonts.
CORRECT = (
    ("refine", "measure"),
    ("split_label", "merge_labels"),
    ("delete_label", "rename_label"),
    ("relabel",),
)
