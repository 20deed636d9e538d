"""Encoders and mask decoder beside the published ones, with the same weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from benchmarks.parity import references
from benchmarks.speed.tables import OURS, Row, compared
from benchmarks.speed.timing import gflop, gflop_rate, in_turns
from napari_sam.nets.fast.decoder import FastMaskDecoder
from napari_sam.nets.fast.tiny_vit import FastTinyViT
from napari_sam.nets.fast.vit import FastViT

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from benchmarks.speed.timing import Cost, Effort

SAM = "segment-anything"
FUSED = "transformers, fused attention"
MODULE = "published module"
# Number of prompts, and the highest wanted ratio of time.
PROMPTS = {1: 0.50, 8: None, 32: 0.25, 64: 0.21, 128: None}


def vit_b(effort: Effort) -> list[str]:
    """Compare ViT-B at 1024 px with segment-anything and transformers."""
    model = references.vit_b()
    pixels = torch.randn(1, 3, 1024, 1024)
    ours = FastViT(model.image_encoder)  # type: ignore[arg-type]
    published = references.published_sam(model).image_encoder
    fused = references.transformers_encoder(model)
    with torch.inference_mode():
        costs = in_turns(
            {
                OURS: lambda: ours(pixels),
                SAM: lambda: published(pixels),
                FUSED: lambda: fused(pixels).last_hidden_state,
            },
            effort,
        )
    work = gflop(lambda: ours(pixels))
    name = f"ViT-B encoder, 1024 px, {work:.0f} GFLOP"
    rows = [
        _row(name, SAM, costs, work, most=0.50, most_memory=0.20),
        _row(name, FUSED, costs, work, most=0.68),
    ]
    return compared(rows, costs)


def lite_medsam(effort: Effort) -> list[str]:
    """Compare the default model's encoder at 256 px with the published module."""
    return _tiny_vit("LiteMedSAM encoder, 256 px", references.lite_medsam(), effort)


def mobile_sam(effort: Effort) -> list[str]:
    """Compare MobileSAM's encoder at 1024 px, with random weights."""
    return _tiny_vit("MobileSAM encoder, 1024 px", references.mobile_sam(), effort)


def _tiny_vit(name: str, model: Any, effort: Effort) -> list[str]:
    size = model.config.vision_config.image_size
    pixels = torch.rand(1, 3, size, size)
    ours, published = (
        FastTinyViT(model.image_encoder),
        references.published_tiny_vit(model),
    )
    with torch.inference_mode():
        costs = in_turns(
            {OURS: lambda: ours(pixels), MODULE: lambda: published(pixels)}, effort
        )
    work = gflop(lambda: ours(pixels))
    name = f"{name}, {work:.0f} GFLOP"
    return compared([_row(name, MODULE, costs, work, most=0.50)], costs)


def decoder(effort: Effort) -> list[str]:
    """Compare the decoders: one point for each object, three masks each."""
    model = references.lite_medsam()
    encoder = model.prompt_encoder
    fast = FastMaskDecoder(
        model.mask_decoder, encoder.image_positions(), encoder.dense(None)
    )
    published = references.published_sam(model)
    embedding = FastTinyViT(model.image_encoder)(torch.rand(1, 3, 256, 256))  # type: ignore[arg-type]
    terms = fast.prepare(embedding)
    rows, lines = [], []
    with torch.inference_mode():
        for count, most in PROMPTS.items():
            tokens = _points(model, count)
            ours = _decode(fast, terms, tokens)
            costs = in_turns(
                {OURS: ours, SAM: _decode_published(published, embedding, tokens)},
                effort,
            )
            work = gflop(ours)
            name = f"{count} prompts, {work / count:.2f} GFLOP each"
            rows.append(_row(name, SAM, costs, work, most=most))
            lines.append(f"{count}: {gflop_rate(costs):.0f}")
    return [*compared(rows, costs)[:-1], f"sgemm, GFLOP/s, by prompts: {lines}."]


def _points(model: Any, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(references.SEED)
    places = torch.rand(count, 1, 2, generator=generator) * 256
    tokens: Tensor = model.prompt_encoder.tokens(
        places, torch.ones(count, 1, dtype=torch.int), None
    )
    return tokens


def _decode(fast: FastMaskDecoder, terms: Any, tokens: Tensor) -> Callable[[], Tensor]:
    return lambda: fast.decode(terms, tokens, None, True)[0]


def _decode_published(sam: Any, embedding: Tensor, tokens: Tensor) -> Callable[[], Any]:
    dense = sam.prompt_encoder(None, torch.zeros(len(tokens), 1, 4), None)[1]

    def run() -> Any:
        return sam.mask_decoder(
            image_embeddings=embedding,
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=tokens,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )[0]

    return run


def _row(
    work: str, reference: str, costs: dict[str, Cost], gflops: float, **most: Any
) -> Row:
    ours, theirs = costs[OURS], costs[reference]
    return Row(
        work,
        reference,
        ours,
        theirs,
        share=gflops / gflop_rate(costs) / ours.median,
        difference=float((ours.answer - theirs.answer).abs().max()),
        **most,
    )
