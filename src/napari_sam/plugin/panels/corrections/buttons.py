"""Texts, tooltips and keys of the buttons that correct labels."""

from __future__ import annotations

from napari_sam.plugin.panels.controls import ButtonSpec

CORRECTION_BUTTONS = {
    "split_label": ButtonSpec(
        "Split",
        "Cut a label where it is narrow: click once on each part with the tool 'Object "
        "point', then press this. The largest part keeps the label",
        "Shift+S",
    ),
    "merge_labels": ButtonSpec(
        "Merge",
        "Make several labels one: click on each with the tool 'Object point', then "
        "press this. The first one gives its number",
        "Shift+M",
    ),
    "delete_label": ButtonSpec(
        "Delete",
        "Remove the selected label of the labels layer on all slices",
        "Shift+D",
    ),
    "rename_label": ButtonSpec(
        "Renumber ...",
        "Give the selected label of the labels layer another number, on all slices",
        "Shift+R",
    ),
    "relabel": ButtonSpec(
        "Number in order",
        "Number all labels of the labels layer from 1 without gaps, in their order",
        "Shift+O",
    ),
}
