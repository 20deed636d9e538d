"""ImageJ's ROIs: read back by roifile, and every type of ROI."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import roifile
from hypothesis import given
from numpy.testing import assert_array_equal
from roifile import ROI_OPTIONS, ROI_SUBTYPE, ROI_TYPE, ImagejRoi
from skimage.draw import polygon2mask

import napari_sam as ns
from tests.helpers.label_planes import annulus, label_planes

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (20, 24)
SQUARE = np.array([[2, 1], [4, 1], [4, 3], [2, 3]])  # x, y


@given(labels=label_planes())
def test_roifile_reads_the_same_pixels(
    labels: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "rois.zip"
    ns.export_labels(labels, path, "imagej")
    painted = np.zeros_like(labels)
    for roi in roifile.roiread(path):
        inside = np.zeros(labels.shape, bool)
        for ring in roi.coordinates(multi=True):
            inside ^= polygon2mask(labels.shape, ring[:, ::-1] - 0.5)
        painted[inside] = int(roi.name)
        rows, cols = np.nonzero(inside)
        assert (roi.top, roi.left) == (rows.min(), cols.min())
        assert (roi.bottom, roi.right) == (rows.max() + 1, cols.max() + 1)
    assert_array_equal(painted, labels)


def rectangle(**more: Any) -> ImagejRoi:
    return ImagejRoi(
        roitype=ROI_TYPE.RECT, left=2, top=1, right=4, bottom=3, name="a", **more
    )


def pixels(labels: np.ndarray) -> list[list[int]]:
    return np.argwhere(labels).tolist()


def imported(path: Path, *rois: ImagejRoi) -> Any:
    if len(rois) == 1 and path.suffix == ".roi":
        rois[0].tofile(path)
    else:
        roifile.roiwrite(path, rois, name=[f"{i}.roi" for i in range(len(rois))])
    return ns.import_labels(path, SHAPE)


@pytest.mark.parametrize("name", ["a.roi", "a.zip"])
@pytest.mark.parametrize(
    "roi",
    [
        rectangle(),
        rectangle(
            options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION,
            version=228,
            xd=1.8,
            yd=1.2,
            widthd=2.4,
            heightd=2.0,
        ),
        ImagejRoi.frompoints(SQUARE),
        ImagejRoi.frompoints(SQUARE + 0.3),
    ],
)
def test_areas(tmp_path: Path, name: str, roi: ImagejRoi) -> None:
    found = imported(tmp_path / name, roi)
    assert pixels(found.labels) == [[1, 2], [1, 3], [2, 2], [2, 3]]


def test_an_oval_fills_its_box(tmp_path: Path) -> None:
    oval = ImagejRoi(roitype=ROI_TYPE.OVAL, left=3, top=2, right=13, bottom=18)
    mask = imported(tmp_path / "a.roi", oval).labels > 0
    rows, cols = np.nonzero(mask)
    assert (rows.min(), rows.max()) == (2, 17)
    assert (cols.min(), cols.max()) == (3, 12)
    assert mask.sum() == pytest.approx(np.pi * 5 * 8, rel=0.05)


def test_composites_with_curves(tmp_path: Path) -> None:
    """A circle of four Bézier curves, from which a square is cut."""
    k = 0.5523
    quarters = [[0, 1, k, 1, 1, k, 1, 0], [1, 0, 1, -k, k, -1, 0, -1]]
    quarters += [[0, -1, -k, -1, -1, -k, -1, 0], [-1, 0, -1, k, -k, 1, 0, 1]]
    path: list[float] = [0, 10, 18]
    for quarter in quarters:
        path += [3, *(10 + 8 * np.array(quarter[2:])).tolist()]
    path += [4, 0, 8, 8, 1, 12, 8, 2, 12, 10, 12, 12, 1, 8, 12, 4]
    roi = ImagejRoi(
        roitype=ROI_TYPE.RECT,
        shape_roi_size=len(path),
        multi_coordinates=np.array(path, np.float32),
    )
    mask = imported(tmp_path / "a.roi", roi).labels > 0
    rows, cols = np.indices(SHAPE)
    expected = np.hypot(rows - 9.5, cols - 9.5) < 8
    expected[8:12, 8:12] = False
    assert np.count_nonzero(mask != expected) <= 4


def test_numbers_and_names(tmp_path: Path) -> None:
    first, second = rectangle(), rectangle()
    first.name, second.name = "0012", "7"
    second.left, second.right = 10, 12
    found = imported(tmp_path / "a.zip", first, second)
    assert set(found.labels.ravel().tolist()) == {0, 7, 12}
    assert found.classes == {}
    second.name = "0001-0002"  # ImageJ's own names
    (tmp_path / "a.zip").unlink()
    found = imported(tmp_path / "a.zip", second)
    assert set(found.labels.ravel().tolist()) == {0, 1}
    assert found.classes == {1: "0001-0002"}


@pytest.mark.parametrize(
    ("position", "shape", "axes", "plane"),
    [
        ({"z_position": 3}, (4, *SHAPE), "ZYX", (2,)),
        ({"t_position": 3}, (4, *SHAPE), "TYX", (2,)),
        ({"c_position": 1, "z_position": 2, "t_position": 3}, (3, 2, *SHAPE), None, 0),
        ({"position": 3}, (4, *SHAPE), "ZYX", (2,)),
        ({"position": 3}, (4, *SHAPE), "TYX", (2,)),
        ({"position": 3}, (4, 1, *SHAPE), "TZYX", (2, 0)),
        ({"position": 6}, (3, 2, *SHAPE), "TZYX", (2, 1)),
        ({"position": 6}, (3, 2, *SHAPE), "TCYX", (2, 1)),
        ({"position": 6}, (3, 2, *SHAPE), "ZCYX", (2, 1)),
    ],
)
def test_positions(
    tmp_path: Path,
    position: dict[str, int],
    shape: tuple[int, ...],
    axes: str | None,
    plane: Any,
) -> None:
    path = tmp_path / "a.roi"
    rectangle(**position).tofile(path)
    labels = ns.import_labels(path, shape, axes=axes).labels
    assert labels.shape == shape
    expected = plane or (2, 1)
    assert pixels(labels) == [[*expected, r, c] for r in (1, 2) for c in (2, 3)]


def test_what_has_no_area_is_ignored(tmp_path: Path) -> None:
    text = rectangle(subtype=ROI_SUBTYPE.TEXT, version=228, text="a", text_name="b")
    line = ImagejRoi(roitype=ROI_TYPE.LINE, x1=1, y1=2, x2=5, y2=6)
    points = ImagejRoi.frompoints([[1, 2], [3, 4]])
    points.roitype = ROI_TYPE.POINT
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("folder/", "")
        archive.writestr("notes.txt", "")
    found = imported(path, text, line, points, rectangle())
    assert (found.labels > 0).sum() == 4
    assert [line.partition(": ")[2] for line in found.ignored] == [
        "1 ignored: files that are no ROIs.",
        "1 ignored: ROIs that are texts or images.",
        "2 ignored: points or lines, which have no area.",
    ]


def test_damaged_files(tmp_path: Path) -> None:
    data = ImagejRoi.frompoints(SQUARE).tobytes()
    path = tmp_path / "a.roi"
    for length in (0, 4, 60, 64, 70):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"a\.roi is no readable ROI"):
            ns.import_labels(path, SHAPE)
    composite = ns.export_labels(annulus(), tmp_path / "a.zip", "imagej")
    whole = composite.read_bytes()
    composite.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"a\.zip is no readable ROI"):
        ns.import_labels(composite, SHAPE)
    composite.write_bytes(whole.replace(b"Iout", b"Jout"))
    with pytest.raises(ValueError, match=r"a\.zip"):
        ns.import_labels(composite, SHAPE)


@pytest.mark.parametrize(
    "path", [[1, 2, 3], [0, 1], [7, 1, 2], [np.nan, 1, 2], [0, 1, 2, 3, 4], [4]]
)
def test_damaged_paths(tmp_path: Path, path: list[float]) -> None:
    roi = ImagejRoi(
        roitype=ROI_TYPE.RECT,
        shape_roi_size=len(path),
        multi_coordinates=np.array(path, np.float32),
    )
    roi.tofile(tmp_path / "a.roi")
    with pytest.raises(ValueError, match="damaged path"):
        ns.import_labels(tmp_path / "a.roi", SHAPE)


def test_planes_too_large_for_rois(tmp_path: Path) -> None:
    labels = np.broadcast_to(np.zeros(1, np.uint8), (4, 70_000))
    with pytest.raises(ValueError, match="ROIs reach to pixel 60535; export GeoJSON"):
        ns.export_labels(labels, tmp_path / "a.zip", "imagej")


def test_corners_beyond_16_bits_with_sign(tmp_path: Path) -> None:
    labels = np.zeros((3, 50_000), int)
    labels[1, 40_000:40_005] = 3
    labels[:, 49_990:] = 4
    labels[1, 49_995] = 0
    path = ns.export_labels(labels, tmp_path / "a.zip", "imagej")
    assert_array_equal(ns.import_labels(path, labels.shape).labels, labels)


def test_without_roifile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ns.export_labels(annulus(), tmp_path / "a.zip", "imagej")
    monkeypatch.setitem(__import__("sys").modules, "roifile", None)
    with pytest.raises(ModuleNotFoundError, match=r"roifile is not.*\[exchange\]"):
        ns.import_labels(path, SHAPE)


@pytest.mark.parametrize("name", ["cell", "a/b", "0012", "ä - 3"])
def test_classes_come_back(tmp_path: Path, name: str) -> None:
    labels = np.zeros(SHAPE, int)
    labels[2:5, 2:5], labels[8:12, 3:9] = 7, 9
    path = tmp_path / "rois.zip"
    ns.export_labels(
        labels, path, "imagej", classes={9: name}, colors={name: "#e69f00"}
    )
    found = ns.import_labels(path, SHAPE)
    assert_array_equal(found.labels, labels)
    assert found.classes == {9: name}
    plain, classed = sorted(roifile.roiread(path), key=lambda roi: roi.name)
    assert plain.name == "0007"
    assert classed.name.startswith("0009-")
    assert classed.stroke_color == bytes([255, 0xE6, 0x9F, 0])


def test_classes_in_names_of_fiji(tmp_path: Path) -> None:
    path = tmp_path / "rois.zip"
    kinds = {"name": "0003-cell", "other": "0001-0034-0021"}
    rois = [
        ImagejRoi(roitype=ROI_TYPE.RECT, left=x, top=1, right=x + 2, bottom=3, name=n)
        for x, n in zip((2, 8), kinds.values(), strict=True)
    ]
    found = imported(path, *rois)
    assert sorted(found.classes.values()) == ["0001-0034-0021", "cell"]
