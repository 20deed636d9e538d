"""Controls for tables and exports of a whole series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container, PushButton

from napari_sam.plugin.panels.controls import button_row, form
from napari_sam.plugin.series.controls.table_model import ALL
from napari_sam.series.storage.state import STATUSES

if TYPE_CHECKING:
    from napari_sam.exchange.folders import FolderFormat
    from napari_sam.exchange.formats import Format

TITLES: dict[str, Format | FolderFormat] = {
    "COCO (one file)": "coco",
    "QuPath GeoJSON": "geojson",
    "ImageJ ROIs": "imagej",
    "YOLO": "yolo",
    "labelme": "labelme",
    "cellpose (folder)": "cellpose",
    "StarDist (folders)": "stardist",
    "nnU-Net (folders)": "nnunet",
}
"""{title: format}, see `napari_sam.export_labels`."""


class OutputPanel(Container[Any]):
    """Save a table of all objects, and export labels for other programs.

    Attributes
    ----------
    table, export : PushButton
        The actions.
    format, status : ComboBox
        What is exported.
    """

    def __init__(self) -> None:
        self.table = PushButton(
            text="Save table of all objects ...",
            tooltip="Image, class, size, position, intensities and score of each "
            "object of all images, as CSV",
        )
        self.format = ComboBox(
            choices=tuple(TITLES), label="Format", tooltip="What other program reads it"
        )
        self.status = ComboBox(
            choices=(ALL, *STATUSES), label="Images", tooltip="Which images to export"
        )
        self.export = PushButton(
            text="Export labels ...", tooltip="Write labels with their classes"
        )
        super().__init__(
            widgets=[
                self.table,
                form(self.format, self.status),
                button_row(self.export),
            ],
            labels=False,
        )
        self.margins = (0, 0, 0, 0)
