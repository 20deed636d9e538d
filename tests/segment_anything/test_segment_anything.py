"""The interface of segment-anything, on a small random model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from napari_sam import segment_anything
from napari_sam.huggingface.generation.masks import decode_runs
from napari_sam.segment_anything import (
    ResizeLongestSide,
    Sam,
    SamAutomaticMaskGenerator,
    SamPredictor,
    sam_model_registry,
)
from napari_sam.segment_anything.utils.onnx import SamOnnxModel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_sam.nets.config import SamConfig
    from napari_sam.nets.sam import SamNetwork
    from napari_sam.prediction.predictor import Predictor

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
ALL = {
    "points_per_side": 3,
    "pred_iou_thresh": -9.0,
    "stability_score_thresh": 0.0,
    "box_nms_thresh": 1.0,
    "crop_nms_thresh": 1.0,
}


@pytest.fixture(scope="module")
def sam(random_model: Callable[..., SamNetwork], vit_config: SamConfig) -> Sam:
    sam = Sam(vit_config).eval()
    sam.load_state_dict(random_model(vit_config).state_dict())
    return sam


@pytest.fixture(scope="module")
def predictor(sam: Sam) -> SamPredictor:
    predictor = SamPredictor(sam)
    predictor.set_image(PICTURE)
    return predictor


def test_prediction_is_that_of_the_predictor_of_this_package(
    predictor: SamPredictor, tiny_sam: Predictor
) -> None:
    from napari_sam.prompts.prompt import Prompt

    masks, scores, low = predictor.predict(
        point_coords=np.array([[30, 20]]), point_labels=np.array([1])
    )
    assert masks.shape == (3, 40, 60)
    assert masks.dtype == bool
    assert low.shape == (3, 32, 32)
    embedding = tiny_sam.embed(PICTURE, (0, 255), zoom="off")
    ours = tiny_sam.predict(embedding, Prompt(points=[[20, 30]]), multimask_output=True)
    # Here they are in the order of the model, there the best comes first.
    for candidate in ours.candidates:
        nearest = np.abs(scores - candidate.score).argmin()
        np.testing.assert_allclose(low[nearest], candidate.logits, atol=0.05)


def test_mask_of_before_and_one_mask(predictor: SamPredictor) -> None:
    box = np.array([5, 5, 40, 30])
    _, scores, low = predictor.predict(box=box)
    best = low[scores.argmax()][None]
    logits, one, _ = predictor.predict(
        box=box[None], mask_input=best, multimask_output=False, return_logits=True
    )
    assert logits.shape == (1, 40, 60)
    assert logits.dtype == np.float32
    assert one.shape == (1,)
    alone, *_ = predictor.predict(mask_input=best)
    assert alone.shape == (3, 40, 60)


def test_batches_of_boxes(predictor: SamPredictor) -> None:
    boxes = torch.tensor([[5, 5, 40, 30], [10, 2, 50, 35]])
    scaled = predictor.transform.apply_boxes_torch(boxes, PICTURE.shape[:2])
    masks, scores, _ = predictor.predict_torch(None, None, boxes=scaled)
    assert masks.shape == (2, 3, 40, 60)
    for i, box in enumerate(boxes.numpy()):
        alone, own, _ = predictor.predict(box=box)
        np.testing.assert_allclose(scores[i], own, atol=1e-5)
        assert (masks[i].numpy() != alone).mean() < 0.001


def test_images_together(sam: Sam, predictor: SamPredictor) -> None:
    resize = ResizeLongestSide(sam.image_encoder.img_size)
    pixels = torch.as_tensor(resize.apply_image(PICTURE)).permute(2, 0, 1)
    boxes = torch.tensor([[5.0, 5, 40, 30]])
    given = {
        "image": pixels,
        "original_size": PICTURE.shape[:2],
        "boxes": resize.apply_boxes_torch(boxes, PICTURE.shape[:2]),
    }
    (output,) = sam([given], multimask_output=False)
    masks, scores, _ = predictor.predict(box=boxes[0].numpy(), multimask_output=False)
    np.testing.assert_array_equal(output["masks"][0], masks)
    np.testing.assert_allclose(output["iou_predictions"][0], scores, atol=1e-5)
    assert output["low_res_logits"].shape == (1, 1, 32, 32)


def test_channel_order_and_reset(sam: Sam, predictor: SamPredictor) -> None:
    other = SamPredictor(sam)
    other.set_image(PICTURE[..., ::-1], image_format="BGR")
    expected = predictor.get_image_embedding()
    assert torch.equal(other.get_image_embedding(), expected)
    other.reset_image()
    for call in (other.get_image_embedding, other.predict):
        with pytest.raises(RuntimeError, match="call set_image first"):
            call()
    with pytest.raises(ValueError, match="'RGB' or 'BGR'"):
        other.set_image(PICTURE, image_format="HSV")
    with pytest.raises(ValueError, match="longest side of 64"):
        other.set_torch_image(torch.zeros(1, 3, 8, 8), (8, 8))
    with pytest.raises(ValueError, match="have no labels"):
        predictor.predict(point_coords=np.array([[3, 4]]))


def test_annotations_agree_with_their_masks(sam: Sam) -> None:
    found = SamAutomaticMaskGenerator(sam, **ALL).generate(PICTURE)
    assert len(found) == 27
    assert [f["predicted_iou"] for f in found] == sorted(
        (f["predicted_iou"] for f in found), reverse=True
    )
    for one in found:
        mask = one["segmentation"]
        assert one["area"] == mask.sum()
        assert one["crop_box"] == [0, 0, 60, 40]
        ((x, _y),) = one["point_coords"]
        assert x in (10, 30, 50)
        if mask.any():
            rows, cols = np.nonzero(mask)
            sides = [np.ptp(cols), np.ptp(rows)]
            assert one["bbox"] == [cols.min(), rows.min(), *sides]


@pytest.mark.parametrize("mode", ["uncompressed_rle", "coco_rle"])
def test_forms_of_the_masks(sam: Sam, mode: str) -> None:
    arrays = SamAutomaticMaskGenerator(sam, **ALL).generate(PICTURE)
    encoded = SamAutomaticMaskGenerator(sam, **ALL, output_mode=mode).generate(PICTURE)
    for array, runs in zip(arrays, encoded, strict=True):
        form = runs["segmentation"]
        assert form["size"] == [40, 60]
        if mode == "coco_rle":
            assert isinstance(form["counts"], str)
        else:
            np.testing.assert_array_equal(decode_runs(form), array["segmentation"])


def test_small_regions_are_removed(sam: Sam) -> None:
    from skimage.measure import label

    options = {**ALL, "min_mask_region_area": 50}
    for one in SamAutomaticMaskGenerator(sam, **options).generate(PICTURE):
        for mask in (one["segmentation"], ~one["segmentation"]):
            sizes = np.bincount(label(mask, connectivity=2).ravel())[1:]
            assert len(sizes) <= 1 or sizes.min() >= 50


def test_crops_and_grids(sam: Sam) -> None:
    grids = [np.array([[0.5, 0.5]]), np.array([[0.5, 0.5], [0.1, 0.1]])]
    options: dict[str, Any] = {**ALL, "points_per_side": None, "point_grids": grids}
    found = SamAutomaticMaskGenerator(sam, crop_n_layers=1, **options).generate(PICTURE)
    assert len({tuple(one["crop_box"]) for one in found}) <= 5
    assert len(found) <= 3 * (1 + 4 * 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points_per_side": None}, "either points_per_side or point_grids"),
        ({"output_mode": "png"}, "binary_mask, uncompressed_rle, coco_rle"),
        (
            {"points_per_side": None, "point_grids": [np.zeros((1, 2))]},
            "1 point_grids for 2 layers",
        ),
    ],
)
def test_invalid_arguments(sam: Sam, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SamAutomaticMaskGenerator(sam, crop_n_layers=1, **options)


def test_registry(tmp_path: Path, sam: Sam) -> None:
    assert sorted(sam_model_registry) == ["default", "vit_b", "vit_h", "vit_l"]
    torch.save(sam.state_dict(), tmp_path / "small.pth")
    with pytest.raises(ValueError, match="width 16, vit_b has 768"):
        sam_model_registry["vit_b"](checkpoint=tmp_path / "small.pth")
    with torch.device("meta"):
        built = sam_model_registry["vit_b"]()
    assert built.image_encoder.img_size == 1024
    assert set(dir(segment_anything)) >= {"SamPredictor", "build_sam"}


@pytest.mark.weights
def test_other_image_encoders_are_refused() -> None:
    with pytest.raises(ValueError, match=r"TinyViT.*use napari_sam\.load_model"):
        sam_model_registry["vit_b"](checkpoint="lite_medsam")


def test_the_network_for_onnx(sam: Sam) -> None:
    grid, width = sam.prompt_encoder.embedding_size, sam.prompt_encoder.width
    assert sam.prompt_encoder.embed_dim == width
    assert sam.prompt_encoder.image_embedding_size == (grid, grid)
    inputs = (
        torch.rand(1, width, grid, grid),
        torch.tensor([[[5.0, 6.0], [0.0, 0.0]]]),
        torch.tensor([[1.0, -1.0]]),
        torch.zeros(1, 1, 4 * grid, 4 * grid),
        torch.zeros(1),
        torch.tensor([40.0, 60.0]),
    )
    with torch.no_grad():
        masks, scores, low = SamOnnxModel(sam, return_single_mask=True)(*inputs)
        full = SamOnnxModel(sam, False, return_extra_metrics=True)(*inputs)
        by_stability = SamOnnxModel(sam, False, use_stability_score=True)(*inputs)
    assert masks.shape == (1, 1, 40, 60)
    assert low.shape == (1, 1, 4 * grid, 4 * grid)
    # A single point: the best of the three alternatives.
    assert scores.item() == full[1][0, 1:].max().item()
    assert torch.equal(full[3], (full[0] > 0).sum((-1, -2)))
    ratios = (full[4] > 1).sum((-1, -2)) / (full[4] > -1).sum((-1, -2))
    torch.testing.assert_close(by_stability[1], ratios, equal_nan=True)


@pytest.mark.parametrize("other", [None, "vit_b", object()])
@pytest.mark.parametrize(
    "kind", [segment_anything.SamPredictor, segment_anything.SamAutomaticMaskGenerator]
)
def test_other_objects_than_models_are_refused(kind: Any, other: Any) -> None:
    with pytest.raises(TypeError, match="is not a model of segment-anything: give one"):
        kind(other)
