"""The processors and SamModel compared with reference arrays from transformers.

``benchmarks/parity/hf_parity.py --write`` computes the arrays. It also compares both
libraries directly, and folders bit by bit in the other direction: transformers is too
large (165 MB) to install for a test.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import napari_sam as ns
from napari_sam.checkpoints.registry import get_model_spec
from napari_sam.prediction.plane_transform import PlaneTransform

if TYPE_CHECKING:
    from pathlib import Path

    from napari_sam.huggingface.model import SamModel
    from napari_sam.nets.config import SamConfig

ATOL = 1e-4
UNDECIDED = 1e-3
FROM_PROMPTS = ["one point", "several points, several objects", "boxes"]
FROM_PROMPTS += ["points and boxes"]
CASES = [*FROM_PROMPTS, "masks", "a mask alone", "padded by the caller", "personalized"]

ONE_POINT = [[[40, 30]], [[60, 150]]]
SEVERAL = [
    [[[40, 30], [90, 60]]] * 3,
    [[[60, 150], [20, 20]], [[9, 8], [80, 99]], [[1, 2], [100, 190]]],
]
BOXES = [[[10, 20, 80, 70], [5, 5, 60, 40]], [[20, 30, 100, 150], [1, 1, 50, 180]]]
PROMPTS: dict[str, dict[str, Any]] = {
    "one point": {"input_points": ONE_POINT},
    "several points, several objects": {
        "input_points": SEVERAL,
        "input_labels": [[[1, 0]] * 3, [[1, 1], [0, 1], [1, 0]]],
    },
    "boxes": {"input_boxes": BOXES},
    "points and boxes": {
        "input_points": [image[:2] for image in SEVERAL],
        "input_labels": [[[1, 0]] * 2] * 2,
        "input_boxes": BOXES,
    },
}


@pytest.fixture(scope="module")
def reference(data_folder: Path) -> dict[str, torch.Tensor]:
    with np.load(data_folder / "hf_parity.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture(scope="module")
def model(data_folder: Path) -> SamModel:
    return ns.SamModel.from_pretrained(data_folder / "hf_sam_small")


@pytest.fixture(scope="module")
def processor() -> ns.SamProcessor:
    return ns.SamProcessor(ns.SamImageProcessor(size=256, pad_size=256))


@pytest.fixture(scope="module")
def pictures(reference: dict[str, torch.Tensor]) -> list[np.ndarray]:
    return [reference[f"image {i}"].numpy() for i in range(2)]


@pytest.fixture(scope="module")
def pixels(processor: ns.SamProcessor, pictures: list[np.ndarray]) -> torch.Tensor:
    actual: torch.Tensor = processor(pictures)["pixel_values"]
    return actual


def close(actual: Any, expected: Any, atol: float = ATOL) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol, check_dtype=False)


@pytest.fixture
def expected(reference: dict[str, torch.Tensor], case: str) -> dict[str, torch.Tensor]:
    start = f"{case}/"
    return {k.removeprefix(start): v for k, v in reference.items() if start in k}


# -- parity with transformers


def test_pixel_values_match_transformers(
    processor: ns.SamProcessor,
    reference: dict[str, torch.Tensor],
    pictures: list[np.ndarray],
) -> None:
    inputs = processor(pictures, return_tensors="pt")
    assert inputs.pixel_values.shape == (2, 3, 256, 256)
    close(
        inputs["pixel_values"][..., ::3, ::3],
        reference["pixel_values, every 3rd"],
        1e-5,
    )
    assert inputs["original_sizes"].tolist() == [[90, 150], [200, 130]]
    assert inputs["reshaped_input_sizes"].tolist() == [[154, 256], [256, 166]]


@pytest.mark.parametrize("case", FROM_PROMPTS)
def test_prompts_match_transformers(
    processor: ns.SamProcessor,
    pictures: list[np.ndarray],
    expected: dict[str, torch.Tensor],
    case: str,
) -> None:
    inputs = processor(images=pictures, return_tensors="pt", **PROMPTS[case])
    for name in PROMPTS[case]:
        close(inputs[name], expected[name])
    assert {v.dtype for v in inputs.values()} <= {torch.float32, torch.int64}


@pytest.mark.parametrize("case", CASES)
def test_masks_and_scores_match_transformers(
    model: SamModel, pixels: torch.Tensor, expected: dict[str, torch.Tensor]
) -> None:
    takes = ("input_", "attention_", "target_")
    given = {k: v for k, v in expected.items() if k.startswith(takes)}
    actual = model(pixel_values=pixels, **given)
    close(actual.pred_masks[..., ::2, ::2], expected["pred_masks, every 2nd"])
    close(actual.iou_scores, expected["iou_scores"])


@pytest.mark.parametrize("case", FROM_PROMPTS)
def test_post_processed_masks_match_transformers(
    model: SamModel,
    processor: ns.SamProcessor,
    pictures: list[np.ndarray],
    expected: dict[str, torch.Tensor],
    case: str,
) -> None:
    inputs = processor(images=pictures, return_tensors="pt", **PROMPTS[case]).to("cpu")
    with torch.no_grad():
        outputs = model(**inputs)
    sizes = inputs["original_sizes"].cpu(), inputs["reshaped_input_sizes"].cpu()
    masks = processor.image_processor.post_process_masks(
        outputs.pred_masks.cpu(), *sizes
    )
    logits = processor.post_process_masks(outputs["pred_masks"], *sizes, binarize=False)
    assert outputs.iou_scores.shape == outputs.pred_masks.shape[:3]
    assert outputs[0] is outputs.iou_scores
    for i, mask in enumerate(masks):
        packed = expected[f"masks {i}"].numpy()
        theirs = np.unpackbits(packed, axis=-1)[..., : mask.shape[-1]].astype(bool)
        decided = (logits[i].abs() > UNDECIDED).numpy()
        assert mask.shape == theirs.shape
        assert mask.dtype == torch.bool
        np.testing.assert_array_equal(mask.numpy()[decided], theirs[decided])


def test_folder_of_transformers_round_trip(
    model: SamModel, data_folder: Path, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    first = load_file(data_folder / "hf_sam_small" / "model.safetensors")
    again = load_file(tmp_path / "model.safetensors")
    assert first.keys() == again.keys()
    assert all(torch.equal(again[k], v) for k, v in first.items())
    theirs, ours = (
        json.loads((folder / "config.json").read_text())
        for folder in (data_folder / "hf_sam_small", tmp_path)
    )
    for part in ("vision_config", "prompt_encoder_config", "mask_decoder_config"):
        kept = {k: v for k, v in theirs[part].items() if k in ours[part]}
        assert kept == ours[part]
    assert ours["model_type"] == "sam"
    assert ours["dtype"] == "float32"
    assert (
        ns.SamConfig.from_pretrained(tmp_path).to_dict()["vision_config"]
        == (ns.SamConfig.from_dict(theirs).to_dict()["vision_config"])
    )


def test_official_file_round_trip_through_folders(
    data_folder: Path, tmp_path: Path
) -> None:
    heads = ns.SamConfig(mask_decoder_config={"num_attention_heads": 4})
    first = ns.SamModel.from_pretrained(data_folder / "sam_small.pth", config=heads)
    first.save_pretrained(tmp_path / "a")
    second = ns.SamModel.from_pretrained(tmp_path / "a")
    second.save_pretrained(tmp_path / "b")
    # The official epsilon is saved with the weights.
    assert second.config.mask_decoder_config.layer_norm_eps == 1e-5
    states = first.state_dict(), second.state_dict()
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[1][k], v) for k, v in states[0].items())
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (
            tmp_path / "b" / name
        ).read_bytes()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision(
    model: SamModel,
    processor: ns.SamProcessor,
    pictures: list[np.ndarray],
    tmp_path: Path,
    kind: torch.dtype,
) -> None:
    half = ns.SamModel.from_pretrained(_saved(model, tmp_path / "a"), dtype=kind)
    half.save_pretrained(tmp_path / "b")
    stored = ns.SamModel.from_pretrained(tmp_path / "b")
    assert stored.dtype == half.dtype == kind
    inputs = processor(pictures, input_points=ONE_POINT, return_tensors="pt")
    actual = stored(**inputs.to(kind))
    assert actual.pred_masks.dtype == kind
    exact = model(**inputs)
    # A random network spreads rounding more than a trained one.
    assert (actual.iou_scores.float() - exact.iou_scores).abs().mean() < 0.05
    masks = processor.post_process_masks(
        actual.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
    )
    assert [m.shape for m in masks] == [(1, 3, 90, 150), (1, 3, 200, 130)]


def _saved(model: SamModel, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


# -- prompts that transformers refuses


def test_ragged_prompts_match_single_objects(
    model: SamModel, processor: ns.SamProcessor, pictures: list[np.ndarray]
) -> None:
    points = [[[[40, 30]], [[90, 60], [10, 10]], None], [[[60, 150]]]]
    labels = [[[1], [1, 0], None], [[0]]]
    boxes = [[None, [10, 20, 80, 70], [5, 5, 60, 40]], [[20, 30, 100, 150]]]
    inputs = processor(
        pictures, input_points=points, input_labels=labels, input_boxes=boxes
    )
    together = model(**inputs)
    assert [m.shape[:2] for m in together.pred_masks] == [(3, 3), (1, 3)]
    for image, objects in enumerate(points):
        for item in range(len(objects)):
            given = {
                "input_points": points[image][item],
                "input_labels": labels[image][item],
                "input_boxes": boxes[image][item],
            }
            alone = model(
                **processor(
                    pictures[image],
                    **{k: [[v]] for k, v in given.items() if v is not None},
                )
            )
            close(together.pred_masks[image][item], alone.pred_masks[0, 0], 1e-5)
            close(together.iou_scores[image][item], alone.iou_scores[0, 0], 1e-5)
    masks = processor.post_process_masks(
        together.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
    )
    assert [m.shape for m in masks] == [(3, 3, 90, 150), (1, 3, 200, 130)]


def test_ragged_points_with_equal_object_counts_give_one_tensor(
    model: SamModel, processor: ns.SamProcessor, pictures: list[np.ndarray]
) -> None:
    points = [[[[40, 30]], [[90, 60], [10, 10]]]]
    inputs = processor(pictures[0], input_points=points)
    assert isinstance(inputs["input_points"], list)
    assert model(**inputs).pred_masks.shape == (1, 2, 3, 64, 64)


def test_one_mask_for_each_object(
    model: SamModel, processor: ns.SamProcessor, pictures: list[np.ndarray]
) -> None:
    inputs = processor(pictures, input_boxes=BOXES)
    masks = 5 * torch.randn(2, 2, 64, 64, generator=torch.Generator().manual_seed(3))
    together = model(**inputs, input_masks=masks)
    nested = [[masks[0, 0], None], list(masks[1])]
    mixed = model(
        **{**inputs, "input_boxes": [list(b) for b in inputs["input_boxes"]]},
        input_masks=nested,
    )
    for image in range(2):
        for item in range(2):
            one = slice(image, image + 1), slice(item, item + 1)
            pixels, box = inputs["pixel_values"][one[0]], inputs["input_boxes"][one]
            alone = model(pixels, input_boxes=box, input_masks=masks[one])
            close(together.pred_masks[one], alone.pred_masks, 1e-5)
            if (image, item) == (0, 1):
                alone = model(pixels, input_boxes=box)
            close(mixed.pred_masks[one], alone.pred_masks, 1e-5)


def test_text_prompts_are_refused(
    processor: ns.SamProcessor, pictures: list[np.ndarray]
) -> None:
    with pytest.raises(ValueError, match="SAM has no text prompts"):
        processor(pictures[0], text="a cat")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"input_points": [40, 30]}, "input_points is nested 1 deep"),
        ({"input_points": [[[40, 30, 1]]]}, "give 2 numbers for each"),
        ({"input_points": [[["a", 3]]]}, "not a list of numbers"),
        ({"input_points": [[[float("nan"), 3]]]}, "give finite numbers"),
        ({"input_boxes": [[[1, 2, 3]]]}, "give 4 numbers for each"),
        ({"input_boxes": BOXES}, "input_boxes is for 2 images, there are 1"),
        ({"return_tensors": "tf"}, "export the model to ONNX"),
    ],
)
def test_invalid_prompts(
    processor: ns.SamProcessor,
    pictures: list[np.ndarray],
    given: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        processor(pictures[0], **given)


# -- images


def test_image_formats_are_equivalent(
    processor: ns.SamProcessor, tmp_path: Path
) -> None:
    from PIL import Image

    file = tmp_path / "picture.png"
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(picture).save(file)
    expected = processor(picture)["pixel_values"]
    forms = {
        "path": file,
        "name of a file": str(file),
        "names": [str(file)],
        "PIL": Image.fromarray(picture),
        "RGBA": np.concatenate([picture, picture[..., :1]], -1),
        "first": picture.transpose(2, 0, 1),
        "tensor": torch.from_numpy(picture).permute(2, 0, 1),
        "float of 0 to 255": picture.astype(np.float32),
        "batch": picture[None],
        "list": [picture],
    }
    for name, form in forms.items():
        assert torch.equal(processor(form)["pixel_values"], expected), name
    unit = processor(picture / 255)["pixel_values"]
    close(unit, expected, 1 / 255 / 0.224 + 1e-6)
    grey = processor(picture[..., 0])["pixel_values"]
    assert torch.equal(
        grey, processor(np.repeat(picture[..., :1], 3, -1))["pixel_values"]
    )


@pytest.mark.parametrize("first", [False, True])
def test_images_have_as_many_channels_as_there_are_means(first: bool) -> None:
    from PIL import Image

    means, deviations = [0.1, 0.2, 0.3, 0.4], [1.0, 0.5, 0.5, 2.0]
    processor = ns.SamProcessor(
        ns.SamImageProcessor(
            size=64, pad_size=64, image_mean=means, image_std=deviations
        )
    )
    picture = np.random.default_rng(0).integers(0, 256, (32, 64, 4), dtype=np.uint8)
    given = picture.transpose(2, 0, 1) if first else picture
    pixels = processor(given)["pixel_values"][0]
    expected = (picture / 255 - means) / deviations
    close(pixels[:, :32].permute(1, 2, 0), torch.from_numpy(expected).float(), 1e-6)
    assert torch.equal(
        pixels, processor(Image.fromarray(picture, "RGBA")).pixel_values[0]
    )
    assert torch.equal(pixels, processor(picture.astype(float)).pixel_values[0])
    config = ns.SamVisionConfig(
        num_channels=4,
        image_size=64,
        patch_size=8,
        hidden_size=24,
        num_hidden_layers=1,
    )
    assert ns.SamVisionModel(config)(pixels[None])[0].shape == (1, 256, 8, 8)
    with pytest.raises(ValueError, match=r"for 4 channels: give \(H, W, 4\)"):
        processor(picture[..., :3])
    with pytest.raises(ValueError, match="one number for each channel"):
        ns.SamImageProcessor(image_mean=means)


def test_steps_without_a_value_are_left_out(processor: ns.SamProcessor) -> None:
    picture = np.full((32, 64, 3), 200, np.uint8)
    values = {**processor.image_processor.to_dict(), "do_normalize": None, "size": None}
    read = ns.SamImageProcessor.from_dict(values)
    assert read.to_dict()["do_normalize"] is None
    assert read.size == {"longest_edge": 1024}
    pixels = processor(picture, do_normalize=None)["pixel_values"]
    assert torch.equal(pixels, processor(picture, do_normalize=False)["pixel_values"])


def test_three_rows_are_not_three_channels(processor: ns.SamProcessor) -> None:
    picture = np.zeros((3, 50, 3), np.uint8)
    assert processor(picture)["original_sizes"].tolist() == [[3, 50]]


def test_sixteen_bit_images_are_mapped_by_percentiles(
    processor: ns.SamProcessor,
) -> None:
    from napari_sam.images.uint8 import to_uint8

    plane = np.random.default_rng(0).integers(0, 4000, (40, 60)).astype(np.uint16)
    expected = processor(to_uint8(plane))["pixel_values"]
    assert torch.equal(processor(plane)["pixel_values"], expected)


def test_segmentation_maps_are_resized_with_the_image(
    processor: ns.SamProcessor,
) -> None:
    labels = np.zeros((40, 80), np.int32)
    labels[10:20, 40:] = 7
    actual = processor(np.zeros((40, 80), np.uint8), segmentation_maps=labels)["labels"]
    expected = torch.zeros(1, 256, 256, dtype=torch.int64)
    expected[0, 32:64, 128:] = 7
    assert torch.equal(actual, expected)


def test_steps_can_be_disabled() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    plain = ns.SamImageProcessor().preprocess(
        picture, do_resize=False, do_rescale=False, do_normalize=False, do_pad=False
    )
    expected = torch.from_numpy(picture).permute(2, 0, 1).float()[None]
    assert torch.equal(plain["pixel_values"], expected)
    with pytest.raises(TypeError, match="no parameter do_dance"):
        ns.SamImageProcessor().preprocess(picture, do_dance=True)


# -- families and settings


@pytest.mark.parametrize("family", ["sam", "medsam", "lite_medsam"])
def test_processor_applies_the_rules_of_its_family(family: Any, tmp_path: Path) -> None:
    first = ns.SamProcessor(ns.SamImageProcessor(size=64, pad_size=64, family=family))
    first.save_pretrained(tmp_path)
    again = ns.SamProcessor.from_pretrained(tmp_path)
    assert vars(again.image_processor) == vars(first.image_processor)
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    transform = PlaneTransform.fit((40, 60), 64, 16, family)
    inputs = again(picture, input_boxes=[[[6, 4, 30, 20]]])
    close(inputs["pixel_values"], transform.pixel_values(picture), 1e-5)
    x, y = transform.scale[1], transform.scale[0]
    close(inputs["input_boxes"][0, 0], torch.tensor([6 * x, 4 * y, 30 * x, 20 * y]))
    logits = torch.randn(1, 2, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    masks = again.post_process_masks(
        logits, inputs["original_sizes"], inputs["reshaped_input_sizes"]
    )
    if family == "medsam":  # its predictor interpolates probabilities
        return
    expected = np.stack([transform.plane_logits(v[0]) > 0 for v in logits[0]])
    np.testing.assert_array_equal(masks[0][:, 0].numpy(), expected)


def test_registry_names_set_the_preprocessing() -> None:
    for name in ("medsam_vit_b", "lite_medsam", "sam_vit_b"):
        spec = get_model_spec(name)
        actual = ns.SamProcessor.from_pretrained(name).image_processor
        assert actual.family == spec.family
        assert actual.size == {"longest_edge": spec.image_size}
    # Its conversion ships the settings of SAM.
    medsam = ns.SamProcessor.from_pretrained("wanglab/medsam-vit-base")
    assert medsam.image_processor.family == "medsam"


def test_unknown_files_need_a_family(data_folder: Path) -> None:
    for name in ("sam_small.pth", "hf_sam_small"):
        with pytest.raises(ValueError, match="give family= one of sam, medsam"):
            ns.SamProcessor.from_pretrained(data_folder / name)
        actual = ns.SamProcessor.from_pretrained(data_folder / name, family="medsam")
        assert actual.image_processor.size == {"longest_edge": 256}
        assert actual.image_processor.mask_size == {"longest_edge": 64}


def test_family_is_read_from_the_folder(model: SamModel, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    ns.SamImageProcessor(size=256, family="medsam").save_pretrained(tmp_path)
    predictor = ns.load_model(tmp_path, device="cpu")
    assert predictor.family == "medsam"
    assert predictor.preprocessing.resize == "square"


def test_settings_are_read_from_both_file_names(tmp_path: Path) -> None:
    settings = {"size": {"longest_edge": 99}, "image_mean": [0, 0, 0]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    assert ns.SamProcessor.from_pretrained(tmp_path).target_size == 99
    settings["size"]["longest_edge"] = 77  # type: ignore[index]
    (tmp_path / "processor_config.json").write_text(
        json.dumps({"image_processor": settings, "processor_class": "SamProcessor"})
    )
    assert ns.SamProcessor.from_pretrained(tmp_path).target_size == 77


def test_tiny_vit_cannot_be_saved_as_a_folder(
    lite_config: SamConfig, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="no TinyViT image encoder"):
        ns.SamModel(lite_config).save_pretrained(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


# -- what scripts for transformers use


def test_segmentation_maps_of_pictures(processor: ns.SamProcessor) -> None:
    from PIL import Image

    labels = np.zeros((40, 80), np.uint8)
    labels[10:20, 40:] = 1
    picture, plain = np.zeros((40, 80, 3), np.uint8), Image.fromarray(labels * 255)
    expected = processor(picture, segmentation_maps=labels)["labels"]
    for maps in (plain.convert("1"), labels[None], [labels[..., None]], [labels]):
        found = processor(picture, segmentation_maps=maps)["labels"]
        assert torch.equal(found, expected)
    drawn = Image.new("P", (80, 40))
    drawn.putpalette([0, 0, 0, 200, 30, 60])
    drawn.paste(1, (40, 10, 80, 20))
    assert torch.equal(processor(picture, segmentation_maps=drawn)["labels"], expected)
    with pytest.raises(ValueError, match=r"40 segmentation maps for 1 images"):
        processor(picture, segmentation_maps=picture)


@pytest.mark.parametrize(
    ("given", "shapes"),
    [
        (
            {"input_boxes": [[[[1, 2, 30, 40], [5, 6, 20, 30]]]]},
            {"input_boxes": (1, 2, 4)},
        ),
        ({"input_boxes": torch.ones(1, 2, 4)}, {"input_boxes": (1, 2, 4)}),
        (
            {"input_points": torch.ones(1, 3, 2), "input_labels": [1, 0, 1]},
            {"input_points": (1, 1, 3, 2), "input_labels": (1, 1, 3)},
        ),
        (
            {"input_points": [[[3, 4]]], "input_labels": 1},
            {"input_points": (1, 1, 1, 2), "input_labels": (1, 1, 1)},
        ),
        (
            {"input_points": [[[3, 4]]], "input_labels": [[[1]]]},
            {"input_labels": (1, 1, 1)},
        ),
    ],
)
def test_nesting_of_prompts(
    processor: ns.SamProcessor,
    pictures: list[np.ndarray],
    given: dict[str, Any],
    shapes: dict[str, tuple[int, ...]],
) -> None:
    inputs = processor(pictures[0], return_tensors="pt", **given)
    assert {name: tuple(inputs[name].shape) for name in shapes} == shapes


def test_grouped_options_and_device(
    processor: ns.SamProcessor, pictures: list[np.ndarray]
) -> None:
    grouped = processor(
        pictures[0],
        images_kwargs={"do_normalize": False, "input_points": [[[3, 4]]]},
        common_kwargs={"return_tensors": "np"},
        point_pad_value=-10,
    )
    plain = processor(
        pictures[0], do_normalize=False, input_points=[[[3, 4]]], return_tensors="np"
    )
    assert grouped.data.keys() == plain.keys()
    for name, value in plain.items():
        np.testing.assert_array_equal(grouped[name], value)
    with pytest.raises(ValueError, match="do_rescale is given twice"):
        processor(pictures[0], do_rescale=True, images_kwargs={"do_rescale": True})
    with pytest.raises(ValueError, match="padding is given twice"):
        processor(pictures[0], padding=True, text_kwargs={"padding": False})
    without = processor(pictures[0], text_kwargs={"max_length": 5})
    assert torch.equal(without.pixel_values, processor(pictures[0]).pixel_values)
    moved = processor(pictures[0], input_points=[[[3, 4]]], device="meta")
    assert {value.device.type for value in moved.values()} == {"meta"}


def test_probabilities_are_resized_with_gradients(processor: ns.SamProcessor) -> None:
    values = torch.rand(1, 2, 1, 64, 64, requires_grad=True)
    sizes = [[90, 150]], [[154, 256]]
    (found,) = processor.post_process_masks(values, *sizes, binarize=False)
    assert found.shape == (2, 1, 90, 150)
    assert 0 <= found.min() < found.max() <= 1
    found.mean().backward()
    assert values.grad is not None
    half = processor.post_process_masks(values.detach().half(), *sizes, binarize=False)
    assert half[0].dtype == torch.float16
    with pytest.raises(TypeError, match="list entries: give a tensor"):
        processor.post_process_masks([[1, 0]], *sizes)


def test_settings_as_text_and_files(processor: ns.SamProcessor, tmp_path: Path) -> None:
    text = json.loads(processor.to_json_string())
    assert text == json.loads(json.dumps(processor.to_dict()))
    again = ns.SamProcessor.from_dict(text)
    assert again.to_dict() == processor.to_dict()
    assert processor.save_pretrained(tmp_path) == [
        str(tmp_path / "preprocessor_config.json")
    ]
    images = processor.image_processor
    images.to_json_file(tmp_path / "a.json")
    read = ns.SamImageProcessor.from_json_file(tmp_path / "a.json")
    assert read.to_dict() == images.to_dict()
    plain = json.loads(json.dumps(images.to_dict()))
    assert plain == json.loads(images.to_json_string())
