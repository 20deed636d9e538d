"""Loading of a predictor from a registry name, a file, a folder or the hub."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from napari_sam.checkpoints.families import PREPROCESSING, Family
from napari_sam.checkpoints.hugging_face import read_family, weight_files
from napari_sam.checkpoints.instance_head import read_instance_head
from napari_sam.checkpoints.model_card import ModelCard
from napari_sam.checkpoints.model_key import (
    with_click_decoder,
    without_click_decoder,
)
from napari_sam.checkpoints.registry import DEFAULT_MODEL, MODELS
from napari_sam.checkpoints.resolve import find_model, find_spec, is_hub_name
from napari_sam.checkpoints.state_dict import load_model_file, with_decoder
from napari_sam.checks.values import check_type
from napari_sam.files import hash_file, verify
from napari_sam.nets.config import SamConfig
from napari_sam.nets.devices import choose_device, free_gpu_memory
from napari_sam.nets.instance_head import InstanceHead
from napari_sam.nets.tiny_vit import TinyViT
from napari_sam.prediction.predictor import Predictor
from napari_sam.prediction.processes import LoadedModels, ModelSource, check_not_forked

if TYPE_CHECKING:
    import torch

    from napari_sam.checkpoints.model_spec import ModelSpec, PackagedWeights
    from napari_sam.nets.sam import SamNetwork


def load_model(
    model: str | Path = DEFAULT_MODEL,
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
        ``.pt``, ``.safetensors``), a folder in Hugging Face layout, or a name on the
        Hugging Face hub.
    device : str or torch.device, optional
        Device to use; CUDA, then Apple's MPS, then the CPU when None.
    config : SamConfig, optional
        For files: sizes that cannot be inferred from the weights (number of heads of
        the mask decoder).
    family : {"sam", "medsam", "lite_medsam"}, optional
        Key of the preprocessing rules. Needed for files and folders that are not in
        the registry and do not state it; it cannot be inferred from the weights.
    progress : callable, optional
        Called with (bytes done, total bytes or None) during a download.

    Returns
    -------
    Predictor
        The model with frozen weights, ready to embed planes.

    Raises
    ------
    TypeError, ValueError
        When the name, family or device is unknown or the file is not a SAM checkpoint.
    OSError
        When the file cannot be read.
    WeightsError
        When the weights of a named model cannot be downloaded; the message says
        where to put them.
    """
    check_type(model, "model", str | os.PathLike, "a name or a path")
    if family is not None:
        check_type(family, "family", str, f"one of {', '.join(get_args(Family))}")
    if config is not None:
        check_type(config, "config", SamConfig, "a SamConfig")
    if progress is not None:
        check_type(progress, "progress", Callable, "a function of two numbers")
    # Checked before the weights are read, which may be downloaded.
    check_not_forked()
    chosen = choose_device(device)
    predictor = _load(model, chosen, config, family, progress)
    place = str(model)
    if Path(model).expanduser().exists() and place not in MODELS:
        place = str(Path(model).expanduser().resolve())
    asked = None if device is None else str(device)
    source = ModelSource(place, predictor.key, asked, config, family)
    predictor.loaded_from(source, load_again)
    return predictor


def load_again(source: ModelSource) -> Predictor:
    """Return the predictor of a source, loading it unless this process has it.

    Raises
    ------
    ValueError
        When the weights at this place are others than those that were pickled.
    """
    check_not_forked()
    with LoadedModels.lock:
        predictor: Predictor | None = LoadedModels.alive.get(source.identity)
        if predictor is None:
            predictor = load_model(
                source.model,
                device=source.device,
                config=source.config,
                family=source.family,
            )
        if predictor.key != source.key:
            raise ValueError(
                f"The weights of {source.model} changed after the predictor was sent "
                "to this process: load the model again."
            )
        if predictor not in LoadedModels.kept:
            LoadedModels.kept.append(predictor)
    return predictor


def _load(
    model: str | Path,
    device: torch.device,
    config: SamConfig | None,
    family: Family | None,
    progress: Callable[[int, int | None], None] | None,
) -> Predictor:
    spec = find_spec(model)
    if str(model) in MODELS and spec and family not in (None, spec.family):
        raise ValueError(
            f"The model {spec.name!r} was trained as {spec.family!r}, not "
            f"{family!r}: leave family out, or give the weights as a file."
        )
    # The small files of a hub model first: an unknown family should be reported
    # before a long download.
    path = find_model(model, weights=False, progress=progress)
    if spec is not None and path.is_file() and family in (None, spec.family):
        return _predictor_from_spec(path, spec, device, config)
    card = ModelCard.read(path)
    family = _choose_family(path, spec, card, family)
    name = path.name
    if is_hub_name(model) and not Path(model).exists():
        path, name = find_model(model), str(model)
        card = ModelCard.read(path)
    network, key = _load_network(path, device, config), _hash(path)
    if card is not None:
        head = (
            read_instance_head(path, network)
            if card.instance_head
            else load_parents_head(card)
        )
        return predictor_from_card(network, card, head, name=name, key=key)
    prompts = frozenset[str](PREPROCESSING[family].default_prompts)
    return Predictor(network, name=name, family=family, prompts=prompts, key=key)


