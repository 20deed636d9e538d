"""A registry name, a checkpoint file or a folder becomes a predictor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from napari_sam.checkpoints.families import Family
from napari_sam.checkpoints.hugging_face import read_family, weight_files
from napari_sam.checkpoints.model_card import ModelCard
from napari_sam.checkpoints.registry import MODELS
from napari_sam.checkpoints.resolve import find_model, find_spec, is_hub_name
from napari_sam.checkpoints.state_dict import load_model_file, with_decoder
from napari_sam.files import hash_file, verify
from napari_sam.nets.devices import best_device, free_gpu_memory
from napari_sam.nets.tiny_vit import TinyViT
from napari_sam.prediction.predictor import Predictor

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from napari_sam.checkpoints.model_spec import ClickDecoder, ModelSpec
    from napari_sam.nets.config import SamConfig
    from napari_sam.nets.sam import SamNetwork

_BOX_ONLY = frozenset({"box"})
_ALL_PROMPTS = frozenset({"point", "box", "mask"})


def load_model(
    model: str | Path,
    *,
    device: str | torch.device | None = None,
    config: SamConfig | None = None,
    family: Family | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> Predictor:
    """Load a model for prediction.

    Parameters
    ----------
    model : str or Path
        A name of the registry (see `list_models`), a checkpoint file (``.pth``,
        ``.pt``, ``.safetensors``), a folder in Hugging Face layout, or a name of the
        Hugging Face hub.
    device : str or torch.device, optional
        Where to compute; CUDA, then Apple's MPS, then the CPU when None.
    config : SamConfig, optional
        For files: the sizes that shapes do not tell (heads of the mask decoder).
    family : {"sam", "medsam", "lite_medsam"}, optional
        How planes are prepared for the model. Needed for files and folders that the
        registry does not know and that do not say it; their keys cannot tell.
    progress : callable, optional
        Called with (bytes done, bytes in all or None) while weights arrive.

    Raises
    ------
    ValueError
        When the name or family is unknown or the file is no SAM checkpoint.
    OSError
        When the file cannot be read.
    WeightsError
        When the weights of a named model cannot be had; it says where to put them.
    """
    spec = find_spec(model)
    if str(model) in MODELS and spec and family not in (None, spec.family):
        raise ValueError(
            f"The model {spec.name!r} was trained as {spec.family!r}, not "
            f"{family!r}: leave family out, or give the weights as a file."
        )
    # Of models on the hub the small files come first: a question about the family
    # must not follow a long download.
    path = find_model(model, weights=False, progress=progress)
    if spec is not None and path.is_file() and family in (None, spec.family):
        return _predictor(path, spec, device, config)
    card = ModelCard.read(path)
    family = _known_family(path, spec, card, family)
    name = path.name
    if is_hub_name(model) and not Path(model).exists():
        path, name = find_model(model), str(model)
        card = ModelCard.read(path)
    network, key = _on_device(path, device, config), _hash(path)
    if card is not None:
        return predictor_of(network, card, name=name, key=key)
    known = _ALL_PROMPTS if family == "sam" else _BOX_ONLY
    return Predictor(network, name=name, family=family, prompts=known, key=key)


def predictor_of(
    model: SamNetwork, card: ModelCard, *, name: str, key: str
) -> Predictor:
    """A predictor that uses a fine-tuned model as its card says."""
    prompts = frozenset[str](card.prompts)
    return Predictor(
        model,
        name=name,
        family=card.family,
        prompts=prompts - {"point"} if card.refines_clicks_by_box else prompts,
        key=key,
        multimask_output=card.multimask_output,
        click_decoder=model if card.refines_clicks_by_box else None,
    )


def _known_family(
    path: Path, spec: ModelSpec | None, card: ModelCard | None, family: Family | None
) -> Family:
    """What the caller, the registry or the file itself says, in this order."""
    if card is not None and family not in (None, card.family):
        raise ValueError(
            f"{path} was trained as {card.family!r}, not {family!r}: leave family out."
        )
    if family is None and spec is not None:
        family = spec.family
    if family is None:
        family = card.family if card is not None else read_family(path)
    if family is None or family not in get_args(Family):
        raise ValueError(
            f"The registry does not know {path}, and weights do not tell how images "
            f"must be prepared: give family= one of {', '.join(get_args(Family))} "
            "('Trained as' in the viewer, --family on the command line)."
        )
    return family


def _predictor(
    path: Path,
    spec: ModelSpec,
    device: str | torch.device | None,
    config: SamConfig | None,
) -> Predictor:
    model, key, click_decoder = _on_device(path, device, config), spec.hash, None
    if spec.click_decoder is not None:
        click_decoder = load_click_decoder(model, spec.click_decoder)
        key = f"{key}, clicks sha256:{spec.click_decoder.sha256}"
    return Predictor(
        model,
        name=spec.name,
        family=spec.family,
        prompts=frozenset(spec.prompts),
        key=key,
        click_decoder=click_decoder,
    )


def load_click_decoder(model: SamNetwork, decoder: ClickDecoder) -> SamNetwork:
    """Put the decoder for clicks that this package brings on a model's encoder.

    Raises
    ------
    ValueError
        When the file is missing, is not the one that was published, or does not fit.
    """
    path = decoder.path
    if not (path.is_file() and verify(path, f"sha256:{decoder.sha256}")):
        raise ValueError(f"{path} is damaged or missing: install napari-sam again.")
    return with_decoder(model, path)


def _on_device(
    path: Path, device: str | torch.device | None, config: SamConfig | None
) -> SamNetwork:
    free_gpu_memory()  # of the model before, which the caller let go
    model: SamNetwork = load_model_file(path, config, official_layer_norm=True)
    if isinstance(model.image_encoder, TinyViT):
        # For prediction only: what is trained and saved keeps its norms.
        model.image_encoder.fold_batch_norms()
    return model.to(device or best_device())


def _hash(path: Path) -> str:
    """Hash of a model's weights."""
    files = weight_files(path) if path.is_dir() else [path]
    hashes = [hash_file(file, "sha256").removeprefix("sha256:") for file in files]
    return "+".join(hashes)
