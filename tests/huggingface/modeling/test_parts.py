"""Names, attentions and gradients of the parts of SamModel."""

from __future__ import annotations

import copy
import io
from typing import TYPE_CHECKING

import pytest
import torch

from napari_sam.huggingface.model import SamModel
from napari_sam.huggingface.vision_model import SamVisionModel
from napari_sam.nets.sam import SamNetwork

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_sam.nets.config import SamConfig

PIXELS = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
BOXES = torch.tensor([[[3.0, 4, 40, 50]] * 3] * 2)


@pytest.fixture
def model(random_sam: Callable[..., SamModel], vit_config: SamConfig) -> SamModel:
    return random_sam(vit_config).requires_grad_(True)


def test_freezing_by_name(model: SamModel) -> None:
    for name, parameter in model.named_parameters():
        if name.startswith(("vision_encoder", "prompt_encoder")):
            parameter.requires_grad_(False)
    model(PIXELS, input_boxes=BOXES).pred_masks.mean().backward()
    trained = {
        n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None
    }
    # The positions are shared with the prompts and have a name of their own.
    assert trained == {"mask_decoder", "shared_image_embedding"}
    frozen = model.num_parameters() - model.num_parameters(only_trainable=True)
    parts = [*model.vision_encoder.parameters(), *model.prompt_encoder.parameters()]
    shared = model.shared_image_embedding.positional_embedding.numel()
    assert frozen == sum(p.numel() for p in parts) - shared


def test_weights_that_are_loaded_change_the_output(
    model: SamModel, random_sam: Callable[..., SamModel], vit_config: SamConfig
) -> None:
    other = random_sam(vit_config, 5)
    expected = other(PIXELS, input_boxes=BOXES).pred_masks
    buffer = io.BytesIO()
    torch.save(other.state_dict(), buffer)
    buffer.seek(0)
    model.load_state_dict(torch.load(buffer))
    found = model(PIXELS, input_boxes=BOXES).pred_masks
    torch.testing.assert_close(found, expected)
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    assert torch.equal(model(PIXELS, input_boxes=BOXES).pred_masks, found)
    assert not copied(PIXELS, input_boxes=BOXES).pred_masks.any()
    double = model.double()(PIXELS.double(), input_boxes=BOXES.double()).pred_masks
    torch.testing.assert_close(double.float(), expected, atol=1e-4, rtol=1e-4)


def test_attentions_and_hidden_states(model: SamModel) -> None:
    asked = model(
        PIXELS, input_boxes=BOXES, output_attentions=True, output_hidden_states=True
    )
    plain = model(PIXELS, input_boxes=BOXES)
    torch.testing.assert_close(asked.pred_masks, plain.pred_masks)
    assert list(plain) == ["iou_scores", "pred_masks"]
    windows, whole = asked.vision_attentions
    assert windows.shape == (2 * 9 * 2, 9, 9)
    assert whole.shape == (2 * 2, 64, 64)
    for weights in (windows, whole):
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))
    assert [h.shape for h in asked.vision_hidden_states] == [(2, 8, 8, 16)] * 3
    assert [a.shape for a in asked.mask_decoder_attentions] == [(2, 3, 64, 16)] * 2
    model.config.output_attentions = True
    assert len(model(PIXELS, input_boxes=BOXES)) == 4
    assert len(model(PIXELS, input_boxes=BOXES, return_dict=False)) == 4


def test_parts_give_the_masks_of_the_whole(model: SamModel) -> None:
    points, labels = torch.rand(2, 3, 2, 2) * 60, torch.tensor([[[1, 0]] * 3] * 2)
    masks = torch.rand(2, 1, 32, 32)
    embeddings = model.vision_encoder(PIXELS)[0]
    sparse, dense = model.prompt_encoder(points, labels, None, masks)
    found, scores = model.mask_decoder(
        image_embeddings=embeddings,
        image_positional_embeddings=model.get_image_wide_positional_embeddings(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=True,
    )
    expected = model(PIXELS, points, labels, input_masks=masks)
    torch.testing.assert_close(found, expected.pred_masks)
    torch.testing.assert_close(scores, expected.iou_scores)


def test_gradient_checkpointing_gives_the_same_gradients(model: SamModel) -> None:
    gradients = []
    for enabled in (False, True):
        if enabled:
            model.gradient_checkpointing_enable()
        assert model.is_gradient_checkpointing is enabled
        model.train().zero_grad()
        model(PIXELS, input_boxes=BOXES).pred_masks.mean().backward()
        gradients.append([p.grad.clone() for p in model.vision_encoder.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing


def test_embeddings_can_be_trained_on(model: SamModel) -> None:
    embeddings = model.get_image_embeddings(PIXELS)
    assert not embeddings.requires_grad
    model(image_embeddings=embeddings, input_boxes=BOXES).pred_masks.mean().backward()
    assert model.mask_decoder.mask_tokens.weight.grad is not None


def test_tiny_vit_has_neither_checkpointing_nor_attentions(
    random_sam: Callable[..., SamModel], lite_config: SamConfig, tmp_path: Path
) -> None:
    model = random_sam(lite_config)
    assert model(PIXELS, input_boxes=BOXES).pred_masks.shape[:2] == (2, 3)
    with pytest.raises(ValueError, match="TinyViT has no gradient checkpointing"):
        model.gradient_checkpointing_enable()
    with pytest.raises(ValueError, match="TinyViT gives no attentions"):
        model(PIXELS, input_boxes=BOXES, output_attentions=True)


def test_images_of_another_size_are_refused(model: SamModel) -> None:
    with pytest.raises(ValueError, match=r"\(2, 3, 32, 64\): give \(images, 3, 64, 64"):
        model(PIXELS[:, :, :32], input_boxes=BOXES)
    with pytest.raises(ValueError, match="no pixel_values"):
        model.vision_encoder()


def test_vision_model_is_the_encoder_of_the_model(
    model: SamModel, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    encoder = SamVisionModel.from_pretrained(tmp_path)
    expected = model.vision_encoder(PIXELS).last_hidden_state
    torch.testing.assert_close(encoder(PIXELS).last_hidden_state, expected)
    assert set(encoder.state_dict()) == {
        name for name in model.state_dict() if name.startswith("vision_encoder.")
    }
    assert encoder(PIXELS, output_hidden_states=True).hidden_states is not None
    config = model.config.vision_config
    assert SamVisionModel(config).num_parameters() == encoder.num_parameters()


def test_a_network_is_not_changed_by_its_interface(vit_config: SamConfig) -> None:
    network = SamNetwork(vit_config)
    names = list(network.state_dict())
    parameters = [name for name, _ in network.named_parameters()]
    SamModel.of(network).requires_grad_(False)
    assert list(network.state_dict()) == names
    assert [name for name, _ in network.named_parameters()] == parameters
