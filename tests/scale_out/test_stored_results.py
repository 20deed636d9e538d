"""Results of a propagation keep every field in the files of a job."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.testing import assert_array_equal

from napari_sam.images.stack import Stack
from napari_sam.images.window import Window
from napari_sam.scale_out.stacks.slices import volume_from_arrays, volume_to_arrays
from napari_sam.volume.appearance import Appearance
from napari_sam.volume.results import SliceResult, VolumeResult


def test_every_field_of_a_slice_survives() -> None:
    values = {
        "object_id": 7,
        "index": 2,
        "score": 0.6,
        "status": "doubtful",
        "origin": (3, 4),
        "logits": np.array([[1, -2], [3, 4]], np.float16),
        "confidence": 0.3,
        "provisional": True,
        "window": Window(1, 2, 64, 48),
        "appearance": Appearance(-1.5, 0.2, 0.7),
        "weakest": 0.1,
    }
    assert values.keys() == {field.name for field in fields(SliceResult)}
    stack = Stack(np.zeros((4, 64, 64), np.uint8))
    volume = VolumeResult(stack, (SliceResult(**values),), {})  # type: ignore[arg-type]
    (found,) = volume_from_arrays(volume_to_arrays(volume), stack, {}).slices
    for name, value in values.items():
        assert_array_equal(getattr(found, name), value, err_msg=name)
