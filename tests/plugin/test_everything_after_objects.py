"""Everything adds the objects that are missing, and leaves those that are there."""

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam import samples
from napari_sam.plugin.session import SamSession
from tests.helpers.sessions import corners, written

COINS, BY_HAND = 24, 5


@pytest.mark.weights
def test_everything_completes_the_coins(default_predictor: Any) -> None:
    viewer = ViewerModel()
    viewer.add_image(samples.coins(), name="coins")
    session = SamSession(viewer, default_predictor)
    session.new_prompt_layers()
    for box in samples.coin_boxes()[:BY_HAND]:
        assert session.shapes_layer is not None
        session.shapes_layer.add_rectangles(corners(box))
        session.preview()
        session.commit()
    by_hand = written(session).copy()
    assert by_hand.max() == BY_HAND
    session.segment_everything()
    session.commit()
    labels, truth = written(session), samples.coin_labels()
    np.testing.assert_array_equal(labels[by_hand > 0], by_hand[by_hand > 0])
    found = {int(label) for label in np.unique(labels)} - {0}
    assert len(found) == COINS
    for coin in range(1, truth.max() + 1):
        mine = truth == coin
        label = int(np.bincount(labels[mine]).argmax())
        assert label in found
        found.discard(label)
        assert np.count_nonzero(labels == label) >= np.count_nonzero(mine) / 2
