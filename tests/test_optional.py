"""Libraries of an extra."""

from __future__ import annotations

import json

import pytest

from napari_sam.optional import import_optional


def test_a_library_that_is_there() -> None:
    assert import_optional("json", "any") is json


def test_a_missing_library_is_told_with_its_extra() -> None:
    sentence = r"no_such is not installed: pip install 'napari-sam\[some\]'"
    with pytest.raises(ModuleNotFoundError, match=sentence):
        import_optional("no_such", "some")
