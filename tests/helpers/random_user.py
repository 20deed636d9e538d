"""A user who does anything, with a session on a viewer, and what must hold after."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Points, Shapes

from napari_sam.images.intensity import IntensityMapping
from napari_sam.masks.painting import POLICIES
from napari_sam.plugin.layers.image_source import ChannelChoice
from napari_sam.plugin.session import SamSession
from napari_sam.prediction.steps import run_to_end
from tests.helpers.models import BrightPredictor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHAPE = (5, 24, 28)
CENTRES = ((2, 8, 9), (2, 16, 19))
IMAGE_TYPES = (
    *("bool", "uint8", ">u2", "int16", "int32", "uint64", "float16", "float32"),
    *("float64", "nan", "inf", "flat", "rgb"),
)
LABEL_TYPES = ("uint8", "int8", "uint16", "int32", "uint32", "int64", "uint64", ">i4")
MODELS = (
    BrightPredictor(),
    BrightPredictor("picky", 150),
    BrightPredictor("blind", 255),
)


def balls(shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    where = np.indices(shape)
    truth = np.zeros(shape, bool)
    for centre in CENTRES:
        away = [w - c for w, c in zip(where, centre[-len(shape) :], strict=True)]
        truth |= sum(a * a for a in away) < 20
    return np.where(truth, 200, 20).astype(np.uint8)


def is_sentence(text: str) -> bool:
    """Of ours, not of a library."""
    begins = text[0].isupper() or text[0].isdigit()
    return begins and text.endswith((".", ".)")) and "\n" not in text


def affine(layer: Layer) -> np.ndarray:
    """(n + 1, n + 1) from data to world, told by napari."""
    corner = np.array(layer.data_to_world((0,) * layer.ndim))
    matrix = np.eye(layer.ndim + 1)
    matrix[:-1, -1] = corner
    for axis, step in enumerate(np.eye(layer.ndim)):
        matrix[:-1, axis] = layer.data_to_world(step) - corner
    return matrix


def covered(labels: Labels, image: Image, pieces: Any) -> np.ndarray:
    """Pixels of the labels whose centres lie on the pieces."""
    on_image = np.zeros(image.data.shape[: image.ndim], bool)
    for piece in pieces:
        on_image[piece.plane_index][piece.region] |= piece.mask
    shared = min(labels.ndim, image.ndim)
    seen = on_image.any(axis=tuple(range(image.ndim - shared)))
    centres = np.argwhere(np.ones(labels.data.shape, bool))
    there = affine(labels)
    world = (centres @ there[:-1, :-1].T + there[:-1, -1])[:, labels.ndim - shared :]
    back = np.linalg.inv(affine(image)[image.ndim - shared :, image.ndim - shared :])
    pixel = np.floor(world @ back[:-1, :-1].T + back[:-1, -1] + 0.5).astype(int)
    valid = ((pixel >= 0) & (pixel < seen.shape)).all(axis=1)
    inside = np.zeros(len(centres), bool)
    inside[valid] = seen[tuple(pixel[valid].T)]
    return inside.reshape(labels.data.shape)


@dataclass
class History:
    """What labels should hold, and did: napari's own undo must agree."""

    states: list[np.ndarray]
    plane_index: int = 0

    @property
    def now(self) -> np.ndarray:
        return self.states[self.plane_index]

    def step(self, data: np.ndarray) -> None:
        if (data != self.now).any():
            self.states[self.plane_index + 1 :] = [data.copy()]
            self.plane_index += 1

    def undo(self) -> None:
        self.plane_index = max(self.plane_index - 1, 0)

    def redo(self) -> None:
        self.plane_index = min(self.plane_index + 1, len(self.states) - 1)


