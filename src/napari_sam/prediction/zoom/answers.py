"""Answers of a model in several windows of a plane, and the best of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.prediction.click_sequence import select_alternative
from napari_sam.prediction.clicks.corrections import best_correction, correction_steps
from napari_sam.prediction.prediction import MAX_ANSWERS
from napari_sam.prediction.zoom.choice import choose_windows
from napari_sam.prediction.zoom.options import ZoomHints, ZoomStep
from napari_sam.prediction.zoom.ranking import (
    best_answer,
    is_cut,
    is_same,
    quality,
    with_candidates,
    without_others,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from numpy.typing import NDArray

    from napari_sam.images.window import Window
    from napari_sam.prediction.click_sequence import Size
    from napari_sam.prediction.embedding import Embedding
    from napari_sam.prediction.prediction import Prediction
    from napari_sam.prediction.zoom.grid import WindowGrid
    from napari_sam.prediction.zoom.options import Zoom
    from napari_sam.prompts.prompt import Prompt

    Embed = Callable[[Window | None], Embedding]
    Decode = Callable[[Embedding, Sequence[Prompt]], list[Prediction]]
    Steps = Generator[ZoomStep, None, list["ZoomedAnswer"]]
    Windows = tuple[Window | None, ...]

# A mask that its window cuts is asked again in a larger one, this many times.
_MAX_GROWTH = 4
# When no answer for an object of expected size reaches this quality, the object is of
# another size: right answers have about 0.8, those in wrong windows 0.6.
_MIN_QUALITY = 0.7
# A click whose object is that much smaller than the best window, or larger, is asked
# once more in the window that fits the mask: side of the window over that of the mask.
_FITTING_RATIO = (3.0, 20.0)
# Quality and size in the network from which the largest window gives a clear answer.
_CLEAR_QUALITY, _CLEAR_NETWORK_PIXELS = 0.78, 16.0
# Prompts between two steps: a second on a CPU. A multiple of the decoder's own batches,
# so that masks do not depend on it.
DECODED_AT_ONCE = 32
_NO_HINTS = ZoomHints()


@dataclass(frozen=True, slots=True, eq=False)
class ZoomedAnswer:
    """The answer to a prompt, and where it was looked for.

    Parameters
    ----------
    prediction : Prediction
        The best answer; its `window` is where it was found.
    windows : tuple of Window or None
        All windows that were asked, in order; asking them again gives the same answer.
    """

    prediction: Prediction
    windows: Windows


@dataclass(frozen=True, slots=True, eq=False)
class ZoomedPlane:
    """A plane whose windows are encoded when a prompt needs them.

    Parameters
    ----------
    grid : WindowGrid
        The windows of the plane.
    embed : callable
        Encodes a window; the whole plane for None.
    decode : callable
        Takes an embedding and prompts; returns one prediction for each.
    zoom : "auto", "off" or float
        See `choose_windows`.
    hints : ZoomHints, optional
        What is known about objects of clicks.
    size : {"small", "medium", "large"}, optional
        Which of several alternatives to use; the best one when None.
    corrects : bool
        Whether each further point only changes the mask of the points before it, see
        `correct`; otherwise the model answers all points at once.
    """

    grid: WindowGrid
    embed: Embed
    decode: Decode
    zoom: Zoom
    hints: ZoomHints = _NO_HINTS
    size: Size | None = None
    corrects: bool = False

    def answer(
        self,
        prompts: Sequence[Prompt],
        start: Mapping[int, Windows] | None = None,
        *,
        repeat: bool = False,
    ) -> Steps:
        """Answer prompts, one object each.

        Parameters
        ----------
        prompts : sequence of Prompt
            In pixels of the plane.
        start : mapping, optional
            {number of a prompt: windows to ask instead of a choice}.
        repeat : bool
            Ask no other windows than those of `start`, to repeat an earlier answer.

        Yields
        ------
        ZoomStep
            What comes next; stop iterating to cancel.

        Returns
        -------
        list of ZoomedAnswer
            One for each prompt.
        """
        given = start or {}
        steps = [
            correction_steps(prompt) if self.corrects else [prompt]
            for prompt in prompts
        ]
        firsts = [step[0] for step in steps]
        answers = yield from self._answer_first(firsts, given, repeat=repeat)
        for i, further in enumerate(steps):
            if len(further) > 1:
                answers[i] = yield from self._correct(further, answers[i], repeat)
        return answers

    def _correct(
        self, steps: Sequence[Prompt], first: ZoomedAnswer, repeat: bool
    ) -> Generator[ZoomStep, None, ZoomedAnswer]:
        """Correct the answer to the first step by the others.

        All steps ask the same windows, as far as these hold their points, so that
        asking them again gives the same answer.
        """
        windows, best = first.windows, first.prediction
        for attempt in range(_MAX_GROWTH):
            if attempt:  # the first step may have a better answer in the new windows
                best = self._best((yield from self._ask_one(steps[0], windows)))
            for prompt in steps[1:]:
                answers = yield from self._ask_one(prompt, windows)
                if answers:
                    best = self._corrected(best, answers, prompt)
            more = () if repeat else self._more_for(steps[-1], best, windows)
            if not more:
                break
            windows = (*windows, *more)
        return ZoomedAnswer(best, windows)

    def _ask_one(
        self, prompt: Prompt, windows: Windows
    ) -> Generator[ZoomStep, None, dict[Window | None, Prediction]]:
        """Ask those of the windows that hold what is on the object."""
        asked: list[dict[Window | None, Prediction]] = [{}]
        yield from self._ask([prompt], {0: self._holding(prompt, windows)}, asked)
        return asked[0]

    def _corrected(
        self,
        previous: Prediction,
        answers: Mapping[Window | None, Prediction],
        prompt: Prompt,
    ) -> Prediction:
        """Return the best correction of a mask by any of the answers."""
        pooled = self._best(answers).candidates
        groups = (with_candidates(answer) for answer in answers.values())
        everything = [candidate for group in groups for candidate in group]
        best = best_correction(previous, everything, prompt)
        others = [c for c in pooled if not is_same(c, best)]
        candidates = (replace(best, candidates=()), *others[: MAX_ANSWERS - 1])
        return select_alternative(replace(best, candidates=candidates), self.size)

    def _more_for(self, prompt: Prompt, best: Prediction, windows: Windows) -> Windows:
        """Return a further window if none holds the points, or one cuts the mask."""
        more: Windows = ()
        if not self._holding(prompt, windows):
            more = choose_windows(prompt, self.grid, self.zoom, self.hints)
        elif self._is_cut(best):
            more = self._larger(prompt, best, dict.fromkeys(windows))
        return tuple(window for window in more if window not in windows)

    def _holding(self, prompt: Prompt, windows: Windows) -> Windows:
        """Return the windows that hold what is on the object."""
        points = _on_object(prompt)
        return tuple(w for w in windows if w is None or w.holds(points).all())

    def _answer_first(
        self, prompts: Sequence[Prompt], given: Mapping[int, Windows], *, repeat: bool
    ) -> Steps:
        """Answer prompts in windows that fit, without corrections."""
        asked: list[dict[Window | None, Prediction]] = [{} for _ in prompts]
        todo = {
            i: self._holding(prompt, given.get(i, ()))
            or choose_windows(prompt, self.grid, self.zoom, self.hints)
            for i, prompt in enumerate(prompts)
        }
        smaller = self._postpone(prompts, todo, given)
        others = _points_on_others(prompts)
        for number in range(3 + _MAX_GROWTH):
            yield from self._ask(prompts, todo, asked)
            if repeat or self.zoom == "off":
                break
            is_last = number > 1 + _MAX_GROWTH
            apart = list(map(without_others, asked, others))
            more = {} if is_last else self._more_windows(prompts, apart, given, smaller)
            todo = {
                i: new
                for i, windows in more.items()
                if (new := tuple(w for w in windows if w not in asked[i]))
            }
            smaller = {}
            if not todo:
                break
        return [
            ZoomedAnswer(self._best(without_others(answers, points)), tuple(answers))
            for answers, points in zip(asked, others, strict=True)
        ]

    def _postpone(
        self,
        prompts: Sequence[Prompt],
        todo: dict[int, Windows],
        given: Mapping[int, Windows],
    ) -> dict[int, Windows]:
        """Take the smaller windows of clicks out of `todo`, and return them.

        They are asked only if the largest one gives no clear answer, which saves many
        encodings for large objects. A viewer shows alternatives of other scales, and
        has most windows of a large plane encoded ahead.
        """
        smaller = {}
        if self.zoom == "auto" and self.hints.object_size is None:
            for i, windows in todo.items():
                is_click = prompts[i].kinds == {"point"} and i not in given
                is_small_plane = len(windows) == 2 and windows[-1] is None
                if is_click and (self.hints.visible is None or is_small_plane):
                    todo[i], smaller[i] = windows[-1:], windows[:-1]
        return smaller

    def _ask(
        self,
        prompts: Sequence[Prompt],
        todo: Mapping[int, Windows],
        asked: list[dict[Window | None, Prediction]],
    ) -> Generator[ZoomStep, None, None]:
        """Encode each window once, and decode all prompts that want it."""
        by_window: dict[Window | None, list[int]] = {}
        for i, windows in todo.items():
            for window in windows:
                by_window.setdefault(window, []).append(i)
        done, total = 0, sum(map(len, by_window.values()))
        for window, members in by_window.items():
            yield ZoomStep("encode", window, done, total)
            embedding = self.embed(window)
            for first in range(0, len(members), DECODED_AT_ONCE):
                yield ZoomStep("decode", window, done, total)
                batch = members[first : first + DECODED_AT_ONCE]
                nearby = [_nearby(prompts[i], window) for i in batch]
                predictions = self.decode(embedding, nearby)
                for i, prediction in zip(batch, predictions, strict=True):
                    asked[i][window] = prediction
                done += len(batch)

    def _more_windows(
        self,
        prompts: Sequence[Prompt],
        asked: Sequence[Mapping[Window | None, Prediction]],
        given: Mapping[int, Windows],
        smaller: Mapping[int, Windows],
    ) -> dict[int, Windows]:
        """Return further windows for answers that are cut off or poor."""
        more: dict[int, Windows] = {}
        for i, (prompt, answers) in enumerate(zip(prompts, asked, strict=True)):
            best = self._best(answers)
            windows: Windows = ()
            if i in smaller:
                is_clear = _is_clear(best) and not self._is_cut(best)
                windows = () if is_clear else smaller[i]
            elif self._is_cut(best):
                windows = self._larger(prompt, best, answers)
            elif prompt.kinds == {"point"} and i not in given and self.zoom == "auto":
                windows = self._fitting(prompt, best)
            new = tuple(window for window in windows if window not in answers)
            if new:
                more[i] = new
        return more

    def _fitting(self, prompt: Prompt, best: Prediction) -> Windows:
        """Return windows for an object of another size than was tried."""
        if self.hints.object_size is not None and quality(best) < _MIN_QUALITY:
            others = replace(self.hints, object_size=None)
            return choose_windows(prompt, self.grid, self.zoom, others)
        box = best.coarse_box
        if box is None:
            return ()
        size = float((box[2:] - box[:2]).max()) + 1
        low, high = _FITTING_RATIO
        fits = low <= max(best.transform.shape) / size <= high
        side = self.grid.side_for_click(size)
        if fits and side != self.grid.smallest_for_clicks:
            return ()
        return (self._around(prompt, best, side),)

    def _larger(
        self,
        prompt: Prompt,
        best: Prediction,
        answers: Mapping[Window | None, Any],
    ) -> Windows:
        """Return a window of the next size around a mask that is cut off."""
        largest = max((w.side for w in answers if w is not None), default=0)
        if None in answers:
            return ()
        side = self.grid.at_least(largest + 1)
        return (self._around(prompt, best, side),)

    def _around(
        self, prompt: Prompt, best: Prediction, side: int | None
    ) -> Window | None:
        """Return the window around a mask and its prompt."""
        corners = [_on_object(prompt)]
        if best.coarse_box is not None:
            corners.append(best.coarse_box.reshape(2, 2))
        on_object = np.concatenate(corners)
        low, high = on_object.min(axis=0), on_object.max(axis=0)
        return self.grid.around_object(low, high, side)

    def _best(self, answers: Mapping[Window | None, Prediction]) -> Prediction:
        return best_answer(answers, self.grid.plane_shape, self.size)

    def _is_cut(self, prediction: Prediction) -> bool:
        return is_cut(prediction, self.grid.plane_shape)


def _on_object(prompt: Prompt) -> NDArray[np.float64]:
    """Points on the object and corners of its box, (N, 2)."""
    if prompt.box is None:
        return prompt.positives
    return np.concatenate([prompt.positives, prompt.box.reshape(2, 2)])


def _points_on_others(prompts: Sequence[Prompt]) -> list[NDArray[np.float64]]:
    """Return for each click the points on all other objects; nothing for boxes."""
    points = [prompt.positives for prompt in prompts]
    return [
        np.concatenate([np.empty((0, 2)), *points[:i], *points[i + 1 :]])
        if prompt.kinds == {"point"}
        else np.empty((0, 2))
        for i, prompt in enumerate(prompts)
    ]


def _is_clear(prediction: Prediction) -> bool:
    """Tell whether an answer in the largest window needs no other windows."""
    box = prediction.coarse_box
    if box is None:
        return False
    side = float(((box[2:] - box[:2]).max() + 1) * prediction.transform.scale.max())
    return quality(prediction) >= _CLEAR_QUALITY and side >= _CLEAR_NETWORK_PIXELS


def _nearby(prompt: Prompt, window: Window | None) -> Prompt:
    """Drop points on the background outside a window: they say nothing about it."""
    if window is None or prompt.points is None:
        return prompt
    inside = window.holds(prompt.points)
    if inside.all():
        return prompt
    points: Any = prompt.points[inside] if inside.any() else None
    labels: Any = prompt.labels[inside] if inside.any() else None
    return replace(prompt, points=points, labels=labels)
