"""Damaged files: one sentence, or the labels that are left."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import napari_sam as ns
from napari_sam.exchange.formats import ENDINGS
from napari_sam.exchange.prompts import read_prompts
from napari_sam.prompts.selection import ImageSelection
from tests.helpers.label_planes import annulus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STRANGE = [None, True, -1, 0, 7, 2**70, 0.5, -0.0, 1e300, "", "x", "7", [], [[]], {}]
STRANGE += [float("nan"), float("inf"), [1], [None], {"type": "Point"}, [[1, 2]]]


def read(path: Path) -> None:
    """Read a file as labels and as prompts: an answer, or an error of one line."""
    for reader in (
        lambda: ns.import_labels(path, annulus().shape),
        lambda: read_prompts(path, ImageSelection.of_stack(annulus().shape)),
    ):
        try:
            reader()
        except ValueError as error:
            assert path.name.partition(".")[0] in str(error)
            assert "\n" not in str(error)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("originals")
    return {
        name: ns.export_labels(
            annulus(), folder / f"a{ENDINGS[name]}", name
        ).read_bytes()
        for name in ENDINGS
    }


@pytest.mark.parametrize("format", list(ENDINGS))
@given(data=st.data())
def test_damaged_bytes(
    data: st.DataObject,
    format: Any,
    originals: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    content = bytearray(originals[format])
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    path = tmp_path_factory.getbasetemp() / f"damaged{ENDINGS[format]}"
    path.write_bytes(content[:end])
    read(path)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container in a JSON value with each of its keys."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


@pytest.mark.parametrize("format", ["coco", "geojson", "labelme"])
@given(data=st.data())
def test_strange_values(
    data: st.DataObject,
    format: Any,
    originals: dict[str, bytes],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    content = copy.deepcopy(json.loads(originals[format]))
    for _ in range(data.draw(st.integers(1, 3))):
        found = list(places(content))
        if not found:
            break
        container, key = data.draw(st.sampled_from(found))
        container[key] = copy.deepcopy(data.draw(st.sampled_from(STRANGE)))
    path = tmp_path_factory.getbasetemp() / f"strange{ENDINGS[format]}"
    path.write_text(json.dumps(content))
    read(path)


@given(words=st.lists(st.sampled_from(["0", "1", "-1", "nan", "inf", "1e300", "0.5"])))
def test_strange_numbers_of_yolo(
    words: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "strange.txt"
    path.write_text(" ".join(words))
    read(path)


@given(
    rings=st.lists(
        st.lists(
            st.tuples(*[st.floats(-1e9, 1e9, exclude_min=True, exclude_max=True)] * 2),
            min_size=3,
            max_size=5,
        ),
        min_size=1,
        max_size=3,
    )
)
def test_any_polygon_is_painted(
    rings: list[list[tuple[float, float]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    geometry = {"type": "Polygon", "coordinates": rings}
    path = tmp_path_factory.getbasetemp() / "any.geojson"
    path.write_text(json.dumps(geometry))
    labels = ns.import_labels(path, (9, 12)).labels
    assert set(np.unique(labels).tolist()) <= {0, 1}
