"""Time between a prompt change and its request while an object is corrected.

The target is a Labels layer of 250 x 1024 x 1024 pixels. An object is committed,
brought back with 'Previous object', and its box is changed several times. Only the
plugin's work on the main thread is timed: reading the layers, checking the target,
choosing the label. Needs neither weights nor a display:

python -m benchmarks.speed.correction
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from napari.components import ViewerModel
from tests.helpers.models import BrightPredictor
from tests.helpers.sessions import corners

from napari_sam.plugin.session import SamSession

SHAPE = (250, 1024, 1024)
SLICE = 125
BOX = (400, 400, 600, 620)
AIM_MS = 50.0


def make_session(shape: tuple[int, ...]) -> SamSession:
    """Return a session with a bright square on the middle slice of a dark stack."""
    image = np.zeros(shape, np.uint8)
    image[shape[0] // 2, 410:590, 410:610] = 200
    viewer = ViewerModel()
    viewer.add_image(image, contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, shape[0] // 2)
    session = SamSession(viewer, BrightPredictor())
    session.labels_layer = viewer.add_labels(np.ones(shape, np.int32))
    session.labels_layer.data[:] = 0  # in memory, as after some work
    session.new_prompt_layers()
    return session


def timed_request(session: SamSession, grow: int) -> float:
    """Measure the milliseconds from a changed box to its request."""
    box = np.add(BOX, (-grow, -grow, grow, grow))
    assert session.shapes_layer is not None
    session.shapes_layer.data = [corners(box, session.viewer.dims.current_step[0])]
    started = time.perf_counter()
    request = session.live_request()
    seconds = time.perf_counter() - started
    assert request is not None
    return 1000 * seconds


def main() -> None:
    """Print the times of the first and of later prompt changes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--changes", type=int, default=5, help="later prompt changes")
    changes = parser.parse_args().changes
    session = make_session(SHAPE)
    print(f"labels of {' x '.join(map(str, SHAPE))}, aim below {AIM_MS:.0f} ms each")
    print(f"first object, before any commit: {timed_request(session, 0):.1f} ms")
    session.preview()
    label = session.commit()
    print(f"next object, after the commit:   {timed_request(session, 5):.1f} ms")
    session.discard()
    session.previous_object()
    first = timed_request(session, 1)
    later = [timed_request(session, grow) for grow in range(2, 2 + changes)]
    print(f"correction, first change:        {first:.1f} ms")
    print(f"correction, later changes:       {max(later):.1f} ms at most")
    session.preview()
    assert session.commit() == label


if __name__ == "__main__":
    main()
