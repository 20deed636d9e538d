"""The registry of models is complete and consistent."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, fields, replace
from typing import get_args

import pytest

from napari_sam.checkpoints.families import PREPROCESSING, Family
from napari_sam.checkpoints.model_spec import ModelSpec, UrlSource, WheelSource
from napari_sam.checkpoints.prompt_support import PromptKind
from napari_sam.checkpoints.registry import (
    ADVICE,
    DEFAULT_MODEL,
    MODELS,
    get_model_spec,
    list_models,
)

every_model = pytest.mark.parametrize("spec", list_models(), ids=lambda spec: spec.name)


def test_default_model_is_first() -> None:
    assert list_models()[0] is get_model_spec(DEFAULT_MODEL)


def test_prompt_support() -> None:
    lite, mobile, medsam = (
        get_model_spec(name).prompt_support
        for name in ("lite_medsam", "mobile_sam", "medsam_vit_b")
    )
    assert lite.answers("point")
    assert not lite.trained_on("point")
    assert not lite.answers("mask")
    assert lite.automatic_method == "instances"
    assert medsam.automatic_method == "boxes"
    assert not medsam.answers("point")
    assert all(mobile.trained_on(kind) for kind in get_args(PromptKind))
    assert mobile.automatic_method == "points"


def test_advice_names_models_of_the_table() -> None:
    assert {name for names in ADVICE.values() for name in names} <= set(MODELS)


def test_rows_are_unique() -> None:
    for attribute in ("name", "title", "file_name", "hash"):
        values = [getattr(spec, attribute) for spec in list_models()]
        assert len(set(values)) == len(values), attribute


@every_model
def test_rows_are_complete(spec: ModelSpec) -> None:
    assert MODELS[spec.name] is spec
    assert spec.title
    assert spec.purpose
    assert "fast" in spec.speed or "slow" in spec.speed
    assert spec.licence
    assert spec.sources
    assert spec.prompts
    assert spec.prompts <= set(get_args(PromptKind))
    assert spec.origin.startswith("https://")
    assert spec.file_name == spec.file_name.strip("/. ")
    assert spec.size_bytes is None or spec.size_bytes > 1_000_000
    assert spec.architecture in {"tiny_vit", "vit_b", "vit_l", "vit_h"}


@every_model
def test_hash_names_its_algorithm(spec: ModelSpec) -> None:
    assert re.fullmatch(r"sha256:[0-9a-f]{64}|xxh128:[0-9a-f]{32}", spec.hash)


@every_model
def test_sources_are_https_or_pinned_wheels(spec: ModelSpec) -> None:
    for source in spec.sources:
        match source:
            case UrlSource(url=url):
                assert url.startswith("https://")
            case WheelSource(version=version, member=member):
                assert version
                assert member.endswith(spec.file_name)


@every_model
def test_preprocessing_can_be_described(spec: ModelSpec) -> None:
    assert spec.family in PREPROCESSING
    assert str(spec.image_size) in PREPROCESSING[spec.family].describe(spec.image_size)


def test_preprocessing_covers_the_families() -> None:
    assert set(PREPROCESSING) == set(get_args(Family))


def test_models_trained_on_boxes_only() -> None:
    boxes_only = {spec.name for spec in list_models() if spec.prompts == {"box"}}
    assert boxes_only == {"lite_medsam", "medsam_vit_b"}


def test_sha256_is_preferred_to_xxh128() -> None:
    spec = replace(get_model_spec("vit_b_lm"), sha256="0" * 64)
    assert spec.hash == "sha256:" + "0" * 64


def test_model_without_hash_is_refused() -> None:
    with pytest.raises(ValueError, match="'vit_b_lm' has neither sha256 nor xxh128"):
        replace(get_model_spec("vit_b_lm"), xxh128=None)


def test_error_for_unknown_name_lists_the_models() -> None:
    with pytest.raises(ValueError, match="no model named 'vit_x'") as caught:
        get_model_spec("vit_x")
    for name in MODELS:
        assert name in str(caught.value)


def test_registry_is_read_only() -> None:
    spec = get_model_spec(DEFAULT_MODEL)
    with pytest.raises(TypeError):
        MODELS["mine"] = spec  # type: ignore[index]
    with pytest.raises(TypeError):
        PREPROCESSING["sam"] = PREPROCESSING["medsam"]  # type: ignore[index]
    for field in fields(spec):
        with pytest.raises(FrozenInstanceError):
            setattr(spec, field.name, None)


def test_list_models_returns_a_copy() -> None:
    list_models().clear()
    assert len(list_models()) == len(MODELS)