@dataclass
class User:
    """Somebody who does not read manuals, with a session on a viewer."""

    rng: np.random.Generator
    viewer: ViewerModel = field(default_factory=ViewerModel)
    taken_out: list[Layer] = field(default_factory=list)
    histories: dict[Labels, History] = field(default_factory=dict)
    requests: list[Any] = field(default_factory=list)
    propagations: list[tuple[Any, Any, Iterator[Any]]] = field(default_factory=list)
    pending_of: tuple[Image, Any] | None = None
    done: list[str] = field(default_factory=list)
    sessions: list[SamSession] = field(default_factory=list)

    def __post_init__(self) -> None:
        viewer = self.viewer
        self.volume = viewer.add_image(
            balls(), name="volume", scale=(2, 1, 1), contrast_limits=(0, 255)
        )
        other = {"contrast_limits": (0, 255), "translate": (1, 2)}
        if self.rng.random() < 0.5:
            self.other = viewer.add_image(balls(SHAPE[1:]), name="flat", **other)
        else:
            other = {**other, "translate": (0, 1, 2), "scale": (3, 1, 1)}
            self.other = viewer.add_image(255 - balls(), name="dark", **other)
        theirs = np.zeros(SHAPE, np.int32)
        theirs[1:4, 5:9, 5:20] = 3
        fine = np.zeros((40, 50), np.uint8)
        fine[10:20, 10:20] = 7
        some = self.rng.random(4) < 0.5  # each layer takes time to add
        if some[0]:
            self.know(viewer.add_labels(theirs, name="theirs", scale=(2, 1, 1)))
        if some[1]:
            self.know(viewer.add_labels(fine, name="fine", scale=(0.6, 0.5)))
        if some[2]:
            viewer.add_points(ndim=3, name="their points", scale=(2, 1, 1))
        if some[3]:
            viewer.add_shapes(ndim=2, name="their shapes")
        viewer.dims.set_point(0, 4)
        self.session = SamSession(viewer, MODELS[0])
        self.sessions.append(self.session)
        if self.rng.random() < 0.7:
            self.session.image_layer = self.volume
        self.session.new_prompt_layers()

    # -- helpers ---------------------------------------------------------------

    def know(self, labels: Labels) -> None:
        self.histories[labels] = History([labels.data.copy()])

    def pick(self, items: Any) -> Any:
        items = list(items)
        return items[self.rng.integers(len(items))] if items else None

    def layers(self, kind: type[Layer] = Layer) -> list[Layer]:
        return [layer for layer in self.viewer.layers if isinstance(layer, kind)]

    def theirs(self) -> dict[Layer, tuple[Any, ...]]:
        """All about the user's own layers that no session may touch."""
        seen = {}
        for layer in self.viewer.layers:
            about = (
                *(layer.name, layer.visible),
                *(tuple(layer.scale), tuple(layer.translate)),
            )
            if isinstance(layer, Points | Shapes):
                if not layer.metadata:  # ours are emptied when a result is accepted
                    content = [np.asarray(item).tolist() for item in layer.data]
                    about += (content, repr(layer.features.to_dict()))
            else:
                about += (id(layer.data),)
            seen[layer] = about
        return seen

    def ask(self, action: Callable[[], Any]) -> Any:
        """Call the session; sentences are all that it may say."""
        before = self.theirs()
        order = list(before)
        try:
            return action()
        except ValueError as error:
            assert is_sentence(str(error)), str(error)
            self.done[-1] += " (refused)"
            return None
        finally:
            after = self.theirs()
            assert [layer for layer in after if layer in before] == order
            assert {layer: after[layer] for layer in before} == before

    def check(self) -> None:
        """What must hold after each action."""
        for labels, history in self.histories.items():
            np.testing.assert_array_equal(labels.data, history.now)
        known = set(self.histories)
        assert {la for la in self.viewer.layers if isinstance(la, Labels)} <= known
        result = self.session.result
        if result is not None:
            assert self.pending_of is not None
            image, data = self.pending_of
            assert self.session.pending is not None
            assert self.session.pending.image is image
            assert image in self.viewer.layers
            assert image.data is data
        target = self.session.labels_layer
        if target is not None and target in self.viewer.layers:
            json.dumps(self.session.record())

    def act(self) -> None:
        names = [name for name in dir(self) if name.startswith("do_")]
        # Half of the time they do what makes sense, so that there is work to spoil.
        name = self.next_step() if self.rng.random() < 0.5 else self.pick(names)
        self.done.append(name)
        getattr(self, name)()

    def next_step(self) -> str:
        last = self.done[-1] if self.done else ""
        if self.session.result is not None:
            return "do_commit"
        if self.requests:
            return "do_deliver_late"
        if self.propagations:
            return "do_end_propagation"
        if last == "do_draw":
            asks = (
                "do_preview",
                "do_stack",
                "do_ask_for_later",
                "do_begin_propagation",
            )
            return str(self.pick(asks))
        if last == "do_commit":
            return str(self.pick(["do_undo", "do_go_back", "do_refine", "do_draw"]))
        if last in ("do_go_back", "do_refine"):
            return str(self.pick(["do_preview", "do_stack"]))
        return "do_draw" if self.rng.random() < 0.8 else "do_go_to_the_middle"

    def finish(self) -> None:
        for number in range(len(self.propagations)):
            self.done.append(f"finish propagation {number}")
            self.do_end_propagation()
            self.check()

    # -- drawing ---------------------------------------------------------------

    def do_draw(self) -> None:
        session = self.session
        chosen = session.points_layer, session.shapes_layer
        layer = self.pick(la for la in chosen if la in self.viewer.layers)
        if layer is None:
            return
        plane_index = np.asarray(layer.world_to_data(self.viewer.dims.point))[
            -layer.ndim :
        ]
        if self.rng.random() < 0.1:
            plane_index += self.rng.integers(-2, 3, layer.ndim)
        centre = np.array(self.pick(CENTRES), float)
        centre += self.rng.normal(0, 1, 3)
        shown = [a - self.viewer.dims.ndim for a in self.viewer.dims.displayed]
        if min(shown) < -layer.ndim:
            return
        if isinstance(layer, Points):
            for axis in shown:
                plane_index[axis] = centre[axis]
            session.set_polarity(bool(self.rng.random() < 0.8))
            layer.add(plane_index)
            return
        if self.viewer.dims.ndisplay == 3 or not layer.visible:
            return  # napari fails to add some shapes there, and to hidden layers
        corners = np.tile(plane_index, (4, 1))
        half = self.rng.uniform(3, 8)
        corners[:, shown[0]] = centre[shown[0]] + np.array([-half, -half, half, half])
        corners[:, shown[1]] = centre[shown[1]] + np.array([-half, half, half, -half])
        kind = self.pick(["rectangle", "rectangle", "polygon", "ellipse", "path"])
        layer.add(corners, shape_type=kind)

    def do_delete_a_prompt(self) -> None:
        layer = self.pick(self.layers(Points) + self.layers(Shapes))
        if layer is not None and len(layer.data):
            layer.selected_data = {int(self.rng.integers(len(layer.data)))}
            layer.remove_selected()

    def do_move_a_prompt(self) -> None:
        layer = self.pick(self.layers(Points) + self.layers(Shapes))
        if layer is None or not len(layer.data):
            return
        if isinstance(layer, Shapes) and self.viewer.dims.ndisplay == 3:
            return  # as in `do_draw`
        data = [np.array(item, float) for item in layer.data]
        number = self.rng.integers(len(data))
        data[number] = data[number] + self.rng.normal(0, 2, np.shape(data[number])[-1])
        layer.data = np.array(data) if isinstance(layer, Points) else data

    def do_make_prompt_layers(self) -> None:
        self.ask(self.session.new_prompt_layers)

    def do_choose_prompt_layers(self) -> None:
        points, shapes = self.layers(Points), self.layers(Shapes)
        self.session.points_layer = self.pick(
            [None, *points, *self.taken_out_of(Points)]
        )
        self.session.shapes_layer = self.pick(
            [None, *shapes, *self.taken_out_of(Shapes)]
        )

    def taken_out_of(self, kind: type[Layer]) -> list[Layer]:
        return [layer for layer in self.taken_out if isinstance(layer, kind)]

    # -- layers ----------------------------------------------------------------

    def do_remove_a_layer(self) -> None:
        layer = self.pick(self.viewer.layers)
        if layer is not None:
            self.viewer.layers.remove(layer)
            self.taken_out.append(layer)

    def do_bring_a_layer_back(self) -> None:
        if self.taken_out:
            layer = self.taken_out.pop(int(self.rng.integers(len(self.taken_out))))
            self.viewer.layers.append(layer)

    def do_rename_a_layer(self) -> None:
        layer = self.pick(self.viewer.layers)
        if layer is not None:
            layer.name = self.pick(["SAM labels", "SAM points", "volume", "x"])

    def do_reorder_layers(self) -> None:
        count = len(self.viewer.layers)
        if count > 1:
            first, second = self.rng.integers(count, size=2)
            self.viewer.layers.move(int(first), int(second))

    def do_select_a_layer(self) -> None:
        self.viewer.layers.selection.active = self.pick(self.viewer.layers)

    def do_replace_an_image(self) -> None:
        image = self.pick([self.volume, self.other])
        image.data = self.pick([image.data.copy(), 255 - image.data])

    def do_add_labels(self) -> None:
        if len(self.histories) < 6:
            self.know(self.viewer.add_labels(np.zeros(SHAPE, int), scale=(2, 1, 1)))

    def do_add_an_image_of_any_type(self) -> None:
        if len(self.layers(Image)) > 4:
            return
        kind = self.pick(IMAGE_TYPES)
        data: np.ndarray = balls()
        if kind in ("nan", "inf"):
            data = data.astype(np.float32)
            data[self.rng.random(SHAPE) < 0.3] = float(kind)
        elif kind == "flat":
            data = np.full(SHAPE, 7, np.uint8)
        elif kind == "rgb":
            data = np.stack([data] * 3, axis=-1)
        else:
            data = data.astype(kind)
        limits = None if kind in ("flat", "bool") else (0, 255)
        self.viewer.add_image(data, contrast_limits=limits, rgb=kind == "rgb")

    def do_choose_any_image(self) -> None:
        self.session.image_layer = self.pick([None, *self.layers(Image)])

    def do_shrink_an_image(self) -> None:
        image = self.pick([la for la in self.layers(Image) if not la.rgb])
        if image is not None and min(image.data.shape[-2:]) > 8:
            axis = int(self.rng.integers(-image.ndim, 0))
            if image.data.shape[axis] > 2:
                cut = [slice(None)] * image.ndim
                cut[axis] = slice(image.data.shape[axis] * 2 // 3)
                image.data = image.data[tuple(cut)].copy()

    def do_change_an_image_in_place(self) -> None:
        image = self.pick([la for la in self.layers(Image) if not la.rgb])
        if image is not None and image.data.dtype == np.uint8:
            image.data[...] = 255 - image.data
            if self.rng.random() < 0.5:
                image.refresh()

    def do_add_labels_of_any_type(self) -> None:
        if len(self.histories) < 6:
            data = np.zeros(SHAPE, self.pick(LABEL_TYPES))
            if self.rng.random() < 0.5:
                data[0, 0, 0] = np.iinfo(data.dtype).max
            self.know(self.viewer.add_labels(data, scale=(2, 1, 1)))

    def do_give_features(self) -> None:
        layer = self.pick(
            self.layers(Points) + self.layers(Shapes) + self.layers(Labels)
        )
        if layer is None or self.is_ours(layer):
            return
        count = len(layer.data) if not isinstance(layer, Labels) else 5
        column = self.pick(["polarity", "class", "index", "x y"])
        value = self.pick(["positive", "", None, 3.5, float("nan")])
        layer.features = {column: [value] * count}

    def is_ours(self, layer: Layer) -> bool:
        """Whether a session keeps something in the features of a layer."""
        return bool(layer.metadata) or isinstance(layer, Labels)

    def do_open_another_session(self) -> None:
        if len(self.sessions) < 3:
            self.sessions.append(SamSession(self.viewer, self.pick(MODELS)))

    def do_switch_to_another_session(self) -> None:
        for _, _, steps in self.propagations:
            self.ask(steps.close)
        self.ask(self.session.discard)
        self.session = self.pick(self.sessions)
        self.ask(self.session.discard)
        self.requests, self.pending_of = [], None
        self.propagations = []

    def do_segment_everything(self) -> None:
        image = self.session.image_layer
        if self.ask(self.session.segment_everything) is not None:
            self.adopted(image, image.data)

    def do_measure(self) -> None:
        self.ask(self.session.measure)

    def do_choose_another_answer(self) -> None:
        self.ask(self.session.next_alternative)

    def do_hide_or_show_a_layer(self) -> None:
        layer = self.pick(self.viewer.layers)
        if layer is not None:
            layer.visible = not layer.visible

    # -- the view --------------------------------------------------------------

    def do_scroll(self) -> None:
        for axis, count in enumerate(self.viewer.dims.nsteps):
            self.viewer.dims.set_current_step(axis, int(self.rng.integers(count)))

    def do_go_to_the_middle(self) -> None:
        self.viewer.dims.ndisplay = 2
        if self.viewer.dims.ndim == 3:
            self.viewer.dims.order = (0, 1, 2)
            self.viewer.dims.set_point(0, 4)

    def do_turn_the_axes(self) -> None:
        order = self.rng.permutation(self.viewer.dims.ndim)
        self.viewer.dims.order = tuple(int(axis) for axis in order)

    def do_switch_dimensions(self) -> None:
        self.viewer.dims.ndisplay = self.pick([2, 3])

    # -- the session -----------------------------------------------------------

    def adopted(self, image: Image | None, data: Any) -> None:
        self.pending_of = None if image is None else (image, data)

    def do_preview(self) -> None:
        image = self.session.image_layer
        before = self.session.result
        if self.ask(self.session.preview) is not None:
            self.adopted(image, image.data)
        elif self.session.result is not before:
            assert self.session.result is None

    def do_stack(self) -> None:
        image = self.session.image_layer
        if self.ask(self.session.propagate) is not None:
            self.adopted(image, image.data)

    def do_ask_for_later(self) -> None:
        ask = self.pick(
            [self.session.build_plane_request, self.session.build_stack_request]
        )
        image = self.session.image_layer
        request = self.ask(ask)
        if request is not None:
            assert request.image is image
            self.requests.append((request, image.data, self.session.model))

    def do_deliver_late(self) -> None:
        if not self.requests:
            return
        number = int(self.rng.integers(len(self.requests)))
        request, data, model = self.requests.pop(number)
        image = request.image
        # A worker may refuse as well, for example where a slice shows nothing.
        steps = request.request.run(model, self.session.cache)
        answer = self.ask(lambda: run_to_end(steps))
        if answer is None:
            return
        before = self.session.result
        self.ask(lambda: self.session.accept_result(request, answer))
        if self.session.result is answer:
            assert image in self.viewer.layers
            assert image.data is data
            assert self.session.model is model
            self.adopted(image, data)
        else:
            assert self.session.result is before

    def do_begin_propagation(self) -> None:
        image = self.session.image_layer
        steps = self.session.iter_propagate()
        if self.ask(lambda: next(steps)) is not None:
            assert image is not None
            self.propagations.append((image, image.data, steps))

    def do_end_propagation(self) -> None:
        if not self.propagations:
            return
        image, data, steps = self.propagations.pop(0)
        before = self.session.result
        for _ in range(int(self.rng.integers(3))):
            self.ask(lambda: next(steps, None))
        self.ask(steps.close)
        if self.session.result is not before:
            assert self.session.result is not None
            self.adopted(image, data)

    def do_commit(self) -> None:
        session = self.session
        pending = session.pending
        label = self.ask(session.commit)
        for layer in self.layers(Labels):
            if layer not in self.histories:
                self.histories[layer] = History([np.zeros_like(layer.data)])
        if label is None:
            return
        assert session.result is None
        labels, done = session.labels_layer, session.target.last_written
        assert labels is not None
        assert pending is not None
        assert done is not None
        # A late result corrects what was corrected when it was asked for.
        replacement = pending.request.snapshot.replacement
        before, after = self.histories[labels].now, labels.data
        changed = before != after
        allowed = covered(labels, pending.image, pending.result.pieces)
        if replacement is not None and replacement.labels is labels:
            allowed |= np.isin(before, replacement.label_ids)
        assert not (changed & ~allowed).any()
        assert np.count_nonzero(changed) == done.pixels
        assert np.isin(after[changed], [0, *done.label_ids]).all()
        if session.target.policy != "overwrite" or labels.preserve_labels:
            assert np.isin(before[changed], [0, *done.label_ids]).all()
        self.histories[labels].step(after)

    def do_undo(self) -> None:
        labels = self.pick(la for la in self.layers(Labels) if la.visible)
        if labels is not None:
            labels.undo()
            self.histories[labels].undo()

    def do_redo(self) -> None:
        labels = self.pick(la for la in self.layers(Labels) if la.visible)
        if labels is not None:
            labels.redo()
            self.histories[labels].redo()

    def do_paint(self) -> None:
        labels = self.pick(la for la in self.layers(Labels) if la.visible)
        if labels is None or self.viewer.dims.ndisplay == 3:
            return
        before = labels.data.copy()
        labels.selected_label = int(self.rng.integers(12))
        pixel = [int(self.rng.integers(size)) for size in labels.data.shape]
        labels.brush_size = int(self.rng.integers(1, 6))
        labels.paint(tuple(pixel), labels.selected_label)
        np.testing.assert_array_equal(before, self.histories[labels].now)
        self.histories[labels].step(labels.data)

    def do_refine(self) -> None:
        labels = self.pick([None, *self.layers(Labels)])
        label = self.pick([None, 1, 3, 7])
        self.ask(lambda: self.session.refine(label, labels))

    def do_go_back(self) -> None:
        self.ask(self.session.previous_object)

    def do_discard(self) -> None:
        self.ask(self.session.discard)
        assert self.session.result is None

    def do_choose(self) -> None:
        """Everything that is picked from a list."""
        session = self.session
        what = int(self.rng.integers(9))
        if what == 0:
            session.model = self.pick(MODELS)
        elif what == 1:
            session.target.policy = self.pick(POLICIES)
        elif what == 2:
            session.target.use_selected_label = bool(self.rng.random() < 0.5)
        elif what == 3:
            session.intensity = self.pick(
                [
                    IntensityMapping.display(),
                    IntensityMapping.percentiles(),
                    IntensityMapping.full(),
                    IntensityMapping.window(100, 200),
                ]
            )
        elif what == 4:
            channels = ChannelChoice(self.other), ChannelChoice(None, 0, 2)
            session.channels = self.pick([(), channels[:1], channels[1:], channels])
        elif what == 5:
            session.image_layer = self.pick([None, self.volume, self.other])
        elif what == 6:
            session.labels_layer = self.pick([None, *self.histories])
        elif what == 7:
            session.each_prompt_an_object = not session.each_prompt_an_object
        else:
            labels = self.pick(self.histories)
            if labels is not None:
                labels.preserve_labels = not labels.preserve_labels
