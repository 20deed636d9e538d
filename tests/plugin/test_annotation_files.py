"""Labels layers that napari saves as annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from napari.layers import Labels
from npe2 import PluginManifest
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam.plugin.annotation_files import write_labels
from tests.helpers.label_planes import annulus

if TYPE_CHECKING:
    from pathlib import Path


def save(layer: Labels, path: Path) -> None:
    """Write a layer like `layer.save`, which needs plugin discovery."""
    data, meta, _ = layer.as_layer_data_tuple()
    assert write_labels(str(path), data, meta) == [str(path)]


def test_the_manifest_names_the_endings() -> None:
    writers = PluginManifest.from_distribution("napari-sam").contributions.writers
    assert {end for writer in writers for end in writer.filename_extensions} == {
        *(".geojson", ".zip", ".json")
    }


@pytest.mark.parametrize("levels", [1, 2])
def test_a_plane(tmp_path: Path, levels: int) -> None:
    data: Any = [annulus(), annulus()[::2, ::2]] if levels == 2 else annulus()
    save(Labels(data, multiscale=levels == 2), tmp_path / "a.geojson")
    found = ns.import_labels(tmp_path / "a.geojson", annulus().shape)
    assert_array_equal(found.labels, annulus())


@pytest.mark.parametrize("names", [None, ("t", "y", "x"), ("time", "y", "x")])
def test_a_stack_and_the_names_of_its_axes(tmp_path: Path, names: Any) -> None:
    stack = np.stack([annulus(), np.roll(annulus(), 1)])
    kwargs = {} if names is None else {"axis_labels": names}
    save(Labels(stack, **kwargs), tmp_path / "a.geojson")
    axes = "TYX" if names == ("t", "y", "x") else "ZYX"
    found = ns.import_labels(tmp_path / "a.geojson", stack.shape, axes=axes)
    assert_array_equal(found.labels, stack)


def test_what_a_format_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="coco holds one plane"):
        save(Labels(np.stack([annulus()] * 2)), tmp_path / "a.json")
