"""Every public dataclass of options refuses values that make no sense."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import napari_sam as ns
from napari_sam.masks.cleanup import CleanUp
from napari_sam.training.instances.head_training import HeadOptions

CLASSES = [
    CleanUp,
    HeadOptions,
    ns.Linking,
    ns.PropagationOptions,
    ns.SearchOptions,
    ns.Thresholds,
    ns.TrainingOptions,
]
FIELDS = [(kind, field.name) for kind in CLASSES for field in fields(kind)]
IDS = [f"{kind.__name__}.{name}" for kind, name in FIELDS]
# What no option of the package can be.
NEVER = [
    -1,
    -0.5,
    float("nan"),
    float("inf"),
    float("-inf"),
    "many",
    b"1",
    [1, "a"],
    [[1], [2, 3]],
    {"a": 1},
    1j,
    object(),
    np.zeros(3),
    np.array(["a", "b"]),
    np.float32("nan"),
]


@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=IDS)
def test_wrong_values_are_refused_in_one_sentence(kind: Any, name: str) -> None:
    for value in NEVER:
        with pytest.raises((ValueError, TypeError)) as refusal:
            kind(**{name: value})
        sentence = str(refusal.value)
        assert name in sentence or "zoom" in sentence
        assert ": " in sentence
        assert "\n" not in sentence
        assert len(sentence) < 200
        assert sentence.endswith(".")


WHOLE = [
    (kind, field.name)
    for kind in CLASSES
    for field in fields(kind)
    if str(field.type).startswith("int")
]


@pytest.mark.parametrize(("kind", "name"), WHOLE)
def test_whole_numbers_have_no_fraction(kind: Any, name: str) -> None:
    for value in (1.5, np.float64(2.25), True, "3"):
        with pytest.raises((ValueError, TypeError), match=f"{name}=.*whole number"):
            kind(**{name: value})
    for value in (3, 3.0, np.int16(3), np.float32(3), np.array(3)):
        stored = getattr(kind(**{name: value}), name)
        assert stored == 3
        assert type(stored) is int


@pytest.mark.parametrize("kind", CLASSES)
def test_defaults_are_plain_values(kind: Any) -> None:
    assert kind(**asdict(kind())) == kind()
    json.dumps(asdict(kind()))


@given(value=st.floats(0, 1, width=16))
def test_numpy_numbers_are_stored_as_plain_ones(value: float) -> None:
    options = ns.Thresholds(
        pred_iou_thresh=np.float32(value),
        min_size=np.uint8(3),
        picked=np.array([[1, 2]]),
    )
    assert options == ns.Thresholds(value, min_size=3, picked=((1.0, 2.0),))
    json.dumps(asdict(options))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ns.PropagationOptions(first=9, last=3), "no slice from first=9 to"),
        (lambda: ns.PropagationOptions(projection="mask"), "choose one of 'auto'"),
        (lambda: ns.PropagationOptions(memory=0), "memory=0: give .* 1 or more"),
        (lambda: ns.Thresholds(min_size=9, max_size=3), "from 9 to 3 pixels"),
        (
            lambda: ns.TrainingOptions(prompts=("point",), first_prompts=("box",)),
            r"does not train it: add 'box' to prompts",
        ),
        (lambda: ns.TrainingOptions(prompts="point"), "give a tuple"),
        (lambda: ns.TrainingOptions(prompts=()), "choose from"),
    ],
)
def test_contradictions_are_refused(make: Any, sentence: str) -> None:
    with pytest.raises((ValueError, TypeError), match=sentence):
        make()
