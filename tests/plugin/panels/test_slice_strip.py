"""The strip below the panel shows the states of slices."""

from typing import Any

import numpy as np

from napari_sam.plugin.panels.slice_strip import SliceStrip


def test_strip_draws_states_and_the_displayed_slice(qtbot: Any) -> None:
    strip = SliceStrip(lambda _: None)
    qtbot.addWidget(strip)
    strip.show_states({2: "anchor", 3: "doubtful"}, 4, 3)
    strip.resize(80, 18)
    image = strip.grab().toImage()

    def colour(x: int, y: int) -> np.ndarray:
        return np.array(image.pixelColor(x, y).getRgb()[:3])

    # 16-bit screens round colours.
    np.testing.assert_allclose(colour(45, 10), (0, 0x72, 0xB2), atol=8)
    np.testing.assert_allclose(colour(65, 4), (0xE6, 0x9F, 0), atol=8)
    assert abs(colour(45, 4) - (0, 0x72, 0xB2)).max() > 8  # lower
