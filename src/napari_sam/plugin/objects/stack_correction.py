"""Outlines of corrections that are drawn on slices of a pending stack."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from napari_sam.plugin.state.layer_request import LayerRequest
from napari_sam.plugin.state.pending_result import PendingResult
from napari_sam.plugin.state.request_builder import stack_request
from napari_sam.requests.plane import PlaneRequest
from napari_sam.volume.stack_prompts import is_end, prompted_slices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_sam.images.axes import PlaneIndex
    from napari_sam.masks.painting import ObjectPlaneMask
    from napari_sam.plugin.state.request_builder import RequestBuilder
    from napari_sam.plugin.state.settings import SessionSettings
    from napari_sam.prompts.prompt import Prompt
    from napari_sam.requests.base import SegmentationResult
    from napari_sam.requests.stack import StackRequest


@dataclass(frozen=True, slots=True, eq=False)
class CorrectionRequest(LayerRequest):
    """A request for corrected objects on one slice of a stack.

    Parameters
    ----------
    corrected : PendingResult
        The stack.
    slice_index : int
        The slice.
    """

    corrected: PendingResult | None = None
    slice_index: int = 0


class StackCorrection:
    """The corrected objects of a pending stack, until it is segmented again.

    Parameters
    ----------
    settings : SessionSettings
        Options of the propagation.
    builder : RequestBuilder
        Reads the prompts.
    """

    def __init__(self, settings: SessionSettings, builder: RequestBuilder) -> None:
        self._settings, self._builder = settings, builder
        self._pending: PendingResult | None = None
        self._outlines: dict[int, PendingResult] = {}
        self._ended: dict[int, set[int]] = {}

    def slices(self, pending: PendingResult) -> list[int]:
        """Return the slices of a stack that have corrected outlines."""
        if self._pending is not pending:
            return []
        return sorted({*self._outlines, *self._ended})

    def request(self, pending: PendingResult) -> CorrectionRequest | None:
        """Build the request for new prompts on the displayed slice of a stack.

        Returns
        -------
        CorrectionRequest or None
            None when nothing is new, or the prompts cannot be used: the next
            segmentation of the stack says why.
        """
        if pending.stack is None or pending.is_automatic:
            return None
        if self._pending is not pending:
            self._pending, self._outlines, self._ended = pending, {}, {}
        try:
            snapshot = self._builder.snapshot()
            stack = stack_request(snapshot, self._settings.propagation, pending)
        except ValueError:
            return None
        if stack is None or not _is_same_stack(stack, pending):
            return None
        index = snapshot.plane.index[pending.stack.axis]
        changed = _changed_prompts(stack, pending, index)
        ended = {o for o, prompt in changed.items() if is_end(prompt)}
        self._ended.pop(index, None)
        if ended:
            self._ended[index] = ended
        shown = {o: prompt for o, prompt in changed.items() if o not in ended}
        if not shown:
            self._outlines.pop(index, None)
            return None
        plane_index = pending.stack.plane_index(index)
        request = CorrectionRequest(
            PlaneRequest(
                snapshot.view,
                plane_index,
                shown,
                cleanup=snapshot.cleanup,
                zoom=snapshot.zoom,
                hints=snapshot.hints,
            ),
            replace(snapshot, prompts=snapshot.prompts_at(snapshot.plane.index)),
            corrected=pending,
            slice_index=index,
        )
        before = self._outlines.get(index)
        is_known = before is not None and before.request.same_request(request)
        return None if is_known else request

    def take(self, request: CorrectionRequest, result: SegmentationResult) -> None:
        """Show the result of a request, unless its stack is pending no more."""
        if request.corrected is self._pending:
            self._outlines[request.slice_index] = PendingResult(request, result)

    def pieces(
        self, pending: PendingResult, plane_index: PlaneIndex
    ) -> Sequence[ObjectPlaneMask]:
        """Return the objects of a stack on a plane, with the corrected ones."""
        stack, pieces = pending.stack, pending.result.pieces
        if stack is None or self._pending is not pending:
            return pieces
        for index in self.slices(pending):
            if stack.plane_index(index) != plane_index:
                continue
            outlines = self._outlines.get(index)
            replaced = set(self._ended.get(index, ()))
            if outlines is not None:
                replaced |= set(outlines.request.request.prompts)
            kept = [piece for piece in pieces if piece.object_id not in replaced]
            return kept if outlines is None else [*kept, *outlines.result.pieces]
        return pieces


def _is_same_stack(request: LayerRequest, pending: PendingResult) -> bool:
    one, other = request.request.stack, pending.stack
    if one is None or other is None or request.image != pending.image:
        return False
    return (one.axis, one.fixed) == (other.axis, other.fixed)


def _changed_prompts(
    request: LayerRequest, pending: PendingResult, index: int
) -> dict[int, Prompt]:
    """Return the prompts on a slice that the pending stack was not made from."""
    prompts = cast("StackRequest", request.request).prompts
    assert pending.result.volume is not None
    before = pending.result.volume.prompted
    now = prompted_slices(prompts, {})
    return {
        object_id: slices[index]
        for object_id, slices in prompts.items()
        if index in slices
        and not (
            object_id in before and now[object_id].same_on(before[object_id], index)
        )
    }
