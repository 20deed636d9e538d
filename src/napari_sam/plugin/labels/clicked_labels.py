"""Labels under the open points on objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from napari_sam.images.axes import nearest
from napari_sam.plugin.layers.transforms import Sliders, to_image_data
from napari_sam.prompts.prompt import POSITIVE

if TYPE_CHECKING:
    from napari.layers import Labels
    from numpy.typing import NDArray

    from napari_sam.masks.label_tiles import Region
    from napari_sam.plugin.layers.prompt_reader import LayerPrompt
    from napari_sam.plugin.objects.current_object import CurrentObject
    from napari_sam.plugin.state.settings import SessionSettings


@dataclass(frozen=True, slots=True, eq=False)
class ClickedLabels:
    """The open points on objects, and the labels that they lie on.

    Parameters
    ----------
    prompts : list of LayerPrompt
        The points.
    points : ndarray
        (N, n) their pixels in the labels layer.
    labels : list of int
        The label at each; 0 on the background and outside the layer.
    """

    prompts: list[LayerPrompt]
    points: NDArray[np.intp]
    labels: list[int]

    @classmethod
    def read(
        cls, layer: Labels, settings: SessionSettings, current: CurrentObject
    ) -> Self:
        """Read the points, on the main thread."""
        sliders = Sliders.of(settings.viewer.dims)
        prompts = [p for p in current.note_prompts() if _is_click(p)]
        points = np.empty((len(prompts), layer.ndim), np.intp)
        labels = []
        for i, prompt in enumerate(prompts):
            vertices = to_image_data(prompt.layer, layer, sliders)(prompt.drawn)
            points[i] = nearest(vertices.mean(axis=0))
            inside = (points[i] >= 0).all() and (points[i] < layer.data.shape).all()
            labels.append(int(layer.data[tuple(points[i])]) if inside else 0)
        return cls(prompts, points, labels)

    def within(self, region: Region) -> Self:
        """Return the points in a plane or stack of the layer."""
        fixed = {a: i for a, i in enumerate(region) if not isinstance(i, slice)}
        kept = [
            i
            for i, point in enumerate(self.points)
            if all(point[axis] == index for axis, index in fixed.items())
        ]
        return type(self)(
            [self.prompts[i] for i in kept],
            self.points[kept],
            [self.labels[i] for i in kept],
        )

    def labels_to_merge(self) -> list[int]:
        """Return the labels in the order of the points.

        Raises
        ------
        ValueError
            When there are fewer than two, or a point is on the background.
        """
        labels = list(dict.fromkeys(self.labels))
        if len(labels) < 2 or 0 in labels:
            raise ValueError(
                "Click on each of the labels to merge with the tool 'Object point', "
                "then merge." + self._background_hint()
            )
        return labels

    def label_to_split(self) -> int:
        """Return the label of all points.

        Raises
        ------
        ValueError
            When there are fewer than two points, or they are not on one label.
        """
        labels = list(dict.fromkeys(self.labels))
        if len(self.labels) < 2 or len(labels) > 1 or 0 in labels:
            raise ValueError(
                "Click once on each part of one label with the tool 'Object point', "
                "then split." + self._background_hint()
            )
        return labels[0]

    def _background_hint(self) -> str:
        return " A point lies on the background: remove it." if 0 in self.labels else ""


def _is_click(prompt: LayerPrompt) -> bool:
    drawn = prompt.prompt
    is_point = drawn.box is None and drawn.points is not None
    return is_point and len(drawn.points) == 1 and drawn.labels[0] == POSITIVE
