"""What a session knows about the zoom: sizes of accepted objects, and their windows."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from weakref import ref

if TYPE_CHECKING:
    from collections.abc import Mapping

    from napari.layers import Image, Labels

    from napari_sam.masks.painting import ObjectPlaneMask
    from napari_sam.plugin.state.layer_request import LayerRequest
    from napari_sam.plugin.state.pending_result import PendingResult
    from napari_sam.prediction.zoom.answers import Windows
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.requests.plane import PlaneRequest

# The next object is expected to be as large as the last ones.
_COUNTED = 5
# Kept for all layers together.
_MAX_KEPT = 200


class _Accepted(NamedTuple):
    image: ref[Image]
    labels: ref[Labels]
    size: float


class AcceptedSizes:
    """Sizes of the objects that were accepted from prompts on a plane."""

    def __init__(self) -> None:
        self._objects: deque[_Accepted] = deque(maxlen=_MAX_KEPT)

    def add(self, accepted: PendingResult, labels: Labels) -> None:
        """Remember the objects of a commit; those of stacks do not count."""
        if accepted.is_plane:
            self._objects.extend(
                _Accepted(ref(accepted.image), ref(labels), _longer_side(piece))
                for piece in accepted.result.pieces
            )

    def typical(self, image: Image, labels: Labels | None) -> float | None:
        """Return the median size of the last objects in a labels layer, if any.

        It is the longer side in pixels of the image.
        """
        if labels is None:
            return None
        sizes = [
            accepted.size
            for accepted in self._objects
            if accepted.image() is image and accepted.labels() is labels
        ]
        return median(sizes[-_COUNTED:]) if sizes else None


def _longer_side(piece: ObjectPlaneMask) -> float:
    return float(max(part.stop - part.start for part in piece.region))


def windows_to_keep(
    request: LayerRequest,
    pending: PendingResult | None,
    restored: LayerRequest | None,
) -> Mapping[int, Windows]:
    """Return the windows of earlier objects that a request goes on with.

    An object with the same box, or else the same first point on it, is the same.

    Parameters
    ----------
    request : LayerRequest
        A request for a plane.
    pending : PendingResult or None
        Its objects stay in the windows that were asked.
    restored : LayerRequest or None
        A request that was accepted and brought back, to be made again.

    Returns
    -------
    mapping
        {object id of the request: windows}.
    """
    windows: dict[tuple[Any, ...] | None, Windows] = {}
    if pending is not None and _continues(request, pending.request):
        # All windows that were asked, not only that of the answer: they are encoded,
        # and a second click may show that another scale was meant.
        for object_id, prompt in pending.request.request.prompts.items():
            asked = pending.result.windows.get(object_id, ())
            windows[_first_prompt(prompt)] = asked
    elif restored is not None and _continues(request, restored):
        before = cast("PlaneRequest", restored.request)
        for object_id, prompt in before.prompts.items():
            windows[_first_prompt(prompt)] = before.windows.get(object_id, ())
    firsts = {o: _first_prompt(p) for o, p in request.request.prompts.items()}
    return {o: windows[f] for o, f in firsts.items() if f and windows.get(f)}


def _continues(request: LayerRequest, before: LayerRequest) -> bool:
    """Whether an earlier request is of the same plane, model and zoom."""
    if not before.request.can_change_size:
        return False
    new, old = request.snapshot, before.snapshot
    return (
        new.image is old.image
        and new.model == old.model
        and new.zoom == old.zoom
        and request.request.plane_index == before.request.plane_index
    )


def _first_prompt(prompt: Prompt) -> tuple[Any, ...] | None:
    """Return a key of the box, else of the first point on the object."""
    if prompt.box is not None:
        return "box", *prompt.box.tolist()
    if len(prompt.positives):
        return "point", *prompt.positives[0].tolist()
    return None
