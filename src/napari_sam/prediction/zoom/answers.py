"""Answers of a model in several windows of a plane, and the best of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from napari_sam.masks.patch import mask_iou, patch_iou, stability
from napari_sam.prediction.click_sequence import select_alternative
from napari_sam.prediction.zoom.choice import choose_windows
from napari_sam.prediction.zoom.options import ZoomHints

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
    Steps = Generator["ZoomStep", None, list["ZoomedAnswer"]]
    Windows = tuple[Window | None, ...]

# A mask that its window cuts is asked again in a larger one, this many times.
_MAX_GROWTH = 4
# When no answer for an object of expected size reaches this quality, the object is of
# another size: right answers have about 0.8, those in wrong windows 0.6.
_MIN_QUALITY = 0.7
# A click whose object is that much smaller than the best window, or larger, is asked
# once more in the window that fits the mask: side of the window over that of the mask.
_FITTING_RATIO, _IDEAL_RATIO = (3.0, 20.0), 9.0
# Of windows that agree on an object, the one that fits it best has the finest outline,
# unless its quality is clearly lower.
_SAME_OBJECT_IOU, _ALMOST_AS_GOOD = 0.75, 0.85
# Quality and size in the network from which the largest window gives a clear answer.
_CLEAR_QUALITY, _CLEAR_NETWORK_PIXELS = 0.78, 16.0
# As many alternatives as one window gives; masks above this IoU are the same.
_MAX_CANDIDATES, _SAME_MASK_IOU = 3, 0.8
_NO_HINTS = ZoomHints()


class ZoomStep(NamedTuple):
    """A step of an answer: encode a window, or decode prompts in it."""

    what: Literal["encode", "decode"]
    window: Window | None


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
    """

    grid: WindowGrid
    embed: Embed
    decode: Decode
    zoom: Zoom
    hints: ZoomHints = _NO_HINTS
    size: Size | None = None

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
        asked: list[dict[Window | None, Prediction]] = [{} for _ in prompts]
        given = start or {}
        todo = {
            i: self._held(prompt, given.get(i, ()))
            or choose_windows(prompt, self.grid, self.zoom, self.hints)
            for i, prompt in enumerate(prompts)
        }
        smaller = self._postpone(prompts, todo, given)
        for number in range(3 + _MAX_GROWTH):
            yield from self._ask(prompts, todo, asked)
            if repeat or self.zoom == "off":
                break
            is_last = number > 1 + _MAX_GROWTH
            todo = {} if is_last else self._more_windows(prompts, asked, given, smaller)
            smaller = {}
            if not todo:
                break
        return [ZoomedAnswer(self._best(answers), tuple(answers)) for answers in asked]

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
        for window, members in by_window.items():
            yield ZoomStep("encode", window)
            embedding = self.embed(window)
            yield ZoomStep("decode", window)
            nearby = [_nearby(prompts[i], window) for i in members]
            predictions = self.decode(embedding, nearby)
            for i, prediction in zip(members, predictions, strict=True):
                asked[i][window] = prediction

    def _held(self, prompt: Prompt, windows: Windows) -> Windows:
        """Return the windows if they hold what is on the object, else none."""
        points = _on_object(prompt)
        fits = all(w is None or w.holds(points).all() for w in windows)
        return windows if fits else ()

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
        answers: Mapping[Window | None, Prediction],
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

    def _is_cut(self, prediction: Prediction) -> bool:
        window, box = prediction.window, prediction.coarse_box
        if window is None or box is None:
            return False
        return window.cuts(box, self.grid.plane_shape)

    def _best(self, answers: Mapping[Window | None, Prediction]) -> Prediction:
        """Pool the answers of all windows; the best one first among its candidates.

        Answers that their window cuts count only if all are cut; then those of the
        largest window.
        """
        predictions = list(answers.values())
        if len(predictions) == 1:
            return predictions[0]
        pooled = [_with_candidates(prediction) for prediction in predictions]
        whole = [[c for c in group if not self._is_cut(c)] for group in pooled]
        groups = [group for group in whole if group]
        if not groups:
            return max(predictions, key=lambda p: p.window.side if p.window else np.inf)
        groups = [sorted(group, key=quality, reverse=True) for group in groups]
        groups.sort(key=lambda group: -quality(group[0]))
        groups = _best_fit_first(groups)
        # The best of each window before the second best of any.
        firsts, others = [g[0] for g in groups], [c for g in groups for c in g[1:]]
        kept: list[Prediction] = []
        for candidate in [*firsts, *sorted(others, key=quality, reverse=True)]:
            if not any(_is_same(candidate, other) for other in kept):
                kept.append(replace(candidate, candidates=()))
        candidates = tuple(kept[:_MAX_CANDIDATES])
        return select_alternative(
            replace(candidates[0], candidates=candidates), self.size
        )


