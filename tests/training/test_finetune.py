"""Fine-tuning: training, cancelling, resuming, saving, loss."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from napari_sam.checkpoints.model_card import ModelCard
from napari_sam.nets.sam import SamNetwork
from napari_sam.prediction.disk_cache import DiskCache
from napari_sam.prediction.loading import load_model
from napari_sam.prediction.predictor import Predictor
from napari_sam.prompts.prompt import Prompt
from napari_sam.training.augmented_embeddings import AugmentedEmbeddings
from napari_sam.training.data import training_images
from napari_sam.training.finetune import FineTuning
from napari_sam.training.loss import best_outputs, mask_ious, prompt_loss
from napari_sam.training.options import TrainingOptions
from napari_sam.training.saving import official_state
from napari_sam.training.state import read_state, write_state
from tests.helpers.training import QUICK, discs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_sam.checkpoints.families import Family
    from napari_sam.checkpoints.prompt_support import PromptKind
    from napari_sam.nets.config import SamConfig


def weights(training: FineTuning) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in training.model.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )


def run(training: FineTuning) -> FineTuning:
    for _ in training.run():
        pass
    return training


def test_the_loss_falls_and_the_held_out_iou_rises(tiny_sam: Predictor) -> None:
    options = replace(
        QUICK,
        steps=60,
        learning_rate=1e-2,
        augmentations=1,
        prompts=("box",),
        corrections=0,
    )
    training = run(FineTuning(tiny_sam, discs(), replace(options, validate_every=20)))
    losses = training.state.losses
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    assert training.state.best > training.state.start_scores["box"] + 0.1


def test_all_families_can_be_trained(tiny_predictor: Predictor) -> None:
    before = {k: v.clone() for k, v in tiny_predictor.model.state_dict().items()}
    options = replace(QUICK, steps=3, prompts=("point", "box", "mask"), corrections=3)
    training = run(FineTuning(tiny_predictor, discs(), options))
    assert training.state.step == 3
    assert same(before, tiny_predictor.model.state_dict())
    changed = {
        key.partition(".")[0]
        for key, value in training.model.state_dict().items()
        if not torch.equal(value, before[key])
    }
    assert changed == {"prompt_encoder", "mask_decoder"}


@pytest.mark.parametrize("family", ["tiny_sam", "tiny_lite"])
def test_the_last_blocks_of_the_encoder_can_be_trained(
    family: str, request: pytest.FixtureRequest
) -> None:
    predictor = request.getfixturevalue(family)
    options = replace(QUICK, steps=2, encoder_blocks=1)
    training = run(FineTuning(predictor, discs(), options))
    before = predictor.model.state_dict()
    changed = [k for k, v in weights(training).items() if not torch.equal(v, before[k])]
    encoder = [key for key in changed if key.startswith("image_encoder")]
    assert any("neck" in key for key in encoder)
    assert any("neck" not in key for key in encoder)
    assert not any("patch_embed" in key for key in encoder)


def test_encoder_has_too_few_blocks(tiny_lite: Predictor) -> None:
    with pytest.raises(ValueError, match="encoder_blocks=9: give 3 or less"):
        FineTuning(tiny_lite, discs(), replace(QUICK, encoder_blocks=9))


@pytest.mark.parametrize("stop", [2, 8, 10, 12, 16])
def test_resumed_run_equals_uninterrupted_run(
    tiny_lite: Predictor, tmp_path: Path, stop: int
) -> None:
    # After 2 encoded images, at the first validation, after steps, at the last one.
    uninterrupted = run(FineTuning(tiny_lite, discs(), QUICK))
    interrupted = FineTuning(tiny_lite, discs(), QUICK)
    for _ in islice(interrupted.run(), stop):
        pass
    interrupted.write(tmp_path / "run.safetensors")
    resumed = FineTuning(tiny_lite, discs(), QUICK)
    resumed.resume(tmp_path / "run.safetensors")
    run(resumed)
    assert resumed.state == uninterrupted.state
    assert same(weights(resumed), weights(uninterrupted))
    assert same(
        resumed.best_model().state_dict(), uninterrupted.best_model().state_dict()
    )


def test_cancelled_run_continues(tiny_lite: Predictor) -> None:
    uninterrupted = run(FineTuning(tiny_lite, discs(), QUICK))
    interrupted = FineTuning(tiny_lite, discs(), QUICK)
    for _ in islice(interrupted.run(), 11):
        pass
    assert same(weights(run(interrupted)), weights(uninterrupted))


def test_resume_needs_the_same_model_images_and_options(
    tiny_lite: Predictor, tiny_sam: Predictor, tmp_path: Path
) -> None:
    file = tmp_path / "run.safetensors"
    FineTuning(tiny_lite, discs(), QUICK).write(file)
    for other in (
        FineTuning(tiny_lite, discs(5), QUICK),
        FineTuning(tiny_lite, discs(), replace(QUICK, seed=1)),
        FineTuning(tiny_sam, discs(), QUICK),
    ):
        with pytest.raises(ValueError, match="another model, other images"):
            other.resume(file)
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ValueError, match="damaged or not a training run"):
        FineTuning(tiny_lite, discs(), QUICK).resume(file)
    with pytest.raises(FileNotFoundError, match="no training run"):
        FineTuning(tiny_lite, discs(), QUICK).resume(tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    ("name", "value"),
    [("has_uint32", 2), ("has_uint32", 2**31), ("uinteger", 2**32), ("uinteger", -1)],
)
def test_numbers_that_the_generator_cannot_hold_are_damage(
    name: str, value: int, tiny_lite: Predictor, tmp_path: Path
) -> None:
    file = tmp_path / "run.safetensors"
    training = FineTuning(tiny_lite, discs(), QUICK)
    training.write(file)
    tensors, values = read_state(file)
    values["generator"][name] = value
    write_state(file, tensors, values)
    with pytest.raises(ValueError, match=f"generator.*{name}"):
        training.resume(file)


def test_cancelled_run_keeps_the_best_model(tiny_lite: Predictor) -> None:
    # A learning rate so high that the model becomes worse: the best is not the last.
    options = replace(QUICK, steps=40, learning_rate=0.3, validate_every=4, patience=99)
    training = FineTuning(tiny_lite, discs(), options)
    for progress in training.run():
        if progress.phase == "train" and progress.done == 30:
            break
    state = training.state
    means = {step: np.mean(list(scores.values())) for step, scores in state.history}
    assert state.best == max(means.values()) == means[state.best_step]
    assert state.step == 30
    best = training.best_model()
    again = FineTuning(tiny_lite, discs(), options)
    again.model.load_state_dict(best.state_dict())
    for progress in again.run():
        if progress.phase == "train":  # after the first validation
            break
    assert again.state.best == state.best


def test_best_model_before_the_first_step_is_the_parent(tiny_lite: Predictor) -> None:
    training = FineTuning(tiny_lite, discs(), QUICK)
    assert same(training.best_model().state_dict(), tiny_lite.model.state_dict())


def test_training_stops_after_the_patience(tiny_lite: Predictor) -> None:
    options = replace(
        QUICK, steps=60, learning_rate=1e-12, validate_every=2, patience=3
    )
    assert run(FineTuning(tiny_lite, discs(), options)).state.step == 6


def test_run_stops_after_its_minutes_and_stays_finished(
    tiny_lite: Predictor, tmp_path: Path
) -> None:
    options = replace(QUICK, steps=10**6, minutes=0.02, patience=10**6)
    training = FineTuning(tiny_lite, discs(), options)
    fractions = [p.fraction for p in training.run() if p.phase == "train"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert training.state.validated_at == training.state.step == len(fractions)
    training.write(tmp_path / "run.safetensors")
    again = FineTuning(tiny_lite, discs(), options)
    again.resume(tmp_path / "run.safetensors")
    assert [p.phase for p in again.run() if p.phase != "encode"] == []


@pytest.mark.parametrize("prompts", [("point", "box"), ("point", "box", "mask")])
def test_close_ups_decode_crops(
    tiny_lite: Predictor, prompts: tuple[PromptKind, ...]
) -> None:
    options = replace(QUICK, steps=4, close_ups=1.0, prompts=prompts, corrections=2)
    training = FineTuning(tiny_lite, discs(shape=(64, 64)), options)
    decoded: list[int] = []
    training.model.mask_decoder.register_forward_pre_hook(
        lambda _, inputs: decoded.append(inputs[0].shape[-1])
    )
    run(training)
    assert min(decoded) < tiny_lite.model.prompt_encoder.embedding_size == max(decoded)
    assert np.isfinite(training.state.losses).all()
    assert not same(weights(training), dict(tiny_lite.model.state_dict()))


def test_progress(tiny_lite: Predictor) -> None:
    progress = list(FineTuning(tiny_lite, discs(), QUICK).run())
    phases = [entry.phase for entry in progress]
    assert phases[0] == "encode"
    assert phases.count("encode") == 1 + 3 * QUICK.augmentations
    assert phases.count("train") == QUICK.steps
    assert {p.seconds_left is not None and p.seconds_left >= 0 for p in progress} == {
        True
    }
    last = [entry for entry in progress if entry.phase == "train"][-1]
    assert (last.done, last.total, last.seconds_left) == (QUICK.steps, QUICK.steps, 0)
    assert set(last.scores) == {"click", "clicks", "box"}
    assert last.loss is not None


def test_embeddings_on_disk(tiny_lite: Predictor, tmp_path: Path) -> None:
    disk = DiskCache(tmp_path)
    kept = run(FineTuning(tiny_lite, discs(), QUICK, disk=disk))
    assert same(weights(kept), weights(run(FineTuning(tiny_lite, discs(), QUICK))))
    again = FineTuning(tiny_lite, discs(), QUICK, disk=disk)
    assert next(again.run()).phase == "validate"
    tiny = DiskCache(tmp_path / "tiny", max_bytes=1)
    small = run(FineTuning(tiny_lite, discs(), QUICK, disk=tiny))
    assert same(weights(small), weights(kept))


def test_embedding_is_of_the_augmented_plane(
    tiny_sam: Predictor,
) -> None:
    image = discs(1)[0]
    embeddings = AugmentedEmbeddings(tiny_sam)
    turned = tiny_sam.embed(image.plane.T[::-1, ::-1]).half()
    found = [embeddings.embedding(image, n).numpy() for n in range(8)]
    assert sum(np.array_equal(one.astype(np.float16), turned) for one in found) == 1


def test_errors_in_images(tiny_lite: Predictor, tiny_sam: Predictor) -> None:
    with pytest.raises(ValueError, match="at least two labelled images"):
        FineTuning(tiny_lite, discs(1), QUICK)
    labels = np.zeros((400, 400), int)
    labels[7, 7] = 1
    specks = training_images(labels, labels, "a") + training_images(labels, labels, "b")
    with pytest.raises(ValueError, match=r"large enough.*enlarge the images"):
        FineTuning(tiny_sam, specks, QUICK)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"steps": 0}, "steps=0: give a whole number of 1 or more"),
        ({"learning_rate": 0}, "learning_rate=0"),
        ({"held_out": 1}, "held_out=1"),
        ({"augmentations": 9}, "augmentations=9"),
        ({"prompts": ("text",)}, "choose one of 'point', 'box', 'mask'"),
        ({"prompts": ("mask",)}, "masks can only be trained together"),
        ({"first_prompts": ("text",)}, "choose one of 'click', 'clicks', 'box'"),
        ({"close_ups": 1.5}, "close_ups=1.5: give a number from 0 to 1"),
        ({"minutes": 0}, "minutes=0: give a number above 0"),
    ],
)
def test_errors_in_options(option: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingOptions(**option)


# -- files ---------------------------------------------------------------------


@pytest.fixture
def parents(
    random_model: Callable[..., SamNetwork],
    vit_config: SamConfig,
    lite_config: SamConfig,
    tmp_path: Path,
) -> dict[str, Predictor]:
    """Load small models from files."""
    # All published files of TinyViT end on a grid of 64 x 64.
    vision = replace(lite_config.vision_config, image_size=256)
    prompts = replace(lite_config.prompt_encoder_config, image_size=256)
    lite_config = replace(
        lite_config, vision_config=vision, prompt_encoder_config=prompts
    )
    found = {}
    for family, config in (("sam", vit_config), ("lite_medsam", lite_config)):
        path = tmp_path / f"{family}.pth"
        torch.save(random_model(config).state_dict(), path)
        found[family] = load_model(path, config=config, family=family, device="cpu")
    return found


def all_logits(predictor: Predictor) -> list[np.ndarray]:
    embedding = predictor.embed(discs(1)[0].plane)
    prompts = [
        Prompt(points=[(24, 15)]),
        Prompt(points=[(24, 15), (2, 2)], labels=[1, 0]),
        Prompt(box=(14, 5, 34, 25)),
    ]
    found = predictor.predict_batch(embedding, prompts)
    return [c.logits for answer in found for c in answer.candidates]


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("sam", "a.safetensors"),
        ("sam", "a.pth"),
        ("sam", "folder"),
        ("lite_medsam", "a.safetensors"),
    ],
)
def test_saved_model_gives_the_same_masks(
    family: Family, name: str, tmp_path: Path, parents: dict[str, Predictor]
) -> None:
    parent = parents[family]
    training = run(FineTuning(parent, discs(), QUICK))
    path = training.save(tmp_path / name)
    # A plain state dict has no model card.
    known_family = family if name == "a.pth" else None
    loaded = load_model(
        path, config=parent.model.config, family=known_family, device="cpu"
    )
    assert loaded.family == family
    assert loaded.prompts >= {"point", "box"}
    found, expected = all_logits(loaded), all_logits(training.predictor())
    assert len(found) == 3 + 1 + 1
    assert same(loaded.model.state_dict(), training.best_model().state_dict())
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_training_starts_from_the_click_decoder(
    tmp_path: Path, parents: dict[str, Predictor]
) -> None:
    model = parents["lite_medsam"].model
    clicks = copy.deepcopy(model)
    clicks.mask_decoder.mask_tokens.weight.neg_()
    boxes = frozenset({"box"})
    parent = Predictor(
        model,
        name="a",
        family="lite_medsam",
        prompts=boxes,
        key="a",
        click_decoder=clicks,
    )
    training = FineTuning(parent, discs(), QUICK)
    assert same(training.model.state_dict(), clicks.state_dict())
    path = run(training).save(tmp_path / "a.safetensors")
    loaded = load_model(path, config=model.config, device="cpu")
    image, click = discs(1)[0], Prompt(points=[[24, 15]])
    found, expected = (
        p.predict(p.embed(image.plane), click) for p in (loaded, training.predictor())
    )
    assert found.method == expected.method
    assert loaded.click_decoder is not None
    np.testing.assert_array_equal(found.logits, expected.logits)


def test_tiny_vit_cannot_be_saved_as_a_folder(
    parents: dict[str, Predictor], tmp_path: Path
) -> None:
    training = FineTuning(parents["lite_medsam"], discs(), QUICK)
    with pytest.raises(ValueError, match="no TinyViT"):
        training.save(tmp_path / "folder")


def test_folded_norms_are_saved_with_official_keys(
    parents: dict[str, Predictor],
) -> None:
    model = parents["lite_medsam"].model
    state = official_state(model)
    plain = SamNetwork(model.config).state_dict()
    wanted = {key for key in plain if not key.endswith("num_batches_tracked")}
    assert state.keys() == wanted
    assert all(state[key].shape == plain[key].shape for key in wanted)


def test_model_card(tiny_lite: Predictor, tmp_path: Path) -> None:
    training = run(FineTuning(tiny_lite, discs(), QUICK))
    card = ModelCard.read(training.save(tmp_path / "a.safetensors", licence="CC0-1.0"))
    assert card is not None
    assert card == training.card("CC0-1.0")
    assert (card.family, card.parent) == ("lite_medsam", tiny_lite.key)
    assert card.prompts == {"point", "box"}
    assert card.data["objects"] == 8
    assert card.training["options"]["steps"] == QUICK.steps


def test_half_precision_is_half_the_size(
    parents: dict[str, Predictor], tmp_path: Path
) -> None:
    training = FineTuning(parents["sam"], discs(), QUICK)
    full = training.save(tmp_path / "a.safetensors")
    half = training.save(tmp_path / "b.safetensors", dtype=torch.float16)
    assert half.stat().st_size < 0.6 * full.stat().st_size
    loaded = load_model(half, config=parents["sam"].model.config, device="cpu")
    pairs = zip(all_logits(loaded), all_logits(training.predictor()), strict=True)
    assert max(np.abs(one - other).max() for one, other in pairs) < 0.1


def test_errors_in_files(tiny_lite: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    training = FineTuning(tiny_lite, discs(), QUICK)
    training.save(path)
    with pytest.raises(ValueError, match="trained as 'lite_medsam', not 'sam'"):
        load_model(path, family="sam")
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match="damaged"):
        load_model(path)
    with pytest.raises(ValueError, match="unknown suffix"):
        training.save(tmp_path / "a.onnx")


# -- the loss ------------------------------------------------------------------


def test_loss_of_a_perfect_mask_is_nearly_0() -> None:
    target = torch.zeros(1, 8, 8)
    target[:, 2:6, 2:6] = 1
    logits = (40 * target - 20)[:, None]
    assert float(prompt_loss(logits, torch.ones(1, 1), target)) < 1e-3
    assert mask_ious(logits, target).item() == 1
    assert float(prompt_loss(-logits, torch.zeros(1, 1), target)) > 10


def test_only_the_best_multimask_output_is_trained() -> None:
    target = torch.zeros(1, 8, 8)
    target[:, 2:6, 2:6] = 1
    good = (2 * target - 1)[:, None]
    logits = torch.cat([good, -good, good, -good], 1).requires_grad_()
    scores = torch.tensor([[0.9, 0.1, 0.2, 0.3]], requires_grad=True)
    prompt_loss(logits, scores, target).backward()
    taught = logits.grad.abs().sum((0, 2, 3)) > 0
    assert taught.tolist() == [True, False, True, False]
    # The estimates of all of them are.
    assert (scores.grad != 0).all()
    assert best_outputs(logits, scores).tolist() == [3]
    assert best_outputs(logits[:, :1], scores[:, :1]).tolist() == [0]


# -- the real decoder ----------------------------------------------------------


@pytest.mark.weights
def test_real_decoder_overfits_a_batch(published_predictor: Predictor) -> None:
    options = TrainingOptions(
        steps=5, objects=2, augmentations=1, corrections=0, prompts=("point",),
        validate_every=100, validation_objects=2, learning_rate=2e-3,
    )  # fmt: skip
    training = FineTuning(published_predictor, discs(2, (96, 128)), options)
    (image,) = training.trained
    truths = [image.labels == label for label in (1, 2)]
    clicks = [Prompt(points=[np.argwhere(truth).mean(0)]) for truth in truths]

    embedding = published_predictor.embed(image.plane).image_embedding.clone()

    def loss() -> float:
        return training.trainer.loss(training.model, embedding, truths, clicks)

    before = loss()
    run(training)
    assert loss() < 0.9 * before
