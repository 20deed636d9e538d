"""Fixtures: a model that segments bright pixels, and a stack with two balls."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam.plugin.session import SamSession
from tests.helpers.leaks import active, leftovers, windows
from tests.helpers.models import BrightPredictor


@pytest.fixture
def bright() -> BrightPredictor:
    return BrightPredictor()


@pytest.fixture
def stack() -> np.ndarray:
    """Two bright balls around (4, 15, 20) and (4, 28, 38) in a (9, 40, 50) stack."""
    z, y, x = np.indices((9, 40, 50))
    first = (2 * (z - 4)) ** 2 + (y - 15) ** 2 + (x - 20) ** 2 < 49
    second = (2 * (z - 4)) ** 2 + (y - 28) ** 2 + (x - 38) ** 2 < 25
    return np.where(first | second, 200, 20).astype(np.uint8)


@pytest.fixture
def session(bright: BrightPredictor, stack: np.ndarray) -> SamSession:
    """A session on the middle slice of the balls, with new prompt layers."""
    viewer = ViewerModel()
    viewer.add_image(stack, name="balls", scale=(2, 1, 1), contrast_limits=(0, 255))
    viewer.dims.set_current_step(0, 4)
    session = SamSession(viewer, bright)
    session.new_prompt_layers()
    return session


@pytest.fixture
def leaks_allowed(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Function that lets a test leave a panel behind."""

    def allow() -> None:
        request.node.leaks_allowed = True

    return allow


@pytest.fixture(autouse=True)
def no_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a window, thread, timer, key or callback behind.

    A failed test leaves its objects in the traceback.
    """
    failed, known = request.session.testsfailed, windows()
    yield
    uses_qt = hasattr(request.module, "SamWidget") or "qtbot" in request.fixturenames
    allowed = getattr(request.node, "leaks_allowed", False)
    if uses_qt and not allowed and request.session.testsfailed == failed:
        assert active(known) == []


@pytest.fixture
def nothing_from_before() -> None:
    """Delete what earlier tests left to the garbage collector.

    The fixture of napari that makes viewers holds all windows that are there: use this
    one before it, as a mark of the module.
    """
    leftovers()
