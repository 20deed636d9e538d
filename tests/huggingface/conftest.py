"""Models with the interface of transformers, for the tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from napari_sam.huggingface.model import SamModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_sam.nets.sam import SamNetwork


@pytest.fixture(scope="session")
def random_sam(random_model: Callable[..., SamNetwork]) -> Callable[..., SamModel]:
    """Function that makes a `SamModel` with random parameters."""

    def make(*args: Any, **kwargs: Any) -> SamModel:
        return SamModel.of(random_model(*args, **kwargs))

    return make