def predictor_from_card(
    model: SamNetwork,
    card: ModelCard,
    instance_head: InstanceHead | None,
    *,
    name: str,
    key: str,
) -> Predictor:
    """Build the predictor of a fine-tuned model from its model card."""
    prompts = frozenset[str](card.prompts)
    return Predictor(
        model,
        name=name,
        family=card.family,
        prompts=prompts - {"point"} if card.refines_clicks_by_box else prompts,
        key=key,
        multimask_output=card.multimask_output,
        click_decoder=model if card.refines_clicks_by_box else None,
        instance_head=instance_head,
    )


def load_parents_head(card: ModelCard) -> InstanceHead | None:
    """Load the instance head of the parent of a model whose file has none.

    Files of earlier versions have none. It fits as long as the image encoder is that
    of a model of the registry.
    """
    is_encoder_trained = card.training.get("options", {}).get("encoder_blocks", 1)
    for spec in MODELS.values():
        # The head belongs to the image encoder, whatever the click decoder.
        parent = without_click_decoder(card.parent)
        is_parent = parent == f"{spec.family}:{spec.hash}"
        if spec.instance_head and is_parent and not is_encoder_trained:
            return load_instance_head(spec.instance_head)
    return None


def load_click_decoder(model: SamNetwork, decoder: PackagedWeights) -> SamNetwork:
    """Load a click decoder of this package onto a model's image encoder.

    Raises
    ------
    ValueError
        When the file is missing or damaged, or does not fit the model.
    """
    return with_decoder(model, _verified(decoder))


def load_instance_head(weights: PackagedWeights) -> InstanceHead:
    """Load an instance head of this package.

    Raises
    ------
    ValueError
        When the file is missing or damaged.
    """
    from safetensors.torch import load_file

    head = InstanceHead()
    state = load_file(_verified(weights))
    head.load_state_dict({name: value.float() for name, value in state.items()})
    return head.eval()


def _verified(weights: PackagedWeights) -> Path:
    """Return the path of packaged weights whose hash is right."""
    path = weights.path
    if not (path.is_file() and verify(path, f"sha256:{weights.sha256}")):
        raise ValueError(f"{path} is damaged or missing: install napari-sam again.")
    return path


def _choose_family(
    path: Path, spec: ModelSpec | None, card: ModelCard | None, family: Family | None
) -> Family:
    """Take the family from the caller, the registry or the file, in this order."""
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
            f"The model family of {path} is not in the registry and cannot be "
            f"inferred from the weights: give family= one of "
            f"{', '.join(get_args(Family))} ('Trained as' in the viewer, --family on "
            "the command line)."
        )
    return family


def _predictor_from_spec(
    path: Path,
    spec: ModelSpec,
    device: torch.device,
    config: SamConfig | None,
) -> Predictor:
    model, key, click_decoder = _load_network(path, device, config), spec.hash, None
    if spec.click_decoder is not None:
        click_decoder = load_click_decoder(model, spec.click_decoder)
        key = with_click_decoder(key, f"sha256:{spec.click_decoder.sha256}")
    head = spec.instance_head
    return Predictor(
        model,
        name=spec.name,
        family=spec.family,
        prompts=frozenset(spec.prompts),
        key=key,
        click_decoder=click_decoder,
        instance_head=None if head is None else load_instance_head(head),
    )


def _load_network(
    path: Path, device: torch.device, config: SamConfig | None
) -> SamNetwork:
    free_gpu_memory()  # of a previous model that the caller dropped
    model: SamNetwork = load_model_file(path, config, official_layer_norm=True)
    if isinstance(model.image_encoder, TinyViT):
        # For prediction only: training and saving need the batch norms.
        model.image_encoder.fold_batch_norms()
    return model.to(device)


def _hash(path: Path) -> str:
    """Return the SHA-256 of a model's weights."""
    files = weight_files(path) if path.is_dir() else [path]
    hashes = [hash_file(file, "sha256").removeprefix("sha256:") for file in files]
    return "+".join(hashes)


def as_predictor(model: str | Path | Predictor) -> Predictor:
    """Load a model, unless it is loaded already."""
    what = "a name, a path or a loaded Predictor"
    check_type(model, "model", str | os.PathLike | Predictor, what)
    return model if isinstance(model, Predictor) else load_model(model)
