"""The pending result: objects that were segmented and not committed yet."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from napari_sam.plugin.layers.displayed_stack import go_to_slice
from napari_sam.plugin.layers.transforms import displayed_plane
from napari_sam.prediction.click_sequence import (
    SIZES,
    Size,
    alternative_size,
)
from napari_sam.volume.results import DOUBTFUL, next_doubtful, slice_states

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from napari.components import Dims
    from napari.layers import Image

    from napari_sam.automatic.candidates import Candidates, Thresholds
    from napari_sam.images.stack import Stack
    from napari_sam.images.window import Window
    from napari_sam.plugin.state.layer_request import LayerRequest
    from napari_sam.requests.base import SegmentationResult
    from napari_sam.volume.results import Status

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Job(Generic[T]):
    """Work that is computed on any thread and applied on the main thread.

    Parameters
    ----------
    compute : callable
        Returns the outcome; touches no layer.
    apply : callable
        Takes the outcome.
    """

    compute: Callable[[], T]
    apply: Callable[[T], object]

    def run(self) -> None:
        """Compute and apply."""
        self.apply(self.compute())


@dataclass(frozen=True, eq=False)
class PendingResult:
    """A request and its result, until they are committed or discarded.

    Parameters
    ----------
    request : LayerRequest
        With the layers that it was built from.
    result : SegmentationResult
        The objects.
    """

    request: LayerRequest
    result: SegmentationResult

    @property
    def image(self) -> Image:
        """The image that was segmented."""
        return self.request.image

    @property
    def stack(self) -> Stack | None:
        """The stack that the objects were propagated through; None for a plane."""
        return None if self.result.volume is None else self.result.volume.stack

    @property
    def is_automatic(self) -> bool:
        """Whether the objects are those of an automatic segmentation."""
        return self.request.request.is_automatic

    @property
    def is_plane(self) -> bool:
        """Whether the objects were segmented from the prompts on one plane."""
        return self.request.request.can_change_size

    @property
    def windows(self) -> list[Window]:
        """The parts of the plane in which its objects were found, each once.

        Objects that were found on the whole plane have none.
        """
        windows = (prediction.window for prediction in self.result.predictions)
        return [window for window in dict.fromkeys(windows) if window is not None]

    def with_options(self, options: Mapping[str, Any]) -> LayerRequest | None:
        """Return the request with other options; None if it has these already.

        Parameters
        ----------
        options : mapping
            {field of the request: value}. Fields that it lacks are ignored.
        """
        request = self.request.request
        names = {field.name for field in fields(request)}
        changed: dict[str, Any] = {
            name: value
            for name, value in options.items()
            if name in names and getattr(request, name) != value
        }
        if not changed:
            return None
        return replace(self.request, request=replace(request, **changed))

    # -- objects of an automatic segmentation ----------------------------------

    @property
    def pickable(self) -> Candidates | None:
        """The candidates among which objects can be picked; None without any."""
        found = self.result.candidates
        is_plane = self.is_automatic and self.request.request.stack is None
        return found[0] if is_plane and len(found) == 1 and found[0].members else None

    def toggle(self, thresholds: Thresholds, position: Sequence[float]) -> Thresholds:
        """Return thresholds that also drop or add the object at a position.

        Parameters
        ----------
        thresholds : Thresholds
            Those that selected the objects.
        position : sequence of float
            In pixels of the image.
        """
        candidates, index = self.pickable, self.request.request.plane_index
        is_here = all(
            isinstance(part, slice) or part == round(at)
            for part, at in zip(index, position, strict=True)
        )
        if candidates is None or not is_here:
            return thresholds
        places = zip(index, position, strict=True)
        row, col = (float(at) for part, at in places if isinstance(part, slice))
        return candidates.toggle(thresholds, (row, col))

    # -- alternatives of a plane ----------------------------------------------

    @property
    def has_alternatives(self) -> bool:
        """Whether the model gave several masks for any of the objects."""
        return any(len(p.candidates) > 1 for p in self.result.predictions)

    @property
    def is_of_several_scales(self) -> bool:
        """Whether the alternatives of any object come from several windows."""
        return any(
            len({candidate.window for candidate in prediction.candidates}) > 1
            for prediction in self.result.predictions
        )

    @property
    def displayed_alternative(self) -> tuple[Size, int] | None:
        """Size of the displayed masks and the number of alternatives, if several."""
        for prediction in self.result.predictions:
            size = alternative_size(prediction)
            if size is not None:
                return size, len(prediction.candidates)
        return None

    def next_alternative(self) -> tuple[PendingResult, Size]:
        """Return the next larger masks and their size; after the largest the smallest.

        Raises
        ------
        ValueError
            When the model gave one mask only for each object.
        """
        displayed = self.displayed_alternative
        if displayed is None:
            raise ValueError("The model found no alternative masks for this object.")
        size, count = displayed
        sizes = SIZES if count > 2 else ("small", "large")
        following = sizes.index(size) + 1 if size in sizes else 0
        wanted = sizes[following % len(sizes)]
        request = replace(self.request.request, size=wanted)
        changed = replace(self.request, request=request)
        return PendingResult(changed, request.refinish(self.result)), wanted

    # -- slices of a stack ----------------------------------------------------

    @cached_property
    def states(self) -> Mapping[int, Status]:
        """{slice: state of its most doubtful object} of a stack."""
        volume = self.result.volume
        return {} if volume is None else slice_states(volume)

    @property
    def doubtful(self) -> list[int]:
        """The slices of the stack that should be checked."""
        return sorted(i for i, state in self.states.items() if state in DOUBTFUL)

    def displayed_slice(self, dims: Dims) -> int | None:
        """Return the slice of the stack that is displayed, if one is."""
        if self.stack is None:
            return None
        try:
            return displayed_plane(self.image, dims).index.get(self.stack.axis)
        except ValueError:  # a 3D view, or a slider outside the image
            return None

    def go_to(self, dims: Dims, index: int) -> None:
        """Display a slice of the stack."""
        if self.stack is not None:
            go_to_slice(dims, self.image, self.stack.axis, index)

    def next_doubtful(self, dims: Dims) -> int | None:
        """Return the next doubtful slice after the displayed one; None without any."""
        current = self.displayed_slice(dims)
        return next_doubtful(self.states, -1 if current is None else current)
