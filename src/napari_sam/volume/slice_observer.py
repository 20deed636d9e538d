"""One slice of a sweep: all objects on it are segmented and judged together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_sam.volume.plane_encoder import SliceWindows
from napari_sam.volume.tracking.merging import disputed_box
from napari_sam.volume.tracking.observation import Observation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from napari_sam.images.window import Window
    from napari_sam.volume.plane_encoder import Place, PrefetchingPlaneEncoder
    from napari_sam.volume.slice_ranges import SliceRange
    from napari_sam.volume.slice_segmenter import SliceSegmenter
    from napari_sam.volume.tracking.object_tracker import ObjectTracker


def windows_ahead(trackers: Iterable[ObjectTracker]) -> list[Window | None]:
    """Return the windows of objects that follow where they are now."""
    return list(dict.fromkeys(t.window(None) for t in trackers if not t.ended))


def observe_slice(
    encoder: PrefetchingPlaneEncoder,
    segmenter: SliceSegmenter,
    index: int,
    trackers: Sequence[ObjectTracker],
    upward: Mapping[SliceRange, ObjectTracker],
    following: Sequence[Place],
) -> list[tuple[ObjectTracker, Observation]]:
    """Segment all objects on a plane; break ties with the upward sweep."""
    shape, kinds = encoder.stack.plane_shape, segmenter.prompt_kinds
    expected = {t.object_id: t.expect(index, shape, kinds) for t in trackers}
    places = {t.object_id: t.window(expected[t.object_id]) for t in trackers}
    planned = list(dict.fromkeys(places.values()))
    windows = SliceWindows(encoder, index, planned, following)
    if windows.show_nothing():
        return [(tracker, Observation.of_empty_slice(index)) for tracker in trackers]
    masks = segmenter.segment(windows, expected, places)
    observations, disputes, appearances = [], {}, {}
    for tracker in trackers:
        object_id = tracker.object_id
        observation = tracker.observe(index, masks[object_id], expected[object_id])
        observations.append((tracker, observation))
        if tracker.accepts(observation):
            segmenter.remember(object_id, index, observation.patch)
        other = upward.get(tracker.slice_range)
        earlier = None if other is None else other.accepted(index)
        box = None if earlier is None else disputed_box(earlier, observation)
        if box is not None:
            disputes[object_id], appearances[object_id] = box, observation.appearance
    places = {t.object_id: observation.window for t, observation in observations}
    tie_breaks = segmenter.break_ties(windows, disputes, places, appearances)
    return [
        (tracker, replace(observation, tie_break=tie_breaks.get(tracker.object_id)))
        for tracker, observation in observations
    ]
