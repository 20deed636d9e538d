"""Windows, relative positions and attention of the ViT image encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.nets import image_encoder
from napari_sam.nets.image_encoder import join_windows, relative, split_windows

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from napari_sam.nets.config import SamConfig
    from napari_sam.nets.sam import SamNetwork

sides = st.integers(1, 12)


def numbered(*shape: int) -> Tensor:
    return torch.arange(1, 1 + torch.Size(shape).numel()).view(shape).float()


@given(b=st.integers(1, 3), h=sides, w=sides, c=st.integers(1, 3), window=sides)
def test_join_windows_inverts_split_windows(
    b: int, h: int, w: int, c: int, window: int
) -> None:
    x = numbered(b, h, w, c)
    windows, padded = split_windows(x, window)
    assert windows.shape[1:] == (window, window, c)
    assert all(0 <= p - s < window for p, s in zip(padded, (h, w), strict=True))
    assert torch.equal(join_windows(windows, padded, (h, w)), x)
    # The windows contain each token once, and zeros.
    assert windows.sum() == x.sum()
    assert (windows != 0).sum() == x.numel()


@given(b=st.integers(1, 2), rows=sides, cols=sides, window=st.integers(1, 4))
def test_split_windows_inverts_join_windows(
    b: int, rows: int, cols: int, window: int
) -> None:
    windows = numbered(b * rows * cols, window, window, 2)
    size = (rows * window, cols * window)
    split, padded = split_windows(join_windows(windows, size, size), window)
    assert padded == size
    assert torch.equal(split, windows)


def test_windows_contain_neighbours() -> None:
    windows, _ = split_windows(numbered(1, 4, 4, 1), 2)
    assert windows[1, ..., 0].tolist() == [[3, 4], [7, 8]]


@given(size=st.integers(1, 16))
def test_relative_positions(size: int) -> None:
    # Each entry of the table is its own offset.
    table = torch.arange(-(size - 1), size)[:, None]
    actual = relative(table, size)
    assert actual.shape == (size, size, 1)
    for q in range(size):
        for k in range(size):
            assert actual[q, k] == q - k


@pytest.fixture(scope="module")
def model(random_model: Callable[..., SamNetwork], vit_config: SamConfig) -> SamNetwork:
    return random_model(vit_config)


@pytest.mark.parametrize("with_gradients", [False, True])
def test_attention_head_by_head_is_the_same(
    model: SamNetwork, monkeypatch: pytest.MonkeyPatch, with_gradients: bool
) -> None:
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    pixels.requires_grad_(with_gradients)
    results = []
    for limit in (2**24, 0):
        monkeypatch.setattr(image_encoder, "_MAX_JOINT_BIAS", limit)
        with torch.set_grad_enabled(with_gradients):
            embedding = model.image_encoder(pixels)
        results.append([embedding.detach()])
        if with_gradients:
            results[-1] += torch.autograd.grad(embedding.square().mean(), pixels)
    for joint, single in zip(*results, strict=True):
        torch.testing.assert_close(single, joint, rtol=0, atol=1e-5)


def test_attention_matches_its_definition(model: SamNetwork) -> None:
    attention = model.image_encoder.blocks[1].attn
    x = torch.randn(1, 8, 8, 16, generator=torch.Generator().manual_seed(1))
    q, k, v = attention.qkv(x).view(64, 3, 2, 8).permute(1, 2, 0, 3)
    row, col = torch.arange(64) // 8, torch.arange(64) % 8
    by_row = attention.rel_pos_h[row[:, None] - row[None, :] + 7]
    by_col = attention.rel_pos_w[col[:, None] - col[None, :] + 7]
    scores = q @ k.transpose(1, 2) / 8**0.5
    scores += torch.einsum("hqc,qkc->hqk", q, by_row + by_col)
    expected = attention.proj((scores.softmax(-1) @ v).transpose(0, 1).flatten(1))
    actual = attention(x).view(64, 16)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


def test_images_of_a_batch_are_independent(model: SamNetwork) -> None:
    pixels = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    together = model.get_image_embeddings(pixels)
    alone = torch.cat([model.get_image_embeddings(one[None]) for one in pixels])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)
