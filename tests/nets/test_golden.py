"""The networks reproduce reference arrays of the published implementations."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_sam.checkpoints.infer_config import infer_config
from napari_sam.checkpoints.state_dict import load_model_file, to_official_keys
from napari_sam.huggingface.model import SamModel
from napari_sam.nets.config import SamConfig, SamMaskDecoderConfig
from napari_sam.nets.tiny_vit import TinyViT, WindowAttention
from napari_sam.prediction.loading import load_model
from napari_sam.prediction.plane_transform import PlaneTransform
from napari_sam.prompts.prompt import Prompt

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_sam.prediction.predictor import Embedding, Prediction, Predictor

ATOL = 1e-4
FOLDED_ATOL = 2e-3
# Masks may differ where the reference logit is this close to 0.
UNDECIDED = 1e-3

Arrays = dict[str, Any]


def read(path: Path) -> Arrays:
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def tensor(array: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def assert_close(actual: Any, expected: Any, atol: float = ATOL) -> None:
    assert np.shape(actual) == np.shape(expected)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def assert_same_masks(masks: NDArray[np.bool_], logits: NDArray[np.float32]) -> None:
    decided = np.abs(logits) > UNDECIDED
    np.testing.assert_array_equal(masks[decided], (logits > 0)[decided])


def to_box(xyxy: NDArray[Any]) -> NDArray[Any]:
    return xyxy[[1, 0, 3, 2]]


# -- the official classes at small sizes

SAM_CASES = {
    # case: (number of points, has a box, has a mask, number of output masks)
    "one_point_multi": (1, False, False, 3),
    "points_single": (3, False, False, 1),
    "box_single": (0, True, False, 1),
    "box_points": (3, True, False, 1),
    "points_mask": (3, False, True, 1),
    "mask_only": (0, False, True, 3),
}
sam_cases = pytest.mark.parametrize("case", SAM_CASES)
# Shapes tell all sizes but the number of decoder heads.
SAM_SMALL = SamConfig(mask_decoder_config=SamMaskDecoderConfig(num_attention_heads=4))


@pytest.fixture(scope="module")
def sam_small(data_folder: Path) -> Predictor:
    return load_model(
        data_folder / "sam_small.pth", config=SAM_SMALL, family="sam", device="cpu"
    )


@pytest.fixture(scope="module")
def sam_expected(data_folder: Path) -> Arrays:
    return read(data_folder / "sam_small_expected.npz")


@pytest.fixture(scope="module")
def sam_embedding(sam_small: Predictor, sam_expected: Arrays) -> Embedding:
    return sam_small.embed(sam_expected["image"])


def sam_prompt(expected: Arrays, case: str) -> tuple[Prompt, bool]:
    points, box, mask, masks = SAM_CASES[case]
    prompt = Prompt(
        points=expected["points_xy"][:points, ::-1] if points else None,
        labels=expected["point_labels"][:points] if points else None,
        box=to_box(expected["box_xyxy"]) if box else None,
        mask=expected["mask_input"][0] if mask else None,
    )
    return prompt, masks > 1


def test_all_cases_of_the_file_are_tested(sam_expected: Arrays) -> None:
    cases = {name.split("/")[0] for name in sam_expected if "/" in name}
    assert cases == {*SAM_CASES, "boxes_batch"}


def test_sam_resize(sam_expected: Arrays) -> None:
    image, expected = sam_expected["image"], sam_expected["input_tensor_resized"]
    transform = PlaneTransform.fit(image.shape[:2], 256, 64, "sam")
    height, width = transform.resized_shape
    values = transform.pixel_values(image)[0, :, :height, :width]
    mean = torch.tensor([123.675, 116.28, 103.53])[:, None, None]
    std = torch.tensor([58.395, 57.12, 57.375])[:, None, None]
    resized = (values * std + mean).permute(1, 2, 0).numpy()
    assert_close(resized, expected.astype(np.float32))


def test_sam_embedding(sam_embedding: Embedding, sam_expected: Arrays) -> None:
    assert_close(sam_embedding.image_embedding, sam_expected["embedding"])


@sam_cases
def test_sam_predictor(
    sam_small: Predictor, sam_embedding: Embedding, sam_expected: Arrays, case: str
) -> None:
    prompt, multimask = sam_prompt(sam_expected, case)
    prediction = sam_small.predict(sam_embedding, prompt, multimask_output=multimask)
    scores = sam_expected[f"{case}/iou"]
    best_first = np.argsort(-scores, kind="stable")
    actual = prediction.candidates
    assert_close([c.score for c in actual], scores[best_first])
    assert_close(
        np.stack([c.logits for c in actual]),
        sam_expected[f"{case}/low_res"][best_first],
    )
    full = np.stack([c.transform.plane_logits(c.logits) for c in actual])
    expected = sam_expected[f"{case}/masks_logits"][best_first]
    assert_close(full[:, ::3, ::3], expected)
    assert_same_masks(np.stack([c.mask for c in actual])[:, ::3, ::3], expected)


def test_sam_predictor_batch(
    sam_small: Predictor, sam_embedding: Embedding, sam_expected: Arrays
) -> None:
    prompts = [Prompt(box=to_box(box)) for box in sam_expected["boxes_batch_xyxy"]]
    predictions = sam_small.predict_batch(sam_embedding, prompts)
    expected = sam_expected["boxes_batch/low_res"][:, 0]
    assert_close([p.score for p in predictions], sam_expected["boxes_batch/iou"][:, 0])
    assert_close(np.stack([p.logits for p in predictions]), expected)
    for prediction, logits in zip(predictions, expected, strict=True):
        full = sam_embedding.transform.plane_logits(logits)
        assert_same_masks(prediction.mask, full)


def in_input(expected: Arrays, xy: NDArray[Any]) -> torch.Tensor:
    """Scale (..., 2) pixels of the image to pixels of the model input."""
    height, width = expected["image"].shape[:2]
    new_height, new_width = expected["input_tensor_resized"].shape[:2]
    return tensor(xy * [new_width / width, new_height / height]).float()


@sam_cases
def test_sam_forward(
    sam_small: Predictor, sam_embedding: Embedding, sam_expected: Arrays, case: str
) -> None:
    points, box, mask, masks = SAM_CASES[case]
    inputs: dict[str, torch.Tensor] = {}
    if points:
        xy = in_input(sam_expected, sam_expected["points_xy"][:points])
        inputs["input_points"] = xy[None, None]
        labels = sam_expected["point_labels"][:points]
        inputs["input_labels"] = tensor(labels)[None, None]
    if box:
        corners = in_input(sam_expected, sam_expected["box_xyxy"].reshape(2, 2))
        inputs["input_boxes"] = corners.reshape(1, 1, 4)
    if mask:
        inputs["input_masks"] = tensor(sam_expected["mask_input"])[None]
    output = SamModel.of(sam_small.model)(
        pixel_values=sam_embedding.transform.pixel_values(sam_expected["image"]),
        multimask_output=masks > 1,
        **inputs,
    )
    assert_close(output.pred_masks[0, 0], sam_expected[f"{case}/low_res"])
    assert_close(output.iou_scores[0, 0], sam_expected[f"{case}/iou"])


def test_sam_forward_batch(sam_small: Predictor, sam_expected: Arrays) -> None:
    boxes = in_input(sam_expected, sam_expected["boxes_batch_xyxy"].reshape(3, 2, 2))
    output = SamModel.of(sam_small.model)(
        image_embeddings=tensor(sam_expected["embedding"]),
        input_boxes=boxes.reshape(1, 3, 4),
        multimask_output=False,
    )
    assert_close(output.pred_masks[0], sam_expected["boxes_batch/low_res"])
    assert_close(output.iou_scores[0], sam_expected["boxes_batch/iou"])


# -- a folder written by transformers


@pytest.fixture(scope="module")
def hf_expected(data_folder: Path) -> dict[str, torch.Tensor]:
    arrays = read(data_folder / "hf_sam_small_expected.npz")
    return {name: tensor(array) for name, array in arrays.items()}


@pytest.fixture(scope="module")
def hf_model(data_folder: Path) -> SamModel:
    return SamModel.from_pretrained(data_folder / "hf_sam_small")


def test_hf_embedding(hf_model: SamModel, hf_expected: dict[str, torch.Tensor]) -> None:
    actual = hf_model.get_image_embeddings(hf_expected["pixel_values"])
    assert_close(actual, hf_expected["embedding"])


@pytest.mark.parametrize("kind", ["points", "boxes"])
def test_hf_forward(
    hf_model: SamModel, hf_expected: dict[str, torch.Tensor], kind: str
) -> None:
    names = {"points": ("input_points", "input_labels"), "boxes": ("input_boxes",)}
    with torch.no_grad():
        output = hf_model(
            pixel_values=hf_expected["pixel_values"],
            **{name: hf_expected[name] for name in names[kind]},
            multimask_output=kind == "points",
        )
    expected = hf_expected[f"{kind}_pred_masks"]
    assert_close(output.pred_masks, expected)
    assert_close(output.iou_scores, hf_expected[f"{kind}_iou"])
    assert_same_masks((output.pred_masks > 0).numpy(), expected.numpy())


# -- TinyViT in both layouts


def tiny_vit_input(expected: Arrays) -> torch.Tensor:
    size, seed = int(expected["img_size"]), int(expected["seed"])
    y, x = np.mgrid[:size, :size].astype(np.float32)
    channels = [
        np.sin(x * (c + 1) * 0.031 + seed)
        + np.cos(y * 0.017 * (c + 2))
        + 0.5 * np.sin((x + y) * 0.11)
        for c in range(3)
    ]
    return tensor(np.stack(channels)[None].astype(np.float32))


def read_tiny_vit(path: Path, sizes: Path) -> TinyViT:
    """Load an encoder; the file `sizes` only adds the other parts of a model."""
    encoder = torch.load(path, weights_only=True)
    state = torch.load(sizes, weights_only=True)
    state = {k: v for k, v in state.items() if not k.startswith("image_encoder.")}
    state |= {f"image_encoder.{k}": v.float() for k, v in encoder.items()}
    state = to_official_keys(state)
    config = infer_config(state, SamMaskDecoderConfig(), source=path.name)
    model = TinyViT(config.vision_config)
    start = "image_encoder."
    model.load_state_dict(
        {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
    )
    return model.eval()


@pytest.mark.parametrize("layout", ["mobile", "lite"])
def test_tiny_vit(data_folder: Path, layout: str) -> None:
    path = data_folder / f"tiny_vit_{layout}_small.pth"
    expected = read(data_folder / f"tiny_vit_{layout}_small_expected.npz")
    encoder = read_tiny_vit(path, data_folder / "sam_small.pth")
    assert encoder.image_size == expected["img_size"]
    pixel_values = tiny_vit_input(expected)
    reference = expected["embedding_every_8th_channel"]
    with torch.inference_mode():
        assert_close(encoder(pixel_values)[:, ::8], reference)
        encoder.fold_batch_norms()
        assert_close(encoder(pixel_values)[:, ::8], reference, FOLDED_ATOL)


# -- the default weights


@pytest.fixture(scope="module")
def lite_expected(data_folder: Path) -> Arrays:
    return read(data_folder / "lite_medsam_expected.npz")


@pytest.fixture(scope="module")
def coins_embedding(default_predictor: Predictor, coins: Any) -> Embedding:
    return default_predictor.embed(coins.image)


@pytest.mark.weights
@pytest.mark.parametrize("made_by", ["published", "expected"])
def test_lite_medsam(
    default_predictor: Predictor,
    lite_expected: Arrays,
    data_folder: Path,
    made_by: str,
) -> None:
    """The model matches the published module, with and without attention biases.

    The published attention copies its biases in ``eval()``. The array "published" has
    them: weights, then ``eval()``, as in the inference script. For "expected",
    ``eval()`` came before the weights, so that all biases were zero.
    """
    model = default_predictor.model
    if made_by == "expected":
        model = copy.deepcopy(model)
        for module in model.modules():
            if isinstance(module, WindowAttention):
                module.attention_biases.data.zero_()
    reference = read(data_folder / f"lite_medsam_{made_by}.npz")
    pixel_values = tensor(lite_expected["pixel_values"]).expand(-1, 3, -1, -1)
    output = SamModel.of(model)(
        image_embeddings=(embedding := model.get_image_embeddings(pixel_values)),
        input_boxes=tensor(lite_expected["boxes_in_256"])[None],
        multimask_output=False,
    )
    every_8th = reference["embedding_every_8th_channel"]
    assert_close(embedding[:, ::8], every_8th, FOLDED_ATOL)
    assert_close(output.pred_masks[0], reference["low_res"], FOLDED_ATOL)
    assert_close(output.iou_scores[0], reference["iou"], FOLDED_ATOL)
    if made_by == "expected":
        assert_masks_of_file(output.pred_masks[0, :, 0], reference)


def assert_masks_of_file(low_res: torch.Tensor, reference: Arrays) -> None:
    height, width = reference["image_shape"]
    transform = PlaneTransform.fit((int(height), int(width)), 256, 256, "lite_medsam")
    masks = np.unpackbits(reference["masks"], axis=-1)[..., :width].astype(bool)
    for logits, mask in zip(low_res, masks, strict=True):
        full = transform.plane_logits(logits)
        decided = np.abs(full) > UNDECIDED
        np.testing.assert_array_equal((full > 0)[decided], mask[decided])


@pytest.mark.weights
def test_lite_medsam_predictor(
    default_predictor: Predictor,
    coins_embedding: Embedding,
    lite_expected: Arrays,
    data_folder: Path,
) -> None:
    published = read(data_folder / "lite_medsam_published.npz")
    prompts = [Prompt(box=to_box(box)) for box in lite_expected["boxes_xyxy"]]
    predictions: list[Prediction] = default_predictor.predict_batch(
        coins_embedding, prompts
    )
    actual = np.stack([p.logits for p in predictions])
    assert_close(actual, published["low_res"][:, 0], FOLDED_ATOL)
    assert_close([p.score for p in predictions], published["iou"][:, 0], FOLDED_ATOL)
    for prediction, logits in zip(predictions, published["low_res"][:, 0], strict=True):
        full = coins_embedding.transform.plane_logits(logits)
        assert_same_masks(prediction.mask, full)


def test_lite_medsam_input(lite_expected: Arrays, coins: Any) -> None:
    transform = PlaneTransform.fit(coins.image.shape, 256, 256, "lite_medsam")
    values = transform.pixel_values(coins.image)
    for channel in values[0]:
        assert_close(channel, lite_expected["pixel_values"][0, 0], 1e-6)
    boxes = lite_expected["boxes_xyxy"].reshape(3, 2, 2)[..., ::-1] * transform.scale
    expected = lite_expected["boxes_in_256"].reshape(3, 2, 2)[..., ::-1]
    np.testing.assert_allclose(boxes, expected, rtol=1e-6)


def test_predictor_uses_the_official_epsilon_for_folders(
    data_folder: Path,
) -> None:
    folder = data_folder / "hf_sam_small"
    stored = load_model_file(folder).config.mask_decoder_config
    used = load_model(folder, family="sam").model.config.mask_decoder_config
    assert stored.layer_norm_eps == 1e-6
    assert used.layer_norm_eps == 1e-5
