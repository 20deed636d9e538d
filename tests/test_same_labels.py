"""Session, functions, command line and replay give identical labels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from numpy.testing import assert_array_equal

import napari_sam as ns
from napari_sam import samples
from napari_sam.cli import main as cli
from napari_sam.images.reading.read import read_image
from napari_sam.plugin.session import SamSession
from napari_sam.prediction import loading
from napari_sam.records import replay as replaying
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import corners

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from napari_sam.prediction.predictor import Predictor

    Limits = tuple[float, float] | None


def compact(labels: np.ndarray) -> np.ndarray:
    """Number labels without gaps, as a session does."""
    present, numbers = np.unique(labels, return_inverse=True)
    assert present[0] == 0
    return numbers.reshape(labels.shape)


class Interfaces:
    """A session, the functions, the command line and a replay of its record."""

    def __init__(self, folder: Path, image: np.ndarray, model: Any) -> None:
        self.image, self.model = image, model
        self.path, self.record = folder / "image.tif", folder / "image.json"
        tifffile.imwrite(self.path, image, photometric="minisblack")

    def session(
        self,
        boxes: Sequence[Sequence[float]] = (),
        points: Sequence[Sequence[float]] = (),
        contrast_limits: Limits = None,
        intensity: ns.IntensityMapping | None = None,
        **layer: Any,
    ) -> np.ndarray:
        """Return the labels of a session; in stacks, prompts start with their slice."""
        viewer = ViewerModel()
        viewer.add_image(self.image, contrast_limits=contrast_limits, **layer)
        session = SamSession(viewer, self.model)
        session.each_prompt_an_object = True
        if intensity is not None:
            session.intensity = intensity
        points_layer, shapes_layer = session.new_prompt_layers()
        shapes_layer.add_rectangles([corners(b[-4:], *b[:-4]) for b in boxes])
        if len(points):
            points_layer.add(np.array(points))
        if self.image.ndim == 3:
            viewer.dims.set_current_step(0, len(self.image) // 2)
            session.propagate()
        else:
            session.preview()
        session.commit()
        labels: np.ndarray = session.labels_layer.data
        assert labels.any()
        return labels

    def command(self, *arguments: str) -> np.ndarray:
        """Return the labels of the command line, after comparing them with a replay."""
        verb = "segment" if self.image.ndim == 2 else "volume"
        files = ("--record", str(self.record), "--overwrite")
        assert cli.main([verb, str(self.path), *arguments, *files]) == 0
        labels = read_image(self.path.with_name("image_labels.tif")).data
        out = self.path.with_name("again.tif")
        again = ("replay", str(self.record), "-o", str(out), "--overwrite")
        assert cli.main(list(again)) == 0
        assert_array_equal(read_image(out).data, labels)
        return labels

    def same_on_a_plane(self, boxes: Any, points: Any, contrast_limits: Limits) -> None:
        """Compare boxes, points, and points in boxes; each is an object."""
        boxes = boxes[: len(points)]
        script = ns.segment(
            self.image, boxes=boxes, model=self.model, contrast_limits=contrast_limits
        )
        contrast = (
            ()
            if contrast_limits is None
            else ("--contrast={},{}".format(*contrast_limits),)
        )
        box_words = [f"--box={','.join(map(str, box))}" for box in boxes]
        assert_array_equal(
            self.session(boxes, contrast_limits=contrast_limits), compact(script)
        )
        assert_array_equal(self.command(*box_words, *contrast), script)
        clicks = ns.segment(
            self.image, points=points, model=self.model, contrast_limits=contrast_limits
        )
        words = [f"--point={','.join(map(str, point))}" for point in points]
        assert_array_equal(self.session((), points, contrast_limits), compact(clicks))
        assert_array_equal(self.command(*words, *contrast), clicks)
        # Points that lie in a box belong to it.
        each = np.array(points)[:, None]
        both = ns.segment(
            self.image,
            each,
            boxes=boxes,
            model=self.model,
            contrast_limits=contrast_limits,
        )
        listed = [{"points": [p], "box": b} for p, b in zip(points, boxes, strict=True)]
        prompts = self.path.with_name("prompts.json")
        prompts.write_text(json.dumps(listed), encoding="utf-8")
        assert_array_equal(self.session(boxes, points, contrast_limits), compact(both))
        assert_array_equal(self.command(f"--prompts={prompts}", *contrast), both)

    def same_in_a_stack(
        self, boxes: Any, contrast_limits: Limits, **layer: Any
    ) -> None:
        """Compare boxes that start with their slice; each is an object."""
        prompts = {
            number: {int(index): ns.Prompt(box=box)}
            for number, (index, *box) in enumerate(boxes, start=1)
        }
        script = ns.segment_volume(
            self.image, prompts, model=self.model, contrast_limits=contrast_limits
        ).labels
        contrast = (
            ()
            if contrast_limits is None
            else ("--contrast={},{}".format(*contrast_limits),)
        )
        words = [f"--box={b[0]}:{','.join(map(str, b[1:]))}" for b in boxes]
        session = self.session(boxes, contrast_limits=contrast_limits, **layer)
        assert_array_equal(session, compact(script))
        assert_array_equal(self.command(*words, *contrast), script)


@pytest.fixture
def balls() -> np.ndarray:
    """(9, 40, 50) float32 with balls of several brightnesses on a slope."""
    z, y, x = np.indices((9, 40, 50))
    scene = 3.0 * x + 20 * np.sin(y + z)
    scene[(2 * (z - 4)) ** 2 + (y - 15) ** 2 + (x - 20) ** 2 < 49] = 700
    scene[(2 * (z - 4)) ** 2 + (y - 28) ** 2 + (x - 38) ** 2 < 25] = 450
    return scene.astype(np.float32)


BOXES, POINTS = [(7, 12, 23, 28), (22, 32, 34, 44)], [(15, 20), (28, 38)]
IN_STACK = [(4, 7, 12, 23, 28), (5, 22, 32, 34, 44)]


def interfaces(
    folder: Path, image: np.ndarray, model: Predictor, patch: pytest.MonkeyPatch
) -> Interfaces:
    for module in (loading, replaying):
        patch.setattr(module, "load_model", lambda *_, **__: model)
    return Interfaces(folder, image, model)


@pytest.mark.parametrize(
    "contrast_limits", [(0.0, 700.0), (-50.0, 900.0), (100.0, 500.0)]
)
def test_planes_with_the_same_contrast_limits(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    balls: np.ndarray,
    contrast_limits: Limits,
) -> None:
    every = interfaces(tmp_path, balls[4], BrightPredictor(), monkeypatch)
    every.same_on_a_plane(BOXES, POINTS, contrast_limits)


@pytest.mark.parametrize("contrast_limits", [(0.0, 700.0), (100.0, 500.0)])
def test_stacks_with_the_same_contrast_limits(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    balls: np.ndarray,
    contrast_limits: Limits,
) -> None:
    every = interfaces(tmp_path, balls, BrightPredictor(), monkeypatch)
    every.same_in_a_stack(IN_STACK, contrast_limits, scale=(3, 0.7, 0.3))


def test_8_bit_images_as_they_are_displayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, balls: np.ndarray
) -> None:
    image = np.clip(balls / 3, 0, 255).astype(np.uint8)
    plane = interfaces(tmp_path, image[4], BrightPredictor(), monkeypatch)
    plane.same_on_a_plane(BOXES, POINTS, None)
    stack = interfaces(tmp_path, image, BrightPredictor(), monkeypatch)
    stack.same_in_a_stack(IN_STACK, None)


@pytest.mark.parametrize(
    ("intensity", "words"),
    [
        (ns.IntensityMapping.data(), ()),
        (ns.IntensityMapping.full(), ("--full-range",)),
        (ns.IntensityMapping.window(300, 500), ("--window", "300,500")),
    ],
)
def test_intensity_rules(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    balls: np.ndarray,
    intensity: ns.IntensityMapping,
    words: tuple[str, ...],
) -> None:
    plane = interfaces(tmp_path, balls[4], BrightPredictor(), monkeypatch)
    given = [f"--box={','.join(map(str, box))}" for box in BOXES]
    assert_array_equal(
        plane.command(*given, *words), plane.session(BOXES, intensity=intensity)
    )
    stack = interfaces(tmp_path, balls, BrightPredictor(), monkeypatch)
    given = [f"--box={b[0]}:{','.join(map(str, b[1:]))}" for b in IN_STACK]
    assert_array_equal(
        stack.command(*given, *words), stack.session(IN_STACK, intensity=intensity)
    )


def test_random_networks(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    balls: np.ndarray,
    tiny_predictor: Predictor,
) -> None:
    plane = interfaces(tmp_path, balls[4], tiny_predictor, monkeypatch)
    plane.same_on_a_plane(BOXES, POINTS, (0.0, 700.0))
    stack = interfaces(tmp_path, balls[3:6], tiny_predictor, monkeypatch)
    stack.same_in_a_stack([(1, 7, 12, 23, 28)], (0.0, 700.0), scale=(3, 0.7, 0.3))


COIN_BOXES = [(28, 127, 73, 178), (30, 192, 72, 242), (15.5, 304.75, 71, 364)]
COIN_CLICKS = [(50, 152)]


@pytest.mark.weights
def test_coins_with_the_default_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, default_predictor: Predictor
) -> None:
    every = interfaces(tmp_path, samples.coins(), default_predictor, monkeypatch)
    every.same_on_a_plane(COIN_BOXES, COIN_CLICKS, None)
    script = ns.segment(
        every.image, boxes=COIN_BOXES, model=every.model, contrast_limits=(30, 190)
    )
    assert_array_equal(every.session(COIN_BOXES, contrast_limits=(30, 190)), script)
    words = [f"--box={','.join(map(str, box))}" for box in COIN_BOXES]
    assert_array_equal(every.command(*words, "--contrast=30,190"), script)


@pytest.mark.weights
def test_the_command_line_loads_the_model_that_a_script_loads(tmp_path: Path) -> None:
    every = Interfaces(tmp_path, samples.coins(), ns.load_model("lite_medsam"))
    words = [f"--box={','.join(map(str, box))}" for box in COIN_BOXES]
    script = ns.segment(every.image, boxes=COIN_BOXES, model="lite_medsam")
    assert_array_equal(every.command(*words), script)


@pytest.mark.weights
def test_a_part_of_a_head_with_the_default_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, default_predictor: Predictor
) -> None:
    volume, spacing = samples.head()
    cut = volume[14:18]
    every = interfaces(tmp_path, cut, default_predictor, monkeypatch)
    boxes = [(0, 32, 52, 70, 75), (3, 37, 53, 67, 74)]
    every.same_in_a_stack(boxes, (float(cut.min()), float(cut.max())), scale=spacing)
