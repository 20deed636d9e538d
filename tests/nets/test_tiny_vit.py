"""The TinyViT encoder: folding, bias offsets and shapes."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.nets.tiny_vit import offset_index

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.nets.config import SamConfig
    from napari_sam.nets.sam import SamNetwork


@given(window=st.integers(1, 7))
def test_pairs_at_the_same_offset_share_a_bias(window: int) -> None:
    index = offset_index(window)
    cells = [(r, c) for r in range(window) for c in range(window)]
    offsets: dict[tuple[int, int], int] = {}
    for i, (r, c) in enumerate(cells):
        for j, (u, v) in enumerate(cells):
            # The published table is in the order in which offsets occur.
            first = offsets.setdefault((abs(r - u), abs(c - v)), len(offsets))
            assert index[i, j] == first


def test_folding_batch_norms_keeps_the_output(
    random_model: Callable[..., SamNetwork], lite_config: SamConfig
) -> None:
    encoder = random_model(lite_config).image_encoder
    folded = copy.deepcopy(encoder)
    folded.fold_batch_norms()
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert not any("bn" in name for name, _ in folded.named_modules())
    actual, expected = folded(pixels), encoder(pixels)
    assert actual.shape == (2, 16, 16, 16)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-4)


def test_images_of_a_batch_are_independent(
    random_model: Callable[..., SamNetwork], lite_config: SamConfig
) -> None:
    model = random_model(lite_config)
    pixels = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    together = model.get_image_embeddings(pixels)
    alone = torch.cat([model.get_image_embeddings(one[None]) for one in pixels])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