def _on_object(prompt: Prompt) -> NDArray[np.float64]:
    """Points on the object and corners of its box, (N, 2)."""
    if prompt.box is None:
        return prompt.positives
    return np.concatenate([prompt.positives, prompt.box.reshape(2, 2)])


def _with_candidates(prediction: Prediction) -> Sequence[Prediction]:
    return prediction.candidates or (prediction,)


def _is_clear(prediction: Prediction) -> bool:
    """Tell whether an answer in the largest window needs no other windows."""
    box = prediction.coarse_box
    if box is None:
        return False
    side = float(((box[2:] - box[:2]).max() + 1) * prediction.transform.scale.max())
    return quality(prediction) >= _CLEAR_QUALITY and side >= _CLEAR_NETWORK_PIXELS


def _best_fit_first(groups: list[list[Prediction]]) -> list[list[Prediction]]:
    """Of windows whose best masks are the same object, put the best-fitting one first.

    Parameters
    ----------
    groups : list of list of Prediction
        Answers of each window, best first.
    """
    best = groups[0][0]
    same = [
        group
        for group in groups
        if group[0] is best
        or (
            quality(group[0]) >= _ALMOST_AS_GOOD * quality(best)
            and _is_same(group[0], best, _SAME_OBJECT_IOU)
        )
    ]
    first = min(same, key=lambda group: _misfit(group[0]))
    return [first, *(group for group in groups if group is not first)]


def _misfit(prediction: Prediction) -> float:
    """Compare the ratio of window and mask with the ideal one; 0 for that."""
    box = prediction.coarse_box
    if box is None:
        return np.inf
    size = float((box[2:] - box[:2]).max()) + 1
    return abs(float(np.log(max(prediction.transform.shape) / size / _IDEAL_RATIO)))


def _is_same(
    one: Prediction, other: Prediction, min_iou: float = _SAME_MASK_IOU
) -> bool:
    """Tell whether two masks are the same answer to the user."""
    # Patches may be as large as the plane: they are the last resort.
    areas = sorted((one.coarse_area, other.coarse_area))
    if areas[0] < min_iou * areas[1]:
        return False
    if one.window == other.window:
        rows, cols = one.transform.mask_shape
        masks = [p.logits[:rows, :cols] > 0 for p in (one, other)]
        return mask_iou(masks[0], masks[1]) >= min_iou
    return patch_iou(one.patch, other.patch) >= min_iou


def quality(prediction: Prediction) -> float:
    """Compute predicted IoU times stability, by which answers are compared."""
    if prediction.coarse_box is None:
        return 0.0
    rows, cols = prediction.transform.mask_shape  # the rest is padding
    return prediction.score * float(stability(prediction.logits[:rows, :cols]))


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


def run_to_end(steps: Steps) -> list[ZoomedAnswer]:
    """Answer prompts without a look at the windows on the way."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            answers: list[ZoomedAnswer] = stop.value
            return answers
