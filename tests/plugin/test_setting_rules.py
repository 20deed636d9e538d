"""Settings of a session are checked when they are set."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

import napari_sam as ns
from napari_sam.plugin.session import SamSession
from tests.helpers.models import World


@pytest.fixture
def scripted() -> SamSession:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((5, 20, 20)), name="cells", axis_labels=("Z", "y", "x"))
    viewer.add_labels(np.zeros((5, 20, 20), int), name="mine")
    return SamSession(viewer, World())


@pytest.mark.parametrize(
    ("setting", "value", "sentence"),
    [
        ("image_layer", "cells", r"image_layer is 'cells': give a layer of type Image"),
        ("labels_layer", np.zeros((2, 2)), "labels_layer is a ndarray of shape"),
        ("points_layer", 3, "points_layer is 3: give a layer of type Points"),
        ("shapes_layer", [], r"shapes_layer is \[\]: give a layer of type Shapes"),
        ("propagation", {"margin": 1}, r"give PropagationOptions\(...\)"),
        ("cleanup", True, r"cleanup is True: give CleanUp\(...\)"),
        ("thresholds", 0.5, "thresholds is 0.5"),
        ("search", None, "search is None"),
        ("linking", ns.Thresholds(), "linking is Thresholds"),
        ("intensity", (0, 255), r"intensity is \(0, 255\): give IntensityMapping"),
        ("each_prompt_an_object", "yes", "each_prompt_an_object='yes': give True or"),
        ("everything_in_stack", 1, "everything_in_stack=1: give True or False"),
        ("size", "huge", "size='huge': choose one of 'small', 'medium', 'large'"),
        ("axis", "t", "axis='t': give z, y, x, or a number from 0 to 2"),
        ("axis", 1.5, "axis=1.5: give a whole number"),
        ("zoom", "in", "The zoom is 'in'"),
        ("model", 5, "model is 5: give a name, a path or a loaded"),
    ],
)
def test_wrong_settings_are_refused(
    scripted: SamSession, setting: str, value: Any, sentence: str
) -> None:
    before = getattr(scripted, setting)
    with pytest.raises((ValueError, TypeError), match=sentence):
        setattr(scripted, setting, value)
    assert getattr(scripted, setting) is before


def test_an_axis_may_be_named(scripted: SamSession) -> None:
    scripted.axis = "z"
    assert scripted.axis == 0
    scripted.axis = None
    assert scripted.axis is None


def test_layers_are_taken(scripted: SamSession) -> None:
    layers = scripted.viewer.layers
    scripted.image_layer, scripted.labels_layer = layers["cells"], layers["mine"]
    assert scripted.labels_layer is layers["mine"]
    scripted.labels_layer = None
    assert scripted.labels_layer is None


@pytest.mark.parametrize("label", ["one", 1.5, None, [1]])
def test_labels_are_whole_numbers(scripted: SamSession, label: Any) -> None:
    scripted.labels_layer = scripted.viewer.layers["mine"]
    with pytest.raises((ValueError, TypeError), match=r"label=.*whole number"):
        scripted.labels.merge([label, 2])
    if label is not None:  # the selected one
        with pytest.raises((ValueError, TypeError), match=r"label=.*whole number"):
            scripted.labels.delete(label)
