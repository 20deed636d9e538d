"""Outputs are mappings, tuples and attributes at once."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch.utils import _pytree as pytree

from napari_sam.huggingface.modeling.outputs import SamImageSegmentationOutput

SCORES, MASKS = torch.arange(2.0), torch.arange(3.0)


@pytest.fixture
def output() -> SamImageSegmentationOutput:
    return SamImageSegmentationOutput(iou_scores=SCORES, pred_masks=MASKS)


def test_values_by_name_position_and_attribute(
    output: SamImageSegmentationOutput,
) -> None:
    assert output.iou_scores is output["iou_scores"] is output[0] is SCORES
    assert output[:2] == output.to_tuple() == (SCORES, MASKS)
    assert list(output) == list(output.keys()) == ["iou_scores", "pred_masks"]
    assert [value is MASKS for _, value in output.items()] == [False, True]
    assert {**output}.keys() == output.keys()
    assert output.vision_attentions is None
    assert "vision_attentions" not in output
    with pytest.raises(KeyError):
        output["vision_attentions"]


def test_values_can_be_set_and_not_removed(
    output: SamImageSegmentationOutput,
) -> None:
    output.vision_attentions = (MASKS,)
    output["pred_masks"] = SCORES
    assert output[2] == (MASKS,)
    assert output.pred_masks is SCORES
    for remove in (lambda: output.pop("pred_masks"), lambda: output.__delitem__("a")):
        with pytest.raises(TypeError, match="cannot be"):
            remove()
    with pytest.raises(KeyError, match="has no 'other'"):
        output["other"] = 1
    with pytest.raises(TypeError, match="has no other: it holds iou_scores"):
        SamImageSegmentationOutput(other=1)


def test_copies_and_trees(output: SamImageSegmentationOutput) -> None:
    for same in (copy.copy(output), pickle.loads(pickle.dumps(output))):
        assert type(same) is type(output)
        assert torch.equal(same.pred_masks, MASKS)
    doubled = pytree.tree_map(lambda value: value * 2, output)
    assert type(doubled) is type(output)
    assert torch.equal(doubled.pred_masks, MASKS * 2)
