"""Predictor: shapes, errors, prompt kinds and batches.

The small models are random, so nothing here says how good a mask is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam.huggingface.modeling.prompted_network import PromptedNetwork
from napari_sam.images.uint8 import plane_key
from napari_sam.masks.patch import mask_iou, mask_to_box
from napari_sam.prediction.predictor import Prediction, Predictor
from napari_sam.prediction.protocol import PredictorLike
from napari_sam.prompts.prompt import Prompt
from tests.helpers.discs import DiscPredictor
from tests.helpers.models import BrightPredictor, World

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_sam.prediction.predictor import Embedding

SHAPE = (40, 60)
BOX = Prompt(box=[5, 8, 30, 42])
POINT = Prompt(points=[[12, 30]])


@pytest.fixture(scope="module")
def plane() -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, SHAPE, dtype=np.uint8)


@pytest.fixture
def embedding(tiny_predictor: Predictor, plane: NDArray[np.uint8]) -> Embedding:
    return tiny_predictor.embed(plane)


@pytest.fixture(scope="module")
def sam_embedding(tiny_sam: Predictor, plane: NDArray[np.uint8]) -> Embedding:
    return tiny_sam.embed(plane)


@pytest.fixture(scope="module")
def some_mask() -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, bool)
    mask[5:20, 10:35] = True
    return mask


def assert_same(found: Prediction, expected: Prediction, atol: float) -> None:
    assert found.method == expected.method
    assert len(found.candidates) == len(expected.candidates)
    for one, other in zip(found.candidates, expected.candidates, strict=True):
        np.testing.assert_allclose(one.logits, other.logits, rtol=0, atol=atol)
        assert one.score == pytest.approx(other.score, abs=atol)


def test_predictors_and_their_stand_ins_follow_the_protocol(
    tiny_predictor: Predictor,
) -> None:
    for predictor in (tiny_predictor, World(), BrightPredictor(), DiscPredictor("box")):
        assert isinstance(predictor, PredictorLike)


# Embedding


def test_embedding_attributes(
    tiny_predictor: Predictor, embedding: Embedding, plane: NDArray[np.uint8]
) -> None:
    assert embedding.shape == SHAPE
    assert embedding.model_key == tiny_predictor.key
    assert embedding.plane_key == plane_key(plane)
    grid = tiny_predictor.model.prompt_encoder.embedding_size
    assert embedding.image_embedding.shape == (1, 16, grid, grid)
    assert embedding.nbytes >= embedding.image_embedding.nbytes


def test_an_embedding_of_another_model_is_refused(
    tiny_sam: Predictor, tiny_lite: Predictor, sam_embedding: Embedding
) -> None:
    with pytest.raises(ValueError, match=r"made by sam:tiny_sam, not by lite_medsam:"):
        tiny_lite.predict(sam_embedding, BOX)


def test_the_family_is_part_of_the_key(
    tiny_sam: Predictor, tiny_medsam: Predictor
) -> None:
    """The same weights with another preprocessing give another embedding."""
    other = Predictor(
        tiny_sam.model,
        name="other",
        family="medsam",
        prompts=frozenset({"box"}),
        key="tiny_sam",
    )
    assert other.key != tiny_sam.key


@pytest.mark.parametrize("kind", ["gray", "rgb", "rgba", "float", "bool"])
def test_dtypes_and_channels_of_planes(
    tiny_predictor: Predictor, rng: np.random.Generator, kind: str
) -> None:
    image: Any = rng.random((30, 20))
    if kind.startswith("rgb"):
        image = rng.integers(0, 256, (30, 20, len(kind)), dtype=np.uint8)
    elif kind == "bool":
        image = image > 0.5
    elif kind == "gray":
        image = (image * 4000).astype(np.uint16)
    found = tiny_predictor.predict(
        tiny_predictor.embed(image), Prompt(box=[2, 3, 20, 15])
    )
    assert found.mask.shape == (30, 20)


@pytest.mark.parametrize(
    "image",
    [
        np.full((1, 1), 5.0),
        np.arange(30.0)[None],
        np.arange(30.0)[:, None],
        np.full((20, 30), 7.0),
        np.full((20, 30), np.nan),
    ],
    ids=["1x1", "1xN", "Nx1", "constant", "NaN"],
)
def test_extreme_planes(tiny_predictor: Predictor, image: NDArray[Any]) -> None:
    embedding = tiny_predictor.embed(image)
    rows, cols = image.shape
    whole = Prompt(box=[-0.5, -0.5, rows - 0.5, cols - 0.5])
    for prompt in (
        whole,
        Prompt(points=[[0, 0]]),
        Prompt(mask=np.ones((rows, cols), bool)),
    ):
        found = tiny_predictor.predict(embedding, prompt)
        assert found.mask.shape == (rows, cols)
        assert np.isfinite(found.logits).all()
        assert np.isfinite(found.score)


def test_contrast_limits_reach_the_model(
    tiny_sam: Predictor, rng: np.random.Generator
) -> None:
    image = rng.random(SHAPE) * 100
    default, other = tiny_sam.embed(image), tiny_sam.embed(image, (0, 50))
    assert default.plane_key != other.plane_key
    same = tiny_sam.embed(np.clip(image, 0, 50), (0, 50))
    assert same.plane_key == other.plane_key


# Pyramids


@pytest.mark.parametrize("factor", [2, 3])
def test_a_downsampled_plane_gives_the_same_mask(
    tiny_predictor: Predictor, plane: NDArray[np.uint8], factor: int
) -> None:
    """The model input is the same, so the mask is the same at another scale."""
    shape = SHAPE[0] * factor, SHAPE[1] * factor
    small = tiny_predictor.embed(plane, zoom="off")
    large = tiny_predictor.embed(plane, plane_shape=shape)
    assert large.shape == shape
    assert large.plane_key == small.plane_key
    for prompt in (BOX, POINT, Prompt(points=[[9, 9], [30, 50]], labels=[1, 0])):
        # The search takes points as centres of pixels, the published scripts
        # scale them from the corner of the plane.
        near = tiny_predictor.predict(small, prompt)
        prompts = prompt.scaled((factor, factor))
        if near.method == "box search":
            points = (prompt.points + 0.5) * factor - 0.5
            prompts = replace(prompt, points=points)
        far = tiny_predictor.predict(large, prompts)
        np.testing.assert_allclose(far.logits, near.logits, rtol=0, atol=1e-4)
        assert far.mask.shape == shape
        centres = np.kron(near.mask, np.ones((factor, factor), bool))
        # The outline of a random model's mask is all over the plane.
        assert np.mean(far.mask == centres) > 0.8


@pytest.mark.parametrize("shape", [(39, 60), (40, 59), (10, 10)])
def test_a_downsampled_plane_larger_than_the_plane_is_refused(
    tiny_sam: Predictor, plane: NDArray[np.uint8], shape: tuple[int, int]
) -> None:
    with pytest.raises(ValueError, match=r"40 x 60 pixels, the full plane only"):
        tiny_sam.embed(plane, plane_shape=shape)


@pytest.mark.weights
def test_a_pyramid_level_gives_the_same_coins(
    default_predictor: Predictor, coins: Any
) -> None:
    large = np.kron(coins.image, np.ones((4, 4), np.uint8))
    level = large.reshape(large.shape[0] // 2, 2, -1, 2).mean((1, 3)).astype(np.uint8)
    truths = [coins.labels == label for label in range(1, 7)]
    boxes = [Prompt(box=mask_to_box(truth)).scaled((4, 4)) for truth in truths]
    clicks = [
        Prompt(points=[np.argwhere(t).mean(axis=0) * 4 + 1.5]) for t in truths[:2]
    ]
    plain = default_predictor.embed(large, zoom="off")
    reduced = default_predictor.embed(level, plane_shape=large.shape)
    for prompts in (boxes, clicks):
        expected = default_predictor.predict_batch(plain, prompts)
        found = default_predictor.predict_batch(reduced, prompts)
        for one, other in zip(found, expected, strict=True):
            assert one.mask.shape == large.shape
            assert mask_iou(one.mask, other.mask) > 0.97


def test_a_volume_is_refused(tiny_sam: Predictor) -> None:
    with pytest.raises(ValueError, match=r"shape \(5, 40, 60\): give one plane"):
        tiny_sam.embed(np.zeros((5, 40, 60)))


# Predictions


def test_mask_patch_and_logits_of_a_prediction_agree(
    tiny_predictor: Predictor, embedding: Embedding
) -> None:
    found = tiny_predictor.predict(embedding, BOX)
    side = tiny_predictor.model.prompt_encoder.mask_size
    assert found.mask.shape == SHAPE
    assert found.mask.dtype == bool
    assert isinstance(found.score, float)
    assert found.logits.shape == (side, side)
    assert found.logits.dtype == np.float32
    assert found.method == "prompt"
    for candidate in found.candidates:
        full = candidate.transform.plane_logits(candidate.logits)
        assert full.shape == SHAPE
        np.testing.assert_array_equal(candidate.mask, full > 0)
        patch = candidate.patch
        np.testing.assert_array_equal(patch.logits, full[patch.region])
        assert np.count_nonzero(patch.mask) == np.count_nonzero(candidate.mask)


def test_masks_are_computed_on_first_access(
    tiny_predictor: Predictor, embedding: Embedding
) -> None:
    found = tiny_predictor.predict(embedding, BOX)
    assert not {"mask", "patch"} & vars(found).keys()
    assert found.mask is found.mask
    assert found.patch is found.patch


def test_an_empty_mask_has_an_empty_patch(sam_embedding: Embedding) -> None:
    transform = sam_embedding.transform
    nothing = np.full((transform.mask_size,) * 2, -3, np.float32)
    found = Prediction(nothing, 0.1, transform)
    assert not found.mask.any()
    assert found.mask.shape == SHAPE
    assert (found.patch.origin, found.patch.logits.shape) == ((0, 0), (0, 0))


def test_a_single_click_has_alternatives(
    tiny_sam: Predictor, sam_embedding: Embedding
) -> None:
    found = tiny_sam.predict(sam_embedding, POINT)
    scores = [candidate.score for candidate in found.candidates]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    best = found.candidates[0]
    assert found.score == best.score
    np.testing.assert_array_equal(found.mask, best.mask)
    np.testing.assert_array_equal(found.logits, best.logits)


@pytest.mark.parametrize(
    "prompt",
    [
        BOX,
        Prompt(points=[[12, 30], [3, 3]], labels=[1, 0]),
        Prompt(points=[[12, 30]], box=BOX.box),
        Prompt(points=[[12, 30]], mask=np.ones(SHAPE, bool)),
    ],
    ids=["box", "points", "point and box", "point and mask"],
)
def test_other_prompts_have_none_by_default(
    tiny_sam: Predictor, sam_embedding: Embedding, prompt: Prompt
) -> None:
    assert len(tiny_sam.predict(sam_embedding, prompt).candidates) == 1
    several = tiny_sam.predict(sam_embedding, prompt, multimask_output=True)
    assert len(several.candidates) == 3


def test_multimask_output_false_gives_one_mask(
    tiny_sam: Predictor, sam_embedding: Embedding
) -> None:
    found = tiny_sam.predict(sam_embedding, POINT, multimask_output=False)
    assert len(found.candidates) == 1


@pytest.mark.parametrize("name", ["tiny_medsam", "tiny_lite"])
def test_models_without_alternatives_give_one_mask(
    request: pytest.FixtureRequest, name: str, plane: NDArray[np.uint8]
) -> None:
    predictor = request.getfixturevalue(name)
    found = predictor.predict(predictor.embed(plane), BOX, multimask_output=True)
    assert len(found.candidates) == 1


def test_rows_and_columns_become_x_and_y(
    tiny_sam: Predictor, sam_embedding: Embedding
) -> None:
    """The model gets (x, y) in pixels of its input."""
    from torch import tensor

    scale = sam_embedding.transform.scale
    _, masks = PromptedNetwork.of(tiny_sam.model)(
        image_embeddings=sam_embedding.image_embedding,
        input_points=tensor([[[[30 * scale[1], 12 * scale[0]]]]]).float(),
        input_boxes=tensor(
            [[[8 * scale[1], 5 * scale[0], 42 * scale[1], 30 * scale[0]]]]
        ).float(),
        multimask_output=False,
    )
    prompts = Prompt(points=POINT.points, box=BOX.box)
    found = tiny_sam.predict(sam_embedding, prompts)
    np.testing.assert_allclose(found.logits, masks[0, 0, 0].detach(), atol=1e-4)


# Masks as prompts


def test_logits_as_mask_prompt(tiny_sam: Predictor, sam_embedding: Embedding) -> None:
    first = tiny_sam.predict(sam_embedding, BOX)
    again = tiny_sam.predict(sam_embedding, Prompt(box=BOX.box, mask=first.logits))
    assert again.mask.shape == SHAPE
    assert not np.allclose(again.logits, first.logits)


@pytest.mark.parametrize("box", [None, BOX.box])
def test_boolean_masks_as_prompts(
    tiny_sam: Predictor,
    sam_embedding: Embedding,
    some_mask: NDArray[np.bool_],
    box: NDArray[np.float64] | None,
) -> None:
    found = tiny_sam.predict(sam_embedding, Prompt(box=box, mask=some_mask))
    logits = sam_embedding.transform.mask_logits(some_mask)
    same = tiny_sam.predict(sam_embedding, Prompt(box=box, mask=logits))
    assert found.method == "prompt"
    assert_same(found, same, atol=1e-5)


@pytest.mark.parametrize("name", ["tiny_medsam", "tiny_lite"])
@pytest.mark.parametrize("as_logits", [False, True])
def test_box_models_use_the_box_of_a_mask(
    request: pytest.FixtureRequest,
    name: str,
    plane: NDArray[np.uint8],
    some_mask: NDArray[np.bool_],
    as_logits: bool,
) -> None:
    predictor = request.getfixturevalue(name)
    embedding = predictor.embed(plane)
    mask: NDArray[Any] = some_mask
    if as_logits:
        mask = embedding.transform.mask_logits(some_mask)
        some_mask = embedding.transform.plane_logits(mask) > 0
    found = predictor.predict(embedding, Prompt(mask=mask))
    same = predictor.predict(embedding, Prompt(box=mask_to_box(some_mask)))
    assert found.method == "box of the mask"
    assert_same(_without_method(found), _without_method(same), atol=1e-5)


def _without_method(prediction: Prediction) -> Prediction:
    """Return the prediction with one method, for comparison."""
    return replace(prediction, method="prompt")


def test_a_cropped_mask_equals_the_full_one(
    tiny_predictor: Predictor, embedding: Embedding, some_mask: NDArray[np.bool_]
) -> None:
    whole = tiny_predictor.predict(embedding, Prompt(mask=some_mask))
    for rows, cols in ((slice(5, 20), slice(10, 35)), (slice(2, 31), slice(10, 60))):
        origin = rows.start, cols.start
        part = Prompt(mask=some_mask[rows, cols], mask_origin=origin)
        assert_same(tiny_predictor.predict(embedding, part), whole, atol=0)


@pytest.mark.parametrize("name", ["tiny_medsam", "tiny_lite"])
def test_box_models_prefer_a_box_to_a_mask(
    request: pytest.FixtureRequest,
    name: str,
    plane: NDArray[np.uint8],
    some_mask: NDArray[np.bool_],
) -> None:
    predictor = request.getfixturevalue(name)
    embedding = predictor.embed(plane)
    found = predictor.predict(embedding, Prompt(box=BOX.box, mask=some_mask))
    assert found.method == "box of the mask"
    assert_same(
        _without_method(found),
        _without_method(predictor.predict(embedding, BOX)),
        atol=1e-5,
    )


@pytest.mark.parametrize("pixels", [(slice(7, 8), slice(9, 10)), (7, slice(3, 50))])
def test_masks_of_one_pixel_and_of_a_line(
    tiny_predictor: Predictor, embedding: Embedding, pixels: Any
) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[pixels] = True
    found = tiny_predictor.predict(embedding, Prompt(mask=mask))
    assert np.isfinite(found.logits).all()


def test_the_click_decoder_answers_points_only(
    tiny_clicks: Predictor, tiny_lite: Predictor, plane: NDArray[np.uint8]
) -> None:
    embedding = tiny_clicks.embed(plane)
    answers = tiny_clicks.predict_batch(embedding, [POINT, BOX])
    assert [a.method for a in answers] == ["click decoder", "prompt"]
    assert answers[0].mask.shape == SHAPE
    published = tiny_lite.predict(tiny_lite.embed(plane), BOX)
    np.testing.assert_array_equal(answers[1].logits, published.logits)


def test_several_points_take_one_decode_of_the_click_decoder(
    tiny_clicks: Predictor, plane: NDArray[np.uint8]
) -> None:
    assert tiny_clicks.click_decoder is not None
    alone = Predictor(
        tiny_clicks.click_decoder,
        name="alone",
        family="lite_medsam",
        prompts=frozenset({"point", "box"}),
        key="alone",
    )
    clicks = Prompt(points=[[9, 9], [30, 50]], labels=[1, 0])
    boxed = replace(clicks, box=BOX.box)
    for prompt in (clicks, boxed):
        found, expected = (
            p.predict(p.embed(plane, zoom="off"), prompt) for p in (tiny_clicks, alone)
        )
        assert found.method == "click decoder"
        np.testing.assert_array_equal(found.logits, expected.logits)


def test_alternatives_of_the_click_decoder(
    tiny_clicks: Predictor, plane: NDArray[np.uint8]
) -> None:
    embedding = tiny_clicks.embed(plane, zoom="off")
    one = tiny_clicks.predict(embedding, POINT, multimask_output=False)
    assert len(one.candidates) == 1
    assert one.method == "click decoder"
    several = tiny_clicks.predict(embedding, POINT)
    assert 1 <= len(several.candidates) <= 3
    scores = [candidate.score for candidate in several.candidates]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("name", ["tiny_medsam", "tiny_lite"])
def test_box_models_answer_clicks_by_a_box_search(
    request: pytest.FixtureRequest, name: str, plane: NDArray[np.uint8]
) -> None:
    predictor = request.getfixturevalue(name)
    found = predictor.predict(predictor.embed(plane), POINT)
    assert found.method == "box search"
    assert found.mask.shape == SHAPE
    scores = [candidate.score for candidate in found.candidates]
    assert scores == sorted(scores, reverse=True)


def test_logits_of_another_size_are_refused(
    tiny_sam: Predictor, sam_embedding: Embedding
) -> None:
    prompt = Prompt(mask=np.zeros((64, 64), np.float32))
    with pytest.raises(ValueError, match=r"\(64, 64\): this model takes .* of 32 x 32"):
        tiny_sam.predict(sam_embedding, prompt)


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [
        (Prompt(), "The prompt is empty"),
        (Prompt(points=[[40, 3]]), r"The point \(40, 3\) lies outside"),
        (Prompt(box=[50, 0, 60, 10]), "The box .* lies outside"),
        (Prompt(mask=np.ones((60, 40), bool)), "boolean mask of the plane"),
    ],
    ids=["empty", "point", "box", "mask"],
)
def test_invalid_prompts_are_refused(
    tiny_predictor: Predictor, embedding: Embedding, prompt: Prompt, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        tiny_predictor.predict_batch(embedding, [BOX, prompt])


# Batches

rows, cols = st.floats(-0.5, SHAPE[0] - 0.51), st.floats(-0.5, SHAPE[1] - 0.51)


@st.composite
def any_prompts(draw: st.DrawFn) -> Prompt:
    points = draw(st.lists(st.tuples(rows, cols), max_size=3))
    labels = [1, *draw(st.permutations([0, 1]))][: len(points)]
    box = mask = None
    if draw(st.booleans()):
        row, col = draw(st.floats(0, 25)), draw(st.floats(0, 40))
        box = [row, col, row + 9, col + 14]
    if draw(st.booleans()) or not (points or box):
        mask = np.zeros(SHAPE, bool)
        mask[draw(st.integers(0, 30)) :, draw(st.integers(0, 50)) :] = True
    return Prompt(points, labels, box, mask)


@settings(max_examples=20)
@given(prompts=st.lists(any_prompts(), max_size=7), several=st.none() | st.booleans())
def test_predictions_do_not_depend_on_the_batch(
    tiny_sam: Predictor,
    sam_embedding: Embedding,
    prompts: list[Prompt],
    several: bool | None,
) -> None:
    together = tiny_sam.predict_batch(sam_embedding, prompts, multimask_output=several)
    assert len(together) == len(prompts)
    for found, prompt in zip(together, prompts, strict=True):
        alone = tiny_sam.predict(sam_embedding, prompt, multimask_output=several)
        assert_same(found, alone, atol=1e-5)


@pytest.mark.parametrize("name", ["tiny_medsam", "tiny_lite"])
def test_mixed_batches_on_box_models(
    request: pytest.FixtureRequest,
    name: str,
    plane: NDArray[np.uint8],
    some_mask: NDArray[np.bool_],
) -> None:
    predictor = request.getfixturevalue(name)
    embedding = predictor.embed(plane)
    prompts = [POINT, BOX, Prompt(mask=some_mask), Prompt(box=[1, 1, 9, 9]), POINT]
    together = predictor.predict_batch(embedding, prompts)
    methods = [found.method for found in together]
    search, box = "box search", "box of the mask"
    assert methods == [search, "prompt", box, "prompt", search]
    for found, prompt in zip(together, prompts, strict=True):
        assert_same(found, predictor.predict(embedding, prompt), atol=1e-5)


def test_an_empty_batch(tiny_predictor: Predictor, embedding: Embedding) -> None:
    assert tiny_predictor.predict_batch(embedding, []) == []


def test_predicting_does_not_change_the_embedding(
    tiny_predictor: Predictor, embedding: Embedding
) -> None:
    first = tiny_predictor.predict(embedding, BOX)
    tiny_predictor.predict_batch(embedding, [POINT, Prompt(box=[1, 1, 9, 9])])
    assert_same(tiny_predictor.predict(embedding, BOX), first, atol=0)


@pytest.mark.weights
def test_boxes_find_coins(default_predictor: Predictor, coins: Any) -> None:
    embedding = default_predictor.embed(coins.image)
    truths = [coins.labels == i for i in range(1, coins.labels.max() + 1)]
    prompts = [Prompt(box=mask_to_box(truth)) for truth in truths]
    found = default_predictor.predict_batch(embedding, prompts)
    overlaps = [
        mask_iou(one.mask, truth) for one, truth in zip(found, truths, strict=True)
    ]
    assert len(truths) == 22
    assert np.mean(overlaps) > 0.9
    assert min(overlaps) > 0.8


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_of_a_script_changes_nothing(
    tiny_predictor: Predictor, dtype: torch.dtype
) -> None:
    plane = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)
    prompt = Prompt(box=[5, 6, 30, 40])
    expected = tiny_predictor.predict(tiny_predictor.embed(plane), prompt)
    with torch.autocast("cpu", dtype):
        found = tiny_predictor.predict(tiny_predictor.embed(plane), prompt)
    np.testing.assert_array_equal(found.logits, expected.logits)
    assert found.score == expected.score
