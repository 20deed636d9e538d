"""Layers of one image after the other: what stays, and what must not."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel

from napari_sam.plugin.series.item_layers import ItemLayers
from napari_sam.plugin.series.opened_image import OpenedImage, open_image
from napari_sam.series.image_series import ImageSeries
from napari_sam.series.opening import open_series

PLANE = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30)


@pytest.fixture
def series(tmp_path: Path) -> ImageSeries:
    """Images of several shapes and types."""
    images = {
        "1": PLANE,
        "2": PLANE + 7,
        "3": (PLANE % 200).astype(np.uint8),
        "4": np.stack([PLANE] * 3),
        "5": np.stack([(PLANE % 200).astype(np.uint8)] * 3, -1),
        "6": np.zeros((8, 9), np.uint16),
    }
    (tmp_path / "images").mkdir()
    for name, pixels in images.items():
        kind = "rgb" if pixels.shape[-1] == 3 else "minisblack"
        path = tmp_path / "images" / f"{name}.tif"
        tifffile.imwrite(path, pixels, photometric=kind, metadata={"axes": "QYX"})
    return open_series(tmp_path / "images", tmp_path / "out")


def opened(series: ImageSeries, name: str) -> OpenedImage:
    image = open_image(series[f"{name}.tif"])
    image.close()
    return image


@pytest.mark.parametrize("order", ["123456", "654321", "151424361"])
def test_each_image_is_shown_as_it_is(series: ImageSeries, order: str) -> None:
    viewer = ViewerModel()
    layers = ItemLayers(viewer)
    for name in order:
        image, labels = layers.show(opened(series, name))
        source = series[f"{name}.tif"].read().used
        np.testing.assert_array_equal(image.data, source.data)
        assert image.rgb == source.rgb
        assert labels.data.shape == source.shape
        assert [layer.name for layer in viewer.layers] == [
            f"{name}.tif",
            f"{name}.tif labels",
        ]
        assert tuple(labels.scale) == tuple(image.scale[: labels.ndim])


def test_undo_ends_with_the_image(series: ImageSeries) -> None:
    layers = ItemLayers(ViewerModel())
    _, labels = layers.show(opened(series, "1"))
    labels.paint((5, 5), 3)
    snapshot = layers.snapshot(copy=False)
    assert snapshot is not None
    before = snapshot.labels.copy()
    _, labels = layers.show(opened(series, "2"))
    labels.undo()
    labels.redo()
    assert not labels.data.any()
    np.testing.assert_array_equal(snapshot.labels, before)


def test_contrast_stays_for_images_of_one_kind(series: ImageSeries) -> None:
    layers = ItemLayers(ViewerModel())
    image, _ = layers.show(opened(series, "1"))
    image.contrast_limits = (3, 30)
    following = opened(series, "2")
    assert layers.limits_for(following.data, following.limits) == (3, 30)
    image, _ = layers.show(following)
    assert tuple(image.contrast_limits) == (3, 30)
    following = opened(series, "3")
    assert layers.limits_for(following.data, following.limits) == (0, 255)
    image, _ = layers.show(following)
    assert tuple(image.contrast_limits) == (0, 255)


def test_the_tool_of_the_labels_stays(series: ImageSeries) -> None:
    layers = ItemLayers(ViewerModel())
    _, labels = layers.show(opened(series, "1"))
    labels.mode = "paint"
    _, labels = layers.show(opened(series, "2"))
    assert labels.mode == "paint"
    assert labels.editable
