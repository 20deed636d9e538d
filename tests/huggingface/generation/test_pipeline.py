"""The mask-generation pipeline."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

import napari_sam as ns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_sam.huggingface.model import SamModel
    from napari_sam.nets.config import SamConfig

ALL = {
    "points_per_crop": 3,
    "pred_iou_thresh": -9.0,
    "stability_score_thresh": 0.0,
    "crops_nms_thresh": 1.0,
}
PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model(random_sam: Callable[..., SamModel], vit_config: SamConfig) -> SamModel:
    model = random_sam(vit_config)
    # Scores above 0, so that a threshold takes effect.
    model.mask_decoder.iou_prediction_head.proj_out.bias.add_(3.0)
    return model


@pytest.fixture(scope="module")
def processor() -> ns.SamImageProcessor:
    return ns.SamImageProcessor(size=64, pad_size=64)


@pytest.fixture(scope="module")
def generator(model: SamModel, processor: ns.SamImageProcessor) -> Any:
    return ns.pipeline("mask-generation", model, image_processor=processor, **ALL)


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert torch.equal(one["scores"], other["scores"])
    assert len(one["masks"]) == len(other["masks"])
    for a, b in zip(one["masks"], other["masks"], strict=True):
        np.testing.assert_array_equal(a, b)


def test_masks_are_those_of_the_model(
    generator: Any, model: SamModel, processor: ns.SamImageProcessor
) -> None:
    found = generator(PICTURE)
    assert found.keys() == {"masks", "scores"}
    assert all(m.shape == (40, 60) and m.dtype == bool for m in found["masks"])
    assert (found["scores"].diff() <= 0).all()
    assert len(found["masks"]) == len(found["scores"]) == 3 * 9
    points = [[[[x, y]] for y in (20 / 3, 20, 100 / 3) for x in (10, 30, 50)]]
    inputs = ns.SamProcessor(processor)(PICTURE, input_points=points)
    with torch.no_grad():
        output = model(**inputs)
    sizes = inputs["original_sizes"], inputs["reshaped_input_sizes"]
    (masks,) = processor.post_process_masks(output.pred_masks, *sizes)
    order = output.iou_scores.flatten().argsort(descending=True, stable=True)
    torch.testing.assert_close(found["scores"], output.iou_scores.flatten()[order])
    expected = masks.flatten(0, 1)[order].numpy()
    np.testing.assert_array_equal(np.stack(found["masks"]), expected)


def test_images_of_all_kinds_give_the_same(
    generator: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, file = generator(PICTURE), tmp_path / "picture.png"
    picture = Image.fromarray(PICTURE)
    picture.save(file)
    answer = SimpleNamespace(content=file.read_bytes(), raise_for_status=lambda: None)
    monkeypatch.setattr("requests.get", lambda *_, **__: answer)
    for image in (picture, str(file), file, "https://example.org/picture.png"):
        assert_same(generator(image), expected)
    several = generator([PICTURE, picture])
    assert len(several) == 2
    assert_same(several[1], expected)


def test_files_of_16_bits_are_read_like_arrays(generator: Any, tmp_path: Path) -> None:
    plane = (PICTURE[..., 0].astype(np.uint16) * 150).astype(np.uint16)
    Image.fromarray(plane).save(tmp_path / "plane.png")
    assert_same(generator(tmp_path / "plane.png"), generator(plane))


def test_batches_do_not_matter_and_thresholds_do(generator: Any) -> None:
    expected = generator(PICTURE)
    for count in (2, None):
        found = generator(PICTURE, points_per_batch=count)
        torch.testing.assert_close(found["scores"], expected["scores"])
    middle = float(expected["scores"].median())
    better = generator(PICTURE, pred_iou_thresh=middle)
    assert 0 < len(better["masks"]) < len(expected["masks"])
    assert len(generator(PICTURE, crops_nms_thresh=0.01)["masks"]) < 27
    assert generator(PICTURE, stability_score_thresh=1.0)["masks"] == []


def test_crops_runs_and_boxes(generator: Any) -> None:
    found = generator(
        PICTURE, crops_n_layers=1, output_rle_mask=True, output_bboxes_mask=True
    )
    assert len(found["masks"]) <= 5 * 27
    for mask, runs, box in zip(
        found["masks"], found["rle_mask"], found["bounding_boxes"], strict=True
    ):
        assert sum(runs["counts"]) == mask.size
        assert sum(runs["counts"][1::2]) == mask.sum()
        if mask.any():
            rows, cols = np.nonzero(mask)
            assert box.tolist() == [cols.min(), rows.min(), cols.max(), rows.max()]


def test_folder_and_device(
    model: SamModel, processor: ns.SamImageProcessor, generator: Any, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = ns.pipeline(
        task="mask-generation", model=str(tmp_path), device=-1, dtype="float32", **ALL
    )
    assert loaded.device == torch.device("cpu")
    assert_same(loaded(PICTURE), generator(PICTURE))
    if not torch.cuda.is_available():
        with pytest.warns(UserWarning, match="device=0 asks for a GPU"):
            ns.pipeline("mask-generation", tmp_path, device=0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"points_per_batch": 0}, ValueError, "decodes nothing"),
        ({"points_per_crop": 0}, ValueError, "empty grid"),
        ({"dance": 1}, TypeError, "no option dance: choose from points_per_batch"),
    ],
)
def test_invalid_options(
    generator: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        generator(PICTURE, **options)


def test_what_is_missing(model: SamModel) -> None:
    with pytest.raises(ValueError, match="task 'depth-estimation' is not one of SAM"):
        ns.pipeline("depth-estimation", model)
    with pytest.raises(ValueError, match="There is no model"):
        ns.pipeline("mask-generation")
    with pytest.raises(ValueError, match="give image_processor="):
        ns.pipeline("mask-generation", model)
