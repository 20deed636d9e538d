"""Fixtures: small random models to test mechanics, the real model for its results."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import settings

from napari_sam.nets.config import (
    SamConfig,
    SamMaskDecoderConfig,
    SamPromptEncoderConfig,
    SamVisionConfig,
    TinyViTConfig,
)
from napari_sam.nets.instance_head import InstanceHead
from napari_sam.nets.sam import SamNetwork
from napari_sam.prediction.predictor import Predictor
from tests.helpers.embeddings import encode_each_plane_once
from tests.helpers.scenes import Scene

if TYPE_CHECKING:
    from collections.abc import Callable


# Neither read nor write the settings of the person who runs the tests.
os.environ["NAPARI_CONFIG"] = ""

SEED = 20240
# The workers of pytest-xdist share the cores.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
THREADS = max(1, torch.get_num_threads() // WORKERS)

# The same examples in every run, and no failures because a machine is busy;
# `pytest --hypothesis-profile=explore` searches for new ones.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, max_examples=1000)
# For the second run, with the oldest libraries: the same tests, fewer examples.
settings.register_profile("few", settings.get_profile("repeatable"), max_examples=25)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def one_thread_for_small_models(request: pytest.FixtureRequest) -> None:
    """Use one thread for small models: more would mostly wait for each other."""
    real = request.node.get_closest_marker("weights") is not None
    torch.set_num_threads(THREADS if real else 1)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of reference arrays from the published implementations."""
    return Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def coins() -> Scene:
    """scikit-image's coins; labels from Otsu's threshold, complete coins only."""
    from skimage import data, filters, measure, morphology, segmentation

    image = data.coins()
    objects = image > filters.threshold_otsu(image)
    objects = morphology.closing(objects, np.ones((3, 3), np.uint8))
    labels = segmentation.clear_border(measure.label(objects))
    for region in measure.regionprops(labels):
        if region.area <= 100:
            labels[labels == region.label] = 0
    numbers = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    return Scene(image, numbers.astype(np.int32))


@pytest.fixture(scope="session")
def default_predictor() -> Predictor:
    """Predictor with the real default weights; tests with it are marked `weights`."""
    from napari_sam.prediction.loading import load_model

    return encode_each_plane_once(load_model("lite_medsam", device="cpu"))


@pytest.fixture(scope="session")
def published_predictor(default_predictor: Predictor) -> Predictor:
    """Predictor with the default weights as published: without the click decoder."""
    predictor = Predictor(
        default_predictor.model,
        name="published",
        family=default_predictor.family,
        prompts=default_predictor.prompts,
        key="published",
    )
    return encode_each_plane_once(predictor)


@pytest.fixture(scope="session")
def random_model() -> Callable[..., SamNetwork]:
    """Function that makes a model with random parameters, for mechanics."""

    def make(config: SamConfig, seed: int = SEED) -> SamNetwork:
        generator = torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = SamNetwork(config)
        with torch.no_grad():
            # Biases, norms and position tables would start as constants.
            for parameter in model.parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_(0.1 * noise)
            for name, buffer in model.named_buffers():
                if name.endswith("running_var"):
                    buffer.add_(torch.rand(buffer.shape, generator=generator))
        return model.eval().requires_grad_(False)

    return make


@pytest.fixture(scope="session")
def vit_config() -> SamConfig:
    """64 px input, 8 x 8 embedding, 32 x 32 masks; windows that need padding."""
    return SamConfig(
        vision_config=SamVisionConfig(
            hidden_size=16,
            output_channels=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=64,
            patch_size=8,
            window_size=3,
            global_attn_indexes=(1,),
        ),
        prompt_encoder_config=SamPromptEncoderConfig(
            hidden_size=16, image_size=64, patch_size=8, mask_input_channels=8
        ),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=16, mlp_dim=24, num_attention_heads=2, iou_head_hidden_dim=12
        ),
    )


@pytest.fixture(scope="session")
def lite_config() -> SamConfig:
    """LiteMedSAM's layout: 64 px input, 16 x 16 embedding, masks as large as input."""
    return SamConfig(
        vision_config=TinyViTConfig(
            image_size=64,
            patch_kernel=1,
            embed_dims=(8, 16, 24),
            depths=(1, 1, 1),
            num_heads=(1, 2, 3),
            window_sizes=(7, 7, 5),
            output_channels=16,
        ),
        prompt_encoder_config=SamPromptEncoderConfig(
            hidden_size=16, image_size=64, patch_size=4, mask_input_channels=8
        ),
        mask_decoder_config=SamMaskDecoderConfig(
            hidden_size=16, mlp_dim=24, num_attention_heads=2, iou_head_hidden_dim=12
        ),
    )


@pytest.fixture(scope="session")
def tiny_sam(
    random_model: Callable[..., SamNetwork], vit_config: SamConfig
) -> Predictor:
    """Random model of the SAM family, trained on all prompt types."""
    return Predictor(
        random_model(vit_config),
        name="tiny_sam",
        family="sam",
        prompts=frozenset({"point", "box", "mask"}),
        key="tiny_sam",
    )


@pytest.fixture(scope="session")
def tiny_medsam(
    random_model: Callable[..., SamNetwork], vit_config: SamConfig
) -> Predictor:
    """Random model of the MedSAM family, trained on boxes only."""
    return Predictor(
        random_model(vit_config),
        name="tiny_medsam",
        family="medsam",
        prompts=frozenset({"box"}),
        key="tiny_medsam",
    )


@pytest.fixture(scope="session")
def tiny_lite(
    random_model: Callable[..., SamNetwork], lite_config: SamConfig
) -> Predictor:
    """Random model of the LiteMedSAM family, trained on boxes only."""
    return Predictor(
        random_model(lite_config),
        name="tiny_lite",
        family="lite_medsam",
        prompts=frozenset({"box"}),
        key="tiny_lite",
    )


@pytest.fixture(scope="session")
def tiny_clicks(
    random_model: Callable[..., SamNetwork], tiny_lite: Predictor
) -> Predictor:
    """`tiny_lite` with a random click decoder on the same image encoder."""
    click_decoder = random_model(tiny_lite.model.config, SEED + 1)
    click_decoder.image_encoder = tiny_lite.model.image_encoder
    return Predictor(
        tiny_lite.model,
        name="tiny_clicks",
        family="lite_medsam",
        prompts=frozenset({"box"}),
        key="tiny_clicks",
        click_decoder=click_decoder,
    )


@pytest.fixture(scope="session")
def tiny_head(tiny_lite: Predictor) -> Predictor:
    """`tiny_lite` with a random instance head, whose weights are in half precision."""
    torch.manual_seed(SEED)
    return Predictor(
        tiny_lite.model,
        name="tiny_head",
        family="lite_medsam",
        prompts=frozenset({"box"}),
        key="tiny_head",
        instance_head=InstanceHead(16).half().float().eval(),
    )


@pytest.fixture(params=["tiny_sam", "tiny_medsam", "tiny_lite"])
def tiny_predictor(request: pytest.FixtureRequest) -> Predictor:
    """Random model of each family."""
    predictor: Predictor = request.getfixturevalue(request.param)
    return predictor
