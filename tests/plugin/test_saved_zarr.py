"""napari saves Labels layers in the OME-Zarr of their image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.layers import Labels
from numpy.testing import assert_array_equal

from napari_sam.plugin.zarr_labels import write_labels
from tests.helpers.ome_zarr import ball_stack, write_ome_zarr

if TYPE_CHECKING:
    from pathlib import Path

zarr = pytest.importorskip("zarr")
pytest.importorskip("yaozarrs")


@pytest.mark.parametrize("levels", [1, 2])
def test_a_layer_is_saved_under_its_name(tmp_path: Path, levels: int) -> None:
    path = write_ome_zarr(tmp_path / "image.ome.zarr", ball_stack())
    labels = (ball_stack() == 700).astype(np.int32) * 7
    data = labels if levels == 1 else [labels, labels[:, ::2, ::2]]
    layer = Labels(data, name="my cells!", multiscale=levels > 1)
    (saved,) = write_labels(str(path), *layer.as_layer_data_tuple()[:2])
    assert saved == str(path / "labels" / "my-cells")
    assert_array_equal(zarr.open_array(f"{saved}/0", mode="r")[...], labels)
