"""The annotation formats: which file has which, and its reader."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_sam.exchange.coco import is_coco, read_coco
from napari_sam.exchange.geojson import is_geojson, read_geojson
from napari_sam.exchange.imagej import read_imagej
from napari_sam.exchange.labelme import is_labelme, read_labelme
from napari_sam.exchange.yolo import read_yolo
from napari_sam.files import check_file, read_json

if TYPE_CHECKING:
    from napari_sam.exchange.annotation import AnnotationFile

Format = Literal["coco", "geojson", "imagej", "yolo", "labelme"]

# Ending of new files.
ENDINGS: dict[Format, str] = {
    "coco": ".json",
    "geojson": ".geojson",
    "imagej": ".zip",
    "yolo": ".txt",
    "labelme": ".json",
}
_BY_ENDING = {end: name for name, end in ENDINGS.items() if name != "labelme"}
TITLES = "ImageJ ROIs, GeoJSON, COCO, labelme or YOLO"
_ROI_MARK = b"Iout"
_START = 64  # bytes that are looked at


def format_of_name(path: Path) -> Format:
    """Return the format of a new file by its ending; .json is COCO.

    Raises
    ------
    ValueError
        When the ending is of no format.
    """
    if path.suffix.lower() not in _BY_ENDING:
        raise ValueError(
            f"The ending of {path} tells no format: name it .json (COCO), .geojson, "
            ".zip (ImageJ) or .txt (YOLO), or give the format."
        )
    return _BY_ENDING[path.suffix.lower()]


def find_format(path: str | Path) -> tuple[Format | None, Any]:
    """Find the format of an annotation file by its content.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    tuple
        Name of the format, or None when it is none of these, and the content of a JSON
        file.

    Raises
    ------
    ValueError
        When the file should be JSON and is not.
    OSError
        When the file cannot be read.
    """
    path = Path(path)
    check_file(path)
    ending = path.suffix.lower()
    with path.open("rb") as file:
        start = file.read(_START)
    if (
        start.startswith(_ROI_MARK)
        or ending in (".roi", ".zip")
        or zipfile.is_zipfile(path)
    ):
        return "imagej", None
    if ending == ".txt" and not start.lstrip().startswith((b"{", b"[")):
        return "yolo", None
    content = read_json(path)
    if is_geojson(content):
        return "geojson", content
    if is_labelme(content):
        return "labelme", content
    return ("coco" if is_coco(content) else None), content


def holds_rois(path: Path) -> bool:
    """Tell whether a file is a ROI of ImageJ, or a ZIP file with one."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return file.read(len(_ROI_MARK)) == _ROI_MARK
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.lower().endswith(".roi") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def open_annotations(
    path: str | Path,
    shape: tuple[int, int] | None,
    image: str | Path | None = None,
    format: Format | None = None,
) -> AnnotationFile:
    """Open an annotation file of any format.

    Parameters
    ----------
    path : str or Path
        The file.
    shape : tuple of int, optional
        (H, W) of the image.
    image : str or Path, optional
        File of the image, which a data set of several images is searched for.
    format : str, optional
        The format, to refuse any other; YOLO may then have any name.

    Raises
    ------
    ValueError
        When it has no such content; annotations may also raise it as they are read.
    ModuleNotFoundError
        When a library for the format is not installed.
    """
    path = Path(path)
    found, content = format, None
    if format not in ("imagej", "yolo"):  # these need not end in .zip and .txt
        found, content = find_format(path)
    if found is None or (format is not None and format != found):
        raise ValueError(f"{path} is not {format or TITLES}: export it again as one.")
    if found == "imagej":
        return read_imagej(path, shape)
    if found == "yolo":
        if shape is None:
            raise ValueError(f"{path} has no image size: give shape=(H, W).")
        return read_yolo(path, shape)
    if found == "coco":
        return read_coco(path, content, shape, image)
    reader = read_geojson if found == "geojson" else read_labelme
    return reader(path, content, shape)
