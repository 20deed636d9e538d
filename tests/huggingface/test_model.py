"""SamModel: shapes, batches, gradients and errors of its forward call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from napari_sam.huggingface.configuration import SamConfig as HubConfig
from napari_sam.huggingface.model import SamModel
from napari_sam.nets.config import SamConfig, SamVisionConfig
from napari_sam.nets.sam import SamNetwork

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor


@pytest.fixture(scope="module")
def model(random_sam: Callable[..., SamModel], vit_config: SamConfig) -> SamModel:
    return random_sam(vit_config)


def random(*shape: int, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(len(shape))
    return torch.rand(*shape, generator=generator) * scale


@pytest.mark.parametrize("multimask_output", [False, True])
@pytest.mark.parametrize(
    "prompts",
    [
        {"input_points": random(2, 4, 3, 2, scale=64)},
        {
            "input_points": random(2, 4, 3, 2, scale=64),
            "input_labels": torch.tensor([0, 1, 1]).expand(2, 4, 3),
        },
        {"input_boxes": torch.tensor([3.0, 4, 40, 50]).expand(2, 4, 4)},
        {
            "input_boxes": torch.tensor([3.0, 4, 40, 50]).expand(2, 4, 4),
            "input_masks": random(2, 1, 32, 32),
        },
    ],
    ids=["points", "labels", "boxes", "boxes and masks"],
)
def test_shapes(
    model: SamModel, prompts: dict[str, Tensor], multimask_output: bool
) -> None:
    output = model(random(2, 3, 64, 64), **prompts, multimask_output=multimask_output)
    count = 3 if multimask_output else 1
    assert output.pred_masks.shape == (2, 4, count, 32, 32)
    assert output.iou_scores.shape == (2, 4, count)


def test_objects_are_decoded_independently(model: SamModel) -> None:
    pixels, boxes = random(2, 3, 64, 64), random(2, 3, 4, scale=20)
    boxes[..., 2:] += 30
    masks = random(2, 1, 32, 32, scale=8)
    together = model(pixels, input_boxes=boxes, input_masks=masks)
    for image in range(2):
        for item in range(3):
            alone = model(
                pixels[image, None],
                input_boxes=boxes[image, None, item, None],
                input_masks=masks[image, None],
            )
            torch.testing.assert_close(
                alone.pred_masks[0, 0], together.pred_masks[image, item]
            )
            torch.testing.assert_close(
                alone.iou_scores[0, 0], together.iou_scores[image, item]
            )


def test_embeddings_replace_images(model: SamModel) -> None:
    pixels, boxes = random(1, 3, 64, 64), torch.tensor([[[3.0, 4, 40, 50]]])
    embeddings = model.get_image_embeddings(pixels)
    assert embeddings.shape == (1, 16, 8, 8)
    with torch.no_grad():
        direct = model(pixels, input_boxes=boxes)
        later = model(image_embeddings=embeddings, input_boxes=boxes)
    torch.testing.assert_close(later.pred_masks, direct.pred_masks)


def test_mask_alone_is_a_prompt(model: SamModel) -> None:
    output = model(random(1, 3, 64, 64), input_masks=random(1, 1, 32, 32))
    assert output.pred_masks.shape == (1, 1, 3, 32, 32)


@pytest.mark.parametrize("config_name", ["vit_config", "lite_config"])
def test_gradients_reach_every_part(
    random_sam: Callable[..., SamModel],
    request: pytest.FixtureRequest,
    config_name: str,
) -> None:
    model = random_sam(request.getfixturevalue(config_name)).requires_grad_(True)
    output = model(
        random(1, 3, 64, 64),
        input_points=random(1, 1, 2, 2, scale=64),
        input_labels=torch.tensor([[[1, 0]]]),
        input_boxes=torch.tensor([[[3.0, 4, 40, 50]]]),
    )
    (output.pred_masks.square().mean() + output.iou_scores.square().mean()).backward()
    without = {
        name.rsplit(".", 1)[0]
        for name, parameter in model.named_parameters()
        if parameter.grad is None
    }
    # Parameters of prompts that were not given, and of the single mask.
    assert all(
        name.startswith(
            (
                "prompt_encoder.mask_embed",
                "prompt_encoder.not_a_point_embed",
                "mask_decoder.output_hypernetworks_mlps.0.",
            )
        )
        for name in without
    ), without


def test_image_or_embedding(model: SamModel) -> None:
    with pytest.raises(ValueError, match="either pixel_values or image_embeddings"):
        model(input_boxes=torch.zeros(1, 1, 4))
    with pytest.raises(ValueError, match="either pixel_values or image_embeddings"):
        model(random(1, 3, 64, 64), image_embeddings=random(1, 16, 8, 8))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("input_points", (1, 2, 2)),
        ("input_points", (2, 1, 1, 2)),
        ("input_labels", (1, 1)),
        ("input_boxes", (1, 4)),
        ("input_boxes", (3, 1, 4)),
    ],
)
def test_wrong_prompt_shapes(
    model: SamModel, name: str, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=rf"{name} has shape .* for the 1 images"):
        model(random(1, 3, 64, 64), **{name: torch.zeros(shape)})


def test_labels_without_points(model: SamModel) -> None:
    with pytest.raises(ValueError, match="labels without points"):
        model(random(1, 3, 64, 64), input_labels=torch.ones(1, 2, 1))


def test_labels_must_fit_their_points(model: SamModel) -> None:
    with pytest.raises(ValueError, match="one label for each point"):
        model(
            random(1, 3, 64, 64),
            input_points=torch.zeros(1, 2, 3, 2),
            input_labels=torch.ones(1, 2, 1),
        )


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ({"input_points": [[None]]}, "Object 0 of image 0 has no prompt"),
        ({"input_labels": [[[1]]]}, "Object 0 of image 0 has labels without points"),
        ({"input_points": [[], []]}, "input_points is for 2 images, the model got 1"),
        (
            {"input_points": [[[[1, 2]]]], "input_boxes": [[[1, 2, 3, 4], None]]},
            r"input_points \[1\], input_boxes \[2\]",
        ),
        (
            {"input_points": [[[[1, 2]]]], "input_labels": [[[1, 0]]]},
            "has 1 points and labels of shape",
        ),
    ],
)
def test_nested_prompts_that_do_not_fit(
    model: SamModel, prompts: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        model(random(1, 3, 64, 64), **prompts)


def test_masks_must_fit_the_objects(model: SamModel) -> None:
    with pytest.raises(ValueError, match="2 masks for the 3 objects"):
        model(
            random(1, 3, 64, 64),
            input_boxes=torch.zeros(1, 3, 4),
            input_masks=torch.zeros(1, 2, 32, 32),
        )


def test_unknown_activations_are_refused() -> None:
    with pytest.raises(ValueError, match="hidden_act is 'xielu': choose one of gelu"):
        SamModel(SamConfig(vision_config=SamVisionConfig(hidden_act="xielu")))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"vision_config": {"hidden_size": 30}}, "image encoder's.*multiple of 12"),
        (
            {"mask_decoder_config": {"attention_downsample_rate": 64}},
            "mask decoder's.*multiple of 512",
        ),
    ],
)
def test_heads_that_do_not_divide_the_width_are_refused(
    part: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SamModel(SamConfig(**part))


def test_prompt_embeddings(model: SamModel) -> None:
    sparse, dense = model.get_prompt_embeddings(
        input_points=torch.zeros(2, 3, 4, 2), input_boxes=torch.zeros(2, 3, 4)
    )
    assert sparse is not None
    assert sparse.shape == (2, 3, 6, 16)
    assert dense.shape == (2, 16, 8, 8)
    sparse, dense = model.get_prompt_embeddings(input_masks=torch.zeros(2, 1, 32, 32))
    assert sparse is None
    assert dense.shape == (2, 16, 8, 8)
    assert model.get_image_wide_positional_embeddings().shape == (1, 16, 8, 8)


def test_prompts_must_agree_on_the_objects(model: SamModel) -> None:
    with pytest.raises(ValueError, match=r"input_points \[2\], input_boxes \[3\]"):
        model(
            random(1, 3, 64, 64),
            input_points=torch.zeros(1, 2, 1, 2),
            input_boxes=torch.zeros(1, 3, 4),
        )


def test_prompts_without_objects(model: SamModel) -> None:
    for boxes in (torch.zeros(1, 0, 4), [[]]):
        with pytest.raises(ValueError, match="no objects"):
            model(random(1, 3, 64, 64), input_boxes=boxes)


def test_shared_mask_of_nested_prompts(model: SamModel) -> None:
    boxes = [[[3.0, 4, 40, 50], [1.0, 2, 30, 30]], [[5.0, 5, 60, 60]]]
    masks = random(2, 1, 32, 32)
    together = model(random(2, 3, 64, 64), input_boxes=boxes, input_masks=masks)
    for image, own in enumerate(boxes):
        alone = model(
            random(2, 3, 64, 64)[image, None],
            input_boxes=torch.tensor([own]),
            input_masks=masks[image, None],
        )
        torch.testing.assert_close(together.pred_masks[image], alone.pred_masks[0])


def test_model_of_a_network_shares_its_weights(vit_config: SamConfig) -> None:
    network = SamNetwork(vit_config).eval()
    model = SamModel.of(network)
    assert not model.training
    theirs = {p.data_ptr() for p in model.parameters()}
    assert {p.data_ptr() for p in network.parameters()} < theirs
    network.train()
    network.image_encoder.eval()
    assert SamModel.of(network).training
    assert not network.image_encoder.training
    assert isinstance(model.config, HubConfig)
    assert model.config == vit_config


def test_config_of_a_network_is_written_and_read(
    vit_config: SamConfig, tmp_path: Path
) -> None:
    config = HubConfig.of(vit_config)
    assert HubConfig.of(config) is config
    config.save_pretrained(tmp_path)
    again = HubConfig.from_pretrained(tmp_path)
    assert again.mask_decoder_config == config.mask_decoder_config
    assert again.prompt_encoder_config == config.prompt_encoder_config
